//! A campaign run from its start to its last push, in virtual time: with ten thousand devices, a million, and
//! ten million in 64 shards.
//!
//! The shards scan concurrently. The batch's object serves one request at a time, so steps of scans, claims
//! and settlements wait in one line. The constants below say how long each operation takes, and where the
//! number comes from. The model includes the network between objects and a queue that delivers messages late.
//!
//! Print the figures and costs with `cargo test campaign_simulation -- --nocapture`. The assertions must hold
//! whatever the durations are.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::campaign_audience_tests::Audience;
use super::campaign_figures_tests::Figures;
use super::scans::MAX_PUSHES;
use super::simulation_tests::{CONSUMERS, PERMITS, PERMITS_A_RUN, PUSHES, ROUND_TRIP};
use super::tests::{Rng, counts};
use super::virtual_time_tests::Events;
use super::*;
use crate::fixture::{BEGIN, accepted, record, results_of, terms};
use delivery::verdict::Verdict;

/// The maximum number of queues (`BATCH_QUEUES`).
const QUEUES: usize = 8;

/// How long a shard takes to find 500 devices, render their lines and record them.
///
/// Assumed: twice what an upload takes to parse, check and write as many lines
/// (docs/internals/benchmark-batch.md: 500,000 per second).
const PAGE: Duration = Duration::from_millis(2);

/// How long the batch's object takes for a step of up to 60 KB. Assumed: twice an upload's 1 ms per chunk,
/// because each step is a request.
const STEP: Duration = Duration::from_millis(2);

/// How long it takes for a claim or a settlement.
///
/// Assumed: an object that writes serves 200 to 500 requests per second, the figure that Cloudflare's users
/// plan with. The benchmark of a batch had 120 per second, with everything on one thread.
const REQUEST: Duration = Duration::from_millis(2);

/// How long a request takes from one object to another. Assumed: both are in the same region.
const HOP: Duration = Duration::from_millis(5);

/// The interval between two shards' starts: six at a time, one hop there and one back.
const START: Duration = Duration::from_millis(2);

/// How long a shard waits for an answer that does not arrive.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn ten_thousand_devices_in_8_shards_are_all_sent_to_once() {
    run(Audience::new(10_000, 8));
}

#[test]
fn a_million_devices_in_8_shards_are_all_sent_to_once() {
    run(Audience::new(1_000_000, 8));
}

#[test]
fn ten_million_devices_in_64_shards_are_all_sent_to_once() {
    let figures = run(Audience::new(10_000_000, 64));
    assert!(figures.lost_answers > 10 && figures.doubled > 10);
}

#[test]
#[ignore = "takes a minute, and holds what the others do"]
fn fifty_million_devices_in_128_shards_are_all_sent_to_once() {
    run(Audience::new(MAX_PUSHES, 128));
}

fn run(audience: Audience) -> Figures {
    let mut simulation = Simulation::new(audience);
    while !simulation.batch.record().state.has_ended() {
        simulation.step();
    }
    let took = simulation.events.now.since(BEGIN);
    let Audience { devices, shards } = audience;
    println!("{devices} devices in {shards} shards, {took:.1?} from start to end");
    simulation.figures.print(simulation.staged.len(), shards, took);
    let record = simulation.batch.record();
    assert_eq!((record.state, record.cut_off), (State::Done, None));
    let counts = counts(&simulation.batch, simulation.events.now);
    assert_eq!(counts.accepted + counts.gone, devices);
    assert_eq!(simulation.figures.pushes, devices, "each device once");
    let mut next = vec![0; at(shards)];
    for (shard, from, pushes) in &simulation.staged {
        let next = &mut next[at(*shard)];
        assert_eq!(*from, *next, "in the order of its scan");
        *next += pushes;
    }
    assert!((0..shards).all(|shard| next[at(shard)] == audience.devices_of(shard)));
    let figures = simulation.figures;
    assert!(
        figures.worst_fresh <= 4000 && figures.worst_under_way <= 1024,
        "memory is flat"
    );
    figures
}

#[derive(Debug)]
enum Event {
    /// A shard wakes and asks for its position.
    Wake(u32),
    /// A shard has read a page.
    Page(u32),
    /// A request arrives at the batch's object.
    Ask(Request),
    /// The object serves it.
    Serve(Request),
    Appended {
        shard: u32,
        appended: Appended,
    },
    Deliver(u32),
    Begin {
        chunk: u32,
        work: Work,
    },
    /// APNs has answered as many of a runner's pushes as there are permits.
    Answers(u64),
    Leave(usize),
    Alarm,
}

