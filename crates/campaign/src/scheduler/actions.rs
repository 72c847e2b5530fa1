//! Commands of callers on audiences and campaigns.

use std::time::Duration;

use super::tick::CANCELLED;
use super::{
    Audience, BatchControl, Campaign, CampaignAction, Key, Reply, RunState, SchedulerState, Scope, State,
};
use apns::time::Timestamp;
use batch::RunCounts;

impl SchedulerState {
    pub(super) fn put_audience(&mut self, audience: Audience) -> Reply {
        if let Some(found) = self.audiences.get(&audience.name) {
            let is_alike = (&found.app, found.shards) == (&audience.app, audience.shards);
            return if is_alike && !found.is_deleting {
                Reply::Audience(found.clone())
            } else {
                Reply::Conflict(found.clone())
            };
        }
        let of_app = self.audiences.values().filter(|other| other.app == audience.app);
        let counts = [of_app.count(), self.audiences.len()];
        if let Some((scope, limit)) = exceeded(counts, 1, MAX_AUDIENCES) {
            return Reply::Full { scope, limit };
        }
        self.changed.audiences.insert(audience.name.clone());
        self.audiences.insert(audience.name.clone(), audience.clone());
        Reply::Created(audience)
    }

    /// Marks the audience as being deleted, so that no campaign can be added for it. Removing its devices
    /// takes a while, and a campaign that is added meanwhile would lose them.
    pub(super) fn delete_audience(&mut self, name: &str) -> Reply {
        let reply = self.uses(name);
        if matches!(reply, Reply::Audience(_))
            && let Some(audience) = self.audiences.get_mut(name).filter(|known| !known.is_deleting)
        {
            audience.is_deleting = true;
            self.changed.audiences.insert(name.to_owned());
        }
        reply
    }

    /// Returns the audience, or the campaigns that prevent its deletion.
    fn uses(&self, name: &str) -> Reply {
        let uses = |campaign: &&Campaign| campaign.audience == name && !campaign.state.has_ended();
        let users = self.campaigns.values().filter(uses);
        let campaigns: Vec<String> = users.map(|campaign| campaign.id.clone()).collect();
        match self.audiences.get(name) {
            _ if !campaigns.is_empty() => Reply::InUse { campaigns },
            Some(audience) => Reply::Audience(audience.clone()),
            None => Reply::Missing,
        }
    }

    pub(super) fn forget_audience(&mut self, name: &str) -> Reply {
        let reply = self.uses(name);
        if matches!(reply, Reply::Audience(_)) {
            self.audiences.remove(name);
            self.changed.audiences.insert(name.to_owned());
        }
        reply
    }

    pub(super) fn create(&mut self, mut campaign: Campaign, grace: Duration, now: Timestamp) -> Reply {
        if let Some(found) = self.campaigns.get(&campaign.id) {
            let is_repeated = found.fingerprint == campaign.fingerprint && found.app == campaign.app;
            return if is_repeated {
                self.read(&campaign.id)
            } else {
                Reply::Taken
            };
        }
        let Some(audience) = self.audience_of(&campaign) else {
            return Reply::NoAudience;
        };
        campaign.app.clone_from(&audience.app);
        let of_app = self.campaigns.values().filter(|other| other.app == campaign.app);
        let counts = [of_app.count(), self.campaigns.len()];
        if let Some((scope, limit)) = exceeded(counts, 1, MAX_CAMPAIGNS) {
            return Reply::Full { scope, limit };
        }
        if let Some((scope, limit)) = self.has_no_room_for(&campaign) {
            return Reply::TooMuch { scope, limit };
        }
        campaign.runs = 0;
        campaign.next_at = None;
        campaign.seen = now;
        if campaign.state != State::Draft {
            campaign.state = State::Scheduled;
            if !campaign.begin(grace, now) {
                return Reply::NeverDue;
            }
        }
        let id = campaign.id.clone();
        self.changed.documents.insert(id.clone());
        self.changed.campaigns.insert(id.clone());
        self.campaigns.insert(id.clone(), campaign);
        self.read(&id)
    }

