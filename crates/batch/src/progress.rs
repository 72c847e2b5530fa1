//! The progress of a chunk. It has its own row, beside the one with the device lines, from the first claim
//! on.
//!
//! Each push is in one of four states: it has a final result (a result code), waits for a retry, is with a
//! runner, or is ready. A runner's claim expires when its time is over, and its pushes are sent again.

use serde::{Deserialize, Serialize};

use super::results::{Detail, OPEN, letter};
use crate::places::Places;
use apns::time::Timestamp;

/// The progress of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row")]
pub struct Progress {
    /// The claim of the runner that has the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The pushes that wait for a retry, by due time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// One result code per push; empty while no push has a final result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endings: String,
    /// Details of single pushes that are not stored yet. Stored details are in their own rows: the progress
    /// rows of many chunks are read at once, and in the sandbox each push has an id.
    #[serde(skip)]
    pub details: Vec<Detail>,
    /// The pushes that are left out as duplicates: the index of each in the chunk, and the position in the
    /// upload of the push with the same device and content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<(usize, u32)>,
    /// The pushes with an attempt whose result is unknown. APNs may have accepted them, whatever it answered
    /// later.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    pub uncertain: Places,
    /// The pushes that have a final result.
    #[serde(skip)]
    ended: Places,
}

/// The stored form of a progress.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    claim: Option<Claim>,
    #[serde(default)]
    waiting: Vec<Waiting>,
    #[serde(default)]
    endings: String,
    #[serde(default)]
    duplicates: Vec<(usize, u32)>,
    #[serde(default)]
    uncertain: Places,
}

/// A runner's claim on a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it expires. No two claims of a chunk expire at the same moment, so this is also the claim's id.
    pub until: Timestamp,
    /// The claimed pushes without a final result.
    pub parts: Vec<Part>,
}

/// Pushes with the same history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The number of completed rounds.
    pub rounds: u32,
    /// The number of attempts.
    pub attempts: u8,
    /// When they first failed; for pushes with one attempt, when they were first claimed. From then on they
    /// are retried for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// The indices of the pushes.
    pub places: Places,
}

/// Pushes that are retried at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// When the retry is due.
    pub due_at: Timestamp,
    /// The pushes and their history.
    pub part: Part,
}

impl Progress {
    /// Creates the progress of a chunk that is staged with these duplicates. Duplicates have the batch's
    /// first result.
    #[must_use]
    pub fn staged(pushes: usize, duplicates: Vec<(usize, u32)>) -> Self {
        let mut progress = Self::default();
        let places = duplicates.iter().map(|(place, _)| *place).collect();
        progress.end(places, DUPLICATE, pushes);
        progress.duplicates = duplicates;
        progress
    }

    /// Returns the position of the push that has the same device and content as the one at this index.
    #[must_use]
    pub fn duplicate_of(&self, place: usize) -> Option<u32> {
        let found = self.duplicates.binary_search_by_key(&place, |(place, _)| *place);
        self.duplicates.get(found.ok()?).map(|(_, of)| *of)
    }

    /// Returns the pushes that a runner has.
    #[must_use]
    pub fn in_flight(&self) -> Places {
        let parts = self.claim.iter().flat_map(|claim| &claim.parts);
        union(parts.map(|part| part.places))
    }

    /// Returns the pushes that wait for a retry.
    #[must_use]
    pub fn put_off(&self) -> Places {
        union(self.waiting.iter().map(|waiting| waiting.part.places))
    }

    /// Returns the pushes that have a final result.
    #[must_use]
    pub const fn ended(&self) -> Places {
        self.ended
    }

    /// Records that the result of an attempt at these pushes is unknown.
    pub fn doubt(&mut self, places: Places) {
        self.uncertain = self.uncertain.with(places);
    }

    /// Returns the pushes that can be sent and were not tried yet. `pushes` is the size of the chunk.
    #[must_use]
    pub fn ready(&self, pushes: usize) -> Places {
        Places::first(pushes)
            .without(self.ended)
            .without(self.put_off())
            .without(self.in_flight())
    }

    /// Returns the pushes that can be sent now. `pushes` is the size of the chunk.
    #[must_use]
    pub fn sendable(&self, pushes: usize, now: Timestamp) -> Places {
        let due = self.waiting.iter().filter(|waiting| waiting.due_at <= now);
        union(due.map(|waiting| waiting.part.places)).with(self.ready(pushes))
    }

    /// Returns when the next push can be sent. Returns `None` if all that are left are with a runner.
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

    /// Claims up to `most` of the pushes that can be sent now. Takes waiting ones first, the longest waiting
    /// before others.
    pub fn claim(&mut self, pushes: usize, most: usize, until: Timestamp, now: Timestamp) -> Places {
        let ready = Part::untouched(self.ready(pushes));
        self.waiting.sort_by_key(|waiting| waiting.due_at);
        let due: Vec<Waiting> = self
            .waiting
            .extract_if(.., |waiting| waiting.due_at <= now)
            .collect();
        let due = due.iter().map(|waiting| (waiting.part, waiting.due_at));
        let (mut parts, mut left): (Vec<Part>, usize) = (Vec::new(), most);
        for (part, due_at) in due.chain([(ready, now)]) {
            let places: Places = part.places.iter().take(left).collect();
            left -= places.len();
            if !places.is_empty() {
                parts.push(Part { places, ..part });
            }
            let places = part.places.without(places);
            self.put_back(Part { places, ..part }, due_at, now);
        }
        let claimed = union(parts.iter().map(|part| part.places));
        if !claimed.is_empty() {
            self.claim = Some(Claim { until, parts });
        }
        claimed
    }

