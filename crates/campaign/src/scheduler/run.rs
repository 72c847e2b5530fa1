//! One run of a campaign: what is sent for one occurrence of its schedule.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use apns::time::Timestamp;
use batch::{BatchControl, LeftOut, RunCounts};

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The campaign's id.
    pub campaign: String,
    /// When it was due.
    pub at: Timestamp,
    /// The zones of the devices, with `""` for devices without one. `None` if it is for all devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// The id of its batch, which exists once the run was started.
    pub batch: String,
    /// The state.
    pub state: RunState,
    /// When its start was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The reason for the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The number of its pushes, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u64>,
    /// Their results by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RunCounts>,
    /// The number of devices that it left out, once it has ended. Until then its batch knows.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// For a missed run in the devices' own time: the number of devices that it would have had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Whether those devices must still be counted. If there are none, the run is deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) uncounted: bool,
    /// The control that its batch should have received last.
    #[serde(default)]
    pub(super) wanted: BatchControl,
    /// When that control was requested. A later request has a later moment, so that a batch can tell which
    /// of two controls is the newer one.
    #[serde(default)]
    pub(super) wanted_at: Timestamp,
    /// Whether the batch still needs to receive that control.
    #[serde(default)]
    pub(super) needs_sync: bool,
    /// The retry state of its task.
    #[serde(default)]
    pub(super) retry: RetryState,
    /// Until when an attempted start may still open the batch. `None` if none was attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_until: Option<Timestamp>,
    /// The number of attempted starts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) starts: u32,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its batch and its scans are being started.
    Starting,
    /// It is being sent.
    Running,
    /// It is paused with its campaign.
    Paused,
    /// It was sent completely.
    Done,
    /// It was cancelled before it was sent completely.
    Cancelled,
    /// It was not started in time.
    Missed,
    /// It could not be started.
    Failed,
}

/// The retry state of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RetryState {
    /// When the next attempt is due.
    pub(super) next_at: Timestamp,
    /// The number of failures.
    #[serde(default)]
    pub(super) failures: u32,
    /// When it failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
}

impl RunState {
    /// Returns the state's name in the HTTP API.
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

impl Run {
    /// Whether its batch has newer counts than the scheduler: it was started, and has not reported its end.
    #[must_use]
    pub const fn is_known_to_its_batch(&self) -> bool {
        self.started_at.is_some() && self.counts.is_none()
    }

    /// Creates a run that can be started from `now` on.
    pub(super) fn starting(
        campaign: &str,
        at: Timestamp,
        zones: Option<Vec<String>>,
        now: Timestamp,
    ) -> Self {
        Self {
            campaign: campaign.to_owned(),
            at,
            zones,
            batch: batch_id(campaign, at),
            state: RunState::Starting,
            started_at: None,
            ended_at: None,
            detail: None,
            pushes: None,
            counts: None,
            left_out: LeftOut::default(),
            devices: None,
            uncounted: false,
            wanted: BatchControl::Resume,
            wanted_at: Timestamp::default(),
            needs_sync: false,
            retry: RetryState::from(now),
            start_until: None,
            starts: 0,
        }
    }

    /// Creates a run that was missed.
    pub(super) fn missed(campaign: &str, at: Timestamp, zones: Option<Vec<String>>, detail: String) -> Self {
        Self {
            state: RunState::Missed,
            detail: Some(detail),
            uncounted: zones.is_some(),
            ..Self::starting(campaign, at, zones, at)
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(
            self.state,
            RunState::Starting | RunState::Running | RunState::Paused
        )
    }

    /// Whether it was cancelled but may still send pushes: its batch has not reported its end, or an
    /// attempted start may still open the batch.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        let may_have_batch = self.needs_sync || self.started_at.is_some();
        matches!(self.state, RunState::Cancelled) && self.counts.is_none() && may_have_batch
    }

    /// Whether it has, or may get, a task.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_under_way() || self.needs_sync || self.uncounted
    }

    /// Returns the run without its zones.
    pub(super) fn without_zones(&self) -> Self {
        Self {
            zones: None,
            ..self.clone()
        }
    }

    /// The number of its zones.
    pub(super) fn zone_count(&self) -> usize {
        self.zones.as_ref().map_or(0, Vec::len)
    }

    /// Requests a control of its batch.
    pub(super) fn want(&mut self, control: BatchControl, now: Timestamp) {
        self.wanted = control;
        self.wanted_at = now.max(self.wanted_at + Duration::from_millis(1));
        self.needs_sync = true;
        self.retry = RetryState::from(now);
    }
}

impl RetryState {
    /// Creates the state of a task that was not attempted yet.
    pub(super) const fn from(now: Timestamp) -> Self {
        Self {
            next_at: now,
            failures: 0,
            failing_since: None,
        }
    }
}

/// Returns the id of a run's batch, which is derived from campaign and moment.
#[must_use]
pub fn batch_id(campaign: &str, at: Timestamp) -> String {
    let mut hash = Sha256::new();
    for part in ["apns-edge run", campaign, &at.as_millis().to_string()] {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest
        .iter()
        .take(ID_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The length of a batch's id in bytes.
const ID_BYTES: usize = 16;
