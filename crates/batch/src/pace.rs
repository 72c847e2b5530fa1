//! Keeps pushes to a rate.
//!
//! A bucket that drains: in any time T, pushes are let through for no more than T and a second, and the lot that was the
//! last to go in. Kept in thousandths of a push, so that a few at a high rate count as well.
//!
//! Source: ITU-T I.371, annex A (the generic cell rate algorithm).

use std::time::Duration;

use apns::time::Timestamp;

/// What was let through.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What has not drained yet, at the moment beside it; nothing before the first push.
    level: Option<(u64, Timestamp)>,
}

impl Pace {
    /// When pushes may be let through again.
    pub(super) fn free_at(&self, rate: u32) -> Timestamp {
        let Some((level, at)) = self.level else {
            return Timestamp::default();
        };
        let over = level.saturating_sub(burst(rate));
        at + Duration::from_millis(over.div_ceil(u64::from(rate.max(1))))
    }

    /// Lets pushes through.
    pub(super) fn take(&mut self, pushes: usize, rate: u32, now: Timestamp) {
        let level = match self.level {
            // Nothing is known of the time before: there is nothing to catch up with.
            None => burst(rate),
            Some((level, at)) => level.saturating_sub(drained(rate, now.since(at))),
        };
        self.level = Some((level.saturating_add(thousandths(pushes)), now));
    }
}

fn thousandths(pushes: usize) -> u64 {
    super::count(pushes).saturating_mul(1000)
}

/// A push a second is a thousandth of one a millisecond.
fn drained(rate: u32, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    u64::from(rate.max(1)).saturating_mul(millis)
}

/// What may be caught up with at once.
fn burst(rate: u32) -> u64 {
    drained(rate, BURST)
}

/// What a batch with a rate may be behind and catch up with at once.
const BURST: Duration = Duration::from_secs(1);
