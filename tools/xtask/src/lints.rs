//! The checks that only read the code: formatting, clippy on both targets, documentation.

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup::wasm;
use crate::{build, process};

/// Clippy's arguments: a warning is an error.
const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// Rustdoc's arguments: the same, but public pages may link to private ones, because both are for readers of
/// this code.
const DENY_IN_DOCS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Checks the formatting of all members.
pub(crate) fn formatting() -> Result<()> {
    if process::answer(process::cargo().args(["fmt", "--version"])).is_none() {
        bail!("rustfmt is missing: `rustup component add rustfmt`, or your system's package of it");
    }
    process::quietly(process::cargo().args(["fmt", "--all", "--check"]))
}

/// Runs clippy on all members and their tests, for this machine.
pub(crate) fn native() -> Result<()> {
    clippy(process::cargo().args(["clippy", "--workspace", "--all-targets"]))
}

/// Runs clippy on the Worker, for wasm32.
pub(crate) fn worker(toolchain: &wasm::Toolchain) -> Result<()> {
    clippy(&mut for_wasm(toolchain, &["clippy"])?)
}

/// Checks the documentation of all members, including private items, for broken links.
pub(crate) fn documentation() -> Result<()> {
    let mut cargo = process::cargo();
    doc(cargo.args(["doc", "--no-deps", "--workspace", "--document-private-items"]))
}

/// Checks the Worker's documentation, for wasm32, the only target for which it is compiled completely.
pub(crate) fn worker_documentation(toolchain: &wasm::Toolchain) -> Result<()> {
    doc(&mut for_wasm(
        toolchain,
        &["doc", "--no-deps", "--document-private-items"],
    )?)
}

/// Returns a cargo command about the Worker's library for wasm32.
///
/// It uses the Worker's own profile, so that its macros and build scripts are compiled once for this and for
/// the build.
fn for_wasm(toolchain: &wasm::Toolchain, command: &[&str]) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut cargo = toolchain.command(toolchain.cargo(), &path)?;
    cargo
        .args(command)
        .args(["--lib", "--target", wasm::TARGET, "--profile", build::PROFILE])
        .args(build::PACKAGE);
    Ok(cargo)
}

fn doc(command: &mut Command) -> Result<()> {
    process::quietly(command.env("RUSTDOCFLAGS", DENY_IN_DOCS))
}

fn clippy(command: &mut Command) -> Result<()> {
    process::quietly(command.args(DENY))
}
