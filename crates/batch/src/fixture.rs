//! Batches for tests, here and in other crates.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may end where its fixture is wrong"
)]

use std::time::Duration;

use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

use crate::results::{Ending, Found, Results};
use crate::{Announcement, AudienceRef, Handover, Record, Size, State, Terms};

/// When the uploads of these tests began.
pub const BEGIN: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Seconds.
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Terms without anything special.
pub fn terms() -> Terms {
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
pub fn audience() -> AudienceRef {
    AudienceRef {
        name: "customers".to_owned(),
        created_at: BEGIN,
        shards: 8,
    }
}

/// The record of a batch whose upload is under way.
pub fn record(terms: Terms) -> Record {
    Record {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        app: "shop".to_owned(),
        created_at: BEGIN,
        sealed_at: None,
        ended_at: None,
        state: State::Staging,
        paused: None,
        refusal: None,
        is_deleting: false,
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

/// The sizes of equal chunks.
pub fn sizes(chunks: usize, pushes: usize) -> Vec<Size> {
    let first = |number: usize| u32::try_from(number * pushes).unwrap();
    let size = |number| Size {
        first: first(number),
        pushes,
    };
    (0..chunks).map(size).collect()
}

/// Results of one kind for these pushes.
pub fn told(verdict: Verdict, code: u16, reason: &str, places: impl IntoIterator<Item = usize>) -> Results {
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

/// APNs accepted them.
pub fn accepted(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::Accepted, 200, "", places)
}

/// APNs is overloaded.
pub fn overloaded(places: impl IntoIterator<Item = usize>) -> Results {
    told(
        Verdict::Retry(RetryCause::Server),
        503,
        "ServiceUnavailable",
        places,
    )
}

/// APNs got too many for these devices.
pub fn throttled(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::Retry(RetryCause::Device), 429, "TooManyRequests", places)
}

/// APNs refused the provider token.
pub fn refused(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::FixCredentials, 403, "InvalidProviderToken", places)
}

/// APNs does not know these device tokens.
pub fn bad_tokens(places: impl IntoIterator<Item = usize>) -> Results {
    told(Verdict::CheckToken, 400, "BadDeviceToken", places)
}

/// Handed back by a runner that was told to stop.
pub fn untried(places: impl IntoIterator<Item = usize>) -> Results {
    let mut results = told(Verdict::Retry(RetryCause::Connection), 0, "", places);
    results.found[0].untried = true;
    results.found[0].ending.attempts = 0;
    results
}

/// Two sets of results as one.
pub fn both(mut one: Results, other: Results) -> Results {
    one.found.extend(other.found);
    one
}
