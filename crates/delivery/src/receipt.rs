//! The final outcome of one push, and what a chunk of them adds up to.

use std::time::Duration;

use serde::Serialize;

use super::verdict::Verdict;
use apns::Outcome;

/// The final outcome of one push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The push's place in its source.
    pub push: usize,
    /// How its last attempt ended; of a push that was never sent, why.
    pub outcome: Outcome,
    /// What that means.
    pub verdict: Verdict,
    /// With a verdict to retry: how long to wait first. Callers see [`Receipt::advice`].
    pub retry_after: Option<Duration>,
    /// How often it was sent.
    pub attempts: u8,
    /// From the start of its last attempt to its end; zero for a push that was not sent.
    pub latency: Duration,
    /// Whether it had one attempt (`expiration: 0`): nobody is to send it again, since it would be shown late.
    pub one_attempt: bool,
}

/// What has become of a push, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// APNs took it.
    Accepted,
    /// APNs refused it for good.
    Rejected,
    /// It was not delivered and may be sent again.
    Retrying,
    /// It was not sent, or nobody knows whether it arrived.
    Failed,
    /// An earlier push takes the same content to the device.
    Duplicate,
}

impl Status {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
        }
    }
}

impl Receipt {
    /// What has become of the push.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.verdict {
            Verdict::Accepted => Status::Accepted,
            Verdict::DropDevice | Verdict::CheckToken | Verdict::FixRequest => Status::Rejected,
            Verdict::FixCredentials if self.attempts > 0 => Status::Rejected,
            Verdict::Retry(_) if self.one_attempt => Status::Failed,
            Verdict::Retry(_) => Status::Retrying,
            Verdict::FixCredentials | Verdict::Unknown => Status::Failed,
            Verdict::Duplicate => Status::Duplicate,
        }
    }

    /// How long the caller should wait before the push is sent again. Returns `None` if it is not to be.
    #[must_use]
    pub fn advice(&self) -> Option<Duration> {
        self.retry_after.filter(|_| !self.one_attempt)
    }

    /// Whether it was given up though it could be sent again, since it would come too late.
    #[must_use]
    pub const fn is_given_up(&self) -> bool {
        self.one_attempt && matches!(self.verdict, Verdict::Retry(_))
    }

    /// APNs' reason, or ours where APNs gave none; nothing for an accepted push.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered(reply) => match &reply.reason {
                Some(reason) => Some(reason.as_str()),
                None if reply.status == 200 => None,
                None if reply.is_from_apns() => Some(NO_REASON),
                None => Some(NOT_APNS),
            },
            Outcome::NotSent(error) | Outcome::Lost(error) => Some(error.as_str()),
        }
    }
}

/// How many pushes ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// APNs took them.
    pub accepted: usize,
    /// APNs refused them for good.
    pub rejected: usize,
    /// They were not delivered and may be sent again.
    pub retrying: usize,
    /// They were not sent, or nobody knows whether they arrived.
    pub failed: usize,
    /// They were left out, since an earlier push takes the same content to the device.
    pub duplicate: usize,
}

impl Tally {
    /// Counts one push.
    pub const fn add(&mut self, status: Status) {
        match status {
            Status::Accepted => self.accepted += 1,
            Status::Rejected => self.rejected += 1,
            Status::Retrying => self.retrying += 1,
            Status::Failed => self.failed += 1,
            Status::Duplicate => self.duplicate += 1,
        }
    }
}

impl FromIterator<Status> for Tally {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        let mut tally = Self::default();
        statuses.into_iter().for_each(|status| tally.add(status));
        tally
    }
}

/// APNs refused without a reason in its body.
pub(super) const NO_REASON: &str = "NoReason";

/// The answer was not APNs'.
pub(super) const NOT_APNS: &str = "AnswerNotFromApns";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::judge;
    use apns::time::Timestamp;
    use apns::{Reply, TransportError};

    fn receipt(status: u16, body: &str, attempts: u8) -> Receipt {
        let outcome = Outcome::Answered(Reply::read(
            status,
            |_| None,
            body.as_bytes(),
            Timestamp::default(),
        ));
        let verdict = judge(&outcome);
        Receipt {
            push: 0,
            outcome,
            verdict,
            retry_after: None,
            attempts,
            latency: Duration::ZERO,
            one_attempt: false,
        }
    }

    #[test]
    fn a_push_with_one_attempt_that_was_not_delivered_failed_and_is_not_to_be_sent_again() {
        let retry = |one_attempt| Receipt {
            retry_after: Some(Duration::from_secs(900)),
            one_attempt,
            ..receipt(503, r#"{"reason":"ServiceUnavailable"}"#, 1)
        };
        let (other, one) = (retry(false), retry(true));
        assert_eq!(other.status(), Status::Retrying);
        assert_eq!((other.advice(), other.is_given_up()), (other.retry_after, false));
        assert_eq!((one.status(), one.advice()), (Status::Failed, None));
        assert_eq!(
            (one.reason(), one.is_given_up()),
            (Some("ServiceUnavailable"), true)
        );
        let accepted = Receipt {
            one_attempt: true,
            ..receipt(200, "", 1)
        };
        assert_eq!(
            (accepted.status(), accepted.is_given_up()),
            (Status::Accepted, false)
        );
    }

    #[test]
    fn a_push_that_a_credential_fault_kept_from_going_out_failed() {
        let body = r#"{"reason":"InvalidProviderToken"}"#;
        assert_eq!(receipt(403, body, 1).status(), Status::Rejected);
        assert_eq!(receipt(403, body, 0).status(), Status::Failed);
    }

    #[test]
    fn a_push_without_apns_reason_has_ours() {
        assert_eq!(receipt(200, "", 1).reason(), None);
        assert_eq!(receipt(502, "<html>", 1).reason(), Some("AnswerNotFromApns"));
        let lost = Outcome::Lost(TransportError::Deadline);
        let receipt = Receipt {
            outcome: lost,
            verdict: Verdict::Unknown,
            ..receipt(200, "", 1)
        };
        assert_eq!(
            (receipt.reason(), receipt.status()),
            (Some("DeadlinePassed"), Status::Failed)
        );
    }
}
