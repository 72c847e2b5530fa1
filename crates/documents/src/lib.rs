//! The documents of the HTTP contract: what the server answers and its clients read.
//!
//! Each type serialises and deserialises, so that a field is added once for the server and the command. A reader ignores
//! unknown fields. A word that it does not know, such as a new state, is kept as text. In scope: the fields, their units,
//! and when they are absent. Out of scope: what requests say, and how answers are made.
//!
//! Moments are RFC 3339 texts in UTC with milliseconds, as `2026-11-23T08:00:00.000Z`.

mod word;

pub mod audience;
pub mod batch;
pub mod campaign;
pub mod dead_letter;
pub mod doctor;
pub mod invalid;
pub mod left_out;
pub mod problem;
pub mod warning;

pub use batch::Batch;
pub use invalid::{InvalidKind, InvalidLine};
pub use left_out::LeftOut;
pub use problem::Problem;
pub use warning::Warnings;

// The lint goes by the size of a pointer, which is smaller on wasm32.
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
