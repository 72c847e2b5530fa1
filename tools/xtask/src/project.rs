//! Where things lie in the checkout.
//!
//! Tools and build results stay inside the project, in folders that git ignores; nothing is put in the home directory.

use std::path::{Path, PathBuf};

/// The checkout's root folder.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    // tools/xtask is two levels down.
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// The folder of the tools that [`crate::setup`] makes ready.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The npm packages.
pub(crate) fn node_modules() -> PathBuf {
    root().join("node_modules")
}

/// The built Worker: `index.js` and `index_bg.wasm`.
pub(crate) fn build() -> PathBuf {
    root().join("build")
}

/// Cargo's target folder for wasm32.
///
/// Its own, because wasm32 may be compiled by another rustc than the native code, and one folder with two compilers
/// rebuilds everything at each change of hands.
pub(crate) fn wasm_target() -> PathBuf {
    root().join("target").join("wasm")
}

/// Cargo's target folder for this machine's own code.
pub(crate) fn native_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
