//! One run of a campaign: what is sent at one moment at which it was due.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use apns::time::Timestamp;
use batch::{LeftOut, RunCounts};

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its campaign's id.
    pub campaign: String,
    /// When it was due.
    pub at: Timestamp,
    /// The zones whose devices it is for, with `""` for devices without one; nothing if it is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// The id of its batch, which there is once it was started.
    pub batch: String,
    /// How it stands.
    pub state: RunState,
    /// When it had been started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How many pushes it had, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u64>,
    /// What became of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RunCounts>,
    /// How many devices it has left out, once it has ended; until then its batch knows.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// How many devices a run on the devices' clocks would have had that was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Whether those devices are still to be counted. If there are none, it is as if the run had never been due.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) uncounted: bool,
    /// What its batch is to do.
    #[serde(default)]
    pub(super) wanted: BatchControl,
    /// Whether the batch still needs to receive that control.
    #[serde(default)]
    pub(super) needs_sync: bool,
    /// The attempts of its task.
    #[serde(default)]
    pub(super) retry: RetryState,
    /// Until when a start that was attempted may still open the batch; nothing if none was attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_until: Option<Timestamp>,
    /// How many starts were attempted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) starts: u32,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its batch and its scans are being started.
    Starting,
    /// It is sent.
    Running,
    /// It is not sent while its campaign is paused.
    Paused,
    /// All of it was sent.
    Done,
    /// It was ended before all of it was sent.
    Cancelled,
    /// It was not started, as its time had passed.
    Missed,
    /// It could not be started.
    Failed,
}

/// A control of a batch: the state that its campaign wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchControl {
    /// Sends nothing until it is resumed.
    Pause,
    /// Sends.
    #[default]
    Resume,
    /// Sends nothing any more.
    Cancel,
}

/// The attempts of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RetryState {
    /// When it is to be done, or done again.
    pub(super) next_at: Timestamp,
    /// How often it has failed.
    #[serde(default)]
    pub(super) failures: u32,
    /// When it first had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
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

impl Run {
    /// Whether its batch knows more of it than the scheduler: it was started, and has not reported its end.
    #[must_use]
    pub const fn is_known_to_its_batch(&self) -> bool {
        self.started_at.is_some() && self.counts.is_none()
    }

    /// A run that is to be started from `now` on.
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
            needs_sync: false,
            retry: RetryState::from(now),
            start_until: None,
            starts: 0,
        }
    }

    /// A run that is not to be started.
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

    /// Whether it was cancelled, and pushes of it may go out nevertheless: nobody knows what has become of its batch, or a
    /// start that was under way may still open it.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        let may_have_batch = self.needs_sync || self.started_at.is_some();
        matches!(self.state, RunState::Cancelled) && self.counts.is_none() && may_have_batch
    }

    /// Whether there is, or may yet be, something to do for it.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_under_way() || self.needs_sync || self.uncounted
    }

    /// The run without the names of its zones.
    pub(super) fn without_zones(&self) -> Self {
        Self {
            zones: None,
            ..self.clone()
        }
    }

    /// How many names of zones it has.
    pub(super) fn zone_count(&self) -> usize {
        self.zones.as_ref().map_or(0, Vec::len)
    }

    /// Sends this control to its batch.
    pub(super) fn want(&mut self, control: BatchControl, now: Timestamp) {
        self.wanted = control;
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

/// The id of the batch of a run: the same run makes the same batch.
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

/// Bytes of a batch's id.
const ID_BYTES: usize = 16;
