//! Requests for permits, and the decisions about them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Ticket;
use apns::time::Timestamp;

/// Identifies a lease. It is unique per credential, even if the gate lost its state in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub(super) u64);

/// A request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The number of pushes that the holder could have in flight; zero counts as one.
    pub want: u32,
    /// How long it needs them; clamped to [`MIN_TTL`](super::MIN_TTL) and [`MAX_TTL`](super::MAX_TTL).
    pub ttl: Duration,
    /// How long it waits for them, at most [`MAX_WAIT`](super::MAX_WAIT). Zero means that it does not wait.
    pub wait: Duration,
    /// Whether it also needs a connection of the pool, which is returned with the permits.
    pub pooled: bool,
    /// The share of the batch that needs them; `None` for an immediate request.
    pub share: Option<FairShare>,
}

/// A batch's weight when several batches compete for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairShare {
    /// A hash of the batch id. Batches with the same hash share one weight.
    pub batch: u64,
    /// Its weight relative to other batches; zero counts as one.
    pub weight: u32,
}

/// Permits that were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits {
    /// The lease to settle.
    pub lease: LeaseId,
    /// The number of pushes that may be in flight, from 1 to the requested number.
    pub count: u32,
    /// When they expire, settled or not.
    pub expires_at: Timestamp,
    /// Whether a connection of the pool was requested.
    pub pooled: bool,
    /// The share of the batch that uses them.
    pub share: Option<FairShare>,
}

/// The answer to a [`LeaseRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseDecision {
    /// The permits are granted.
    Granted(Permits),
    /// The request waits; [`Limiter::admit`](super::Limiter::admit) grants the permits later.
    Wait {
        /// The request's position in the queue.
        ticket: Ticket,
        /// When the wait is over.
        until: Timestamp,
    },
    /// No permits are free, and the queue is full or the request does not wait.
    Full {
        /// When to ask again.
        retry_after: Duration,
    },
}
