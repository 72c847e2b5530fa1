//! Ten million pushes through queues, consumers, permits, and an APNs that fails for ten minutes, in virtual
//! time.
//!
//! Four queues deliver messages late, out of order, and sometimes twice or not at all. Some runners die. APNs
//! answers 503 to everything for ten minutes, and 429 to some devices all the time. Invariants are checked at
//! each step. Print the figures with `cargo test ten_million -- --nocapture`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::tests::{Rng, counts};
use super::virtual_time_tests::Events;
use super::*;
use crate::fixture::{BEGIN, accepted, overloaded, record, results_of, sizes, terms, throttled};
use delivery::verdict::Verdict;

const CHUNKS: usize = 20_000;
pub(super) const PUSHES: usize = 500;
const QUEUES: usize = 4;

/// The number of consumers per queue that run at once, each with one chunk.
pub(super) const CONSUMERS: usize = 20;

/// The maximum number of pushes in flight, per chunk and in total: 40,000 pushes per second.
pub(super) const PERMITS_A_RUN: usize = 250;
pub(super) const PERMITS: usize = 2000;

/// How long APNs takes to answer.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(50);

/// When APNs fails.
const OUTAGE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(720));

/// The number of pushes that a runner sends between two reports.
const CHECKPOINT: usize = 100;

/// The maximum number of begun chunks, and of groups of waiting pushes. In two of five chunks a device is
/// throttled for minutes. Without the circuit breaker every chunk would be begun during the outage.
const MOST_OPEN: usize = CHUNKS / 2;

#[test]
fn ten_million_pushes_with_apns_out_of_order_for_ten_minutes_all_end_once() {
    let mut simulation = Simulation::new();
    while !simulation.batch.record().state.has_ended() {
        simulation.step();
    }
    let took = simulation.events.now.since(BEGIN);
    let figures = &simulation.figures;
    println!("{took:.0?} for {} pushes: {figures:#?}", CHUNKS * PUSHES);
    println!("{:#?}", simulation.batch.overview(simulation.events.now).counts);
    let all = BitSet::first(PUSHES);
    assert!(simulation.ended.iter().all(|ended| *ended == all), "none is lost");
    assert_eq!(simulation.batch.record().state, State::Done);
    let counts = counts(&simulation.batch, simulation.events.now);
    assert_eq!(counts.accepted + counts.gone, count(CHUNKS * PUSHES));
    assert!(counts.gone > 9_000 && counts.gone < 11_000, "{}", counts.gone);
    // Devices that were throttled after many rounds in the outage wait for a quarter of an hour, three times.
    assert!(took > OUTAGE.1 && took < Duration::from_hours(2), "{took:?}");
    let nearly_done = figures.nearly_done_after.unwrap();
    // At 40,000 per second the pushes take 250 s, in addition to the 600 s of the outage.
    assert!(nearly_done < Duration::from_secs(900), "{nearly_done:?}");
    assert!(figures.worst_open_chunks < MOST_OPEN, "memory is flat");
    assert!(figures.worst_waiting_groups < MOST_OPEN, "memory is flat");
    assert!(
        figures.worst_retrying_pushes > 3 * figures.worst_waiting_groups,
        "not one a push"
    );
    assert!(
        figures.attempts_in_the_outage < CHUNKS * PUSHES / 20,
        "no use in trying"
    );
    assert!(figures.claims < 4 * CHUNKS && figures.messages < 4 * CHUNKS);
    assert!(figures.died > 10 && figures.lost > 10 && figures.doubled > 100);
}

/// The figures that are printed at the end.
#[derive(Debug, Default)]
struct Figures {
    messages: usize,
    lost: usize,
    doubled: usize,
    claims: usize,
    claims_in_vain: usize,
    settlings: usize,
    alarms: usize,
    died: usize,
    rows_written: usize,
    record_written: usize,
    attempts: usize,
    attempts_in_the_outage: usize,
    worst_open_chunks: usize,
    worst_waiting_groups: usize,
    worst_retrying_pushes: usize,
    /// When all but one percent had ended.
    nearly_done_after: Option<Duration>,
    worst_chunks_out: usize,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Alarm,
    Deliver { chunk: u32 },
    Answers { run: u64 },
}

struct Run {
    chunk: u32,
    work: Work,
    left: VecDeque<usize>,
    permits: usize,
    /// Accepted, gone, throttled, and not served.
    found: [BitSet; 4],
    told: usize,
}

#[derive(Default)]
struct Consumers {
    busy: usize,
    backlog: VecDeque<u32>,
}

/// Pushes of a chunk that failed, by index: how often, and the earliest moment of the next attempt.
type Back = HashMap<usize, (u8, Timestamp)>;

struct Simulation {
    batch: Batch,
    events: Events<Event>,
    alarm_at: Option<Timestamp>,
    consumers: [Consumers; QUEUES],
    /// Free permits, and the runners that wait for some.
    free: usize,
    waiting: VecDeque<u64>,
    runs: HashMap<u64, Run>,
    rng: Rng,
    /// The final results according to the rows.
    ended: Vec<BitSet>,
    /// The waiting groups of each begun chunk, and when the first is due.
    open: HashMap<u32, (usize, Option<Timestamp>)>,
    groups: usize,
    due: BTreeSet<(Timestamp, u32)>,
    back: HashMap<u32, Back>,
    figures: Figures,
}

