//! The commands of the scheduler, and its replies.
//!
//! They are JSON text. During a deployment, two versions of the Worker exchange them for some minutes, so a
//! field that is added needs a default.

use serde::{Deserialize, Serialize};

use super::{Audience, Campaign, Run, State};
use apns::time::Timestamp;
use batch::RunReport;

/// A command to the scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Creates the audience: [`Reply::Created`]. If an identical one exists: [`Reply::Audience`]. If a
    /// different one has this name, or it is being deleted: [`Reply::Conflict`]. At the limit:
    /// [`Reply::Full`].
    PutAudience(Audience),
    /// Reads an audience: [`Reply::Audience`] or [`Reply::Missing`].
    Audience {
        /// Its name.
        name: String,
    },
    /// Lists all audiences: [`Reply::Audiences`].
    Audiences,
    /// Begins the deletion of an audience. No campaign can be added for it from now on: [`Reply::Audience`],
    /// [`Reply::InUse`] or [`Reply::Missing`].
    DeleteAudience {
        /// Its name.
        name: String,
    },
    /// Deletes an audience whose devices were removed: [`Reply::Audience`] as it was, [`Reply::InUse`] or
    /// [`Reply::Missing`].
    ForgetAudience {
        /// Its name.
        name: String,
    },
    /// Creates a campaign, as a draft or scheduled:
    ///
    /// [`Reply::Campaign`], [`Reply::Full`], [`Reply::TooMuch`], [`Reply::NoAudience`], [`Reply::NeverDue`].
    /// If one with this id exists, a repeated request returns it, and any other gets [`Reply::Taken`].
    Create(Box<Campaign>),
    /// Replaces a campaign that is a draft, scheduled or paused:
    ///
    /// [`Reply::Campaign`], [`Reply::State`], [`Reply::Starting`], [`Reply::TooMuch`], [`Reply::NoAudience`],
    /// [`Reply::NeverDue`] or [`Reply::Missing`].
    Replace(Box<Campaign>),
    /// Reads a campaign: [`Reply::Campaign`] or [`Reply::Missing`].
    Read {
        /// The campaign.
        id: String,
    },
    /// Lists the matching campaigns, the newest first, without their documents: [`Reply::Campaigns`].
    List {
        /// Only campaigns of these apps, or of all apps if `None`.
        #[serde(default)]
        apps: Option<Vec<String>>,
        /// Only campaigns in this state.
        #[serde(default)]
        state: Option<State>,
    },
    /// Deletes a campaign that is a draft or has ended, with its runs: [`Reply::Done`], [`Reply::State`] or
    /// [`Reply::Missing`].
    Delete {
        /// The campaign.
        id: String,
    },
    /// Executes an action: [`Reply::Campaign`], [`Reply::State`], [`Reply::NeverDue`] or [`Reply::Missing`].
    ChangeState {
        /// The campaign.
        id: String,
        /// The action.
        action: CampaignAction,
    },
    /// Lists the runs of a campaign, the newest first: [`Reply::Runs`] or [`Reply::Missing`].
    Runs {
        /// The campaign.
        id: String,
        /// Only runs that were due before this moment.
        before: Option<Timestamp>,
        /// The most runs to return.
        limit: u32,
    },
    /// Lists the cancelled runs of a campaign whose pushes may still be sent, the oldest first:
    /// [`Reply::Runs`], with a cursor if there are more, or [`Reply::Missing`].
    Stopping {
        /// The campaign.
        id: String,
        /// The most runs to return.
        limit: u32,
    },
    /// Reports that the batch of a run has ended: [`Reply::Done`], also if it was reported before.
    RunEnded(Box<RunReport>),
    /// Counts the campaigns: [`Reply::Counted`].
    Count,
}

impl Command {
    /// Whether the command changes audiences or campaigns.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        match self {
            Self::PutAudience(_)
            | Self::DeleteAudience { .. }
            | Self::ForgetAudience { .. }
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

/// An action on a campaign. An action that changes nothing succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignAction {
    /// Schedules a draft.
    Schedule,
    /// Stops sending until the campaign is resumed.
    Pause,
    /// Resumes sending.
    Resume,
    /// Stops sending for good.
    Cancel,
}

/// A reply of the scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The audience or campaign does not exist.
    Missing,
    /// The audience that was created.
    Created(Audience),
    /// The audience.
    Audience(Audience),
    /// The audience that has this name. It has another app or number of shards, or is being deleted.
    Conflict(Audience),
    /// All audiences, sorted by name.
    Audiences(Vec<Audience>),
    /// The audience cannot be deleted, because these campaigns have not ended.
    InUse {
        /// Their ids.
        campaigns: Vec<String>,
    },
    /// The number of audiences or campaigns is at its limit.
    Full {
        /// Whose limit it is.
        scope: Scope,
        /// The limit.
        limit: usize,
    },
    /// The documents of all campaigns would exceed their limit.
    TooMuch {
        /// Whose limit it is.
        scope: Scope,
        /// The limit in bytes.
        limit: usize,
    },
    /// The audience of the campaign does not exist.
    NoAudience,
    /// Another campaign has this id.
    Taken,
    /// A run of the campaign is being started.
    Starting,
    /// The campaign has no schedule, or one without a future occurrence.
    NeverDue,
    /// The state of the campaign does not allow this.
    State {
        /// The state.
        state: State,
    },
    /// The campaign as it is now.
    Campaign(Box<Campaign>),
    /// The campaigns.
    Campaigns(Vec<Campaign>),
    /// The runs.
    Runs(Page),
    /// The number of campaigns, by app and state.
    Counted(Vec<CampaignCount>),
}

/// The scope of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One app.
    App,
    /// All apps together.
    Deployment,
}

/// One page of a list of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The runs, the newest first.
    pub runs: Vec<Run>,
    /// The `before` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
}

/// The number of campaigns of an app in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignCount {
    /// The app.
    pub app: String,
    /// The state.
    pub state: State,
    /// The number of campaigns.
    pub campaigns: u64,
}
