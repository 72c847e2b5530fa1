//! HTTP/2 to APNs over any byte stream.
//!
//! Crate `h2` speaks the protocol. This crate adds what a sender of pushes needs: a slot in the server's stream limit before
//! anything is buffered, a deadline per push, and, if a push ends without an answer, whether APNs can have seen it. In scope: one connection, from its preface to its end, by prior knowledge, over
//! whatever `AsyncRead + AsyncWrite` the caller has opened. Out of scope: opening that stream, TLS, how many
//! connections there are and when to open the next (the pool), and what an answer means (`delivery`).
//!
//! ```text
//! Connection ── slot().await ──> Slot ── send(request, template, deadline) ──> Sent ── .await ──> Outcome
//! Driver     moves the bytes, keeps the time, hands out slots; the caller spawns it, and it ends with the connection
//! ```
//!
//! All decisions are made by [`ledger`], which is synchronous and knows no clock; [`frame_observer`] sits between `h2` and the byte
//! stream, reads the few frames of which `h2` tells too little, and writes in large pieces. Nothing here spawns, and
//! nothing here is `Send`: on the platform there is one thread, and natively a connection lives on one.
//!
//! Source: RFC 9113; Apple, "Sending notification requests to APNs" and "Establishing a token-based connection to
//! APNs".

mod connection;
mod driver;
mod frame_observer;
mod frames;
mod ledger;
mod sent;
mod template;
mod timer;

pub use connection::{Connection, OpenError, Options, Slot};
pub use driver::Driver;
pub use ledger::{CloseReason, Closed, Counters, State};
pub use sent::Sent;
pub use template::{BadHeader, Template};
pub use timer::{Sleep, Timer};
