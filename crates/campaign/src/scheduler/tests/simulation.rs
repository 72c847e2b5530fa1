//! Ticks, callers, lost reports and restarts in any order, compared with a model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::fixture::{GRACE, NOW, campaign, change_state, database, restarted, runs, scheduler, state};
use super::*;
use crate::schedule::Schedule;
use delivery::sql::fixture::Database;

/// A step of the simulation.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes.
    Pass(u64),
    Tick,
    Change(usize, CampaignAction),
    /// A task is taken, and executed later.
    Take(usize),
    /// A task that was taken is done or not, and its end is reported or not.
    Land {
        which: usize,
        is_done: bool,
        is_reported: bool,
    },
    /// All due tasks are done and reported. Tasks that were taken are still to be executed.
    Work,
    /// A batch ends.
    End(usize),
    Restart,
}

/// The state of a batch outside the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    Sending,
    Paused,
    Cancelled,
    Ended,
}

/// The expected result of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Started,
    Missed,
}

struct Simulation {
    scheduler: SchedulerState,
    database: Database,
    now: Timestamp,
    batches: BTreeMap<String, Batch>,
    /// Batches with a failed task, whose wanted control may have been given up.
    troubled: Vec<String>,
    taken: Vec<Task>,
    /// Until when the occurrences of each campaign have an expected result.
    seen: [Timestamp; 2],
    fates: BTreeMap<Key, Fate>,
}

const IDS: [&str; 2] = ["c", "d"];

fn schedules() -> [serde_json::Value; 2] {
    [
        json!({"cron": "*/20 * * * *", "time_zone": "Europe/Berlin"}),
        json!({"at": (NOW + 2 * GRACE).to_string()}),
    ]
}

impl Simulation {
    fn new() -> Self {
        let [first, second] = schedules();
        Self {
            scheduler: scheduler(vec![campaign(IDS[0], first), campaign(IDS[1], second)]),
            database: database(),
            now: NOW,
            batches: BTreeMap::new(),
            troubled: Vec::new(),
            taken: Vec::new(),
            seen: [NOW; 2],
            fates: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(secs) => self.now = self.now + Duration::from_secs(secs),
            Step::Tick => {
                for index in 0..IDS.len() {
                    self.expect(index);
                }
                self.scheduler.tick(GRACE, self.now);
            }
            Step::Change(index, action) => {
                // What is due is made runs of first, of all campaigns.
                for index in 0..IDS.len() {
                    self.expect(index);
                }
                change_state(&mut self.scheduler, IDS[index], action, self.now);
            }
            Step::Take(which) => {
                let due = self.scheduler.due(self.now);
                if !due.is_empty() {
                    let task = self.scheduler.attempt(&due[which % due.len()], self.now);
                    self.taken.extend(task);
                }
            }
            Step::Land {
                which,
                is_done,
                is_reported,
            } => {
                if !self.taken.is_empty() {
                    let task = self.taken.swap_remove(which % self.taken.len());
                    self.land(&task, is_done, is_reported);
                }
            }
            Step::Work => {
                self.work();
            }
            Step::End(which) => {
                let sending = self
                    .batches
                    .values()
                    .filter(|batch| **batch == Batch::Sending)
                    .count();
                let mut sending_now = self
                    .batches
                    .iter_mut()
                    .filter(|(_, batch)| **batch == Batch::Sending);
                if let Some((id, batch)) = sending_now.nth(which % sending.max(1)) {
                    *batch = Batch::Ended;
                    let id = id.clone();
                    self.end(&id);
                }
            }
            Step::Restart => {}
        }
        // Everything is stored before it is told.
        self.scheduler = restarted(&self.database, &mut self.scheduler);
        self.check();
    }

    /// Computes the expected results of the occurrences up to now.
    fn expect(&mut self, index: usize) {
        let state = state(&mut self.scheduler, IDS[index]);
        if !matches!(state, State::Scheduled | State::Running | State::Paused) {
            return;
        }
        let schedule = Schedule::try_from(schedules()[index].clone()).unwrap();
        for occurrence in schedule.between(self.seen[index], self.now, 1000) {
            let is_late = self.now.since(occurrence.at) > GRACE;
            let fate = if is_late || state == State::Paused {
                Fate::Missed
            } else {
                Fate::Started
            };
            self.fates.insert((IDS[index].to_owned(), occurrence.at), fate);
        }
        self.seen[index] = self.seen[index].max(self.now);
    }

