//! The cost of a batch by Cloudflare's price list, and the prices of others for as many pushes.
//!
//! The prices are those of the plan "Workers Standard" beyond the monthly allowance, in US dollars. The lines
//! of a bill count what happened in the measured run. Only values whose notes say so are estimates.

use super::log::Story;
use crate::figures::count;

/// A line of the bill.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) what: &'static str,
    /// How the quantity is computed, as text.
    pub(super) how: String,
    /// The quantity, in the unit of the price.
    pub(super) quantity: f64,
    /// The price per unit in dollars, and the unit.
    pub(super) price: f64,
    pub(super) unit: &'static str,
}

impl Line {
    /// Returns the amount in dollars.
    pub(super) fn dollars(&self) -> f64 {
        self.quantity * self.price
    }
}

/// The values on which the bill is based.
#[derive(Debug)]
pub(super) struct Measured<'s> {
    pub(super) story: &'s Story,
    /// The CPU time of workerd's processes, in milliseconds.
    pub(super) cpu_ms: f64,
    /// The time from the beginning of the upload to its end, and from there to the last receipt.
    pub(super) upload_s: f64,
    pub(super) send_s: f64,
    /// The connections that were open at the end.
    pub(super) connections: u64,
}

/// Returns the number of queue operations.
pub(super) fn queue_operations(story: &Story) -> u64 {
    // Each message is written, read and deleted, or read and written again. An operation covers 64 KB, and a
    // message has 60 bytes.
    let once = story.expense.messages * 3;
    once + story.delivered.saturating_sub(story.expense.messages)
}

/// Returns the number of requests to Durable Objects, without the benchmark's own polling.
pub(super) fn object_requests(story: &Story) -> u64 {
    let senders = gate_requests(story) + connection_requests(story);
    batch_requests(story) + senders + metrics_requests(story) + story.expense.reports
}

fn batch_requests(story: &Story) -> u64 {
    let spent = &story.expense;
    spent.uploads + spent.claims + spent.settlings + spent.checkpoints + spent.others + spent.alarms
}

/// Counts a lease per granted chunk and its return, even if the chunk was not sent.
fn gate_requests(story: &Story) -> u64 {
    story.expense.granted * 2
}

fn connection_requests(story: &Story) -> u64 {
    story.expense.granted
}

/// Counts the requests with the counters of each chunk and of the upload.
fn metrics_requests(story: &Story) -> u64 {
    story.expense.granted + story.expense.uploads
}

/// Counts the written rows: those of the batch's object, its alarms, and at most one per request to the gate
/// and to the registry. Those two store their state as one row.
///
/// The metrics objects store theirs once a second.
fn rows_written(story: &Story, metrics: u64) -> u64 {
    story.expense.rows_written
        + story.expense.alarms_set
        + gate_requests(story)
        + story.expense.reports
        + metrics
}

