//! The delays before a push is sent again.
//!
//! There are two kinds: *quick* resends inside the caller's request, and *advice* for a caller that sends a
//! new request later. The long delays follow Apple's documentation: 15 minutes after a 5xx, and one new
//! provider token in 20 minutes. The short ones are ours.

use std::time::Duration;

use super::verdict::{RetryCause, TokenRefusal, Verdict};
use apns::TransportError;
use apns::time::Timestamp;

/// Returns the delay before quick resend number `resend` (from 1), with jitter derived from `salt`.
///
/// The delay is never shorter than the answer's `retry_after`.
#[must_use]
pub fn quick(cause: RetryCause, resend: u32, retry_after: Option<Duration>, salt: u64) -> Duration {
    let first = match cause {
        RetryCause::Device => DEVICE_QUICK,
        RetryCause::Server => SERVER_QUICK,
        RetryCause::Network => NETWORK_QUICK,
        RetryCause::Connection | RetryCause::ProviderToken(_) => Duration::ZERO,
    };
    let doubled = first.saturating_mul(1 << resend.saturating_sub(1).min(MAX_DOUBLINGS));
    jittered(doubled, salt).max(retry_after.unwrap_or_default())
}

/// Returns the delay that a caller should keep before it sends the push in a new request.
#[must_use]
pub fn advice(cause: RetryCause, retry_after: Option<Duration>) -> Duration {
    let own = match cause {
        RetryCause::Device => DEVICE_ADVICE,
        RetryCause::Server => SERVER_ADVICE,
        RetryCause::Connection => CONNECTION_ADVICE,
        RetryCause::Network => NETWORK_ADVICE,
        RetryCause::ProviderToken(TokenRefusal::Expired) => CONNECTION_ADVICE,
        RetryCause::ProviderToken(TokenRefusal::TooManyUpdates) => TOKEN_ADVICE,
    };
    own.max(retry_after.unwrap_or_default())
}

/// Returns the delay before round `round` (from 1) of a push in a batch, with jitter derived from `salt`.
///
/// The delay is never shorter than the answer's `retry_after`.
#[must_use]
pub fn round(cause: RetryCause, round: u32, retry_after: Option<Duration>, salt: u64) -> Duration {
    let (first, longest) = match cause {
        RetryCause::Device => (DEVICE_ADVICE, LONGEST_ROUND),
        RetryCause::Server => (SERVER_ROUND, LONGEST_ROUND),
        RetryCause::Connection | RetryCause::Network | RetryCause::ProviderToken(TokenRefusal::Expired) => {
            (NETWORK_ROUND, LONGEST_NETWORK_ROUND)
        }
        RetryCause::ProviderToken(TokenRefusal::TooManyUpdates) => (DEVICE_ADVICE, TOKEN_ADVICE),
    };
    let doubled = first.saturating_mul(1 << round.saturating_sub(1).min(MAX_DOUBLINGS));
    jittered(doubled.min(longest), salt).max(retry_after.unwrap_or_default())
}

/// Returns the advice for a verdict. Returns `None` if the verdict is not [`Verdict::Retry`].
#[must_use]
pub fn for_verdict(verdict: Verdict, retry_after: Option<Duration>) -> Option<Duration> {
    match verdict {
        Verdict::Retry(cause) => Some(advice(cause, retry_after)),
        Verdict::Accepted
        | Verdict::DropDevice
        | Verdict::CheckToken
        | Verdict::FixRequest
        | Verdict::FixCredentials
        | Verdict::Unknown
        | Verdict::Duplicate => None,
    }
}

/// Returns the delay before the `unsent_retries`-th retry of a push that was certainly not sent.
///
/// A stream that the server did not accept is retried at once on another connection, the first time. If no
/// connection could be opened, the network gets a moment.
#[must_use]
pub fn unsent(error: TransportError, unsent_retries: u32, salt: u64) -> Duration {
    match error {
        TransportError::StreamRefused | TransportError::GoingAway if unsent_retries == 1 => Duration::ZERO,
        _ => quick(RetryCause::Network, unsent_retries, None, salt),
    }
}

/// Returns when to repeat a report that has failed `failures` times. Returns `None` if the claim, which ends
/// at `until`, leaves no time for another attempt.
///
/// The last attempt is made shortly before the claim ends, even if the delay would be longer.
#[must_use]
pub fn next_report(failures: u32, salt: u64, until: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let doubled = FIRST_REPORT.saturating_mul(1 << failures.saturating_sub(1).min(MAX_DOUBLINGS));
    let delay = jittered(
        doubled.min(LONGEST_REPORT),
        salt.wrapping_add(u64::from(failures) << 32),
    );
    let last_at = until - LAST_REPORT;
    let next_at = (now + delay).min(last_at);
    (next_at > now).then_some(next_at)
}

