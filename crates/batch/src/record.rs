//! The record of a batch: its own row, written when its state changes and not with each chunk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::announcement::Announcement;
use super::results::FinalResult;
use super::run_report::ReportProgress;
use apns::fault::WarningSummary;
use apns::time::Timestamp;

/// The record of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id: 32 hex digits.
    pub id: String,
    /// The app that it sends as.
    pub app: String,
    /// When its upload began. A relative expiration counts from here.
    pub created_at: Timestamp,
    /// When its upload ended without a fault, or when the last scan ended.
    pub sealed_at: Option<Timestamp>,
    /// When the batch ended.
    pub ended_at: Option<Timestamp>,
    /// Its state.
    pub state: State,
    /// Why it is paused, if it is.
    pub paused: Option<Pause>,
    /// APNs' refusal of the credential, until all of the credential's other batches were notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Whether it is deleted as soon as its webhook deliveries have ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_deleting: bool,
    /// The sending options.
    pub terms: Terms,
    /// The number of lines of its upload that were left out as invalid.
    pub invalid: u32,
    /// Warnings about content that devices handle badly.
    #[serde(default, skip_serializing_if = "WarningSummary::is_empty")]
    pub warnings: WarningSummary,
    /// Whether it continues however many tokens are refused, because a caller resumed it after such a pause.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignores_bad_tokens: bool,
    /// The distinct results of its pushes, in the order of their first occurrence. Chunks refer to them by
    /// number.
    pub final_results: Vec<FinalResult>,
    /// When the scheduler requested the newest control that was applied.
    #[serde(default, skip_serializing_if = "is_never")]
    pub controlled_at: Timestamp,
    /// The campaign run that it belongs to; `None` if a caller uploaded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
    /// Why scans were stopped before they had reached all their devices, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<CutOff>,
    /// The fault of the campaign, if it could not be read any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off_detail: Option<String>,
    /// The reports that its campaign and audience have of its end.
    #[serde(default, skip_serializing_if = "ReportProgress::is_nothing")]
    pub run_report: ReportProgress,
    /// The webhook deliveries that exist.
    #[serde(default, skip_serializing_if = "Announcement::is_nothing")]
    pub announcement: Announcement,
}

impl Record {
    /// Returns a sentence about why devices were left out. Returns `None` if none were.
    #[must_use]
    pub fn cut_off_text(&self) -> Option<String> {
        let why = match self.cut_off? {
            CutOff::Full => "the batch has no room for more",
            CutOff::Expired => "the time in which it may be sent is over",
            CutOff::Unreadable => {
                let detail = self.cut_off_detail.as_deref().unwrap_or_default();
                return Some(format!(
                    "devices were left out: the campaign can no longer be read: {detail}"
                ));
            }
        };
        Some(format!("devices were left out: {why}"))
    }
}

/// The campaign run that a batch belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    /// The campaign's id.
    pub campaign: String,
    /// When the run was due. Campaign and due time identify the run.
    pub at: Timestamp,
    /// The audience whose shards are scanned.
    pub audience: AudienceRef,
    /// When the batch was opened. No answer of APNs is older; the run may have been due before.
    #[serde(default)]
    pub opened_at: Timestamp,
}

/// A reference to an audience that cannot be confused with an earlier one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceRef {
    /// Its name.
    pub name: String,
    /// When it was created, which distinguishes it from an earlier audience of the same name.
    pub created_at: Timestamp,
    /// The number of its shards.
    pub shards: u32,
}

/// Why a run left out devices that its scans had not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// The batch reached its size limit.
    Full,
    /// The time for sending was over.
    Expired,
    /// The campaign could not be read any more.
    Unreadable,
}

impl CutOff {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The state of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its upload has not ended.
    Staging,
    /// It is being sent.
    Running,
    /// It is paused until a caller resumes it.
    Paused,
    /// It is cancelled, and pushes are still in flight.
    Cancelling,
    /// It was cancelled, and no push is in flight.
    Cancelled,
    /// Every push has a final result.
    Done,
}

impl State {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Whether the state is final.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Cancelled | Self::Done)
    }
}

/// Why a batch is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who or what paused it.
    pub by: PausedBy,
    /// What to check.
    pub detail: String,
}

/// APNs' refusal of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// APNs' reason.
    pub reason: String,
    /// The credential's batches that were not notified yet; `None` if all must still be notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<Vec<String>>,
}

/// Who or what paused a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// A caller paused it.
    Caller,
    /// APNs refused the credential.
    Credential,
    /// APNs refused too many device tokens: the app's environment or topic is probably wrong.
    BadDeviceTokens,
    /// A chunk cannot be sent with the deployment's current settings.
    Problem,
}

impl PausedBy {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Credential => "credential",
            Self::BadDeviceTokens => "bad_device_tokens",
            Self::Problem => "problem",
        }
    }
}

/// How a batch is sent: the caller's options and the deployment's settings at the time of sealing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The maximum number of pushes per second.
    pub rate: Option<u32>,
    /// Its weight for the credential's permits relative to other batches.
    pub weight: u32,
    /// How long a push is retried, in milliseconds.
    pub retry_for_ms: u64,
    /// When the notification expires.
    pub expires_at: Option<Timestamp>,
    /// Whether a push that is sent twice takes effect once. If not, it is sent at most once: if it is unknown
    /// whether it was sent, its result is `unknown`.
    pub repeatable: bool,
    /// Whether each push has one attempt: it is sent again only within seconds, and only if APNs cannot have
    /// accepted it.
    pub one_attempt: bool,
    /// Whether we set the collapse ids.
    pub collapse_repeats: bool,
    /// The percentage of answers that may be refusals about token or topic.
    pub bad_token_percent: u32,
    /// How long a runner may keep a chunk before its claim expires, in milliseconds.
    pub claim_ms: u64,
    /// How long the batch is kept after its end, in milliseconds.
    pub keep_ms: u64,
    /// The URL that is notified of the end.
    pub webhook: Option<String>,
    /// The sending windows, each from its first moment until its second. Empty means at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<(Timestamp, Timestamp)>,
}

#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")
)]
const fn is_never(moment: &Timestamp) -> bool {
    moment.as_millis() == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Terms {
    /// Returns when a runner must stop sending pushes that are claimed now. This is the end of the window, the
    /// expiration of the notification, or the moment at which pushes with one attempt are too late.
    ///
    /// `turn_at` is when they were first claimed.
    #[must_use]
    pub fn launch_until(&self, turn_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let late_at = self.one_attempt.then(|| self.retries_end(turn_at));
        let ends = [self.closes_at(now), self.expires_at, late_at];
        ends.into_iter().flatten().min()
    }

    /// Returns when the retries of a push end that first failed at `first_at`.
    #[must_use]
    pub fn retries_end(&self, first_at: Timestamp) -> Timestamp {
        let budget = first_at + Duration::from_millis(self.retry_for_ms);
        self.ends_at().map_or(budget, |ends_at| ends_at.min(budget))
    }
}
