//! How pushes are sent: our policy as decisions.
//!
//! How many pushes are in flight, with which provider token, what an answer means, when to try again. In scope: state
//! machines that turn an input and a moment into what to do next. Out of scope: doing it (the Worker), and what is kept
//! between requests (crates `batch` and `campaign`).

pub mod backoff;
pub mod fanout;
pub mod gate;
pub mod limiter;
pub mod machine;
pub mod metrics;
pub mod opening;
pub mod pool;
pub mod receipt;
pub mod sql;
pub mod verdict;
