//! Prepares what the other commands need. It is idempotent, downloads once, and is silent when there is
//! nothing to do.
//!
//! Everything comes from package registries (crates, npm, and Debian where rustup cannot be used), because CI
//! machines often reach nothing else. There are three independent parts: [`wasm`], [`tools`] and [`node`].

use anyhow::Result;

pub(crate) mod node;
pub(crate) mod tools;
pub(crate) mod wasm;

/// Everything that a build of the Worker needs.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The compiler for wasm32.
    pub(crate) wasm: wasm::Toolchain,
    /// worker-build and wasm-bindgen.
    pub(crate) tools: tools::Tools,
    /// Node and the npm packages.
    pub(crate) node: node::Node,
}

/// Prepares everything.
pub(crate) fn everything() -> Result<Ready> {
    Ok(Ready {
        node: node::ready()?,
        wasm: wasm::ready()?,
        tools: tools::ready()?,
    })
}
