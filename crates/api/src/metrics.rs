//! `GET /metrics`: counters and gauges in the format of Prometheus.
//!
//! One table has the name, the labels and the help text of each metric. docs/reference/metrics.md and the
//! dashboard are compared with its rendering. In scope: the format. Out of scope: counting
//! (`delivery::metrics`). Sources: OpenMetrics 1.0 for the text, which `prometheus-client` writes;
//! Prometheus, "Metric and label naming".

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::Answer;
use super::problem::{Kind, Problem};
use batch::registry::Counted;
use campaign::scheduler;
use delivery::gate::Inspection;
use delivery::metrics::{Metric, MetricsDelta, Sample};
use delivery::pool::PoolStats as Pool;

/// The values of the gauges.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The gates that answered, each with the name of the first app with its credential.
    pub gates: Vec<(String, Inspection)>,
    /// The numbers of batches that are kept.
    pub batches: Vec<Counted>,
    /// The numbers of campaigns that are kept.
    pub campaigns: Vec<scheduler::CampaignCount>,
}

/// Returns the answer with all counters and gauges.
///
/// # Errors
/// 503 if it cannot be written, which no known value causes.
pub fn answer(total: MetricsDelta, snapshot: Snapshot) -> Result<Answer, Problem> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Report { total, snapshot }));
    let mut body = String::new();
    text::encode(&mut body, &registry)
        .map_err(|_| Problem::new(Kind::Unavailable, "the metrics could not be written"))?;
    Ok(Answer {
        content_type: CONTENT_TYPE,
        ..Answer::json(body)
    })
}

struct Report {
    total: MetricsDelta,
    snapshot: Snapshot,
}

/// `prometheus-client` requires it but never uses it, so a derived implementation would be dead code.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// The description of a metric.
struct Family {
    /// The name, without the common prefix and without the suffix of its type: `_total`, `_seconds`.
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

impl Collector for Report {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        for (metric, help, labels) in COUNTED {
            let name = metric.as_str();
            let family = Family { name, help, labels };
            let rows = self.total.of(*metric, labels.len());
            match metric.bounds_ms() {
                Some(bounds_ms) => family.histogram(to, rows, bounds_ms)?,
                None => family.counter(to, rows)?,
            }
        }
        for (family, figure) in GATES {
            let mut metric = family.begin(to, None, MetricType::Gauge)?;
            for (credential, gate) in &self.snapshot.gates {
                let figure = figure(gate);
                family.row(&mut metric, &[credential], |row| row.encode_gauge(&figure))?;
            }
        }
        let mut metric = CONNECTIONS.begin(to, None, MetricType::Gauge)?;
        for (credential, gate) in &self.snapshot.gates {
            let Pool {
                open,
                idle,
                unavailable,
            } = gate.connections;
            for (state, connections) in [("open", open), ("idle", idle), ("unavailable", unavailable)] {
                let values = [credential.as_str(), state];
                CONNECTIONS.row(&mut metric, &values, |row| {
                    row.encode_gauge(&u64::from(connections))
                })?;
            }
        }
        let mut metric = BATCHES.begin(to, None, MetricType::Gauge)?;
        for counted in &self.snapshot.batches {
            let values = [&counted.app, &counted.state];
            BATCHES.row(&mut metric, &values, |row| row.encode_gauge(&counted.batches))?;
        }
        let mut metric = CAMPAIGNS.begin(to, None, MetricType::Gauge)?;
        for counted in &self.snapshot.campaigns {
            let values = [counted.app.as_str(), counted.state.as_str()];
            CAMPAIGNS.row(&mut metric, &values, |row| row.encode_gauge(&counted.campaigns))?;
        }
        Ok(())
    }
}

