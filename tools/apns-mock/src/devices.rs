//! The devices of one environment, stored compactly: about 60 bytes each, for a million of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// The longest device token in bytes. Apple says not to assume a size. 32 and 80 bytes have been observed.
pub(crate) const MAX_TOKEN_BYTES: usize = 256;

/// The stored topic number that means any topic.
const ANY_TOPIC: u16 = u16::MAX;

/// The state of a device token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The device accepts notifications.
    Registered,
    /// The app was removed: 410 `Unregistered`.
    Unregistered,
    /// The token expired: 410 `ExpiredToken`.
    Expired,
}

/// A device, as a request finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device<'a> {
    /// Its index in this environment, which does not change.
    pub(crate) index: u32,
    /// The topic of its registration. `None` means any topic.
    pub(crate) topic: Option<&'a str>,
    pub(crate) standing: Standing,
    /// Since when it is gone, in milliseconds.
    pub(crate) since_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    token_at: u32,
    token_length: u16,
    topic: u16,
    standing: Standing,
}

/// The devices of an environment.
#[derive(Debug)]
pub(crate) struct Devices {
    /// All tokens, concatenated.
    tokens: Vec<u8>,
    entries: Vec<Entry>,
    by_token: HashTable<u32>,
    topics: Vec<Box<str>>,
    /// Since when devices are gone. Only contains those.
    since_ms: HashMap<u32, i64>,
    hasher: FixedState,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            entries: Vec::new(),
            by_token: HashTable::new(),
            topics: Vec::new(),
            since_ms: HashMap::new(),
            hasher: FixedState::with_seed(0),
        }
    }
}

impl Devices {
    /// Reserves memory for many devices.
    pub(crate) fn reserve(&mut self, devices: usize, token_bytes: usize) {
        self.tokens.reserve(devices.saturating_mul(token_bytes));
        self.entries.reserve(devices);
        let Self {
            tokens,
            entries,
            by_token,
            hasher,
            ..
        } = self;
        by_token.reserve(devices, |index| hash(hasher, token_of(tokens, entries, *index)));
    }

    /// Returns the number of devices.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds or replaces a device. Without a topic, any topic is valid. Returns `false` if there is no room
    /// for it.
    pub(crate) fn register(
        &mut self,
        token: &[u8],
        topic: Option<&str>,
        standing: Standing,
        since_ms: i64,
    ) -> bool {
        let Some(topic) = self.topic_number(topic) else {
            return false;
        };
        let index = if let Some(index) = self.index_of(token) {
            if let Some(entry) = self.entries.get_mut(index as usize) {
                entry.topic = topic;
                entry.standing = standing;
            }
            index
        } else {
            let (Ok(index), Ok(token_at), Ok(token_length)) = (
                u32::try_from(self.entries.len()),
                u32::try_from(self.tokens.len()),
                u16::try_from(token.len()),
            ) else {
                return false;
            };
            self.tokens.extend_from_slice(token);
            self.entries.push(Entry {
                token_at,
                token_length,
                topic,
                standing,
            });
            let Self {
                tokens,
                entries,
                by_token,
                hasher,
                ..
            } = self;
            by_token.insert_unique(hash(hasher, token), index, |other| {
                hash(hasher, token_of(tokens, entries, *other))
            });
            index
        };
        if standing == Standing::Registered {
            self.since_ms.remove(&index);
        } else {
            self.since_ms.insert(index, since_ms);
        }
        true
    }

    /// Finds a device.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Device<'_>> {
        let index = self.index_of(token)?;
        let entry = self.entries.get(index as usize)?;
        let since_ms = match entry.standing {
            Standing::Registered => 0,
            Standing::Unregistered | Standing::Expired => {
                self.since_ms.get(&index).copied().unwrap_or_default()
            }
        };
        let topic = self.topics.get(usize::from(entry.topic)).map(AsRef::as_ref);
        Some(Device {
            index,
            topic,
            standing: entry.standing,
            since_ms,
        })
    }

    fn index_of(&self, token: &[u8]) -> Option<u32> {
        self.by_token
            .find(hash(&self.hasher, token), |index| {
                token_of(&self.tokens, &self.entries, *index) == token
            })
            .copied()
    }

    fn topic_number(&mut self, topic: Option<&str>) -> Option<u16> {
        let Some(topic) = topic else {
            return Some(ANY_TOPIC);
        };
        if let Some(known) = self.topics.iter().position(|known| &**known == topic) {
            return u16::try_from(known).ok();
        }
        let number = u16::try_from(self.topics.len())
            .ok()
            .filter(|number| *number != ANY_TOPIC)?;
        self.topics.push(topic.into());
        Some(number)
    }
}

fn hash(hasher: &FixedState, token: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(token);
    state.finish()
}

fn token_of<'a>(tokens: &'a [u8], entries: &[Entry], index: u32) -> &'a [u8] {
    entries
        .get(index as usize)
        .and_then(|entry| {
            let start = entry.token_at as usize;
            tokens.get(start..start + usize::from(entry.token_length))
        })
        .unwrap_or_default()
}

/// The bytes of a device token, parsed from hex without allocating.
#[derive(Clone, Copy)]
pub(crate) struct TokenBytes {
    bytes: [u8; MAX_TOKEN_BYTES],
    length: usize,
}

impl TokenBytes {
    /// Parses hex of any even length up to the limit.
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if pairs.is_empty() || !rest.is_empty() || pairs.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut bytes = [0; MAX_TOKEN_BYTES];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        Some(Self {
            bytes,
            length: pairs.len(),
        })
    }

    /// Returns the bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_again_among_many() {
        let mut devices = Devices::default();
        for n in 0_u32..10_000 {
            assert!(devices.register(&n.to_be_bytes(), Some("com.x"), Standing::Registered, 0));
        }
        let device = devices.find(&7_777_u32.to_be_bytes()).unwrap();
        assert_eq!((device.index, device.topic), (7_777, Some("com.x")));
        assert_eq!(devices.find(&10_000_u32.to_be_bytes()), None);
    }

    #[test]
    fn registering_again_replaces_what_is_known() {
        let mut devices = Devices::default();
        devices.register(b"token", Some("com.x"), Standing::Registered, 0);
        devices.register(b"token", Some("com.x"), Standing::Unregistered, 77);
        assert_eq!(devices.len(), 1);
        let device = devices.find(b"token").unwrap();
        assert_eq!((device.standing, device.since_ms), (Standing::Unregistered, 77));
        devices.register(b"token", Some("com.y"), Standing::Registered, 0);
        let device = devices.find(b"token").unwrap();
        assert_eq!(
            (device.standing, device.since_ms, device.topic),
            (Standing::Registered, 0, Some("com.y"))
        );
    }

    #[test]
    fn a_token_is_hex_of_any_even_length_up_to_the_cap() {
        assert_eq!(TokenBytes::parse("00fF").unwrap().as_slice(), [0x00, 0xff]);
        assert!(TokenBytes::parse("").is_none());
        assert!(TokenBytes::parse("abc").is_none());
        assert!(TokenBytes::parse("zz").is_none());
        assert!(TokenBytes::parse(&"ab".repeat(MAX_TOKEN_BYTES)).is_some());
        assert!(TokenBytes::parse(&"ab".repeat(MAX_TOKEN_BYTES + 1)).is_none());
    }
}
