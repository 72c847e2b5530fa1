//! How far a chunk is: its row, beside the one with its device lines, from its first claim on.
//!
//! Each push is in one of four sets: it has ended (a letter), it waits for another round, a runner has it, or none of
//! these, and then it is ready. A runner's claim ends by itself when its time is over, and its pushes are sent again.

use serde::{Deserialize, Serialize};

use super::results::{Detail, OPEN, letter};
use crate::delivery::places::Places;
use crate::time::Timestamp;

/// How far a chunk is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The runner that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The pushes that are sent again, by when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// A letter a push, the ending that it had; empty as long as none has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endings: String,
    /// What single pushes have beside their ending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// What a runner has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it ends by itself; no two claims of a chunk end at the same moment, so that it is also its name.
    pub until: Timestamp,
    /// The pushes that have not ended yet.
    pub parts: Vec<Part>,
}

/// Pushes with the same past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many rounds they have behind them.
    pub rounds: u32,
    /// How often they were sent.
    pub attempts: u8,
    /// Which.
    pub places: Places,
}

/// Pushes that are sent again at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// When.
    pub due_at: Timestamp,
    /// Which, and their past.
    pub part: Part,
}

impl Progress {
    /// The pushes that a runner has.
    #[must_use]
    pub fn in_flight(&self) -> Places {
        let parts = self.claim.iter().flat_map(|claim| &claim.parts);
        union(parts.map(|part| part.places))
    }

    /// The pushes that wait for another round.
    #[must_use]
    pub fn put_off(&self) -> Places {
        union(self.waiting.iter().map(|waiting| waiting.part.places))
    }

    /// The pushes that have ended.
    #[must_use]
    pub fn ended(&self) -> Places {
        let letters = self.endings.chars().enumerate();
        letters
            .filter(|(_, letter)| *letter != OPEN)
            .map(|(place, _)| place)
            .collect()
    }

    /// The pushes, of so many, that can be sent and were not tried yet.
    #[must_use]
    pub fn ready(&self, pushes: usize) -> Places {
        Places::first(pushes)
            .without(self.ended())
            .without(self.put_off())
            .without(self.in_flight())
    }

    /// When the next push can be sent: nothing if all that are left are with a runner.
    #[must_use]
    pub fn due_at(&self, pushes: usize) -> Option<Timestamp> {
        if self.claim.is_some() {
            return None;
        }
        if !self.ready(pushes).is_empty() {
            return Some(Timestamp::from_millis(0));
        }
        self.waiting.iter().map(|waiting| waiting.due_at).min()
    }

    /// Hands a runner up to `most` of the pushes that can be sent now: those that wait first, and the longest.
    pub fn claim(&mut self, pushes: usize, most: usize, until: Timestamp, now: Timestamp) -> Places {
        let ready = Part {
            rounds: 0,
            attempts: 0,
            places: self.ready(pushes),
        };
        self.waiting.sort_by_key(|waiting| waiting.due_at);
        let (due, later) = self.waiting.iter().partition(|waiting| waiting.due_at <= now);
        self.waiting = later;
        let due: Vec<Waiting> = due;
        let mut parts: Vec<Part> = Vec::new();
        let mut left = most;
        for (part, due_at) in due
            .iter()
            .map(|waiting| (waiting.part, waiting.due_at))
            .chain([(ready, now)])
        {
            let taken: Places = part.places.iter().take(left).collect();
            left -= taken.len();
            let rest = part.places.without(taken);
            if !taken.is_empty() {
                parts.push(Part {
                    places: taken,
                    ..part
                });
            }
            if !rest.is_empty() && part.rounds + u32::from(part.attempts) > 0 {
                let part = Part { places: rest, ..part };
                self.waiting.push(Waiting { due_at, part });
            }
        }
        let claimed = union(parts.iter().map(|part| part.places));
        if !claimed.is_empty() {
            self.claim = Some(Claim { until, parts });
        }
        claimed
    }

    /// Takes pushes from the runner, with their past.
    pub fn withdraw(&mut self, places: Places) -> Vec<Part> {
        let Some(claim) = &mut self.claim else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for part in &mut claim.parts {
            let both = part.places.both(places);
            part.places = part.places.without(both);
            if !both.is_empty() {
                taken.push(Part {
                    places: both,
                    ..*part
                });
            }
        }
        claim.parts.retain(|part| !part.places.is_empty());
        taken
    }

    /// Pushes are sent again, from `due_at` on; those that were never tried at a moment that is over are ready.
    pub fn put_back(&mut self, part: Part, due_at: Timestamp, now: Timestamp) {
        if part.places.is_empty() || (part.rounds == 0 && part.attempts == 0 && due_at <= now) {
            return;
        }
        let same = |waiting: &&mut Waiting| {
            waiting.due_at == due_at
                && (waiting.part.rounds, waiting.part.attempts) == (part.rounds, part.attempts)
        };
        match self.waiting.iter_mut().find(same) {
            Some(waiting) => waiting.part.places = waiting.part.places.with(part.places),
            None => self.waiting.push(Waiting { due_at, part }),
        }
    }

    /// The runner has the chunk no more; what it had is sent again, from `due_at` on.
    pub fn end_claim(&mut self, due_at: Timestamp, now: Timestamp) {
        for part in self.claim.take().map(|claim| claim.parts).unwrap_or_default() {
            self.put_back(part, due_at, now);
        }
    }

    /// Pushes, of so many, have ended as number `ending` says. Gives those that had no ending before.
    pub fn end(&mut self, places: Places, ending: usize, pushes: usize) -> Places {
        let new = places.both(Places::first(pushes)).without(self.ended());
        if new.is_empty() {
            return new;
        }
        self.withdraw(new);
        for waiting in &mut self.waiting {
            waiting.part.places = waiting.part.places.without(new);
        }
        self.waiting.retain(|waiting| !waiting.part.places.is_empty());
        let (letter, mut letters) = (letter(ending), self.endings.chars());
        self.endings = (0..pushes)
            .map(|place| {
                let before = letters.next().unwrap_or(OPEN);
                if new.contains(place) { letter } else { before }
            })
            .collect();
        new
    }

    /// Keeps what single pushes have, of those that have just ended.
    pub fn keep_details(&mut self, details: &[Detail], ended: Places) {
        let kept = details.iter().filter(|detail| ended.contains(detail.place));
        self.details.extend(kept.cloned());
    }
}

fn union(sets: impl Iterator<Item = Places>) -> Places {
    sets.fold(Places::NONE, Places::with)
}
