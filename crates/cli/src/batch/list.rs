//! `apns-edge batch list`: lists batches, newest first.

use clap::{Args, value_parser};
use documents::batch::BatchSummary;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::session::Session;

/// List batches, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only those in this state: staging, running, paused, cancelling, cancelled, done
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The most entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..))]
    limit: u64,
}

impl List {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        Listing {
            path: "/v1/batches",
            field: "batches",
            filters: &[
                ("app", self.app.as_deref()),
                ("state", self.state.as_deref()),
                ("since", self.since.as_deref()),
                ("until", self.until.as_deref()),
            ],
            limit: Some(self.limit),
        }
        .print(session, to_line)
    }
}

fn to_line(batch: &BatchSummary) -> String {
    let BatchSummary {
        id,
        app,
        state,
        created_at,
        pushes,
        ..
    } = batch;
    format!("{id}  {created_at}  {state:<10}  {pushes:>9} pushes  {app}")
}
