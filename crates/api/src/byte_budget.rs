//! Limits the bytes of request bodies that an isolate holds at the same time.
//!
//! A body counts until it is sent: with its declared size or, if it declares none, as it arrives. A body that
//! does not fit is refused before it is read. Source: an isolate has 128 MB for wasm memory and JavaScript
//! together (<https://developers.cloudflare.com/workers/platform/limits/#memory>).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::problem::{Kind, Problem};
use apns::time::Timestamp;

/// A number of bytes that reservations share.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    held: RefCell<BTreeMap<u64, Held>>,
}

/// The bytes of a reservation, and until when it counts.
#[derive(Debug)]
struct Held {
    bytes: usize,
    until: Timestamp,
}

/// Reserved bytes of a budget, which are released when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<ByteBudget>,
    id: u64,
}

impl ByteBudget {
    /// Creates a budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            held: RefCell::default(),
        })
    }

    /// Reserves `bytes`. Returns 503 with `Retry-After` if fewer are free.
    pub fn reserve(self: &Rc<Self>, bytes: usize, now: Timestamp) -> Result<Reservation, Problem> {
        let last = self.held.borrow().keys().next_back().copied();
        let mut reservation = Reservation {
            budget: Rc::clone(self),
            id: last.unwrap_or_default() + 1,
        };
        reservation.grow_to(bytes, now)?;
        Ok(reservation)
    }
}

impl Reservation {
    /// Grows to `bytes`, if that is more. Returns 503 with `Retry-After` if too few bytes are free.
    pub fn grow_to(&mut self, bytes: usize, now: Timestamp) -> Result<(), Problem> {
        let mut held = self.budget.held.borrow_mut();
        let bytes = held.get(&self.id).map_or(bytes, |held| held.bytes.max(bytes));
        held.retain(|id, held| *id == self.id || held.until > now);
        let others = held.iter().filter(|(id, _)| **id != self.id);
        let others: usize = others.map(|(_, held)| held.bytes).sum();
        if others.saturating_add(bytes) > self.budget.limit {
            return Err(refusal());
        }
        let until = now + MAX_AGE;
        held.insert(self.id, Held { bytes, until });
        Ok(())
    }
}

/// Returns the problem of a body for which there is no memory. Nothing of its request was sent.
#[must_use]
pub fn refusal() -> Problem {
    let detail = "other requests have taken the memory for bodies; nothing was sent: repeat the request after `Retry-After`, or make \
                  it a batch with `Prefer: respond-async`";
    Problem::new(Kind::Busy, detail).retry_after_ms(RETRY_MS)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.held.borrow_mut().remove(&self.id);
    }
}

/// The limit for the bodies of an isolate's requests, and a second time for those of its connection objects.
///
/// It allows one send request of the largest size, and half as much for all others. Measured in workerd over
/// sockets, with 16 MiB for 10,000 devices with their own payloads. One such request takes 69 MiB of wasm
/// memory, and two at once take 106 MiB. In JavaScript each request takes another 16 MiB, for the copy of its
/// body that is sent to the connection object. Two do not fit into an isolate.
pub const MAX_BYTES_IN_FLIGHT: usize = 24 * 1024 * 1024;

/// A reservation that has not grown for this long no longer counts. When a caller disconnects, the platform
/// may end the request without dropping anything. Longer than a send request may take.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// A send request of the largest size is sent within some seconds.
const RETRY_MS: u64 = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use crate::format::Limits;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

    #[test]
    fn an_order_of_the_largest_size_fits_and_a_second_one_waits_for_it() {
        let budget = ByteBudget::new(MAX_BYTES_IN_FLIGHT);
        let largest = Limits::of(Transport::Socket).body;
        let first = budget.reserve(largest, NOW).unwrap();
        let refusal = budget.reserve(largest, NOW).unwrap_err();
        let (kind, answer) = (refusal.kind(), refusal.answer());
        assert_eq!((kind, answer.status), (Kind::Busy, 503));
        assert!(answer.headers.contains(&("retry-after", "2".to_owned())));
        // Small requests go on meanwhile.
        drop(budget.reserve(largest / 2, NOW).unwrap());
        drop(first);
        budget.reserve(largest, NOW).unwrap();
    }

    #[test]
    fn the_last_byte_fits_and_one_more_does_not() {
        let budget = ByteBudget::new(100);
        let mut most = budget.reserve(60, NOW).unwrap();
        let rest = budget.reserve(40, NOW).unwrap();
        assert!(budget.reserve(1, NOW).is_err());
        assert!(most.grow_to(61, NOW).is_err());
        budget.reserve(0, NOW).unwrap();
        drop(rest);
        most.grow_to(100, NOW).unwrap();
        assert!(most.grow_to(101, NOW).is_err());
        drop(most);
        assert!(budget.reserve(101, NOW).is_err());
        budget.reserve(100, NOW).unwrap();
    }

    #[test]
    fn a_body_that_comes_in_pieces_counts_once() {
        let budget = ByteBudget::new(100);
        let mut body = budget.reserve(50, NOW).unwrap();
        for read in [10, 50, 70] {
            body.grow_to(read, NOW).unwrap();
        }
        assert!(budget.reserve(31, NOW).is_err());
        budget.reserve(30, NOW).unwrap();
    }

    #[test]
    fn what_a_request_left_behind_that_never_ended_counts_no_more_after_a_while() {
        let budget = ByteBudget::new(100);
        let mut slow = budget.reserve(40, NOW).unwrap();
        std::mem::forget(budget.reserve(60, NOW).unwrap());
        let before = NOW + MAX_AGE - Duration::from_millis(1);
        slow.grow_to(40, before).unwrap();
        assert!(budget.reserve(1, before).is_err());
        let after = NOW + MAX_AGE;
        assert!(budget.reserve(61, after).is_err());
        let next = budget.reserve(60, after).unwrap();
        drop((slow, next));
        budget.reserve(100, after).unwrap();
    }

    proptest! {
        #[test]
        fn what_is_reserved_is_never_above_the_limit(
            steps in proptest::collection::vec((0_usize..3, 0_usize..60), 0..80)
        ) {
            let budget = ByteBudget::new(100);
            let mut held: Vec<(Reservation, usize)> = Vec::new();
            for (step, bytes) in steps {
                match step {
                    0 => held.extend(budget.reserve(bytes, NOW).map(|reservation| (reservation, bytes))),
                    1 => drop(held.pop()),
                    _ => {
                        if let Some((last, size)) = held.last_mut()
                            && last.grow_to(bytes, NOW).is_ok()
                        {
                            *size = bytes.max(*size);
                        }
                    }
                }
                let sum: usize = held.iter().map(|(_, size)| *size).sum();
                prop_assert!(sum <= 100);
                prop_assert!(budget.reserve(100 - sum, NOW).is_ok());
                prop_assert!(budget.reserve(101 - sum, NOW).is_err());
            }
        }
    }
}
