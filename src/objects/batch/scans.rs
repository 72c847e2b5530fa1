//! A batch that scans fill: opens it, and stages the chunks that they bring.

use worker::Response;

use super::core::Core;
use super::{answer, internal, nothing};
use crate::platform::clock;
use api::Problem;
use apns::time::Timestamp;
use batch::rows::{self, Fact};
use batch::{Append, Batch, Record};

/// Opens the batch, unless it is there, or `until` is over.
pub(super) fn open(
    core: &Core,
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
        // The record comes last: without it there is no batch, and the next to open it begins anew.
        core.begin(Batch::open(record, scans, clock::now()))?;
    }
    core.with(|batch| batch.stands())
        .map_or_else(nothing, |stands| answer(&stands))
}

/// Takes a scan's step, whose device lines are `lines`.
///
/// From its decision to its last row nothing is waited for, so that the object's gates let nobody see a part of it. If a
/// row cannot be written, what was written before it does not count: a chunk without its scan's row is not there.
pub(super) fn append(core: &Core, append: &Append, lines: &str) -> Result<Response, Problem> {
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
