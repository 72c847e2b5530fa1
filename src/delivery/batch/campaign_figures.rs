//! What a simulated run of a campaign has cost, as it is printed.

use std::time::Duration;

use super::{Batch, Chunk, Stage, at};

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) first_push_after: Option<Duration>,
    pub(super) last_push_after: Duration,
    pub(super) walked_after: Option<Duration>,
    /// Requests of walks, and those of them that only ask how far they are, each after an alarm.
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
    /// The longest that a request stood before it and was served.
    pub(super) longest_line: Duration,
    /// The most chunks at a time that nobody had touched, and that were under way: all others are a few bytes each.
    pub(super) worst_fresh: usize,
    pub(super) worst_under_way: usize,
    pub(super) pushes: u64,
}

impl Figures {
    /// Looks at the batch after a request, so long after the start.
    pub(super) fn note(&mut self, batch: &Batch, since: Duration) {
        self.worst_fresh = self.worst_fresh.max(batch.plan.fresh());
        // All chunks are looked at, and so not each time.
        if self.steps.is_multiple_of(100) {
            let open = |chunk: &&Chunk| matches!(chunk.stage, Stage::Open(_));
            let under_way = batch.chunks.iter().filter(open).count();
            self.worst_under_way = self.worst_under_way.max(under_way);
        }
        if batch.record().sealed_at.is_some() {
            self.walked_after.get_or_insert(since);
        }
    }

    pub(super) fn print(&self, chunks: usize, shards: u32, took: Duration) {
        let to_batch = self.steps + self.claims + self.claims_in_vain + self.settlings + self.alarms;
        // The batch is opened, the shards are told to begin, woken by alarms, and told of their gone devices.
        let others = chunks * REQUESTS_A_CHUNK + 1 + 2 * at(shards) + self.asked;
        let rows = self.batch_rows + chunks * ROWS_A_CHUNK + self.asked;
        let busy = self.busy.as_secs_f64() / took.as_secs_f64();
        println!("{self:#?}");
        println!("chunks: {chunks}");
        println!(
            "requests to objects: {} ({to_batch} to the batch)",
            to_batch + others
        );
        println!("queue operations: {}", OPERATIONS_A_MESSAGE * self.messages);
        println!("rows written: {rows} ({} in the batch)", self.batch_rows);
        println!("the batch's object was busy {:.0} % of the time", busy * 100.0);
    }
}

/// How many requests to objects a chunk costs beside those to the batch: a lease at the gate and its end, an errand to a
/// connection, what is counted.
const REQUESTS_A_CHUNK: usize = 4;

/// How many rows a chunk costs in its shard: to whom it goes. An alarm is a row as well.
const ROWS_A_CHUNK: usize = 1;

/// A message is written, read and deleted.
const OPERATIONS_A_MESSAGE: usize = 3;
