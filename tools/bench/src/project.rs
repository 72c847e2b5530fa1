//! Paths in the checkout.

use std::path::{Path, PathBuf};

pub(crate) use testbed::root;

/// Returns the folder of the other senders.
pub(crate) fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Returns the folder in which aioapns is installed. Git ignores it.
pub(crate) fn python_packages() -> PathBuf {
    root().join(".tools").join("bench-aioapns")
}

/// Returns cargo's target folder for the sender with a2, which is not a member of the workspace.
pub(crate) fn a2_target() -> PathBuf {
    root().join("target").join("bench-a2")
}