impl Family {
    fn counter<'r>(
        &self,
        to: &mut DescriptorEncoder<'_>,
        rows: impl Iterator<Item = (&'r [String], &'r Sample)>,
    ) -> fmt::Result {
        let mut metric = self.begin(to, None, MetricType::Counter)?;
        for (values, sample) in rows {
            self.row(&mut metric, values, |row| {
                row.encode_counter(&sample.count(), None::<&Exemplar<NoLabelSet, u64>>)
            })?;
        }
        Ok(())
    }

    fn histogram<'r>(
        &self,
        to: &mut DescriptorEncoder<'_>,
        rows: impl Iterator<Item = (&'r [String], &'r Sample)>,
        bounds_ms: &[u64],
    ) -> fmt::Result {
        let mut metric = self.begin(to, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (values, sample) in rows {
            let sum = seconds(sample.sum_ms());
            let buckets = buckets(sample, bounds_ms);
            self.row(&mut metric, values, |row| {
                row.encode_histogram::<NoLabelSet>(sum, sample.count(), &buckets, None)
            })?;
        }
        Ok(())
    }

    fn begin<'e>(
        &self,
        to: &'e mut DescriptorEncoder<'_>,
        unit: Option<&'e Unit>,
        of: MetricType,
    ) -> Result<MetricEncoder<'e>, fmt::Error> {
        to.encode_descriptor(self.name, self.help, unit, of)
    }

    /// Writes the samples of one combination of label values.
    fn row(
        &self,
        metric: &mut MetricEncoder<'_>,
        values: &[impl AsRef<str>],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if values.is_empty() {
            return write(metric);
        }
        let values = values.iter().map(AsRef::as_ref);
        let labels: Vec<(&str, &str)> = self.labels.iter().copied().zip(values).collect();
        write(&mut metric.encode_family(&labels)?)
    }
}

/// Returns the counts of a histogram's buckets, which do not include those of lower buckets.
fn buckets(sample: &Sample, bounds_ms: &[u64]) -> Vec<(f64, u64)> {
    let mut before = None;
    let mut rest = sample.count();
    let mut buckets = Vec::with_capacity(bounds_ms.len() + 1);
    for bound in bounds_ms {
        let count = sample.between(before, *bound).min(rest);
        rest -= count;
        buckets.push((seconds(*bound), count));
        before = Some(*bound);
    }
    buckets.push((f64::INFINITY, rest));
    buckets
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The prefix of all names.
const PREFIX: &str = "apns_edge";

/// The media type of the format that `prometheus-client` writes.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters and histograms: metric, help text and labels.
const COUNTED: &[(Metric, &str, &[&str])] = &[
    (
        Metric::Pushes,
        "Pushes that a request or a chunk was done with",
        &["app", "push_type", "verdict", "reason"],
    ),
    (
        Metric::Push,
        "How long APNs took to answer an attempt to send a push",
        &["transport"],
    ),
    (
        Metric::Resends,
        "Attempts beyond the first of a push in its request or chunk",
        &["transport"],
    ),
    (
        Metric::Fallbacks,
        "Requests and chunks that went by fetch since no socket could be opened",
        &["app"],
    ),
    (
        Metric::Requests,
        "Requests by the HTTP status of their answer",
        &["app", "code"],
    ),
    (
        Metric::Chunks,
        "Chunks of batches that were run",
        &["app", "transport"],
    ),
    (
        Metric::Queue,
        "How long a chunk lay in the queue until it was claimed",
        &[],
    ),
    (
        Metric::Leases,
        "Leases of permits that were asked for",
        &["app", "outcome"],
    ),
    (
        Metric::ProviderTokens,
        "Provider tokens that were signed",
        &["credential"],
    ),
    (
        Metric::ConnectionOpenings,
        "Attempts to open a connection to APNs",
        &["credential", "outcome"],
    ),
];

/// Reads a gauge from the state of a gate.
type Figure = fn(&Inspection) -> u64;

/// The gauges of gates.
const GATES: &[(Family, Figure)] = &[
    (
        of_gate("permits_limit", "The most pushes that may be in flight now"),
        |gate| gate.limit.into(),
    ),
    (
        of_gate(
            "permits_in_use",
            "Permits that are leased: the pushes that can be in flight",
        ),
        |gate| gate.in_use.into(),
    ),
    (
        of_gate("permit_waiters", "Requests and chunks that wait for permits"),
        |gate| number(gate.waiting),
    ),
];

const fn of_gate(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        labels: &["credential"],
    }
}

const CONNECTIONS: Family = Family {
    name: "connections",
    help: "Connection objects in the pool",
    labels: &["credential", "state"],
};

const BATCHES: Family = Family {
    name: "batches",
    help: "Batches that are kept",
    labels: &["app", "state"],
};

const CAMPAIGNS: Family = Family {
    name: "campaigns",
    help: "Campaigns that are kept",
    labels: &["app", "state"],
};

#[cfg(test)]
mod tests;
