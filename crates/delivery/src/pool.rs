//! Which connection of a credential a chunk goes to.
//!
//! pushy's pool, kept by the gate: places for connection objects up to a capacity. The lowest place with room is
//! filled first, so that the highest fall idle and close. An object opens its connection when an order comes to it, so
//! that the pool decides who opens: it hands out places that it knows to be open, and beside them a single one that it
//! does not, the opener, whom all share who find no room elsewhere. When its opening fails, no other place is tried before
//! the delay is over that its object keeps: the failures of a credential back off together. While a connection is open,
//! another is opened a few seconds after the last at the soonest.
//!
//! What the pool knows is what leases tell when they end, so that it does not see an object that has lost its connection and
//! opens another, nor an object's second socket: that no two of a credential open at once is the rule of `opening`, which
//! the gate keeps beside this and which every object asks. In scope: the choice, so that orders need not wait for an
//! opening. Out of scope: opening and closing sockets, which each object does for itself.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limiter::LeaseId;
use apns::time::Timestamp;

/// The places, and what is leased on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    places: Vec<Place>,
    loads: BTreeMap<LeaseId, Load>,
    /// When a place was last made the opener.
    #[serde(rename = "grown_at")]
    opened_at: Timestamp,
    #[serde(default)]
    opener: Option<Opener>,
}

/// How large a pool may be; the deployment's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The most connection objects.
    pub capacity: u32,
    /// The most pushes in flight of one object.
    pub streams: u32,
    /// How long an object keeps a connection that nobody uses.
    pub idle: Duration,
}

impl Shape {
    /// What a deployment that says nothing gets.
    pub const DEFAULT: Self = Self {
        capacity: 4,
        streams: 2000,
        idle: Duration::from_secs(60),
    };
}

/// What the end of a lease tells of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// APNs answered over it.
    Open,
    /// Nothing.
    Unused,
    /// Pushes had no answer: it may be broken.
    Broken,
    /// It could not be opened, and cannot be for so long.
    Shut(Duration),
}

/// How many places of a pool stand how, as far as leases told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Their connections were open a while ago.
    pub open: u32,
    /// Nobody has told: they are opened for the first time, or have closed for want of work.
    pub idle: u32,
    /// Their connections could not be opened, and wait until they are opened again.
    pub shut: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    used_at: Timestamp,
    shut_until: Timestamp,
    /// When a lease last told that its connection was open; the epoch if it may not be.
    #[serde(default)]
    open_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Load {
    place: u32,
    permits: u32,
    expires_at: Timestamp,
}

/// The one place that is handed out though its connection may have to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Opener {
    place: u32,
    /// When a lease last told of it, or when it was chosen.
    since: Timestamp,
    /// When its opening is over, if nobody says so. If nobody has, another is preferred to it from then on.
    until: Timestamp,
}

impl Place {
    fn is_open(&self, shape: &Shape, now: Timestamp) -> bool {
        now.since(self.open_at) < shape.idle - shape.idle / MARGIN
    }
}

impl Pool {
    /// The place for a lease of `permits` that ends at `expires_at` at the latest.
    pub fn place(
        &mut self,
        lease: LeaseId,
        permits: u32,
        expires_at: Timestamp,
        shape: &Shape,
        now: Timestamp,
    ) -> u32 {
        self.tidy(shape, now);
        let place = self.choose(permits, shape, now);
        if let Some(chosen) = self.places.get_mut(index(place)) {
            chosen.used_at = now;
            if !chosen.is_open(shape, now) {
                let known = self.opener.filter(|opener| opener.place == place);
                let since = known.map_or(now, |opener| opener.since);
                let until = (now + OPENING_TIME).min(since + SILENCE);
                self.opener = Some(Opener { place, since, until });
            }
        }
        self.loads.insert(
            lease,
            Load {
                place,
                permits,
                expires_at,
            },
        );
        place
    }

    /// A lease has ended, and tells of its connection.
    pub fn release(&mut self, lease: LeaseId, sign: Sign, now: Timestamp) {
        let Some(Load { place, .. }) = self.loads.remove(&lease) else {
            return;
        };
        if let Some(seen) = self.places.get_mut(index(place)) {
            seen.used_at = now;
            match sign {
                Sign::Open => (seen.open_at, seen.shut_until) = (now, EPOCH),
                Sign::Unused => {}
                Sign::Broken => seen.open_at = EPOCH,
                Sign::Shut(delay) => (seen.open_at, seen.shut_until) = (EPOCH, now + delay),
            }
        }
        let is_used = self.is_used(place);
        if let Some(opener) = self.opener.as_mut().filter(|opener| opener.place == place) {
            opener.since = now;
            // Another order that is on its way to the object could still make it open.
            if sign == Sign::Open || !is_used {
                self.opener = None;
            }
        }
    }

