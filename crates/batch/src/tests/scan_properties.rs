use proptest::prelude::*;

use super::Rng;
use super::scans::step;
use super::*;
use crate::rows;
use delivery::sql::fixture::Database;

/// A batch in its rows, and the shards that scan for it. Answers are lost, steps are repeated and late, the
/// object loses its memory, and a write fails in the middle.
struct Simulation {
    now: Timestamp,
    database: Database,
    batch: Batch,
    shards: Vec<Shard>,
    /// Steps that will arrive a second time.
    late: Vec<(Append, String)>,
    rng: Rng,
    evictions: usize,
    failures: usize,
}

struct Shard {
    /// The devices, in the shard's order.
    devices: Vec<String>,
    /// The position as the shard knows it.
    cursor: String,
    is_over: bool,
}

impl Simulation {
    fn new(devices: &[usize], seed: u64) -> Self {
        let database = Database::new();
        for statement in rows::create().iter().chain([&rows::create_scans()]) {
            database.execute(statement);
        }
        let shard = |(shard, devices): (usize, &usize)| Shard {
            devices: (0..*devices).map(|device| format!("{shard}-{device}")).collect(),
            cursor: String::new(),
            is_over: false,
        };
        let scans = u32::try_from(devices.len()).unwrap();
        let mut simulation = Self {
            now: BEGIN,
            database,
            batch: Batch::open(record(terms()), scans, BEGIN),
            shards: devices.iter().enumerate().map(shard).collect(),
            late: Vec::new(),
            rng: Rng::new(seed),
            evictions: 0,
            failures: 0,
        };
        simulation.save(false);
        simulation
    }

    fn happen(&mut self) {
        self.now = self.now + Duration::from_millis(self.rng.below(100));
        match self.rng.below(20) {
            0 => self.evict(),
            1 if !self.late.is_empty() => {
                let index = self.rng.below(self.late.len() as u64) as usize;
                let (append, lines) = self.late[index].clone();
                self.receive(&append, &lines, false);
            }
            2 => self.send(),
            number => {
                let shard = number as usize * 7 % self.shards.len();
                let shard = (shard + self.rng.below(64) as usize) % self.shards.len();
                self.scan(shard);
            }
        }
    }

    /// A shard takes its next step from the position that it knows.
    fn scan(&mut self, number: usize) {
        let shard = &self.shards[number];
        if shard.is_over {
            return;
        }
        // A cursor is the number of devices before it.
        let from: usize = shard.cursor.parse().unwrap_or(0);
        let some = self.rng.below(6) as usize;
        let found: Vec<String> = shard.devices.iter().skip(from).take(some).cloned().collect();
        let to = from + found.len();
        let pushes = u32::try_from(found.len()).unwrap();
        // It leaves out as many devices as it finds, half of them for a missing value.
        let mut left_out = LeftOut::default();
        for device in from..to {
            match device % 2 {
                0 => left_out.frequency_cap += 1,
                _ => left_out.add_missing(&format!("name_{}", device % 8), 1),
            }
        }
        let append = Append {
            last: to == shard.devices.len(),
            left_out,
            ..step(
                u32::try_from(number).unwrap(),
                &shard.cursor,
                &to.to_string(),
                pushes,
            )
        };
        let lines: String = found.iter().map(|device| format!("{device}\n")).collect();
        if pushes == 0 && !append.last {
            return;
        }
        let fails = self.rng.below(20) == 0;
        let appended = self.receive(&append, &lines, fails);
        match (appended, self.rng.below(10)) {
            // The answer is lost. The shard repeats the step, or takes the one that it then finds.
            (_, 0) | (None, _) => {}
            // It loses its position and starts again.
            (Some(_), 1) => self.shards[number].cursor = String::new(),
            (Some(appended), _) => {
                assert!(!appended.stop);
                let shard = &mut self.shards[number];
                (shard.cursor, shard.is_over) = (appended.cursor, appended.last);
            }
        }
        if self.rng.below(5) == 0 {
            self.late.push((append, lines));
        }
    }

    /// Executes the object's handling of a step.
    fn receive(&mut self, append: &Append, lines: &str, fails: bool) -> Option<Appended> {
        assert!(append.has_lines(lines));
        let taken = self.batch.append(append, 0, self.now);
        if let Some((number, size)) = taken.chunk {
            let pushes = u32::try_from(size.pushes).unwrap();
            let row = rows::add_chunk(number, size.first, pushes, lines.to_owned());
            self.database.execute(&row);
        }
        if self.save(fails) {
            Some(taken.appended)
        } else {
            self.failures += 1;
            self.evict();
            None
        }
    }

