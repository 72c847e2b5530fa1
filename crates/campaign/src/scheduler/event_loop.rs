//! The scheduler's loop as a machine: an event in, effects out.
//!
//! It holds the [`SchedulerState`] and knows which tasks are under way. An event - a caller's command, the trigger of the minute,
//! the object's alarm, the end of a task - gives effects, which the shell executes in their order: first the alarm is
//! armed, then rows are written, and only then is anybody called or answered. So whatever fails, and wherever the object
//! ends, what was accepted is in the rows, and an alarm or the next trigger finds it there.
//!
//! Tasks of several campaigns are under way side by side, never two of one campaign. Each has a deadline, after which its
//! campaign goes on without it: a call that hangs holds up nobody else. In scope: what is done when. Out of scope: what a
//! task is (`tasks`), and doing it (`shell`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::tasks::START_TIME;
use super::{Command, Key, Outcome, Reply, SchedulerState, Task};
use apns::time::Timestamp;
use delivery::sql::{Row, Statement};

/// The scheduler's loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduler {
    /// Nothing until its rows were loaded, and after a row could not be written: the rows are the truth.
    state: Option<SchedulerState>,
    /// The task that is under way, by campaign. It is not stored: a restart gives tasks again.
    in_flight: BTreeMap<String, Flight>,
    /// When the alarm comes, as far as it was armed from here.
    armed: Option<Timestamp>,
    /// Calls since the last event that came from outside.
    calls: usize,
}

/// A task that is under way.
#[derive(Clone, Debug, PartialEq)]
struct Flight {
    /// Without its document.
    task: Task,
    /// When it is given up.
    until: Timestamp,
}

/// Something that happens to the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody asks something.
    Command(Box<Command>),
    /// A minute has struck.
    Trigger,
    /// The object's alarm has come.
    Alarm,
    /// A task has come to an end.
    Returned {
        /// The task.
        task: Box<Task>,
        /// What came of it.
        outcome: Outcome,
    },
}

/// Something that the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set the object's alarm.
    Arm(Timestamp),
    /// Clear the object's alarm.
    Disarm,
    /// Execute a statement. If that fails, what follows is not done, and [`Scheduler::write_failed`] is called.
    Write(Statement),
    /// Do a task, until then, and report what came of it with [`Event::Returned`].
    Call {
        /// The task.
        task: Box<Task>,
        /// When it is given up.
        until: Timestamp,
    },
    /// Answer the command.
    Reply(Box<Reply>),
}

impl Scheduler {
    /// Whether the rows have to be loaded before the next event.
    #[must_use]
    pub const fn needs_rows(&self) -> bool {
        self.state.is_none()
    }

    /// Takes the rows of [`SchedulerState::select`]. Returns what is wrong with one that cannot be read.
    pub fn load(&mut self, rows: &[Row]) -> Option<String> {
        let loaded = SchedulerState::load(rows);
        self.state = Some(loaded.machine);
        loaded.fault
    }

    /// Arms the alarm that follows the one that has come, before anything that can fail: the platform repeats an alarm that
    /// fails only a few times.
    pub fn alarm_came(&mut self, now: Timestamp) -> Effect {
        self.armed = Some(now + RETRY);
        Effect::Arm(now + RETRY)
    }

    /// Something could not be loaded or written: it is tried again, from the rows.
    pub fn write_failed(&mut self, now: Timestamp) -> Effect {
        self.state = None;
        self.armed = Some(now + RETRY);
        Effect::Arm(now + RETRY)
    }

    /// The alarm could not be set: the next event sets it.
    pub const fn arming_failed(&mut self) {
        self.armed = None;
    }

