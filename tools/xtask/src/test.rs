//! `cargo xtask test`: everything that must hold before a change is taken, in the order in which it fails soonest.

use anyhow::{Result, bail};

use crate::setup::{self, Ready, node::Node};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{build, lints, process, project};

/// All checks, all tests, the Worker's build, a deployment that stops short of uploading, and the end-to-end tests.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    // These need no set-up.
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
    steps.run("build of the Worker", |_| build::worker(&ready))?;
    steps.run("wrangler deploy --dry-run", |_| deployment(&ready))?;
    steps.run("end-to-end tests", |tests| end_to_end(&ready, tests))?;
    println!("{}", steps.summary());
    Ok(())
}

/// Whether wrangler would deploy what was built: it reads wrangler.toml and bundles, and uploads nothing.
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

/// The tests of the built Worker. They are ignored by a plain `cargo test`, which neither builds it nor has wrangler.
fn end_to_end(ready: &Ready, tests: &mut Tally) -> Result<()> {
    let mut cargo = process::cargo();
    // The whole workspace, as for the tests before: for one package alone cargo would choose other features of the
    // dependencies, and compile them anew.
    cargo.args([
        "test",
        "--workspace",
        "--test",
        "e2e*",
        "--no-fail-fast",
        "--",
        "--ignored",
    ]);
    cargo
        .env("APNS_EDGE_NODE", ready.node.binary())
        .env("APNS_EDGE_WRANGLER", Node::wrangler_script());
    cargo.env("PATH", ready.node.path()?).env(build::PREBUILT, "1");
    tests.run(&mut cargo)?;
    if tests.ran() == 0 {
        bail!("no end-to-end test ran");
    }
    Ok(())
}
