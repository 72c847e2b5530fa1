//! HTTP/2 to APNs over any byte stream.
//!
//! Crate `h2` implements the protocol. This crate adds what a sender of pushes needs: a slot in the server's
//! stream limit before anything is buffered, a deadline per push, and, for a push without an answer, whether
//! APNs can have seen it. In scope: one connection, from its preface to its end, by prior knowledge, over any
//! open `AsyncRead + AsyncWrite`. Out of scope: opening that stream, TLS, the number of connections and when
//! to open the next (the pool), and the meaning of answers (`delivery`).
//!
//! ```text
//! Connection ── slot().await ──> Slot ── send(request, template, deadline) ──> Sent ── .await ──> Outcome
//! Driver     moves the bytes, keeps the time, hands out slots; the caller spawns it, and it ends with the connection
//! ```
//!
//! All decisions are made by [`ledger`], which is synchronous and reads no clock. [`frame_observer`] is
//! between `h2` and the byte stream: it reads the few frames that `h2` reports too little about, and writes
//! in large pieces. Nothing here spawns tasks, and nothing is `Send`: the platform has one thread, and
//! natively a connection lives on one.
//!
//! Source: RFC 9113; Apple, "Sending notification requests to APNs" and "Establishing a token-based
//! connection to APNs".

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
