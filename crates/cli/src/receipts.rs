//! `apns-edge receipts`, `gone` and `suspect`: prints the results of a batch's pushes as lines of JSON.

use clap::Args;
use documents::batch::{BatchState, ReceiptsEnd};

use crate::batch::BatchId;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pages::{Last, OutputFile};
use crate::session::Session;

/// Print the receipts of a batch, one per push, as lines of JSON
#[derive(Debug, Args)]
pub(crate) struct Receipts {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
    /// Only receipts with this status: accepted, rejected, failed, duplicate, cancelled, retrying, in_flight, waiting
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    #[command(flatten)]
    output: OutputFile,
}

/// Print the devices of a batch that are gone (410), as lines of JSON: delete their tokens
#[derive(Debug, Args)]
pub(crate) struct Gone {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
    #[command(flatten)]
    output: OutputFile,
}

/// Print the devices of a batch whose tokens APNs refused (400), as lines of JSON: check the app's environment and topic
#[derive(Debug, Args)]
pub(crate) struct Suspect {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
    #[command(flatten)]
    output: OutputFile,
}

impl Receipts {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let status = self.status.join(",");
        let filter = (!status.is_empty()).then_some(("status", status.as_str()));
        write(
            session,
            &self.output,
            &format!("{}/receipts", self.id.path()),
            filter,
        )
    }
}

impl Gone {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        write(session, &self.output, &format!("{}/gone", self.id.path()), None)
    }
}

impl Suspect {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        write(
            session,
            &self.output,
            &format!("{}/suspect", self.id.path()),
            None,
        )
    }
}

fn write(
    session: &Session,
    output: &OutputFile,
    path: &str,
    filter: Option<(&str, &str)>,
) -> Result<Exit, Failure> {
    let ReceiptsEnd { state, .. } = output.write(session, path, filter)?;
    if !matches!(state, BatchState::Done | BatchState::Cancelled) {
        session
            .output
            .note(&format!("the batch is {state}: more may be to come"));
    }
    Ok(Exit::Done)
}

impl Last for ReceiptsEnd {
    fn is_end(&self) -> bool {
        !self.more
    }

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}
