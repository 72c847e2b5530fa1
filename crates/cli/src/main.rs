//! `apns-edge`: the command for users of a deployment.
//!
//! It calls the Worker by the HTTP contract (docs/reference/http.md) and knows nothing else of it: the server
//! validates requests. In scope: sending, batches and their receipts, audiences, campaigns, the doctor, API
//! keys, and the configuration of a deployment. Out of scope: deploying, and the tasks of developers of
//! apns-edge (`cargo xtask`).
//!
//! Standard output has only results and, with `--json`, only the server's documents. Notes, progress bars and
//! errors are written to standard error.

use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

mod audience;
mod batch;
mod body;
mod campaign;
mod client;
#[cfg(test)]
mod docs_tests;
mod doctor;
mod events;
mod examples;
mod exit;
mod fail_on;
mod failure;
mod id;
mod init;
mod interrupt;
mod invalid;
mod json_args;
mod key;
mod left_out;
mod listing;
mod notification;
mod output;
mod pages;
mod problem;
mod push;
mod receipts;
mod retry_policy;
mod session;
mod settings;
mod shell;
mod source;
mod ticker;
mod warning;

use exit::Exit;
use fail_on::FailOn;
use failure::Failure;
use output::Output;
use session::Session;
use settings::{Flags, HEADING};

/// Send Apple push notifications through your deployment of apns-edge.
#[derive(Debug, Parser)]
#[command(name = "apns-edge", version, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    flags: Flags,
    /// Print the server's JSON documents, one per line, and nothing else on standard output
    #[arg(long, global = true, help_heading = HEADING)]
    json: bool,
    /// Maximum attempts for requests that are safe to repeat: uploads of files, reads, watching
    #[arg(long, global = true, help_heading = HEADING, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// More results of pushes that end the command with exit code 1
    #[arg(long, global = true, help_heading = HEADING, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Push(push::Push),
    /// Send to any number of devices, and manage what is being sent
    #[command(subcommand)]
    Batch(batch::Batch),
    Receipts(receipts::Receipts),
    Gone(receipts::Gone),
    Suspect(receipts::Suspect),
    /// Manage the stored devices that campaigns are sent to
    #[command(subcommand)]
    Audience(audience::Audience),
    /// Manage notifications to an audience, sent once or on a schedule
    #[command(subcommand)]
    Campaign(campaign::Campaign),
    /// Check the deployment: its apps, its credentials, and whether APNs can be reached
    Doctor,
    /// Create API keys
    #[command(subcommand)]
    Key(key::Key),
    Completions(shell::Completions),
    Man(shell::Man),
}

impl Cli {
    fn run(&self, output: Output) -> Result<Exit, Failure> {
        // These commands do not call the server.
        match &self.command {
            Command::Init(init) => return init.run(output),
            Command::Key(key) => return key.run(output),
            Command::Completions(completions) => return completions.run(),
            Command::Man(man) => return man.run(),
            _ => {}
        }
        let fail_on = self.common.fail_on.clone();
        let session = Session::new(&self.common.flags, output, self.common.attempts, fail_on)?;
        match &self.command {
            Command::Init(init) => init.run(output),
            Command::Push(push) => push.run(&session),
            Command::Batch(batch) => batch.run(&session),
            Command::Receipts(receipts) => receipts.run(&session),
            Command::Gone(gone) => gone.run(&session),
            Command::Suspect(suspect) => suspect.run(&session),
            Command::Audience(audience) => audience.run(&session),
            Command::Campaign(campaign) => campaign.run(&session),
            Command::Doctor => doctor::run(&session),
            Command::Key(key) => key.run(output),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

/// Returns the command with all its subcommands, and an example in the help of each.
fn command() -> clap::Command {
    examples::added(Cli::command())
}

fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let output = Output::new(cli.common.json);
    let exit = match cli.run(output) {
        Ok(exit) => exit,
        Err(failure) => output.fail(&failure),
    };
    exit.into()
}

#[test]
fn the_commands_are_well_formed() {
    command().debug_assert();
}
