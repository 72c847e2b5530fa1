//! Building the Worker: `build/index.js` and `build/index_bg.wasm`, within a budget of size.
//!
//! `wrangler deploy` runs this as its build command; the tests, the demo and the benchmark call it before they start
//! wrangler, which then must not build once more ([`PREBUILT`]).

mod names;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};

use crate::setup::{self, Ready, wasm};
use crate::{process, progress, project};

/// The most bytes that the Worker's wasm may have when it is gzipped, as the platform stores and ships it.
///
/// The platform allows more; this is our own bound, so that growth is noticed. Every start of an isolate in a new place pays
/// for these bytes. It is what the Worker has, up to the next 50 KB, and not what it should have: readers of what people send,
/// warnings, decompression and the loops of objects added 200 KB. The data of time zones alone are 49 KB, nearly all of them
/// about the past.
const BUDGET: usize = 1_400_000;

/// Set for wrangler when build/ is up to date already: its build command has nothing to do then.
pub(crate) const PREBUILT: &str = "APNS_EDGE_PREBUILT";

/// The cargo profile of the Worker (see Cargo.toml).
pub(crate) const PROFILE: &str = "worker";

/// The cargo profile of [`Quality::Quick`].
const QUICK_PROFILE: &str = "quick";

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// For deployments and measurements: small and fast, within the size budget.
    Release,
    /// For tests during development: built quickly, larger and slower.
    Quick,
}

impl Quality {
    const fn profile(self) -> &'static str {
        match self {
            Self::Release => PROFILE,
            Self::Quick => QUICK_PROFILE,
        }
    }
}

/// Says that the Worker alone is meant: cargo would build all members of the workspace.
pub(crate) const PACKAGE: [&str; 2] = ["--package", "apns-edge"];

/// The build command: builds unless somebody did that just before.
pub(crate) fn run() -> Result<()> {
    if std::env::var_os(PREBUILT).is_some() && script().is_file() {
        return Ok(());
    }
    worker(&setup::everything()?, Quality::Release)
}

/// Builds the Worker. A release build is checked against the size budget.
pub(crate) fn worker(ready: &Ready, quality: Quality) -> Result<()> {
    progress::step(
        "cargo build for wasm32",
        "the Worker's wasm",
        "2 min at first",
        || compile(ready, quality),
    )?;
    // What follows takes seconds even if nothing changed, so it is done only for a wasm that it was not done for.
    let compiled = fs::read(compiled(quality)).context("cargo made no wasm")?;
    let mark = project::wasm_target().join("worker-built-from");
    let unchanged = script().is_file() && fs::read(&mark).is_ok_and(|before| before == compiled);
    if !unchanged {
        progress::step(
            "worker-build",
            "optimises the wasm, writes its JavaScript",
            "20 s",
            || package(ready, quality),
        )?;
        if quality == Quality::Release {
            take_names_out()?;
        }
        fs::write(&mark, &compiled)?;
    }
    match quality {
        Quality::Release => within_budget(&wasm()),
        Quality::Quick => Ok(()),
    }
}

/// The Worker's wasm.
fn wasm() -> PathBuf {
    project::build().join("index_bg.wasm")
}

/// The Worker's entry point.
fn script() -> PathBuf {
    project::build().join("index.js")
}

/// The wasm as cargo leaves it.
fn compiled(quality: Quality) -> PathBuf {
    project::wasm_target()
        .join(wasm::TARGET)
        .join(quality.profile())
        .join("apns_edge.wasm")
}

fn compile(ready: &Ready, quality: Quality) -> Result<()> {
    let mut cargo = ready.wasm.command(ready.wasm.cargo(), &ready.node.path()?)?;
    cargo
        .args([
            "build",
            "--quiet",
            "--lib",
            "--target",
            wasm::TARGET,
            "--profile",
            quality.profile(),
        ])
        .args(PACKAGE);
    process::quietly(&mut cargo)
}

fn package(ready: &Ready, quality: Quality) -> Result<()> {
    let npm = |package: &str, program: &str| project::node_modules().join(package).join("bin").join(program);
    let mut build = ready
        .wasm
        .command(&ready.tools.worker_build, &ready.node.path()?)?;
    if quality == Quality::Quick {
        build.arg("--no-opt");
    }
    // What worker-build does not know it hands on to cargo.
    build.args(["--profile", quality.profile()]).args(PACKAGE);
    build.env("WASM_BINDGEN_BIN", &ready.tools.wasm_bindgen);
    build
        .env("WASM_OPT_BIN", npm("binaryen", "wasm-opt"))
        .env("ESBUILD_BIN", npm("esbuild", "esbuild"));
    process::quietly(&mut build)
}

/// Takes the names of functions out of the wasm: they are a tenth of what the platform ships. `build/functions.txt` keeps
/// them, for the numbers in stack traces.
fn take_names_out() -> Result<()> {
    let file = wasm();
    let bytes = fs::read(&file).with_context(|| format!("worker-build made no {}", file.display()))?;
    let (slim, list) = names::split(&bytes).with_context(|| format!("{} is no wasm", file.display()))?;
    fs::write(project::build().join("functions.txt"), list)?;
    fs::write(file, slim)?;
    Ok(())
}

fn within_budget(wasm: &Path) -> Result<()> {
    let bytes = fs::read(wasm).with_context(|| format!("worker-build made no {}", wasm.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let gzipped = gzip.finish()?.len();
    let size = format!(
        "{} KB, gzipped {} KB of {} KB allowed",
        bytes.len() / 1000,
        gzipped / 1000,
        BUDGET / 1000
    );
    if gzipped > BUDGET {
        bail!("the Worker is too large: {size}");
    }
    eprintln!("the Worker is in build/: {size}");
    Ok(())
}
