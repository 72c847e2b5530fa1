//! Batches and immediate orders under contention, in virtual time.
//!
//! Each batch has some consumers, which ask for permits, hold them for a while and ask again, as those of a queue do.
//! Immediate orders come by themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;

#[test]
fn two_batches_have_permits_in_proportion_to_their_weights() {
    for (seed, limit, want) in [(1, 80, 1), (2, 400, 5), (3, 2000, 25)] {
        let mut world = World::new(limit, seed);
        world.add_batch(1, 1, 90, want);
        world.add_batch(2, 3, 90, want);
        world.run(TIME);
        let ratio = world.average(Some(2)) / world.average(Some(1));
        assert!((2.8..3.2).contains(&ratio), "{ratio} of {limit}");
        let both = world.average(Some(1)) + world.average(Some(2));
        let open = f64::from(limit - limit / RESERVE);
        assert!(both > 0.8 * open && both <= open, "{both} of {limit}");
    }
}

#[test]
fn few_large_leases_are_shared_as_far_as_they_can_be() {
    let mut world = World::new(2000, 1);
    world.add_batch(1, 1, 20, 500);
    world.add_batch(2, 3, 20, 500);
    world.run(TIME);
    let ratio = world.average(Some(2)) / world.average(Some(1));
    assert!((1.5..3.2).contains(&ratio), "{ratio}");
}

