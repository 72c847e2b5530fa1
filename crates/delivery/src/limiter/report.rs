//! The results of a lease's pushes.

use serde::{Deserialize, Serialize};

use crate::verdict::{RetryCause, Verdict};
use apns::Outcome;

/// The results of a lease's pushes, as counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Pushes that APNs answered with any status.
    pub answered: u32,
    /// Pushes answered with 200.
    pub accepted: u32,
    /// Pushes whose answer says that APNs is overloaded: 5xx. Not 429 `TooManyRequests`, which is about one
    /// device.
    pub throttled: u32,
    /// Pushes without an answer: resets and timeouts.
    pub lost: u32,
}

impl Report {
    /// Counts one attempt.
    pub fn count(&mut self, outcome: &Outcome, verdict: Verdict) {
        match outcome {
            Outcome::Answered(_) => self.answered += 1,
            Outcome::NotSent(_) => {}
            Outcome::Lost(_) => self.lost += 1,
        }
        self.accepted += u32::from(verdict == Verdict::Accepted);
        self.throttled += u32::from(verdict == Verdict::Retry(RetryCause::Server));
    }

    /// Whether APNs or the network is overloaded.
    pub(super) const fn is_congested(&self) -> bool {
        self.is_notable(self.throttled as u64 + self.lost as u64)
    }

    /// Whether so many pushes got no answer that their connection may be broken.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.is_notable(self.lost as u64)
    }

    const fn is_notable(&self, bad: u64) -> bool {
        let all = self.answered as u64 + self.lost as u64;
        bad > 0 && bad * CONGESTED_SHARE >= all
    }
}

/// One bad push in this many makes a lease congested. A single reset, or one device that gets too many
/// pushes, is not caused by the limit. A server in trouble refuses far more than a twentieth.
pub const CONGESTED_SHARE: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::judge;
    use apns::Reply;
    use apns::time::Timestamp;

    fn report(status: u16, reason: &str) -> Report {
        let header = |name: &str| (name == "apns-id").then_some("id");
        let body = format!("{{\"reason\":\"{reason}\"}}");
        let outcome = Outcome::Answered(Reply::read(status, header, body.as_bytes(), Timestamp::default()));
        let mut report = Report::default();
        report.count(&outcome, judge(&outcome));
        report
    }

    #[test]
    fn a_device_that_gets_too_much_is_no_reason_to_send_less_to_others() {
        assert!(!report(429, "TooManyRequests").is_congested());
        assert!(report(503, "ServiceUnavailable").is_congested());
        assert!(report(500, "InternalServerError").is_congested());
    }
}
