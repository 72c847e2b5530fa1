//! The benchmark: apns-edge and other senders of push notifications, one after the other, against one
//! apns-mock.
//!
//! Each sender gets the same requests as JSON and returns results as JSON. Everything in between is measured,
//! including the sender's whole process tree. `docs/internals/benchmark.md` describes the method.
//! `cargo xtask bench` prepares what this program needs and starts it. Linux only, because CPU time and
//! memory are read from `/proc`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod arguments;
mod batch;
mod chart;
mod credentials;
mod exchange;
mod figures;
mod http;
mod install;
mod isolation;
mod machine;
mod memory;
mod mock;
mod order;
mod project;
mod report;
mod run;
mod sender;
mod usage;

use arguments::{Arguments, Task};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs what is missing, then measures, in a network of its own if this machine allows that.
fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(Task::Batch(batch)) = &arguments.task {
        return batch::run(arguments, batch);
    }
    if arguments.isolated {
        return run::all(arguments, true);
    }
    let left_out = install::missing(arguments);
    match isolation::available() {
        Ok(isolation) => isolation.run_again(&left_out),
        Err(reason) => {
            eprintln!("no network of the benchmark's own: {reason:#}");
            run::all(&arguments.without(left_out), false)
        }
    }
}
