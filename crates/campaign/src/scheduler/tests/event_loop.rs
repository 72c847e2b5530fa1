//! The scheduler's loop: the order of alarms, writes and calls, and what survives when it stops at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::fixture::{GRACE, MINUTE, NOW, audience_of, campaign, campaign_of, database, hourly, once, runs};
use super::*;
use crate::schedule::Schedule;
use crate::scheduler::event_loop::{MAX_CALLS, MAX_CONTROLS, MAX_STARTS, RETRY};
use crate::scheduler::tasks::CLOCK_SKEW;
use delivery::sql::fixture::Database;

/// When the campaigns of [`once`] are due.
const DUE: Timestamp = Timestamp::from_secs(1_795_420_860);

/// Creates a scheduler with this state.
fn scheduler(stored: &mut SchedulerState) -> (Scheduler, Database) {
    let database = database();
    for change in stored.take_changes() {
        database.execute(&change);
    }
    (loaded(&database), database)
}

fn loaded(database: &Database) -> Scheduler {
    let mut scheduler = Scheduler::default();
    assert!(scheduler.needs_rows());
    assert_eq!(scheduler.load(&database.execute(&SchedulerState::select())), None);
    scheduler
}

fn campaigns(count: usize, schedule: &serde_json::Value) -> SchedulerState {
    let mut stored = fixture::scheduler(vec![]);
    let mut apply = |command| stored.apply(command, GRACE, NOW);
    // No app has more than its share.
    let app = |number: usize| format!("app-{}", number % crate::scheduler::actions::APPS);
    for number in 0..crate::scheduler::actions::APPS {
        apply(Command::PutAudience(audience_of(&app(number))));
    }
    for number in 0..count {
        let campaign = Campaign {
            schedule: Some(Schedule::try_from(schedule.clone()).unwrap()),
            ..campaign_of(&app(number), &format!("c{number:04}"))
        };
        let made = apply(Command::Create(Box::new(campaign)));
        assert!(matches!(made, Reply::Campaign(_)), "{made:?}");
    }
    stored
}

fn change_state(id: &str, action: CampaignAction) -> Event {
    let id = id.to_owned();
    Event::Command(Box::new(Command::ChangeState { id, action }))
}

fn calls(effects: Vec<Effect>) -> Vec<Task> {
    let calls = effects.into_iter().filter_map(|effect| match effect {
        Effect::Call { task, .. } => Some(*task),
        Effect::Arm(_) | Effect::Disarm | Effect::Write(_) | Effect::Reply(_) => None,
    });
    calls.collect()
}

fn returned(task: &Task, outcome: Outcome) -> Event {
    let task = Box::new(task.clone());
    Event::Returned { task, outcome }
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Arm(_) => "arm",
        Effect::Disarm => "disarm",
        Effect::Write(_) => "write",
        Effect::Call { .. } => "call",
        Effect::Reply(_) => "reply",
    }
}

#[test]
fn the_alarm_is_armed_before_rows_are_written_and_rows_before_anybody_is_called_or_answered() {
    let (mut scheduler, _) = scheduler(&mut campaigns(1, &once()));
    let effects = scheduler.handle(change_state("c0000", CampaignAction::Schedule), GRACE, DUE);
    let kinds: Vec<&str> = effects.iter().map(kind).collect();
    assert_eq!(kinds, ["arm", "write", "write", "call", "reply"]);
    // The call's deadline is when the alarm comes.
    assert_eq!(effects[0], Effect::Arm(DUE + START_TIME));
    // An alarm arms the next one before it can fail.
    assert_eq!(
        scheduler.alarm_came(DUE + MINUTE),
        Effect::Arm(DUE + MINUTE + RETRY)
    );
    assert_eq!(
        scheduler.write_failed(DUE + MINUTE),
        Effect::Arm(DUE + MINUTE + RETRY)
    );
    assert!(scheduler.needs_rows());
    assert_eq!(scheduler.handle(Event::Alarm, GRACE, DUE), []);
}

#[test]
fn an_alarm_that_finds_nothing_to_do_is_the_last() {
    let (mut scheduler, _) = scheduler(&mut campaigns(1, &hourly()));
    scheduler.alarm_came(NOW);
    assert_eq!(scheduler.handle(Event::Alarm, GRACE, NOW), [Effect::Disarm]);
    assert_eq!(scheduler.handle(Event::Trigger, GRACE, NOW), []);
}

