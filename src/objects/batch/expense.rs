//! What a batch has cost: what the platform bills by the piece, counted while the object is in memory.
//!
//! It is logged once, when the batch has ended, and is the ground of the benchmark's bill. An object that forgot its
//! memory on the way counts from there on. Gate and connections count nothing: each claim that was granted is one
//! request to a connection, and two to the gate.

use serde::Serialize;

/// Requests to the object, and what it did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Expense {
    /// Uploads, of which others than the first join.
    pub(super) uploads: u32,
    /// Requests for a chunk.
    pub(super) claims: u32,
    /// Those that got one.
    pub(super) granted: u32,
    /// Settlings of chunks that are over, and those on the way.
    pub(super) settlings: u32,
    pub(super) checkpoints: u32,
    /// Steps of scans.
    pub(super) appends: u32,
    /// What else was said: that a chunk came back, as a runner could not begin, that another batch met a refusal, what the
    /// scheduler wants.
    pub(super) others: u32,
    /// Questions of callers.
    pub(super) questions: u32,
    pub(super) alarms: u32,
    /// How often the alarm was set; each is a row written.
    pub(super) alarms_set: u32,
    /// Messages queued.
    pub(super) messages: usize,
    /// Requests to the registry, to the scheduler and to shards of the audience.
    pub(super) told: u32,
    /// Rows of SQLite, as the platform counts them.
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
    /// The size of the database in bytes.
    pub(super) stored: usize,
}
