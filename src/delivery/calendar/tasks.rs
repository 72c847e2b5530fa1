//! What is to be done for runs, until it is.

use super::run::Trying;
use super::{Calendar, Campaign, Key, Run, RunState, State, What};
use crate::delivery::backoff;
use crate::delivery::verdict::Again;
use crate::time::Timestamp;

/// What the calendar wants done. Doing it twice must be as doing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Open the run's batch and start its walks.
    Start {
        /// The campaign.
        campaign: Box<Campaign>,
        /// The run.
        run: Box<Run>,
        /// The shards of its audience.
        shards: u32,
    },
    /// Tell a batch. One that is not there has nothing to be told: that is done as well.
    Tell {
        /// Its id.
        batch: String,
        /// What it is told.
        what: What,
    },
}

impl Task {
    /// The batch that it is about.
    #[must_use]
    pub fn batch(&self) -> &str {
        match self {
            Self::Start { run, .. } => &run.batch,
            Self::Tell { batch, .. } => batch,
        }
    }
}

impl Calendar {
    /// What is to be done now, at most [`MAX_TASKS`]. It is given again until [`Calendar::done`], and later after each
    /// [`Calendar::failed`].
    #[must_use]
    pub fn tasks(&self, now: Timestamp) -> Vec<Task> {
        let runs = self.busy.iter().filter_map(|key| self.runs.get(key));
        let due = runs.filter(|run| run.trying.next_at <= now);
        due.filter_map(|run| self.task(run)).take(MAX_TASKS).collect()
    }

    /// When there is next something to do, if there is.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        let runs = self.busy.iter().filter_map(|key| self.runs.get(key));
        let waiting = runs.filter(|run| run.untold || self.is_to_start(run).is_some());
        waiting.map(|run| run.trying.next_at).min()
    }

    /// A task has been done.
    pub fn done(&mut self, task: &Task, now: Timestamp) {
        let Some(key) = self.key(task) else { return };
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
                if run.wanted == What::Resume {
                    run.trying = Trying::from(now);
                } else {
                    run.want(run.wanted, now);
                }
            }
            Task::Tell { what, .. } if *what == run.wanted => {
                run.untold = false;
                run.trying = Trying::from(now);
            }
            Task::Start { .. } | Task::Tell { .. } => run.unsettle(task, now),
        });
        self.forget_orphan(&key);
        self.change_campaign(&key.0, |_| {});
    }

    /// A run that was to be started is for nobody: it is as if it had never been due.
    pub fn forget(&mut self, task: &Task) {
        let Task::Start { run, .. } = task else { return };
        let key = (run.campaign.clone(), run.at);
        if self
            .runs
            .get(&key)
            .is_some_and(|run| run.state == RunState::Starting)
        {
            self.forget_run(&key);
            self.change_campaign(&key.0, |campaign| campaign.runs = campaign.runs.saturating_sub(1));
        }
    }

    /// A task could not be done, or nobody knows whether it was; `detail` says why, for the caller.
    pub fn failed(&mut self, task: &Task, detail: &str, now: Timestamp) {
        let Some(key) = self.key(task) else { return };
        let is_current = self.runs.get(&key).is_some_and(|run| match task {
            Task::Start { .. } => self.is_to_start(run).is_some(),
            Task::Tell { what, .. } => run.untold && *what == run.wanted,
        });
        self.change_run(&key, |run| {
            if !is_current {
                run.unsettle(task, now);
                return;
            }
            let trying = &mut run.trying;
            trying.failures = trying.failures.saturating_add(1);
            trying.failing_since.get_or_insert(now);
            let salt = run.at.as_millis() ^ (u64::from(trying.failures) << 48);
            trying.next_at = now + backoff::round(Again::Network, trying.failures, None, salt);
            run.detail = Some(detail.chars().take(MAX_DETAIL).collect());
        });
    }

    /// The task that a run has.
    fn task(&self, run: &Run) -> Option<Task> {
        if let Some((campaign, shards)) = self.is_to_start(run) {
            return Some(Task::Start {
                campaign: Box::new(campaign.clone()),
                run: Box::new(run.clone()),
                shards,
            });
        }
        run.untold.then(|| Task::Tell {
            batch: run.batch.clone(),
            what: run.wanted,
        })
    }

    /// The campaign of a run that is to be started, and the shards of its audience.
    fn is_to_start(&self, run: &Run) -> Option<(&Campaign, u32)> {
        if run.state != RunState::Starting || run.wanted != What::Resume {
            return None;
        }
        let campaign = self.campaigns.get(&run.campaign)?;
        let audience = self.audiences.get(&campaign.audience)?;
        let is_active = matches!(campaign.state, State::Scheduled | State::Running);
        is_active.then_some((campaign, audience.shards))
    }

    /// The run that a task is for.
    fn key(&self, task: &Task) -> Option<Key> {
        match task {
            Task::Start { run, .. } => {
                let key = (run.campaign.clone(), run.at);
                self.runs.contains_key(&key).then_some(key)
            }
            Task::Tell { batch, .. } => {
                let is_its = |key: &&Key| self.runs.get(*key).is_some_and(|run| run.batch == *batch);
                self.busy.iter().find(is_its).cloned()
            }
        }
    }
}

impl Run {
    /// Something was done to its batch, or may have been, that is not wanted any more: what is wanted is told once more.
    fn unsettle(&mut self, task: &Task, now: Timestamp) {
        let done = match task {
            Task::Start { .. } => What::Resume,
            Task::Tell { what, .. } => *what,
        };
        let has_ended = self.counts.is_some() || self.state == RunState::Missed;
        if done != self.wanted && !self.untold && !has_ended {
            self.want(self.wanted, now);
        }
    }
}

/// Tasks that are given at once: each is some requests.
pub(super) const MAX_TASKS: usize = 100;

/// Characters of a detail that are kept.
const MAX_DETAIL: usize = 200;
