//! `cargo xtask check`: the quick checks, for use during development.

use anyhow::Result;

use crate::setup::wasm;
use crate::steps::Steps;
use crate::{lints, process};

/// Runs formatting, clippy on both targets, and the unit tests.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("formatting", |_| lints::formatting())?;
    steps.run("clippy", |_| lints::native())?;
    let toolchain = steps.run("set-up for wasm32", |_| wasm::ready())?;
    steps.run("clippy for wasm32", |_| lints::worker(&toolchain))?;
    steps.run("unit tests", |tests| {
        tests.run(process::cargo().args(["test", "--workspace", "--lib", "--bins"]))
    })?;
    println!("{}", steps.summary());
    Ok(())
}