    pub(super) fn replace(&mut self, mut campaign: Campaign, grace: Duration, now: Timestamp) -> Reply {
        let Some(old) = self.campaigns.get(&campaign.id) else {
            return Reply::Missing;
        };
        campaign.state = match (old.state, campaign.state) {
            (State::Running | State::Done | State::Cancelled, _) => return Reply::State { state: old.state },
            // A paused campaign stays paused: its runs still have to be resumed or cancelled.
            (State::Paused, _) => State::Paused,
            (State::Draft | State::Scheduled, State::Draft) => State::Draft,
            (State::Draft | State::Scheduled, _) => State::Scheduled,
        };
        let Some(audience) = self.audience_of(&campaign) else {
            return Reply::NoAudience;
        };
        // The app of an audience never changes: the batches of its runs belong to that app.
        campaign.app.clone_from(&audience.app);
        if let Some((scope, limit)) = self.has_no_room_for(&campaign) {
            return Reply::TooMuch { scope, limit };
        }
        campaign.created_at = old.created_at;
        campaign.runs = old.runs;
        campaign.next_at = None;
        campaign.seen = old.seen;
        // An attempted start may have used the old document.
        let is_starting = |key: &Key| {
            let run = self.runs.get(key);
            run.is_some_and(|run| run.state == RunState::Starting && run.start_until.is_some())
        };
        if self.keys(&campaign.id).iter().any(is_starting) {
            return Reply::Starting;
        }
        let is_wanted = campaign.state != State::Draft;
        // A paused campaign may be replaced if it has runs in progress, even if it is never due again.
        if is_wanted && !campaign.begin(grace, now) && !self.is_under_way(&campaign.id) {
            return Reply::NeverDue;
        }
        let id = campaign.id.clone();
        self.changed.documents.insert(id.clone());
        self.changed.campaigns.insert(id.clone());
        self.campaigns.insert(id.clone(), campaign);
        self.change_campaign(&id, |_| {});
        self.read(&id)
    }

    /// Returns the audience of a campaign that is being written.
    fn audience_of(&self, campaign: &Campaign) -> Option<&Audience> {
        let audience = self.audiences.get(&campaign.audience);
        audience.filter(|audience| !audience.is_deleting)
    }

    /// Returns the limit in bytes that a campaign would exceed. The campaign that it replaces does not count.
    fn has_no_room_for(&self, campaign: &Campaign) -> Option<(Scope, usize)> {
        let mut bytes = [0, 0];
        for other in self.campaigns.values().filter(|other| other.id != campaign.id) {
            let [of_app, of_all] = &mut bytes;
            *of_app += if other.app == campaign.app {
                other.document.len()
            } else {
                0
            };
            *of_all += other.document.len();
        }
        exceeded(bytes, campaign.document.len(), MAX_BYTES)
    }

    pub(super) fn delete(&mut self, id: &str) -> Reply {
        let Some(campaign) = self.campaigns.get(id) else {
            return Reply::Missing;
        };
        if !campaign.state.has_ended() && campaign.state != State::Draft {
            return Reply::State {
                state: campaign.state,
            };
        }
        self.campaigns.remove(id);
        self.changed.campaigns.insert(id.to_owned());
        self.changed.documents.insert(id.to_owned());
        for key in self.keys(id) {
            self.change_run(&key, |run| run.uncounted = false);
            // A batch that still needs its cancel receives it before its run is deleted.
            if !self.busy.contains(&key) {
                self.forget_run(&key);
            }
        }
        Reply::Done
    }

