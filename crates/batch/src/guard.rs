//! Limits a batch to a few pushes while it is unknown whether APNs accepts them.
//!
//! This is the case at the start, and again after most of a chunk's pushes failed. Without the limit a batch
//! would touch every chunk in vain, and send all its pushes to a server in trouble. The first [`GUARDED`]
//! pushes are also sent alone, so that a batch with wrong device tokens (`bad_tokens`) pauses before all of
//! them are refused.

use std::time::Duration;

use super::count;
use super::results::Results;
use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

/// What is known about APNs so far.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether it is unknown if APNs accepts pushes now.
    is_probing: bool,
    ended: u64,
    /// How many recent pushes succeeded and failed. Older ones weigh less.
    well: u64,
    ill: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Guard {
    /// Creates the guard of a batch with `ended` final results. It must find out whether APNs accepts pushes,
    /// also after the object lost its memory.
    pub(super) const fn of(ended: u64) -> Self {
        Self {
            is_probing: true,
            ended,
            well: 0,
            ill: 0,
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
    pub(super) const fn probe(&mut self) {
        self.is_probing = true;
    }

    /// Records a runner's results. Returns whether they reveal trouble that was not known before.
    pub(super) fn note(&mut self, results: &Results) -> bool {
        let (mut well, mut ill) = (0, 0);
        for found in results.found.iter().filter(|found| !found.untried) {
            let pushes = count(found.places.len());
            match found.ending.verdict {
                Verdict::Accepted
                | Verdict::DropDevice
                | Verdict::CheckToken
                | Verdict::FixRequest
                | Verdict::Retry(RetryCause::Device) => well += pushes,
                Verdict::Retry(
                    RetryCause::Server
                    | RetryCause::Connection
                    | RetryCause::Network
                    | RetryCause::ProviderToken(_),
                )
                | Verdict::FixCredentials
                | Verdict::Unknown => ill += pushes,
                // Nothing was sent.
                Verdict::Duplicate => {}
            }
        }
        if self.is_probing {
            self.is_probing = well + ill == 0 || ill > well;
            (self.well, self.ill) = (0, 0);
            return false;
        }
        self.well += well;
        self.ill += ill;
        while self.well + self.ill > REMEMBERED {
            self.well /= 2;
            self.ill /= 2;
        }
        self.is_probing = self.ill > self.well && self.ill >= TROUBLE;
        self.is_probing
    }

    /// Returns when more pushes may be sent beside `out`, the last of which were sent at `last`. Returns `None` if
    /// those must end first.
    pub(super) fn admits_at(&self, out: u64, last: Timestamp) -> Option<Timestamp> {
        if self.ended < GUARDED && out > 0 && out + self.ended >= GUARDED {
            return None;
        }
        // If a probe gets no result, another one follows.
        let waits = self.is_probing && out >= PROBE;
        Some(if waits {
            last + PROBE_TIME
        } else {
            Timestamp::default()
        })
    }
}

/// The number of pushes at the start of a batch that are sent alone. They show whether its device tokens fit
/// the app.
pub const GUARDED: u64 = 500;

/// While it is unknown whether APNs accepts pushes, at most this many are out: a full chunk is sent alone.
const PROBE: u64 = 500;

/// How long to wait for a probe's result: its time in the queue, a wait for permits and the slowest answers.
/// If its runner died, waiting for the claim to expire would take longer.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// The number of recent pushes that are remembered: those of a full chunk.
const REMEMBERED: u64 = 500;

/// The minimum number of failed pushes that count as trouble. A few that are retried and fail again do not.
const TROUBLE: u64 = 100;
