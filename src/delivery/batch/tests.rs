mod background;
mod claims;
mod ends;
mod formats;
mod guards;
mod handovers;
mod interleavings;
mod once;
mod planning;
mod rates;
mod refusals;
mod rounds;
mod stopped_walks;
mod unaccepted;
mod walking;
mod walks;
mod windows;
mod world;

pub(super) use world::Dice;

use super::*;
use crate::delivery::verdict::{Again, Verdict};

/// When the uploads of these tests began.
pub(super) const BEGIN: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What is planned when nothing is to be queued.
const NOTHING: [u32; 0] = [];

const CLAIM: Duration = Duration::from_secs(120);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn terms() -> Terms {
    Terms {
        rate: None,
        weight: 1,
        retry_for_ms: 24 * 3_600_000,
        expires_at: None,
        repeatable: true,
        one_attempt: false,
        collapse_repeats: true,
        bad_token_percent: 20,
        claim_ms: 120_000,
        keep_ms: 7 * 86_400_000,
        webhook: None,
        windows: Vec::new(),
    }
}

/// The audience of a run.
fn audience() -> AudienceRef {
    AudienceRef {
        name: "customers".to_owned(),
        created_at: BEGIN,
        shards: 8,
    }
}

pub(super) fn record(terms: Terms) -> Record {
    Record {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        app: "shop".to_owned(),
        created_at: BEGIN,
        sealed_at: None,
        ended_at: None,
        state: State::Staging,
        paused: None,
        refusal: None,
        terms,
        invalid: 0,
        warnings: Default::default(),
        ignores_bad_tokens: false,
        endings: Vec::new(),
        origin: None,
        cut_off: None,
        cut_off_detail: None,
        handover: Handover::default(),
        announcement: Announcement::default(),
    }
}

pub(super) fn sizes(chunks: usize, pushes: usize) -> Vec<Size> {
    let first = |number: usize| u32::try_from(number * pushes).unwrap();
    let size = |number| Size {
        first: first(number),
        pushes,
    };
    (0..chunks).map(size).collect()
}

/// A batch that was just sealed.
fn sealed(terms: Terms, chunks: usize, pushes: usize) -> Batch {
    Batch::seal(record(terms), sizes(chunks, pushes), BEGIN)
}

/// A batch of which the first chunk was accepted, so that nothing holds it back.
fn under_way(terms: Terms, chunks: usize, pushes: usize) -> Batch {
    let mut batch = sealed(terms, chunks, pushes);
    let mut number = 0;
    while batch.guard.ended() < GUARDED || number == 0 {
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &accepted(0..pushes), true, BEGIN);
        number += 1;
    }
    batch
}

pub(super) fn told(
    verdict: Verdict,
    code: u16,
    reason: &str,
    places: impl IntoIterator<Item = usize>,
) -> Results {
    let found = Found {
        ending: Ending {
            verdict,
            code,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            attempts: 1,
            gave_up: None,
        },
        retry_after_ms: None,
        untried: false,
        places: places.into_iter().collect(),
    };
    Results {
        found: vec![found],
        details: Vec::new(),
    }
}

pub(super) fn accepted(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::Accepted, 200, "", places)
}

pub(super) fn overloaded(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::Retry(Again::Server), 503, "ServiceUnavailable", places)
}

pub(super) fn throttled(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::Retry(Again::Device), 429, "TooManyRequests", places)
}

fn refused(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::FixCredentials, 403, "InvalidProviderToken", places)
}

fn bad_tokens(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::CheckToken, 400, "BadDeviceToken", places)
}

/// Handed back by a runner that was told to stop.
fn untried(places: impl IntoIterator<Item = usize>) -> Results {
    let mut results = told(Verdict::Retry(Again::Connection), 0, "", places);
    results.found[0].untried = true;
    results.found[0].ending.attempts = 0;
    results
}

fn both(mut one: Results, other: Results) -> Results {
    one.found.extend(other.found);
    one
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

fn endings(batch: &Batch) -> Vec<(&Ending, u64)> {
    let counted = batch.record.endings.iter().zip(&batch.counts);
    counted.map(|(ending, count)| (ending, *count)).collect()
}

/// When the pushes of a chunk that wait are sent again.
fn due_at(batch: &Batch, number: u32) -> Timestamp {
    let waiting = &batch.progress(number).unwrap().waiting;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    waiting[0].due_at
}
