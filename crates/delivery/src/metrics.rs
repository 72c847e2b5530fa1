//! Counters as a plain value: of one send request, of one chunk, or since the deployment began.
//!
//! Each sender counts into its own [`MetricsDelta`] and adds it to a [`MetricsShard`] once, when the send
//! request or chunk is done. Addition is associative and commutative, so the sender, the shard and the order
//! do not matter. Labels have few values - apps, push types, verdicts, reasons that Apple documents - and
//! never a token, a key or a payload. In scope: counting. Out of scope: the text format (`api::metrics`), and
//! the objects that store the counters (`src/objects/metrics.rs`). Metrics are not exact: a lost addition is
//! not repeated.

mod sample;
mod shard;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

pub use sample::Sample;
pub use shard::{Command, MetricsShard};
pub use tally::Tally;

/// The metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Pushes by app, push type, verdict and reason, counted each time a send request or chunk is done with
    /// one.
    Pushes,
    /// How long APNs took to answer an attempt, by transport.
    Push,
    /// Attempts beyond a push's first, by transport.
    Resends,
    /// Send requests and chunks that used `fetch` because no socket could be opened, by app.
    Fallbacks,
    /// Send requests by app and HTTP status.
    Requests,
    /// Chunks that were sent, by app and transport.
    Chunks,
    /// How long chunks waited in the queue until they were claimed.
    Queue,
    /// Lease requests, by app and result.
    Leases,
    /// Provider tokens that were signed, by credential.
    ProviderTokens,
    /// Attempts to open a connection, by credential and result.
    ConnectionOpenings,
}

impl Metric {
    /// Returns its name, in storage and in the output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pushes => "pushes",
            Self::Push => "push",
            Self::Resends => "resends",
            Self::Fallbacks => "fallbacks",
            Self::Requests => "requests",
            Self::Chunks => "chunks",
            Self::Queue => "queue",
            Self::Leases => "leases",
            Self::ProviderTokens => "provider_tokens",
            Self::ConnectionOpenings => "connection_openings",
        }
    }

    /// Returns the ascending bounds of its histogram. Returns `None` for a metric without durations.
    #[must_use]
    pub const fn bounds_ms(self) -> Option<&'static [u64]> {
        match self {
            Self::Push => Some(sample::PUSH_BOUNDS_MS),
            Self::Queue => Some(sample::QUEUE_BOUNDS_MS),
            Self::Pushes
            | Self::Resends
            | Self::Fallbacks
            | Self::Requests
            | Self::Chunks
            | Self::Leases
            | Self::ProviderTokens
            | Self::ConnectionOpenings => None,
        }
    }
}

/// The counters of one send request or chunk, or the sum of several: one sample per metric and combination of
/// label values.
///
/// Stored, and sent between versions of the Worker, as JSON text: a list of rows. A metric that this version
/// does not know is kept for versions that do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Row>")]
pub struct MetricsDelta(BTreeMap<Vec<String>, Sample>);

/// The metric's name followed by its label values, and the sample.
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
    /// Adds the counters of another delta.
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

    /// Iterates over the samples of a metric with `labels` labels, in the order of their values.
    pub fn of(&self, metric: Metric, labels: usize) -> impl Iterator<Item = (&[String], &Sample)> {
        self.0.iter().filter_map(move |(key, sample)| {
            let (name, values) = key.split_first()?;
            // Another version may have had other labels.
            (name == metric.as_str() && values.len() == labels).then_some((values, sample))
        })
    }

    /// Counts a send request that was answered with this HTTP status.
    pub fn request(&mut self, app: &str, status: u16) {
        self.add(Metric::Requests, &[app, &status.to_string()], Sample::times(1));
    }

    /// Counts a send request or chunk that used `fetch` because no socket could be opened.
    pub fn fallback(&mut self, app: &str) {
        self.add(Metric::Fallbacks, &[app], Sample::times(1));
    }

    /// Counts a chunk that was sent.
    pub fn chunk(&mut self, app: &str, transport: &str) {
        self.add(Metric::Chunks, &[app, transport], Sample::times(1));
    }

    /// Counts a claimed chunk that waited in the queue for `lag`.
    pub fn claimed(&mut self, lag: Duration) {
        let mut sample = Sample::default();
        sample.observe(lag, sample::QUEUE_BOUNDS_MS);
        self.add(Metric::Queue, &[], sample);
    }

    /// Counts a lease request.
    pub fn lease(&mut self, app: &str, granted: bool) {
        let outcome = if granted { "granted" } else { "refused" };
        self.add(Metric::Leases, &[app, outcome], Sample::times(1));
    }

    /// Counts a signed provider token.
    pub fn provider_token(&mut self, credential: &str) {
        self.add(Metric::ProviderTokens, &[credential], Sample::times(1));
    }

    /// Counts an attempt to open a connection.
    pub fn opening(&mut self, credential: &str, succeeded: bool) {
        let outcome = if succeeded { "opened" } else { "failed" };
        self.add(
            Metric::ConnectionOpenings,
            &[credential, outcome],
            Sample::times(1),
        );
    }

    /// Adds a sample to the metric with these labels.
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
