//! The Durable Objects.

pub(crate) mod audience;
pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod gate;
pub(crate) mod host;
pub(crate) mod metrics;
pub(crate) mod registry;
pub(crate) mod scheduler;
