//! What a batch knows of itself: its row, written when its state changes and not with each chunk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::announcement::Announcement;
use super::handover::Handover;
use super::results::Ending;
use apns::fault::WarningSummary;
use apns::time::Timestamp;

/// The row of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id: 32 hex digits.
    pub id: String,
    /// The app that it sends as.
    pub app: String,
    /// When its upload began: what a relative expiration counts from.
    pub created_at: Timestamp,
    /// When its upload had ended without a fault, or the last scan.
    pub sealed_at: Option<Timestamp>,
    /// When nothing was left to do.
    pub ended_at: Option<Timestamp>,
    /// How it stands.
    pub state: State,
    /// Why it is paused, while it is.
    pub paused: Option<Pause>,
    /// That APNs refuses the credential, until all of its other batches have heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Whether it is deleted as soon as its webhook has got its deliveries.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_deleting: bool,
    /// How it is sent.
    pub terms: Terms,
    /// How many lines of its upload were left out.
    pub invalid: u32,
    /// What is sent although devices treat it badly.
    #[serde(default, skip_serializing_if = "WarningSummary::is_empty")]
    pub warnings: WarningSummary,
    /// Whether it goes on however many tokens are refused: somebody has resumed it after such a pause.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignores_bad_tokens: bool,
    /// The ways in which its pushes ended, in the order in which they first did: chunks name them by number.
    pub endings: Vec<Ending>,
    /// The campaign's run that it is; none if a caller has uploaded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Why scans were told to stop before they had gone through all their devices, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<CutOff>,
    /// What is wrong, if the campaign could not be read any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off_detail: Option<String>,
    /// What its campaign and its audience have been told of its end.
    #[serde(default, skip_serializing_if = "Handover::is_nothing")]
    pub handover: Handover,
    /// Which deliveries its webhook has got.
    #[serde(default, skip_serializing_if = "Announcement::is_nothing")]
    pub announcement: Announcement,
}

impl Record {
    /// Why devices were left out, in words, if they were.
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

/// The run of a campaign that a batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The campaign's id.
    pub campaign: String,
    /// When the run was due: with the campaign, its name.
    pub at: Timestamp,
    /// The audience whose shards go through their devices for it.
    pub audience: AudienceRef,
    /// When the batch was opened: no answer of APNs is older. The run may have been due before.
    #[serde(default)]
    pub opened_at: Timestamp,
}

/// An audience, named so that none of the shards mistakes it for an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceRef {
    /// Its name.
    pub name: String,
    /// When it was created, which distinguishes it from an earlier audience of the same name.
    pub created_at: Timestamp,
    /// How many shards it has.
    pub shards: u32,
}

/// Why devices were left out that scans had not come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// There was no room for more.
    Full,
    /// The time was over in which anything is sent.
    Expired,
    /// The campaign could not be read any more.
    Unreadable,
}

impl CutOff {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Unreadable => "unreadable",
        }
    }
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its upload has not ended.
    Staging,
    /// It is sent.
    Running,
    /// It is not sent until somebody says so.
    Paused,
    /// It is not sent any more; what is in flight ends.
    Cancelling,
    /// It was cancelled, and nothing is in flight.
    Cancelled,
    /// Every push has its ending.
    Done,
}

impl State {
    /// The word for it in answers.
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

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Cancelled | Self::Done)
    }
}

/// Why a batch is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: PausedBy,
    /// What to look into.
    pub detail: String,
}

/// That APNs refuses the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// APNs' reason.
    pub reason: String,
    /// The credential's batches that have not heard; none if nobody was told yet, and all are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<Vec<String>>,
}

/// Who paused a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// A caller.
    Caller,
    /// APNs refused the credential.
    Credential,
    /// APNs refused too many device tokens: the app's environment or topic is likely the wrong one.
    BadDeviceTokens,
    /// A chunk cannot be sent as the deployment is now.
    Problem,
}

impl PausedBy {
    /// The word for it in answers.
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

/// How a batch is sent: its caller's options and the deployment's settings, as they were when it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The most pushes a second.
    pub rate: Option<u32>,
    /// Its share of the credential's permits beside other batches.
    pub weight: u32,
    /// How long a push is tried again.
    pub retry_for_ms: u64,
    /// When the notification is of no more use.
    pub expires_at: Option<Timestamp>,
    /// Whether a push takes effect once though it is sent twice. One that does not is sent at most once: if nobody knows
    /// whether it was sent, it ends as unknown.
    pub repeatable: bool,
    /// Whether each push has one attempt: it is sent again only if APNs cannot have taken it, and within seconds.
    pub one_attempt: bool,
    /// Whether the collapse ids are ours.
    pub collapse_repeats: bool,
    /// How many refusals about token or topic are not too many, in percent of the answers.
    pub bad_token_percent: u32,
    /// How long a runner has for a chunk before another may take it, in milliseconds.
    pub claim_ms: u64,
    /// How long the batch is kept when it has ended, in milliseconds.
    pub keep_ms: u64,
    /// Where the end is told.
    pub webhook: Option<String>,
    /// When pushes may go out, each from its first moment up to its second; at any time if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<(Timestamp, Timestamp)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Terms {
    /// When a runner is to send nothing more that gets pushes now, which had their first turn at `turn_at`: at the end of the
    /// window, when the notification expires, or when pushes with one attempt are too late.
    #[must_use]
    pub fn launch_until(&self, turn_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let late_at = self.one_attempt.then(|| self.retries_end(turn_at));
        let ends = [self.closes_at(now), self.expires_at, late_at];
        ends.into_iter().flatten().min()
    }

    /// The moment after which a push is not sent again that came back for the first time at `first_at`.
    #[must_use]
    pub fn retries_end(&self, first_at: Timestamp) -> Timestamp {
        let budget = first_at + Duration::from_millis(self.retry_for_ms);
        self.ends_at().map_or(budget, |ends_at| ends_at.min(budget))
    }
}