#[derive(Clone, Debug)]
enum Request {
    Append(Append),
    Claim {
        chunk: u32,
    },
    Settle {
        chunk: u32,
        claim: Timestamp,
        results: Results,
    },
}

struct Run {
    chunk: u32,
    work: Work,
    left: VecDeque<usize>,
    permits: usize,
}

#[derive(Default)]
struct Queue {
    busy: usize,
    backlog: VecDeque<u32>,
}

struct Simulation {
    audience: Audience,
    events: Events<Event>,
    batch: Batch,
    /// When the batch's object is free.
    free_at: Timestamp,
    alarm_at: Option<Timestamp>,
    /// The position of each shard, as the shard knows it.
    cursors: Vec<String>,
    queues: [Queue; QUEUES],
    permits: usize,
    waiting: VecDeque<u64>,
    runs: HashMap<u64, Run>,
    /// Per chunk: its shard, its first device and its number of devices.
    staged: Vec<(u32, u64, u64)>,
    rng: Rng,
    figures: Figures,
}

impl Simulation {
    fn new(audience: Audience) -> Self {
        let shards = audience.shards;
        let mut simulation = Self {
            audience,
            events: Events::new(BEGIN),
            batch: Batch::open(record(terms()), shards, BEGIN),
            free_at: BEGIN,
            alarm_at: None,
            cursors: vec![String::new(); at(shards)],
            queues: Default::default(),
            permits: PERMITS,
            waiting: VecDeque::new(),
            runs: HashMap::new(),
            staged: Vec::new(),
            rng: Rng::new(1),
            figures: Figures::default(),
        };
        simulation.go_on();
        for shard in 0..shards {
            simulation.events.after(START * shard + HOP, Event::Wake(shard));
        }
        simulation
    }

    fn step(&mut self) {
        match self.events.next() {
            Event::Wake(shard) => {
                let asks = Append {
                    to: self.cursors[at(shard)].clone(),
                    pushes: 0,
                    last: false,
                    ..self.next_step(shard)
                };
                self.figures.asked += 1;
                self.events.after(HOP, Event::Ask(Request::Append(asks)));
            }
            Event::Page(shard) => {
                let append = self.next_step(shard);
                self.events.after(HOP, Event::Ask(Request::Append(append)));
            }
            Event::Ask(request) => {
                let takes = match request {
                    Request::Append(_) => STEP,
                    Request::Claim { .. } | Request::Settle { .. } => REQUEST,
                };
                let now = self.events.now;
                self.free_at = self.free_at.max(now) + takes;
                self.figures.busy += takes;
                let served = self.free_at.since(now);
                self.figures.longest_line = self.figures.longest_line.max(served);
                self.events.after(served, Event::Serve(request));
            }
            Event::Serve(request) => {
                self.serve(request);
                self.go_on();
            }
            Event::Appended { shard, appended } => self.appended(shard, appended),
            Event::Deliver(chunk) => {
                self.queues[queue_of(chunk)].backlog.push_back(chunk);
                self.consume(queue_of(chunk));
            }
            Event::Begin { chunk, work } => self.begin(chunk, work),
            Event::Answers(run) => self.answers(run),
            Event::Leave(queue) => {
                self.queues[queue].busy -= 1;
                self.consume(queue);
            }
            Event::Alarm if self.alarm_at == Some(self.events.now) => {
                self.alarm_at = None;
                self.figures.alarms += 1;
                self.go_on();
            }
            Event::Alarm => {}
        }
    }

    /// Returns the next step of a shard's scan from the position that it knows. Its cursor is the number of
    /// devices before it.
    fn next_step(&self, shard: u32) -> Append {
        let cursor = &self.cursors[at(shard)];
        let from: u64 = cursor.parse().unwrap_or(0);
        let devices = self.audience.devices_of(shard);
        let to = (from + count(PUSHES)).min(devices);
        Append {
            scan: shard,
            from: cursor.clone(),
            to: to.to_string(),
            pushes: u32::try_from(to - from).unwrap(),
            left_out: LeftOut::default(),
            last: to == devices,
            fault: None,
        }
    }

    fn appended(&mut self, shard: u32, appended: Appended) {
        assert!(!appended.stop);
        self.cursors[at(shard)] = appended.cursor;
        if appended.last {
            return;
        }
        match Duration::from_millis(appended.hold_ms) {
            Duration::ZERO => self.events.after(PAGE, Event::Page(shard)),
            hold => self.events.after(hold, Event::Wake(shard)),
        }
    }

