//! The progress streams of a batch. Limits how many one API key has open.
//!
//! A stream whose reader is gone may never be closed. Each stream therefore reports whenever something is
//! read from it, and one that has been silent for [`STALE`] is forgotten.

use std::time::Duration;

use apns::time::Timestamp;

/// The open streams of a batch.
#[derive(Debug, Default)]
pub struct Watchers {
    open: Vec<Watcher>,
    next: u64,
}

/// Identifies a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherId(u64);

#[derive(Debug)]
struct Watcher {
    id: WatcherId,
    caller: String,
    seen_at: Timestamp,
}

impl Watchers {
    /// Opens a stream for a caller. Returns `None` if it has [`MAX_WATCHERS`] already.
    pub fn open(&mut self, caller: &str, now: Timestamp) -> Option<WatcherId> {
        self.open.retain(|watcher| now.since(watcher.seen_at) < STALE);
        let theirs = self.open.iter().filter(|watcher| watcher.caller == caller);
        if theirs.count() >= MAX_WATCHERS {
            return None;
        }
        let id = WatcherId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.push(Watcher {
            id,
            caller: caller.to_owned(),
            seen_at: now,
        });
        Some(id)
    }

    /// Records that something was read from a stream.
    pub fn seen(&mut self, id: WatcherId, now: Timestamp) {
        if let Some(watcher) = self.open.iter_mut().find(|watcher| watcher.id == id) {
            watcher.seen_at = now;
        }
    }

    /// Closes a stream.
    pub fn close(&mut self, id: WatcherId) {
        self.open.retain(|watcher| watcher.id != id);
    }
}

/// The maximum number of streams per batch and API key: enough for a dashboard per team member, but a limit
/// for a loop that does not close them.
pub const MAX_WATCHERS: usize = 16;

/// A stream from which nothing was read for this long has no reader: something is written to it every 15 s.
pub const STALE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

    fn full() -> (Watchers, Vec<WatcherId>) {
        let mut watchers = Watchers::default();
        let ids = (0..MAX_WATCHERS).map(|_| watchers.open("backend", NOW).unwrap());
        let ids = ids.collect();
        (watchers, ids)
    }

    #[test]
    fn a_key_watches_a_batch_so_many_times_and_not_once_more() {
        let (mut watchers, ids) = full();
        assert_eq!(watchers.open("backend", NOW), None);
        assert!(watchers.open("editor", NOW).is_some());
        watchers.close(ids[3]);
        assert!(watchers.open("backend", NOW).is_some());
        assert_eq!(watchers.open("backend", NOW), None);
    }

    #[test]
    fn a_stream_that_nobody_reads_counts_no_more_and_one_that_is_read_does() {
        let (mut watchers, ids) = full();
        let almost = NOW + STALE - Duration::from_millis(1);
        assert_eq!(watchers.open("backend", almost), None);
        watchers.seen(ids[0], almost);
        for _ in 1..MAX_WATCHERS {
            assert!(watchers.open("backend", NOW + STALE).is_some());
        }
        assert_eq!(watchers.open("backend", NOW + STALE), None);
    }
}
