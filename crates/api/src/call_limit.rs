//! How long a call from the Worker, or from one of its objects, to another object may take.
//!
//! Every call has a limit, chosen by what the object may have to do. A call that has reached it has an unknown outcome: the object
//! may have done what it was asked, so that the caller asks again, and objects do twice what they are asked twice without harm. In
//! scope: the limits, and what is said of a call that has reached its limit. Out of scope: waiting (`shell`).

use std::time::Duration;

use campaign::scheduler::START_TIME;

/// What an object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// What it answers from its memory or a few rows.
    Command,
    /// Permits, at a gate.
    Lease,
    /// To send an order or a chunk, at a connection object.
    Send,
    /// To read or change devices, at a shard of an audience.
    Shard,
    /// To start a run.
    StartRun,
    /// What a caller asks a batch, or tells it to do.
    BatchRequest,
    /// To take in an upload.
    Upload,
}

impl Call {
    /// How long the call may take.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            // Milliseconds, but for a batch that has to read a hundred thousand rows first, and an object that is being moved.
            Self::Command => Duration::from_secs(15),
            // A lease waits for permits.
            Self::Lease => Duration::from_secs(25),
            // A connection object answers when all pushes have: a connection may take 45 s to be opened, pushes are launched for
            // 60 s, and each may take its timeout.
            Self::Send => Duration::from_mins(4),
            // A shard may count the devices of a segment, or delete all of them.
            Self::Shard => Duration::from_secs(60),
            Self::StartRun => START_TIME,
            // A cancel waits for what is in flight.
            Self::BatchRequest => Duration::from_secs(45),
            // An upload lasts as long as its caller sends; one that stops is noticed by the object.
            Self::Upload => Duration::from_hours(12),
        }
    }
}

/// What is said of a call to `whom` that has reached its limit.
#[must_use]
pub fn no_answer(whom: &str, limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!("{whom} did not answer within {seconds} s; it may have done what it was asked")
}

/// How long an order waits for permits before the caller is told to come back, in milliseconds.
pub const PERMIT_WAIT_MS: u64 = 10_000;

/// How long a cancel waits for what is in flight, before it answers that the batch is being cancelled.
pub const CANCEL_WAIT: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use super::*;
    use batch::CALL_TIMEOUT;

    #[test]
    fn each_call_to_an_object_has_the_limit_that_is_documented() {
        let documented = [
            (Call::Command, 15),
            (Call::Lease, 25),
            (Call::BatchRequest, 45),
            (Call::Shard, 60),
            (Call::StartRun, 60),
            (Call::Send, 4 * 60),
        ];
        for (call, seconds) in documented {
            assert_eq!(call.limit(), Duration::from_secs(seconds), "{call:?}");
        }
    }

    #[test]
    fn a_call_outlasts_what_the_object_waits_for() {
        assert!(Call::BatchRequest.limit() > CANCEL_WAIT);
        assert!(Call::BatchRequest.limit() > Call::Command.limit());
        // A call of a batch's own work is given up in time for the batch to act on it.
        assert!(Call::Command.limit() < CALL_TIMEOUT);
        assert!(Call::Lease.limit() > Duration::from_millis(PERMIT_WAIT_MS));
    }

    #[test]
    fn a_call_without_an_answer_says_who_did_not_answer_and_that_its_outcome_is_unknown() {
        let said = no_answer("REGISTRY", Call::Command.limit());
        assert_eq!(
            said,
            "REGISTRY did not answer within 15 s; it may have done what it was asked"
        );
    }
}
