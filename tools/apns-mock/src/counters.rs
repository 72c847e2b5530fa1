//! Counters since the start or the last reset.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// A counter that many tasks change.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(crate) fn raise_to(&self, value: u64) {
        if self.get() < value {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The server's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: Count,
    pub(crate) probes: Count,
    pub(crate) accepted: Count,
    pub(crate) body_bytes: Count,
    pub(crate) connections_h1: Count,
    pub(crate) connections_h2: Count,
    pub(crate) connections_open: Count,
    pub(crate) connections_refused: Count,
    pub(crate) handshakes_failed: Count,
    pub(crate) in_flight: Count,
    pub(crate) peak_in_flight: Count,
    pub(crate) peak_in_flight_on_one_connection: Count,
    pub(crate) streams_refused: Count,
    pub(crate) pings: Count,
    pub(crate) answered_ok: Count,
    /// Answers other than success, by status and reason.
    refusals: Mutex<BTreeMap<(u16, String), u64>>,
}

impl Counters {
    /// Counts `opened` more requests in flight.
    pub(crate) fn opened(&self, opened: u64) {
        self.in_flight.add(opened);
        self.peak_in_flight.raise_to(self.in_flight.get());
    }

    /// Counts an answer that is not a success.
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry((status, reason.to_owned())).or_default() += 1;
    }

    /// Returns all refusals.
    pub(crate) fn refusals(&self) -> Vec<AnswerCount> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals
            .iter()
            .map(|((status, reason), count)| AnswerCount {
                status: *status,
                reason: reason.clone(),
                count: *count,
            })
            .collect()
    }

    /// Resets all counters except those of the current state: open connections and requests in flight.
    pub(crate) fn reset(&self) {
        for count in [
            &self.requests,
            &self.probes,
            &self.accepted,
            &self.body_bytes,
            &self.connections_h1,
            &self.connections_h2,
            &self.connections_refused,
            &self.handshakes_failed,
            &self.peak_in_flight,
            &self.peak_in_flight_on_one_connection,
            &self.streams_refused,
            &self.pings,
            &self.answered_ok,
        ] {
            count.clear();
        }
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// How often one kind of answer was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerCount {
    /// The HTTP status.
    pub status: u16,
    /// The reason. Empty for 200 and for answers without one.
    pub reason: String,
    /// The number of these answers.
    pub count: u64,
}

/// Everything that the server has counted.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// Complete requests.
    pub requests: u64,
    /// Requests without authorization: they only check whether the server is reachable, and are no fault of
    /// the client.
    pub probes: u64,
    /// Notifications that were accepted, whether or not the answer reached the client.
    pub accepted: u64,
    /// Accepted notifications that replaced one with the same collapse id (when recording).
    pub replaced: u64,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// Connections, of both protocols.
    pub connections: u64,
    /// Connections with HTTP/1.1.
    pub connections_h1: u64,
    /// Connections with HTTP/2.
    pub connections_h2: u64,
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections that a fault closed at once.
    pub connections_refused: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// The most requests in flight at the same time.
    pub peak_in_flight: u64,
    /// The most requests in flight at the same time on one connection.
    pub peak_in_flight_on_one_connection: u64,
    /// Streams that were refused with `REFUSED_STREAM`, because of the stream limit or after a GOAWAY.
    pub streams_refused: u64,
    /// PINGs received.
    pub pings: u64,
    /// Different provider tokens with a valid signature.
    pub provider_tokens: u64,
    /// Registered devices in both environments.
    pub devices: u64,
    /// Answers by status and reason.
    pub answers: Vec<AnswerCount>,
    /// How often the client violated a rule.
    pub violations_total: u64,
    /// The first violations, as text.
    pub violations: Vec<String>,
}