    /// How the places stand.
    #[must_use]
    pub fn standing(&self, shape: &Shape, now: Timestamp) -> Standing {
        let mut standing = Standing::default();
        for place in &self.places {
            if place.shut_until > now {
                standing.shut += 1;
            } else if place.is_open(shape, now) {
                standing.open += 1;
            } else {
                standing.idle += 1;
            }
        }
        standing
    }

    /// How many places there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no place yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn choose(&mut self, permits: u32, shape: &Shape, now: Timestamp) -> u32 {
        let loads = self.permits_by_place();
        let load = |place: u32| loads.get(index(place)).copied().unwrap_or_default();
        let open = || {
            let places = self.places.iter().zip(0_u32..);
            places
                .filter(|(place, _)| place.is_open(shape, now))
                .map(|(_, place)| place)
        };
        let near = shape.streams - shape.streams / NEAR_SHARE;
        if let Some(place) = open().find(|place| load(*place) == 0 || load(*place) + permits <= near) {
            return place;
        }
        let least_loaded = open().min_by_key(|place| load(*place));
        let Some(opener) = self.opener(now) else {
            let may_open = least_loaded.is_none() || now.since(self.opened_at) >= GROWTH_PAUSE;
            let another = if may_open { self.let_open(shape, now) } else { None };
            return another.or(least_loaded).unwrap_or_default();
        };
        match least_loaded {
            Some(open) if self.is_shut(opener, now) || load(open) <= load(opener) => open,
            _ => opener,
        }
    }

    /// The one place that is not known to be open and yet is handed out, if there has to be one: while its opening may be
    /// under way, and while its delay runs after that has failed.
    fn opener(&self, now: Timestamp) -> Option<u32> {
        let shut = || {
            let places = self.places.iter().zip(0_u32..);
            places
                .filter(|(place, _)| place.shut_until > now)
                .max_by_key(|(place, _)| place.shut_until)
        };
        self.opener
            .filter(|opener| opener.until > now)
            .map(|opener| opener.place)
            .or_else(|| shut().map(|(_, place)| place))
    }

    /// Chooses the next opener: the lowest place that is not known to be open, or a new one; rather not the last opener if
    /// nobody told of it.
    fn let_open(&mut self, shape: &Shape, now: Timestamp) -> Option<u32> {
        let silent = self.opener.map(|opener| opener.place);
        let places = self.places.iter().zip(0_u32..);
        let closed = places.filter(|(place, _)| !place.is_open(shape, now));
        let closed = closed
            .map(|(_, place)| place)
            .min_by_key(|place| (silent == Some(*place), *place));
        let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let place = match closed {
            Some(place) if silent != Some(place) => place,
            _ if count < shape.capacity.max(1) => {
                self.places.push(Place {
                    used_at: now,
                    shut_until: EPOCH,
                    open_at: EPOCH,
                });
                count
            }
            _ => closed?,
        };
        self.opener = None;
        self.opened_at = now;
        Some(place)
    }

    fn is_shut(&self, place: u32, now: Timestamp) -> bool {
        self.places
            .get(index(place))
            .is_some_and(|place| place.shut_until > now)
    }

    fn is_used(&self, place: u32) -> bool {
        self.loads.values().any(|load| load.place == place)
    }

    fn permits_by_place(&self) -> Vec<u32> {
        let mut permits = vec![0_u32; self.places.len()];
        for load in self.loads.values() {
            if let Some(sum) = permits.get_mut(index(load.place)) {
                *sum = sum.saturating_add(load.permits);
            }
        }
        permits
    }

    /// Forgets leases that have ended unsaid, and the last places if they are idle.
    fn tidy(&mut self, shape: &Shape, now: Timestamp) {
        self.loads.retain(|_, load| load.expires_at > now);
        while let Some(last) = self.places.last() {
            let place = u32::try_from(self.places.len() - 1).unwrap_or_default();
            let too_many = place >= shape.capacity.max(1);
            let is_idle = now.since(last.used_at) >= shape.idle && last.shut_until <= now;
            if self.opener(now) == Some(place) || self.is_used(place) || !(too_many || is_idle) {
                return;
            }
            self.places.pop();
        }
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

const EPOCH: Timestamp = Timestamp::from_millis(0);

/// A place is near its limit when less than one part in this many is free.
const NEAR_SHARE: u32 = 10;

/// Apple's engineers: do not open all connections at once, leave a few seconds between (developer forums, thread 778909).
const GROWTH_PAUSE: Duration = Duration::from_secs(3);

/// How long an opening is thought to be under way of which nobody tells: twice what a socket may take to open.
const OPENING_TIME: Duration = Duration::from_secs(30);

/// How long orders share an opener of which nobody tells: an object that answers none of them for so long is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// One part in so many of the idle time is left for an order's way to the object, whose connection could else close as the
/// order comes.
const MARGIN: u32 = 4;
