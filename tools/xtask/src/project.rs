//! Paths in the checkout.
//!
//! Tools and build results stay in the project, in folders that git ignores. Nothing is written to the home
//! directory.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

pub(crate) use testbed::{build, root};

/// Returns the folder of the tools that [`crate::setup`] installs.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// Returns the folder of the npm packages.
pub(crate) fn node_modules() -> PathBuf {
    root().join("node_modules")
}

/// Returns cargo's target folder for wasm32.
///
/// It is separate, because wasm32 may be compiled by another rustc than native code. With two compilers in
/// one folder, cargo rebuilds everything whenever the compiler changes.
pub(crate) fn wasm_target() -> PathBuf {
    root().join("target").join("wasm")
}

/// Returns cargo's target folder for this machine, as cargo reports it.
pub(crate) fn native_target() -> Result<PathBuf> {
    let metadata = process::answer(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    let metadata: Value = serde_json::from_str(&metadata.context("cargo metadata failed")?)?;
    let folder = metadata.get("target_directory").and_then(Value::as_str);
    folder
        .map(PathBuf::from)
        .context("cargo metadata does not name the target folder")
}
