//! The costs of a simulated campaign run, as they are printed.

use std::time::Duration;

use super::{Batch, Chunk, Stage, at};

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) first_push_after: Option<Duration>,
    pub(super) last_push_after: Duration,
    pub(super) scanned_after: Option<Duration>,
    /// Requests of scans, and those that only ask for the scan's position, each after an alarm.
    pub(super) steps: usize,
    pub(super) asked: usize,
    pub(super) claims: usize,
    pub(super) claims_in_vain: usize,
    pub(super) settlings: usize,
    pub(super) alarms: usize,
    pub(super) messages: usize,
    pub(super) lost_answers: usize,
    pub(super) doubled: usize,
    pub(super) batch_rows: usize,
    /// How long the batch's object was busy.
    pub(super) busy: Duration,
    /// The longest time that a request waited for the object, including its execution.
    pub(super) longest_line: Duration,
    /// The maximum number of untouched chunks, and of begun chunks. All others take a few bytes each.
    pub(super) worst_fresh: usize,
    pub(super) worst_under_way: usize,
    pub(super) pushes: u64,
}

impl Figures {
    /// Records the batch's state after a request, `since` after the start.
    pub(super) fn note(&mut self, batch: &Batch, since: Duration) {
        self.worst_fresh = self.worst_fresh.max(batch.plan.fresh());
        // This looks at all chunks, so it is not done each time.
        if self.steps.is_multiple_of(100) {
            let open = |chunk: &&Chunk| matches!(chunk.stage, Stage::Open(_));
            let under_way = batch.chunks.iter().filter(open).count();
            self.worst_under_way = self.worst_under_way.max(under_way);
        }
        if batch.record().sealed_at.is_some() {
            self.scanned_after.get_or_insert(since);
        }
    }

    /// Prints the figures and the platform's charges for them.
    pub(super) fn print(&self, chunks: usize, shards: u32, took: Duration) {
        let busy = self.busy.as_secs_f64() / took.as_secs_f64();
        println!("{self:#?}");
        println!("chunks: {chunks}");
        println!("the batch's object was busy {:.0} % of the time", busy * 100.0);
        let bill = self.bill(chunks, at(shards), took.as_secs_f64());
        for (what, quantity, price) in &bill {
            println!("{what}: {quantity:.0}, ${:.6}", quantity * price);
        }
        let sum: f64 = bill.iter().map(|(_, quantity, price)| quantity * price).sum();
        println!("in all: ${sum:.4}");
    }

    /// Returns each charge with its amount and its price per unit in dollars. docs/operating/costs.md has the
    /// sources and the same calculation in words.
    fn bill(&self, chunks: usize, shards: usize, seconds: f64) -> [(&'static str, f64, f64); 8] {
        let gone_pages = chunks.div_ceil(GONE_PAGE);
        let gone = chunks;
        let to_batch = 1 + self.steps + self.claims + self.claims_in_vain + self.settlings + self.alarms;
        let to_shards = shards + self.asked + gone_pages * shards;
        let requests = to_batch + to_shards + self.claims * REQUESTS_A_RUN + REQUESTS_ABOUT_IT;
        let rows_of_gate = 2 * self.claims;
        let rows_of_shards = chunks * ROWS_A_CHUNK + shards * ROWS_PER_SCAN + self.asked + gone;
        let written = self.batch_rows + self.alarms + rows_of_gate + rows_of_shards + ROWS_ABOUT_IT;
        let read = float(self.pushes) + number(chunks * ROWS_READ_A_CHUNK + gone * ROWS_READ_A_GONE);
        let objects = (2.0 + METRICS + number(shards)) * seconds + CONNECTIONS * (seconds + IDLE_S);
        let stored =
            float(self.pushes) * BYTES_A_PUSH * BATCH_DAYS + number(chunks) * BYTES_A_SEND * SEND_DAYS;
        [
            (
                "Worker requests",
                number(1 + self.messages + self.doubled),
                0.30 / MILLION,
            ),
            (
                "Worker CPU, ms",
                float(self.pushes) * CPU_US / 1000.0,
                0.02 / MILLION,
            ),
            ("object requests", number(requests), 0.15 / MILLION),
            ("object duration, GB-s", objects * OBJECT_GB, 12.50 / MILLION),
            (
                "rows written",
                number(written) + METRICS * seconds.ceil(),
                1.0 / MILLION,
            ),
            ("rows read", read, 0.001 / MILLION),
            (
                "queue operations",
                number(OPERATIONS_A_MESSAGE * self.messages + self.doubled),
                0.40 / MILLION,
            ),
            (
                "stored, MB for a month",
                stored / MONTH_DAYS / MILLION,
                0.20 / 1000.0,
            ),
        ]
    }
}

fn number(count: usize) -> f64 {
    float(super::count(count))
}

/// Far below 2^53.
fn float(count: u64) -> f64 {
    count as f64
}

/// The number of requests per chunk to objects other than the batch: a lease and its return at the gate, a
/// request to a connection, and the metrics.
const REQUESTS_A_RUN: usize = 4;

/// Requests per run: the scheduler is woken and gets the run's report, and the registry learns that the batch
/// runs, is sealed and has ended.
const REQUESTS_ABOUT_IT: usize = 5;

/// The number of chunks whose gone devices are reported together (`rows::PAGE`). Here one device per chunk is
/// gone.
const GONE_PAGE: usize = 1000;

/// The rows per chunk in its shard: the record of its devices with two index entries, and its deletion a
/// month later. Counted by workerd.
const ROWS_A_CHUNK: usize = 4;

/// The rows per scan: its row with an index entry, its deletion, and its first alarm.
const ROWS_PER_SCAN: usize = 4;

/// The rows per run: two of the scheduler when it is created, started and done; three of the registry.
const ROWS_ABOUT_IT: usize = 9;

/// Measured by the benchmark of a batch (docs/internals/benchmark-batch.md).
const ROWS_READ_A_CHUNK: usize = 5;

/// To find a gone device and its index entries. Counted by workerd.
const ROWS_READ_A_GONE: usize = 6;

/// A message is written, read and deleted.
const OPERATIONS_A_MESSAGE: usize = 3;

/// The CPU time per push, including all of workerd (docs/internals/benchmark-batch.md).
const CPU_US: f64 = 22.3;

/// The number of metrics objects and connections, and how long connections stay open: the default settings.
const METRICS: f64 = 4.0;
const CONNECTIONS: f64 = 4.0;
const IDLE_S: f64 = 60.0;

/// The memory with which a running object is billed.
const OBJECT_GB: f64 = 0.128;

/// What a batch stores per push (docs/internals/benchmark-batch.md) until `BATCH_RETENTION` is over.
const BYTES_A_PUSH: f64 = 99.5;
const BATCH_DAYS: f64 = 7.0;

/// What a shard stores per chunk about the devices that it was sent to. Measured in workerd.
const BYTES_A_SEND: f64 = 1536.0;
const SEND_DAYS: f64 = 31.0;

const MONTH_DAYS: f64 = 30.0;

const MILLION: f64 = 1e6;