#[test]
fn what_a_batch_has_does_not_depend_on_how_many_consumers_ask_for_it() {
    let mut world = World::new(80, 1);
    world.add_batch(1, 1, 50, 1);
    world.add_batch(2, 1, 150, 1);
    world.run(TIME);
    let ratio = world.average(Some(2)) / world.average(Some(1));
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn a_lone_batch_has_all_that_batches_may_have() {
    let mut world = World::new(80, 1);
    world.add_batch(1, 1, 40, 5);
    world.run(TIME);
    let average = world.average(Some(1));
    assert!(average > 68.0 && average <= 70.0, "{average}");
}

#[test]
fn a_batch_of_weight_one_among_heavy_ones_proceeds_every_minute() {
    let mut world = World::new(80, 1);
    world.add_batch(0, 1, 4, 5);
    for batch in 1..=3 {
        world.add_batch(batch, 100, 60, 5);
    }
    for minute in 1..=4 {
        let before = world.leases(Some(0));
        world.run(Duration::from_mins(1));
        assert!(world.leases(Some(0)) > before, "minute {minute}");
    }
    let share = world.average(Some(0)) / world.average(Some(1));
    assert!(share < 0.3, "{share}");
}

#[test]
fn small_immediate_orders_never_wait_for_batches() {
    let mut world = World::new(80, 1);
    world.add_batch(1, 1, 60, 5);
    // Five of the ten permits of the reserve are in use on average.
    world.orders = Some(Orders {
        every: Duration::from_millis(300),
        want: 1,
        most: 9,
    });
    world.run(TIME);
    assert!(world.leases(None) > 500);
    assert_eq!(world.longest_wait(None), Duration::ZERO);
}

#[test]
fn batches_proceed_while_immediate_orders_leave_anything() {
    let mut world = World::new(80, 1);
    world.add_batch(1, 1, 30, 20);
    world.orders = Some(Orders {
        every: Duration::from_millis(100),
        want: 5,
        most: 72,
    });
    for minute in 1..=4 {
        let before = world.leases(Some(1));
        world.run(Duration::from_mins(1));
        assert!(world.leases(Some(1)) > before, "minute {minute}");
    }
    let orders = world.average(None);
    assert!(orders > 60.0, "{orders}");
}

struct World {
    now: Timestamp,
    dice: Dice,
    limiter: Limiter,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    scheduled: u64,
    waiting: BTreeMap<Ticket, (Ask, Timestamp)>,
    orders: Option<Orders>,
    /// Permits times milliseconds by batch, and leases.
    held: BTreeMap<Option<u64>, Held>,
    began: Timestamp,
}

/// Immediate orders.
#[derive(Clone, Copy)]
struct Orders {
    /// One comes after so long, on average.
    every: Duration,
    want: u32,
    /// None comes while so many permits are out for them: their rate is below the limit.
    most: u32,
}

#[derive(Default)]
struct Held {
    permit_millis: u64,
    leases: u32,
    longest_wait: Duration,
    out: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A consumer of a batch of this weight asks for so many.
    Ask { batch: u64, weight: u32, want: u32 },
    /// A lease ends.
    End {
        lease: LeaseId,
        permits: u32,
        batch: Option<(u64, u32, u32)>,
    },
    /// An immediate order comes.
    Order,
}

impl World {
    fn new(limit: u32, seed: u64) -> Self {
        let mut world = Self {
            now: NOW,
            dice: Dice(seed),
            limiter: limiter_of(limit),
            events: BinaryHeap::new(),
            scheduled: 0,
            waiting: BTreeMap::new(),
            orders: None,
            held: BTreeMap::new(),
            began: NOW,
        };
        world.schedule(Duration::ZERO, Event::Order);
        world
    }

    fn add_batch(&mut self, batch: u64, weight: u32, consumers: u32, want: u32) {
        for _ in 0..consumers {
            self.schedule(Duration::ZERO, Event::Ask { batch, weight, want });
        }
    }

    fn average(&self, batch: Option<u64>) -> f64 {
        let millis = self.now.since(self.began).as_millis();
        self.held[&batch].permit_millis as f64 / millis as f64
    }

    fn leases(&self, batch: Option<u64>) -> u32 {
        self.held.get(&batch).map_or(0, |held| held.leases)
    }

    fn longest_wait(&self, batch: Option<u64>) -> Duration {
        self.held[&batch].longest_wait
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else {
                break;
            };
            self.pass(at);
            self.happen(event);
            while let Some((ticket, permits)) = self.limiter.admit(self.now) {
                let (ask, since) = self.waiting.remove(&ticket).unwrap();
                self.hold(ask, permits, since);
            }
            while let Some((ticket, retry_after)) = self.limiter.lapse(self.now) {
                let (ask, _) = self.waiting.remove(&ticket).unwrap();
                self.come_back(ask, retry_after);
            }
        }
        self.pass(end);
    }

    fn pass(&mut self, to: Timestamp) {
        let millis = u64::try_from(to.since(self.now).as_millis()).unwrap();
        for held in self.held.values_mut() {
            held.permit_millis += u64::from(held.out) * millis;
        }
        self.now = to;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask { batch, weight, want } => self.ask(batch_ask(batch, weight, want)),
            Event::End {
                lease,
                permits,
                batch,
            } => {
                self.limiter.settle(lease, &Report::default(), self.now);
                self.held.get_mut(&batch.map(|(batch, ..)| batch)).unwrap().out -= permits;
                if let Some((batch, weight, want)) = batch {
                    let pause = Duration::from_millis(self.dice.below(200));
                    self.schedule(pause, Event::Ask { batch, weight, want });
                }
            }
            Event::Order => {
                let Some(orders) = self.orders else { return };
                let out = self.held.get(&None).map_or(0, |held| held.out);
                if out + orders.want <= orders.most {
                    self.ask(patient(orders.want));
                }
                let twice = 2 * u64::try_from(orders.every.as_millis()).unwrap();
                let pause = Duration::from_millis(self.dice.below(twice));
                self.schedule(pause, Event::Order);
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match self.limiter.ask(ask, self.now) {
            Decision::Granted(permits) => self.hold(ask, permits, self.now),
            Decision::Wait { ticket, .. } => {
                self.waiting.insert(ticket, (ask, self.now));
            }
            Decision::Full { retry_after } => self.come_back(ask, retry_after),
        }
    }

    fn hold(&mut self, ask: Ask, permits: Permits, since: Timestamp) {
        let held = self.held.entry(ask.share.map(|share| share.batch)).or_default();
        held.leases += 1;
        held.out += permits.count;
        held.longest_wait = held.longest_wait.max(self.now.since(since));
        let time = Duration::from_millis(500 + self.dice.below(2000));
        let batch = ask.share.map(|share| (share.batch, share.weight, ask.want));
        let end = Event::End {
            lease: permits.lease,
            permits: permits.count,
            batch,
        };
        self.schedule(time, end);
    }

    fn come_back(&mut self, ask: Ask, retry_after: Duration) {
        let share = ask.share.expect("an immediate order was turned away");
        let again = Event::Ask {
            batch: share.batch,
            weight: share.weight,
            want: ask.want,
        };
        self.schedule(retry_after, again);
    }

    fn schedule(&mut self, pause: Duration, event: Event) {
        self.scheduled += 1;
        self.events
            .push(Reverse((self.now + pause, self.scheduled, event)));
    }
}

/// SplitMix64: the same throws each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

const TIME: Duration = Duration::from_mins(4);