    /// Takes an event. Does nothing if the rows are not loaded.
    pub fn handle(&mut self, event: Event, grace: Duration, now: Timestamp) -> Vec<Effect> {
        let Some(state) = &mut self.state else {
            return Vec::new();
        };
        if !matches!(event, Event::Returned { .. }) {
            self.calls = 0;
        }
        let mut reply = None;
        match event {
            Event::Command(command) => reply = Some(state.apply(*command, grace, now)),
            Event::Trigger | Event::Alarm => state.tick(grace, now),
            Event::Returned { task, outcome } => {
                let is_its = |flight: &mut Flight| flight.task == task.summary();
                self.in_flight
                    .extract_if(
                        task.campaign().to_owned()..=task.campaign().to_owned(),
                        |_, flight| is_its(flight),
                    )
                    .for_each(drop);
                state.returned(&task, &outcome, now);
            }
        }
        let expired = self.in_flight.extract_if(.., |_, flight| flight.until <= now);
        for (_, flight) in expired {
            let outcome = Outcome::Failed(NO_ANSWER.to_owned());
            state.returned(&flight.task, &outcome, now);
        }
        state.give_up(grace, now);
        let calls = self.next_calls(now);
        let mut effects: Vec<Effect> = self.arm(now).into_iter().collect();
        let changes = self.state.as_mut().map(SchedulerState::take_changes);
        effects.extend(changes.into_iter().flatten().map(Effect::Write));
        effects.extend(calls);
        effects.extend(reply.map(Box::new).map(Effect::Reply));
        effects
    }

    /// The tasks that begin now.
    fn next_calls(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(state) = &mut self.state else {
            return Vec::new();
        };
        let mut calls = Vec::new();
        let mut starts = self
            .in_flight
            .values()
            .filter(|flight| !flight.task.is_control())
            .count();
        let mut others = self.in_flight.len().saturating_sub(starts);
        for key in state.due(now) {
            if self.calls >= MAX_CALLS {
                break;
            }
            if self.in_flight.contains_key(&key.0) {
                continue;
            }
            let (running, limit, time) = match state.asks_shards(&key) {
                true => (&mut starts, MAX_STARTS, START_TIME),
                false => (&mut others, MAX_CONTROLS, CONTROL_TIME),
            };
            if *running >= limit {
                continue;
            }
            let Some(task) = state.attempt(&key, now) else {
                continue;
            };
            *running += 1;
            self.calls += 1;
            let until = now + time;
            let flight = Flight {
                task: task.summary(),
                until,
            };
            self.in_flight.insert(key.0, flight);
            let task = Box::new(task);
            calls.push(Effect::Call { task, until });
        }
        calls
    }

    /// Sets the alarm to when there is next something to do, if it would come later or not at all.
    fn arm(&mut self, now: Timestamp) -> Option<Effect> {
        match (self.wake(now), self.armed) {
            (Some(at), Some(armed)) if armed <= at && armed > now => None,
            (Some(at), _) => {
                self.armed = Some(at);
                Some(Effect::Arm(at))
            }
            (None, armed) => {
                self.armed = None;
                armed.map(|_| Effect::Disarm)
            }
        }
    }

    /// When there is next something to do, if there is.
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.state.as_ref()?;
        let is_held = |campaign: &str| self.in_flight.contains_key(campaign);
        let flights = self.in_flight.values().map(|flight| flight.until);
        let later = state.next_due(is_held, now);
        // What has waited for others goes on when one of those returns, unless this event may make no more calls.
        let is_cut_off = self.calls >= MAX_CALLS && state.due(now).iter().any(|key| !is_held(&key.0));
        let rest = is_cut_off.then_some(now + LEAST);
        flights
            .chain(later)
            .chain(rest)
            .min()
            .map(|at| at.max(now + LEAST))
    }
}

impl SchedulerState {
    /// Whether the task of a run asks all shards.
    fn asks_shards(&self, key: &Key) -> bool {
        let run = self.runs.get(key);
        run.is_some_and(|run| run.uncounted || self.is_to_start(run).is_some())
    }
}

/// Runs that are started side by side, each by an object of its own.
pub(super) const MAX_STARTS: usize = 20;

/// Controls that are sent side by side: starts that hang must not hold up a cancel.
pub(super) const MAX_CONTROLS: usize = 20;

/// Calls that follow one event from outside: the platform counts the requests that an event leads to, up to 10,000. What
/// is left is done by the next alarm.
pub(super) const MAX_CALLS: usize = 1000;

/// How long the control of a batch may take.
const CONTROL_TIME: Duration = Duration::from_secs(20);

/// When what failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(30);

/// No alarm comes sooner: if the rows cannot be written, the next would come at once, and so on.
const LEAST: Duration = Duration::from_millis(500);

/// Why a task has failed whose deadline has passed.
const NO_ANSWER: &str = "no answer within its time";
