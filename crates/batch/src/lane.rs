//! Calls of one kind, of which one is under way at a time.

use std::time::Duration;

use apns::time::Timestamp;

/// The calls of a kind.
#[derive(Debug)]
pub(super) struct Lane {
    under_way: Option<UnderWay>,
    failures: u32,
    again_at: Timestamp,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    lost_at: Timestamp,
    /// What it is about, if it is about chunks.
    chunks: Vec<u32>,
}

impl Lane {
    /// No call was made yet.
    pub(super) const NEW: Self = Self {
        under_way: None,
        failures: 0,
        again_at: Timestamp::from_millis(0),
    };

    pub(super) fn begin(&mut self, number: u64, now: Timestamp) {
        self.begin_with(number, Vec::new(), now);
    }

    pub(super) fn begin_with(&mut self, number: u64, chunks: Vec<u32>, now: Timestamp) {
        self.under_way = Some(UnderWay {
            number,
            lost_at: now + LOST_AFTER,
            chunks,
        });
    }

    /// Whether this is the call under way; then it is not any more.
    pub(super) fn ends(&mut self, number: u64) -> bool {
        let ended = self.under_way.take_if(|call| call.number == number);
        ended.is_some()
    }

    /// Records how a call ended: after a failure the next waits, each time longer.
    pub(super) fn went(&mut self, has_failed: bool, now: Timestamp) {
        if !has_failed {
            self.failures = 0;
            self.again_at = Timestamp::default();
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.again_at = now + pause.min(LONGEST_PAUSE);
    }

    /// Gives up the call under way if its end should have come long ago, and returns what it was about.
    pub(super) fn give_up_lost(&mut self, now: Timestamp) -> Option<Vec<u32>> {
        let lost = self.under_way.take_if(|call| call.lost_at <= now);
        lost.map(|call| call.chunks)
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether a call may begin.
    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        !self.is_busy() && self.again_at <= now
    }

    /// When the next call may begin; only the end of the one under way says so while there is one.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        (!self.is_busy()).then_some(self.again_at)
    }

    /// When the call under way counts as lost.
    pub(super) fn lost_at(&self) -> Option<Timestamp> {
        self.under_way.as_ref().map(|call| call.lost_at)
    }
}

/// When a call counts as lost of which the object never heard an end: well past [`CALL_TIMEOUT`](super::CALL_TIMEOUT).
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How long after a failure a call is made again, before that doubles: most failures are of an object that moves.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Past 2^6 the longest time is reached.
const MAX_DOUBLINGS: u32 = 6;