    /// Writes the changes. A write that fails right after the chunk's row writes nothing more.
    fn save(&mut self, fails: bool) -> bool {
        let (chunks, is_record_unsaved) = self.batch.take_unsaved();
        let scans = self.batch.take_unsaved_scans();
        if fails {
            return false;
        }
        for number in &chunks {
            let progress = self.batch.progress(*number).unwrap();
            self.database.execute(&rows::write_progress(*number, progress));
        }
        self.batch.saved(&chunks);
        for (number, scan) in scans {
            let row = rows::write_scan(number, &scan, self.batch.chunks());
            self.database.execute(&row);
        }
        if is_record_unsaved {
            self.database.execute(&rows::write_record(self.batch.record()));
        }
        true
    }

    /// Everything except the rows is lost.
    fn evict(&mut self) {
        self.evictions += 1;
        let rows = |statement| self.database.execute(&statement);
        let record = &rows(rows::Fact::Record.read())[0];
        let record = serde_json::from_str(record.text(0).unwrap()).unwrap();
        let (scans, chunks) = rows::read_scans(&rows(rows::scans())).unwrap();
        rows(rows::drop_chunks(chunks));
        let sizes: Vec<Size> = rows(rows::sizes()).iter().flat_map(rows::size).collect();
        let progress = rows(rows::progress_from(0));
        let progress = progress.iter().flat_map(rows::progress);
        self.batch = Batch::load(record, sizes, progress).with_scans(scans);
    }

    /// Sends a chunk.
    fn send(&mut self) {
        for number in self.batch.plan(self.now).into_iter().take(1) {
            if let Some(work) = self.batch.claim(number, self.now) {
                let results = accepted(work.indices.iter());
                self.batch.settle(number, work.until, &results, true, self.now);
            }
        }
        self.save(false);
    }

    /// Returns the devices of all chunks in order; chunks are consecutive.
    fn staged(&self) -> Vec<String> {
        let mut staged = Vec::new();
        for (number, size) in self.batch.chunks.iter().map(|chunk| chunk.size).enumerate() {
            let number = u32::try_from(number).unwrap();
            let lines = self.database.execute(&rows::lines(number));
            let lines = lines[0].text(0).unwrap();
            assert_eq!(at(size.first), staged.len());
            staged.extend(lines.lines().map(str::to_owned));
            assert_eq!(at(size.first) + size.pushes, staged.len());
        }
        staged
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_device_is_staged_once_and_in_the_order_of_its_scan(
        devices in proptest::collection::vec(0_usize..40, 1..8),
        seed: u64,
    ) {
        let mut simulation = Simulation::new(&devices, seed);
        for _ in 0..100_000 {
            if simulation.shards.iter().all(|shard| shard.is_over) {
                break;
            }
            simulation.happen();
        }
        prop_assert!(simulation.batch.record().sealed_at.is_some());
        prop_assert_eq!(simulation.batch.record().cut_off, None);
        simulation.evict();
        let (left_out, all) = (simulation.batch.left_out(), devices.iter().sum::<usize>());
        prop_assert_eq!(left_out.frequency_cap + left_out.unsendable(), count(all), "each step counts once");
        prop_assert_eq!(left_out.unsendable(), devices.iter().map(|devices| count(devices / 2)).sum::<u64>());
        let staged = simulation.staged();
        prop_assert_eq!(staged.len(), devices.iter().sum::<usize>());
        for (number, shard) in simulation.shards.iter().enumerate() {
            let own = format!("{number}-");
            let own: Vec<String> = staged.iter().filter(|device| device.starts_with(&own)).cloned().collect();
            prop_assert_eq!(&own, &shard.devices);
        }
        for _ in 0..100_000 {
            if simulation.batch.record().state.has_ended() {
                break;
            }
            simulation.now = simulation.now + secs(1);
            simulation.send();
        }
        prop_assert_eq!(simulation.batch.record().state, State::Done);
        prop_assert_eq!(counts(&simulation.batch, simulation.now).accepted, count(staged.len()));
    }
}

#[test]
fn the_scans_have_everything_happen() {
    let (mut evictions, mut failures, mut late) = (0, 0, 0);
    for seed in 0..20 {
        let mut simulation = Simulation::new(&[30, 40, 50], seed);
        while simulation.shards.iter().any(|shard| !shard.is_over) {
            simulation.happen();
        }
        evictions += simulation.evictions;
        failures += simulation.failures;
        late += simulation.late.len();
    }
    assert!(
        evictions > 40 && failures > 20 && late > 100,
        "{evictions} evictions, {failures} failures, {late} late"
    );
}
