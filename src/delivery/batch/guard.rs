//! Watches how pushes end, and keeps a batch from running into a wall.
//!
//! Two questions. Does APNs take pushes now? Until it does, and again when most of a run came back, only a few are out: a
//! batch that went on would touch every chunk in vain, and send a server in trouble all that it has. Are the device
//! tokens of the right environment? The first [`GUARDED`] tell, and until they have nothing goes out beside them.

use std::time::Duration;

use super::count;
use super::results::{Ending, Results};
use crate::apns::Reason;
use crate::delivery::verdict::{Again, Verdict};
use crate::time::Timestamp;

/// What is known so far.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether it is not known that APNs takes pushes now.
    is_probing: bool,
    /// Whether the first pushes were judged.
    is_decided: bool,
    ended: u64,
    bad_tokens: u64,
    /// How the pushes of the last runs went, well and ill; older ones weigh less.
    well: u64,
    ill: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self::of(&[], &[])
    }
}

impl Guard {
    /// The guard of a batch with these endings, and how many pushes have each. What APNs does now is to be found out,
    /// also by an object that forgot it.
    pub(super) fn of(endings: &[Ending], counts: &[u64]) -> Self {
        let bad = endings
            .iter()
            .zip(counts)
            .filter(|(ending, _)| is_bad_token(ending));
        let ended = counts.iter().sum();
        Self {
            is_probing: true,
            is_decided: ended >= GUARDED,
            ended,
            bad_tokens: bad.map(|(_, count)| count).sum(),
            well: 0,
            ill: 0,
        }
    }

    /// How many pushes have ended.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Counts pushes that have ended.
    pub(super) fn count(&mut self, ending: &Ending, pushes: u64) {
        self.ended += pushes;
        if is_bad_token(ending) {
            self.bad_tokens += pushes;
        }
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
                | Verdict::FixRequest
                | Verdict::Retry(Again::Device) => well += pushes,
                Verdict::Retry(
                    Again::Server | Again::Connection | Again::Network | Again::ProviderToken(_),
                )
                | Verdict::FixCredentials
                | Verdict::Unknown => ill += pushes,
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
        if !self.is_decided && out > 0 && out + self.ended >= GUARDED {
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

    /// Says what is wrong, once, if more of the first device tokens are bad than `percent`.
    pub(super) fn judge(&mut self, percent: u32) -> Option<String> {
        if self.is_decided {
            return None;
        }
        self.is_decided = self.ended >= GUARDED;
        // A chunk may bring more than the first ones: they count in proportion.
        let (bad, ended) = (self.bad_tokens, self.ended);
        are_too_many(bad, ended, percent).then(|| {
            format!(
                "APNs calls {bad} of the first {ended} device tokens bad: they are likely of the other environment"
            )
        })
    }
}

/// Whether so many bad device tokens, of the pushes that have ended, are more than `percent` of them.
pub(super) const fn are_too_many(bad: u64, ended: u64, percent: u32) -> bool {
    let ended = if ended < GUARDED { GUARDED } else { ended };
    bad.saturating_mul(100) > ended.saturating_mul(percent as u64)
}

fn is_bad_token(ending: &Ending) -> bool {
    ending.reason.as_deref() == Some(Reason::BAD_DEVICE_TOKEN.as_str())
}

/// The pushes at the start of a batch that tell whether its device tokens are of the right environment.
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

/// So many bad tokens, in percent, are never more than there are pushes.
pub(super) const NEVER: u32 = 100;
