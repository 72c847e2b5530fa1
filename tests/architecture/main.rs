//! The architecture, held by reading the sources: who may use whom, and what no ring but the shell may name.
//!
//! The compiler holds most of it for the platform's crate, which is there for wasm32 alone; it cannot see a ring that
//! reaches upwards, or a clock read where time must come in as an argument.

#[cfg(test)]
mod code;
#[cfg(test)]
mod house;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod rules;
