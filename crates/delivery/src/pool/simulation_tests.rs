//! Gate, connection objects and a server together, in virtual time: which object dials, and when.
//!
//! Objects behave like the Worker's. They dial when a request arrives and no connection is open, once for all
//! waiting requests. They keep their own delays (the real [`DialLimiter`]) and close connections that were
//! unused for the idle time. Requests and settlements take a while to arrive, and some are lost. The server
//! refuses connections for a time, or accepts them slowly.
//!
//! Open connections do not break here, because the pool does not see the dial of an object that lost one. An
//! object whose settlements are all lost for a minute is not counted either: the pool passes it over, since
//! it cannot distinguish it from a broken one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::dial::{Dial, DialLimiter};

proptest! {
    // Concurrent dials are rare.
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn never_do_two_slots_open_a_connection_at_once(steps in prop::collection::vec(step(), 1..300)) {
        let mut simulation = Simulation::new();
        for step in steps {
            match step {
                Step::Request { permits, fate } => simulation.request(permits, fate),
                Step::Pass(time) => simulation.pass(time),
                Step::Server(accepts) => simulation.accepts = accepts,
            }
        }
        prop_assert!(simulation.most_dialing <= 1, "{} at once", simulation.most_dialing);
        prop_assert!(simulation.too_early == 0, "{} before the delay was over", simulation.too_early);

        simulation.accepts = true;
        simulation.pass(LONGEST_DELAY + DIAL_TIME);
        simulation.request(1, Fate::GONE);
        simulation.pass(LONGEST_WAY * 2 + LONGEST_DIAL);
        let slot = simulation.last_slot;
        prop_assert!(simulation.objects[index(slot)].is_open(), "no connection in the end");
    }
}

#[test]
fn after_an_outage_one_slot_opens_after_the_other() {
    let mut simulation = Simulation::new();
    let fate = Fate::GONE;
    for _ in 0..60 {
        simulation.request(
            900,
            Fate {
                run: SECOND * 2,
                ..fate
            },
        );
        simulation.pass(Duration::from_millis(500));
    }
    assert_eq!(
        simulation
            .objects
            .iter()
            .filter(|object| object.is_open())
            .count(),
        4
    );
    simulation.pass(CONFIG.idle * 2);
    simulation.accepts = false;
    let failed = simulation.dials.len();
    for _ in 0..600 {
        simulation.request(900, fate);
        simulation.pass(Duration::from_millis(500));
    }
    let pauses = Vec::from_iter(
        simulation.dials[failed..]
            .windows(2)
            .map(|pair| pair[1].since(pair[0])),
    );
    // 1, 2, 4 ... 60 seconds with jitter, plus the ways to the object and back.
    for (pause, full) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        assert!(*pause >= SECOND * full / 2, "{pauses:?}");
        assert!(*pause <= SECOND * full + SECOND * 2, "{pauses:?}");
    }
    assert!(pauses.len() >= 8, "{pauses:?}");
    assert_eq!(simulation.most_dialing, 1);
}

struct Simulation {
    now: Timestamp,
    pool: Pool,
    objects: Vec<Object>,
    /// Whether the server accepts new connections.
    accepts: bool,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    counter: u64,
    last_slot: u32,
    most_dialing: usize,
    /// When each dial began.
    dials: Vec<Timestamp>,
    /// The number of dials that began during another slot's delay that had been reported to the pool.
    too_early: usize,
}

