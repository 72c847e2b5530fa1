//! Gate, connection objects and a server together, in virtual time: who opens a connection, and when.
//!
//! Objects are as those of the shell: they open a connection when an order comes and there is none, once for all who wait
//! for it; they keep their own delays (the real [`Opening`]); they close what nobody has used for the idle time. Orders
//! take a while to come to their object and to be settled, and some are lost on either way. The server refuses
//! connections for a time, or takes long to accept one. Connections that are open do not break here: an object that loses
//! one opens another unseen by the pool. Nor does an object count of which all settlings are lost for a minute, and which
//! is passed over for it: the pool cannot tell it from a broken one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::opening::{Opening, Turn};

proptest! {
    // Openings that meet are rare.
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn never_do_two_places_open_a_connection_at_once(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Order { permits, fate } => world.order(permits, fate),
                Step::Pass(time) => world.pass(time),
                Step::Server(accepts) => world.accepts = accepts,
            }
        }
        prop_assert!(world.most_opening <= 1, "{} at once", world.most_opening);
        prop_assert!(world.too_early == 0, "{} before the delay was over", world.too_early);

        world.accepts = true;
        world.pass(LONGEST_DELAY + OPENING_TIME);
        world.order(1, Fate::GONE);
        world.pass(LONGEST_WAY * 2 + LONGEST_OPENING);
        let place = world.place_of_last;
        prop_assert!(world.objects[index(place)].is_open(), "no connection in the end");
    }
}

#[test]
fn after_an_outage_one_place_opens_after_the_other() {
    let mut world = World::new();
    let fate = Fate::GONE;
    for _ in 0..60 {
        world.order(
            900,
            Fate {
                run: SECOND * 2,
                ..fate
            },
        );
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(world.objects.iter().filter(|object| object.is_open()).count(), 4);
    world.pass(SHAPE.idle * 2);
    world.accepts = false;
    let failed = world.openings.len();
    for _ in 0..600 {
        world.order(900, fate);
        world.pass(Duration::from_millis(500));
    }
    let pauses = Vec::from_iter(
        world.openings[failed..]
            .windows(2)
            .map(|pair| pair[1].since(pair[0])),
    );
    // 1, 2, 4 ... 60 seconds with jitter, and the ways there and back.
    for (pause, full) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        assert!(*pause >= SECOND * full / 2, "{pauses:?}");
        assert!(*pause <= SECOND * full + SECOND * 2, "{pauses:?}");
    }
    assert!(pauses.len() >= 8, "{pauses:?}");
    assert_eq!(world.most_opening, 1);
}

struct World {
    now: Timestamp,
    pool: Pool,
    objects: Vec<Object>,
    /// Whether the server takes new connections.
    accepts: bool,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    counter: u64,
    place_of_last: u32,
    most_opening: usize,
    /// When an opening began.
    openings: Vec<Timestamp>,
    /// Openings that began while another place's delay ran, of which the pool had been told.
    too_early: usize,
}