    /// Executes a request in the batch's object.
    fn serve(&mut self, request: Request) {
        let now = self.events.now;
        match request {
            Request::Append(append) => {
                self.figures.steps += 1;
                let shard = append.scan;
                let taken = self.batch.append(&append, 0, now);
                if let Some((number, size)) = taken.chunk {
                    assert_eq!(at(number), self.staged.len());
                    let from = append.from.parse().unwrap_or(0);
                    self.staged.push((shard, from, count(size.pushes)));
                    self.figures.batch_rows += 1;
                }
                if self.rng.below(500) == 0 {
                    self.figures.lost_answers += 1;
                    return self.events.after(PATIENCE, Event::Wake(shard));
                }
                let appended = taken.appended;
                self.events.after(HOP, Event::Appended { shard, appended });
            }
            Request::Claim { chunk } => match self.batch.claim(chunk, now) {
                Some(work) => {
                    self.figures.claims += 1;
                    // The answer, and the lease at the gate.
                    self.events.after(HOP * 3, Event::Begin { chunk, work });
                }
                None => {
                    self.figures.claims_in_vain += 1;
                    let queue = queue_of(chunk);
                    self.events.after(HOP, Event::Leave(queue));
                }
            },
            Request::Settle {
                chunk,
                claim,
                results,
            } => {
                self.figures.settlings += 1;
                self.batch.settle(chunk, claim, &results, true, now);
                let queue = queue_of(chunk);
                self.events.after(HOP, Event::Leave(queue));
            }
        }
    }

    /// Executes what the object does after each request.
    fn go_on(&mut self) {
        self.save();
        let now = self.events.now;
        for chunk in self.batch.plan(now) {
            self.figures.messages += 1;
            let delay = Duration::from_millis(300 + self.rng.below(2000));
            self.events.after(delay, Event::Deliver(chunk));
            if self.rng.below(200) == 0 {
                self.figures.doubled += 1;
                self.events.after(delay * 2, Event::Deliver(chunk));
            }
        }
        self.save();
        let wake = self.batch.wake(now);
        if let Some(wake) = wake.filter(|wake| self.alarm_at.is_none_or(|set| set > *wake)) {
            assert!(wake > now, "nothing is left undone");
            self.alarm_at = Some(wake);
            self.events.after(wake.since(now), Event::Alarm);
        }
        self.figures.note(&self.batch, now.since(BEGIN));
    }

    fn save(&mut self) {
        let (chunks, is_record_unsaved) = self.batch.take_unsaved();
        let scans = self.batch.take_unsaved_scans().len();
        self.figures.batch_rows += chunks.len() + scans + usize::from(is_record_unsaved);
        self.batch.saved(&chunks);
    }

    fn consume(&mut self, queue: usize) {
        let own = &mut self.queues[queue];
        while own.busy < CONSUMERS
            && let Some(chunk) = own.backlog.pop_front()
        {
            own.busy += 1;
            self.events.after(HOP, Event::Ask(Request::Claim { chunk }));
        }
    }

    fn begin(&mut self, chunk: u32, work: Work) {
        let run = self.events.next_number();
        let left = work.indices.iter().collect();
        let permits = 0;
        let begun = Run {
            chunk,
            work,
            left,
            permits,
        };
        self.runs.insert(run, begun);
        self.waiting.push_back(run);
        self.admit();
    }

    /// Grants permits to waiting runners, in order.
    fn admit(&mut self) {
        while self.permits >= PERMITS_A_RUN
            && let Some(number) = self.waiting.pop_front()
        {
            let run = self.runs.get_mut(&number).unwrap();
            run.permits = run.left.len().min(PERMITS_A_RUN);
            self.permits -= run.permits;
            let since = self.events.now.since(BEGIN);
            self.figures.first_push_after.get_or_insert(since);
            self.events.after(ROUND_TRIP, Event::Answers(number));
        }
    }

    fn answers(&mut self, number: u64) {
        let mut run = self.runs.remove(&number).unwrap();
        let answered = run.permits.min(run.left.len());
        run.left.drain(..answered);
        self.figures.pushes += count(answered);
        if !run.left.is_empty() {
            self.runs.insert(number, run);
            return self.events.after(ROUND_TRIP, Event::Answers(number));
        }
        self.figures.last_push_after = self.events.now.since(BEGIN);
        self.permits += run.permits;
        // One device in five hundred is gone.
        let mut results = accepted(run.work.indices.iter().skip(1));
        results.groups.extend(
            results_of(
                Verdict::DropDevice,
                410,
                "Unregistered",
                run.work.indices.iter().take(1),
            )
            .groups,
        );
        let settle = Request::Settle {
            chunk: run.chunk,
            claim: run.work.until,
            results,
        };
        self.events.after(HOP, Event::Ask(settle));
        self.admit();
    }
}

fn queue_of(chunk: u32) -> usize {
    at(chunk) % QUEUES
}