impl Simulation {
    fn new() -> Self {
        let mut simulation = Self {
            batch: Batch::seal(record(terms()), sizes(CHUNKS, PUSHES), BEGIN),
            events: Events::new(BEGIN),
            alarm_at: None,
            consumers: Default::default(),
            free: PERMITS,
            waiting: VecDeque::new(),
            runs: HashMap::new(),
            rng: Rng::new(1),
            ended: vec![BitSet::NONE; CHUNKS],
            open: HashMap::new(),
            groups: 0,
            due: BTreeSet::new(),
            back: HashMap::new(),
            figures: Figures::default(),
        };
        simulation.go_on();
        simulation
    }

    fn step(&mut self) {
        match self.events.next() {
            Event::Alarm if self.alarm_at == Some(self.events.now) => {
                self.alarm_at = None;
                self.figures.alarms += 1;
            }
            Event::Alarm => return,
            Event::Deliver { chunk } => {
                self.consumers[at_queue(chunk)].backlog.push_back(chunk);
                self.consume(at_queue(chunk));
            }
            Event::Answers { run } => self.answers(run),
        }
        self.go_on();
    }

    /// Does what the object does after each command.
    fn go_on(&mut self) {
        self.save();
        let chunks = self.batch.plan(self.events.now);
        self.save();
        self.look_at_order(&chunks);
        for chunk in chunks {
            self.figures.messages += 1;
            let delay = Duration::from_millis(300 + self.rng.below(2000));
            match self.rng.below(1000) {
                0 => self.figures.lost += 1,
                1..10 => {
                    self.figures.doubled += 1;
                    self.events.after(delay, Event::Deliver { chunk });
                    self.events.after(delay * 20, Event::Deliver { chunk });
                }
                _ => self.events.after(delay, Event::Deliver { chunk }),
            }
        }
        let wake = self.batch.wake(self.events.now);
        if let Some(wake) = wake.filter(|wake| self.alarm_at.is_none_or(|set| set > *wake)) {
            assert!(wake > self.events.now, "nothing is left undone");
            self.alarm_at = Some(wake);
            self.events.after(wake.since(self.events.now), Event::Alarm);
        }
        let retrying = self.batch.out.retrying;
        self.figures.worst_retrying_pushes = self.figures.worst_retrying_pushes.max(retrying);
        if self.batch.breaker.ended() * 1000 >= count(CHUNKS * PUSHES * 990) {
            self.figures
                .nearly_done_after
                .get_or_insert(self.events.now.since(BEGIN));
        }
        let out = self.batch.plan.chunks_out();
        self.figures.worst_chunks_out = self.figures.worst_chunks_out.max(out);
    }

    /// Checks that chunks that were tried before come first, in the order in which they are due.
    fn look_at_order(&self, chunks: &[u32]) {
        let due = |chunk: &u32| self.open.get(chunk).map(|(_, due_at)| due_at.unwrap());
        let tried: Vec<Timestamp> = chunks.iter().map_while(due).collect();
        assert!(tried.is_sorted() && tried.iter().all(|at| *at <= self.events.now));
        let fresh = &chunks[tried.len()..];
        assert!(fresh.iter().all(|chunk| due(chunk).is_none()));
        if !fresh.is_empty() {
            let mut due = self.due.iter().take_while(|(at, _)| *at <= self.events.now);
            assert!(due.all(|(_, chunk)| self.batch.plan.is_queued(*chunk)));
        }
    }

    fn save(&mut self) {
        let (chunks, is_record_unsaved) = self.batch.take_unsaved();
        self.figures.rows_written += chunks.len();
        self.figures.record_written += usize::from(is_record_unsaved);
        for chunk in &chunks {
            let progress = self.batch.progress(*chunk).expect("what changes is stored");
            let before = std::mem::replace(&mut self.ended[at(*chunk)], progress.ended());
            assert_eq!(before.without(progress.ended()), BitSet::NONE, "a result stays");
            let is_open = progress.ended().len() < PUSHES;
            let now = is_open.then(|| (progress.retries.len(), progress.due_at(PUSHES)));
            let before = match now {
                Some(now) => self.open.insert(*chunk, now),
                None => self.open.remove(chunk),
            };
            let groups = |open: Option<(usize, Option<Timestamp>)>| open.map_or(0, |(groups, _)| groups);
            self.groups = self.groups + groups(now) - groups(before);
            if let Some(due_at) = before.and_then(|(_, due_at)| due_at) {
                self.due.remove(&(due_at, *chunk));
            }
            if let Some(due_at) = now.and_then(|(_, due_at)| due_at) {
                self.due.insert((due_at, *chunk));
            }
        }
        self.batch.saved(&chunks);
        self.figures.worst_open_chunks = self.figures.worst_open_chunks.max(self.open.len());
        self.figures.worst_waiting_groups = self.figures.worst_waiting_groups.max(self.groups);
    }

