//! When a connection object may dial APNs.
//!
//! The gate keeps one [`DialLimiter`] per credential, for all its connection objects. Only one object dials
//! at a time. After a failure all wait 1, 2, 4 ... 60 seconds; a success resets the delay. A request during a
//! delay gets the rest of the delay and does not queue: its pushes can use `fetch` or be retried later. Apple
//! may take rapid connecting for an attack and block the sender for a while. The delays follow pushy's
//! channel factory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;

/// Limits how often a credential is dialed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialLimiter {
    failures: u32,
    not_before: Timestamp,
    /// Until when a dial whose result was not reported counts as in progress.
    in_progress_until: Timestamp,
}

/// What an object that needs a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dial {
    /// Dial, and report the result.
    Allowed,
    /// Another object dials: ask again soon.
    InProgress,
    /// No object may dial for this long.
    Refused(Duration),
}

impl DialLimiter {
    /// Allows or refuses a dial.
    pub fn request(&mut self, now: Timestamp) -> Dial {
        if now < self.in_progress_until {
            return Dial::InProgress;
        }
        if now < self.not_before {
            return Dial::Refused(self.not_before.since(now));
        }
        self.in_progress_until = now + DIAL_TIME;
        Dial::Allowed
    }

    /// Records a successful dial.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records a failed dial. Returns the delay before the next; `salt` adds jitter to it.
    pub fn failed(&mut self, salt: u64, now: Timestamp) -> Duration {
        let doublings = self.failures.min(MAX_DOUBLINGS);
        let delay = super::backoff::jittered((FIRST * (1 << doublings)).min(LONGEST), salt);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + delay;
        self.in_progress_until = Timestamp::default();
        self.not_before.since(now)
    }
}

/// After this time an unreported dial counts as over, because its object must have died. It is twice the time
/// limit for opening a socket.
const DIAL_TIME: Duration = Duration::from_secs(30);

/// The delay after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest delay, as in pushy: pushes are sent at most a minute after the network is back.
const LONGEST: Duration = Duration::from_secs(60);

/// 2^6 seconds exceed the longest delay.
const MAX_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_795_420_800);

    #[test]
    fn the_delays_double_to_a_minute_with_jitter_and_success_resets_them() {
        let mut limiter = DialLimiter::default();
        let mut now = START;
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(limiter.request(now), Dial::Allowed);
            let delay = limiter.failed(now.as_millis(), now);
            let full = Duration::from_secs(full);
            assert!(delay >= full / 2 && delay <= full, "{full:?}: {delay:?}");
            now = now + delay;
        }
        assert_eq!(limiter.request(now), Dial::Allowed);
        limiter.succeeded();
        assert_eq!(limiter.request(now), Dial::Allowed);
        assert!(limiter.failed(0, now) <= FIRST);
    }

    #[test]
    fn only_one_dial_is_in_progress() {
        let mut limiter = DialLimiter::default();
        assert_eq!(limiter.request(START), Dial::Allowed);
        assert_eq!(limiter.request(START), Dial::InProgress);
        limiter.succeeded();
        assert_eq!(limiter.request(START), Dial::Allowed);
    }

    #[test]
    fn an_unreported_dial_times_out() {
        let mut limiter = DialLimiter::default();
        assert_eq!(limiter.request(START), Dial::Allowed);
        let over = START + DIAL_TIME;
        assert_eq!(limiter.request(over - Duration::from_millis(1)), Dial::InProgress);
        assert_eq!(limiter.request(over), Dial::Allowed);
        assert_eq!(limiter.request(over), Dial::InProgress);
    }

    #[test]
    fn the_dial_limiters_format_unchanged() {
        let mut limiter = DialLimiter::default();
        limiter.request(START);
        limiter.failed(0, START);
        let text = serde_json::to_string(&limiter).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"failures":1,"not_before":{},"in_progress_until":0}}"#,
                limiter.not_before.as_millis()
            )
        );
        assert_eq!(serde_json::from_str::<DialLimiter>(&text).unwrap(), limiter);
    }

    #[test]
    fn a_request_during_a_delay_gets_the_rest_of_it() {
        let mut limiter = DialLimiter::default();
        limiter.request(START);
        let delay = limiter.failed(0, START);
        assert_eq!(limiter.request(START), Dial::Refused(delay));
        let later = START + Duration::from_millis(1);
        assert_eq!(
            limiter.request(later),
            Dial::Refused(delay - Duration::from_millis(1))
        );
        assert_eq!(limiter.request(START + delay), Dial::Allowed);
    }
}
