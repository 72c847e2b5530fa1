//! Which connection of a credential a chunk goes to.
//!
//! pushy's pool, kept by the gate: places for connection objects up to a capacity. The lowest place with room is
//! filled first, so that the highest fall idle and close; a place is added when all are near their limit, a few seconds
//! after the last; one whose connection could not be opened is passed over until its delay is over. In scope: the
//! choice. Out of scope: opening and closing sockets, which each object does for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limiter::LeaseId;
use crate::time::Timestamp;

/// The places, and what is leased on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    places: Vec<Place>,
    loads: BTreeMap<LeaseId, Load>,
    grown_at: Timestamp,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    used_at: Timestamp,
    shut_until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Load {
    place: u32,
    permits: u32,
    expires_at: Timestamp,
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

    /// A lease has ended. `shut_for` is how long its place is to be passed over, if its connection could not be opened.
    pub fn release(&mut self, lease: LeaseId, shut_for: Option<Duration>, now: Timestamp) {
        let Some(load) = self.loads.remove(&lease) else {
            return;
        };
        if let Some(place) = self.places.get_mut(index(load.place)) {
            place.used_at = now;
            place.shut_until = shut_for.map_or(place.shut_until, |delay| now + delay);
        }
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
        let open = || {
            let places = loads.iter().zip(&self.places).zip(0_u32..);
            places
                .filter(|((_, place), _)| place.shut_until <= now)
                .map(|((load, _), place)| (*load, place))
        };
        let near = shape.streams - shape.streams / NEAR_SHARE;
        if let Some((_, place)) = open().find(|(load, _)| *load == 0 || load + permits <= near) {
            return place;
        }
        let may_grow = self.places.is_empty() || now.since(self.grown_at) >= GROWTH_PAUSE;
        if self.places.len() < index(shape.capacity.max(1)) && may_grow {
            self.grown_at = now;
            self.places.push(Place {
                used_at: now,
                shut_until: Timestamp::from_millis(0),
            });
            return u32::try_from(self.places.len() - 1).unwrap_or_default();
        }
        let least_loaded = open().min().map(|(_, place)| place);
        let first_back = || {
            self.places
                .iter()
                .zip(0_u32..)
                .min_by_key(|(place, _)| place.shut_until)
        };
        least_loaded
            .or_else(|| first_back().map(|(_, place)| place))
            .unwrap_or_default()
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
            let in_use = self.loads.values().any(|load| load.place == place);
            let too_many = place >= shape.capacity.max(1);
            if in_use || (!too_many && now.since(last.used_at) < shape.idle) {
                return;
            }
            self.places.pop();
        }
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// A place is near its limit when less than one part in this many is free.
const NEAR_SHARE: u32 = 10;

/// Apple's engineers: do not open all connections at once, leave a few seconds between (developer forums, thread 778909).
const GROWTH_PAUSE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_secs(1_795_420_800);
    const SHAPE: Shape = Shape {
        capacity: 4,
        streams: 1000,
        idle: Duration::from_secs(60),
    };

    fn lease(number: u64) -> LeaseId {
        serde_json::from_str(&number.to_string()).unwrap()
    }

    fn place(pool: &mut Pool, number: u64, permits: u32, now: Timestamp) -> u32 {
        pool.place(
            lease(number),
            permits,
            now + Duration::from_secs(100),
            &SHAPE,
            now,
        )
    }

    #[test]
    fn the_lowest_place_with_room_is_filled_first() {
        let mut pool = Pool::default();
        assert_eq!(place(&mut pool, 1, 400, START), 0);
        assert_eq!(place(&mut pool, 2, 400, START), 0);
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn a_place_is_added_when_all_are_near_their_limit_a_few_seconds_after_the_last() {
        let mut pool = Pool::default();
        assert_eq!(place(&mut pool, 1, 900, START), 0);
        assert_eq!(
            place(&mut pool, 2, 900, START),
            0,
            "too soon after the first place"
        );
        let later = START + GROWTH_PAUSE;
        assert_eq!(place(&mut pool, 3, 900, later), 1);
        assert_eq!(place(&mut pool, 4, 900, later), 1, "the least loaded");
    }

    #[test]
    fn a_pools_format_unchanged() {
        // A gate that is evicted finds its pool as it left it, leases by number included.
        let mut pool = Pool::default();
        place(&mut pool, 7, 900, START);
        let text = serde_json::to_string(&pool).unwrap();
        assert_eq!(
            text,
            r#"{"places":[{"used_at":1795420800000,"shut_until":0}],"loads":{"7":{"place":0,"permits":900,"expires_at":1795420900000}},"grown_at":1795420800000}"#
        );
        assert_eq!(serde_json::from_str::<Pool>(&text).unwrap(), pool);
    }

    #[test]
    fn the_pool_never_grows_past_its_capacity() {
        let mut pool = Pool::default();
        for number in 0..20 {
            place(
                &mut pool,
                number,
                1000,
                START + GROWTH_PAUSE * u32::try_from(number).unwrap(),
            );
        }
        assert_eq!(pool.len(), 4);
    }

    #[test]
    fn idle_places_leave_from_the_end() {
        let mut pool = Pool::default();
        for number in 0..3 {
            place(
                &mut pool,
                number,
                1000,
                START + GROWTH_PAUSE * u32::try_from(number).unwrap(),
            );
        }
        assert_eq!(pool.len(), 3);
        let end = START + Duration::from_secs(20);
        for number in 0..3 {
            pool.release(lease(number), None, end);
        }
        assert_eq!(place(&mut pool, 9, 10, end + SHAPE.idle), 0);
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn a_place_that_could_not_connect_is_passed_over_until_its_delay_is_over() {
        let mut pool = Pool::default();
        place(&mut pool, 1, 10, START);
        pool.release(lease(1), Some(Duration::from_secs(8)), START);
        let soon = START + GROWTH_PAUSE;
        assert_eq!(place(&mut pool, 2, 10, soon), 1);
        pool.release(lease(2), None, soon);
        assert_eq!(place(&mut pool, 3, 10, START + Duration::from_secs(8)), 0);
    }

    #[test]
    fn with_every_place_shut_the_first_to_come_back_is_chosen() {
        let shape = Shape { capacity: 1, ..SHAPE };
        let mut pool = Pool::default();
        pool.place(lease(1), 10, START + Duration::from_secs(100), &shape, START);
        pool.release(lease(1), Some(Duration::from_secs(60)), START);
        assert_eq!(
            pool.place(lease(2), 10, START + Duration::from_secs(100), &shape, START),
            0
        );
    }

    #[test]
    fn a_lease_that_ended_unsaid_holds_no_place() {
        let mut pool = Pool::default();
        place(&mut pool, 1, 1000, START);
        let later = START + Duration::from_secs(100);
        assert_eq!(place(&mut pool, 2, 1000, later), 0);
        assert_eq!(pool.len(), 1);
    }

    proptest! {
        #[test]
        fn a_chosen_place_always_exists(
            steps in proptest::collection::vec((0_u64..20, 1_u32..1200, 0_u64..10_000, any::<bool>(), any::<bool>()), 1..200)
        ) {
            let mut pool = Pool::default();
            let mut now = START;
            for (number, permits, millis, release, shut) in steps {
                now = now + Duration::from_millis(millis);
                if release {
                    pool.release(lease(number), shut.then_some(Duration::from_secs(5)), now);
                } else {
                    let chosen = place(&mut pool, number, permits, now);
                    prop_assert!(index(chosen) < pool.len());
                }
                prop_assert!(pool.len() <= 4);
            }
        }
    }
}
