//! Drives a fan-out: transports, leases, chunks.

pub(crate) mod chunk;
pub(crate) mod consumer;
pub(crate) mod fetch;
pub(crate) mod lease;
pub(crate) mod sender;
pub(crate) mod socket;