#[test]
fn campaigns_are_started_side_by_side_and_no_campaign_has_two_tasks_at_once() {
    let (mut scheduler, _) = scheduler(&mut campaigns(
        MAX_STARTS + 5,
        &json!({"cron": "*/20 * * * *", "time_zone": "UTC"}),
    ));
    // Each has two runs.
    let now = NOW + 40 * MINUTE;
    let first = calls(scheduler.handle(Event::Trigger, GRACE, now));
    let of: BTreeSet<&str> = first.iter().map(Task::campaign).collect();
    assert_eq!((first.len(), of.len()), (MAX_STARTS, MAX_STARTS));
    assert_eq!(calls(scheduler.handle(Event::Trigger, GRACE, now)), []);
    // What has waited the longest takes the place of one that is done.
    let next = calls(scheduler.handle(returned(&first[0], Outcome::Done), GRACE, now));
    assert_eq!(next.len(), 1);
    assert!(
        !first
            .iter()
            .any(|task| task.campaign() == next[0].campaign() && task.batch() == next[0].batch())
    );
}

#[test]
fn calls_that_hang_hold_up_no_pause_and_after_their_deadline_no_start() {
    let (mut scheduler, _) = scheduler(&mut campaigns(MAX_STARTS + 1, &once()));
    let hanging = calls(scheduler.handle(Event::Trigger, GRACE, DUE));
    assert_eq!(hanging.len(), MAX_STARTS);
    // One that was not started, and so has no call that hangs.
    let other = format!("c{MAX_STARTS:04}");
    let told = calls(scheduler.handle(change_state(&other, CampaignAction::Cancel), GRACE, DUE));
    assert!(
        matches!(
            &told[..],
            [Task::Control {
                control: BatchControl::Cancel,
                ..
            }]
        ),
        "{told:?}"
    );
    let (mut scheduler, _) = self::scheduler(&mut campaigns(MAX_STARTS + 1, &once()));
    calls(scheduler.handle(Event::Trigger, GRACE, DUE));
    scheduler.alarm_came(DUE + START_TIME);
    let next = calls(scheduler.handle(Event::Alarm, GRACE, DUE + START_TIME));
    assert_eq!(next.iter().map(Task::campaign).collect::<Vec<_>>()[0], other);
    // What returns after its deadline changes nothing that has begun since.
    let late = calls(scheduler.handle(returned(&hanging[0], Outcome::Done), GRACE, DUE + START_TIME));
    assert!(late.iter().all(|task| task.campaign() != hanging[0].campaign()));
}

#[test]
fn one_event_leads_to_no_more_calls_than_the_platform_allows_and_the_next_alarm_goes_on() {
    let (mut scheduler, _) = scheduler(&mut campaigns(
        MAX_CALLS,
        &json!({"cron": "*/20 * * * *", "time_zone": "UTC"}),
    ));
    let now = NOW + 40 * MINUTE;
    let mut effects = scheduler.handle(Event::Trigger, GRACE, now);
    let (mut made, mut armed) = (0, None);
    loop {
        armed = effects
            .iter()
            .find_map(|effect| match effect {
                Effect::Arm(at) => Some(*at),
                _ => None,
            })
            .or(armed);
        let under_way = calls(effects);
        made += under_way.len();
        if under_way.is_empty() {
            break;
        }
        effects = under_way
            .iter()
            .flat_map(|task| scheduler.handle(returned(task, Outcome::Done), GRACE, now))
            .collect();
    }
    assert_eq!(made, MAX_CALLS);
    let soon = armed.unwrap();
    assert!(soon < now + Duration::from_secs(1));
    scheduler.alarm_came(soon);
    assert_eq!(
        calls(scheduler.handle(Event::Alarm, GRACE, soon)).len(),
        MAX_STARTS
    );
    const { assert!(MAX_STARTS + MAX_CONTROLS < MAX_CALLS) };
}

#[test]
fn a_thousand_campaigns_that_are_due_at_once_are_started_in_minutes() {
    let (mut scheduler, _) = scheduler(&mut campaigns(1000, &once()));
    let mut now = DUE;
    let mut under_way = calls(scheduler.handle(Event::Trigger, GRACE, now));
    let mut started = 0;
    while !under_way.is_empty() {
        // Each asks 256 shards, five at a time, fifty milliseconds each.
        now = now + Duration::from_millis(50) * 52;
        let tasks = std::mem::take(&mut under_way);
        started += tasks.len();
        for task in tasks {
            under_way.extend(calls(scheduler.handle(
                returned(&task, Outcome::Done),
                GRACE,
                now,
            )));
        }
    }
    assert_eq!(started, 1000);
    assert!(now.since(DUE) < 3 * MINUTE, "{:?}", now.since(DUE));
}

