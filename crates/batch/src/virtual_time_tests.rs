//! A queue of events in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use apns::time::Timestamp;

/// Future events and the current moment.
pub(super) struct Events<E> {
    pub(super) now: Timestamp,
    coming: BTreeMap<(Timestamp, u64), E>,
    sequence: u64,
}

impl<E> Events<E> {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            now,
            coming: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Returns a number that is used only once.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Schedules an event after a delay. Of events at the same moment, the one scheduled first comes first.
    pub(super) fn after(&mut self, delay: Duration, event: E) {
        let number = self.next_number();
        self.coming.insert((self.now + delay, number), event);
    }

    /// Advances to the next event.
    pub(super) fn next(&mut self) -> E {
        let next = self.coming.pop_first();
        let ((at, _), event) = next.expect("a batch that has not ended has something to do");
        self.now = at;
        event
    }
}
