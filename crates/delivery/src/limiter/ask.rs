//! What the limiter is asked, and what comes of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Ticket;
use apns::time::Timestamp;

/// A lease's name. No two leases of a credential have the same, though an object lost its state in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub(super) u64);

/// A request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How many pushes the holder could have in flight; zero is taken as one.
    pub want: u32,
    /// How long it will need them; held to [`MIN_TTL`](super::MIN_TTL) and [`MAX_TTL`](super::MAX_TTL).
    pub ttl: Duration,
    /// How long it would wait for them; zero for not at all, at most [`MAX_WAIT`](super::MAX_WAIT).
    pub wait: Duration,
    /// Whether it asks for a connection of the pool as well; given back with the permits.
    pub pooled: bool,
    /// The batch that it is for; nothing for an immediate order.
    pub share: Option<Share>,
}

/// The claim of a batch to permits that several batches want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which batch: a number made from its id. Batches with the same number have one part together.
    pub batch: u64,
    /// Its part in proportion to those of other batches; zero is taken as one.
    pub weight: u32,
}

/// Permits that were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits {
    /// The lease to settle.
    pub lease: LeaseId,
    /// How many pushes may be in flight: from 1 to what was wanted.
    pub count: u32,
    /// When they go back, settled or not.
    pub expires_at: Timestamp,
    /// Whether a connection of the pool was asked for.
    pub pooled: bool,
    /// The batch that they are for.
    pub share: Option<Share>,
}

/// What comes of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Here they are.
    Granted(Permits),
    /// They come later, by [`Limiter::admit`](super::Limiter::admit).
    Wait {
        /// The place in the queue.
        ticket: Ticket,
        /// When the wait is over.
        until: Timestamp,
    },
    /// None are free, and the queue is full or the asker would not wait.
    Full {
        /// When to ask again.
        retry_after: Duration,
    },
}
