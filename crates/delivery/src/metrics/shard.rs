//! A part of the metrics: what it was handed, added up.
//!
//! Several objects keep a shard each, so that no one object sees every order; together they are the metrics. A shard
//! keeps the apps, reasons and so on that it has ever seen, which are few. Nobody waits for it and nothing wakes it, so
//! that it is no [`Machine`](crate::machine::Machine), and its host is a handful of lines.

use serde::{Deserialize, Serialize};

use super::MetricsDelta;

/// What has been added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsShard {
    total: MetricsDelta,
}

/// What a shard is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Add this.
    Add(MetricsDelta),
    /// Say what it adds up to.
    Read,
}

impl MetricsShard {
    /// The shard as [`MetricsShard::store`] wrote it, or a new one if nothing is stored. Of a text that cannot be read nothing is
    /// left, and the fault is for the log: a counter that starts again at nought is what every reader of metrics is
    /// prepared for.
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

    /// The text to keep, and what a [`Command::Read`] is answered with: a [`MetricsDelta`].
    #[must_use]
    pub fn store(&self) -> String {
        // Lists of texts and numbers: there is nothing in it that JSON could not hold.
        serde_json::to_string(&self.total).unwrap_or_default()
    }

    /// Adds what was counted.
    pub fn add(&mut self, delta: MetricsDelta) {
        self.total.merge(delta);
    }
}
