//! The time limits of calls from the Worker, or from one of its objects, to another object.
//!
//! Every call has a limit that depends on what the object may have to do. A call that reaches its limit has
//! an unknown outcome: the object may have executed it. So the caller repeats it, and objects handle repeated
//! calls idempotently. In scope: the limits, and the error of a call that has reached its limit. Out of
//! scope: waiting (the Worker).

use std::time::Duration;

use campaign::scheduler::START_TIME;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A command that an object answers from memory or from a few rows.
    Command,
    /// A lease at a gate.
    Lease,
    /// Sending a request or a chunk at a connection object.
    Send,
    /// Reading or changing devices at a shard of an audience.
    Shard,
    /// Starting a run.
    StartRun,
    /// A caller's request to a batch.
    BatchRequest,
    /// Reading an upload.
    Upload,
}

impl Call {
    /// The time limit.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            // Usually milliseconds. More for a batch that first reads a hundred thousand rows, and for an
            // object that is being moved.
            Self::Command => Duration::from_secs(15),
            // A lease waits for permits.
            Self::Lease => Duration::from_secs(25),
            // A connection object answers when all pushes have a result. Opening a connection may take 45 s,
            // pushes are launched for 60 s, and each may take its timeout.
            Self::Send => Duration::from_mins(4),
            // A shard may count the devices of a segment, or delete all of them.
            Self::Shard => Duration::from_secs(60),
            Self::StartRun => START_TIME,
            // A cancel waits for the pushes in flight.
            Self::BatchRequest => Duration::from_secs(45),
            // An upload takes as long as its caller sends. The object notices an upload that has stalled.
            Self::Upload => Duration::from_hours(12),
        }
    }
}

/// Returns the error of a call to `whom` that has reached its limit.
#[must_use]
pub fn no_answer(whom: &str, limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!("{whom} did not answer within {seconds} s; it may have done what it was asked")
}

/// How long a send request waits for permits before it gets 503, in milliseconds.
pub const PERMIT_WAIT_MS: u64 = 10_000;

/// How long a cancel waits for the pushes in flight before it answers that the batch is being cancelled.
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
