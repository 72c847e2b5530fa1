//! `/v1/batches/{id}`: what callers see of a durable batch.
//!
//! In scope: the status document, and the body of a chunk for its runner. [`receipts`] has the lines of
//! receipts and of refused devices.

pub mod pages;
pub mod receipts;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};
use super::upload::{BatchHeader, Finished};
use super::{Answer, convert};
use crate::config::{Batches, Caller, Transport};
use apns::expiration::Expiration;
use apns::fault::WarningSummary;
use apns::push_type::MergedBy;
use apns::time::Timestamp;
use batch::{Announcement, Assignment, FinalResult, Overview, Reason, Record, ReportProgress, State, Terms};
use delivery::fanout::ONE_ATTEMPT_TIME;
use delivery::verdict::Verdict;
use documents::batch::{BatchCounts, BatchOptions, Pause, ResultCount, Suspect};
use documents::{InvalidKind, InvalidLine};

/// A caller's request to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// The caller.
    pub caller: Caller,
    /// The request.
    pub action: BatchAction,
}

/// A request to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchAction {
    /// Returns the status document.
    Status,
    /// Returns a page of receipts.
    Receipts {
        /// The position in the upload at which the page begins.
        from: u64,
        /// The most lines.
        limit: usize,
        /// Filters by status. An empty list matches every status.
        only: Vec<String>,
    },
    /// Returns a page of the devices that APNs refused.
    Devices {
        /// The list.
        list: DeviceList,
        /// The position in the upload at which the page begins.
        from: u64,
        /// The most lines.
        limit: usize,
    },
    /// Streams its progress.
    Events,
    /// Returns the deliveries to its webhook.
    Deliveries,
    /// Stops sending for good.
    Cancel,
    /// Stops sending for now.
    Pause,
    /// Resumes sending.
    Resume,
    /// Deletes the batch.
    Delete,
}

/// A list of devices that APNs refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceList {
    /// Devices that are gone (410): delete them.
    Gone,
    /// Devices whose tokens APNs refused with 400: check the app's environment and topic.
    Suspect,
}

impl DeviceList {
    /// Whether this verdict puts the push's device on the list.
    #[must_use]
    pub const fn has(self, verdict: Verdict) -> bool {
        match self {
            Self::Gone => matches!(verdict, Verdict::DropDevice),
            Self::Suspect => matches!(verdict, Verdict::CheckToken),
        }
    }
}

impl BatchAction {
    /// Checks whether a batch in this state accepts the request.
    ///
    /// # Errors
    /// 409: an ended batch cannot be paused or resumed, a done batch cannot be cancelled, and a batch that
    /// has not ended cannot be deleted.
    pub fn check(&self, state: State) -> Result<(), Problem> {
        let ended = || {
            let detail = format!("the batch is {}", state.as_str());
            Err(Problem::new(Kind::BatchEnded, detail))
        };
        match self {
            Self::Pause | Self::Resume if state.has_ended() => ended(),
            Self::Cancel if state == State::Done => ended(),
            Self::Delete if !state.has_ended() => {
                let detail = "cancel it first: it has not ended";
                Err(Problem::new(Kind::BatchRunning, detail))
            }
            Self::Status
            | Self::Receipts { .. }
            | Self::Devices { .. }
            | Self::Events
            | Self::Deliveries
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Delete => Ok(()),
        }
    }
}

/// Creates the record of an uploaded batch from its caller's options and the current settings.
#[must_use]
pub fn record(id: &str, finished: &Finished<'_>, settings: &Batches, created_at: Timestamp) -> Record {
    let mut record = opened(id, &finished.header, finished.invalid, settings, created_at);
    record.warnings = finished.warnings.clone();
    if finished.duplicates > 0 {
        // Must be the first result, because the rows of staged chunks refer to it.
        record.final_results.push(FinalResult::duplicate());
    }
    record
}

/// Creates the record of a batch with this header, of which `invalid` devices were rejected so far.
#[must_use]
pub fn opened(
    id: &str,
    header: &BatchHeader<'_>,
    invalid: u32,
    settings: &Batches,
    created_at: Timestamp,
) -> Record {
    let options = &header.options;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let one_attempt = header.expiration == Some(Expiration::AT_ONCE);
    let by_id = header.merged_by == MergedBy::CollapseId;
    // A generated collapse id only helps where collapse ids merge pushes.
    let collapse_repeats = options.collapse_repeats && by_id;
    // An expiration of 0 means one attempt, without an end.
    let expiration = header
        .expiration
        .map(Expiration::as_secs)
        .filter(|secs| *secs > 0);
    Record {
        id: id.to_owned(),
        app: header.app.name.clone(),
        created_at,
        sealed_at: None,
        ended_at: None,
        state: State::Staging,
        paused: None,
        refusal: None,
        is_deleting: false,
        terms: Terms {
            rate: options.rate,
            weight: options.weight,
            retry_for_ms: millis(if one_attempt {
                options.retry_for.min(ONE_ATTEMPT_TIME)
            } else {
                options.retry_for
            }),
            expires_at: expiration.map(Timestamp::from_secs),
            repeatable: header.mergeable && (collapse_repeats || header.collapses || !by_id),
            one_attempt,
            collapse_repeats: collapse_repeats && !header.collapses,
            bad_token_percent: settings.bad_token_percent,
            claim_ms: millis(settings.claim),
            keep_ms: millis(settings.retention),
            webhook: options.webhook.clone(),
            windows: Vec::new(),
        },
        invalid,
        ignores_bad_tokens: false,
        controlled_at: Timestamp::default(),
        final_results: Vec::new(),
        run: None,
        cut_off: None,
        warnings: WarningSummary::default(),
        cut_off_detail: None,
        run_report: ReportProgress::default(),
        announcement: Announcement::default(),
    }
}

