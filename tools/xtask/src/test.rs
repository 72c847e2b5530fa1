//! `cargo xtask test`: everything that must pass before a change is merged, ordered so that failures show
//! early.

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Ready};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{build, lints, process, project};

/// Runs all checks, all tests, the Worker's build, a deployment without the upload, and the end-to-end tests.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    // These need no setup.
    steps.run("formatting", |_| lints::formatting())?;
    steps.run("clippy", |_| lints::native())?;
    steps.run("tests", |tests| {
        tests.run(process::cargo().args(["test", "--workspace", "--no-fail-fast"]))
    })?;
    steps.run("documentation", |_| lints::documentation())?;
    let ready = steps.run("set-up", |_| setup::everything())?;
    steps.run("clippy for wasm32", |_| lints::worker(&ready.wasm))?;
    steps.run("documentation for wasm32", |_| {
        lints::worker_documentation(&ready.wasm)
    })?;
    steps.run("build of the Worker", |_| {
        build::worker(&ready, build::Quality::Release)
    })?;
    steps.run("wrangler deploy --dry-run", |_| deployment(&ready))?;
    steps.run("end-to-end tests", |tests| end_to_end(&ready, &[], tests))?;
    println!("{}", steps.summary());
    Ok(())
}

/// Checks that wrangler would deploy the build: it reads wrangler.toml and bundles, but does not upload.
fn deployment(ready: &Ready) -> Result<()> {
    let out = project::tools().join("dry-run");
    process::quietly(
        ready
            .node
            .wrangler()?
            .args(["deploy", "--dry-run", "--outdir"])
            .arg(out),
    )
}

/// Run end-to-end tests against a quick build of the Worker
///
/// Without names it runs all of them. A release build, which `cargo xtask test` makes, differs only in size and speed.
#[derive(Debug, Args)]
pub(crate) struct EndToEnd {
    /// Parts of the names of the tests to run
    names: Vec<String>,
}

impl EndToEnd {
    /// Builds the Worker quickly and runs the tests.
    pub(crate) fn run(&self) -> Result<()> {
        let ready = setup::everything()?;
        build::worker(&ready, build::Quality::Quick)?;
        end_to_end(&ready, &self.names, &mut Tally::default())
    }
}

/// Runs the tests of the built Worker. A plain `cargo test` does not, because it does not build the Worker
/// and has no wrangler.
fn end_to_end(ready: &Ready, names: &[String], tests: &mut Tally) -> Result<()> {
    let mut cargo = process::cargo();
    // The whole workspace, as in the tests before: for a single package cargo would choose other features of
    // the dependencies, and compile them again.
    cargo.args(["test", "--workspace", "--test", "e2e", "--no-fail-fast", "--"]);
    cargo.args(names);
    cargo
        .env("APNS_EDGE_NODE", ready.node.binary())
        .env("PATH", ready.node.path()?);
    tests.run(&mut cargo)?;
    if tests.ran() == 0 {
        bail!("no end-to-end test ran");
    }
    Ok(())
}
