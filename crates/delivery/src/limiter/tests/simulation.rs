//! Batches and immediate requests competing for permits, in virtual time.
//!
//! Each batch has some consumers. Like those of a queue, they request permits, hold them for a while and
//! request again. Immediate requests arrive independently.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;

#[test]
fn two_batches_have_permits_in_proportion_to_their_weights() {
    for (seed, limit, want) in [(1, 80, 1), (2, 400, 5), (3, 2000, 25)] {
        let mut simulation = Simulation::new(limit, seed);
        simulation.add_batch(1, 1, 90, want);
        simulation.add_batch(2, 3, 90, want);
        simulation.run(TIME);
        let ratio = simulation.average(Some(2)) / simulation.average(Some(1));
        assert!((2.8..3.2).contains(&ratio), "{ratio} of {limit}");
        let both = simulation.average(Some(1)) + simulation.average(Some(2));
        let open = f64::from(limit - limit / RESERVE);
        assert!(both > 0.8 * open && both <= open, "{both} of {limit}");
    }
}

#[test]
fn few_large_leases_are_shared_as_far_as_they_can_be() {
    let mut simulation = Simulation::new(2000, 1);
    simulation.add_batch(1, 1, 20, 500);
    simulation.add_batch(2, 3, 20, 500);
    simulation.run(TIME);
    let ratio = simulation.average(Some(2)) / simulation.average(Some(1));
    assert!((1.5..3.2).contains(&ratio), "{ratio}");
}

