//! How far a chunk is: its row, beside the one with its device lines, from its first claim on.
//!
//! Each push is in one of four sets: it has ended (a letter), it waits for another round, a runner has it, or none of
//! these, and then it is ready. A runner's claim ends by itself when its time is over, and its pushes are sent again.

use serde::{Deserialize, Serialize};

use super::results::{Detail, OPEN, letter};
use crate::places::Places;
use apns::time::Timestamp;

/// How far a chunk is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row")]
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
    /// What single pushes have beside their ending and no row has yet: the rows of many chunks are read at once, and in the
    /// sandbox each push has an id.
    #[serde(skip)]
    pub details: Vec<Detail>,
    /// The pushes that are left out: each one's place in the chunk, and the position in the upload of the push that takes the
    /// same content to its device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<(usize, u32)>,
    /// The pushes with an attempt of which nobody knows how it ended: APNs may have accepted them, whatever it answered later.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    pub uncertain: Places,
    /// The pushes that have a letter.
    #[serde(skip)]
    ended: Places,
}

/// A progress as it is stored.
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
    /// When they came back for the first time, or with one attempt when they had their first turn: from then on they are sent
    /// again for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
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
    /// A chunk of so many pushes as it is staged, of which these are left out. Their ending is the batch's first.
    #[must_use]
    pub fn staged(pushes: usize, duplicates: Vec<(usize, u32)>) -> Self {
        let mut progress = Self::default();
        let places = duplicates.iter().map(|(place, _)| *place).collect();
        progress.end(places, DUPLICATE, pushes);
        progress.duplicates = duplicates;
        progress
    }

    /// The position of the push that takes the same content to the device as the one at `place`.
    #[must_use]
    pub fn duplicate_of(&self, place: usize) -> Option<u32> {
        let found = self.duplicates.binary_search_by_key(&place, |(place, _)| *place);
        self.duplicates.get(found.ok()?).map(|(_, of)| *of)
    }

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
    pub const fn ended(&self) -> Places {
        self.ended
    }

    /// Remembers that nobody knows how an attempt at these pushes ended.
    pub fn doubt(&mut self, places: Places) {
        self.uncertain = self.uncertain.with(places);
    }

    /// The pushes, of so many, that can be sent and were not tried yet.
    #[must_use]
    pub fn ready(&self, pushes: usize) -> Places {
        Places::first(pushes)
            .without(self.ended)
            .without(self.put_off())
            .without(self.in_flight())
    }

    /// The pushes, of so many, that can be sent now.
    #[must_use]
    pub fn sendable(&self, pushes: usize, now: Timestamp) -> Places {
        let due = self.waiting.iter().filter(|waiting| waiting.due_at <= now);
        union(due.map(|waiting| waiting.part.places)).with(self.ready(pushes))
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

    /// The claim's pushes have had a turn now, unless they had one before. Returns the earliest of their turns.
    pub fn note_turn(&mut self, now: Timestamp) -> Timestamp {
        let parts = self.claim.iter_mut().flat_map(|claim| &mut claim.parts);
        let turns = parts.map(|part| *part.first_at.get_or_insert(now));
        turns.min().unwrap_or(now)
    }

    /// Takes pushes from the runner, with their past.
    pub fn withdraw(&mut self, places: Places) -> Vec<Part> {
        let Some(claim) = &mut self.claim else {
            return Vec::new();
        };
        let parts = claim.parts.iter_mut();
        let taken = parts.filter_map(|part| part.split(places)).collect();
        claim.parts.retain(|part| !part.places.is_empty());
        taken
    }

    /// Takes pushes, of so many, that have not ended, with their past, wherever they are.
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

    /// Pushes are sent again, from `due_at` on; those that were never tried at a moment that is over are ready.
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

    /// The runner has the chunk no more. Gives what it had.
    pub fn take_claim(&mut self) -> Vec<Part> {
        self.claim.take().map(|claim| claim.parts).unwrap_or_default()
    }

    /// A runner that has nothing any more has no claim.
    pub fn close_claim(&mut self) {
        self.claim.take_if(|claim| claim.parts.is_empty());
    }

    /// Pushes that were taken out, of a chunk with so many, have ended as number `ending` says.
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

    /// Keeps what single pushes have, of those that have just ended.
    pub fn keep_details(&mut self, details: &[Detail], ended: Places) {
        let kept = details.iter().filter(|detail| ended.contains(detail.place));
        self.details.extend(kept.cloned());
    }
}

impl Part {
    /// Pushes that were never tried.
    const fn untouched(places: Places) -> Self {
        Self {
            rounds: 0,
            attempts: 0,
            first_at: None,
            places,
        }
    }

    /// Takes some of the pushes away, if they are among them.
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

/// The number of the ending of pushes that are left out, in a batch that has some.
const DUPLICATE: usize = 0;

fn union(sets: impl Iterator<Item = Places>) -> Places {
    sets.fold(Places::NONE, Places::with)
}
