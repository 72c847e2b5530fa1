//! The final result of one push, and the counts of many.

use std::time::Duration;

use serde::Serialize;

use super::verdict::Verdict;
use apns::Outcome;

/// The final result of one push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The push's index in its source.
    pub push: usize,
    /// The outcome of its last attempt, or why it was never sent.
    pub outcome: Outcome,
    /// The meaning of the outcome.
    pub verdict: Verdict,
    /// The minimum delay before a retry, if the verdict is [`Verdict::Retry`]. Callers see [`Receipt::advice`].
    pub retry_after: Option<Duration>,
    /// The number of attempts.
    pub attempts: u8,
    /// The duration of its last attempt; zero for a push that was not sent.
    pub latency: Duration,
    /// Whether it had one attempt (`expiration: 0`). It must not be sent again later, since it would be shown
    /// late.
    pub one_attempt: bool,
}

/// The status of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// APNs accepted it.
    Accepted,
    /// APNs refused it permanently.
    Rejected,
    /// It was not delivered and may be sent again.
    Retrying,
    /// It was not sent, or its result is unknown.
    Failed,
    /// An earlier push in the request has the same device and content.
    Duplicate,
}

impl Status {
    /// Returns the word for it in answers.
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
    /// Returns the push's status.
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

    /// Returns how long the caller should wait before it sends the push again. Returns `None` if it should
    /// not.
    #[must_use]
    pub fn advice(&self) -> Option<Duration> {
        self.retry_after.filter(|_| !self.one_attempt)
    }

    /// Whether a retry was possible but would be too late, because the push has one attempt.
    #[must_use]
    pub const fn is_given_up(&self) -> bool {
        self.one_attempt && matches!(self.verdict, Verdict::Retry(_))
    }

    /// Returns APNs' reason, or ours if APNs gave none. Returns `None` for an accepted push.
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

/// The number of pushes by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Pushes that APNs accepted.
    pub accepted: usize,
    /// Pushes that APNs refused permanently.
    pub rejected: usize,
    /// Pushes that were not delivered and may be sent again.
    pub retrying: usize,
    /// Pushes that were not sent or whose result is unknown.
    pub failed: usize,
    /// Pushes that were left out because an earlier one has the same device and content.
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

/// The reason of a refusal whose body has none.
pub(super) const NO_REASON: &str = "NoReason";

/// The reason of an answer that does not come from APNs.
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
