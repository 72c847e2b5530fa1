//! Builds the Worker: `build/index.js` and `build/index_bg.wasm`, within a size budget.
//!
//! `wrangler deploy` runs this as its build command. The tests, the demo and the benchmark call it before
//! they start wrangler, and set [`PREBUILT`] so that wrangler does not build again.

mod names;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};

use crate::setup::{self, Ready, wasm};
use crate::{process, progress, project};

/// The most bytes of the Worker's gzipped wasm, which is the form that the platform stores and ships.
///
/// The platform allows more. This is our own limit, so that growth is noticed, because every start of an
/// isolate in a new place loads these bytes. It is the current size rounded up to 50 KB, and not a goal:
/// parsers of requests, warnings, decompression and the loops of objects added 200 KB. The time zone database
/// has 49 KB, nearly all of it about the past.
const BUDGET: usize = 1_400_000;

/// The variable that tells wrangler's build command that build/ is up to date.
pub(crate) const PREBUILT: &str = "APNS_EDGE_PREBUILT";

/// The cargo profile of the Worker (see Cargo.toml).
pub(crate) const PROFILE: &str = "worker";

/// The cargo profile of [`Quality::Quick`].
const QUICK_PROFILE: &str = "quick";

/// The purpose of a build.
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

/// Selects the Worker. Otherwise cargo would build all members of the workspace.
pub(crate) const PACKAGE: [&str; 2] = ["--package", "apns-edge"];

/// The build command: builds, unless [`PREBUILT`] is set.
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
    // The following steps take seconds even if nothing changed, so they run once per wasm.
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

/// Returns the path of the Worker's wasm.
fn wasm() -> PathBuf {
    project::build().join("index_bg.wasm")
}

/// Returns the path of the Worker's entry point.
fn script() -> PathBuf {
    project::build().join("index.js")
}

/// Returns the path of the wasm as cargo writes it.
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
    // worker-build passes on the options that it does not know to cargo.
    build.args(["--profile", quality.profile()]).args(PACKAGE);
    build.env("WASM_BINDGEN_BIN", &ready.tools.wasm_bindgen);
    build
        .env("WASM_OPT_BIN", npm("binaryen", "wasm-opt"))
        .env("ESBUILD_BIN", npm("esbuild", "esbuild"));
    process::quietly(&mut build)
}

/// Removes the names of functions from the wasm, which are a tenth of what the platform ships.
/// `build/functions.txt` keeps them, to look up the numbers in stack traces.
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
