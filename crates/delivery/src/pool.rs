//! Assigns chunks of a credential to connections.
//!
//! The gate keeps one pool per credential: slots for connection objects, up to a capacity. The lowest slot
//! with room is filled first, so the highest slots become idle and close. An object dials when a request
//! reaches it, so the pool decides which object dials. It assigns slots that are known to be open and at most
//! one other slot, the dialing slot. All requests that find no room elsewhere share the dialing slot. If its
//! dial fails, no other slot is tried until the delay is over: the failures of a credential back off
//! together. While a connection is open, the next is dialed at the earliest a few seconds after the last. The
//! design follows pushy's pool.
//!
//! The pool learns from leases that end. It does not see an object that lost its connection and dials again,
//! nor an object's second socket; `dial` ensures that a credential dials one connection at a time. Each
//! object opens and closes its sockets itself.

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limiter::LeaseId;
use apns::time::Timestamp;

/// The slots, and the leases on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    slots: Vec<Slot>,
    loads: BTreeMap<LeaseId, Load>,
    /// When a slot last became the dialing slot.
    dialed_at: Timestamp,
    #[serde(default)]
    dialing_slot: Option<DialingSlot>,
}

/// The size of a pool, from the deployment's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The maximum number of connection objects.
    pub capacity: u32,
    /// The maximum number of pushes in flight per object.
    pub streams: u32,
    /// How long an object keeps an unused connection.
    pub idle: Duration,
}

impl PoolConfig {
    /// The default of a deployment without settings.
    pub const DEFAULT: Self = Self {
        capacity: 4,
        streams: 2000,
        idle: Duration::from_secs(60),
    };
}

/// What a lease that ends reports about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionHealth {
    /// APNs answered over it.
    Open,
    /// It was not used.
    Unused,
    /// Pushes got no answer, so it may be broken.
    Broken,
    /// It could not be opened, and will not be for this long.
    Unavailable(Duration),
}

/// Counts the slots by the last known state of their connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStats {
    /// The connection was open a while ago.
    pub open: u32,
    /// The connection was never opened, or was closed when idle.
    pub idle: u32,
    /// The connection could not be opened, and the delay before the next dial runs.
    pub unavailable: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    used_at: Timestamp,
    unavailable_until: Timestamp,
    /// When a lease last reported an open connection; the epoch if it may be closed.
    #[serde(default)]
    open_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Load {
    slot: u32,
    permits: u32,
    expires_at: Timestamp,
}

/// The one slot that is assigned although its connection may have to be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DialingSlot {
    slot: u32,
    /// When a lease last reported on it, or when it was chosen.
    since: Timestamp,
    /// When its dial counts as over without a report. From then on another slot is preferred.
    until: Timestamp,
}

impl Slot {
    fn is_open(&self, config: &PoolConfig, now: Timestamp) -> bool {
        now.since(self.open_at) < config.idle - config.idle / MARGIN
    }
}

impl Pool {
    /// Assigns a slot to a lease of `permits` that ends no later than `expires_at`.
    pub fn assign(
        &mut self,
        lease: LeaseId,
        permits: u32,
        expires_at: Timestamp,
        config: &PoolConfig,
        now: Timestamp,
    ) -> u32 {
        self.tidy(config, now);
        let slot = self.choose(permits, config, now);
        if let Some(chosen) = self.slots.get_mut(index(slot)) {
            chosen.used_at = now;
            if !chosen.is_open(config, now) {
                let known = self.dialing_slot.filter(|dialing_slot| dialing_slot.slot == slot);
                let since = known.map_or(now, |dialing_slot| dialing_slot.since);
                let until = (now + DIAL_TIME).min(since + SILENCE);
                self.dialing_slot = Some(DialingSlot { slot, since, until });
            }
        }
        self.loads.insert(
            lease,
            Load {
                slot,
                permits,
                expires_at,
            },
        );
        slot
    }

    /// Records the end of a lease and the health of its connection.
    pub fn release(&mut self, lease: LeaseId, health: ConnectionHealth, now: Timestamp) {
        let Some(Load { slot, .. }) = self.loads.remove(&lease) else {
            return;
        };
        if let Some(seen) = self.slots.get_mut(index(slot)) {
            seen.used_at = now;
            match health {
                ConnectionHealth::Open => (seen.open_at, seen.unavailable_until) = (now, EPOCH),
                ConnectionHealth::Unused => {}
                ConnectionHealth::Broken => seen.open_at = EPOCH,
                ConnectionHealth::Unavailable(delay) => {
                    (seen.open_at, seen.unavailable_until) = (EPOCH, now + delay);
                }
            }
        }
        let is_used = self.is_used(slot);
        if let Some(dialing_slot) = self
            .dialing_slot
            .as_mut()
            .filter(|dialing_slot| dialing_slot.slot == slot)
        {
            dialing_slot.since = now;
            // Another request on its way to the object could still make it dial.
            if health == ConnectionHealth::Open || !is_used {
                self.dialing_slot = None;
            }
        }
    }