/// Returns a delay between half of `delay` and all of it.
pub fn jittered(delay: Duration, salt: u64) -> Duration {
    // SplitMix64's finaliser spreads neighbouring salts.
    let mut mixed = salt.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let half = delay / 2;
    let share = u32::try_from((mixed >> 32) & 0xffff).unwrap_or_default();
    half + half.saturating_mul(share) / 0xffff
}

/// A batch's object that restarts answers again within a second.
const FIRST_REPORT: Duration = Duration::from_millis(200);
/// If it is away for longer, it is asked as often as is cheap: some 25 times in a claim of two minutes.
const LONGEST_REPORT: Duration = Duration::from_secs(5);
/// The last report is made this long before the claim ends.
const LAST_REPORT: Duration = Duration::from_millis(500);
/// A device that got too many pushes needs seconds, not milliseconds.
const DEVICE_QUICK: Duration = Duration::from_secs(1);
/// A 5xx of one APNs host is often over with the next request.
const SERVER_QUICK: Duration = Duration::from_millis(500);
/// A new connection takes about a round trip or two.
const NETWORK_QUICK: Duration = Duration::from_millis(100);
/// The first round after a 5xx. Jitter shortens it by up to half, so nothing is resent within five seconds.
/// Most failures are over by then; otherwise the delay doubles.
const SERVER_ROUND: Duration = Duration::from_secs(10);
/// The longest round, which is Apple's advice after a 5xx.
const LONGEST_ROUND: Duration = SERVER_ADVICE;
/// The first round after a connection broke or could not be opened.
const NETWORK_ROUND: Duration = Duration::from_secs(1);
/// A batch continues at most a minute after the network is back.
const LONGEST_NETWORK_ROUND: Duration = Duration::from_secs(60);
/// Past 2^10 the delay is longer than any request lasts.
const MAX_DOUBLINGS: u32 = 10;

/// Apple gives no number for `TooManyRequests`; a minute is far above any burst.
const DEVICE_ADVICE: Duration = Duration::from_secs(60);
/// Apple: after a 5xx "after 15 minutes".
const SERVER_ADVICE: Duration = Duration::from_secs(15 * 60);
/// A lost connection is replaced at once. The second keeps callers from sending too often.
const CONNECTION_ADVICE: Duration = Duration::from_secs(1);
/// Outages of the network are longer than one request.
const NETWORK_ADVICE: Duration = Duration::from_secs(10);
/// Apple: one new provider token in 20 minutes.
const TOKEN_ADVICE: Duration = Duration::from_secs(20 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quick_delay_doubles_and_never_undercuts_retry_after() {
        for resend in 1..=3 {
            let full = SERVER_QUICK * (1 << (resend - 1));
            let delay = quick(RetryCause::Server, resend, None, 7);
            assert!(delay >= full / 2 && delay <= full, "{resend}: {delay:?}");
        }
        let asked = Duration::from_secs(30);
        assert_eq!(quick(RetryCause::Server, 1, Some(asked), 7), asked);
    }

    #[test]
    fn a_new_connection_is_tried_at_once() {
        assert_eq!(quick(RetryCause::Connection, 1, None, 7), Duration::ZERO);
    }

    #[test]
    fn the_advice_after_a_5xx_is_apples_quarter_of_an_hour() {
        assert_eq!(advice(RetryCause::Server, None), Duration::from_secs(900));
        assert_eq!(
            advice(RetryCause::Server, Some(Duration::from_secs(1000))),
            Duration::from_secs(1000)
        );
    }

    #[test]
    fn a_report_is_repeated_until_the_claim_ends() {
        let start = Timestamp::from_secs(1_795_420_800);
        let until = start + Duration::from_secs(120);
        let (mut now, mut times) = (start, Vec::new());
        for failures in 1.. {
            let Some(next_at) = next_report(failures, 7, until, now) else {
                break;
            };
            now = next_at;
            times.push(next_at.since(start));
        }
        assert!(times[0] <= Duration::from_millis(200), "{times:?}");
        assert_eq!(times.last(), Some(&Duration::from_millis(119_500)));
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest <= Some(Duration::from_secs(5)), "{times:?}");
        assert!((20..60).contains(&times.len()), "{times:?}");
    }

    #[test]
    fn salts_spread_the_jitter() {
        let delays: std::collections::HashSet<Duration> = (0..100)
            .map(|salt| quick(RetryCause::Device, 1, None, salt))
            .collect();
        assert!(delays.len() > 90, "{}", delays.len());
    }

    proptest! {
        #[test]
        fn no_delay_overflows(resend: u32, salt: u64) {
            for cause in [RetryCause::Device, RetryCause::Server, RetryCause::Connection, RetryCause::Network] {
                prop_assert!(quick(cause, resend, None, salt) <= DEVICE_QUICK * 1024);
            }
        }
    }
}