/// A step of the simulation.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    /// The trigger. The object may stop after this number of its effects.
    Trigger(Option<usize>),
    Change(usize, CampaignAction, Option<usize>),
    /// A call is executed or not, and its end is reported or not.
    Land {
        which: usize,
        arrives: bool,
        reports: bool,
        stop: Option<usize>,
    },
    /// Writing the rows of the next event fails.
    FailWrites,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    Sending,
    Paused,
    Cancelled,
}

struct Simulation {
    scheduler: Scheduler,
    database: Database,
    alarm: Option<Timestamp>,
    now: Timestamp,
    batches: BTreeMap<String, Batch>,
    /// When the newest control that each batch has applied was requested.
    controlled_at: BTreeMap<String, Timestamp>,
    calls: Vec<Task>,
    fails_writes: bool,
    /// Until when the occurrences of each campaign were checked, by its index.
    seen: [Option<Timestamp>; 2],
    /// The actions to which callers got no answer.
    unanswered: [Option<CampaignAction>; 2],
}

const IDS: [&str; 2] = ["c", "d"];

fn schedules() -> [serde_json::Value; 2] {
    [
        json!({"cron": "*/20 * * * *", "time_zone": "UTC"}),
        json!({"at": (NOW + 2 * GRACE).to_string()}),
    ]
}

impl Simulation {
    fn new() -> Self {
        let [first, second] = schedules();
        let mut stored = fixture::scheduler(vec![campaign(IDS[0], first), campaign(IDS[1], second)]);
        let (scheduler, database) = scheduler(&mut stored);
        Self {
            scheduler,
            database,
            alarm: None,
            now: NOW,
            batches: BTreeMap::new(),
            controlled_at: BTreeMap::new(),
            calls: Vec::new(),
            fails_writes: false,
            seen: [None; 2],
            unanswered: [None; 2],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(secs) => {
                self.now = self.now + Duration::from_secs(secs);
                self.alarm_comes(None);
            }
            Step::Trigger(stop) => _ = self.event(Event::Trigger, stop),
            Step::Change(index, action, stop) => self.change_state(index, action, stop),
            Step::Land {
                which,
                arrives,
                reports,
                stop,
            } => {
                if !self.calls.is_empty() {
                    let task = self.calls.swap_remove(which % self.calls.len());
                    self.land(&task, arrives, reports, stop);
                }
            }
            Step::FailWrites => self.fails_writes = true,
            Step::Crash => self.scheduler = Scheduler::default(),
        }
    }

    /// Fires the alarm if it is due. The platform fires it once, and nothing may be lost because of that.
    fn alarm_comes(&mut self, stop: Option<usize>) {
        if self.alarm.is_some_and(|at| at <= self.now) {
            let Effect::Arm(at) = self.scheduler.alarm_came(self.now) else {
                panic!()
            };
            self.alarm = Some(at);
            self.event(Event::Alarm, stop);
        }
    }

    fn change_state(&mut self, index: usize, action: CampaignAction, stop: Option<usize>) {
        let reply = self.event(change_state(IDS[index], action), stop);
        self.unanswered[index] = reply.is_none().then_some(action);
        // A cancel may have been written although nobody was told.
        let mut stored = SchedulerState::load(&self.database.execute(&SchedulerState::select())).machine;
        if fixture::state(&mut stored, IDS[index]) == State::Cancelled {
            self.seen[index].get_or_insert(self.now);
        }
    }

