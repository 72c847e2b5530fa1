//! The progress of a chunk. It has its own row, beside the one with the device lines, from the first claim
//! on.
//!
//! Each push is in one of four states: it has a final result (a result code), waits for a retry, is with a
//! runner, or is ready. A runner's claim expires when its time is over, and its pushes are sent again.

use serde::{Deserialize, Serialize};

use super::results::{Detail, NO_RESULT, result_code};
use crate::bit_set::BitSet;
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
    pub retries: Vec<RetryGroup>,
    /// One result code per push; empty while no push has a final result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result_codes: String,
    /// Details of single pushes that are not stored yet. Stored details are in their own rows: the progress
    /// rows of many chunks are read at once, and in the sandbox each push has an id.
    #[serde(skip)]
    pub details: Vec<Detail>,
    /// The duplicates, which are left out: the index of each in the chunk, and the position in the upload of
    /// the push that it repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<(usize, u32)>,
    /// The pushes with an attempt whose result is unknown. APNs may have accepted them, whatever it answered
    /// later.
    #[serde(default, skip_serializing_if = "BitSet::is_empty")]
    pub uncertain: BitSet,
    /// The pushes that have a final result.
    #[serde(skip)]
    ended: BitSet,
}

/// The stored form of a progress.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    claim: Option<Claim>,
    #[serde(default)]
    retries: Vec<RetryGroup>,
    #[serde(default)]
    result_codes: String,
    #[serde(default)]
    duplicates: Vec<(usize, u32)>,
    #[serde(default)]
    uncertain: BitSet,
}

/// A runner's claim on a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When it expires. No two claims of a chunk expire at the same moment, so this is also the claim's id.
    pub until: Timestamp,
    /// The claimed pushes without a final result.
    pub groups: Vec<AttemptGroup>,
}

/// Pushes with the same history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptGroup {
    /// The number of completed rounds.
    pub rounds: u32,
    /// The number of attempts.
    pub attempts: u8,
    /// When they first failed; for pushes with one attempt, when they were first claimed. From then on they
    /// are retried for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// The indices of the pushes.
    pub indices: BitSet,
}

/// Pushes that are retried at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryGroup {
    /// When the retry is due.
    pub due_at: Timestamp,
    /// The pushes and their history.
    pub group: AttemptGroup,
}

impl Progress {
    /// Creates the progress of a chunk that is staged with these duplicates. Duplicates have the batch's
    /// first result.
    #[must_use]
    pub fn staged(pushes: usize, duplicates: Vec<(usize, u32)>) -> Self {
        let mut progress = Self::default();
        let indices = duplicates.iter().map(|(index, _)| *index).collect();
        progress.end(indices, DUPLICATE, pushes);
        progress.duplicates = duplicates;
        progress
    }

    /// Returns the position of the push that has the same device and content as the one at this index.
    #[must_use]
    pub fn duplicate_of(&self, index: usize) -> Option<u32> {
        let found = self.duplicates.binary_search_by_key(&index, |(index, _)| *index);
        self.duplicates.get(found.ok()?).map(|(_, of)| *of)
    }

    /// Returns the pushes that a runner has.
    #[must_use]
    pub fn in_flight(&self) -> BitSet {
        let groups = self.claim.iter().flat_map(|claim| &claim.groups);
        union(groups.map(|group| group.indices))
    }

    /// Returns the pushes that wait for a retry.
    #[must_use]
    pub fn rescheduled(&self) -> BitSet {
        union(self.retries.iter().map(|retry| retry.group.indices))
    }

    /// Returns the pushes that have a final result.
    #[must_use]
    pub const fn ended(&self) -> BitSet {
        self.ended
    }

    /// Records that the result of an attempt at these pushes is unknown.
    pub fn doubt(&mut self, indices: BitSet) {
        self.uncertain = self.uncertain.with(indices);
    }

    /// Returns the pushes that can be sent and were not tried yet. `pushes` is the size of the chunk.
    #[must_use]
    pub fn ready(&self, pushes: usize) -> BitSet {
        BitSet::first(pushes)
            .without(self.ended)
            .without(self.rescheduled())
            .without(self.in_flight())
    }

    /// Returns the pushes that can be sent now. `pushes` is the size of the chunk.
    #[must_use]
    pub fn sendable(&self, pushes: usize, now: Timestamp) -> BitSet {
        let due = self.retries.iter().filter(|retry| retry.due_at <= now);
        union(due.map(|retry| retry.group.indices)).with(self.ready(pushes))
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
        self.retries.iter().map(|retry| retry.due_at).min()
    }

    /// Claims up to `most` of the pushes that can be sent now. Takes waiting ones first, the longest waiting
    /// before others.
    pub fn claim(&mut self, pushes: usize, most: usize, until: Timestamp, now: Timestamp) -> BitSet {
        let ready = AttemptGroup::untouched(self.ready(pushes));
        self.retries.sort_by_key(|retry| retry.due_at);
        let due: Vec<RetryGroup> = self.retries.extract_if(.., |retry| retry.due_at <= now).collect();
        let due = due.iter().map(|retry| (retry.group, retry.due_at));
        let (mut groups, mut left): (Vec<AttemptGroup>, usize) = (Vec::new(), most);
        for (group, due_at) in due.chain([(ready, now)]) {
            let indices: BitSet = group.indices.iter().take(left).collect();
            left -= indices.len();
            if !indices.is_empty() {
                groups.push(AttemptGroup { indices, ..group });
            }
            let indices = group.indices.without(indices);
            self.put_back(AttemptGroup { indices, ..group }, due_at, now);
        }
        let claimed = union(groups.iter().map(|group| group.indices));
        if !claimed.is_empty() {
            self.claim = Some(Claim { until, groups });
        }
        claimed
    }

