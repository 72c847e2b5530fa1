//! The costs of a batch: the operations that the platform bills, counted while the object is in memory.
//!
//! They are logged once, when the batch has ended, and are the basis of the benchmark's cost estimate. An
//! object that loses its memory starts again from zero. Gate and connection requests are not counted: each
//! granted claim makes one request to a connection and two to the gate.

use serde::Serialize;

/// The requests to the object and its operations.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct UsageCounters {
    /// Uploads. All but the first join it.
    pub(super) uploads: u32,
    /// Claim requests.
    pub(super) claims: u32,
    /// Claim requests that got a chunk.
    pub(super) granted: u32,
    /// Final reports of runners, and reports in between.
    pub(super) settlings: u32,
    pub(super) checkpoints: u32,
    /// Steps of scans.
    pub(super) appends: u32,
    /// Other commands: released claims, refused credentials, and the scheduler's commands.
    pub(super) others: u32,
    /// Requests of callers.
    pub(super) questions: u32,
    pub(super) alarms: u32,
    /// How often the alarm was set; each time writes a row.
    pub(super) alarms_set: u32,
    /// Messages queued.
    pub(super) messages: usize,
    /// Requests to the registry, the scheduler and shards of the audience.
    pub(super) reports: u32,
    /// Rows of SQLite, as the platform counts them.
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
    /// The size of the database in bytes.
    pub(super) stored: usize,
}