/// Returns the status document of a batch.
#[must_use]
pub fn document(record: &Record, overview: &Overview, transport: Option<Transport>) -> String {
    let terms = &record.terms;
    let counts = overview.counts;
    let document = documents::Batch {
        id: record.id.clone(),
        app: record.app.clone(),
        state: record.state.as_str().into(),
        deleting: record.is_deleting,
        created_at: record.created_at.to_string(),
        sealed_at: record.sealed_at.map(|at| at.to_string()),
        ended_at: record.ended_at.map(|at| at.to_string()),
        transport: transport.map(|transport| transport.as_str().to_owned()),
        pushes: overview.pushes,
        chunks: convert::number(overview.chunks),
        invalid: u64::from(record.invalid).saturating_add(overview.left_out.unsendable()),
        left_out: convert::left_out(&overview.left_out),
        warnings: convert::warnings(&record.warnings),
        cut_off: record.cut_off.map(|why| why.as_str().to_owned()),
        cut_off_detail: record.cut_off_detail.clone(),
        counts: BatchCounts {
            accepted: counts.accepted,
            rejected: counts.rejected,
            failed: counts.failed,
            duplicate: counts.duplicate,
            cancelled: counts.cancelled,
            retrying: counts.retrying,
            in_flight: counts.in_flight,
            waiting: counts.waiting,
            gone: counts.gone,
        },
        reasons: overview.reasons.iter().map(result_count).collect(),
        suspect: overview.suspect.as_ref().map(|suspect| Suspect {
            reason: suspect.reason.clone(),
            count: suspect.count,
        }),
        rate: overview.rate,
        eta_s: overview.eta.map(|eta| eta.as_secs()),
        opens_at: overview.opens_at.map(|at| at.to_string()),
        paused: record.paused.as_ref().map(|pause| Pause {
            by: pause.by.as_str().to_owned(),
            detail: pause.detail.clone(),
        }),
        options: BatchOptions {
            rate: terms.rate,
            weight: terms.weight,
            retry_for_s: terms.retry_for_ms / 1000,
            collapse_repeats: terms.collapse_repeats,
            webhook: terms.webhook.clone(),
        },
        // Only the answer to an upload has them: see `with_invalid_lines`.
        invalid_lines: Vec::new(),
        invalid_kinds: Vec::new(),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

/// Adds the rejected lines of the upload and their faults, summed up, to the document. Used in the answer to
/// the upload.
#[must_use]
pub fn with_invalid_lines(document: String, lines: &[InvalidLine], kinds: &[InvalidKind]) -> String {
    let Some(open) = document.strip_suffix('}').filter(|_| !lines.is_empty()) else {
        return document;
    };
    let lines = serde_json::to_string(lines).unwrap_or_default();
    let kinds = serde_json::to_string(kinds).unwrap_or_default();
    format!("{open},\"invalid_lines\":{lines},\"invalid_kinds\":{kinds}}}")
}

/// Answers an upload that has created a batch, or joined one.
#[must_use]
pub fn accepted(record: &Record, document: String, replayed: bool) -> Answer {
    let mut headers = vec![
        ("location", format!("/v1/batches/{}", record.id)),
        ("preference-applied", "respond-async".to_owned()),
    ];
    if replayed {
        headers.push(("idempotent-replayed", "true".to_owned()));
    }
    Answer {
        status: 202,
        headers,
        ..Answer::json(document)
    }
}

/// Returns the collapse id of a chunk's pushes, if the batch generates one.
#[must_use]
pub fn collapse_id(assignment: &Assignment) -> Option<String> {
    let has_id = assignment.collapse_repeats;
    has_id.then(|| format!("{}-{}", assignment.batch, assignment.chunk))
}

/// Returns the body of a chunk in lines: the header, and the devices.
#[must_use]
pub fn chunk_body(head: &str, lines: &str) -> String {
    let mut body = String::with_capacity(head.len() + 1 + lines.len());
    body.push_str(head);
    body.push('\n');
    body.push_str(lines);
    body
}

/// Returns the 16 bytes from which a batch's apns-ids are derived: its id.
#[must_use]
pub fn seed(id: &str) -> Option<[u8; 16]> {
    let mut seed = [0; 16];
    if id.len() != 2 * seed.len() || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(id.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(seed)
}

/// Returns the number that identifies a batch at the gate, from its id.
#[must_use]
pub fn share(id: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = seed(id).unwrap_or_default();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the id of a batch from its 16 bytes.
#[must_use]
pub fn id(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the id of the batch for an `Idempotency-Key`. The same key of the same caller returns the same id.
#[must_use]
pub fn named_id(caller: &str, key: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in ["apns-edge batch", caller, key] {
        // Each part is prefixed with its length, so that different parts never have the same concatenation.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().map(|bytes| id(*bytes)).unwrap_or_default()
}

fn result_count(reason: &Reason) -> ResultCount {
    let result = &reason.result;
    ResultCount {
        status: result.status().as_str().to_owned(),
        code: result.code,
        reason: result.reason.clone(),
        verdict: result.verdict.as_str().to_owned(),
        gave_up: result.gave_up.map(|why| why.as_str().to_owned()),
        attempts: result.attempts,
        count: reason.count,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unaccepted_tests;
