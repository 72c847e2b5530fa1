//! Stand-ins for what other modules bring: schedules, windows, segments, and the calendar's campaigns and runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{self, Faults, Pointer};
use crate::time::Timestamp;

/// When a campaign is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule(Value);

impl Schedule {
    /// Reads the schedule in `value`, which is found at `at`.
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        fault::open_object(value, at, faults).map(|_| Self(value.clone()))
    }

    /// The first occurrence after a moment.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let millis = self.0.get("millis").and_then(Value::as_u64)?;
        Some(Timestamp::from_millis(millis)).filter(|at| *at > after)
    }
}

/// The hours within which a campaign is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window(Value);

impl Window {
    /// Reads the window in `value`, which is found at `at`.
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        fault::open_object(value, at, faults).map(|_| Self(value.clone()))
    }
}

/// A filter over the devices of an audience.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment(Value);

impl Segment {
    /// Reads the segment in `value`, which is found at `at`.
    pub(super) fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        fault::open_object(value, at, faults).map(|_| Self(value.clone()))
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Its id: 32 hex digits.
    pub id: String,
    /// The app that it sends as.
    pub app: String,
    /// The audience that it sends to.
    pub audience: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: State,
    /// When it is sent.
    pub schedule: Option<Schedule>,
    /// Within which hours.
    pub window: Option<Window>,
    /// As its caller wrote it.
    pub document: Value,
}

/// How a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not to be sent yet.
    Draft,
    /// It waits for its next occurrence.
    Scheduled,
    /// A run is under way.
    Running,
    /// It starts no run until somebody says so.
    Paused,
    /// No occurrence is left.
    Done,
    /// It is not sent any more.
    Cancelled,
}

impl State {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One occurrence of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The campaign's id.
    pub campaign: String,
    /// When it was due.
    pub at: Timestamp,
    /// The time zones whose devices it is for; none for all devices.
    pub zones: Option<Vec<String>>,
    /// The id of its batch.
    pub batch: String,
    /// How it stands.
    pub state: RunState,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it was missed or failed.
    pub detail: Option<String>,
    /// How many pushes it had, once it has ended.
    pub pushes: Option<u64>,
    /// What became of them, once it has ended.
    pub counts: Option<Counts>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its batch is opened.
    Starting,
    /// It is sent.
    Running,
    /// Its batch is paused.
    Paused,
    /// All of it was sent.
    Done,
    /// Its batch was cancelled.
    Cancelled,
    /// It was due for too long.
    Missed,
    /// It could not be started.
    Failed,
}

impl RunState {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// What became of the pushes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Accepted by APNs.
    pub accepted: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Given up.
    pub failed: u64,
    /// Not sent, since the batch was cancelled.
    pub cancelled: u64,
    /// Of those refused, to devices that are gone.
    pub gone: u64,
}
