//! A call slot: calls of one kind, at most one in progress.

use std::time::Duration;

use apns::time::Timestamp;

/// The state of one kind of call.
#[derive(Debug)]
pub(super) struct CallSlot {
    pending: Option<PendingCall>,
    failures: u32,
    retry_at: Timestamp,
}

#[derive(Debug)]
struct PendingCall {
    number: u64,
    lost_at: Timestamp,
    /// The chunks that the call is about, if any.
    chunks: Vec<u32>,
}

impl CallSlot {
    /// A slot without calls.
    pub(super) const NEW: Self = Self {
        pending: None,
        failures: 0,
        retry_at: Timestamp::from_millis(0),
    };

    pub(super) fn begin(&mut self, number: u64, now: Timestamp) {
        self.begin_with(number, Vec::new(), now);
    }

    pub(super) fn begin_with(&mut self, number: u64, chunks: Vec<u32>, now: Timestamp) {
        self.pending = Some(PendingCall {
            number,
            lost_at: now + LOST_AFTER,
            chunks,
        });
    }

    /// Whether this is the call in progress. If so, it ends.
    pub(super) fn ends(&mut self, number: u64) -> bool {
        let ended = self.pending.take_if(|call| call.number == number);
        ended.is_some()
    }

    /// Records the result of a call. After each failure the delay before the next grows.
    pub(super) fn finished(&mut self, has_failed: bool, now: Timestamp) {
        if !has_failed {
            self.failures = 0;
            self.retry_at = Timestamp::default();
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + pause.min(LONGEST_PAUSE);
    }

    /// Gives up the call in progress if its end is long overdue. Returns its chunks.
    pub(super) fn give_up_lost(&mut self, now: Timestamp) -> Option<Vec<u32>> {
        let lost = self.pending.take_if(|call| call.lost_at <= now);
        lost.map(|call| call.chunks)
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether a call may begin now.
    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        !self.is_busy() && self.retry_at <= now
    }

    /// Returns when the next call may begin. Returns `None` while a call is in progress.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        (!self.is_busy()).then_some(self.retry_at)
    }

    /// Returns when the call in progress counts as lost.
    pub(super) fn lost_at(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|call| call.lost_at)
    }
}

/// A call without a reported end counts as lost after this time, well past
/// [`CALL_TIMEOUT`](super::CALL_TIMEOUT).
const LOST_AFTER: Duration = Duration::from_secs(60);

/// The delay after the first failure; it then doubles. Most failures come from an object that is being moved.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest delay between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// 2^6 times the first delay exceeds the longest.
const MAX_DOUBLINGS: u32 = 6;
