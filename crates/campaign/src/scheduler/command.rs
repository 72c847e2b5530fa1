//! What the scheduler is asked, and what it answers.
//!
//! JSON text between versions of the Worker that may differ for the minutes of a deployment: a field that is added needs
//! a default.

use serde::{Deserialize, Serialize};

use super::{Audience, Campaign, Run, State};
use apns::time::Timestamp;
use batch::RunReport;

/// What the scheduler is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make this audience: [`Reply::Created`]; if it is there alike [`Reply::Audience`], else, or if it is leaving,
    /// [`Reply::Conflict`]; or [`Reply::Full`].
    PutAudience(Audience),
    /// [`Reply::Audience`] or [`Reply::Missing`].
    Audience {
        /// Its name.
        name: String,
    },
    /// [`Reply::Audiences`].
    Audiences,
    /// Take no campaign for an audience any more, as its devices are to be removed: [`Reply::Audience`], [`Reply::InUse`] or
    /// [`Reply::Missing`].
    LeaveAudience {
        /// Its name.
        name: String,
    },
    /// Forget an audience: [`Reply::Audience`] as it was, [`Reply::InUse`] or [`Reply::Missing`].
    DropAudience {
        /// Its name.
        name: String,
    },
    /// Make this campaign, a draft or a scheduled one: [`Reply::Campaign`], [`Reply::Full`], [`Reply::TooMuch`],
    /// [`Reply::NoAudience`], [`Reply::NeverDue`]. If one of this id is there it is answered as it is if the request is a
    /// repeated one; else [`Reply::Taken`].
    Create(Box<Campaign>),
    /// Put this campaign in the place of the one of its id, which is a draft, scheduled or paused: [`Reply::Campaign`],
    /// [`Reply::State`], [`Reply::Starting`], [`Reply::TooMuch`], [`Reply::NoAudience`], [`Reply::NeverDue`] or
    /// [`Reply::Missing`].
    Replace(Box<Campaign>),
    /// [`Reply::Campaign`] or [`Reply::Missing`].
    Read {
        /// The campaign.
        id: String,
    },
    /// The campaigns that match, the newest first and without their documents: [`Reply::Campaigns`].
    List {
        /// Of these apps alone; of all if there is nothing here.
        #[serde(default)]
        apps: Option<Vec<String>>,
        /// In this state.
        #[serde(default)]
        state: Option<State>,
    },
    /// Forget a campaign that is a draft or has ended, with its runs: [`Reply::Done`], [`Reply::State`] or
    /// [`Reply::Missing`].
    Delete {
        /// The campaign.
        id: String,
    },
    /// [`Reply::Campaign`], [`Reply::State`], [`Reply::NeverDue`] or [`Reply::Missing`].
    ChangeState {
        /// The campaign.
        id: String,
        /// The action.
        action: CampaignAction,
    },
    /// The runs of a campaign, the newest first: [`Reply::Runs`] or [`Reply::Missing`].
    Runs {
        /// The campaign.
        id: String,
        /// Those that were due before then.
        before: Option<Timestamp>,
        /// The most of them.
        limit: u32,
    },
    /// The cancelled runs of a campaign of which pushes may still go out, the oldest first: [`Reply::Runs`], whose cursor says
    /// that there are more, or [`Reply::Missing`].
    Stopping {
        /// The campaign.
        id: String,
        /// The most of them.
        limit: u32,
    },
    /// The batch of a run has ended: [`Reply::Done`], also if it is reported again.
    RunEnded(Box<RunReport>),
    /// How many campaigns there are: [`Reply::Counted`].
    Count,
}

impl Command {
    /// Whether a caller changes audiences or campaigns with it.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        match self {
            Self::PutAudience(_)
            | Self::LeaveAudience { .. }
            | Self::DropAudience { .. }
            | Self::Create(_)
            | Self::Replace(_)
            | Self::Delete { .. }
            | Self::ChangeState { .. } => true,
            Self::Audience { .. }
            | Self::Audiences
            | Self::Read { .. }
            | Self::List { .. }
            | Self::Runs { .. }
            | Self::Stopping { .. }
            | Self::RunEnded(_)
            | Self::Count => false,
        }
    }
}

/// An action on a campaign. An action that changes nothing is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignAction {
    /// Schedules a draft.
    Schedule,
    /// Stops sending until the campaign is resumed.
    Pause,
    /// Sends again.
    Resume,
    /// Stops sending for good.
    Cancel,
}

/// What the scheduler answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// There is no such audience or campaign.
    Missing,
    /// The audience, which was made.
    Created(Audience),
    /// The audience.
    Audience(Audience),
    /// The audience that has the name, with another app or other shards, or which is leaving.
    Conflict(Audience),
    /// All audiences, in the order of their names.
    Audiences(Vec<Audience>),
    /// The audience stays: these campaigns have not ended.
    InUse {
        /// Their ids.
        campaigns: Vec<String>,
    },
    /// There are as many as there may be.
    Full {
        /// Whose limit it is.
        scope: Scope,
        /// How many.
        limit: usize,
    },
    /// The campaigns would be longer together than they may be.
    TooMuch {
        /// Whose limit it is.
        scope: Scope,
        /// How many bytes they may have.
        limit: usize,
    },
    /// There is no such audience for a campaign.
    NoAudience,
    /// Another campaign has this id.
    Taken,
    /// A run of the campaign is being started.
    Starting,
    /// The campaign has no schedule, or one that does not come any more.
    NeverDue,
    /// The campaign cannot do this as it stands.
    State {
        /// How it stands.
        state: State,
    },
    /// The campaign, as it is now.
    Campaign(Box<Campaign>),
    /// The campaigns.
    Campaigns(Vec<Campaign>),
    /// The runs.
    Runs(Page),
    /// How many campaigns there are, by app and state.
    Counted(Vec<CampaignCount>),
}

/// Whose limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// That of one app.
    App,
    /// That of all apps together.
    Deployment,
}

/// Runs in the order of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The runs, the newest first.
    pub runs: Vec<Run>,
    /// What the listing goes on before, if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
}

/// How many campaigns of an app are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignCount {
    /// The app.
    pub app: String,
    /// The state.
    pub state: State,
    /// How many.
    pub campaigns: u64,
}