    fn consume(&mut self, queue: usize) {
        while self.consumers[queue].busy < CONSUMERS
            && let Some(chunk) = self.consumers[queue].backlog.pop_front()
        {
            let Some(work) = self.batch.claim(chunk, self.events.now) else {
                self.figures.claims_in_vain += 1;
                continue;
            };
            self.save();
            self.figures.claims += 1;
            self.consumers[queue].busy += 1;
            self.begin(chunk, work);
        }
    }

    fn begin(&mut self, chunk: u32, work: Work) {
        assert_eq!(
            work.indices.both(self.ended[at(chunk)]),
            BitSet::NONE,
            "it has ended"
        );
        let live = self
            .runs
            .values()
            .filter(|run| run.chunk == chunk && run.work.until > self.events.now);
        assert_eq!(live.count(), 0, "somebody sends it");
        for (index, (_, soonest)) in self.back.entry(chunk).or_default() {
            let is_early = work.indices.contains(*index) && *soonest > self.events.now;
            assert!(!is_early, "it was to wait");
        }
        let (run, left) = (self.events.next_number(), work.indices.iter().collect());
        let begun = Run {
            chunk,
            work,
            left,
            permits: 0,
            found: Default::default(),
            told: 0,
        };
        self.runs.insert(run, begun);
        self.waiting.push_back(run);
        self.admit();
    }

    /// Grants permits to waiting runners, in order.
    fn admit(&mut self) {
        while self.free >= PERMITS_A_RUN
            && let Some(run) = self.waiting.pop_front()
        {
            let wanted = self.runs[&run].left.len().min(PERMITS_A_RUN);
            self.free -= wanted;
            self.runs.get_mut(&run).unwrap().permits = wanted;
            self.events.after(ROUND_TRIP, Event::Answers { run });
        }
    }

    /// Lets a consumer take its next message.
    fn leave(&mut self, chunk: u32) {
        self.save();
        self.consumers[at_queue(chunk)].busy -= 1;
        self.consume(at_queue(chunk));
    }

    /// APNs has answered as many pushes as there are permits.
    fn answers(&mut self, number: u64) {
        let mut run = self.runs.remove(&number).unwrap();
        let back = self.back.entry(run.chunk).or_default();
        for index in run.left.drain(..run.permits.min(run.left.len())) {
            self.figures.attempts += 1;
            let answer = answer(run.chunk, index, self.events.now, back);
            run.found[answer].insert(index);
            self.figures.attempts_in_the_outage += usize::from(answer == 3);
        }
        let told: usize = run.found.iter().map(BitSet::len).sum();
        if !run.left.is_empty() && self.rng.below(20_000) > 0 {
            if told - run.told >= CHECKPOINT {
                run.told = told;
                self.settle(&run, false);
            }
            self.runs.insert(number, run);
            return self.events.after(ROUND_TRIP, Event::Answers { run: number });
        }
        self.free += run.permits;
        if run.left.is_empty() && self.rng.below(1000) > 0 {
            self.settle(&run, true);
        } else {
            // The runner dies before it reports.
            self.figures.died += 1;
            self.back.remove(&run.chunk);
        }
        self.leave(run.chunk);
        self.admit();
    }

    fn settle(&mut self, run: &Run, over: bool) {
        self.figures.settlings += 1;
        let mut results = Results::default();
        let told: [fn(BitSet) -> Results; 4] = [
            |indices| accepted(indices.iter()),
            |indices| results_of(Verdict::DropDevice, 410, "Unregistered", indices.iter()),
            |indices| throttled(indices.iter()),
            |indices| overloaded(indices.iter()),
        ];
        for (indices, told) in run
            .found
            .iter()
            .zip(told)
            .filter(|(indices, _)| !indices.is_empty())
        {
            results.groups.extend(told(*indices).groups);
        }
        let settled = self
            .batch
            .settle(run.chunk, run.work.until, &results, over, self.events.now);
        assert!(over || !settled.stop, "nobody paused it");
        self.save();
    }
}

fn at_queue(chunk: u32) -> usize {
    at(chunk) % QUEUES
}

/// Returns APNs' answer to a push: accepted, gone, throttled, or not served.
fn answer(chunk: u32, index: usize, now: Timestamp, back: &mut Back) -> usize {
    // Knuth's multiplicative hash distinguishes devices.
    let device = (chunk.wrapping_mul(512) + u32::try_from(index).unwrap()).wrapping_mul(2_654_435_761) >> 8;
    let since = now.since(BEGIN);
    let (answer, wait) = if since >= OUTAGE.0 && since < OUTAGE.1 {
        (3, 5)
    } else {
        let refused = back.get(&index).map_or(0, |(times, _)| *times);
        match device % 1000 {
            0 => return 1,
            1 if refused < 3 => (2, 30),
            _ => return 0,
        }
    };
    let times = back.get(&index).map_or(0, |(times, _)| *times);
    let soonest = now + Duration::from_secs(wait);
    back.insert(index, (times.saturating_add(1), soonest));
    answer
}