#[derive(Default)]
struct Object {
    opening: Opening,
    is_opening: bool,
    /// Whether the pool has passed it over, as nothing was heard of it for a minute.
    is_given_up: bool,
    /// Orders that wait for the opening.
    waiting: Vec<Order>,
    running: u32,
    open: bool,
    used_at: Timestamp,
    /// When the pool was last told of its delay, and when that is over.
    told: Option<(Timestamp, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    lease: LeaseId,
    place: u32,
    placed_at: Timestamp,
    fate: Fate,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fate {
    /// How long it takes to its object; it is lost on the way if nothing.
    there: Option<Duration>,
    /// How long an opening takes that it begins.
    open: Duration,
    /// How long its pushes take.
    run: Duration,
    /// Whether it has pushes at all.
    is_faulty: bool,
    /// How long its settling takes to the gate; it is lost on the way if nothing.
    back: Option<Duration>,
}

impl Fate {
    /// All goes well.
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
    Arrived(Order),
    Opened {
        place: u32,
        accepted: bool,
    },
    Ran(Order),
    Settled(Order, Told),
    /// The idle time is over since then.
    Idle {
        place: u32,
        used_at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Open,
    Unused,
    Shut(Duration),
}

impl World {
    fn new() -> Self {
        Self {
            now: START,
            pool: Pool::default(),
            objects: Vec::from_iter((0..SHAPE.capacity).map(|_| Object::default())),
            accepts: true,
            events: BinaryHeap::new(),
            counter: 0,
            place_of_last: 0,
            most_opening: 0,
            openings: Vec::new(),
            too_early: 0,
        }
    }

    /// Somebody has an order: asks the gate, and sends it to its object.
    fn order(&mut self, permits: u32, fate: Fate) {
        self.counter += 1;
        let lease: LeaseId = serde_json::from_str(&self.counter.to_string()).unwrap();
        let before = self.pool.opener;
        let place = self
            .pool
            .place(lease, permits, self.now + LEASE, &SHAPE, self.now);
        if let Some(opener) = before.filter(|opener| self.now >= opener.since + SILENCE)
            && opener.place != place
        {
            self.object(opener.place).is_given_up = true;
        }
        self.place_of_last = place;
        if let Some(there) = fate.there {
            let order = Order {
                lease,
                place,
                placed_at: self.now,
                fate,
            };
            self.schedule(there, Event::Arrived(order));
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
            let opening = |object: &&Object| object.is_opening && !object.is_given_up;
            self.most_opening = self.most_opening.max(self.objects.iter().filter(opening).count());
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrived(order) => self.arrived(order),
            Event::Opened { place, accepted } => self.opened(place, accepted),
            Event::Ran(order) => {
                let told = if order.fate.is_faulty {
                    Told::Unused
                } else {
                    Told::Open
                };
                self.object(order.place).running -= 1;
                self.settle(order, told);
                self.rest(order.place);
            }
            Event::Settled(order, told) => {
                let sign = match told {
                    Told::Open => {
                        self.object(order.place).told = None;
                        Sign::Open
                    }
                    Told::Unused => Sign::Unused,
                    Told::Shut(delay) => {
                        let now = self.now;
                        self.object(order.place).told = Some((now, now + delay));
                        Sign::Shut(delay)
                    }
                };
                self.object(order.place).is_given_up = false;
                self.pool.release(order.lease, sign, self.now);
            }
            Event::Idle { place, used_at } => {
                let object = self.object(place);
                if object.used_at == used_at && object.running == 0 {
                    object.open = false;
                }
            }
        }
    }

    fn arrived(&mut self, order: Order) {
        let now = self.now;
        let object = self.object(order.place);
        if object.open {
            return self.run(order);
        }
        match object.opening.ask(now) {
            Turn::Refused(delay) => self.settle(order, Told::Shut(delay)),
            Turn::Join => object.waiting.push(order),
            Turn::Open => {
                object.is_opening = true;
                object.waiting.push(order);
                let others = self.objects.iter().zip(0_u32..);
                let told = others.filter(|(_, place)| *place != order.place);
                let told = told.filter_map(|(other, _)| other.told);
                self.too_early += told
                    .filter(|(at, until)| *at < order.placed_at && *until > now)
                    .count();
                self.openings.push(now);
                let opened = Event::Opened {
                    place: order.place,
                    accepted: self.accepts,
                };
                self.schedule(order.fate.open, opened);
            }
        }
    }

    fn opened(&mut self, place: u32, accepted: bool) {
        let now = self.now;
        let object = self.object(place);
        object.is_opening = false;
        object.open = accepted;
        let waiting = std::mem::take(&mut object.waiting);
        if accepted {
            object.opening.opened();
            waiting.into_iter().for_each(|order| self.run(order));
        } else {
            let delay = object.opening.failed(now.as_millis(), now);
            for order in waiting {
                self.settle(order, Told::Shut(delay));
            }
        }
    }

    fn run(&mut self, order: Order) {
        self.object(order.place).running += 1;
        let run = if order.fate.is_faulty {
            Duration::ZERO
        } else {
            order.fate.run
        };
        self.schedule(run, Event::Ran(order));
    }

    fn rest(&mut self, place: u32) {
        let used_at = self.now;
        self.object(place).used_at = used_at;
        self.schedule(SHAPE.idle, Event::Idle { place, used_at });
    }

    fn settle(&mut self, order: Order, told: Told) {
        if let Some(back) = order.fate.back {
            self.schedule(back, Event::Settled(order, told));
        }
    }

    fn object(&mut self, place: u32) -> &mut Object {
        &mut self.objects[index(place)]
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
    Order { permits: u32, fate: Fate },
    Pass(Duration),
    Server(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let way = || {
        let way = (0..LONGEST_WAY.as_millis() as u64).prop_map(Duration::from_millis);
        prop::option::weighted(0.9, way)
    };
    let opening =
        prop_oneof![0_u64..300, 0..LONGEST_OPENING.as_millis() as u64].prop_map(Duration::from_millis);
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
        8 => (1_u32..1000, fate).prop_map(|(permits, fate)| Step::Order { permits, fate }),
        4 => (0_u64..2000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (0_u64..70_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => any::<bool>().prop_map(Step::Server),
    ]
}

const START: Timestamp = Timestamp::from_secs(1_795_420_800);

const SECOND: Duration = Duration::from_secs(1);

const SHAPE: Shape = Shape {
    capacity: 4,
    streams: 1000,
    // Short, so that connections often close.
    idle: Duration::from_secs(20),
};

/// As the shell's leases.
const LEASE: Duration = Duration::from_secs(120);

const LONGEST_WAY: Duration = Duration::from_secs(2);

/// The shell's limit for a socket.
const LONGEST_OPENING: Duration = Duration::from_secs(15);

const LONGEST_DELAY: Duration = Duration::from_secs(60);
