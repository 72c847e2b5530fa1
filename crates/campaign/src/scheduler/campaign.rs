//! The scheduler's record of an audience and of a campaign.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, Window};
use apns::fault::WarningSummary;
use apns::time::Timestamp;
use batch::AudienceRef;

/// A set of devices of one app. The devices themselves are in its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Its name.
    pub name: String,
    /// The app that the devices belong to.
    pub app: String,
    /// The number of shards. It never changes.
    pub shards: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it is being deleted, after its devices. No campaign can be added for it any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_deleting: bool,
}

impl Audience {
    /// Returns the reference that requests to its shards carry.
    #[must_use]
    pub fn reference(&self) -> AudienceRef {
        AudienceRef {
            name: self.name.clone(),
            created_at: self.created_at,
            shards: self.shards,
        }
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// The id: 32 hex digits.
    pub id: String,
    /// The app that sends it: the app of its audience.
    pub app: String,
    /// The name of the audience.
    pub audience: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The state.
    pub state: State,
    /// A name for people.
    pub name: String,
    /// When it is due. `None` for a draft without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The window of each day in which it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The validated document of the caller, as JSON text. Empty in lists and in the campaign's row, because
    /// it has a row of its own.
    ///
    /// As a JSON tree it could take fifty times as much memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// The hash of the body that created it, by which a repeated request is recognized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The warnings about what it sends.
    #[serde(default, skip_serializing_if = "WarningSummary::is_empty")]
    pub warnings: WarningSummary,
    /// When it is next due, if ever. This and all following fields belong to the scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The number of its runs, including missed ones.
    #[serde(default)]
    pub runs: u64,
    /// Every occurrence up to this moment has its run.
    #[serde(default)]
    pub seen: Timestamp,
}

/// The state of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not scheduled yet.
    Draft,
    /// Has a future occurrence.
    Scheduled,
    /// A run is in progress.
    Running,
    /// Sends nothing until it is resumed. Occurrences in the meantime are missed.
    Paused,
    /// Has no future occurrence, and no run in progress.
    Done,
    /// Was cancelled.
    Cancelled,
}

impl State {
    /// Returns the state's name in the HTTP API.
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

    /// Whether it will never send again.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

impl Campaign {
    /// Makes it due from `now` on. Returns whether it ever is.
    ///
    /// A single time may be in the past by up to the grace. In the devices' own time, the zones in which it
    /// is further in the past get missed runs. A campaign that has had runs starts at `now`.
    pub(super) fn begin(&mut self, grace: Duration, now: Timestamp) -> bool {
        self.schedule = self.schedule.as_ref().map(|schedule| schedule.begun(now));
        let is_once = self.schedule.as_ref().is_some_and(Schedule::is_once);
        if is_once && self.runs == 0 {
            self.seen = Timestamp::default();
            self.next_at = None;
            let schedule = self.schedule.as_ref();
            let first = schedule.and_then(|schedule| schedule.first(grace, now));
            if first.is_some() {
                self.see(Timestamp::default());
            }
        } else {
            self.see(now);
        }
        self.next_at.is_some()
    }

    /// Returns the campaign as it is listed: without its document and its warnings.
    pub(super) fn listed(&self) -> Self {
        Self {
            warnings: WarningSummary::default(),
            ..self.summary()
        }
    }

    /// Returns the campaign without its document.
    #[must_use]
    pub fn summary(&self) -> Self {
        Self {
            id: self.id.clone(),
            app: self.app.clone(),
            audience: self.audience.clone(),
            created_at: self.created_at,
            state: self.state,
            name: self.name.clone(),
            schedule: self.schedule.clone(),
            window: self.window.clone(),
            document: String::new(),
            warnings: self.warnings.clone(),
            fingerprint: self.fingerprint.clone(),
            next_at: self.next_at,
            runs: self.runs,
            seen: self.seen,
        }
    }

    /// Marks all occurrences up to `until` as handled.
    pub(super) fn see(&mut self, until: Timestamp) {
        self.seen = self.seen.max(until);
        self.next_at = self
            .schedule
            .as_ref()
            .and_then(|schedule| schedule.next(self.seen));
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
