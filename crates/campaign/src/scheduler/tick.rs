//! What happens once a minute: due occurrences become runs.

use std::time::Duration;

use super::run::RetryState;
use super::{BatchControl, Campaign, Key, Run, RunState, SchedulerState, State};
use crate::schedule::Occurrence;
use apns::time::Timestamp;
use batch::LONGEST_LIFE;

impl SchedulerState {
    /// Creates the runs that are due.
    ///
    /// Occurrences more than `grace` ago are recorded as missed, and so are runs that could not be started
    /// within `grace`. A tick that is late, early or repeated does no harm.
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

    /// Records the occurrences during a pause as missed.
    pub(super) fn skip(&mut self, id: &str, now: Timestamp) {
        self.skip_because(id, PAUSED, now);
    }

    /// Records occurrences up to now that have no run yet as missed.
    pub(super) fn skip_because(&mut self, id: &str, why: &str, now: Timestamp) {
        let missed = self.miss(id, now, why);
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
        // If the limit was reached, the next tick continues after the last run.
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

    /// Records occurrences up to `until` as missed, at most [`MAX_MISSED`]. Returns how many were recorded.
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

    /// Adds the runs that do not exist yet. Returns how many were added.
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

    /// Gives up starts that are late by more than the grace, and controls of batches that cannot exist any
    /// more.
    pub(super) fn give_up(&mut self, grace: Duration, now: Timestamp) {
        let is_over = |key: &&Key| {
            self.runs
                .get(*key)
                .is_some_and(|run| match self.is_unstarted(run) {
                    true => now.since(run.at) > grace,
                    false => run.needs_sync && now.since(run.at) > LONGEST_LIFE,
                })
        };
        let keys: Vec<Key> = self.busy.iter().filter(is_over).cloned().collect();
        for key in keys {
            let audience = self.campaigns.get(&key.0).map(|campaign| &campaign.audience);
            let has_audience = audience.is_some_and(|name| self.audiences.contains_key(name));
            self.change_run(&key, |run| match run.state {
                RunState::Starting if run.start_until.is_none() && has_audience => {
                    run.state = RunState::Missed;
                    run.uncounted = run.zones.is_some();
                    run.retry = RetryState::from(now);
                    run.needs_sync = false;
                    run.detail = Some(LATE.to_owned());
                }
                RunState::Starting if !has_audience => run.fail(NO_AUDIENCE, now),
                RunState::Starting => run.fail(LATE, now),
                _ => {
                    run.needs_sync = false;
                    run.retry = RetryState::from(now);
                }
            });
            self.forget_orphan(&key);
            self.change_campaign(&key.0, |_| {});
        }
    }

    /// Whether a run waits for its start, and its campaign is not paused.
    fn is_unstarted(&self, run: &Run) -> bool {
        let campaign = self.campaigns.get(&run.campaign);
        let is_paused = campaign.is_some_and(|campaign| campaign.state == State::Paused);
        run.state == RunState::Starting && run.wanted == BatchControl::Resume && !is_paused
    }

    /// Keeps the newest runs of each campaign, and all runs in progress.
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
        let zones: usize = self.runs.values().map(Run::zone_count).sum();
        let mut over = self.runs.len().saturating_sub(MAX_KEPT_ALTOGETHER);
        let mut over_zones = zones.saturating_sub(MAX_ZONES_KEPT);
        if over == 0 && over_zones == 0 {
            return;
        }
        let ended = self.runs.iter().filter(|(key, _)| !self.busy.contains(*key));
        let mut ended: Vec<(Key, usize)> = ended.map(|(key, run)| (key.clone(), run.zone_count())).collect();
        ended.sort_by_key(|((_, at), _)| *at);
        for (key, zones) in ended {
            if over == 0 && over_zones == 0 {
                break;
            }
            self.forget_run(&key);
            over = over.saturating_sub(1);
            over_zones = over_zones.saturating_sub(zones);
        }
    }
}

fn between(campaign: &Campaign, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Occurrence> {
    let schedule = campaign.schedule.as_ref();
    schedule.map_or_else(Vec::new, |schedule| schedule.between(after, until, limit))
}

/// The resolution of a [`Timestamp`].
const INSTANT: Duration = Duration::from_millis(1);

/// The most runs that one tick starts per campaign: more than ever become due in a minute, or within the
/// default grace.
pub(super) const MAX_STARTED: usize = 100;

/// The most runs per campaign that one tick records as missed: enough to see what happened.
pub(super) const MAX_MISSED: usize = 100;

/// The most runs that are kept per campaign.
pub(super) const MAX_KEPT: usize = 1000;

/// The most runs that are kept altogether: some ten megabytes, without their zones.
pub(super) const MAX_KEPT_ALTOGETHER: usize = 20_000;

/// The most zone names of all kept runs, at some 50 bytes each in memory. A run each minute in the devices'
/// own time has hundreds.
pub(super) const MAX_ZONES_KEPT: usize = 400_000;

/// The detail of a run that was missed because its campaign was paused.
pub(super) const PAUSED: &str = "paused";

/// The detail of a run that was missed because it could not be started in time.
pub(super) const LATE: &str = "its time had passed by more than the grace";

/// The detail of a run that was missed because its campaign was cancelled before it started.
pub(super) const CANCELLED: &str = "cancelled";

/// The detail of a run that fails because its audience does not exist.
const NO_AUDIENCE: &str = "its audience is not there";
