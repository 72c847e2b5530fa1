//! `apns-edge campaign`: notifications to the devices of an audience, sent once or on a schedule.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};

use crate::client::{Answer, Method};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::id;
use crate::json_args::read;
use crate::listing::Listing;
use crate::session::Session;
use crate::warning::{self, Place};

mod document;
mod run;
mod test_send;
mod watch;

use document::Document;

/// The commands about campaigns.
#[derive(Debug, Subcommand)]
pub(crate) enum Campaign {
    Create(Create),
    List(List),
    /// Print a campaign
    Show(IdArg),
    Update(Update),
    /// Schedule a draft
    Schedule(IdArg),
    /// Pause a campaign and its current run, until you resume it
    Pause(IdArg),
    /// Resume a paused campaign
    Resume(IdArg),
    /// Cancel a campaign and its current run: nothing more is sent
    Cancel(IdArg),
    /// Delete a campaign that is a draft or has ended
    Delete(IdArg),
    Test(test_send::Test),
    Preview(test_send::Preview),
    Runs(run::Runs),
    Watch(watch::Watch),
}

/// The argument of commands about one campaign.
#[derive(Debug, Args)]
pub(crate) struct IdArg {
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
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Create(Create { file }) => create(session, file),
            Self::List(list) => list.run(session),
            Self::Show(IdArg { id }) => show(session, id),
            Self::Update(Update { id, file }) => update(session, id, file),
            Self::Schedule(IdArg { id }) => control(session, id, "schedule"),
            Self::Pause(IdArg { id }) => control(session, id, "pause"),
            Self::Resume(IdArg { id }) => control(session, id, "resume"),
            Self::Cancel(IdArg { id }) => control(session, id, "cancel"),
            Self::Delete(IdArg { id }) => delete(session, id),
            Self::Test(test) => test.run(session),
            Self::Preview(preview) => preview.run(session),
            Self::Runs(runs) => runs.run(session),
            Self::Watch(watch) => watch.run(session),
        }
    }
}

/// Creates a campaign. It is not retried if the answer is lost, because that could create a second one.
fn create(session: &Session, file: &Path) -> Result<Exit, Failure> {
    let body = read(file)?;
    let created = session.client.json(Method::Post, "/v1/campaigns", &body);
    let answer = created.inspect_err(|failure| {
        if matches!(failure, Failure::Unreachable { .. }) {
            session
                .output
                .warn("it may be there or not: look with `apns-edge campaign list` before you repeat it");
        }
    })?;
    print_written(session, &answer)
}

impl List {
    fn run(&self, session: &Session) -> Result<Exit, Failure> {
        Listing {
            path: "/v1/campaigns",
            field: "campaigns",
            filters: &[("app", self.app.as_deref()), ("state", self.state.as_deref())],
            limit: None,
        }
        .print(session, Document::to_line)
    }
}

fn show(session: &Session, id: &CampaignId) -> Result<Exit, Failure> {
    let answer = session.with_retries(|| session.client.get(&id.path(), &[]))?;
    Ok(print(session, &answer)?.exit())
}

fn update(session: &Session, id: &CampaignId, file: &Path) -> Result<Exit, Failure> {
    let body = read(file)?;
    let answer = session.with_retries(|| session.client.json(Method::Put, &id.path(), &body))?;
    print_written(session, &answer)
}

/// Posts an action on the campaign.
fn control(session: &Session, id: &CampaignId, what: &str) -> Result<Exit, Failure> {
    let answer = session.client.post(&format!("{}/{what}", id.path()))?;
    print(session, &answer)?;
    Ok(Exit::Done)
}

fn delete(session: &Session, id: &CampaignId) -> Result<Exit, Failure> {
    session.client.delete(&id.path())?;
    // The document is not printed, because the campaign no longer exists.
    session.output.note(&format!("campaign {id} is deleted"));
    Ok(Exit::Done)
}

/// Prints a campaign that was just written, with its warnings.
fn print_written(session: &Session, answer: &Answer) -> Result<Exit, Failure> {
    warning::print(&answer.text, session.output, Place::Line(0));
    print(session, answer)?;
    Ok(Exit::Done)
}

/// Prints the campaign in the server's answer.
fn print(session: &Session, answer: &Answer) -> Result<Document, Failure> {
    let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
    session.output.result(&answer.text, || document.to_text())?;
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
