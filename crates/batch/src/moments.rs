//! Chunks with a deadline each: when a queued chunk counts as lost, a claim expires, or a retry is due.
//!
//! They are indexed by number and by moment, because each command needs both and there may be thousands.

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
    /// Adds a chunk or replaces its entry.
    pub(super) fn insert(&mut self, number: u32, moment: Timestamp, pushes: usize) {
        self.remove(number);
        self.chunks.insert(number, (moment, pushes));
        self.moments.insert((moment, number));
        self.pushes += pushes;
    }

    /// Removes a chunk and returns its number of pushes.
    pub(super) fn remove(&mut self, number: u32) -> Option<usize> {
        let (moment, pushes) = self.chunks.remove(&number)?;
        self.moments.remove(&(moment, number));
        self.pushes -= pushes;
        Some(pushes)
    }

    /// Iterates over the chunks in the order of their moments.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.moments.iter().copied()
    }

    /// Returns the earliest moment.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.iter().next().map(|(moment, _)| moment)
    }

    /// Returns the earliest chunk whose moment has passed.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<u32> {
        let (_, number) = self.iter().next().filter(|(moment, _)| *moment <= now)?;
        Some(number)
    }

    /// Returns a chunk's moment.
    pub(super) fn of(&self, number: u32) -> Option<Timestamp> {
        self.chunks.get(&number).map(|(moment, _)| *moment)
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
