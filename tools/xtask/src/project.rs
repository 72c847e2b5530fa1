//! Where things lie in the checkout.
//!
//! Tools and build results stay inside the project, in folders that git ignores; nothing is put in the home directory.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

pub(crate) use testbed::{build, root};

/// The folder of the tools that [`crate::setup`] makes ready.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The npm packages.
pub(crate) fn node_modules() -> PathBuf {
    root().join("node_modules")
}

/// Cargo's target folder for wasm32.
///
/// Its own, because wasm32 may be compiled by another rustc than the native code, and one folder with two compilers
/// rebuilds everything at each change of hands.
pub(crate) fn wasm_target() -> PathBuf {
    root().join("target").join("wasm")
}

/// Cargo's target folder for this machine's own code; cargo knows, whatever its configuration says.
pub(crate) fn native_target() -> Result<PathBuf> {
    let metadata = process::answer(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    let metadata: Value = serde_json::from_str(&metadata.context("cargo metadata failed")?)?;
    let folder = metadata.get("target_directory").and_then(Value::as_str);
    folder
        .map(PathBuf::from)
        .context("cargo metadata does not name the target folder")
}
