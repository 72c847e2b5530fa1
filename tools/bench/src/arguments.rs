//! The arguments of the program.

use std::num::NonZeroU8;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::project;
use crate::sender::{LeftOut, Sender, Transport};

/// Compare apns-edge with other senders of push notifications
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// A measurement other than the comparison
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    /// Node 22.12 or later, for the senders from npm
    #[arg(long, value_name = "PROGRAM", default_value = "node")]
    pub(crate) node: PathBuf,
    /// workerd, which runs the Worker [default: the one in node_modules]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) workerd: Option<PathBuf>,
    /// The folder of the built Worker
    #[arg(long, value_name = "FOLDER", default_value_os_t = project::root().join("build"))]
    pub(crate) worker: PathBuf,
    /// apns-mock [default: the one in the folder of this program]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) mock: Option<PathBuf>,
    /// Number of pushes per run, fewer if that would take too long [default: 100000, or 20000 for slow senders]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pushes: Option<u64>,
    /// Number of runs per measurement
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Measure only this sender; can be repeated
    #[arg(long, value_name = "SENDER")]
    pub(crate) only: Vec<Sender>,
    /// Latency of the APNs server in milliseconds
    #[arg(long, value_name = "MS", value_delimiter = ',', default_values_t = [0, 50])]
    pub(crate) latency: Vec<u64>,
    /// Send a million pushes (or --pushes) and sample the sender's memory instead
    #[arg(long)]
    pub(crate) memory: bool,
    /// Print the figures as one line of JSON, the last on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the chart to this file [default: docs/internals/benchmark.svg, after a run of everything]
    #[arg(long, value_name = "FILE")]
    pub(crate) chart: Option<PathBuf>,
    /// Set when this program runs itself in its own network
    #[arg(long, hide = true)]
    pub(crate) isolated: bool,
    /// A sender that could not be installed, with the reason
    #[arg(long, hide = true, value_name = "SENDER=REASON")]
    pub(crate) left_out: Vec<LeftOut>,
}

/// The other measurements.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Task {
    /// Measure one durable batch from its upload to its last receipt, and its cost (docs/internals/benchmark-batch.md)
    Batch(BatchArguments),
}

/// The arguments of the batch measurement.
#[derive(Debug, Clone, Args)]
pub(crate) struct BatchArguments {
    /// Number of pushes of the batch, one per device
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=MOST_PUSHES))]
    pub(crate) pushes: u64,
    /// Latency of the APNs server in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(crate) latency: u64,
    /// Transport of the Worker
    #[arg(long, default_value = "socket", value_parser = ["socket", "fetch"])]
    pub(crate) transport: String,
    /// The most connections of the socket transport, with 1000 streams each
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) connections: NonZeroU8,
    /// The most queue messages per invocation, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) messages: u8,
    /// The largest V8 heap of an isolate in MB, by default Cloudflare's limit; 0 for no limit
    #[arg(long, value_name = "MB", default_value_t = 128)]
    pub(crate) heap: u32,
    /// Print the figures as one line of JSON, the last on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the figures to docs/internals/benchmark-batch.md
    #[arg(long)]
    pub(crate) write: bool,
}

impl BatchArguments {
    /// Returns the Worker's transport.
    pub(crate) fn transport(&self) -> Transport {
        match self.transport.as_str() {
            "fetch" => Transport::Fetch,
            _ => Transport::Socket {
                connections: self.connections.get(),
            },
        }
    }
}

/// The most pushes of a measured batch. The mock numbers all devices, including those of the warm-up.
const MOST_PUSHES: u64 = 50_000_000;

impl Arguments {
    /// Returns the requested senders, in the order of the table.
    pub(crate) fn senders(&self) -> impl Iterator<Item = Sender> + '_ {
        Sender::ALL
            .into_iter()
            .filter(|sender| self.only.is_empty() || self.only.contains(sender))
    }

    /// Returns the same arguments without some senders.
    pub(crate) fn without(&self, left_out: Vec<LeftOut>) -> Self {
        Self {
            left_out,
            ..self.clone()
        }
    }

    /// Returns the file of the chart. By default, the chart is drawn only by a run that measures everything
    /// as documented.
    pub(crate) fn chart(&self) -> Option<PathBuf> {
        let whole = self.pushes.is_none() && self.only.is_empty() && !self.json;
        let default = || project::root().join("docs/internals").join("benchmark.svg");
        self.chart.clone().or_else(|| whole.then(default))
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use crate::sender::Sender;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_sender_is_chosen_by_its_name_in_the_table() {
        let arguments = Arguments::parse_from(["bench", "--only", "a2", "--only", "apns-edge fetch"]);
        assert_eq!(
            arguments.senders().collect::<Vec<_>>(),
            [Sender::Fetch, Sender::A2]
        );
        assert!(Arguments::try_parse_from(["bench", "--only", "pushy"]).is_err());
    }

    #[test]
    fn only_a_run_of_everything_replaces_the_published_chart() {
        assert!(Arguments::parse_from(["bench"]).chart().is_some());
        assert!(
            Arguments::parse_from(["bench", "--pushes", "10"])
                .chart()
                .is_none()
        );
        assert!(Arguments::parse_from(["bench", "--only", "a2"]).chart().is_none());
        let chosen = Arguments::parse_from(["bench", "--only", "a2", "--chart", "x.svg"]);
        assert_eq!(chosen.chart().unwrap().to_str(), Some("x.svg"));
    }
}