/// Returns the bill.
pub(super) fn bill(measured: &Measured<'_>) -> Vec<Line> {
    let Measured { story, .. } = measured;
    let spent = &story.expense;
    let wall_s = measured.upload_s + measured.send_s;
    let connections_s = count(measured.connections) * (measured.send_s + IDLE_S);
    let gb_s = ((2.0 + METRICS_SHARDS) * wall_s + connections_s) * OBJECT_GB;
    // Each object stores its counters once a second. The numbers are integers far below 2^53.
    let metrics_rows = (METRICS_SHARDS * wall_s).ceil() as u64;
    vec![
        Line {
            what: "Worker requests",
            how: format!("1 upload + {} deliveries of the queue", story.invocations),
            quantity: count(1 + story.invocations),
            price: 0.30 / MILLION,
            unit: "$0.30 a million",
        },
        Line {
            what: "Worker CPU",
            how: "all that workerd used, objects included".to_owned(),
            quantity: measured.cpu_ms,
            price: 0.02 / MILLION,
            unit: "$0.02 a million ms",
        },
        Line {
            what: "object requests",
            how: format!(
                "batch {} (1 upload, {} claims, {} settlings, {} checkpoints, {} alarms), gate {} (lease and end of each chunk), \
                 connections {}, metrics {}, registry {}",
                batch_requests(story),
                spent.claims,
                spent.settlings,
                spent.checkpoints,
                spent.alarms,
                gate_requests(story),
                connection_requests(story),
                metrics_requests(story),
                spent.reports
            ),
            quantity: count(object_requests(story)),
            price: 0.15 / MILLION,
            unit: "$0.15 a million",
        },
        Line {
            what: "object duration, GB-s",
            how: format!(
                "{OBJECT_GB} GB x (batch, gate and {METRICS_SHARDS} of the metrics {wall_s:.0} s each, {} connections {:.0} s and {IDLE_S:.0} s idle each)",
                measured.connections, measured.send_s
            ),
            quantity: gb_s,
            price: 12.50 / MILLION,
            unit: "$12.50 a million",
        },
        Line {
            what: "rows written",
            how: format!(
                "batch {}, alarms {}, gate at most {}, registry {}, metrics {metrics_rows}",
                spent.rows_written,
                spent.alarms_set,
                gate_requests(story),
                spent.reports
            ),
            quantity: count(rows_written(story, metrics_rows)),
            price: 1.0 / MILLION,
            unit: "$1.00 a million",
        },
        Line {
            what: "rows read",
            how: "batch".to_owned(),
            quantity: count(spent.rows_read),
            price: 0.001 / MILLION,
            unit: "$0.001 a million",
        },
        Line {
            what: "queue operations",
            how: format!("{} messages, 3 each: written, read, deleted", spent.messages),
            quantity: count(queue_operations(story)),
            price: 0.40 / MILLION,
            unit: "$0.40 a million",
        },
        Line {
            what: "stored, GB-months",
            how: format!("{:.1} MB for {KEPT_DAYS} days", count(spent.stored) / MILLION),
            quantity: count(spent.stored) / 1e9 * KEPT_DAYS / DAYS_A_MONTH,
            price: 0.20,
            unit: "$0.20",
        },
    ]
}

/// Returns the bill's sum per million pushes, given that `pushes` were measured.
pub(super) fn per_million(bill: &[Line], pushes: u64) -> f64 {
    bill.iter().map(Line::dollars).sum::<f64>() * MILLION / count(pushes)
}

const MILLION: f64 = 1e6;

/// The number of metrics objects: the default of the setting with this name.
const METRICS_SHARDS: f64 = 4.0;

/// The memory that is billed per running object, in GB.
const OBJECT_GB: f64 = 0.128;

/// How long an idle connection stays open, in seconds: the default of `CONNECTION_IDLE_MS`. This batch is
/// billed for all of it, as if no other push followed.
const IDLE_S: f64 = 60.0;

/// How long a batch is kept, in days: the default of `BATCH_RETENTION`.
const KEPT_DAYS: f64 = 7.0;

const DAYS_A_MONTH: f64 = 30.0;

#[cfg(test)]
mod tests {
    use super::{Measured, bill, object_requests, per_million, queue_operations};
    use crate::batch::log::{Expense, Story};

    fn story() -> Story {
        Story {
            runs: 2000,
            invocations: 70,
            delivered: 2000,
            expense: Expense {
                uploads: 1,
                claims: 2000,
                granted: 2000,
                settlings: 2000,
                messages: 2000,
                reports: 2,
                rows_written: 6000,
                ..Expense::default()
            },
            ..Story::default()
        }
    }

    #[test]
    fn every_request_to_an_object_counts() {
        // Upload, claims and settlements; a lease and its return; a connection request; the metrics of each; a
        // report to the registry.
        assert_eq!(object_requests(&story()), 1 + 4000 + 4000 + 2000 + 2001 + 2);
    }

    #[test]
    fn a_message_that_comes_twice_costs_another_read() {
        let mut story = story();
        assert_eq!(queue_operations(&story), 6000);
        story.delivered += 5;
        assert_eq!(queue_operations(&story), 6005);
    }

    #[test]
    fn the_sum_is_that_of_the_lines_for_a_million() {
        let story = story();
        let measured = Measured {
            story: &story,
            cpu_ms: 15_000.0,
            upload_s: 10.0,
            send_s: 30.0,
            connections: 4,
        };
        let bill = bill(&measured);
        let sum: f64 = bill.iter().map(super::Line::dollars).sum();
        assert!((per_million(&bill, 500_000) - 2.0 * sum).abs() < 1e-12);
        // 6000 rows of the batch, at most one per request to the gate (4000) and to the registry (2), and 4 per
        // second for 40 s.
        let rows = bill.iter().find(|line| line.what == "rows written").unwrap();
        assert!((rows.dollars() - 0.010_162).abs() < 1e-9);
    }
}
