//! What the scheduler keeps of an audience and of a campaign.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, Window};
use apns::fault::WarningSummary;
use apns::time::Timestamp;
use batch::AudienceRef;

/// A set of devices of one app; the devices themselves are in its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Its name.
    pub name: String,
    /// The app whose devices they are.
    pub app: String,
    /// How many objects keep them; it never changes.
    pub shards: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether its devices are being removed, and it after them: no campaign is taken for it any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_leaving: bool,
}

impl Audience {
    /// What its shards are asked with.
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
    /// Its id: 32 hex digits.
    pub id: String,
    /// The app that it sends as, which is its audience's.
    pub app: String,
    /// The name of its audience.
    pub audience: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: State,
    /// What people call it.
    pub name: String,
    /// When it is due; nothing for a draft that does not know yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The part of each day in which it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What the caller wrote, checked, as JSON text. Empty in lists, and in the campaign's row: it has a row of its own.
    ///
    /// A tree of it could take fifty times as much memory as the text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// The hash of the body that made it: a repeated request is recognised by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What is sent although devices treat it badly.
    #[serde(default, skip_serializing_if = "WarningSummary::is_empty")]
    pub warnings: WarningSummary,
    /// When it is next due, if it is. The scheduler's own, as is all that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// How many runs it has had, with those that were missed.
    #[serde(default)]
    pub runs: u64,
    /// What was due up to then has its run.
    #[serde(default)]
    pub seen: Timestamp,
}

/// How a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is written, and not to be sent yet.
    Draft,
    /// It will be due.
    Scheduled,
    /// A run is under way.
    Running,
    /// Nothing of it is sent until somebody says so, and what is due meanwhile is missed.
    Paused,
    /// It will not be due again, and no run is under way.
    Done,
    /// Somebody ended it.
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

    /// Whether nothing of it will be sent any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

impl Campaign {
    /// Has it due from `now` on; says whether it ever is.
    ///
    /// What is due once may have been due already, within the grace. On the devices' clocks the zones where its time has
    /// passed by more have their runs recorded as missed. A campaign that has had runs does not go back.
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

    /// The campaign as it is listed: without its document and its warnings.
    pub(super) fn listed(&self) -> Self {
        Self {
            warnings: WarningSummary::default(),
            ..self.summary()
        }
    }

    /// The campaign without its document.
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

    /// Nothing up to `until` is to be made a run of any more.
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
