//! The lines of a batch's receipts and of its refused devices, in the order of the upload.
//!
//! They are written chunk by chunk from the rows, so that memory holds one chunk whatever the batch's size. A
//! cursor is the position in the upload at which the next page begins.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::DeviceList;
use apns::time::Timestamp;
use apns::{ApnsId, DeviceToken};
use batch::bit_set::BitSet;
use batch::{Detail, FinalResult, GaveUp, NO_RESULT, Progress, Record, Size, State, result_index};
use delivery::receipt::Status;
use documents::batch::ReceiptsEnd;

/// The status of a push of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStatus {
    /// It has its final result.
    Ended(Status),
    /// The batch was cancelled before it was sent.
    Cancelled,
    /// It waits for another attempt.
    Retrying,
    /// A runner is sending it.
    InFlight,
    /// It was not attempted yet.
    Waiting,
}

impl PushStatus {
    /// Returns the status's name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            // A push with a final result is not sent again, whatever its last result was.
            Self::Ended(Status::Retrying) => "failed",
            Self::Ended(status) => status.as_str(),
            Self::Cancelled => "cancelled",
            Self::Retrying => "retrying",
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
        }
    }
}

/// A chunk with everything that its receipts need.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'b> {
    /// The batch.
    pub record: &'b Record,
    /// The bytes from which the batch's apns-ids are derived.
    pub seed: [u8; 16],
    /// The position of the chunk in the upload.
    pub size: Size,
    /// Its device lines.
    pub lines: &'b str,
    /// The details of single pushes beside their results.
    pub details: &'b [Detail],
    /// Its progress.
    pub progress: &'b Progress,
}

impl Chunk<'_> {
    /// Whether any of its pushes has one of these statuses. Does not need its lines.
    #[must_use]
    pub fn has_any(&self, only: &[String]) -> bool {
        let sets = Sets::of(self);
        let mut words = (0..self.size.pushes).map(|index| sets.status(self, index).0.as_str());
        only.is_empty() || words.any(|word| only.iter().any(|wanted| wanted == word))
    }

    /// Counts its devices on a list. Does not need its lines.
    #[must_use]
    pub fn count(&self, list: DeviceList) -> usize {
        let sets = Sets::of(self);
        let endings = (0..self.size.pushes).filter_map(|index| sets.result_of(self, index));
        endings.filter(|result| list.has(result.verdict)).count()
    }

    /// Counts its pushes that APNs has certainly not accepted. Does not need its lines.
    #[must_use]
    pub fn count_unaccepted(&self) -> usize {
        Sets::of(self).unaccepted(self).len()
    }

    fn position(&self, index: usize) -> u64 {
        u64::from(self.size.first) + u64::try_from(index).unwrap_or(u64::MAX)
    }

    fn detail(&self, index: usize) -> Option<&Detail> {
        self.details.iter().find(|detail| detail.index == index)
    }
}

/// A device that APNs refused, as it is reported to webhooks and audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedDevice {
    /// Its device token.
    pub token: String,
    /// The caller's name for it.
    pub reference: Option<String>,
    /// Since when the token is invalid, if APNs said so.
    pub since: Option<Timestamp>,
    /// APNs' reason.
    pub reason: String,
}

/// Returns a chunk's devices on a list, of the pushes from position `first` to `last`.
#[must_use]
pub fn devices(chunk: &Chunk<'_>, list: DeviceList, first: u64, last: u64) -> Vec<RefusedDevice> {
    let sets = Sets::of(chunk);
    let mut devices = Vec::new();
    for (index, text) in chunk.lines.lines().enumerate() {
        let position = chunk.position(index);
        let result = sets.result_of(chunk, index);
        let Some(result) = result.filter(|result| list.has(result.verdict)) else {
            continue;
        };
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            continue;
        };
        let Ok(token) = DeviceToken::parse(&line.token) else {
            continue;
        };
        if (first..=last).contains(&position) {
            devices.push(RefusedDevice {
                token: token.as_hex().to_owned(),
                reference: line.reference.map(Cow::into_owned),
                since: chunk.detail(index).and_then(|detail| detail.since),
                reason: result.reason.clone().unwrap_or_default(),
            });
        }
    }
    devices
}

