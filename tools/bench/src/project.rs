//! Where things lie in the checkout.

use std::path::{Path, PathBuf};

pub(crate) use testbed::root;

/// The folder of the senders that the benchmark runs beside apns-edge.
pub(crate) fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where aioapns is installed; git ignores it.
pub(crate) fn python_packages() -> PathBuf {
    root().join(".tools").join("bench-aioapns")
}

/// Cargo's target folder of the sender with a2, which is no member of the workspace.
pub(crate) fn a2_target() -> PathBuf {
    root().join("target").join("bench-a2")
}
