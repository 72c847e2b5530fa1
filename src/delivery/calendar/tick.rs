//! What happens once a minute: what is due becomes runs.

use std::time::Duration;

use super::run::Trying;
use super::{Calendar, Campaign, Key, Run, RunState, State, What};
use crate::delivery::schedule::Occurrence;
use crate::time::Timestamp;

impl Calendar {
    /// Makes runs of what is due. What was due more than `grace` ago is recorded as missed; a task that has failed for
    /// longer than `grace` is given up. A tick that comes late, early or twice is harmless.
    pub fn tick(&mut self, grace: Duration, now: Timestamp) {
        let is_due = |campaign: &&Campaign| {
            let may_be = matches!(campaign.state, State::Scheduled | State::Running | State::Paused);
            may_be && campaign.next_at.is_some_and(|next_at| next_at <= now)
        };
        let due = self.campaigns.values().filter(is_due);
        let due: Vec<(String, State)> = due
            .map(|campaign| (campaign.id.clone(), campaign.state))
            .collect();
        for (id, state) in due {
            if state == State::Paused {
                self.skip(&id, now);
            } else {
                self.make_runs(&id, grace, now);
            }
        }
        self.give_up(grace, now);
        self.forget_old();
    }

    /// Records what has come while the campaign was paused.
    pub(super) fn skip(&mut self, id: &str, now: Timestamp) {
        let missed = self.miss(id, now, PAUSED);
        self.change_campaign(id, |campaign| {
            campaign.runs += missed;
            campaign.see(now);
        });
    }

    fn make_runs(&mut self, id: &str, grace: Duration, now: Timestamp) {
        let edge = now - grace;
        let missed = self.miss(id, edge - INSTANT, LATE);
        let Some(campaign) = self.campaigns.get(id) else {
            return;
        };
        let seen = campaign.seen.max(edge - INSTANT);
        let due = between(campaign, seen, now, MAX_STARTED);
        // The next tick goes on where a full one has ended.
        let seen = match due.last() {
            Some(last) if due.len() == MAX_STARTED => last.at,
            _ => now,
        };
        let runs = due
            .into_iter()
            .map(|occurrence| Run::starting(id, occurrence.at, occurrence.zones, now));
        let started = self.add(runs.collect());
        self.change_campaign(id, |campaign| {
            campaign.runs += missed + started;
            campaign.see(seen);
        });
    }

    /// Records what was due up to `until` as missed, or the first of it if it is too much; gives how many were recorded.
    fn miss(&mut self, id: &str, until: Timestamp, why: &str) -> u64 {
        let Some(campaign) = self.campaigns.get(id) else {
            return 0;
        };
        let missed = between(campaign, campaign.seen, until, MAX_MISSED);
        let is_full = missed.len() == MAX_MISSED;
        let runs = missed
            .into_iter()
            .map(|occurrence| Run::missed(id, occurrence.at, occurrence.zones, why.to_owned()));
        let mut runs: Vec<Run> = runs.collect();
        if let Some(last) = runs.last_mut().filter(|_| is_full) {
            last.detail = Some(format!("{why}; what came after it up to {until} is not listed"));
        }
        self.add(runs)
    }

    /// Adds those runs that are not there; gives how many.
    fn add(&mut self, runs: Vec<Run>) -> u64 {
        let mut added = 0;
        for run in runs {
            let key = (run.campaign.clone(), run.at);
            if !self.runs.contains_key(&key) {
                self.runs.insert(key.clone(), run);
                self.change_run(&key, |_| {});
                added += 1;
            }
        }
        added
    }

    /// Gives up what has failed for too long.
    fn give_up(&mut self, grace: Duration, now: Timestamp) {
        let has_failed = |key: &&Key| {
            let since = self.runs.get(*key).and_then(|run| self.failing_since(run));
            since.is_some_and(|since| now.since(since) > grace)
        };
        let keys: Vec<Key> = self.busy.iter().filter(has_failed).cloned().collect();
        for key in keys {
            self.change_run(&key, |run| {
                if run.state == RunState::Starting && run.wanted == What::Resume {
                    run.state = RunState::Failed;
                    run.ended_at = Some(now);
                    run.detail.get_or_insert_with(|| NO_AUDIENCE.to_owned());
                    // It may have been started in part.
                    run.want(What::Cancel, now);
                } else {
                    run.untold = false;
                    run.trying = Trying::from(now);
                }
            });
            self.forget_orphan(&key);
            self.change_campaign(&key.0, |_| {});
        }
    }

    /// Since when a run's task has failed. One that cannot even be given fails from the beginning.
    fn failing_since(&self, run: &Run) -> Option<Timestamp> {
        let audience = |campaign: &Campaign| self.audiences.contains_key(&campaign.audience);
        let is_stuck = run.state == RunState::Starting
            && run.wanted == What::Resume
            && !self.campaigns.get(&run.campaign).is_some_and(audience);
        run.trying
            .failing_since
            .or(is_stuck.then_some(run.trying.next_at))
    }

    /// Keeps the newest runs of each campaign, and what is under way.
    fn forget_old(&mut self) {
        let mut forgotten = Vec::new();
        let (mut campaign, mut kept) = ("", 0);
        for (key, _) in self.runs.iter().rev() {
            if campaign != key.0 {
                (campaign, kept) = (&key.0, 0);
            }
            kept += 1;
            if kept > MAX_KEPT && !self.busy.contains(key) {
                forgotten.push(key.clone());
            }
        }
        for key in forgotten {
            self.forget_run(&key);
        }
        let over = self.runs.len().saturating_sub(MAX_KEPT_ALTOGETHER);
        if over > 0 {
            let ended = self.runs.keys().filter(|key| !self.busy.contains(*key));
            let mut ended: Vec<Key> = ended.cloned().collect();
            ended.sort_by_key(|(_, at)| *at);
            for key in ended.iter().take(over) {
                self.forget_run(key);
            }
        }
    }
}

fn between(campaign: &Campaign, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Occurrence> {
    let schedule = campaign.schedule.as_ref();
    schedule.map_or_else(Vec::new, |schedule| schedule.between(after, until, limit))
}

/// The smallest step of time there is.
const INSTANT: Duration = Duration::from_millis(1);

/// The most runs that one tick starts of a campaign: more than a minute, or the default grace, ever makes due.
pub(super) const MAX_STARTED: usize = 100;

/// The most runs that one tick records as missed of a campaign: enough to see what has happened.
pub(super) const MAX_MISSED: usize = 100;

/// Runs that are kept of a campaign.
pub(super) const MAX_KEPT: usize = 1000;

/// Runs that are kept of all: some ten megabytes, most of them the names of zones.
const MAX_KEPT_ALTOGETHER: usize = 20_000;

/// Why a run was missed whose campaign was paused.
pub(super) const PAUSED: &str = "paused";

/// Why a run was missed that nobody started in time.
pub(super) const LATE: &str = "its time had passed by more than the grace";

/// Why a run fails that has no audience.
const NO_AUDIENCE: &str = "its audience is not there";
