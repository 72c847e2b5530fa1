mod background;
mod circuit_breaker;
mod claims;
mod ends;
mod formats;
mod interleavings;
mod once;
mod planning;
mod rates;
mod refusals;
mod rounds;
mod run_reports;
mod scan_properties;
mod scans;
mod simulation;
mod stopped_scans;
mod windows;

pub(super) use simulation::Rng;

use super::*;
use crate::fixture::{
    BEGIN, accepted, audience, bad_tokens, both, overloaded, record, refused, results_of, secs, sizes, terms,
    throttled, untried,
};
use delivery::verdict::{RetryCause, Verdict};

/// The expected plan when nothing is queued.
const NOTHING: [u32; 0] = [];

const CLAIM: Duration = Duration::from_secs(120);

/// Returns a batch that was just sealed.
fn sealed(terms: Terms, chunks: usize, pushes: usize) -> Batch {
    Batch::seal(record(terms), sizes(chunks, pushes), BEGIN)
}

/// Returns a batch whose first chunk was accepted, so that nothing holds it back.
fn under_way(terms: Terms, chunks: usize, pushes: usize) -> Batch {
    let mut batch = sealed(terms, chunks, pushes);
    let mut number = 0;
    while batch.breaker.ended() < INITIAL_PUSHES || number == 0 {
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &accepted(0..pushes), true, BEGIN);
        number += 1;
    }
    batch
}

pub(super) fn counts(batch: &Batch, now: Timestamp) -> Counts {
    let overview = batch.overview(now);
    let counts = overview.counts;
    let sum = counts.accepted
        + counts.rejected
        + counts.failed
        + counts.duplicate
        + counts.cancelled
        + counts.retrying
        + counts.in_flight
        + counts.waiting;
    assert_eq!(sum, overview.pushes, "{counts:?}");
    assert!(counts.gone <= counts.rejected);
    counts
}

fn endings(batch: &Batch) -> Vec<(&FinalResult, u64)> {
    let counted = batch.record.final_results.iter().zip(&batch.counts);
    counted.map(|(result, count)| (result, *count)).collect()
}

/// Returns when the waiting pushes of a chunk are retried.
fn due_at(batch: &Batch, number: u32) -> Timestamp {
    let retries = &batch.progress(number).unwrap().retries;
    assert_eq!(retries.len(), 1, "{retries:?}");
    retries[0].due_at
}
