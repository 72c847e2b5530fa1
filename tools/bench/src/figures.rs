//! The figures of one run, and their summary over several runs.

use std::time::Duration;

use crate::sender::Sender;

/// Above this share of a CPU, the single-threaded server is the bottleneck of a row.
const SERVER_IS_BUSY: f64 = 0.9;

/// The figures of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Pushes per second, from the start of the first request to the last result.
    pub(crate) pushes_per_s: f64,
    /// The sender's CPU time per push, in microseconds.
    pub(crate) cpu_us: f64,
    /// The sender's peak memory since its start, in megabytes of 10^6 bytes.
    pub(crate) peak_mb: f64,
    /// The time from the start of the first request to the first result, in milliseconds.
    pub(crate) first_ms: f64,
    /// The median time of a push, in milliseconds.
    pub(crate) p50_ms: f64,
    /// The 99th percentile of the time of a push, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The connections that were open at the end.
    pub(crate) connections: f64,
    /// The server's share of one CPU, 0 to 1.
    pub(crate) server_share: f64,
}

/// The runs of one sender at one latency.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The sender.
    pub(crate) sender: Sender,
    /// The server's latency in milliseconds.
    pub(crate) latency_ms: u64,
    /// The number of pushes per run.
    pub(crate) pushes: u64,
    /// One sample per run, never empty.
    pub(crate) samples: Vec<Sample>,
}

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The minimum.
    pub(crate) min: f64,
    /// The maximum.
    pub(crate) max: f64,
}

impl Row {
    /// Returns the spread of a figure over all runs.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(figure).collect())
    }

    /// Whether the server was the bottleneck, so that a faster sender would not have been faster.
    pub(crate) fn is_limited_by_the_server(&self) -> bool {
        self.spread(|sample| sample.server_share).median > SERVER_IS_BUSY
    }
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or_default();
        let (middle, last) = (figures.len() / 2, figures.len().saturating_sub(1));
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        };
        Self {
            median,
            min: at(0),
            max: at(last),
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "no count here is so large that it matters"
)]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// A number of bytes in megabytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    count(bytes) / 1e6
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).median.to_bits(), 2.5_f64.to_bits());
        assert_eq!(
            Spread::of(vec![7.0]),
            Spread {
                median: 7.0,
                min: 7.0,
                max: 7.0
            }
        );
    }
}