    pub(super) fn change_state(
        &mut self,
        id: &str,
        action: CampaignAction,
        grace: Duration,
        now: Timestamp,
    ) -> Reply {
        let Some(campaign) = self.campaigns.get(id) else {
            return Reply::Missing;
        };
        let state = campaign.state;
        match (action, state) {
            (CampaignAction::Schedule, State::Draft) => {
                let mut begun = campaign.summary();
                if !begun.begin(grace, now) {
                    return Reply::NeverDue;
                }
                self.change_campaign(id, |draft| {
                    draft.state = State::Scheduled;
                    draft.begin(grace, now);
                });
            }
            (CampaignAction::Pause, State::Scheduled | State::Running) => {
                self.control_runs(id, BatchControl::Pause, now);
                self.change_campaign(id, |campaign| campaign.state = State::Paused);
            }
            (CampaignAction::Resume, State::Paused) => {
                self.skip(id, now);
                self.control_runs(id, BatchControl::Resume, now);
                self.change_campaign(id, |campaign| campaign.state = State::Running);
            }
            (CampaignAction::Cancel, State::Draft | State::Scheduled | State::Running | State::Paused) => {
                if state != State::Draft {
                    self.skip_because(id, CANCELLED, now);
                }
                self.control_runs(id, BatchControl::Cancel, now);
                self.change_campaign(id, |campaign| {
                    campaign.state = State::Cancelled;
                    campaign.next_at = None;
                });
            }
            (CampaignAction::Schedule | CampaignAction::Resume, State::Scheduled | State::Running)
            | (CampaignAction::Pause, State::Paused)
            | (CampaignAction::Cancel, State::Cancelled) => {}
            (CampaignAction::Schedule, State::Paused | State::Done | State::Cancelled)
            | (
                CampaignAction::Pause | CampaignAction::Resume,
                State::Draft | State::Done | State::Cancelled,
            )
            | (CampaignAction::Cancel, State::Done) => return Reply::State { state },
        }
        self.read(id)
    }

    /// Records that the batch of a run has ended.
    pub(super) fn end(&mut self, key: &Key, state: RunState, pushes: u64, counts: RunCounts, now: Timestamp) {
        let Some(run) = self.runs.get(key) else { return };
        let is_an_end = matches!(state, RunState::Done | RunState::Cancelled);
        // A cancelled run records what it had sent until then.
        let is_open = run.is_under_way() || run.state == RunState::Cancelled;
        if !is_an_end || !is_open || run.counts.is_some() {
            return;
        }
        self.change_run(key, |run| {
            if run.is_under_way() {
                run.state = state;
            }
            run.needs_sync = false;
            run.ended_at = Some(now);
            run.pushes = Some(pushes);
            run.counts = Some(counts);
        });
        self.forget_orphan(key);
        self.change_campaign(&key.0, |_| {});
    }

    /// Requests a control of the batches of all runs in progress.
    fn control_runs(&mut self, id: &str, control: BatchControl, now: Timestamp) {
        for key in self.keys(id) {
            if self.runs.get(&key).is_some_and(super::Run::is_under_way) {
                self.change_run(&key, |run| {
                    run.want(control, now);
                    // Preliminary, until the batch reports when it ended.
                    run.ended_at = (control == BatchControl::Cancel).then_some(now);
                    run.state = match (control, run.state) {
                        (BatchControl::Cancel, _) => RunState::Cancelled,
                        // A run that was not started stays so, and is started when its campaign is resumed.
                        (_, RunState::Starting) => RunState::Starting,
                        (BatchControl::Pause, _) => RunState::Paused,
                        (BatchControl::Resume, _) => RunState::Running,
                    };
                });
            }
        }
    }

    /// Deletes a run if its campaign was deleted and it has no task left.
    pub(super) fn forget_orphan(&mut self, key: &Key) {
        if !self.campaigns.contains_key(&key.0) && !self.busy.contains(key) {
            self.forget_run(key);
        }
    }
}

/// Returns the limit that `more` would exceed, given what the app and the whole deployment have. The
/// deployment may have `most`, and an app a share of it.
fn exceeded([of_app, of_all]: [usize; 2], more: usize, most: usize) -> Option<(Scope, usize)> {
    let limits = [
        (Scope::App, of_app, most / APPS),
        (Scope::Deployment, of_all, most),
    ];
    let mut exceeded = limits.into_iter().filter(|(_, has, limit)| has + more > *limit);
    exceeded.next().map(|(scope, _, limit)| (scope, limit))
}

/// The share of one app is this part of the limit, so that at least so many apps are needed to reach it.
pub(super) const APPS: usize = 4;

/// The most audiences. All are held in memory, and each has up to 256 objects.
pub(super) const MAX_AUDIENCES: usize = 1000;

/// The most campaigns. All are held in memory with their documents.
pub(super) const MAX_CAMPAIGNS: usize = 1000;

/// The most bytes of all campaigns' documents, which have some kilobytes each. They are held as text in the
/// object's 128 MB.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
