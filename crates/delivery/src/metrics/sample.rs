//! A count and, for durations, a histogram.
//!
//! Durations are whole milliseconds: sums of fractions would depend on the order of addition, and the
//! platform's clock is no finer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A count. For durations also their sum and the number per bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    count: u64,
    #[serde(default, skip_serializing_if = "is_nothing")]
    sum_ms: u64,
    /// The number of durations in each bucket, by upper bound. The rest of `count` exceeded all bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    buckets: BTreeMap<u64, u64>,
}

impl Sample {
    /// Creates a count without durations.
    #[must_use]
    pub const fn times(count: u64) -> Self {
        Self {
            count,
            sum_ms: 0,
            buckets: BTreeMap::new(),
        }
    }

    /// Counts a duration in the bucket of the lowest bound that it does not exceed. The bounds ascend.
    pub fn observe(&mut self, duration: Duration, bounds_ms: &[u64]) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.count = self.count.saturating_add(1);
        self.sum_ms = self.sum_ms.saturating_add(millis);
        let place = bounds_ms.partition_point(|bound| *bound < millis);
        if let Some(bound) = bounds_ms.get(place) {
            let bucket = self.buckets.entry(*bound).or_default();
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Adds another sample.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        for (bound, count) in other.buckets {
            let bucket = self.buckets.entry(bound).or_default();
            *bucket = bucket.saturating_add(count);
        }
    }

    /// Returns the count.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of the durations, in milliseconds.
    #[must_use]
    pub const fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// Returns the number of durations above `over_ms`, if there is one, and up to `bound_ms`. Bounds of
    /// another version count where they lie.
    #[must_use]
    pub fn between(&self, over_ms: Option<u64>, bound_ms: u64) -> u64 {
        let counted = self.buckets.iter();
        let inside =
            counted.filter(|(bound, _)| over_ms.is_none_or(|over| **bound > over) && **bound <= bound_ms);
        inside.map(|(_, count)| *count).fold(0, u64::saturating_add)
    }
}

fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The bounds for the time that APNs takes to answer.
///
/// APNs answers within 10 to 100 ms from most places, so most bounds lie there. The last is the default time
/// limit of an attempt (`ATTEMPT_TIMEOUT_MS`).
pub(super) const PUSH_BOUNDS_MS: &[u64] = &[5, 10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000];

/// The bounds for the time that a chunk waits in the queue.
///
/// A queue that keeps up delivers within a second. After a minute a batch queues an unclaimed chunk again. At
/// an hour something is badly wrong.
pub(super) const QUEUE_BOUNDS_MS: &[u64] = &[
    100, 250, 500, 1000, 2500, 5000, 15_000, 60_000, 300_000, 900_000, 3_600_000,
];
