//! Ring 2: our policy as decisions.
//!
//! How many pushes are in flight, with which provider token, what an answer means, when to try again. In scope:
//! machines that turn an input and a moment into what to do next. Out of scope: doing it (`shell`).

pub mod audience;
pub mod backoff;
pub mod batch;
pub mod calendar;
pub mod dead_letter;
pub mod fanout;
pub mod gate;
pub mod limiter;
pub mod machine;
pub mod metrics;
pub mod opening;
pub mod outbox;
pub mod places;
pub mod pool;
pub mod receipt;
pub mod registry;
pub mod schedule;
pub mod segment;
pub mod sql;
pub mod template;
pub mod verdict;
pub mod walk;
pub mod watchers;
pub mod webhook;
