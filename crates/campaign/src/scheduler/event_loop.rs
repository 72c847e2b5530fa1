//! The scheduler's loop as a machine: an event in, effects out.
//!
//! It holds the [`SchedulerState`] and the tasks in flight. An event is a caller's command, the trigger of
//! the minute, the object's alarm, or the end of a task. It returns effects, which the Worker executes in
//! order: first the alarm is set, then rows are written, and only then are calls made and commands answered.
//! So whatever fails, and wherever the object stops, everything accepted is in the rows, and an alarm or the
//! next trigger continues with it.
//!
//! Tasks of several campaigns are in flight at once, but at most one per campaign. Each has a deadline, after
//! which its campaign continues without it, so that a call that hangs delays no other campaign. In scope:
//! when something is done. Out of scope: what a task is (`tasks`), and executing it (the Worker).

use std::collections::BTreeMap;
use std::time::Duration;

use super::tasks::START_TIME;
use super::{Command, Key, Outcome, Reply, SchedulerState, Task};
use apns::time::Timestamp;
use delivery::sql::{Row, Statement};

/// The scheduler's loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduler {
    /// `None` until the rows are loaded, and after a failed write: the rows are the truth.
    state: Option<SchedulerState>,
    /// The tasks in flight, by campaign. They are not stored: after a restart, tasks are started again.
    in_flight: BTreeMap<String, Flight>,
    /// When the alarm is set to, as far as this machine set it.
    armed: Option<Timestamp>,
    /// The number of calls since the last external event.
    calls: usize,
}

/// A task in flight.
#[derive(Clone, Debug, PartialEq)]
struct Flight {
    /// The task, without its document.
    task: Task,
    /// Its deadline.
    until: Timestamp,
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A caller's command.
    Command(Box<Command>),
    /// The cron trigger of the minute.
    Trigger,
    /// The object's alarm.
    Alarm,
    /// A task has ended.
    Returned {
        /// The task.
        task: Box<Task>,
        /// Its outcome.
        outcome: Outcome,
    },
}

/// An effect for the Worker to execute.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set the object's alarm.
    Arm(Timestamp),
    /// Clear the object's alarm.
    Disarm,
    /// Execute a statement. If it fails, call [`Scheduler::write_failed`] in place of the effects that
    /// follow.
    Write(Statement),
    /// Execute a task until the deadline, and report its outcome with [`Event::Returned`].
    Call {
        /// The task.
        task: Box<Task>,
        /// The deadline.
        until: Timestamp,
    },
    /// Answer the command.
    Reply(Box<Reply>),
}

impl Scheduler {
    /// Whether the rows must be loaded before the next event.
    #[must_use]
    pub const fn needs_rows(&self) -> bool {
        self.state.is_none()
    }

    /// Loads the rows of [`SchedulerState::select`]. Returns the fault of a row that cannot be read.
    pub fn load(&mut self, rows: &[Row]) -> Option<String> {
        let loaded = SchedulerState::load(rows);
        self.state = Some(loaded.machine);
        loaded.fault
    }

    /// Sets the next alarm before anything that can fail, because the platform retries a failed alarm only a
    /// few times.
    pub fn alarm_came(&mut self, now: Timestamp) -> Effect {
        self.armed = Some(now + RETRY);
        Effect::Arm(now + RETRY)
    }

    /// Schedules a retry from the rows, after a load or a write failed.
    pub fn write_failed(&mut self, now: Timestamp) -> Effect {
        self.state = None;
        self.armed = Some(now + RETRY);
        Effect::Arm(now + RETRY)
    }

    /// Records that the alarm could not be set, so that the next event sets it.
    pub const fn arming_failed(&mut self) {
        self.armed = None;
    }

    /// Handles an event. Does nothing if the rows are not loaded.
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

    /// Starts the tasks that can start now.
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

    /// Sets the alarm to the next deadline or due task, if it is set to later or not set.
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

    /// Returns when there is next something to do.
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.state.as_ref()?;
        let is_held = |campaign: &str| self.in_flight.contains_key(campaign);
        let flights = self.in_flight.values().map(|flight| flight.until);
        let later = state.next_due(is_held, now);
        // A task that waits for a free slot continues when another returns, unless this event has used up its
        // calls.
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
    /// Whether the task of a run makes requests to all shards.
    fn asks_shards(&self, key: &Key) -> bool {
        let run = self.runs.get(key);
        run.is_some_and(|run| run.uncounted || self.is_to_start(run).is_some())
    }
}

/// The most starts in flight. Each is executed by an object of its own.
pub(super) const MAX_STARTS: usize = 20;

/// The most controls in flight. They are counted apart from starts, so that starts that hang do not delay a
/// cancel.
pub(super) const MAX_CONTROLS: usize = 20;

/// The most calls per external event. The platform counts the requests that an event leads to, up to 10,000.
/// The next alarm continues with the rest.
pub(super) const MAX_CALLS: usize = 1000;

/// The deadline of a control.
const CONTROL_TIME: Duration = Duration::from_secs(20);

/// The delay before a retry.
pub(super) const RETRY: Duration = Duration::from_secs(30);

/// The shortest delay of an alarm. If rows cannot be written, alarms would otherwise follow each other
/// without a pause.
const LEAST: Duration = Duration::from_millis(500);

/// The failure of a task whose deadline has passed.
const NO_ANSWER: &str = "no answer within its time";