    /// Records the first turn of the claimed pushes, unless they had one before. Returns the earliest of
    /// their first turns.
    pub fn note_turn(&mut self, now: Timestamp) -> Timestamp {
        let parts = self.claim.iter_mut().flat_map(|claim| &mut claim.parts);
        let turns = parts.map(|part| *part.first_at.get_or_insert(now));
        turns.min().unwrap_or(now)
    }

    /// Removes pushes from the claim and returns them with their history.
    pub fn withdraw(&mut self, places: Places) -> Vec<Part> {
        let Some(claim) = &mut self.claim else {
            return Vec::new();
        };
        let parts = claim.parts.iter_mut();
        let taken = parts.filter_map(|part| part.split(places)).collect();
        claim.parts.retain(|part| !part.places.is_empty());
        taken
    }

    /// Removes pushes without a final result, wherever they are, and returns them with their history.
    pub fn take_out(&mut self, places: Places, pushes: usize) -> Vec<Part> {
        let open = places.both(Places::first(pushes)).without(self.ended);
        if open.is_empty() {
            return Vec::new();
        }
        let mut taken = self.withdraw(open);
        let waiting = self.waiting.iter_mut();
        taken.extend(waiting.filter_map(|waiting| waiting.part.split(open)));
        self.waiting.retain(|waiting| !waiting.part.places.is_empty());
        let untouched = open.without(union(taken.iter().map(|part| part.places)));
        if !untouched.is_empty() {
            taken.push(Part::untouched(untouched));
        }
        taken
    }

    /// Schedules a retry at `due_at`. Pushes that were never tried are ready again if `due_at` has passed.
    pub fn put_back(&mut self, part: Part, due_at: Timestamp, now: Timestamp) {
        let is_untouched = part.rounds == 0 && part.attempts == 0 && part.first_at.is_none();
        if part.places.is_empty() || (is_untouched && due_at <= now) {
            return;
        }
        let same = |waiting: &&mut Waiting| waiting.due_at == due_at && waiting.part.has_past_of(&part);
        match self.waiting.iter_mut().find(same) {
            Some(waiting) => waiting.part.places = waiting.part.places.with(part.places),
            None => self.waiting.push(Waiting { due_at, part }),
        }
    }

    /// Removes the claim and returns its pushes.
    pub fn take_claim(&mut self) -> Vec<Part> {
        self.claim.take().map(|claim| claim.parts).unwrap_or_default()
    }

    /// Removes a claim without pushes.
    pub fn close_claim(&mut self) {
        self.claim.take_if(|claim| claim.parts.is_empty());
    }

    /// Sets the final result number `ending` of pushes that were removed before. `pushes` is the size of the
    /// chunk.
    pub fn end(&mut self, places: Places, ending: usize, pushes: usize) {
        let letter = letter(ending);
        let mut letters: Vec<char> = self.endings.chars().collect();
        letters.resize(pushes.max(letters.len()), OPEN);
        for place in places.iter() {
            if let Some(open) = letters.get_mut(place) {
                *open = letter;
            }
        }
        self.endings = letters.into_iter().collect();
        self.ended = self.ended.with(places);
    }

    /// Keeps the details of those pushes that have just ended.
    pub fn keep_details(&mut self, details: &[Detail], ended: Places) {
        let kept = details.iter().filter(|detail| ended.contains(detail.place));
        self.details.extend(kept.cloned());
    }
}

impl Part {
    /// Creates a group of pushes that were never tried.
    const fn untouched(places: Places) -> Self {
        Self {
            rounds: 0,
            attempts: 0,
            first_at: None,
            places,
        }
    }

    /// Removes some of the pushes from the group and returns them.
    fn split(&mut self, places: Places) -> Option<Self> {
        let places = self.places.both(places);
        self.places = self.places.without(places);
        (!places.is_empty()).then_some(Self { places, ..*self })
    }

    fn has_past_of(&self, other: &Self) -> bool {
        (self.rounds, self.attempts, self.first_at) == (other.rounds, other.attempts, other.first_at)
    }
}

impl From<Row> for Progress {
    fn from(row: Row) -> Self {
        let letters = row.endings.chars().enumerate();
        let ended = letters.filter(|(_, letter)| *letter != OPEN);
        let ended = ended.map(|(place, _)| place).collect();
        Self {
            claim: row.claim,
            waiting: row.waiting,
            endings: row.endings,
            details: Vec::new(),
            duplicates: row.duplicates,
            uncertain: row.uncertain,
            ended,
        }
    }
}

/// The result number of duplicates, in a batch that has some.
const DUPLICATE: usize = 0;

fn union(sets: impl Iterator<Item = Places>) -> Places {
    sets.fold(Places::NONE, Places::with)
}
