//! What happens once a minute: what is due becomes runs.

use std::time::Duration;

use super::run::RetryState;
use super::{BatchControl, Campaign, Key, Run, RunState, SchedulerState, State};
use crate::schedule::Occurrence;
use apns::time::Timestamp;
use batch::LONGEST_LIFE;

impl SchedulerState {
    /// Makes runs of what is due. What was due more than `grace` ago is recorded as missed, and so is a run whose start has
    /// not had its turn by then. A tick that comes late, early or twice is harmless.
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
        self.skip_because(id, PAUSED, now);
    }

    /// Records what was due up to now, and has no run yet, as missed.
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

    /// Gives up what is not to be done any more: a start whose time has passed by more than the grace, and the control of a batch
    /// that cannot exist any more.
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

    /// Whether a run waits for its start, and not for its campaign to be resumed.
    fn is_unstarted(&self, run: &Run) -> bool {
        let campaign = self.campaigns.get(&run.campaign);
        let is_paused = campaign.is_some_and(|campaign| campaign.state == State::Paused);
        run.state == RunState::Starting && run.wanted == BatchControl::Resume && !is_paused
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

/// The smallest step of time there is.
const INSTANT: Duration = Duration::from_millis(1);

/// The most runs that one tick starts of a campaign: more than a minute, or the default grace, ever makes due.
pub(super) const MAX_STARTED: usize = 100;

/// The most runs that one tick records as missed of a campaign: enough to see what has happened.
pub(super) const MAX_MISSED: usize = 100;

/// Runs that are kept of a campaign.
pub(super) const MAX_KEPT: usize = 1000;

/// Runs that are kept of all: some ten megabytes without the names of their zones.
pub(super) const MAX_KEPT_ALTOGETHER: usize = 20_000;

/// Names of zones that the kept runs have together, each some 50 bytes in memory. A run each minute on the clocks of all
/// devices has hundreds.
pub(super) const MAX_ZONES_KEPT: usize = 400_000;

/// Why a run was missed whose campaign was paused.
pub(super) const PAUSED: &str = "paused";

/// Why a run was missed that nobody started in time.
pub(super) const LATE: &str = "its time had passed by more than the grace";

/// Why a run was missed whose campaign was cancelled before anybody had started it.
pub(super) const CANCELLED: &str = "cancelled";

/// Why a run fails that has no audience.
const NO_AUDIENCE: &str = "its audience is not there";
