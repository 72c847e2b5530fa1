//! Starts the Worker and an APNs server on this machine.
//!
//! The end-to-end tests, the demo and the benchmark use it. In scope: keys and settings, apns-mock as a
//! program, the built Worker under wrangler or workerd, and requests to both. Its users decide what is sent
//! and what is expected.
//!
//! The files of a run are in a folder that the caller chooses. Every program ends when this process ends, for
//! whatever reason.

use std::path::{Path, PathBuf};

mod group;
pub mod http;
pub mod keys;
mod mock;
pub mod settings;
mod worker;

pub use mock::Mock;
pub use worker::{Queue, Runner, Setup, Worker, free_port};

/// Returns the root folder of the checkout.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // tools/testbed is two levels below the root.
    package.ancestors().nth(2).unwrap_or(package)
}

/// Returns the folder of the built Worker: `index.js` and `index_bg.wasm`.
pub fn build() -> PathBuf {
    root().join("build")
}

/// Returns the script that starts wrangler.
pub fn wrangler() -> PathBuf {
    root().join("node_modules/wrangler/bin/wrangler.js")
}
