//! Watches how pushes end, and holds a batch back while nothing good is known.
//!
//! Does APNs take pushes now? Until it does, and again when most of a run came back, only a few are out: a batch that went
//! on would touch every chunk in vain, and send a server in trouble all that it has. The first [`GUARDED`] pushes go out
//! alone as well, so that a batch with the wrong device tokens (`bad_tokens`) is paused before all of them are refused.

use std::time::Duration;

use super::count;
use super::results::Results;
use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

/// What is known so far.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether it is not known that APNs takes pushes now.
    is_probing: bool,
    ended: u64,
    /// How the pushes of the last runs went, well and ill; older ones weigh less.
    well: u64,
    ill: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Guard {
    /// The guard of a batch of which so many pushes have ended. What APNs does now is to be found out, also by an object
    /// that forgot it.
    pub(super) const fn of(ended: u64) -> Self {
        Self {
            is_probing: true,
            ended,
            well: 0,
            ill: 0,
        }
    }

    /// How many pushes have ended.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Counts pushes that have ended.
    pub(super) const fn count(&mut self, pushes: u64) {
        self.ended += pushes;
    }

    /// It is not known any more whether APNs takes pushes.
    pub(super) const fn probe(&mut self) {
        self.is_probing = true;
    }

    /// Takes in how a run's pushes went. Tells whether that means trouble, of which nothing was known.
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

    /// When more may go out beside `out` pushes, of which the last went out at `last`; nothing if they have to end first.
    pub(super) fn admits_at(&self, out: u64, last: Timestamp) -> Option<Timestamp> {
        if self.ended < GUARDED && out > 0 && out + self.ended >= GUARDED {
            return None;
        }
        // A probe of which nothing is heard is followed by another one.
        let waits = self.is_probing && out >= PROBE;
        Some(if waits {
            last + PROBE_TIME
        } else {
            Timestamp::default()
        })
    }
}

/// How many pushes at the start of a batch go out alone, and tell whether its device tokens fit the app.
pub const GUARDED: u64 = 500;

/// No chunk goes out beside so many pushes while it is not known whether APNs takes any: a full chunk goes alone.
const PROBE: u64 = 500;

/// How long a probe is waited for: its time in the queue, a wait for permits and the slowest answers. One whose runner died
/// would hold the batch up until its claim ends.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// How many pushes of the last runs are remembered: those of a full chunk.
const REMEMBERED: u64 = 500;

/// So many pushes must have come back before that means trouble: a few that are sent again, and fail again, do not.
const TROUBLE: u64 = 100;
