//! What is to be done for runs, until it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::RetryState;
use super::{BatchControl, Campaign, Key, Run, RunState, SchedulerState, State};
use apns::time::Timestamp;
use batch::AudienceRef;
use delivery::backoff;
use delivery::verdict::RetryCause;

/// What the scheduler wants done. Doing it twice must be as doing it once.
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
        /// Which of them.
        control: BatchControl,
    },
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// The run would have had so many devices.
    Counted(u64),
    /// There is no such batch.
    NoBatch,
    /// No device is in any of the run's time zones.
    NoDevices,
    /// It can never be done, for this reason.
    Rejected(String),
    /// It could not be done, or nobody knows whether it was, for this reason.
    Failed(String),
}

impl Task {
    /// The batch that it is about.
    #[must_use]
    pub fn batch(&self) -> &str {
        match self {
            Self::Start { run, .. } | Self::Count { run, .. } => &run.batch,
            Self::Control { batch, .. } => batch,
        }
    }

    /// The campaign that it is for.
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

    /// Whether it controls a batch, which is one request. Every other task asks all shards.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        matches!(self, Self::Control { .. })
    }

    /// The same without the campaign's document: enough to report what came of it.
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
    /// The runs that have a task that is due: first those whose batch needs a control, then those that are to be
    /// started, then those to be counted, each in the order in which they became due.
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

    /// The task of a run, with a note that it is attempted. It is given again until [`SchedulerState::returned`] says that it is
    /// done, and later after each failure.
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

    /// When a task becomes due that is not due now, if one does. Tasks of the campaigns that `is_held` names do not count.
    pub(super) fn next_due(&self, is_held: impl Fn(&str) -> bool, now: Timestamp) -> Option<Timestamp> {
        let runs = self.busy.iter().filter_map(|key| self.runs.get(key));
        let waiting = runs.filter(|run| !is_held(&run.campaign) && self.has_task(run));
        let later = waiting.map(|run| run.retry.next_at).filter(|at| *at > now);
        later.min()
    }

    /// A task has come to an end.
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

    /// A task has been done.
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

    /// The devices of a missed run were counted. If there are none, it is as if the run had never been due.
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

    /// There is no such batch. A start that was attempted may still open it: the control is repeated after that.
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

    /// A run that was to be started is for nobody: it is as if it had never been due.
    pub(super) fn forget(&mut self, task: &Task, now: Timestamp) {
        let key = task.key();
        let Some(run) = self.runs.get(&key).filter(|run| run.state == RunState::Starting) else {
            return;
        };
        if run.starts > 1 {
            // An earlier attempt may have opened the batch: the devices have left since.
            self.change_run(&key, |run| run.fail(NO_DEVICES, now));
            self.change_campaign(&key.0, |_| {});
        } else {
            self.forget_run(&key);
            self.change_campaign(&key.0, |campaign| campaign.runs = campaign.runs.saturating_sub(1));
        }
    }

    /// A run can never be started.
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

    /// A task could not be done, or nobody knows whether it was; `detail` says why, for the caller.
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
                // The run is listed without its count in the end. Its detail says why it was missed.
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

    /// The task that a run has.
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
        })
    }

    /// The campaign of a run that is to be started, and its audience.
    pub(super) fn is_to_start(&self, run: &Run) -> Option<(&Campaign, AudienceRef)> {
        if run.state != RunState::Starting || run.wanted != BatchControl::Resume {
            return None;
        }
        let (campaign, audience) = self.sends_to(run)?;
        let is_active = matches!(campaign.state, State::Scheduled | State::Running);
        is_active.then_some((campaign, audience))
    }

    /// The campaign of a run, and its audience.
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
    /// It cannot be started any more; what an attempt may have opened is to be cancelled.
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

/// How long a start may take: some requests to each of 256 shards, five at a time. A batch that is to be opened later
/// refuses.
pub const START_TIME: Duration = Duration::from_mins(1);

/// By how much the clocks of two objects may differ.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// How often counting the devices of a missed run may fail.
const MAX_COUNT_FAILURES: u32 = 10;

/// Why a run fails whose devices have left its time zones while it was started.
const NO_DEVICES: &str = "no device is in its time zones any more";

/// Characters of a detail that are kept.
const MAX_DETAIL: usize = 200;
