//! APNs' last refusal of a credential, for the doctor.
//!
//! A refused push says something about the credential only if the reason is about the provider token or the
//! key.

use serde::{Deserialize, Serialize};

use crate::verdict::{RetryCause, Verdict};
use apns::Outcome;
use apns::time::Timestamp;

/// A refusal of the credential. It contains no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRefusal {
    /// Apple's reason, or the status if there was none.
    pub reason: String,
    /// When the answer arrived.
    pub at: Timestamp,
}

impl CredentialRefusal {
    /// Reads the refusal from an answer. Returns `None` if the answer is about something else.
    #[must_use]
    pub fn of(outcome: &Outcome, verdict: Verdict, now: Timestamp) -> Option<Self> {
        let is_refusal = matches!(
            verdict,
            Verdict::FixCredentials | Verdict::Retry(RetryCause::ProviderToken(_))
        );
        match outcome {
            Outcome::Answered(reply) if is_refusal => Some(Self {
                reason: reply
                    .reason
                    .as_ref()
                    .map_or_else(|| reply.status.to_string(), ToString::to_string),
                at: now,
            }),
            Outcome::Answered(_) | Outcome::NotSent(_) | Outcome::Lost(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::judge;
    use apns::{Reply, TransportError};

    fn refusal(status: u16, reason: &str) -> Option<String> {
        let body = format!(r#"{{"reason":"{reason}"}}"#);
        let outcome = Outcome::Answered(Reply::read(
            status,
            |_| None,
            body.as_bytes(),
            Timestamp::from_secs(7),
        ));
        let refusal = CredentialRefusal::of(&outcome, judge(&outcome), Timestamp::from_secs(7));
        refusal.map(|refusal| refusal.reason)
    }

    #[test]
    fn only_what_apns_says_of_the_credential_is_a_refusal_of_it() {
        for reason in [
            "InvalidProviderToken",
            "ExpiredProviderToken",
            "MissingProviderToken",
            "BadEnvironmentKeyIdInToken",
            "Forbidden",
        ] {
            assert_eq!(refusal(403, reason).as_deref(), Some(reason));
        }
        let updates = "TooManyProviderTokenUpdates";
        assert_eq!(refusal(429, updates).as_deref(), Some(updates));
        for (status, reason) in [
            (400, "BadDeviceToken"),
            (400, "PayloadEmpty"),
            (410, "Unregistered"),
            (429, "TooManyRequests"),
            (503, "ServiceUnavailable"),
        ] {
            assert_eq!(refusal(status, reason), None, "{reason}");
        }
        let lost = Outcome::Lost(TransportError::Deadline);
        let fix = Verdict::FixCredentials;
        assert_eq!(CredentialRefusal::of(&lost, fix, Timestamp::from_secs(7)), None);
    }
}