#[derive(Default)]
struct Object {
    dial: DialLimiter,
    is_dialing: bool,
    /// Whether the pool has passed it over because it reported nothing for a minute.
    is_given_up: bool,
    /// Requests that wait for the dial.
    waiting: Vec<Request>,
    running: u32,
    open: bool,
    used_at: Timestamp,
    /// When its delay was last reported to the pool, and when the delay ends.
    reported: Option<(Timestamp, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    lease: LeaseId,
    slot: u32,
    assigned_at: Timestamp,
    fate: Fate,
}

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fate {
    /// The time until it reaches its object; `None` if it is lost on the way.
    there: Option<Duration>,
    /// The duration of a dial that it causes.
    open: Duration,
    /// The duration of its pushes.
    run: Duration,
    /// Whether the request has a fault, so that nothing of it is sent.
    is_faulty: bool,
    /// The time until its settlement reaches the gate; `None` if it is lost on the way.
    back: Option<Duration>,
}

impl Fate {
    /// Everything succeeds.
    const GONE: Self = Self {
        there: Some(Duration::from_millis(50)),
        open: Duration::from_millis(200),
        run: Duration::from_millis(300),
        is_faulty: false,
        back: Some(Duration::from_millis(50)),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrived(Request),
    Opened {
        slot: u32,
        accepted: bool,
    },
    Ran(Request),
    Settled(Request, Reported),
    /// The idle time since `used_at` is over.
    Idle {
        slot: u32,
        used_at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reported {
    Open,
    Unused,
    Unavailable(Duration),
}

impl Simulation {
    fn new() -> Self {
        Self {
            now: START,
            pool: Pool::default(),
            objects: Vec::from_iter((0..CONFIG.capacity).map(|_| Object::default())),
            accepts: true,
            events: BinaryHeap::new(),
            counter: 0,
            last_slot: 0,
            most_dialing: 0,
            dials: Vec::new(),
            too_early: 0,
        }
    }

    /// Makes a request: asks the gate for a slot and sends it to the slot's object.
    fn request(&mut self, permits: u32, fate: Fate) {
        self.counter += 1;
        let lease: LeaseId = serde_json::from_str(&self.counter.to_string()).unwrap();
        let before = self.pool.dialing_slot;
        let slot = self
            .pool
            .assign(lease, permits, self.now + LEASE, &CONFIG, self.now);
        if let Some(dialing_slot) = before.filter(|dialing_slot| self.now >= dialing_slot.since + SILENCE)
            && dialing_slot.slot != slot
        {
            self.object(dialing_slot.slot).is_given_up = true;
        }
        self.last_slot = slot;
        if let Some(there) = fate.there {
            let request = Request {
                lease,
                slot,
                assigned_at: self.now,
                fate,
            };
            self.schedule(there, Event::Arrived(request));
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else {
                break;
            };
            self.now = at;
            self.happen(event);
            let opening = |object: &&Object| object.is_dialing && !object.is_given_up;
            self.most_dialing = self.most_dialing.max(self.objects.iter().filter(opening).count());
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrived(request) => self.arrived(request),
            Event::Opened { slot, accepted } => self.opened(slot, accepted),
            Event::Ran(request) => {
                let reported = if request.fate.is_faulty {
                    Reported::Unused
                } else {
                    Reported::Open
                };
                self.object(request.slot).running -= 1;
                self.settle(request, reported);
                self.rest(request.slot);
            }
            Event::Settled(request, reported) => {
                let health = match reported {
                    Reported::Open => {
                        self.object(request.slot).reported = None;
                        ConnectionHealth::Open
                    }
                    Reported::Unused => ConnectionHealth::Unused,
                    Reported::Unavailable(delay) => {
                        let now = self.now;
                        self.object(request.slot).reported = Some((now, now + delay));
                        ConnectionHealth::Unavailable(delay)
                    }
                };
                self.object(request.slot).is_given_up = false;
                self.pool.release(request.lease, health, self.now);
            }
            Event::Idle { slot, used_at } => {
                let object = self.object(slot);
                if object.used_at == used_at && object.running == 0 {
                    object.open = false;
                }
            }
        }
    }

    fn arrived(&mut self, request: Request) {
        let now = self.now;
        let object = self.object(request.slot);
        if object.open {
            return self.run(request);
        }
        match object.dial.request(now) {
            Dial::Refused(delay) => self.settle(request, Reported::Unavailable(delay)),
            Dial::InProgress => object.waiting.push(request),
            Dial::Allowed => {
                object.is_dialing = true;
                object.waiting.push(request);
                let others = self.objects.iter().zip(0_u32..);
                let reported = others.filter(|(_, slot)| *slot != request.slot);
                let reported = reported.filter_map(|(other, _)| other.reported);
                self.too_early += reported
                    .filter(|(at, until)| *at < request.assigned_at && *until > now)
                    .count();
                self.dials.push(now);
                let opened = Event::Opened {
                    slot: request.slot,
                    accepted: self.accepts,
                };
                self.schedule(request.fate.open, opened);
            }
        }
    }

    fn opened(&mut self, slot: u32, accepted: bool) {
        let now = self.now;
        let object = self.object(slot);
        object.is_dialing = false;
        object.open = accepted;
        let waiting = std::mem::take(&mut object.waiting);
        if accepted {
            object.dial.succeeded();
            waiting.into_iter().for_each(|request| self.run(request));
        } else {
            let delay = object.dial.failed(now.as_millis(), now);
            for request in waiting {
                self.settle(request, Reported::Unavailable(delay));
            }
        }
    }

    fn run(&mut self, request: Request) {
        self.object(request.slot).running += 1;
        let run = if request.fate.is_faulty {
            Duration::ZERO
        } else {
            request.fate.run
        };
        self.schedule(run, Event::Ran(request));
    }

    fn rest(&mut self, slot: u32) {
        let used_at = self.now;
        self.object(slot).used_at = used_at;
        self.schedule(CONFIG.idle, Event::Idle { slot, used_at });
    }

    fn settle(&mut self, request: Request, reported: Reported) {
        if let Some(back) = request.fate.back {
            self.schedule(back, Event::Settled(request, reported));
        }
    }

    fn object(&mut self, slot: u32) -> &mut Object {
        &mut self.objects[index(slot)]
    }

    fn schedule(&mut self, pause: Duration, event: Event) {
        self.counter += 1;
        self.events.push(Reverse((self.now + pause, self.counter, event)));
    }
}

impl Object {
    fn is_open(&self) -> bool {
        self.open
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request { permits: u32, fate: Fate },
    Pass(Duration),
    Server(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let way = || {
        let way = (0..LONGEST_WAY.as_millis() as u64).prop_map(Duration::from_millis);
        prop::option::weighted(0.9, way)
    };
    let opening = prop_oneof![0_u64..300, 0..LONGEST_DIAL.as_millis() as u64].prop_map(Duration::from_millis);
    let run = prop_oneof![0_u64..2000, 0_u64..60_000].prop_map(Duration::from_millis);
    let fate = (way(), opening, run, prop::bool::weighted(0.1), way());
    let fate = fate.prop_map(|(there, open, run, is_faulty, back)| Fate {
        there,
        open,
        run,
        is_faulty,
        back,
    });
    prop_oneof![
        8 => (1_u32..1000, fate).prop_map(|(permits, fate)| Step::Request { permits, fate }),
        4 => (0_u64..2000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (0_u64..70_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => any::<bool>().prop_map(Step::Server),
    ]
}

const START: Timestamp = Timestamp::from_secs(1_795_420_800);

const SECOND: Duration = Duration::from_secs(1);

const CONFIG: PoolConfig = PoolConfig {
    capacity: 4,
    streams: 1000,
    // Short, so that connections often close.
    idle: Duration::from_secs(20),
};

/// The lifetime of the Worker's leases.
const LEASE: Duration = Duration::from_secs(120);

const LONGEST_WAY: Duration = Duration::from_secs(2);

/// The Worker's time limit for opening a socket.
const LONGEST_DIAL: Duration = Duration::from_secs(15);

const LONGEST_DELAY: Duration = Duration::from_secs(60);
