//! What is counted: a plain value, of one order, of one chunk, or of everything since the deployment began.
//!
//! Whoever sends counts into a [`MetricsDelta`] of its own and hands it over once, when the order or the chunk is done; a
//! [`MetricsShard`] adds up what it is handed. Adding is associative and commutative, so that it does not matter who counted
//! what, nor which shard it reached. Labels are of few values - apps, push types, verdicts, reasons that Apple documents -
//! and never a token, a key or a payload. In scope: the counting. Out of scope: how it is told (`api::metrics`), and
//! the objects that keep it (`shell`). Metrics are not the truth: what is lost on its way is lost.

mod sample;
mod shard;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

pub use sample::Sample;
pub use shard::{Command, MetricsShard};
pub use tally::Tally;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Pushes by app, push type, verdict and reason, each time that an order or a chunk was done with one.
    Pushes,
    /// How long APNs took to answer an attempt, by transport.
    Push,
    /// Attempts beyond a push's first, by transport.
    Resends,
    /// Orders and chunks that went by `fetch` since no socket could be opened, by app.
    Fallbacks,
    /// Orders by app and by the HTTP status of their answer.
    Orders,
    /// Chunks that were run, by app and transport.
    Chunks,
    /// How long chunks lay in the queue until they were claimed.
    Queue,
    /// Leases that were asked for, by app and outcome.
    Leases,
    /// Provider tokens that were signed, by credential.
    ProviderTokens,
    /// Attempts to open a connection, by credential and outcome.
    ConnectionOpenings,
}

impl Metric {
    /// Its name, where it is kept and where it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pushes => "pushes",
            Self::Push => "push",
            Self::Resends => "resends",
            Self::Fallbacks => "fallbacks",
            Self::Orders => "orders",
            Self::Chunks => "chunks",
            Self::Queue => "queue",
            Self::Leases => "leases",
            Self::ProviderTokens => "provider_tokens",
            Self::ConnectionOpenings => "connection_openings",
        }
    }

    /// The bounds, ascending, that durations are counted by; nothing for what takes no time.
    #[must_use]
    pub const fn bounds_ms(self) -> Option<&'static [u64]> {
        match self {
            Self::Push => Some(sample::PUSH_BOUNDS_MS),
            Self::Queue => Some(sample::QUEUE_BOUNDS_MS),
            Self::Pushes
            | Self::Resends
            | Self::Fallbacks
            | Self::Orders
            | Self::Chunks
            | Self::Leases
            | Self::ProviderTokens
            | Self::ConnectionOpenings => None,
        }
    }
}

/// What one order or one chunk adds, or what several of them add up to: a sample for each metric and combination of
/// label values that was seen.
///
/// Stored, and sent between versions of the Worker, as JSON text: a list of rows. A metric that a version does not know
/// is kept for those that do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Row>")]
pub struct MetricsDelta(BTreeMap<Vec<String>, Sample>);

/// The metric's name with its label values behind it, and the sample.
type Row = (Vec<String>, Sample);

impl From<Vec<Row>> for MetricsDelta {
    fn from(rows: Vec<Row>) -> Self {
        let mut delta = Self::default();
        rows.into_iter()
            .for_each(|(key, sample)| delta.insert(key, sample));
        delta
    }
}

impl Serialize for MetricsDelta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl MetricsDelta {
    /// Adds what another one has counted.
    pub fn merge(&mut self, other: Self) {
        for (key, sample) in other.0 {
            self.insert(key, sample);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was counted of a metric with `labels` labels, in the order of their values.
    pub fn of(&self, metric: Metric, labels: usize) -> impl Iterator<Item = (&[String], &Sample)> {
        self.0.iter().filter_map(move |(key, sample)| {
            let (name, values) = key.split_first()?;
            // Another version may have had others.
            (name == metric.as_str() && values.len() == labels).then_some((values, sample))
        })
    }

    /// An order was answered with this HTTP status.
    pub fn order(&mut self, app: &str, status: u16) {
        self.add(Metric::Orders, &[app, &status.to_string()], Sample::times(1));
    }

    /// An order or a chunk went by `fetch`, since no socket could be opened.
    pub fn fallback(&mut self, app: &str) {
        self.add(Metric::Fallbacks, &[app], Sample::times(1));
    }

    /// A chunk was run.
    pub fn chunk(&mut self, app: &str, transport: &str) {
        self.add(Metric::Chunks, &[app, transport], Sample::times(1));
    }

    /// A chunk was claimed that had lain in the queue for so long.
    pub fn claimed(&mut self, lag: Duration) {
        let mut sample = Sample::default();
        sample.observe(lag, sample::QUEUE_BOUNDS_MS);
        self.add(Metric::Queue, &[], sample);
    }

    /// A lease was asked for.
    pub fn lease(&mut self, app: &str, granted: bool) {
        let outcome = if granted { "granted" } else { "refused" };
        self.add(Metric::Leases, &[app, outcome], Sample::times(1));
    }

    /// A provider token was signed.
    pub fn provider_token(&mut self, credential: &str) {
        self.add(Metric::ProviderTokens, &[credential], Sample::times(1));
    }

    /// It was tried to open a connection.
    pub fn opening(&mut self, credential: &str, succeeded: bool) {
        let outcome = if succeeded { "opened" } else { "failed" };
        self.add(
            Metric::ConnectionOpenings,
            &[credential, outcome],
            Sample::times(1),
        );
    }

    /// Adds to what was counted of a metric with these labels.
    pub fn add(&mut self, metric: Metric, labels: &[&str], sample: Sample) {
        let names = [metric.as_str()].into_iter().chain(labels.iter().copied());
        self.insert(names.map(str::to_owned).collect(), sample);
    }

    fn insert(&mut self, key: Vec<String>, sample: Sample) {
        self.0.entry(key).or_default().merge(sample);
    }
}

#[cfg(test)]
mod tests;
