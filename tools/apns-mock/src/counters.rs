//! What happened since the start or the last reset, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// A number that many tasks move.
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
    /// By status and reason, without the successes.
    refusals: Mutex<BTreeMap<(u16, String), u64>>,
}

impl Counters {
    /// Notes that `opened` more requests wait for an answer.
    pub(crate) fn opened(&self, opened: u64) {
        self.in_flight.add(opened);
        self.peak_in_flight.raise_to(self.in_flight.get());
    }

    /// Notes an answer that is not a success.
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry((status, reason.to_owned())).or_default() += 1;
    }

    /// All refusals.
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

    /// Back to zero, except what is going on now: open connections and requests in flight.
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

/// How often one answer was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerCount {
    /// The HTTP status.
    pub status: u16,
    /// The reason; empty for 200 and for answers without one.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// Everything the server counted.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// Requests read to their end.
    pub requests: u64,
    /// Requests without authorization: a way to see whether the server is there, no fault of the client.
    pub probes: u64,
    /// Notifications taken for delivery, whether or not the answer reached the client.
    pub accepted: u64,
    /// Accepted notifications that took the place of one with the same collapse id (when recording).
    pub replaced: u64,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// Connections, of both protocols.
    pub connections: u64,
    /// Of these, HTTP/1.1.
    pub connections_h1: u64,
    /// Of these, HTTP/2.
    pub connections_h2: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections closed at once, by a fault.
    pub connections_refused: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Requests unanswered now.
    pub in_flight: u64,
    /// Most requests unanswered at one time.
    pub peak_in_flight: u64,
    /// Most requests unanswered at one time on one connection.
    pub peak_in_flight_on_one_connection: u64,
    /// Streams answered with `REFUSED_STREAM` for the stream limit or after a GOAWAY.
    pub streams_refused: u64,
    /// PINGs received.
    pub pings: u64,
    /// Different provider tokens seen with a good signature.
    pub provider_tokens: u64,
    /// Registered devices, both environments.
    pub devices: u64,
    /// Answers by status and reason.
    pub answers: Vec<AnswerCount>,
    /// How often the client broke a rule.
    pub violations_total: u64,
    /// The first of these, in words.
    pub violations: Vec<String>,
}
