//! Finds pushes of an upload that repeat one of the last lines.
//!
//! Each push is stored as an 8-byte hash of its device token and its content, in a ring buffer with a hash
//! table: 12 MB for [`WINDOW`] lines. Two pushes of the largest batch have the same hash by chance once in
//! four million batches.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use hashbrown::HashTable;

use apns::DeviceToken;

/// The pushes of the last lines.
#[derive(Debug)]
pub(super) struct Recent {
    window: usize,
    /// The hashes of the last pushes. When it is full, the next one replaces the oldest.
    hashes: Vec<u64>,
    /// For each of them, the position of the first equal push in the upload.
    firsts: Vec<u32>,
    /// The slots of the ring buffer by hash. Of equal pushes, the last one.
    slots: HashTable<u32>,
    next: usize,
    /// The content that was hashed last, because most pushes share theirs.
    content: Option<(Bytes, u64)>,
}

impl Default for Recent {
    fn default() -> Self {
        Self::of(WINDOW)
    }
}

impl Recent {
    fn of(window: usize) -> Self {
        Self {
            window,
            hashes: Vec::new(),
            firsts: Vec::new(),
            slots: HashTable::new(),
            next: 0,
            content: None,
        }
    }

    /// Stores the push at `position`. Returns the position of the first push with this device and content, if
    /// an equal one is still in the window.
    pub(super) fn note(&mut self, token: &DeviceToken, content: &Bytes, position: u32) -> Option<u32> {
        let hash = self.hash(token, content);
        // Must happen before the oldest is replaced, because that may be the equal one.
        let first = self
            .forget(hash, |_| true)
            .and_then(|slot| self.firsts.get(slot).copied());
        let slot = self.next;
        if let Some(oldest) = self.hashes.get(slot).copied() {
            self.forget(oldest, |found| found == slot);
        }
        self.next = (slot + 1) % self.window;
        let of = first.unwrap_or(position);
        match (self.hashes.get_mut(slot), self.firsts.get_mut(slot)) {
            (Some(known), Some(earliest)) => (*known, *earliest) = (hash, of),
            _ => {
                self.hashes.push(hash);
                self.firsts.push(of);
            }
        }
        let hashes = &self.hashes;
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.slots
            .insert_unique(hash, slot, |slot| hash_at(hashes, *slot).unwrap_or_default());
        first
    }

    /// Removes the slot with this hash for which `is_it` is true, and returns it.
    fn forget(&mut self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let hashes = &self.hashes;
        let found = |slot: &u32| hash_at(hashes, *slot) == Some(hash) && is_it(at(*slot));
        let entry = self.slots.find_entry(hash, found).ok()?;
        Some(at(entry.remove().0))
    }

    fn hash(&mut self, token: &DeviceToken, content: &Bytes) -> u64 {
        let known = self.content.as_ref();
        let is_known = known
            .is_some_and(|(known, _)| (known.as_ptr(), known.len()) == (content.as_ptr(), content.len()));
        if !is_known {
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            self.content = Some((content.clone(), hasher.finish()));
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(token.as_hex().as_bytes());
        hasher.write_u64(self.content.as_ref().map(|(_, hash)| *hash).unwrap_or_default());
        hasher.finish()
    }
}

fn at(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn hash_at(hashes: &[u64], slot: u32) -> Option<u64> {
    hashes.get(at(slot)).copied()
}

/// The number of preceding lines that are searched for a repeated push.
pub const WINDOW: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(number: u64) -> DeviceToken {
        DeviceToken::parse(&format!("{number:064x}")).unwrap()
    }

    #[test]
    fn the_window_is_exact_and_moves_with_each_repeat() {
        let content = Bytes::from_static(b"{}");
        let mut recent = Recent::of(3);
        let mut note = |number, position| recent.note(&token(number), &content, position);
        assert_eq!(note(1, 0), None);
        assert_eq!((note(2, 1), note(3, 2)), (None, None));
        assert_eq!(note(1, 3), Some(0), "three lines before");
        assert_eq!((note(4, 4), note(5, 5)), (None, None));
        assert_eq!(
            note(1, 6),
            Some(0),
            "three lines after its repeat, and the first is named"
        );
        assert_eq!((note(6, 7), note(7, 8), note(8, 9)), (None, None, None));
        assert_eq!(note(1, 10), None, "four lines before");
        assert_eq!(note(1, 11), Some(10));
    }

    #[test]
    fn a_repeat_is_found_among_as_many_lines_as_documented() {
        let content = Bytes::from_static(b"{}");
        for (between, found) in [(499_999, Some(0)), (500_000, None)] {
            let mut recent = Recent::default();
            for number in 0..=between {
                assert_eq!(recent.note(&token(u64::from(number)), &content, number), None);
            }
            assert_eq!(recent.note(&token(0), &content, between + 1), found, "{between}");
        }
    }

    #[test]
    fn another_content_is_no_repeat() {
        let (one, two) = (Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"a\":2}"));
        let mut recent = Recent::of(10);
        assert_eq!(recent.note(&token(1), &one, 0), None);
        assert_eq!(recent.note(&token(1), &two, 1), None);
        assert_eq!(recent.note(&token(1), &one.clone(), 2), Some(0));
        assert_eq!(recent.note(&token(1), &Bytes::copy_from_slice(&two), 3), Some(1));
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_through_the_last_lines_finds(
            window in 1_usize..20,
            numbers in proptest::collection::vec(0_u64..12, 0..200),
        ) {
            let content = Bytes::from_static(b"{}");
            let mut recent = Recent::of(window);
            let mut firsts: Vec<u32> = Vec::new();
            for (place, number) in numbers.iter().enumerate() {
                let position = u32::try_from(place).unwrap();
                let from = place.saturating_sub(window);
                let earlier = (from..place).rev().find(|earlier| numbers[*earlier] == *number);
                let expected = earlier.map(|earlier| firsts[earlier]);
                prop_assert_eq!(recent.note(&token(*number), &content, position), expected);
                firsts.push(expected.unwrap_or(position));
                prop_assert!(recent.hashes.len() <= window && recent.slots.len() <= window);
            }
        }
    }
}