    /// Counts the slots by state.
    #[must_use]
    pub fn stats(&self, config: &PoolConfig, now: Timestamp) -> PoolStats {
        let mut stats = PoolStats::default();
        for slot in &self.slots {
            if slot.unavailable_until > now {
                stats.unavailable += 1;
            } else if slot.is_open(config, now) {
                stats.open += 1;
            } else {
                stats.idle += 1;
            }
        }
        stats
    }

    /// Returns the number of slots.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no slots yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn choose(&mut self, permits: u32, config: &PoolConfig, now: Timestamp) -> u32 {
        let loads = self.permits_by_slot();
        let load = |slot: u32| loads.get(index(slot)).copied().unwrap_or_default();
        let open = || {
            let slots = self.slots.iter().zip(0_u32..);
            slots
                .filter(|(slot, _)| slot.is_open(config, now))
                .map(|(_, slot)| slot)
        };
        let near = config.streams - config.streams / NEAR_SHARE;
        if let Some(slot) = open().find(|slot| load(*slot) == 0 || load(*slot) + permits <= near) {
            return slot;
        }
        let least_loaded = open().min_by_key(|slot| load(*slot));
        let Some(dialing_slot) = self.current_dialing_slot(now) else {
            let may_open = least_loaded.is_none() || now.since(self.dialed_at) >= GROWTH_PAUSE;
            let another = if may_open {
                self.choose_dialing_slot(config, now)
            } else {
                None
            };
            return another.or(least_loaded).unwrap_or_default();
        };
        match least_loaded {
            Some(open) if self.is_unavailable(dialing_slot, now) || load(open) <= load(dialing_slot) => open,
            _ => dialing_slot,
        }
    }

    /// Returns the dialing slot while its dial may be in progress or the delay after its failure runs.
    fn current_dialing_slot(&self, now: Timestamp) -> Option<u32> {
        let unavailable = || {
            let slots = self.slots.iter().zip(0_u32..);
            slots
                .filter(|(slot, _)| slot.unavailable_until > now)
                .max_by_key(|(slot, _)| slot.unavailable_until)
        };
        self.dialing_slot
            .filter(|dialing_slot| dialing_slot.until > now)
            .map(|dialing_slot| dialing_slot.slot)
            .or_else(|| unavailable().map(|(_, slot)| slot))
    }

    /// Chooses the next dialing slot: the lowest one that is not known to be open, or a new one. If no lease
    /// reported on the last dialing slot, another one is preferred.
    fn choose_dialing_slot(&mut self, config: &PoolConfig, now: Timestamp) -> Option<u32> {
        let silent = self.dialing_slot.map(|dialing_slot| dialing_slot.slot);
        let slots = self.slots.iter().zip(0_u32..);
        let closed = slots.filter(|(slot, _)| !slot.is_open(config, now));
        let closed = closed
            .map(|(_, slot)| slot)
            .min_by_key(|slot| (silent == Some(*slot), *slot));
        let count = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let slot = match closed {
            Some(slot) if silent != Some(slot) => slot,
            _ if count < config.capacity.max(1) => {
                self.slots.push(Slot {
                    used_at: now,
                    unavailable_until: EPOCH,
                    open_at: EPOCH,
                });
                count
            }
            _ => closed?,
        };
        self.dialing_slot = None;
        self.dialed_at = now;
        Some(slot)
    }

    fn is_unavailable(&self, slot: u32, now: Timestamp) -> bool {
        self.slots
            .get(index(slot))
            .is_some_and(|slot| slot.unavailable_until > now)
    }

    fn is_used(&self, slot: u32) -> bool {
        self.loads.values().any(|load| load.slot == slot)
    }

    fn permits_by_slot(&self) -> Vec<u32> {
        let mut permits = vec![0_u32; self.slots.len()];
        for load in self.loads.values() {
            if let Some(sum) = permits.get_mut(index(load.slot)) {
                *sum = sum.saturating_add(load.permits);
            }
        }
        permits
    }

    /// Removes expired leases, and the last slots if they are idle.
    fn tidy(&mut self, config: &PoolConfig, now: Timestamp) {
        self.loads.retain(|_, load| load.expires_at > now);
        while let Some(last) = self.slots.last() {
            let slot = u32::try_from(self.slots.len() - 1).unwrap_or_default();
            let too_many = slot >= config.capacity.max(1);
            let is_idle = now.since(last.used_at) >= config.idle && last.unavailable_until <= now;
            if self.current_dialing_slot(now) == Some(slot) || self.is_used(slot) || !(too_many || is_idle) {
                return;
            }
            self.slots.pop();
        }
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

const EPOCH: Timestamp = Timestamp::from_millis(0);

/// A slot is near its limit when less than one part in this many is free.
const NEAR_SHARE: u32 = 10;

/// Apple's engineers advise not to open all connections at once but a few seconds apart (developer forums,
/// thread 778909).
const GROWTH_PAUSE: Duration = Duration::from_secs(3);

/// How long an unreported dial counts as in progress: twice the time limit for opening a socket.
const DIAL_TIME: Duration = Duration::from_secs(30);

/// How long requests share a dialing slot without a report. An object that answers none of them for this long
/// is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// The fraction of the idle time that is reserved for a request's way to the object: one in this many.
/// Without it the connection could close just before the request arrives.
const MARGIN: u32 = 4;
