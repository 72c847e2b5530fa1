//! `cargo xtask demo`: the whole way of a push on one machine, from a request to the answer with a result per
//! device.
//!
//! As in production, some of the devices are gone and some tokens are invalid.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Subcommand, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt::Interrupt;
use crate::stack::Stack;
use crate::{build, setup};

mod campaign;
mod fleet;
mod outcomes;
mod report;
mod send;

use fleet::Fleet;
use report::Report;

/// The Worker's transports. The first is its default.
const TRANSPORTS: [&str; 2] = ["fetch", "socket"];

/// Start the Worker and an APNs server on this machine, and send notifications
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Demo {
    #[command(subcommand)]
    other: Option<Other>,
    /// Number of pushes to send, one per device
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    notifications: u32,
    #[command(flatten)]
    options: Options,
}

/// The options of all demos.
#[derive(Debug, Args)]
struct Options {
    /// Latency of the APNs server in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Transport of the Worker
    #[arg(long, default_value = TRANSPORTS[0], value_parser = TRANSPORTS)]
    transport: String,
    /// Exit when everything is sent, and do not wait for your own requests
    #[arg(long)]
    once: bool,
    /// Print the result as one line of JSON, and nothing else, on standard output
    #[arg(long, requires = "once")]
    json: bool,
}

/// The other demos.
#[derive(Debug, Subcommand)]
enum Other {
    Campaign(campaign::Campaign),
}

impl Demo {
    /// Runs the demo.
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(Other::Campaign(campaign)) = &self.other {
            return campaign.run();
        }
        let interrupt = Interrupt::catch()?;
        let stack = self.options.start(&interrupt)?;
        let fleet = Fleet::of(usize::try_from(self.notifications)?);
        fleet.register(&stack.mock)?;
        let notifications = send::notifications()?;
        let bar = bar(self.notifications)?;
        let started = Instant::now();
        let outcomes = send::all(&stack, &fleet, &notifications, &bar, &interrupt);
        let wall = started.elapsed();
        bar.finish_and_clear();
        let report = Report::new(&outcomes?, wall, &stack.mock.state()?);
        if self.options.json {
            println!("{}", report.json());
        } else {
            println!("{}", report.text());
        }
        if !self.options.once {
            println!("{}", invitation(&stack, &fleet));
            interrupt.wait();
        }
        Ok(())
    }
}

impl Options {
    /// Builds the Worker quickly, and starts it with an APNs server.
    fn start(&self, interrupt: &Interrupt) -> Result<Stack> {
        let ready = setup::everything()?;
        build::worker(&ready, build::Quality::Quick)?;
        interrupt.check()?;
        let latency = Duration::from_millis(self.latency);
        Stack::start(&ready, latency, &self.transport, interrupt)
    }
}

/// Returns a progress bar on stderr, hidden without a terminal.
fn bar(pushes: u32) -> Result<ProgressBar> {
    let template = "{bar:40} {pos} of {len} pushes, {per_sec}, {eta} to go";
    let bar = ProgressBar::new(u64::from(pushes)).with_style(ProgressStyle::with_template(template)?);
    Ok(bar)
}

/// Returns the hints for the user's own requests.
fn invitation(stack: &Stack, fleet: &Fleet) -> String {
    let body = send::example(fleet);
    let url = stack.worker.url("/v1/push");
    let key = &stack.api_key;
    format!(
        "\nThe Worker is up until you press Ctrl-C. Send a push of your own:\n\n\
         curl {url} \\\n  -H 'authorization: Bearer {key}' \\\n  -H 'content-type: application/json' \\\n  -d '{body}'\n"
    )
}
