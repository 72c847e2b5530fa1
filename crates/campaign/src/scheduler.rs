//! The scheduler: the list of audiences and campaigns, and the runs of the campaigns.
//!
//! One Durable Object, woken once a minute. A run is identified by its campaign and its moment, and its
//! batch's id is derived from both. So a repeated trigger, or a start that is repeated after a crash, creates
//! one run and one batch. A run may have a task: start it, or pause, resume or cancel its batch. A task is
//! repeated until it is reported as done. In scope: the states of campaigns and runs, and their tasks. Out of
//! scope: what a campaign sends (its document is stored as it is), and executing tasks (the Worker).
//!
//! All of it is in memory and in rows. A change is written before it is answered.

mod actions;
mod campaign;
mod command;
mod event_loop;
mod rows;
mod run;
mod tasks;
mod tick;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apns::time::Timestamp;
use batch::RunReport;

pub use batch::BatchControl;
pub use campaign::{Audience, Campaign, State};
pub use command::{CampaignAction, CampaignCount, Command, Page, Reply, Scope};
pub use event_loop::{Effect, Event, Scheduler};
pub use run::{Run, RunState, batch_id};
pub use tasks::{Outcome, START_TIME, Task};

/// The state of the scheduler: audiences, campaigns and runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulerState {
    audiences: BTreeMap<String, Audience>,
    campaigns: BTreeMap<String, Campaign>,
    runs: BTreeMap<Key, Run>,
    /// The runs that may have a task.
    busy: BTreeSet<Key>,
    changed: Changes,
}

/// A run's campaign and moment.
type Key = (String, Timestamp);

/// What has changed since it was last stored. Entries that no longer exist are removed from the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changes {
    audiences: BTreeSet<String>,
    campaigns: BTreeSet<String>,
    /// The campaigns whose documents are new or deleted.
    documents: BTreeSet<String>,
    runs: BTreeSet<Key>,
}

impl SchedulerState {
    /// Executes a command. Before a change, it creates the runs that are due, with the document and the state
    /// that their campaign had when they became due.
    pub fn apply(&mut self, command: Command, grace: Duration, now: Timestamp) -> Reply {
        if !command.is_change() {
            return self.execute(command, grace, now);
        }
        self.tick(grace, now);
        let reply = self.execute(command, grace, now);
        // Starts at once what the change has made due.
        self.tick(grace, now);
        match reply {
            Reply::Campaign(campaign) => self.read(&campaign.id),
            reply => reply,
        }
    }

    fn execute(&mut self, command: Command, grace: Duration, now: Timestamp) -> Reply {
        match command {
            Command::PutAudience(audience) => self.put_audience(audience),
            Command::Audience { name } => match self.audiences.get(&name) {
                Some(audience) => Reply::Audience(audience.clone()),
                None => Reply::Missing,
            },
            Command::Audiences => Reply::Audiences(self.audiences.values().cloned().collect()),
            Command::DeleteAudience { name } => self.delete_audience(&name),
            Command::ForgetAudience { name } => self.forget_audience(&name),
            Command::Create(campaign) => self.create(*campaign, grace, now),
            Command::Replace(campaign) => self.replace(*campaign, grace, now),
            Command::Read { id } => self.read(&id),
            Command::List { apps, state } => {
                let matches = |campaign: &&Campaign| {
                    let is_theirs = apps.as_ref().is_none_or(|apps| apps.contains(&campaign.app));
                    is_theirs && state.is_none_or(|state| state == campaign.state)
                };
                let found = self.campaigns.values().filter(matches);
                let mut found: Vec<Campaign> = found.map(Campaign::listed).collect();
                found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
                Reply::Campaigns(found)
            }
            Command::Delete { id } => self.delete(&id),
            Command::ChangeState { id, action } => self.change_state(&id, action, grace, now),
            Command::Runs { id, before, limit } => self.runs(&id, before, limit),
            Command::Stopping { id, limit } => self.stopping(&id, limit),
            Command::RunEnded(report) => self.end_run(*report, now),
            Command::Count => self.count(),
        }
    }

    fn read(&self, id: &str) -> Reply {
        match self.campaigns.get(id) {
            Some(campaign) => Reply::Campaign(Box::new(campaign.clone())),
            None => Reply::Missing,
        }
    }

