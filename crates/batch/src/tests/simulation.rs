use std::collections::{BTreeMap, HashMap};

use super::*;

/// A batch with its rows, its queue and its runners. Random events happen to it as time passes.
///
/// The rows are JSON text, as in the object: an eviction leaves nothing else. Messages are lost, repeated,
/// delayed and reordered. Runners die, are late, report twice, and send what they claimed.
pub(super) struct Simulation {
    pub(super) now: Timestamp,
    pub(super) batch: Batch,
    sizes: Vec<Size>,
    record: String,
    rows: BTreeMap<u32, String>,
    queue: Vec<(Timestamp, u32)>,
    runners: Vec<Runner>,
    rng: Rng,
    /// Whether everything succeeds from now on.
    pub(super) kind: bool,
    /// The result code of each push that was ever stored.
    codes: HashMap<(u32, usize), char>,
    pub(super) claims: usize,
    pub(super) evictions: usize,
}

struct Runner {
    number: u32,
    until: Timestamp,
    /// The pushes that it has not sent.
    left: Vec<usize>,
    /// The results that it has not reported.
    has: BitSet,
    results: Results,
    is_dead: bool,
}

/// Pseudorandom numbers: a xorshift generator by Marsaglia.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Simulation {
    pub(super) fn new(terms: Terms, sizes: Vec<Size>, seed: u64) -> Self {
        let batch = Batch::seal(record(terms), sizes.clone(), BEGIN);
        let record = serde_json::to_string(batch.record()).unwrap();
        let mut simulation = Self {
            now: BEGIN,
            batch,
            sizes,
            record,
            rows: BTreeMap::new(),
            queue: Vec::new(),
            runners: Vec::new(),
            rng: Rng::new(seed),
            kind: false,
            codes: HashMap::new(),
            claims: 0,
            evictions: 0,
        };
        simulation.save();
        simulation
    }

    /// Makes one random event happen.
    pub(super) fn step(&mut self) {
        match self.rng.below(if self.kind { 60 } else { 100 }) {
            0..20 => self.plan(),
            20..35 => self.deliver(),
            35..55 => self.run(),
            55..60 => self.sleep(),
            60..70 => self.now = self.now + Duration::from_millis(self.rng.below(3000)),
            70..74 => self.evict(),
            74..78 => self.lose_or_double(),
            78..80 => self.deliver_what_nobody_queued(),
            80..86 => self.kill(),
            86..90 => self.release(),
            90..92 => self.pause(),
            92..99 => self.batch.resume(self.now),
            _ if self.rng.chance(5) => self.cancel(),
            _ => {}
        }
        self.save();
    }

    fn plan(&mut self) {
        let chunks = self.batch.plan(self.now);
        if !chunks.is_empty() && !self.kind && self.rng.chance(10) {
            let some = chunks.len() / 2;
            self.batch.not_queued(&chunks[..some], self.now);
        }
        for number in chunks {
            let delay = Duration::from_millis(self.rng.below(3000));
            self.queue.push((self.now + delay, number));
        }
    }

    fn deliver(&mut self) {
        let due = self.queue.iter().position(|(at, _)| *at <= self.now);
        if let Some(index) = due {
            let (_, number) = self.queue.swap_remove(index);
            self.claim(number);
        }
    }

    fn deliver_what_nobody_queued(&mut self) {
        let number = self.rng.below(self.sizes.len() as u64 + 1);
        self.claim(u32::try_from(number).unwrap());
    }

    /// A runner claims a chunk. The invariants are checked here.
    fn claim(&mut self, number: u32) {
        let Some(work) = self.batch.claim(number, self.now) else {
            return;
        };
        self.claims += 1;
        assert_eq!(
            self.batch.record().state,
            State::Running,
            "nothing is claimed now"
        );
        let terms = &self.batch.record().terms;
        assert!(terms.expires_at.is_none_or(|at| self.now < at), "it has expired");
        assert!(terms.is_open_at(self.now), "no window is open");
        assert!(!work.indices.is_empty() && work.until > self.now);
        for index in work.indices.iter() {
            assert!(index < work.size.pushes);
            assert!(
                !self.codes.contains_key(&(number, index)),
                "{number}/{index} has ended"
            );
        }
        for other in self.runners.iter().filter(|other| other.number == number) {
            assert_ne!(other.until, work.until, "a name for one claim");
            let is_live = other.until > self.now;
            assert!(
                !is_live || other.has.both(work.indices).is_empty(),
                "two live claims of {number} send the same"
            );
        }
        self.runners.push(Runner {
            number,
            until: work.until,
            left: work.indices.iter().collect(),
            has: work.indices,
            results: Results::default(),
            is_dead: false,
        });
    }

    /// A runner sends some pushes and reports them, even if its claim has expired.
    fn run(&mut self) {
        if self.runners.is_empty() {
            return;
        }
        let index = self.rng.below(self.runners.len() as u64) as usize;
        let mut runner = self.runners.swap_remove(index);
        if runner.is_dead && !self.rng.chance(20) {
            // A runner that was silent for long may return.
            self.runners.push(runner);
            return;
        }
        let some = 1 + self.rng.below(runner.left.len() as u64 + 1) as usize;
        for index in runner.left.drain(..some.min(runner.left.len())) {
            let found = if self.kind {
                accepted([index])
            } else {
                outcome(&mut self.rng, index)
            };
            runner.results = both(runner.results, found);
        }
        let over = self.rng.chance(if runner.left.is_empty() { 80 } else { 10 });
        if over {
            runner.results = both(runner.results, untried(runner.left.drain(..)));
        }
        let times = 1 + self.rng.below(2);
        for _ in 0..times {
            let settled = self
                .batch
                .settle(runner.number, runner.until, &runner.results, over, self.now);
            if settled.stop && !over {
                runner.results = both(runner.results, untried(runner.left.drain(..)));
            }
            self.save();
        }
        runner.has = runner.left.iter().copied().collect();
        if !over || self.rng.chance(10) {
            self.runners.push(runner);
        }
    }

    fn sleep(&mut self) {
        let wake = self.batch.wake(self.now).unwrap();
        let delivery = self.queue.iter().map(|(at, _)| *at).min();
        let next = delivery.map_or(wake, |at| at.min(wake));
        if !self.batch.record().state.has_ended() {
            self.now = self.now.max(next.min(self.now + secs(900)));
        }
    }

    fn kill(&mut self) {
        if !self.runners.is_empty() {
            let index = self.rng.below(self.runners.len() as u64) as usize;
            self.runners[index].is_dead = true;
        }
    }

    fn release(&mut self) {
        let index = self.runners.iter().position(|runner| runner.results.is_empty());
        if let Some(index) = index {
            let runner = self.runners.swap_remove(index);
            let after = Duration::from_millis(self.rng.below(2000));
            self.batch.release(runner.number, runner.until, after, self.now);
        }
    }

    fn lose_or_double(&mut self) {
        if !self.queue.is_empty() {
            let index = self.rng.below(self.queue.len() as u64) as usize;
            if self.rng.chance(50) {
                self.queue.swap_remove(index);
            } else {
                let (at, number) = self.queue[index];
                let delay = Duration::from_millis(self.rng.below(100_000));
                self.queue.push((at + delay, number));
            }
        }
    }

    fn pause(&mut self) {
        let (by, detail) = (PausedBy::Caller, String::new());
        self.batch.pause(Pause { by, detail }, self.now);
    }

    fn cancel(&mut self) {
        self.batch.cancel(self.now);
    }

    /// Everything except the rows is lost.
    fn evict(&mut self) {
        self.evictions += 1;
        // The object restarts elsewhere a while later.
        self.now = self.now + Duration::from_millis(1 + self.rng.below(50));
        self.batch = self.stored();
    }

    fn stored(&self) -> Batch {
        let record = serde_json::from_str(&self.record).unwrap();
        let rows = self.rows.iter();
        let rows = rows.map(|(number, text)| (*number, serde_json::from_str(text).unwrap()));
        Batch::load(record, self.sizes.clone(), rows)
    }

    /// Writes the changes, as the object does after each command.
    pub(super) fn save(&mut self) {
        let (chunks, is_record_unsaved) = self.batch.take_unsaved();
        for number in &chunks {
            let progress = self
                .batch
                .progress(*number)
                .expect("it is not forgotten before it is stored");
            for (index, code) in progress.result_codes.chars().enumerate() {
                let before = self.codes.get(&(*number, index)).copied();
                assert!(
                    before.is_none_or(|before| before == code),
                    "a result is the last word"
                );
                if code != NO_RESULT {
                    self.codes.insert((*number, index), code);
                }
            }
            self.rows
                .insert(*number, serde_json::to_string(progress).unwrap());
        }
        self.batch.saved(&chunks);
        if is_record_unsaved {
            self.record = serde_json::to_string(self.batch.record()).unwrap();
        }
    }

    /// Checks that the rows and the memory agree.
    pub(super) fn assert_stored(&self) {
        let stored = self.stored();
        assert_eq!(stored.record(), self.batch.record());
        assert_eq!(counts(&stored, self.now), counts(&self.batch, self.now));
        assert_eq!(stored.counts, self.batch.counts);
        for number in 0..u32::try_from(self.sizes.len()).unwrap() {
            assert_eq!(stored.progress(number), self.batch.progress(number), "{number}");
        }
    }

    pub(super) fn letters(&self) -> usize {
        self.codes.len()
    }
}

/// Returns what APNs and the network do.
fn outcome(rng: &mut Rng, index: usize) -> Results {
    let index = [index];
    match rng.below(40) {
        0..20 => accepted(index),
        20..24 => overloaded(index),
        24..28 => throttled(index),
        28..30 => bad_tokens(index),
        30..32 => results_of(Verdict::FixRequest, 400, "PayloadTooLarge", index),
        32..35 => results_of(Verdict::Unknown, 0, "DeadlinePassed", index),
        35..38 => results_of(Verdict::Retry(RetryCause::Network), 0, "Unreachable", index),
        38 => refused(index),
        _ => untried(index),
    }
}
