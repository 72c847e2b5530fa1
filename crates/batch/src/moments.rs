//! Chunks with a moment each: those in the queue count as lost then, a runner's claim ends, a round is due.
//!
//! Found by number and by moment, as each command asks for both and there may be thousands.

use std::collections::{BTreeMap, BTreeSet};

use apns::time::Timestamp;

/// Chunks, each with a moment and a number of pushes.
#[derive(Debug, Default)]
pub(super) struct Moments {
    chunks: BTreeMap<u32, (Timestamp, usize)>,
    moments: BTreeSet<(Timestamp, u32)>,
    pushes: usize,
}

impl Moments {
    /// Adds a chunk, in place of what is known of it.
    pub(super) fn insert(&mut self, number: u32, moment: Timestamp, pushes: usize) {
        self.remove(number);
        self.chunks.insert(number, (moment, pushes));
        self.moments.insert((moment, number));
        self.pushes += pushes;
    }

    /// Removes a chunk, and gives its pushes.
    pub(super) fn remove(&mut self, number: u32) -> Option<usize> {
        let (moment, pushes) = self.chunks.remove(&number)?;
        self.moments.remove(&(moment, number));
        self.pushes -= pushes;
        Some(pushes)
    }

    /// The chunks in the order of their moments.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.moments.iter().copied()
    }

    /// The moment that comes first.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.iter().next().map(|(moment, _)| moment)
    }

    /// The first of the chunks whose moment has come.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<u32> {
        let (_, number) = self.iter().next().filter(|(moment, _)| *moment <= now)?;
        Some(number)
    }

    /// A chunk's moment.
    pub(super) fn of(&self, number: u32) -> Option<Timestamp> {
        self.chunks.get(&number).map(|(moment, _)| *moment)
    }

    /// Whether it has a chunk.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.chunks.contains_key(&number)
    }

    /// How many chunks there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// How many pushes they have together.
    pub(super) const fn pushes(&self) -> usize {
        self.pushes
    }
}
