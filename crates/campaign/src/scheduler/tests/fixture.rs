//! A scheduler with a database, for tests.

use serde_json::{Value, json};

use super::*;
use crate::schedule::Schedule;
use batch::{LeftOut, RunCounts, RunReport};
use delivery::sql::fixture::Database;

/// A Monday, 08:00 in UTC.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

pub(super) const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) const GRACE: std::time::Duration = std::time::Duration::from_hours(1);

pub(super) fn database() -> Database {
    let database = Database::new();
    for statement in SchedulerState::schema().iter().chain(&SchedulerState::schema()) {
        database.execute(statement);
    }
    database
}

/// Restarts the scheduler from its database.
pub(super) fn restarted(database: &Database, scheduler: &mut SchedulerState) -> SchedulerState {
    for statement in scheduler.take_changes() {
        database.execute(&statement);
    }
    let loaded = SchedulerState::load(&database.execute(&SchedulerState::select()));
    assert_eq!(loaded.fault, None);
    loaded.machine
}

pub(super) fn audience(name: &str) -> Audience {
    Audience {
        name: name.to_owned(),
        app: "shop".to_owned(),
        shards: 8,
        created_at: NOW,
        is_deleting: false,
    }
}

/// A scheduled campaign of the audience `all`.
pub(super) fn campaign(id: &str, schedule: Value) -> Campaign {
    Campaign {
        id: id.to_owned(),
        app: "shop".to_owned(),
        audience: "all".to_owned(),
        created_at: NOW,
        state: State::Scheduled,
        schedule: Some(Schedule::try_from(schedule).unwrap()),
        window: None,
        name: "News".to_owned(),
        document: r#"{"name":"News"}"#.to_owned(),
        warnings: Default::default(),
        fingerprint: None,
        next_at: None,
        runs: 0,
        seen: Timestamp::default(),
    }
}

/// The audience `all` of another app.
pub(super) fn audience_of(app: &str) -> Audience {
    Audience {
        app: app.to_owned(),
        ..audience(&format!("all-{app}"))
    }
}

/// A campaign for [`audience_of`] an app.
pub(super) fn campaign_of(app: &str, id: &str) -> Campaign {
    Campaign {
        app: app.to_owned(),
        audience: audience_of(app).name,
        ..campaign(id, once())
    }
}

/// A scheduler with the audience `all` and these campaigns.
pub(super) fn scheduler(campaigns: Vec<Campaign>) -> SchedulerState {
    let mut scheduler = SchedulerState::default();
    let made = scheduler.apply(Command::PutAudience(audience("all")), GRACE, NOW);
    assert_eq!(made, Reply::Created(audience("all")));
    for campaign in campaigns {
        let made = scheduler.apply(Command::Create(Box::new(campaign)), GRACE, NOW);
        assert!(matches!(made, Reply::Campaign(_)), "{made:?}");
    }
    scheduler
}

pub(super) fn minutely() -> Value {
    json!({"cron": "* * * * *", "time_zone": "UTC"})
}

pub(super) fn hourly() -> Value {
    json!({"cron": "0 * * * *", "time_zone": "UTC"})
}

/// Once, a minute after [`NOW`].
pub(super) fn once() -> Value {
    json!({"at": (NOW + MINUTE).to_string()})
}

pub(super) fn change_state(
    scheduler: &mut SchedulerState,
    id: &str,
    action: CampaignAction,
    now: Timestamp,
) -> Reply {
    let id = id.to_owned();
    scheduler.apply(Command::ChangeState { id, action }, GRACE, now)
}

pub(super) fn state(scheduler: &mut SchedulerState, id: &str) -> State {
    read(scheduler, id).state
}

/// The runs of a campaign, the oldest first.
pub(super) fn runs(scheduler: &mut SchedulerState, id: &str) -> Vec<Run> {
    let command = Command::Runs {
        id: id.to_owned(),
        before: None,
        limit: u32::MAX,
    };
    match scheduler.apply(command, GRACE, NOW) {
        Reply::Runs(mut page) => {
            page.runs.reverse();
            page.runs
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn run_states(scheduler: &mut SchedulerState, id: &str) -> Vec<RunState> {
    runs(scheduler, id).iter().map(|run| run.state).collect()
}

/// The batch of the run ends.
pub(super) fn end(scheduler: &mut SchedulerState, id: &str, at: Timestamp, now: Timestamp) {
    let ended = Command::RunEnded(Box::new(RunReport {
        campaign: id.to_owned(),
        at,
        is_cancelled: false,
        pushes: 7,
        counts: RunCounts {
            accepted: 7,
            ..RunCounts::default()
        },
        detail: None,
        left_out: LeftOut::default(),
    }));
    assert_eq!(scheduler.apply(ended, GRACE, now), Reply::Done);
}

/// Returns the due tasks as words, each with its run's moment or batch.
pub(super) fn words(scheduler: &SchedulerState, now: Timestamp) -> Vec<String> {
    let word = |task: Task| match task {
        Task::Start { run, .. } => format!("start {}", run.at.since(NOW).as_secs()),
        Task::Count { run, .. } => format!("count {}", run.at.since(NOW).as_secs()),
        Task::Control { control, .. } => format!("{control:?}").to_lowercase(),
    };
    scheduler.tasks(now).into_iter().map(word).collect()
}

/// Does all due tasks.
pub(super) fn work(scheduler: &mut SchedulerState, now: Timestamp) {
    for key in scheduler.due(now) {
        if let Some(task) = scheduler.attempt(&key, now) {
            scheduler.done(&task, now);
        }
    }
}

impl SchedulerState {
    /// Returns the due tasks without attempting them.
    pub(super) fn tasks(&self, now: Timestamp) -> Vec<Task> {
        let keys = self.due(now).into_iter();
        keys.filter_map(|key| self.task(&self.runs[&key])).collect()
    }

    /// Attempts the next task.
    pub(super) fn next_task(&mut self, now: Timestamp) -> Task {
        let key = self.due(now).remove(0);
        self.attempt(&key, now).unwrap()
    }

    /// Returns when the next task is due.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        self.next_due(|_| false, Timestamp::default())
    }
}

/// Creates a scheduler whose campaign `c` is in this state.
pub(super) fn in_state(wanted: State) -> SchedulerState {
    let mut new = campaign("c", hourly());
    if wanted == State::Draft {
        new.state = State::Draft;
    }
    if wanted == State::Done || wanted == State::Running {
        new = campaign("c", once());
    }
    let mut scheduler = scheduler(vec![new]);
    match wanted {
        State::Draft | State::Scheduled => {}
        State::Paused => _ = change_state(&mut scheduler, "c", CampaignAction::Pause, NOW),
        State::Cancelled => _ = change_state(&mut scheduler, "c", CampaignAction::Cancel, NOW),
        State::Running | State::Done => {
            scheduler.tick(GRACE, NOW + MINUTE);
            work(&mut scheduler, NOW + MINUTE);
            if wanted == State::Done {
                end(&mut scheduler, "c", NOW + MINUTE, NOW + MINUTE);
            }
        }
    }
    assert_eq!(state(&mut scheduler, "c"), wanted);
    scheduler
}

/// A campaign.
pub(super) fn read(scheduler: &mut SchedulerState, id: &str) -> Campaign {
    match scheduler.apply(Command::Read { id: id.to_owned() }, GRACE, NOW) {
        Reply::Campaign(campaign) => *campaign,
        other => panic!("{other:?}"),
    }
}
