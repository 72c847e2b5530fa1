//! `/v1/batches`: a durable batch, and the lists of batches.

use serde::{Deserialize, Serialize};

use crate::word::words;
use crate::{InvalidKind, InvalidLine, LeftOut, Warnings};

/// The status of a batch: the answer to its upload and to `GET /v1/batches/{id}`, and the data of each progress event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The batch's id: 32 hex digits.
    pub id: String,
    /// The app that it sends as.
    #[serde(default)]
    pub app: String,
    /// The batch's state.
    pub state: BatchState,
    /// Whether it is deleted as soon as its webhook has got its deliveries. Absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// When the upload began.
    #[serde(default)]
    pub created_at: String,
    /// When the upload was complete. Absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_at: Option<String>,
    /// When the batch ended. Absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How its pushes are sent now: `fetch` or `socket`. Absent if the app is no longer configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// How many pushes it has.
    pub pushes: u64,
    /// How many chunks its pushes are stored in.
    #[serde(default)]
    pub chunks: u64,
    /// How many lines or devices were left out because no push can be made for them.
    #[serde(default)]
    pub invalid: u64,
    /// Of a campaign's run, whom it has left out. Absent if nobody.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// The warnings about what it sends.
    #[serde(flatten)]
    pub warnings: Warnings,
    /// Why a campaign's run ended before all devices were reached, in a word. Absent if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<String>,
    /// The same in a sentence, if more is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off_detail: Option<String>,
    /// The number of pushes with each status.
    pub counts: BatchCounts,
    /// The results of pushes that were not accepted, the same ones summed up.
    #[serde(default)]
    pub reasons: Vec<ResultCount>,
    /// Present if so many device tokens were rejected that the environment or the topic is likely wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspect>,
    /// How fast it is sent now, in pushes per second.
    #[serde(default)]
    pub rate: u64,
    /// In how many seconds it is done at this rate. Absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
    /// When its window opens. Absent if it has no window or the window is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    /// Who has paused it and why. Absent unless it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The options that it is sent with.
    #[serde(default)]
    pub options: BatchOptions,
    /// The lines that were left out, at most 100. In the answer to an upload with such lines alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_lines: Vec<InvalidLine>,
    /// What is wrong with all such lines, in sum. In the answer to an upload with such lines alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_kinds: Vec<InvalidKind>,
}

words! {
    /// The state of a batch.
    BatchState {
        /// It is being uploaded.
        Staging = "staging",
        /// It is being sent.
        Running = "running",
        /// It sends nothing until it is resumed.
        Paused = "paused",
        /// It sends nothing more and waits for the results of what is in flight.
        Cancelling = "cancelling",
        /// It ended before all was sent.
        Cancelled = "cancelled",
        /// All is sent.
        Done = "done",
    }
}

/// How many pushes of a batch have each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchCounts {
    /// APNs accepted them.
    pub accepted: u64,
    /// APNs rejected them for good.
    pub rejected: u64,
    /// They were given up, or nobody knows whether they arrived.
    pub failed: u64,
    /// They were left out because an earlier line has the same device and content.
    pub duplicate: u64,
    /// The batch was cancelled before they were sent.
    pub cancelled: u64,
    /// They wait for another attempt.
    pub retrying: u64,
    /// They are being sent.
    pub in_flight: u64,
    /// They were not tried yet.
    pub waiting: u64,
    /// Of `rejected`, those whose device is gone (410).
    pub gone: u64,
}

/// Pushes of a batch that ended in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultCount {
    /// The status, such as `rejected`.
    pub status: String,
    /// The HTTP status of APNs; 0 if it did not answer.
    #[serde(default)]
    pub code: u16,
    /// The reason of APNs or of the server. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it, such as `drop_device`.
    #[serde(default)]
    pub verdict: String,
    /// Why no further attempt is made although one could succeed. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<String>,
    /// How many attempts were made.
    #[serde(default)]
    pub attempts: u8,
    /// How many pushes ended so.
    pub count: u64,
}

/// Why a batch was likely sent with the wrong environment or topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The most frequent reason, such as `BadDeviceToken`.
    pub reason: String,
    /// How many pushes were rejected with it.
    pub count: u64,
}

/// Who has paused a batch, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who: `caller`, `credential`, or another part of the server.
    pub by: String,
    /// Why, in a sentence.
    #[serde(default)]
    pub detail: String,
}

/// The options of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// The highest rate in pushes per second. Absent if there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Its share of the app's capacity, relative to other batches.
    pub weight: u32,
    /// How long a push is tried again, in seconds.
    pub retry_for_s: u64,
    /// Whether the server gives each push a collapse id, so that repeated pushes merge on the device.
    pub collapse_repeats: bool,
    /// Where its progress is reported. Absent if nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// The answer to `GET /v1/batches`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batches {
    /// The batches, newest first.
    pub batches: Vec<BatchSummary>,
    /// Where the next page begins. `null` if there is none.
    pub cursor: Option<String>,
}

/// A batch in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// The batch's id.
    pub id: String,
    /// The app that it sends as.
    pub app: String,
    /// The batch's state.
    pub state: BatchState,
    /// When the upload began.
    pub created_at: String,
    /// When the batch ended. Absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How many pushes it has.
    #[serde(default)]
    pub pushes: u64,
    /// The state of its webhook. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// The last line of a page of receipts or of rejected devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptsEnd {
    /// Where the next page begins. `null` if there is none.
    pub cursor: Option<String>,
    /// Whether there is a next page.
    pub more: bool,
    /// The batch's state.
    pub state: BatchState,
}
