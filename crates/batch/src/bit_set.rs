//! A set of the indices of pushes in a chunk.
//!
//! The settled, waiting and in-flight pushes of a chunk are such sets. They are kept as bits and stored as
//! ranges, because most of them are a few ranges.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of indices from 0 to [`CAPACITY`] - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitSet([u64; WORDS]);

impl BitSet {
    /// The empty set.
    pub const NONE: Self = Self([0; WORDS]);

    /// Returns the set of the indices below `count`.
    #[must_use]
    pub fn first(count: usize) -> Self {
        let mut words = [0; WORDS];
        for (number, word) in words.iter_mut().enumerate() {
            *word = match count.saturating_sub(number * BITS) {
                left @ 0..BITS => (1 << left) - 1,
                BITS.. => u64::MAX,
            };
        }
        Self(words)
    }

    /// Adds an index. One beyond the capacity is ignored.
    pub fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / BITS) {
            *word |= 1 << (index % BITS);
        }
    }

    /// Whether the index is in the set.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.0
            .get(index / BITS)
            .is_some_and(|word| word & (1 << (index % BITS)) != 0)
    }

    /// Returns the number of indices.
    #[must_use]
    pub fn len(&self) -> usize {
        let ones = self.0.iter().map(|word| word.count_ones());
        usize::try_from(ones.sum::<u32>()).unwrap_or(usize::MAX)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the union of both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        self.zip(other, |one, other| one | other)
    }

    /// Returns the indices that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self.zip(other, |one, other| one & !other)
    }

    /// Returns the intersection of both sets.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        self.zip(other, |one, other| one & other)
    }

    /// Iterates over the indices in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                usize::try_from(bit).ok().map(|bit| number * BITS + bit)
            })
        })
    }

    fn zip(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (word, other) in words.iter_mut().zip(other.0) {
            *word = join(*word, other);
        }
        Self(words)
    }

    /// Returns the first and the last index of each range.
    fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for index in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => runs.push((index, index)),
            }
        }
        runs
    }
}

impl FromIterator<usize> for BitSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        let mut set = Self::NONE;
        indices.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl Serialize for BitSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.runs())
    }
}

impl<'de> Deserialize<'de> for BitSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = Self::NONE;
        for (first, last) in Vec::<(usize, usize)>::deserialize(deserializer)? {
            if last >= CAPACITY {
                return Err(D::Error::custom("an index beyond the last of a chunk"));
            }
            (first..=last).for_each(|index| set.insert(index));
        }
        Ok(set)
    }
}

const WORDS: usize = 8;
const BITS: usize = 64;

/// The capacity: a chunk has up to 500 pushes.
pub const CAPACITY: usize = WORDS * BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_sets_format_unchanged() {
        // Stored with every claim and every settlement.
        let set: BitSet = [0, 1, 2, 7, 499].into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, "[[0,2],[7,7],[499,499]]");
        assert_eq!(serde_json::from_str::<BitSet>(&text).unwrap(), set);
        assert_eq!(serde_json::to_string(&BitSet::NONE).unwrap(), "[]");
    }

    #[test]
    fn the_first_indices_are_those_below_a_number() {
        for count in [0, 1, 63, 64, 65, 500, CAPACITY, CAPACITY + 1] {
            assert_eq!(BitSet::first(count), (0..count).collect(), "{count}");
        }
    }

    #[test]
    fn an_index_that_no_chunk_has_is_refused() {
        assert!(serde_json::from_str::<BitSet>("[[0,511]]").is_ok());
        assert!(serde_json::from_str::<BitSet>("[[0,512]]").is_err());
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            one in proptest::collection::btree_set(0..CAPACITY, 0..100),
            other in proptest::collection::btree_set(0..CAPACITY, 0..100),
        ) {
            let set = |indices: &BTreeSet<usize>| indices.iter().copied().collect::<BitSet>();
            let back = |indices: BitSet| indices.iter().collect::<BTreeSet<usize>>();
            prop_assert_eq!(back(set(&one)), one.clone());
            prop_assert_eq!(set(&one).len(), one.len());
            prop_assert_eq!(back(set(&one).with(set(&other))), &one | &other);
            prop_assert_eq!(back(set(&one).without(set(&other))), &one - &other);
            prop_assert_eq!(back(set(&one).both(set(&other))), &one & &other);
            let text = serde_json::to_string(&set(&one)).unwrap();
            prop_assert_eq!(serde_json::from_str::<BitSet>(&text).unwrap(), set(&one));
        }
    }
}