    fn end_run(&mut self, report: RunReport, now: Timestamp) -> Reply {
        let key = (report.campaign, report.at);
        let state = if report.is_cancelled {
            RunState::Cancelled
        } else {
            RunState::Done
        };
        let is_first = self.runs.get(&key).is_some_and(|run| run.counts.is_none());
        self.end(&key, state, report.pushes, report.counts, now);
        if is_first && (report.detail.is_some() || !report.left_out.is_nothing()) {
            self.change_run(&key, |run| {
                run.detail = report.detail.or_else(|| run.detail.take());
                run.left_out = report.left_out;
            });
        }
        Reply::Done
    }

    fn runs(&self, id: &str, before: Option<Timestamp>, limit: u32) -> Reply {
        if !self.campaigns.contains_key(id) {
            return Reply::Missing;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let end = (id.to_owned(), before.unwrap_or(FOREVER));
        let found = self.runs.range((id.to_owned(), Timestamp::default())..end);
        // A missed run is listed once its devices are counted: if there are none, it will be deleted.
        let found = found.filter(|(_, run)| !run.uncounted || self.sends_to(run).is_none());
        let mut newest = found.rev().map(|(_, run)| run.clone());
        let runs: Vec<Run> = newest.by_ref().take(limit).collect();
        let cursor = runs.last().map(|run| run.at).filter(|_| newest.next().is_some());
        Reply::Runs(Page { runs, cursor })
    }

    /// Returns the runs that are stopping, the oldest first.
    fn stopping(&self, id: &str, limit: u32) -> Reply {
        if !self.campaigns.contains_key(id) {
            return Reply::Missing;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let all = (id.to_owned(), Timestamp::default())..=(id.to_owned(), FOREVER);
        let mut stopping = self
            .runs
            .range(all)
            .map(|(_, run)| run)
            .filter(|run| run.is_stopping());
        let runs = stopping.by_ref().take(limit).map(Run::without_zones);
        let runs: Vec<Run> = runs.collect();
        let cursor = stopping.next().map(|run| run.at);
        Reply::Runs(Page { runs, cursor })
    }

    fn count(&self) -> Reply {
        let mut counted: BTreeMap<(&str, State), u64> = BTreeMap::new();
        for campaign in self.campaigns.values() {
            *counted.entry((&campaign.app, campaign.state)).or_default() += 1;
        }
        let counted = counted
            .into_iter()
            .map(|((app, state), campaigns)| CampaignCount {
                app: app.to_owned(),
                state,
                campaigns,
            });
        Reply::Counted(counted.collect())
    }

    /// Returns the keys of a campaign's runs.
    fn keys(&self, id: &str) -> Vec<Key> {
        let all = (id.to_owned(), Timestamp::default())..=(id.to_owned(), FOREVER);
        self.runs.range(all).map(|(key, _)| key.clone()).collect()
    }

    /// Whether a run of the campaign is in progress.
    fn is_under_way(&self, id: &str) -> bool {
        let all = (id.to_owned(), Timestamp::default())..=(id.to_owned(), FOREVER);
        let mut busy = self.busy.range(all).filter_map(|key| self.runs.get(key));
        busy.any(Run::is_under_way)
    }

    /// Changes a run, if it exists.
    fn change_run(&mut self, key: &Key, change: impl FnOnce(&mut Run)) {
        let Some(run) = self.runs.get_mut(key) else { return };
        change(run);
        if run.is_busy() {
            self.busy.insert(key.clone());
        } else {
            self.busy.remove(key);
        }
        self.changed.runs.insert(key.clone());
    }

    /// Deletes a run.
    fn forget_run(&mut self, key: &Key) {
        self.runs.remove(key);
        self.busy.remove(key);
        self.changed.runs.insert(key.clone());
    }

    /// Changes a campaign, if it exists, and updates its state from its runs.
    fn change_campaign(&mut self, id: &str, change: impl FnOnce(&mut Campaign)) {
        let is_under_way = self.is_under_way(id);
        let Some(campaign) = self.campaigns.get_mut(id) else {
            return;
        };
        let before = campaign.summary();
        change(campaign);
        campaign.state = match campaign.state {
            State::Scheduled | State::Running => match (is_under_way, campaign.next_at) {
                (true, _) => State::Running,
                (false, Some(_)) => State::Scheduled,
                (false, None) => State::Done,
            },
            State::Draft | State::Paused | State::Done | State::Cancelled => campaign.state,
        };
        if campaign.summary() != before {
            self.changed.campaigns.insert(id.to_owned());
        }
    }
}

/// The latest moment.
const FOREVER: Timestamp = Timestamp::from_millis(u64::MAX);

#[cfg(test)]
mod tests;