    /// Executes the effects of an event, until the object stops. The rows of an event are written all or
    /// none, because the platform commits writes without an await in between together.
    fn event(&mut self, event: Event, stop: Option<usize>) -> Option<Reply> {
        if self.scheduler.needs_rows() {
            let rows = self.database.execute(&SchedulerState::select());
            assert_eq!(self.scheduler.load(&rows), None);
        }
        let effects = self.scheduler.handle(event, GRACE, self.now);
        let first_after = effects
            .iter()
            .position(|effect| !matches!(effect, Effect::Arm(_) | Effect::Disarm | Effect::Write(_)));
        let writes = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Write(_)))
            .count();
        if writes > 0 && std::mem::take(&mut self.fails_writes) {
            let Effect::Arm(at) = self.scheduler.write_failed(self.now) else {
                panic!()
            };
            self.alarm = Some(at);
            return None;
        }
        let mut reply = None;
        for (index, effect) in effects.into_iter().enumerate() {
            let is_after_writes = first_after.is_some_and(|first| index >= first);
            if stop.is_some_and(|stop| index >= stop) && (is_after_writes || writes == 0 || index == 0) {
                self.scheduler = Scheduler::default();
                return None;
            }
            match effect {
                Effect::Arm(at) => self.alarm = Some(at),
                Effect::Disarm => self.alarm = None,
                Effect::Write(statement) => _ = self.database.execute(&statement),
                Effect::Call { task, until } => {
                    assert!(
                        until > self.now && self.alarm.is_some_and(|at| at <= until),
                        "a call without an alarm"
                    );
                    self.calls.push(*task);
                }
                Effect::Reply(answer) => reply = Some(*answer),
            }
        }
        reply
    }

    fn land(&mut self, task: &Task, arrives: bool, reports: bool, stop: Option<usize>) {
        let batch = self.batches.get(task.batch()).copied();
        let mut outcome = Outcome::Failed("no answer".to_owned());
        if arrives {
            outcome = match task {
                Task::Start { run, .. }
                    if batch.is_none() && run.start_until.is_none_or(|until| self.now > until) =>
                {
                    outcome
                }
                Task::Start { .. } => {
                    self.batches
                        .entry(task.batch().to_owned())
                        .or_insert(Batch::Sending);
                    Outcome::Done
                }
                Task::Count { .. } => Outcome::Counted(1),
                Task::Control {
                    control, issued_at, ..
                } => match batch {
                    None => Outcome::NoBatch,
                    Some(Batch::Cancelled) => Outcome::Done,
                    Some(_)
                        if self
                            .controlled_at
                            .get(task.batch())
                            .is_some_and(|newest| issued_at < newest) =>
                    {
                        Outcome::Done
                    }
                    Some(_) => {
                        self.controlled_at.insert(task.batch().to_owned(), *issued_at);
                        let state = match control {
                            BatchControl::Pause => Batch::Paused,
                            BatchControl::Resume => Batch::Sending,
                            BatchControl::Cancel => Batch::Cancelled,
                        };
                        self.batches.insert(task.batch().to_owned(), state);
                        Outcome::Done
                    }
                },
            };
        }
        if reports && !self.scheduler.needs_rows() {
            self.event(returned(task, outcome), stop);
        }
    }

    /// Lets time pass until nothing is left to do, and checks all results.
    fn settle(&mut self) {
        self.fails_writes = false;
        for index in 0..IDS.len() {
            if let Some(action) = self.unanswered[index].take() {
                self.change_state(index, action, None);
            }
        }
        let end = self.now + 2 * GRACE;
        while self.now < end {
            self.now = self.now + MINUTE / 2;
            self.alarm_comes(None);
            self.event(Event::Trigger, None);
            while let Some(task) = self.calls.pop() {
                self.land(&task, true, true, None);
            }
        }
        let mut stored = SchedulerState::load(&self.database.execute(&SchedulerState::select())).machine;
        let mut opened = self.batches.clone();
        for (index, id) in IDS.into_iter().enumerate() {
            let state = fixture::state(&mut stored, id);
            let runs = runs(&mut stored, id);
            // Each occurrence has a run.
            let until = self.seen[index].unwrap_or(self.now);
            let schedule = Schedule::try_from(schedules()[index].clone()).unwrap();
            let expected = schedule
                .between(NOW, until, 10_000)
                .into_iter()
                .map(|occurrence| occurrence.at);
            assert!(expected.eq(runs.iter().map(|run| run.at)), "{runs:#?}");
            for run in runs {
                let batch = opened.remove(&run.batch);
                let is_expected = match run.state {
                    RunState::Missed => batch.is_none(),
                    RunState::Failed | RunState::Cancelled => matches!(batch, None | Some(Batch::Cancelled)),
                    RunState::Running => batch == Some(Batch::Sending),
                    RunState::Paused => batch == Some(Batch::Paused),
                    // It waits until its campaign is resumed.
                    RunState::Starting => {
                        state == State::Paused && matches!(batch, None | Some(Batch::Paused))
                    }
                    RunState::Done => false,
                };
                assert!(is_expected, "{batch:?} {run:#?}");
            }
        }
        assert!(opened.is_empty(), "batches of no run: {opened:?}");
        assert_eq!(CLOCK_SKEW.checked_sub(START_TIME), None);
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
    let stop = || prop::option::weighted(0.3, 0..6_usize);
    let step = prop_oneof![
        5 => (0..900_u64).prop_map(Step::Pass),
        1 => (0..9000_u64).prop_map(Step::Pass),
        5 => stop().prop_map(Step::Trigger),
        2 => (0..2_usize, actions, stop()).prop_map(|(which, action, stop)| Step::Change(which, action, stop)),
        6 => (0..100_usize, prop::bool::weighted(0.8), prop::bool::weighted(0.7), stop())
            .prop_map(|(which, arrives, reports, stop)| Step::Land { which, arrives, reports, stop }),
        1 => Just(Step::FailWrites),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn wherever_it_stops_each_due_run_is_started_once_or_recorded_and_each_cancel_and_pause_is_told(steps in steps()) {
        let mut world = Simulation::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
    }
}
