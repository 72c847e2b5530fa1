//! `cargo xtask`: the tasks of developers and CI machines.
//!
//! Each command first prepares what it needs ([`setup`]), so that a fresh checkout needs only Rust and Node.
//! This tool is not part of the product: it builds, checks, runs and measures it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod check;
mod demo;
#[cfg(test)]
mod graph;
mod interrupt;
mod lints;
mod process;
mod progress;
mod project;
mod setup;
mod stack;
mod steps;
mod tally;
mod test;

/// Developer tasks of apns-edge.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// The tasks.
#[derive(Debug, Subcommand)]
enum Task {
    /// Download and build the tools that the other commands need, which they also do themselves
    Setup,
    /// Build the Worker into build/ (`wrangler deploy` runs this)
    Build,
    /// Run the quick checks: formatting, clippy, unit tests
    Check,
    /// Run all checks and tests, including the end-to-end tests
    Test,
    E2e(test::EndToEnd),
    Demo(demo::Demo),
    Bench(bench::Bench),
}

impl Task {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Setup => setup::everything().map(drop),
            Self::Build => build::run(),
            Self::Check => check::run(),
            Self::Test => test::run(),
            Self::E2e(tests) => tests.run(),
            Self::Demo(demo) => demo.run(),
            Self::Bench(bench) => bench.run(),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