#[test]
fn what_a_batch_has_does_not_depend_on_how_many_consumers_ask_for_it() {
    let mut simulation = Simulation::new(80, 1);
    simulation.add_batch(1, 1, 50, 1);
    simulation.add_batch(2, 1, 150, 1);
    simulation.run(TIME);
    let ratio = simulation.average(Some(2)) / simulation.average(Some(1));
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn a_lone_batch_has_all_that_batches_may_have() {
    let mut simulation = Simulation::new(80, 1);
    simulation.add_batch(1, 1, 40, 5);
    simulation.run(TIME);
    let average = simulation.average(Some(1));
    assert!(average > 68.0 && average <= 70.0, "{average}");
}

#[test]
fn a_batch_of_weight_one_among_heavy_ones_proceeds_every_minute() {
    let mut simulation = Simulation::new(80, 1);
    simulation.add_batch(0, 1, 4, 5);
    for batch in 1..=3 {
        simulation.add_batch(batch, 100, 60, 5);
    }
    for minute in 1..=4 {
        let before = simulation.leases(Some(0));
        simulation.run(Duration::from_mins(1));
        assert!(simulation.leases(Some(0)) > before, "minute {minute}");
    }
    let share = simulation.average(Some(0)) / simulation.average(Some(1));
    assert!(share < 0.3, "{share}");
}

#[test]
fn small_immediate_orders_never_wait_for_batches() {
    let mut simulation = Simulation::new(80, 1);
    simulation.add_batch(1, 1, 60, 5);
    // Five of the ten permits of the reserve are in use on average.
    simulation.requests = Some(Requests {
        every: Duration::from_millis(300),
        want: 1,
        most: 9,
    });
    simulation.run(TIME);
    assert!(simulation.leases(None) > 500);
    assert_eq!(simulation.longest_wait(None), Duration::ZERO);
}

#[test]
fn batches_proceed_while_immediate_orders_leave_anything() {
    let mut simulation = Simulation::new(80, 1);
    simulation.add_batch(1, 1, 30, 20);
    simulation.requests = Some(Requests {
        every: Duration::from_millis(100),
        want: 5,
        most: 72,
    });
    for minute in 1..=4 {
        let before = simulation.leases(Some(1));
        simulation.run(Duration::from_mins(1));
        assert!(simulation.leases(Some(1)) > before, "minute {minute}");
    }
    let requests = simulation.average(None);
    assert!(requests > 60.0, "{requests}");
}

struct Simulation {
    now: Timestamp,
    rng: Rng,
    limiter: Limiter,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    scheduled: u64,
    waiting: BTreeMap<Ticket, (LeaseRequest, Timestamp)>,
    requests: Option<Requests>,
    /// Permits times milliseconds by batch, and leases.
    held: BTreeMap<Option<u64>, Held>,
    began: Timestamp,
}

/// Immediate requests.
#[derive(Clone, Copy)]
struct Requests {
    /// The average time between two requests.
    every: Duration,
    want: u32,
    /// No request arrives while this many permits are granted to immediate requests: their rate stays below
    /// the limit.
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
    /// A consumer of a batch with this weight requests `want` permits.
    LeaseRequest { batch: u64, weight: u32, want: u32 },
    /// A lease ends.
    End {
        lease: LeaseId,
        permits: u32,
        batch: Option<(u64, u32, u32)>,
    },
    /// An immediate request arrives.
    Request,
}

impl Simulation {
    fn new(limit: u32, seed: u64) -> Self {
        let mut simulation = Self {
            now: NOW,
            rng: Rng(seed),
            limiter: limiter_of(limit),
            events: BinaryHeap::new(),
            scheduled: 0,
            waiting: BTreeMap::new(),
            requests: None,
            held: BTreeMap::new(),
            began: NOW,
        };
        simulation.schedule(Duration::ZERO, Event::Request);
        simulation
    }

    fn add_batch(&mut self, batch: u64, weight: u32, consumers: u32, want: u32) {
        for _ in 0..consumers {
            self.schedule(Duration::ZERO, Event::LeaseRequest { batch, weight, want });
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
                let (request, since) = self.waiting.remove(&ticket).unwrap();
                self.hold(request, permits, since);
            }
            while let Some((ticket, retry_after)) = self.limiter.lapse(self.now) {
                let (request, _) = self.waiting.remove(&ticket).unwrap();
                self.come_back(request, retry_after);
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
            Event::LeaseRequest { batch, weight, want } => self.request(batch_ask(batch, weight, want)),
            Event::End {
                lease,
                permits,
                batch,
            } => {
                self.limiter.settle(lease, &Report::default(), self.now);
                self.held.get_mut(&batch.map(|(batch, ..)| batch)).unwrap().out -= permits;
                if let Some((batch, weight, want)) = batch {
                    let pause = Duration::from_millis(self.rng.below(200));
                    self.schedule(pause, Event::LeaseRequest { batch, weight, want });
                }
            }
            Event::Request => {
                let Some(requests) = self.requests else { return };
                let out = self.held.get(&None).map_or(0, |held| held.out);
                if out + requests.want <= requests.most {
                    self.request(patient(requests.want));
                }
                let twice = 2 * u64::try_from(requests.every.as_millis()).unwrap();
                let pause = Duration::from_millis(self.rng.below(twice));
                self.schedule(pause, Event::Request);
            }
        }
    }

    fn request(&mut self, request: LeaseRequest) {
        match self.limiter.request(request, self.now) {
            LeaseDecision::Granted(permits) => self.hold(request, permits, self.now),
            LeaseDecision::Wait { ticket, .. } => {
                self.waiting.insert(ticket, (request, self.now));
            }
            LeaseDecision::Full { retry_after } => self.come_back(request, retry_after),
        }
    }

    fn hold(&mut self, request: LeaseRequest, permits: Permits, since: Timestamp) {
        let held = self
            .held
            .entry(request.share.map(|share| share.batch))
            .or_default();
        held.leases += 1;
        held.out += permits.count;
        held.longest_wait = held.longest_wait.max(self.now.since(since));
        let time = Duration::from_millis(500 + self.rng.below(2000));
        let batch = request
            .share
            .map(|share| (share.batch, share.weight, request.want));
        let end = Event::End {
            lease: permits.lease,
            permits: permits.count,
            batch,
        };
        self.schedule(time, end);
    }

    fn come_back(&mut self, request: LeaseRequest, retry_after: Duration) {
        let share = request.share.expect("an immediate request was turned away");
        let again = Event::LeaseRequest {
            batch: share.batch,
            weight: share.weight,
            want: request.want,
        };
        self.schedule(retry_after, again);
    }

    fn schedule(&mut self, pause: Duration, event: Event) {
        self.scheduled += 1;
        self.events
            .push(Reverse((self.now + pause, self.scheduled, event)));
    }
}

/// SplitMix64: the same numbers in each run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

const TIME: Duration = Duration::from_mins(4);