/// Returns the device tokens of a chunk whose pushes APNs has certainly not accepted. The batch must have
/// ended.
#[must_use]
pub fn unaccepted(chunk: &Chunk<'_>) -> Vec<String> {
    let unaccepted = Sets::of(chunk).unaccepted(chunk);
    let lines = chunk.lines.lines().enumerate();
    lines
        .filter(|(index, _)| unaccepted.contains(*index))
        .filter_map(|(_, text)| serde_json::from_str::<Line<'_>>(text).ok())
        .filter_map(|line| DeviceToken::parse(&line.token).ok())
        .map(|token| token.as_hex().to_owned())
        .collect()
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    /// The lines.
    pub text: Vec<u8>,
    limit: usize,
    written: usize,
    /// The beginning of the next page, once this one is full.
    next: Option<u64>,
}

impl Page {
    /// Creates a page of up to `limit` lines.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            limit,
            written: 0,
            next: None,
        }
    }

    /// Whether the page is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.next.is_some()
    }

    /// Writes the receipts of a chunk's pushes from position `from` on. `only` filters by status; if it is
    /// empty, it matches every status.
    pub fn add_receipts(&mut self, chunk: &Chunk<'_>, from: u64, only: &[String]) {
        let sets = Sets::of(chunk);
        self.for_each_push(chunk, from, |index, position, line| {
            let (status, result) = sets.status(chunk, index);
            let word = status.as_str();
            if !only.is_empty() && !only.iter().any(|wanted| wanted == word) {
                return None;
            }
            let detail = chunk.detail(index);
            let token = DeviceToken::parse(&line.token).ok();
            let receipt = Receipt {
                index: position,
                reference: line.reference.as_deref(),
                token_hint: token.map(|token| token.hint()).unwrap_or_default(),
                status: word,
                duplicate_of: chunk.progress.duplicate_of(index),
                // A push that is left out is never sent.
                apns_id: (word != Status::Duplicate.as_str())
                    .then(|| apns_id(chunk, line, position).to_string()),
                apns_unique_id: detail.and_then(|detail| detail.unique_id.as_deref()),
                code: result.map_or(0, |result| result.code),
                reason: result.and_then(|result| result.reason.as_deref()),
                verdict: result.map(|result| result.verdict.as_str()),
                gave_up: result.and_then(|result| result.gave_up).map(GaveUp::as_str),
                since: detail
                    .and_then(|detail| detail.since)
                    .map(|since| since.to_string()),
                attempts: result.map_or_else(|| sets.attempts(chunk, index), |result| result.attempts),
            };
            serde_json::to_string(&receipt).ok()
        });
    }

    /// Writes a chunk's devices on a list, from position `from` on.
    pub fn add_devices(&mut self, chunk: &Chunk<'_>, list: DeviceList, from: u64) {
        let sets = Sets::of(chunk);
        self.for_each_push(chunk, from, |index, position, line| {
            let result = sets.result_of(chunk, index)?;
            if !list.has(result.verdict) {
                return None;
            }
            let detail = chunk.detail(index);
            let token = DeviceToken::parse(&line.token).ok()?;
            let device = Refused {
                index: position,
                reference: line.reference.as_deref(),
                token: token.as_hex(),
                since: detail
                    .and_then(|detail| detail.since)
                    .map(|since| since.to_string()),
                reason: result.reason.as_deref(),
            };
            serde_json::to_string(&device).ok()
        });
    }

    /// Ends the page here, unless it is full. The next one begins at this position.
    pub(super) fn stop_at(&mut self, position: u64) {
        self.next.get_or_insert(position);
    }

    /// Writes the last line.
    pub fn end(&mut self, state: State) {
        let last = ReceiptsEnd {
            cursor: self.next.map(|next| next.to_string()),
            more: self.next.is_some(),
            state: state.as_str().into(),
        };
        // Serializing texts and a flag cannot fail.
        let _ = serde_json::to_writer(&mut self.text, &last);
        self.text.push(b'\n');
    }

    fn for_each_push(
        &mut self,
        chunk: &Chunk<'_>,
        from: u64,
        mut render: impl FnMut(usize, u64, &Line<'_>) -> Option<String>,
    ) {
        for (index, text) in chunk.lines.lines().enumerate() {
            let position = chunk.position(index);
            if position < from || self.is_full() {
                continue;
            }
            // Staged lines were parsed before.
            let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
                continue;
            };
            let Some(text) = render(index, position, &line) else {
                continue;
            };
            if self.written == self.limit {
                self.next = Some(position);
                return;
            }
            self.text.extend_from_slice(text.as_bytes());
            self.text.push(b'\n');
            self.written += 1;
        }
    }
}