    /// Records the first turn of the claimed pushes, unless they had one before. Returns the earliest of
    /// their first turns.
    pub fn note_turn(&mut self, now: Timestamp) -> Timestamp {
        let groups = self.claim.iter_mut().flat_map(|claim| &mut claim.groups);
        let turns = groups.map(|group| *group.first_at.get_or_insert(now));
        turns.min().unwrap_or(now)
    }

    /// Removes pushes from the claim and returns them with their history.
    pub fn withdraw(&mut self, indices: BitSet) -> Vec<AttemptGroup> {
        let Some(claim) = &mut self.claim else {
            return Vec::new();
        };
        let groups = claim.groups.iter_mut();
        let taken = groups.filter_map(|group| group.split(indices)).collect();
        claim.groups.retain(|group| !group.indices.is_empty());
        taken
    }

    /// Removes pushes without a final result, wherever they are, and returns them with their history.
    pub fn take_out(&mut self, indices: BitSet, pushes: usize) -> Vec<AttemptGroup> {
        let open = indices.both(BitSet::first(pushes)).without(self.ended);
        if open.is_empty() {
            return Vec::new();
        }
        let mut taken = self.withdraw(open);
        let retries = self.retries.iter_mut();
        taken.extend(retries.filter_map(|retry| retry.group.split(open)));
        self.retries.retain(|retry| !retry.group.indices.is_empty());
        let untouched = open.without(union(taken.iter().map(|group| group.indices)));
        if !untouched.is_empty() {
            taken.push(AttemptGroup::untouched(untouched));
        }
        taken
    }

    /// Schedules a retry at `due_at`. Pushes that were never tried are ready again if `due_at` has passed.
    pub fn put_back(&mut self, group: AttemptGroup, due_at: Timestamp, now: Timestamp) {
        let is_untouched = group.rounds == 0 && group.attempts == 0 && group.first_at.is_none();
        if group.indices.is_empty() || (is_untouched && due_at <= now) {
            return;
        }
        let same = |retry: &&mut RetryGroup| retry.due_at == due_at && retry.group.has_past_of(&group);
        match self.retries.iter_mut().find(same) {
            Some(retry) => retry.group.indices = retry.group.indices.with(group.indices),
            None => self.retries.push(RetryGroup { due_at, group }),
        }
    }

    /// Removes the claim and returns its pushes.
    pub fn take_claim(&mut self) -> Vec<AttemptGroup> {
        self.claim.take().map(|claim| claim.groups).unwrap_or_default()
    }

    /// Removes a claim without pushes.
    pub fn close_claim(&mut self) {
        self.claim.take_if(|claim| claim.groups.is_empty());
    }

    /// Sets the final result number `result` of pushes that were removed before. `pushes` is the size of the
    /// chunk.
    pub fn end(&mut self, indices: BitSet, result: usize, pushes: usize) {
        let code = result_code(result);
        let mut codes: Vec<char> = self.result_codes.chars().collect();
        codes.resize(pushes.max(codes.len()), NO_RESULT);
        for index in indices.iter() {
            if let Some(open) = codes.get_mut(index) {
                *open = code;
            }
        }
        self.result_codes = codes.into_iter().collect();
        self.ended = self.ended.with(indices);
    }

    /// Keeps the details of those pushes that have just ended.
    pub fn keep_details(&mut self, details: &[Detail], ended: BitSet) {
        let kept = details.iter().filter(|detail| ended.contains(detail.index));
        self.details.extend(kept.cloned());
    }
}

impl AttemptGroup {
    /// Creates a group of pushes that were never tried.
    const fn untouched(indices: BitSet) -> Self {
        Self {
            rounds: 0,
            attempts: 0,
            first_at: None,
            indices,
        }
    }

    /// Removes some of the pushes from the group and returns them.
    fn split(&mut self, indices: BitSet) -> Option<Self> {
        let indices = self.indices.both(indices);
        self.indices = self.indices.without(indices);
        (!indices.is_empty()).then_some(Self { indices, ..*self })
    }

    fn has_past_of(&self, other: &Self) -> bool {
        (self.rounds, self.attempts, self.first_at) == (other.rounds, other.attempts, other.first_at)
    }
}

impl From<Row> for Progress {
    fn from(row: Row) -> Self {
        let codes = row.result_codes.chars().enumerate();
        let ended = codes.filter(|(_, code)| *code != NO_RESULT);
        let ended = ended.map(|(index, _)| index).collect();
        Self {
            claim: row.claim,
            retries: row.retries,
            result_codes: row.result_codes,
            details: Vec::new(),
            duplicates: row.duplicates,
            uncertain: row.uncertain,
            ended,
        }
    }
}

/// The result number of duplicates, in a batch that has some.
const DUPLICATE: usize = 0;

fn union(sets: impl Iterator<Item = BitSet>) -> BitSet {
    sets.fold(BitSet::NONE, BitSet::with)
}
