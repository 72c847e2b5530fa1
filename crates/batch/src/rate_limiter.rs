//! Limits pushes to a rate.
//!
//! A leaky bucket. In any time T it admits at most the pushes of T plus one second, plus the last admitted
//! group. The level is kept in thousandths of a push, so that a few pushes at a high rate count as well.
//!
//! Source: ITU-T I.371, annex A (the generic cell rate algorithm).

use std::time::Duration;

use apns::time::Timestamp;

/// The pushes that were recently admitted.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    /// The level of the bucket and when it was measured; `None` before the first push.
    level: Option<(u64, Timestamp)>,
}

impl RateLimiter {
    /// Returns when more pushes may be admitted.
    pub(super) fn free_at(&self, rate: u32) -> Timestamp {
        let Some((level, at)) = self.level else {
            return Timestamp::default();
        };
        let over = level.saturating_sub(burst(rate));
        at + Duration::from_millis(over.div_ceil(u64::from(rate.max(1))))
    }

    /// Admits pushes.
    pub(super) fn take(&mut self, pushes: usize, rate: u32, now: Timestamp) {
        let level = match self.level {
            // The time before the first push gives no credit.
            None => burst(rate),
            Some((level, at)) => level.saturating_sub(drained(rate, now.since(at))),
        };
        self.level = Some((level.saturating_add(thousandths(pushes)), now));
    }
}

fn thousandths(pushes: usize) -> u64 {
    super::count(pushes).saturating_mul(1000)
}

/// Returns how much drains in `time`. One push per second is a thousandth of a push per millisecond.
fn drained(rate: u32, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    u64::from(rate.max(1)).saturating_mul(millis)
}

/// Returns how much may be caught up at once.
fn burst(rate: u32) -> u64 {
    drained(rate, BURST)
}

/// How far a batch with a rate may be behind and catch up at once.
const BURST: Duration = Duration::from_secs(1);
