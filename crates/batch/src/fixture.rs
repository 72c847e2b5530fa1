//! Batches for tests, here and in other crates.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may end where its fixture is wrong"
)]

use std::time::Duration;

use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

use crate::results::{FinalResult, ResultGroup, Results};
use crate::{Announcement, AudienceRef, Record, ReportProgress, Size, State, Terms};

/// When the uploads of these tests begin.
pub const BEGIN: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Seconds.
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Terms without any options.
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

/// Returns the record of a batch whose upload is in progress.
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
        controlled_at: Timestamp::default(),
        final_results: Vec::new(),
        run: None,
        cut_off: None,
        cut_off_detail: None,
        run_report: ReportProgress::default(),
        announcement: Announcement::default(),
    }
}

/// Returns the sizes of equal chunks.
pub fn sizes(chunks: usize, pushes: usize) -> Vec<Size> {
    let first = |number: usize| u32::try_from(number * pushes).unwrap();
    let size = |number| Size {
        first: first(number),
        pushes,
    };
    (0..chunks).map(size).collect()
}

/// Returns results of one kind for these pushes.
pub fn results_of(
    verdict: Verdict,
    code: u16,
    reason: &str,
    indices: impl IntoIterator<Item = usize>,
) -> Results {
    let found = ResultGroup {
        result: FinalResult {
            verdict,
            code,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            attempts: 1,
            gave_up: None,
        },
        retry_after_ms: None,
        untried: false,
        indices: indices.into_iter().collect(),
    };
    Results {
        groups: vec![found],
        details: Vec::new(),
    }
}

/// APNs accepted them.
pub fn accepted(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::Accepted, 200, "", indices)
}

/// APNs is overloaded.
pub fn overloaded(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(
        Verdict::Retry(RetryCause::Server),
        503,
        "ServiceUnavailable",
        indices,
    )
}

/// APNs got too many pushes for these devices.
pub fn throttled(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(
        Verdict::Retry(RetryCause::Device),
        429,
        "TooManyRequests",
        indices,
    )
}

/// APNs refused the provider token.
pub fn refused(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::FixCredentials, 403, "InvalidProviderToken", indices)
}

/// APNs does not know these device tokens.
pub fn bad_tokens(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::CheckToken, 400, "BadDeviceToken", indices)
}

/// A runner returned these pushes untried because it had to stop.
pub fn untried(indices: impl IntoIterator<Item = usize>) -> Results {
    let mut results = results_of(Verdict::Retry(RetryCause::Connection), 0, "", indices);
    results.groups[0].untried = true;
    results.groups[0].result.attempts = 0;
    results
}

/// Joins two sets of results.
pub fn both(mut one: Results, other: Results) -> Results {
    one.groups.extend(other.groups);
    one
}
