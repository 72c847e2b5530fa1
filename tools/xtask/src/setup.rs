//! Making ready what the other commands need: idempotent, downloaded once, silent when there is nothing to do.
//!
//! Everything comes from package registries (crates, npm, and Debian where rustup cannot help), because CI machines
//! often reach nothing else. Three parts, each independent of the others: [`wasm`], [`tools`] and [`node`].

use anyhow::Result;

pub(crate) mod node;
pub(crate) mod tools;
pub(crate) mod wasm;

/// All that a build of the Worker needs.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The compiler for wasm32.
    pub(crate) wasm: wasm::Toolchain,
    /// worker-build and wasm-bindgen.
    pub(crate) tools: tools::Tools,
    /// Node and the npm packages.
    pub(crate) node: node::Node,
}

/// Makes everything ready.
pub(crate) fn everything() -> Result<Ready> {
    Ok(Ready {
        node: node::ready()?,
        wasm: wasm::ready()?,
        tools: tools::ready()?,
    })
}