    fn land(&mut self, task: &Task, is_done: bool, is_reported: bool) {
        let id = match task {
            Task::Start { run, .. } | Task::Count { run, .. } => run.batch.clone(),
            Task::Control { batch, .. } => batch.clone(),
        };
        if is_done {
            match task {
                Task::Count { .. } => {}
                Task::Start { .. } => _ = self.batches.entry(id.clone()).or_insert(Batch::Sending),
                Task::Control { control, .. } => {
                    if let Some(batch @ (Batch::Sending | Batch::Paused)) = self.batches.get_mut(&id) {
                        *batch = match control {
                            BatchControl::Pause => Batch::Paused,
                            BatchControl::Resume => Batch::Sending,
                            BatchControl::Cancel => Batch::Cancelled,
                        };
                    }
                }
            }
        }
        if is_done && is_reported {
            self.scheduler.done(task, self.now);
        } else {
            self.troubled.push(id);
            self.scheduler.failed(task, "no answer", self.now);
        }
    }

    /// Does all due tasks.
    fn work(&mut self) {
        for key in self.scheduler.due(self.now) {
            if let Some(task) = self.scheduler.attempt(&key, self.now) {
                self.land(&task, true, true);
            }
        }
    }

    fn end(&mut self, batch: &str) {
        let found = self.fates.keys().find(|(id, at)| batch_id(id, *at) == *batch);
        let (campaign, at) = found.unwrap().clone();
        for _ in 0..2 {
            super::fixture::end(&mut self.scheduler, &campaign, at, self.now);
        }
    }

    /// Checks what holds after each step.
    fn check(&mut self) {
        for task in self.scheduler.tasks(self.now) {
            if let Task::Start { campaign, .. } = task {
                assert!(matches!(campaign.state, State::Scheduled | State::Running));
            }
        }
        for id in IDS {
            for run in runs(&mut self.scheduler, id) {
                let key = (id.to_owned(), run.at);
                let is_late = self.now.since(run.at) > GRACE;
                let is_missed = run.state == RunState::Missed;
                let is_expected = match self.fates[&key] {
                    Fate::Missed => is_missed,
                    // Its start has had no turn.
                    Fate::Started => !is_missed || is_late,
                };
                assert!(is_expected, "{run:?}");
            }
        }
        assert_eq!(self.scheduler.runs.len(), self.fates.len());
    }

    /// Does all due tasks, and checks all results.
    fn settle(&mut self) {
        for task in std::mem::take(&mut self.taken) {
            self.land(&task, true, true);
        }
        while let Some(wake) = self.scheduler.wake() {
            self.now = self.now.max(wake);
            self.work();
        }
        let mut opened = self.batches.clone();
        for id in IDS {
            let state = state(&mut self.scheduler, id);
            for run in runs(&mut self.scheduler, id) {
                let batch = opened.remove(&run.batch);
                match run.state {
                    RunState::Missed => assert_eq!(batch, None),
                    RunState::Starting => {
                        assert_eq!((state, run.wanted), (State::Paused, BatchControl::Pause));
                    }
                    RunState::Done => assert_eq!(batch, Some(Batch::Ended)),
                    _ if self.troubled.contains(&run.batch) => {}
                    RunState::Running => assert_eq!(batch, Some(Batch::Sending)),
                    RunState::Paused => assert_eq!(batch, Some(Batch::Paused)),
                    RunState::Cancelled => {
                        assert!(
                            matches!(batch, None | Some(Batch::Cancelled | Batch::Ended)),
                            "{batch:?}"
                        );
                    }
                    RunState::Failed => {
                        assert!(
                            matches!(batch, None | Some(Batch::Cancelled | Batch::Ended)),
                            "{batch:?}"
                        );
                    }
                }
            }
        }
        assert!(opened.is_empty(), "batches of no run: {opened:?}");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let actions = prop::sample::select(vec![
        CampaignAction::Pause,
        CampaignAction::Resume,
        CampaignAction::Cancel,
        CampaignAction::Pause,
        CampaignAction::Resume,
    ]);
    let step = prop_oneof![
        3 => (0..900_u64).prop_map(Step::Pass),
        1 => (0..9000_u64).prop_map(Step::Pass),
        4 => Just(Step::Tick),
        2 => (0..2_usize, actions).prop_map(|(which, action)| Step::Change(which, action)),
        4 => (0..100_usize).prop_map(Step::Take),
        4 => (0..100_usize, prop::bool::weighted(0.8), prop::bool::weighted(0.8))
            .prop_map(|(which, is_done, is_reported)| Step::Land { which, is_done, is_reported }),
        3 => Just(Step::Work),
        2 => (0..100_usize).prop_map(Step::End),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_occurrence_is_started_once_or_recorded_and_nothing_starts_after_a_cancel(steps in steps()) {
        let mut world = Simulation::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
    }
}
