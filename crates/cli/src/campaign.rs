//! `apns-edge campaign`: notifications to the devices of an audience, sent once or on a schedule.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};

use crate::caller::Caller;
use crate::client::{Answer, Method};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::id;
use crate::listing::Listing;
use crate::object::read;
use crate::warning::{self, Place};

mod document;
mod run;
mod trial;
mod watch;

use document::Document;

/// The commands about campaigns.
#[derive(Debug, Subcommand)]
pub(crate) enum Campaign {
    Create(Create),
    List(List),
    /// Print a campaign
    Show(One),
    Update(Update),
    /// Schedule a draft
    Schedule(One),
    /// Pause a campaign and its current run, until you resume it
    Pause(One),
    /// Resume a paused campaign
    Resume(One),
    /// Cancel a campaign and its current run: nothing more is sent
    Cancel(One),
    /// Delete a campaign that is a draft or has ended
    Delete(One),
    Test(trial::Test),
    Preview(trial::Preview),
    Runs(run::Runs),
    Watch(watch::Watch),
}

/// The argument of commands about one campaign.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The campaign
    #[arg(value_name = "ID")]
    id: CampaignId,
}

/// Create a campaign from a JSON document with its name, audience, notification and schedule
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The campaign as JSON; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

/// Replace a campaign that has not ended
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The campaign
    #[arg(value_name = "ID")]
    id: CampaignId,
    /// The whole campaign as JSON; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

/// List campaigns
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only those in this state: draft, scheduled, running, paused, done, cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

impl Campaign {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        match self {
            Self::Create(Create { file }) => create(caller, file),
            Self::List(list) => list.run(caller),
            Self::Show(One { id }) => show(caller, id),
            Self::Update(Update { id, file }) => update(caller, id, file),
            Self::Schedule(One { id }) => order(caller, id, "schedule"),
            Self::Pause(One { id }) => order(caller, id, "pause"),
            Self::Resume(One { id }) => order(caller, id, "resume"),
            Self::Cancel(One { id }) => order(caller, id, "cancel"),
            Self::Delete(One { id }) => delete(caller, id),
            Self::Test(test) => test.run(caller),
            Self::Preview(preview) => preview.run(caller),
            Self::Runs(runs) => runs.run(caller),
            Self::Watch(watch) => watch.run(caller),
        }
    }
}

/// Creates a campaign. It is not retried if the answer is lost, because that could create a second one.
fn create(caller: &Caller, file: &Path) -> Result<Exit, Failure> {
    let body = read(file)?;
    let created = caller.client.json(Method::Post, "/v1/campaigns", &body);
    let answer = created.inspect_err(|failure| {
        if matches!(failure, Failure::Unreachable { .. }) {
            caller
                .screen
                .warn("it may be there or not: look with `apns-edge campaign list` before you repeat it");
        }
    })?;
    tell_written(caller, &answer)
}

impl List {
    fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        Listing {
            path: "/v1/campaigns",
            field: "campaigns",
            filters: &[("app", self.app.as_deref()), ("state", self.state.as_deref())],
            limit: None,
        }
        .print(caller, Document::to_line)
    }
}

fn show(caller: &Caller, id: &CampaignId) -> Result<Exit, Failure> {
    let answer = caller.patiently(|| caller.client.get(&id.path(), &[]))?;
    Ok(tell(caller, &answer)?.exit())
}

fn update(caller: &Caller, id: &CampaignId, file: &Path) -> Result<Exit, Failure> {
    let body = read(file)?;
    let answer = caller.patiently(|| caller.client.json(Method::Put, &id.path(), &body))?;
    tell_written(caller, &answer)
}

/// Posts an action on the campaign.
fn order(caller: &Caller, id: &CampaignId, what: &str) -> Result<Exit, Failure> {
    let answer = caller.client.post(&format!("{}/{what}", id.path()))?;
    tell(caller, &answer)?;
    Ok(Exit::Done)
}

fn delete(caller: &Caller, id: &CampaignId) -> Result<Exit, Failure> {
    caller.client.delete(&id.path())?;
    // The document is not printed, because the campaign no longer exists.
    caller.screen.note(&format!("campaign {id} is deleted"));
    Ok(Exit::Done)
}

/// Prints a campaign that was just written, with its warnings.
fn tell_written(caller: &Caller, answer: &Answer) -> Result<Exit, Failure> {
    warning::print(&answer.text, caller.screen, Place::Line(0));
    tell(caller, answer)?;
    Ok(Exit::Done)
}

/// Prints the campaign in the server's answer.
fn tell(caller: &Caller, answer: &Answer) -> Result<Document, Failure> {
    let document = Document::read(&answer.text).map_err(|error| caller.client.unreadable(error))?;
    caller.screen.result(&answer.text, || document.to_text())?;
    Ok(document)
}

/// The id of a campaign: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CampaignId(String);

impl CampaignId {
    /// Returns the path of the campaign on the server.
    fn path(&self) -> String {
        format!("/v1/campaigns/{}", self.0)
    }
}

impl FromStr for CampaignId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        id::read(text)
            .map(Self)
            .ok_or("the id of a campaign is 32 hex digits")
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
