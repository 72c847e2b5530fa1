//! The tasks of runs, which are repeated until they are done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::RetryState;
use super::{BatchControl, Campaign, Key, Run, RunState, SchedulerState, State};
use apns::time::Timestamp;
use batch::AudienceRef;
use delivery::backoff;
use delivery::verdict::RetryCause;

/// A task for the Worker. Executing it twice has the same effect as executing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Open the run's batch and start its scans, before the run's `start_until`.
    Start {
        /// The campaign.
        campaign: Box<Campaign>,
        /// The run.
        run: Box<Run>,
        /// Its audience.
        audience: AudienceRef,
    },
    /// Count the devices that a missed run would have had.
    Count {
        /// The campaign.
        campaign: Box<Campaign>,
        /// The run.
        run: Box<Run>,
        /// Its audience.
        audience: AudienceRef,
    },
    /// Pause, resume or cancel a batch.
    Control {
        /// The run's campaign.
        campaign: String,
        /// When the run was due.
        at: Timestamp,
        /// The batch's id.
        batch: String,
        /// The control.
        control: BatchControl,
        /// When it was requested: the batch ignores it if a later one was applied.
        issued_at: Timestamp,
    },
}

/// The outcome of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// The number of devices that the run would have had.
    Counted(u64),
    /// The batch does not exist.
    NoBatch,
    /// No device is in any of the run's time zones.
    NoDevices,
    /// It can never be done, with the reason.
    Rejected(String),
    /// It failed, or its outcome is unknown, with the reason.
    Failed(String),
}

impl Task {
    /// The batch of the task.
    #[must_use]
    pub fn batch(&self) -> &str {
        match self {
            Self::Start { run, .. } | Self::Count { run, .. } => &run.batch,
            Self::Control { batch, .. } => batch,
        }
    }

    /// The campaign of the task.
    #[must_use]
    pub fn campaign(&self) -> &str {
        match self {
            Self::Start { run, .. } | Self::Count { run, .. } => &run.campaign,
            Self::Control { campaign, .. } => campaign,
        }
    }

    /// Whether it starts a run.
    #[must_use]
    pub const fn is_start(&self) -> bool {
        matches!(self, Self::Start { .. })
    }

    /// Whether it controls a batch, which takes one request. Every other task makes requests to all shards.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        matches!(self, Self::Control { .. })
    }

    /// Returns the task without the campaign's document, which is enough to report its outcome.
    pub(super) fn summary(&self) -> Self {
        match self {
            Self::Start {
                campaign,
                run,
                audience,
            } => Self::Start {
                campaign: Box::new(campaign.summary()),
                run: run.clone(),
                audience: audience.clone(),
            },
            Self::Count {
                campaign,
                run,
                audience,
            } => Self::Count {
                campaign: Box::new(campaign.summary()),
                run: run.clone(),
                audience: audience.clone(),
            },
            Self::Control { .. } => self.clone(),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Start { run, .. } | Self::Count { run, .. } => (run.campaign.clone(), run.at),
            Self::Control { campaign, at, .. } => (campaign.clone(), *at),
        }
    }
}

