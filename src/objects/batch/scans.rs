//! Batches that scans fill: opens them and stores the chunks of the scans' steps.

use worker::Response;

use super::batch_state::BatchState;
use super::{answer, internal, nothing};
use crate::platform::clock;
use api::Problem;
use apns::time::Timestamp;
use batch::rows::{self, Fact};
use batch::{Append, Batch, Record};

/// Opens the batch, unless it exists or `until` has passed.
pub(super) fn open(
    core: &BatchState,
    record: Record,
    head: String,
    scans: u32,
    until: Option<Timestamp>,
) -> Result<Response, Problem> {
    if !core.load()? {
        if until.is_some_and(|until| clock::now() > until) {
            return Err(internal("the request to open the batch has come too late"));
        }
        let database = core.database();
        for statement in rows::create().into_iter().chain([rows::create_scans()]) {
            database.execute(statement).map_err(internal)?;
        }
        database.execute(Fact::Head.write(head)).map_err(internal)?;
        // The record is written last. Without it there is no batch, and the next request to open it starts
        // anew.
        core.begin(Batch::open(record, scans, clock::now()))?;
    }
    core.with(|batch| batch.status())
        .map_or_else(nothing, |status| answer(&status))
}

/// Handles a scan's step with the device lines `lines`.
///
/// Nothing is awaited between the decision and the last written row, so the object's gates hide a partial
/// state. If a row cannot be written, the rows before it do not count: a chunk without its scan's row is
/// ignored.
pub(super) fn append(core: &BatchState, append: &Append, lines: &str) -> Result<Response, Problem> {
    if !core.load()? {
        return nothing();
    }
    if !append.has_lines(lines) {
        return Err(internal("a scan's step has other lines than it says"));
    }
    let stored = u64::try_from(core.database().size()).unwrap_or(u64::MAX);
    let Some(taken) = core.with(|batch| batch.append(append, stored, clock::now())) else {
        return nothing();
    };
    if let Some((number, size)) = taken.chunk {
        core.add_chunk(number, size, lines.to_owned())?;
    }
    core.save()?;
    answer(&taken.appended)
}
