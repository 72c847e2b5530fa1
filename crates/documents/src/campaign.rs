//! `/v1/campaigns`: the runs of a campaign.
//!
//! The document of a campaign is what its caller wrote, after the server's own fields. It is therefore not a type.

use serde::{Deserialize, Serialize};

use crate::LeftOut;
use crate::word::words;

/// The answer to `GET /v1/campaigns/{id}/runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The runs, newest first.
    pub runs: Vec<Run>,
    /// Where the next page begins. `null` if there is none.
    pub cursor: Option<String>,
}

/// A run of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it was due.
    pub scheduled_at: String,
    /// The run's state.
    pub state: RunState,
    /// When it was started. Absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended. Absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The id of its batch. Absent if it was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Why it could not be started. Absent if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The time zones whose devices it is for; the empty one stands for none. Absent if it is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zones: Option<Vec<String>>,
    /// How many devices were scanned. Absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// How many pushes its batch has. Absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u64>,
    /// The results of its pushes. Absent before it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RunCounts>,
    /// Whom it has left out. Absent if nobody.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
}

words! {
    /// The state of a run.
    RunState {
        /// Its batch is being created.
        Starting = "starting",
        /// It is being sent.
        Running = "running",
        /// It is paused until it is resumed.
        Paused = "paused",
        /// Everything was sent.
        Done = "done",
        /// It was cancelled before everything was sent.
        Cancelled = "cancelled",
        /// It was not started in time.
        Missed = "missed",
        /// It could not be started.
        Failed = "failed",
    }
}

/// The results of a run's pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCounts {
    /// APNs accepted them.
    pub accepted: u64,
    /// APNs rejected them for good.
    pub rejected: u64,
    /// They were given up, or nobody knows whether they arrived.
    pub failed: u64,
    /// The run was cancelled before they were sent.
    pub cancelled: u64,
    /// Of `rejected`, those whose device is gone (410).
    pub gone: u64,
}