impl SchedulerState {
    /// Returns the runs whose task is due: first controls, then starts, then counts, each in the order in
    /// which they became due.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Key> {
        let runs = self
            .busy
            .iter()
            .filter_map(|key| Some((key, self.runs.get(key)?)));
        let due = runs.filter(|(_, run)| run.retry.next_at <= now && self.has_task(run));
        let rank = |run: &Run| match () {
            () if run.uncounted => 2,
            () if self.is_to_start(run).is_some() => 1,
            () => 0,
        };
        let mut due: Vec<(u8, Timestamp, &Key)> = due
            .map(|(key, run)| (rank(run), run.retry.next_at, key))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, _, key)| key.clone()).collect()
    }

    /// Returns the task of a run and records the attempt. The task is due again until
    /// [`SchedulerState::returned`] records that it is done, and later after each failure.
    pub(super) fn attempt(&mut self, key: &Key, now: Timestamp) -> Option<Task> {
        let is_start = self.is_to_start(self.runs.get(key)?).is_some();
        if is_start {
            self.change_run(key, |run| {
                run.start_until = Some(now + START_TIME);
                run.starts = run.starts.saturating_add(1);
            });
        }
        self.task(self.runs.get(key)?)
    }

    /// Returns when the next task becomes due that is not due now. Ignores campaigns for which `is_held`
    /// returns `true`.
    pub(super) fn next_due(&self, is_held: impl Fn(&str) -> bool, now: Timestamp) -> Option<Timestamp> {
        let runs = self.busy.iter().filter_map(|key| self.runs.get(key));
        let waiting = runs.filter(|run| !is_held(&run.campaign) && self.has_task(run));
        let later = waiting.map(|run| run.retry.next_at).filter(|at| *at > now);
        later.min()
    }

    /// Records the outcome of a task.
    pub fn returned(&mut self, task: &Task, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Outcome::Done => self.done(task, now),
            Outcome::Counted(devices) => self.counted(task, *devices),
            Outcome::NoBatch => self.no_batch(task, now),
            Outcome::NoDevices => self.forget(task, now),
            Outcome::Rejected(detail) => self.rejected(task, detail, now),
            Outcome::Failed(detail) => self.failed(task, detail, now),
        }
    }

    /// Records that a task is done.
    pub(super) fn done(&mut self, task: &Task, now: Timestamp) {
        let key = task.key();
        let is_paused = self
            .campaigns
            .get(&key.0)
            .is_some_and(|campaign| campaign.state == State::Paused);
        self.change_run(&key, |run| match task {
            Task::Start { .. } if run.state == RunState::Starting => {
                run.started_at = Some(now);
                run.detail = None;
                run.state = if is_paused {
                    RunState::Paused
                } else {
                    RunState::Running
                };
                if run.wanted == BatchControl::Resume {
                    run.retry = RetryState::from(now);
                } else {
                    run.want(run.wanted, now);
                }
            }
            Task::Control { control, .. } if *control == run.wanted => {
                run.needs_sync = false;
                run.retry = RetryState::from(now);
            }
            Task::Start { .. } | Task::Count { .. } | Task::Control { .. } => run.reconcile(task, now),
        });
        self.forget_orphan(&key);
        self.change_campaign(&key.0, |_| {});
    }

    /// Records the number of devices of a missed run. If there are none, the run is deleted.
    fn counted(&mut self, task: &Task, devices: u64) {
        let key = task.key();
        if !self.runs.get(&key).is_some_and(|run| run.uncounted) {
            return;
        }
        if devices == 0 {
            self.forget_run(&key);
            self.change_campaign(&key.0, |campaign| campaign.runs = campaign.runs.saturating_sub(1));
        } else {
            self.change_run(&key, |run| {
                run.devices = Some(devices);
                run.uncounted = false;
            });
            self.forget_orphan(&key);
        }
    }

    /// Handles a batch that does not exist. An attempted start may still open it, so the control is repeated
    /// after that.
    fn no_batch(&mut self, task: &Task, now: Timestamp) {
        let key = task.key();
        let until = self.runs.get(&key).and_then(|run| run.start_until);
        let until = until.map(|until| until + CLOCK_SKEW).filter(|until| *until > now);
        match (task, until) {
            (Task::Control { control, .. }, Some(until)) => self.change_run(&key, |run| {
                if *control == run.wanted && run.needs_sync && run.started_at.is_none() {
                    run.retry = RetryState::from(until);
                }
            }),
            _ => self.done(task, now),
        }
    }

    /// Deletes a run without devices before it has started, as if it had never been due.
    pub(super) fn forget(&mut self, task: &Task, now: Timestamp) {
        let key = task.key();
        let Some(run) = self.runs.get(&key).filter(|run| run.state == RunState::Starting) else {
            return;
        };
        if run.starts > 1 {
            // An earlier attempt may have opened the batch, before the devices left the zones.
            self.change_run(&key, |run| run.fail(NO_DEVICES, now));
            self.change_campaign(&key.0, |_| {});
        } else {
            self.forget_run(&key);
            self.change_campaign(&key.0, |campaign| campaign.runs = campaign.runs.saturating_sub(1));
        }
    }

    /// Records that a run can never be started.
    fn rejected(&mut self, task: &Task, detail: &str, now: Timestamp) {
        let key = task.key();
        let is_starting = |run: &Run| task.is_start() && run.state == RunState::Starting;
        if !self.runs.get(&key).is_some_and(is_starting) {
            return self.failed(task, detail, now);
        }
        self.change_run(&key, |run| {
            run.detail = Some(shortened(detail));
            run.fail(detail, now);
        });
        self.forget_orphan(&key);
        self.change_campaign(&key.0, |_| {});
    }

    /// Schedules a retry. `detail` tells the caller why the task failed, or why its outcome is unknown.
    pub(super) fn failed(&mut self, task: &Task, detail: &str, now: Timestamp) {
        let key = task.key();
        let is_current = self.runs.get(&key).is_some_and(|run| match task {
            Task::Start { .. } => self.is_to_start(run).is_some(),
            Task::Count { .. } => run.uncounted,
            Task::Control { control, .. } => run.needs_sync && *control == run.wanted,
        });
        self.change_run(&key, |run| {
            if !is_current {
                run.reconcile(task, now);
                return;
            }
            let retry = &mut run.retry;
            retry.failures = retry.failures.saturating_add(1);
            if run.uncounted {
                // At the limit, the run is listed without its count. Its detail keeps the reason why it was
                // missed.
                run.uncounted = retry.failures < MAX_COUNT_FAILURES;
                retry.next_at = now + backoff::round(RetryCause::Network, retry.failures, None, 0);
                return;
            }
            retry.failing_since.get_or_insert(now);
            let salt = run.at.as_millis() ^ (u64::from(retry.failures) << 48);
            retry.next_at = now + backoff::round(RetryCause::Network, retry.failures, None, salt);
            run.detail = Some(shortened(detail));
        });
    }

    /// Returns the task of a run, if it has one.
    pub(super) fn task(&self, run: &Run) -> Option<Task> {
        if run.uncounted {
            let (campaign, audience) = self.sends_to(run)?;
            return Some(Task::Count {
                campaign: Box::new(campaign.clone()),
                run: Box::new(run.clone()),
                audience,
            });
        }
        if let Some((campaign, audience)) = self.is_to_start(run) {
            return Some(Task::Start {
                campaign: Box::new(campaign.clone()),
                run: Box::new(run.clone()),
                audience,
            });
        }
        run.needs_sync.then(|| Task::Control {
            campaign: run.campaign.clone(),
            at: run.at,
            batch: run.batch.clone(),
            control: run.wanted,
            issued_at: run.wanted_at,
        })
    }

    /// Returns the campaign and the audience of a run that must be started.
    pub(super) fn is_to_start(&self, run: &Run) -> Option<(&Campaign, AudienceRef)> {
        if run.state != RunState::Starting || run.wanted != BatchControl::Resume {
            return None;
        }
        let (campaign, audience) = self.sends_to(run)?;
        let is_active = matches!(campaign.state, State::Scheduled | State::Running);
        is_active.then_some((campaign, audience))
    }

    /// Returns the campaign and the audience of a run.
    pub(super) fn sends_to(&self, run: &Run) -> Option<(&Campaign, AudienceRef)> {
        let campaign = self.campaigns.get(&run.campaign)?;
        let audience = self.audiences.get(&campaign.audience)?;
        Some((campaign, audience.reference()))
    }

    fn has_task(&self, run: &Run) -> bool {
        run.needs_sync || self.is_to_start(run).is_some() || (run.uncounted && self.sends_to(run).is_some())
    }
}