/// Returns the apns-id that a push was sent with.
fn apns_id(chunk: &Chunk<'_>, line: &Line<'_>, position: u64) -> ApnsId {
    let own = line.apns_id.as_deref().and_then(|text| ApnsId::parse(text).ok());
    own.unwrap_or_else(|| ApnsId::derive(chunk.seed, u32::try_from(position).unwrap_or(u32::MAX)))
}

/// The fields of a device line that are read.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    token: Cow<'l, str>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    apns_id: Option<Cow<'l, str>>,
}

/// A chunk's results and sets, computed once for all its pushes.
struct Sets {
    result_indices: Vec<Option<usize>>,
}

impl Sets {
    fn of(chunk: &Chunk<'_>) -> Self {
        let codes = chunk.progress.result_codes.chars();
        Self {
            result_indices: codes
                .map(|code| {
                    if code == NO_RESULT {
                        None
                    } else {
                        result_index(code)
                    }
                })
                .collect(),
        }
    }

    fn result_of<'b>(&self, chunk: &Chunk<'b>, index: usize) -> Option<&'b FinalResult> {
        let index = self.result_indices.get(index).copied().flatten()?;
        chunk.record.final_results.get(index)
    }

    fn status<'b>(&self, chunk: &Chunk<'b>, index: usize) -> (PushStatus, Option<&'b FinalResult>) {
        if let Some(result) = self.result_of(chunk, index) {
            return (PushStatus::Ended(result.status()), Some(result));
        }
        let status = if chunk.progress.in_flight().contains(index) {
            PushStatus::InFlight
        } else if chunk.record.state.has_ended() {
            PushStatus::Cancelled
        } else if chunk.progress.rescheduled().contains(index) {
            PushStatus::Retrying
        } else {
            PushStatus::Waiting
        };
        (status, None)
    }

    /// Returns the pushes that were not sent, or were refused. A push whose runner never reported may have
    /// been accepted.
    fn unaccepted(&self, chunk: &Chunk<'_>) -> BitSet {
        let has_ended = chunk.record.state.has_ended();
        let doubtful = chunk.progress.uncertain.with(chunk.progress.in_flight());
        let is_unaccepted = |index: &usize| {
            let result = self.result_of(chunk, *index);
            result.map_or(has_ended, FinalResult::is_not_accepted)
        };
        let indices: BitSet = (0..chunk.size.pushes).filter(is_unaccepted).collect();
        indices.without(doubtful)
    }

    fn attempts(&self, chunk: &Chunk<'_>, index: usize) -> u8 {
        let retries = chunk.progress.retries.iter().map(|retry| retry.group);
        let claimed = chunk
            .progress
            .claim
            .iter()
            .flat_map(|claim| claim.groups.iter().copied());
        let mut groups = retries.chain(claimed);
        groups
            .find(|group| group.indices.contains(index))
            .map_or(0, |group| group.attempts)
    }
}

#[derive(Serialize)]
struct Receipt<'b> {
    index: u64,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'b str>,
    token_hint: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_unique_id: Option<&'b str>,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gave_up: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    attempts: u8,
}

#[derive(Serialize)]
struct Refused<'b> {
    index: u64,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'b str>,
    token: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'b str>,
}
