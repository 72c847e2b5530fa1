//! A part of the metrics: a sum of deltas.
//!
//! Several objects hold one shard each, so that no object receives every send request. Together they are the
//! metrics. A shard keeps all label values that it has ever seen, which are few. It has no waiting requests
//! and no alarm, so it is not a [`Machine`](crate::machine::Machine) and needs only a small host.

use serde::{Deserialize, Serialize};

use super::MetricsDelta;

/// The sum of the added deltas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsShard {
    total: MetricsDelta,
}

/// A command to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Adds this.
    Add(MetricsDelta),
    /// Returns the sum.
    Read,
}

impl MetricsShard {
    /// Reads the shard that [`MetricsShard::store`] wrote, or creates a new one if nothing is stored.
    ///
    /// An unreadable text also creates a new one, and the fault is logged: readers of metrics handle a
    /// counter that restarts at zero.
    #[must_use]
    pub fn load(stored: Option<&str>) -> (Self, Option<String>) {
        match stored.map(serde_json::from_str).transpose() {
            Ok(total) => (
                Self {
                    total: total.unwrap_or_default(),
                },
                None,
            ),
            Err(fault) => (Self::default(), Some(fault.to_string())),
        }
    }

    /// Returns the text to store, which is also the reply to [`Command::Read`]: a [`MetricsDelta`].
    #[must_use]
    pub fn store(&self) -> String {
        // Lists of texts and numbers, which JSON can always hold.
        serde_json::to_string(&self.total).unwrap_or_default()
    }

    /// Adds a delta.
    pub fn add(&mut self, delta: MetricsDelta) {
        self.total.merge(delta);
    }
}