impl Run {
    /// Marks it as failed, and requests the cancel of a batch that an attempt may have opened.
    pub(super) fn fail(&mut self, detail: &str, now: Timestamp) {
        self.state = RunState::Failed;
        self.ended_at = Some(now);
        self.detail.get_or_insert_with(|| detail.to_owned());
        if self.start_until.is_some() {
            self.want(BatchControl::Cancel, now);
        } else {
            self.needs_sync = false;
        }
    }

    /// Repeats the wanted control if the batch may have received another one.
    fn reconcile(&mut self, task: &Task, now: Timestamp) {
        let done = match task {
            Task::Start { .. } => BatchControl::Resume,
            Task::Count { .. } => return,
            Task::Control { control, .. } => *control,
        };
        let has_ended = self.counts.is_some() || self.state == RunState::Missed;
        if done != self.wanted && !self.needs_sync && !has_ended {
            self.want(self.wanted, now);
        }
    }
}

fn shortened(detail: &str) -> String {
    detail.chars().take(MAX_DETAIL).collect()
}

/// The deadline of a start, which makes a few requests to each of 256 shards, five at a time. A batch refuses
/// to be opened later.
pub const START_TIME: Duration = Duration::from_mins(1);

/// The most by which the clocks of two objects may differ.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// How often the count of a missed run's devices may fail.
const MAX_COUNT_FAILURES: u32 = 10;

/// The detail of a run that failed because its time zones have no devices any more.
const NO_DEVICES: &str = "no device is in its time zones any more";

/// The most characters of a detail that are stored.
const MAX_DETAIL: usize = 200;
