//! The circuit breaker of a batch: limits it to a few pushes while it is unknown whether APNs accepts them.
//!
//! It is half-open at the start, and again after most of a chunk's pushes failed. Without the limit a batch
//! would touch every chunk in vain, and send all its pushes to a server in trouble. The first
//! [`INITIAL_PUSHES`] pushes are also sent before any others, so that a batch with wrong device tokens
//! (`bad_tokens`) pauses before all of them are refused.

use std::time::Duration;

use super::count;
use super::results::Results;
use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

/// What is known about APNs so far.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    /// Whether it is unknown if APNs accepts pushes now.
    is_half_open: bool,
    ended: u64,
    /// How many recent pushes succeeded and failed. Older ones weigh less.
    ok: u64,
    failed: u64,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::of(0)
    }
}

impl CircuitBreaker {
    /// Creates the circuit breaker of a batch with `ended` final results. It is half-open, also after the
    /// object lost its memory.
    pub(super) const fn of(ended: u64) -> Self {
        Self {
            is_half_open: true,
            ended,
            ok: 0,
            failed: 0,
        }
    }

    /// Returns the number of final results.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Adds final results.
    pub(super) const fn count(&mut self, pushes: u64) {
        self.ended += pushes;
    }

    /// Records that it is unknown whether APNs accepts pushes.
    pub(super) const fn half_open(&mut self) {
        self.is_half_open = true;
    }

    /// Records a runner's results. Returns whether they reveal trouble that was not known before.
    pub(super) fn note(&mut self, results: &Results) -> bool {
        let (mut ok, mut failed) = (0, 0);
        for group in results.groups.iter().filter(|group| !group.untried) {
            let pushes = count(group.indices.len());
            match group.result.verdict {
                Verdict::Accepted
                | Verdict::DropDevice
                | Verdict::CheckToken
                | Verdict::FixRequest
                | Verdict::Retry(RetryCause::Device) => ok += pushes,
                Verdict::Retry(
                    RetryCause::Server
                    | RetryCause::Connection
                    | RetryCause::Network
                    | RetryCause::ProviderToken(_),
                )
                | Verdict::FixCredentials
                | Verdict::Unknown => failed += pushes,
                // Nothing was sent.
                Verdict::Duplicate => {}
            }
        }
        if self.is_half_open {
            self.is_half_open = ok + failed == 0 || failed > ok;
            (self.ok, self.failed) = (0, 0);
            return false;
        }
        self.ok += ok;
        self.failed += failed;
        while self.ok + self.failed > REMEMBERED {
            self.ok /= 2;
            self.failed /= 2;
        }
        self.is_half_open = self.failed > self.ok && self.failed >= TRIP_FAILURES;
        self.is_half_open
    }

    /// Returns when more pushes may be sent beside `out` pushes, which were last added to at `last`. Returns
    /// `None` if some of them must end first.
    pub(super) fn admits_at(&self, out: u64, last: Timestamp) -> Option<Timestamp> {
        if self.ended < INITIAL_PUSHES && out > 0 && out + self.ended >= INITIAL_PUSHES {
            return None;
        }
        // If a probe gets no result, another one follows.
        let waits = self.is_half_open && out >= HALF_OPEN_PUSHES;
        Some(if waits {
            last + HALF_OPEN_TIME
        } else {
            Timestamp::default()
        })
    }
}

/// The number of pushes at the start of a batch that are sent before any others. They show whether its device
/// tokens fit the app.
pub const INITIAL_PUSHES: u64 = 500;

/// The maximum number of pushes that are out while the breaker is half-open: one full chunk.
const HALF_OPEN_PUSHES: u64 = 500;

/// How long to wait for a probe's result: its time in the queue, a wait for permits and the slowest answers.
/// If its runner died, waiting for the claim to expire would take longer.
const HALF_OPEN_TIME: Duration = Duration::from_secs(20);

/// The number of recent pushes that are remembered: one full chunk.
const REMEMBERED: u64 = 500;

/// The minimum number of failed pushes that count as trouble. A few that are retried and fail again do not.
const TRIP_FAILURES: u64 = 100;
