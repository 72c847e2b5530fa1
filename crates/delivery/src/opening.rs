//! When a connection may be opened again after it could not be.
//!
//! pushy's channel factory in one machine, kept by the gate for all connection objects of its credential: no delay at first,
//! then 1, 2, 4 ... 60 seconds, reset by success; one opening at a time. Who asks while a delay runs is told how long it lasts, and does not queue behind it: its pushes can go
//! another way or come back. Apple may take rapid connecting for an attack and block the sender for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;

/// The openings of one credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    failures: u32,
    not_before: Timestamp,
    /// Until when an opening is under way of which nobody has said how it went.
    under_way_until: Timestamp,
}

/// What somebody who needs a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Open one, and say how it went.
    Open,
    /// Wait for the opening that is under way: ask again soon.
    Join,
    /// Do without for so long.
    Refused(Duration),
}

impl Opening {
    /// Somebody needs a connection.
    pub fn ask(&mut self, now: Timestamp) -> Turn {
        if now < self.under_way_until {
            return Turn::Join;
        }
        if now < self.not_before {
            return Turn::Refused(self.not_before.since(now));
        }
        self.under_way_until = now + LONGEST_OPENING;
        Turn::Open
    }

    /// The opening has succeeded.
    pub fn opened(&mut self) {
        *self = Self::default();
    }

    /// The opening has failed; `salt` spreads the next ones of many objects. Gives the delay before the next.
    pub fn failed(&mut self, salt: u64, now: Timestamp) -> Duration {
        let doublings = self.failures.min(MAX_DOUBLINGS);
        let delay = super::backoff::jittered((FIRST * (1 << doublings)).min(LONGEST), salt);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + delay;
        self.under_way_until = Timestamp::default();
        self.not_before.since(now)
    }
}

/// An opening that nobody reports is over then: who began it has died. Twice what the platform gets to open a socket.
const LONGEST_OPENING: Duration = Duration::from_secs(30);

/// The delay after the first failure; the first opening has none.
const FIRST: Duration = Duration::from_secs(1);

/// The longest delay, as pushy's: a minute after the network is back, at the latest, pushes go out again.
const LONGEST: Duration = Duration::from_secs(60);

/// 2^6 seconds are over the longest delay.
const MAX_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_795_420_800);

    #[test]
    fn the_delays_double_to_a_minute_with_jitter_and_success_resets_them() {
        let mut opening = Opening::default();
        let mut now = START;
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(opening.ask(now), Turn::Open);
            let delay = opening.failed(now.as_millis(), now);
            let full = Duration::from_secs(full);
            assert!(delay >= full / 2 && delay <= full, "{full:?}: {delay:?}");
            now = now + delay;
        }
        assert_eq!(opening.ask(now), Turn::Open);
        opening.opened();
        assert_eq!(opening.ask(now), Turn::Open);
        assert!(opening.failed(0, now) <= FIRST);
    }

    #[test]
    fn only_one_opening_is_under_way() {
        let mut opening = Opening::default();
        assert_eq!(opening.ask(START), Turn::Open);
        assert_eq!(opening.ask(START), Turn::Join);
        opening.opened();
        assert_eq!(opening.ask(START), Turn::Open);
    }

    #[test]
    fn an_opening_that_nobody_reports_is_over_in_the_end() {
        let mut opening = Opening::default();
        assert_eq!(opening.ask(START), Turn::Open);
        let over = START + LONGEST_OPENING;
        assert_eq!(opening.ask(over - Duration::from_millis(1)), Turn::Join);
        assert_eq!(opening.ask(over), Turn::Open);
        assert_eq!(opening.ask(over), Turn::Join);
    }

    #[test]
    fn an_openings_format_unchanged() {
        // A gate that is evicted does not open before its delay is over.
        let mut opening = Opening::default();
        opening.ask(START);
        opening.failed(0, START);
        let text = serde_json::to_string(&opening).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"failures":1,"not_before":{},"under_way_until":0}}"#,
                opening.not_before.as_millis()
            )
        );
        assert_eq!(serde_json::from_str::<Opening>(&text).unwrap(), opening);
    }

    #[test]
    fn who_asks_during_a_delay_is_told_how_long_it_lasts() {
        let mut opening = Opening::default();
        opening.ask(START);
        let delay = opening.failed(0, START);
        assert_eq!(opening.ask(START), Turn::Refused(delay));
        let later = START + Duration::from_millis(1);
        assert_eq!(
            opening.ask(later),
            Turn::Refused(delay - Duration::from_millis(1))
        );
        assert_eq!(opening.ask(START + delay), Turn::Open);
    }
}
