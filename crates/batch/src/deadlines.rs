//! Chunks with a deadline each: when a queued chunk counts as lost, a claim expires, or a retry is due.
//!
//! They are indexed by number and by deadline, because each command needs both and there may be thousands.

use std::collections::{BTreeMap, BTreeSet};

use apns::time::Timestamp;

/// Chunks, each with a deadline and a number of pushes.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    chunks: BTreeMap<u32, (Timestamp, usize)>,
    by_time: BTreeSet<(Timestamp, u32)>,
    pushes: usize,
}

impl Deadlines {
    /// Adds a chunk or replaces its entry.
    pub(super) fn insert(&mut self, number: u32, deadline: Timestamp, pushes: usize) {
        self.remove(number);
        self.chunks.insert(number, (deadline, pushes));
        self.by_time.insert((deadline, number));
        self.pushes += pushes;
    }

    /// Removes a chunk and returns its number of pushes.
    pub(super) fn remove(&mut self, number: u32) -> Option<usize> {
        let (deadline, pushes) = self.chunks.remove(&number)?;
        self.by_time.remove(&(deadline, number));
        self.pushes -= pushes;
        Some(pushes)
    }

    /// Iterates over the chunks in the order of their deadlines.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.by_time.iter().copied()
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.iter().next().map(|(deadline, _)| deadline)
    }

    /// Returns the earliest chunk whose deadline has passed.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<u32> {
        let (_, number) = self.iter().next().filter(|(deadline, _)| *deadline <= now)?;
        Some(number)
    }

    /// Returns a chunk's deadline.
    pub(super) fn of(&self, number: u32) -> Option<Timestamp> {
        self.chunks.get(&number).map(|(deadline, _)| *deadline)
    }

    /// Whether it contains a chunk.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.chunks.contains_key(&number)
    }

    /// Returns the number of chunks.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Returns the number of pushes of all chunks.
    pub(super) const fn pushes(&self) -> usize {
        self.pushes
    }
}
