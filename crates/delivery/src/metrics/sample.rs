//! How often something happened and, of what takes time, how long it took.
//!
//! In whole milliseconds, as sums of fractions would depend on the order in which they are added, and no clock of the
//! platform's is finer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A count; of durations with their sum, and how many were how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    count: u64,
    #[serde(default, skip_serializing_if = "is_nothing")]
    sum_ms: u64,
    /// How many lay between the bound before and this one. What is missing to `count` was longer than all bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    buckets: BTreeMap<u64, u64>,
}

impl Sample {
    /// Something that happened so often.
    #[must_use]
    pub const fn times(count: u64) -> Self {
        Self {
            count,
            sum_ms: 0,
            buckets: BTreeMap::new(),
        }
    }

    /// Counts a duration with the lowest of the bounds, which ascend, that it does not exceed.
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

    /// Adds all that another one counted.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        for (bound, count) in other.buckets {
            let bucket = self.buckets.entry(bound).or_default();
            *bucket = bucket.saturating_add(count);
        }
    }

    /// How often it happened.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the durations, in milliseconds.
    #[must_use]
    pub const fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// How many durations lay above the one bound, if there is one, and up to the other. Bounds that another version had
    /// count where they lie.
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
/// It answers within 10 to 100 ms from most places, so that these lie densest there; the last is the time that an attempt
/// has unless the deployment says otherwise (`ATTEMPT_TIMEOUT_MS`).
pub(super) const PUSH_BOUNDS_MS: &[u64] = &[5, 10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000];

/// The bounds for the time that a chunk lies in the queue.
///
/// A queue that keeps up delivers within a second; a minute is when a batch queues a chunk again that woke nobody, and an
/// hour when something is badly wrong.
pub(super) const QUEUE_BOUNDS_MS: &[u64] = &[
    100, 250, 500, 1000, 2500, 5000, 15_000, 60_000, 300_000, 900_000, 3_600_000,
];
