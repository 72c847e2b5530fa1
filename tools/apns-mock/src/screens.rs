//! What each device would show: notifications accumulate, and one with a known collapse id replaces its
//! predecessor.
//!
//! Apple stores one notification per device and bundle while the device is offline. Here every device is
//! online.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use serde::Serialize;

use crate::options::Record;

/// The number of shards of the table, so that threads rarely contend for one.
const SHARDS: usize = 64;

/// A notification on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The `apns-id` it was accepted with.
    pub apns_id: String,
    /// Its collapse id.
    pub collapse_id: Option<String>,
    /// 10, 5 or 1.
    pub priority: u8,
    /// The value of `apns-push-type`; empty if there was none.
    pub push_type: String,
    /// The value of `apns-topic`.
    pub topic: String,
    /// The value of `apns-expiration`, in seconds.
    pub expiration: Option<u64>,
    /// How many notifications it replaced.
    pub replaced: u64,
    /// The body, byte for byte.
    pub payload: String,
}

/// What a device shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Screen {
    /// The number of notifications.
    pub count: u64,
    /// How many were replaced by one with the same collapse id.
    pub replaced: u64,
    /// Their contents, if they are recorded, oldest first.
    pub notifications: Vec<Shown>,
}

/// What all devices show, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Devices that show anything.
    pub devices: u64,
    /// Notifications shown on all of them.
    pub shown: u64,
    /// Notifications that were replaced.
    pub replaced: u64,
    /// The most notifications on one device.
    pub max_shown_on_one_device: u64,
}

impl Summary {
    /// Returns the sum of both.
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            devices: self.devices + other.devices,
            shown: self.shown + other.shown,
            replaced: self.replaced + other.replaced,
            max_shown_on_one_device: self.max_shown_on_one_device.max(other.max_shown_on_one_device),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    count: u64,
    replaced: u64,
    /// Hashes of the collapse ids that are shown. With 64 bits, a collision in a test is practically
    /// impossible.
    collapse_ids: Vec<u64>,
    notifications: Vec<Shown>,
}

type Shard = HashMap<u32, Slot, FixedState>;

/// The screens of one environment's devices, by their index.
#[derive(Debug)]
pub(crate) struct Screens {
    shards: Vec<Mutex<Shard>>,
}

impl Default for Screens {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Screens {
    /// Shows a notification. Returns `true` if it replaced one. `contents` is called only if contents are
    /// recorded.
    pub(crate) fn show(
        &self,
        device: u32,
        record: Record,
        collapse_id: Option<&[u8]>,
        contents: impl FnOnce() -> Shown,
    ) -> bool {
        if record == Record::None {
            return false;
        }
        let Some(mut shard) = self.shard(device) else {
            return false;
        };
        let slot = shard.entry(device).or_default();
        let replaces = collapse_id.is_some_and(|id| {
            let hash = FixedState::with_seed(0).hash_one(id);
            let known = slot.collapse_ids.contains(&hash);
            if !known {
                slot.collapse_ids.push(hash);
            }
            known
        });
        if replaces {
            slot.replaced += 1;
        } else {
            slot.count += 1;
        }
        match record {
            Record::None | Record::Count => {}
            Record::Last => slot.notifications = vec![slot.joined(contents(), replaces)],
            Record::All => {
                let shown = slot.joined(contents(), replaces);
                slot.notifications
                    .retain(|old| !replaces || old.collapse_id != shown.collapse_id);
                slot.notifications.push(shown);
            }
        }
        replaces
    }

    /// Returns what a device shows.
    pub(crate) fn of(&self, device: u32) -> Screen {
        self.shard(device)
            .and_then(|shard| {
                shard.get(&device).map(|slot| Screen {
                    count: slot.count,
                    replaced: slot.replaced,
                    notifications: slot.notifications.clone(),
                })
            })
            .unwrap_or_default()
    }

    /// Returns what all devices show, in numbers.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for shard in &self.shards {
            for slot in shard.lock().unwrap_or_else(PoisonError::into_inner).values() {
                summary = summary.join(Summary {
                    devices: 1,
                    shown: slot.count,
                    replaced: slot.replaced,
                    max_shown_on_one_device: slot.count,
                });
            }
        }
        summary
    }

    /// Clears every screen.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn shard(&self, device: u32) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(device as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Slot {
    /// Adds the replacements of the replaced notification to those of the new one.
    fn joined(&self, mut shown: Shown, replaces: bool) -> Shown {
        if replaces {
            let before = self
                .notifications
                .iter()
                .find(|old| old.collapse_id == shown.collapse_id);
            shown.replaced = before.map_or(0, |old| old.replaced) + 1;
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &str, collapse_id: Option<&str>) -> Shown {
        Shown {
            apns_id: String::new(),
            collapse_id: collapse_id.map(str::to_owned),
            priority: 10,
            push_type: "alert".to_owned(),
            topic: "com.x".to_owned(),
            expiration: None,
            replaced: 0,
            payload: payload.to_owned(),
        }
    }

    fn show(screens: &Screens, record: Record, payload: &str, collapse_id: Option<&str>) -> bool {
        screens.show(3, record, collapse_id.map(str::as_bytes), || {
            shown(payload, collapse_id)
        })
    }

    #[test]
    fn the_same_collapse_id_shows_once_and_the_newest_wins() {
        let screens = Screens::default();
        assert!(!show(&screens, Record::All, "1", Some("a")));
        assert!(!show(&screens, Record::All, "2", None));
        assert!(show(&screens, Record::All, "3", Some("a")));
        assert!(show(&screens, Record::All, "4", Some("a")));
        let screen = screens.of(3);
        assert_eq!((screen.count, screen.replaced), (2, 2));
        let payloads: Vec<_> = screen
            .notifications
            .iter()
            .map(|shown| shown.payload.as_str())
            .collect();
        assert_eq!(payloads, ["2", "4"]);
        assert_eq!(screen.notifications.last().unwrap().replaced, 2);
    }

    #[test]
    fn counting_needs_no_contents() {
        let screens = Screens::default();
        show(&screens, Record::Count, "1", Some("a"));
        show(&screens, Record::Count, "2", Some("b"));
        show(&screens, Record::Count, "3", Some("a"));
        let screen = screens.of(3);
        assert_eq!(
            (screen.count, screen.replaced, screen.notifications.len()),
            (2, 1, 0)
        );
        let expected = Summary {
            devices: 1,
            shown: 2,
            replaced: 1,
            max_shown_on_one_device: 2,
        };
        assert_eq!(screens.summary(), expected);
    }
}
