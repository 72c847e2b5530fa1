//! The sending policy, as synchronous state machines.
//!
//! They decide how many pushes are in flight, which provider token they use, what an answer means and when to
//! retry. The Worker executes the decisions. The crates `batch` and `campaign` hold the state that outlives a
//! request.

pub mod backoff;
pub mod dial;
pub mod fanout;
pub mod gate;
pub mod limiter;
pub mod machine;
pub mod metrics;
pub mod pool;
pub mod receipt;
pub mod sql;
pub mod verdict;
