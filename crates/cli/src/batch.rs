//! `apns-edge batch`: sends to any number of devices, and manages batches.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::id;
use crate::session::Session;

mod document;
mod list;
mod send;
mod watch;

pub(crate) use document::{Document, duration};
pub(crate) use watch::watch;

/// The commands about batches.
#[derive(Debug, Subcommand)]
pub(crate) enum Batch {
    Send(send::Send),
    Watch(watch::Watch),
    /// Print the status of a batch
    Status(IdArg),
    List(list::List),
    /// Cancel a batch: nothing more is sent
    Cancel(IdArg),
    /// Pause a batch until you resume it
    Pause(IdArg),
    /// Resume a paused batch
    Resume(IdArg),
    /// Delete a batch that has ended, with its receipts
    Delete(IdArg),
}

/// The argument of commands about one batch.
#[derive(Debug, Args)]
pub(crate) struct IdArg {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
}

impl Batch {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Send(send) => send.run(session),
            Self::Watch(watch) => watch.run(session),
            Self::Status(IdArg { id }) => status(session, id),
            Self::List(list) => list.run(session),
            Self::Cancel(IdArg { id }) => control(session, id, "cancel"),
            Self::Pause(IdArg { id }) => control(session, id, "pause"),
            Self::Resume(IdArg { id }) => control(session, id, "resume"),
            Self::Delete(IdArg { id }) => delete(session, id),
        }
    }
}

fn status(session: &Session, id: &BatchId) -> Result<Exit, Failure> {
    let answer = session.with_retries(|| session.client.get(&id.path(), &[]))?;
    let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
    session.output.result(&answer.text, || document.to_text())?;
    Ok(document.exit(&session.fail_on))
}

/// Posts an action on the batch. The exit code does not depend on the results of its pushes.
fn control(session: &Session, id: &BatchId, what: &str) -> Result<Exit, Failure> {
    let answer = session.client.post(&format!("{}/{what}", id.path()))?;
    let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
    session.output.result(&answer.text, || document.to_text())?;
    Ok(Exit::Done)
}

fn delete(session: &Session, id: &BatchId) -> Result<Exit, Failure> {
    let answer = session.client.delete(&id.path())?;
    if answer.status == 202 {
        let text = format!(
            "batch {id} is deleted when its webhook has got its deliveries; delete it again to drop them"
        );
        session.output.note(&text);
        return Ok(Exit::Done);
    }
    // The document is not printed, because the batch no longer exists.
    session.output.note(&format!("batch {id} is deleted"));
    Ok(Exit::Done)
}

/// The id of a batch: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchId(String);

impl BatchId {
    /// Returns the path of the batch on the server.
    pub(crate) fn path(&self) -> String {
        format!("/v1/batches/{}", self.0)
    }
}

impl FromStr for BatchId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        id::read(text)
            .map(Self)
            .ok_or("the id of a batch is 32 hex digits")
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
