//! The commands on audiences and campaigns, and the states that allow them.

use std::time::Duration;

use serde_json::json;

use super::fixture::{
    GRACE, MINUTE, NOW, audience, audience_of, campaign, campaign_of, change_state, database, hourly,
    in_state, once, read, restarted, run_states, scheduler, state,
};
use super::*;

const HOUR: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);

#[test]
fn an_audience_is_made_once_and_stays_as_it_was_made() {
    let mut scheduler = scheduler(vec![]);
    let put = |scheduler: &mut SchedulerState, change: &dyn Fn(&mut Audience)| {
        let mut audience = audience("all");
        audience.created_at = NOW + MINUTE;
        change(&mut audience);
        scheduler.apply(Command::PutAudience(audience), GRACE, NOW)
    };
    assert_eq!(put(&mut scheduler, &|_| {}), Reply::Audience(audience("all")));
    assert_eq!(
        put(&mut scheduler, &|new| new.shards = 9),
        Reply::Conflict(audience("all"))
    );
    assert_eq!(
        put(&mut scheduler, &|new| new.app = "news".to_owned()),
        Reply::Conflict(audience("all"))
    );
    assert_eq!(
        scheduler.apply(Command::Audiences, GRACE, NOW),
        Reply::Audiences(vec![audience("all")])
    );
    let missing = Command::Audience {
        name: "none".to_owned(),
    };
    assert_eq!(scheduler.apply(missing, GRACE, NOW), Reply::Missing);
}

#[test]
fn an_audience_stays_while_a_campaign_needs_it() {
    let mut scheduler = scheduler(vec![campaign("c", hourly())]);
    let drop = || Command::ForgetAudience {
        name: "all".to_owned(),
    };
    let campaigns = vec!["c".to_owned()];
    assert_eq!(scheduler.apply(drop(), GRACE, NOW), Reply::InUse { campaigns });
    change_state(&mut scheduler, "c", CampaignAction::Cancel, NOW);
    assert_eq!(
        scheduler.apply(drop(), GRACE, NOW),
        Reply::Audience(audience("all"))
    );
    assert_eq!(scheduler.apply(drop(), GRACE, NOW), Reply::Missing);
    let other = Command::Create(Box::new(campaign("d", hourly())));
    assert_eq!(scheduler.apply(other, GRACE, NOW), Reply::NoAudience);
}

#[test]
fn an_audience_whose_devices_are_removed_gets_no_campaign() {
    let database = database();
    let mut scheduler = scheduler(vec![campaign("c", hourly())]);
    let leave = || Command::DeleteAudience {
        name: "all".to_owned(),
    };
    let campaigns = vec!["c".to_owned()];
    assert_eq!(scheduler.apply(leave(), GRACE, NOW), Reply::InUse { campaigns });
    assert!(!scheduler.audiences["all"].is_deleting);
    change_state(&mut scheduler, "c", CampaignAction::Cancel, NOW);
    assert_eq!(
        scheduler.apply(leave(), GRACE, NOW),
        Reply::Audience(audience("all"))
    );
    let mut scheduler = restarted(&database, &mut scheduler);
    let leaving = Audience {
        is_deleting: true,
        ..audience("all")
    };
    let new = || Box::new(campaign("d", hourly()));
    assert_eq!(
        scheduler.apply(Command::Create(new()), GRACE, NOW),
        Reply::NoAudience
    );
    let put = Command::PutAudience(audience("all"));
    assert_eq!(scheduler.apply(put, GRACE, NOW), Reply::Conflict(leaving.clone()));
    // Who could not remove the devices tries again.
    assert_eq!(
        scheduler.apply(leave(), GRACE, NOW),
        Reply::Audience(leaving.clone())
    );
    let drop = Command::ForgetAudience {
        name: "all".to_owned(),
    };
    assert_eq!(scheduler.apply(drop, GRACE, NOW), Reply::Audience(leaving));
    let put = Command::PutAudience(audience("all"));
    assert_eq!(scheduler.apply(put, GRACE, NOW), Reply::Created(audience("all")));
    assert!(matches!(
        scheduler.apply(Command::Create(new()), GRACE, NOW),
        Reply::Campaign(_)
    ));
}

#[test]
fn the_campaigns_of_an_app_and_of_all_apps_are_no_longer_together_than_their_limits() {
    let of_app = crate::scheduler::actions::MAX_BYTES / crate::scheduler::actions::APPS;
    let long = |app: &str, id: &str, bytes: usize| {
        let document = "x".repeat(bytes);
        Box::new(Campaign {
            document,
            ..campaign_of(app, id)
        })
    };
    let mut scheduler = scheduler(vec![]);
    let mut apply = |command| scheduler.apply(command, GRACE, NOW);
    let apps: Vec<String> = (0..=crate::scheduler::actions::APPS)
        .map(|number| format!("app-{number}"))
        .collect();
    for app in &apps {
        apply(Command::PutAudience(audience_of(app)));
    }
    // The last byte fits, and one more does not, whether a campaign is made or replaced.
    let too_much = Reply::TooMuch {
        scope: Scope::App,
        limit: of_app,
    };
    assert_eq!(apply(Command::Create(long(&apps[0], "a", of_app + 1))), too_much);
    for (app, id) in apps.iter().zip(["a", "b", "c", "d"]) {
        let created = apply(Command::Create(long(app, id, of_app)));
        assert!(matches!(created, Reply::Campaign(_)), "{created:?}");
    }
    assert_eq!(apply(Command::Create(long(&apps[0], "more", 1))), too_much);
    assert_eq!(apply(Command::Replace(long(&apps[0], "a", of_app + 1))), too_much);
    // What one app may still have, all apps together may not.
    let last = Command::Create(long(&apps[crate::scheduler::actions::APPS], "last", 1));
    let too_much = Reply::TooMuch {
        scope: Scope::Deployment,
        limit: crate::scheduler::actions::MAX_BYTES,
    };
    assert_eq!(apply(last.clone()), too_much);
    for command in [Command::Replace(long(&apps[0], "a", of_app - 1)), last] {
        let taken = apply(command);
        assert!(matches!(taken, Reply::Campaign(_)), "{taken:?}");
    }
}

#[test]
fn an_app_and_a_deployment_have_so_many_audiences_and_no_more() {
    let of_app = crate::scheduler::actions::MAX_AUDIENCES / crate::scheduler::actions::APPS;
    let of = |app: usize, number: usize| {
        Command::PutAudience(Audience {
            app: format!("app-{app}"),
            ..audience(&format!("a-{app}-{number}"))
        })
    };
    let mut scheduler = SchedulerState::default();
    let mut apply = |command| scheduler.apply(command, GRACE, NOW);
    for app in 0..crate::scheduler::actions::APPS {
        for number in 0..of_app {
            assert!(matches!(apply(of(app, number)), Reply::Created(_)));
        }
        // Another key's app is not in the way of the next one.
        let full = Reply::Full {
            scope: Scope::App,
            limit: of_app,
        };
        assert_eq!(apply(of(app, of_app)), full);
    }
    let full = Reply::Full {
        scope: Scope::Deployment,
        limit: crate::scheduler::actions::MAX_AUDIENCES,
    };
    assert_eq!(apply(of(crate::scheduler::actions::APPS, 0)), full);
    // One that is there is no further one.
    assert!(matches!(apply(of(0, 0)), Reply::Audience(_)));
    apply(Command::ForgetAudience {
        name: "a-0-0".to_owned(),
    });
    assert!(matches!(
        apply(of(crate::scheduler::actions::APPS, 0)),
        Reply::Created(_)
    ));
}

#[test]
fn an_app_and_a_deployment_have_so_many_campaigns_and_no_more() {
    let of_app = crate::scheduler::actions::MAX_CAMPAIGNS / crate::scheduler::actions::APPS;
    let of = |app: usize, number: usize| {
        Command::Create(Box::new(campaign_of(
            &format!("app-{app}"),
            &format!("c-{app}-{number}"),
        )))
    };
    let mut scheduler = SchedulerState::default();
    let mut apply = |command| scheduler.apply(command, GRACE, NOW);
    for app in 0..=crate::scheduler::actions::APPS {
        apply(Command::PutAudience(audience_of(&format!("app-{app}"))));
    }
    for app in 0..crate::scheduler::actions::APPS {
        for number in 0..of_app {
            assert!(matches!(apply(of(app, number)), Reply::Campaign(_)));
        }
        let full = Reply::Full {
            scope: Scope::App,
            limit: of_app,
        };
        assert_eq!(apply(of(app, of_app)), full);
    }
    let full = Reply::Full {
        scope: Scope::Deployment,
        limit: crate::scheduler::actions::MAX_CAMPAIGNS,
    };
    assert_eq!(apply(of(crate::scheduler::actions::APPS, 0)), full);
    // One that is there is no further one.
    assert!(matches!(apply(of(0, 0)), Reply::Campaign(_)));
}

#[test]
fn a_campaign_that_is_never_due_is_not_scheduled() {
    let mut scheduler = scheduler(vec![]);
    let past = json!({"at": (NOW - GRACE - MINUTE).to_string()});
    let mut late = campaign("c", past);
    assert_eq!(
        scheduler.apply(Command::Create(Box::new(late.clone())), GRACE, NOW),
        Reply::NeverDue
    );
    late.state = State::Draft;
    assert!(matches!(
        scheduler.apply(Command::Create(Box::new(late)), GRACE, NOW),
        Reply::Campaign(_)
    ));
    assert_eq!(
        change_state(&mut scheduler, "c", CampaignAction::Schedule, NOW),
        Reply::NeverDue
    );
    let mut draft = campaign("d", once());
    (draft.state, draft.schedule) = (State::Draft, None);
    scheduler.apply(Command::Create(Box::new(draft)), GRACE, NOW);
    assert_eq!(
        change_state(&mut scheduler, "d", CampaignAction::Schedule, NOW),
        Reply::NeverDue
    );
    assert_eq!(state(&mut scheduler, "d"), State::Draft);
}

#[test]
fn a_draft_is_due_from_the_moment_when_it_is_scheduled() {
    let mut draft = campaign("c", hourly());
    draft.state = State::Draft;
    let mut scheduler = scheduler(vec![draft]);
    scheduler.tick(GRACE, NOW + 5 * HOUR);
    assert_eq!(run_states(&mut scheduler, "c"), []);
    let later = NOW + 5 * HOUR + MINUTE;
    change_state(&mut scheduler, "c", CampaignAction::Schedule, later);
    scheduler.tick(GRACE, later);
    assert_eq!(run_states(&mut scheduler, "c"), []);
    assert_eq!(read(&mut scheduler, "c").next_at, Some(NOW + 6 * HOUR));
}

#[test]
fn each_act_is_for_some_states_and_repeating_it_is_no_fault() {
    use State::{Cancelled, Done, Draft, Paused, Running, Scheduled};
    let table = [
        (
            CampaignAction::Schedule,
            [Some(Scheduled), Some(Scheduled), Some(Running), None, None, None],
        ),
        (
            CampaignAction::Pause,
            [None, Some(Paused), Some(Paused), Some(Paused), None, None],
        ),
        (
            CampaignAction::Resume,
            [None, Some(Scheduled), Some(Running), Some(Scheduled), None, None],
        ),
        (
            CampaignAction::Cancel,
            [
                Some(Cancelled),
                Some(Cancelled),
                Some(Cancelled),
                Some(Cancelled),
                None,
                Some(Cancelled),
            ],
        ),
    ];
    for (action, expected) in table {
        for (before, expected) in [Draft, Scheduled, Running, Paused, Done, Cancelled]
            .into_iter()
            .zip(expected)
        {
            let mut scheduler = in_state(before);
            let now = NOW + 2 * MINUTE;
            match (change_state(&mut scheduler, "c", action, now), expected) {
                (Reply::Campaign(campaign), Some(after)) => {
                    assert_eq!(campaign.state, after, "{action:?} {before:?}");
                }
                (Reply::State { state }, None) => assert_eq!(state, before, "{action:?}"),
                (reply, _) => panic!("{action:?} {before:?}: {reply:?}"),
            }
        }
    }
    assert_eq!(
        change_state(&mut scheduler(vec![]), "c", CampaignAction::Pause, NOW),
        Reply::Missing
    );
}

#[test]
fn what_is_not_under_way_can_be_replaced_and_what_has_ended_deleted() {
    use State::{Cancelled, Done, Draft, Paused, Running, Scheduled};
    for (before, replaced, is_deletable) in [
        (Draft, Some(Scheduled), true),
        (Scheduled, Some(Scheduled), false),
        (Running, None, false),
        (Paused, Some(Paused), false),
        (Done, None, true),
        (Cancelled, None, true),
    ] {
        let mut new = campaign("c", json!({"at": (NOW + DAY).to_string()}));
        new.created_at = NOW + HOUR / 2;
        let mut scheduler = in_state(before);
        match (
            scheduler.apply(Command::Replace(Box::new(new)), GRACE, NOW + HOUR / 2),
            replaced,
        ) {
            (Reply::Campaign(campaign), Some(after)) => {
                assert_eq!((campaign.state, campaign.created_at), (after, NOW));
                assert_eq!(campaign.next_at, Some(NOW + DAY));
            }
            (Reply::State { state }, None) => assert_eq!(state, before),
            (reply, _) => panic!("{before:?}: {reply:?}"),
        }
        let mut scheduler = in_state(before);
        let deleted = scheduler.apply(Command::Delete { id: "c".to_owned() }, GRACE, NOW);
        assert_eq!(deleted == Reply::Done, is_deletable, "{before:?}");
        assert_eq!(
            scheduler.runs.is_empty() && scheduler.campaigns.is_empty(),
            is_deletable
        );
    }
    let unknown = Command::Replace(Box::new(campaign("d", once())));
    assert_eq!(scheduler(vec![]).apply(unknown, GRACE, NOW), Reply::Missing);
}

#[test]
fn what_is_due_is_made_a_run_before_a_caller_changes_the_campaign() {
    let due = NOW + HOUR;
    let late = due + Duration::from_secs(20);
    let replace = || Command::Replace(Box::new(campaign("c", hourly())));
    let change = |action| Command::ChangeState {
        id: "c".to_owned(),
        action,
    };
    let delete = || Command::Delete { id: "c".to_owned() };
    for (command, expected) in [
        (replace(), RunState::Starting),
        (change(CampaignAction::Pause), RunState::Starting),
        (change(CampaignAction::Resume), RunState::Starting),
        (change(CampaignAction::Schedule), RunState::Starting),
        (change(CampaignAction::Cancel), RunState::Cancelled),
        (delete(), RunState::Starting),
    ] {
        let mut scheduler = scheduler(vec![campaign("c", hourly())]);
        let reply = scheduler.apply(command.clone(), GRACE, late);
        assert_eq!(run_states(&mut scheduler, "c"), [expected], "{command:?}");
        scheduler.tick(GRACE, due + MINUTE);
        assert_eq!(run_states(&mut scheduler, "c"), [expected], "{command:?}");
        if matches!(command, Command::Replace(_)) {
            // The new document would not be what this run sends.
            assert_eq!(
                reply,
                Reply::State {
                    state: State::Running
                }
            );
        }
        // What was due too long ago is recorded.
        let mut scheduler = fixture::scheduler(vec![campaign("c", hourly())]);
        scheduler.apply(command.clone(), GRACE, due + GRACE + MINUTE);
        let states = run_states(&mut scheduler, "c");
        assert_eq!((states.len(), states[0]), (2, RunState::Missed), "{command:?}");
    }
}

#[test]
fn what_a_cancel_finds_due_beyond_what_one_tick_starts_is_recorded() {
    let mut scheduler = scheduler(vec![campaign("c", fixture::minutely())]);
    let now = NOW + 150 * MINUTE;
    scheduler.apply(
        Command::ChangeState {
            id: "c".to_owned(),
            action: CampaignAction::Cancel,
        },
        DAY,
        now,
    );
    let states = run_states(&mut scheduler, "c");
    let count = |wanted| states.iter().filter(|state| **state == wanted).count();
    assert_eq!((count(RunState::Cancelled), count(RunState::Missed)), (100, 50));
}

#[test]
fn a_run_that_may_have_begun_with_the_old_document_keeps_it() {
    let mut scheduler = scheduler(vec![campaign("c", hourly())]);
    scheduler.tick(GRACE, NOW + HOUR);
    let start = scheduler.next_task(NOW + HOUR);
    change_state(&mut scheduler, "c", CampaignAction::Pause, NOW + HOUR);
    let replace = || Command::Replace(Box::new(campaign("c", hourly())));
    assert_eq!(scheduler.apply(replace(), GRACE, NOW + HOUR), Reply::Starting);
    scheduler.done(&start, NOW + HOUR);
    let replaced = scheduler.apply(replace(), GRACE, NOW + HOUR);
    assert!(matches!(replaced, Reply::Campaign(_)), "{replaced:?}");
}

#[test]
fn a_repeated_request_finds_the_campaign_that_it_made() {
    let made = |fingerprint: &str| {
        let mut campaign = campaign("c", once());
        campaign.fingerprint = Some(fingerprint.to_owned());
        Command::Create(Box::new(campaign))
    };
    let mut scheduler = scheduler(vec![]);
    let first = scheduler.apply(made("a"), GRACE, NOW);
    assert!(matches!(first, Reply::Campaign(_)));
    assert_eq!(scheduler.apply(made("a"), GRACE, NOW), first);
    assert_eq!(scheduler.apply(made("b"), GRACE, NOW), Reply::Taken);
    assert_eq!(scheduler.campaigns.len(), 1);
}

#[test]
fn documents_are_held_as_text_and_a_full_scheduler_has_a_way_back() {
    // As dense as JSON gets: a tree of it would have fifty times as many bytes.
    let dense = |id: &str| {
        // No app has more than its share.
        let number = id.trim_start_matches('c').parse().unwrap_or(0);
        let app = format!("app-{}", number % crate::scheduler::actions::APPS);
        let mut campaign = campaign_of(&app, id);
        campaign.document = format!("[{}0]", "0,".repeat(128 * 1024 - 2));
        assert!(campaign.document.len() <= crate::scheduler::actions::MAX_BYTES / 16);
        campaign
    };
    let database = database();
    let ids: Vec<String> = (0..16).map(|number| format!("c{number}")).collect();
    let mut full = scheduler(vec![]);
    for number in 0..crate::scheduler::actions::APPS {
        full.apply(
            Command::PutAudience(audience_of(&format!("app-{number}"))),
            GRACE,
            NOW,
        );
    }
    for id in &ids {
        let created = full.apply(Command::Create(Box::new(dense(id))), GRACE, NOW);
        assert!(matches!(created, Reply::Campaign(_)), "{created:?}");
    }
    let more = Command::Create(Box::new(dense("more")));
    let refused = full.apply(more.clone(), GRACE, NOW);
    assert!(matches!(refused, Reply::TooMuch { .. }), "{refused:?}");
    let mut full = restarted(&database, &mut full);
    let held: usize = full
        .campaigns
        .values()
        .map(|campaign| campaign.document.capacity())
        .sum();
    assert!(held <= crate::scheduler::actions::MAX_BYTES, "{held}");
    // A list is without documents, and so is the row that each change writes.
    let list = full.apply(
        Command::List {
            apps: None,
            state: None,
        },
        GRACE,
        NOW,
    );
    assert!(serde_json::to_string(&list).unwrap().len() < 16 * 1024);
    full.take_changes();
    assert_eq!(
        change_state(&mut full, "c0", CampaignAction::Cancel, NOW),
        read_reply(&mut full, "c0")
    );
    let changes = full.take_changes();
    let is_short = |value: &delivery::sql::Value| match value {
        delivery::sql::Value::Text(text) => text.len() < 1024,
        _ => true,
    };
    assert!(changes.iter().all(|change| change.values.iter().all(is_short)));
    // And it can be emptied.
    let deleted = full.apply(Command::Delete { id: "c0".to_owned() }, GRACE, NOW);
    assert_eq!(deleted, Reply::Done);
    assert!(matches!(full.apply(more, GRACE, NOW), Reply::Campaign(_)));
    let full = restarted(&database, &mut full);
    assert!(!full.campaigns.contains_key("c0") && full.campaigns.contains_key("more"));
}

fn read_reply(scheduler: &mut SchedulerState, id: &str) -> Reply {
    scheduler.apply(Command::Read { id: id.to_owned() }, GRACE, NOW)
}

#[test]
fn what_is_due_now_or_was_a_moment_ago_begins_at_once() {
    let second = Duration::from_secs(1);
    for (schedule, at) in [
        (json!({"at": "now"}), NOW),
        (json!({"at": NOW.to_string()}), NOW),
        (json!({"at": (NOW - second).to_string()}), NOW - second),
        (json!({"at": (NOW - GRACE).to_string()}), NOW - GRACE),
        (
            json!({"at": "2026-11-23T08:59:30", "time_zone": "Europe/Berlin"}),
            NOW - second * 30,
        ),
    ] {
        let mut scheduler = scheduler(vec![campaign("c", schedule.clone())]);
        assert_eq!(state(&mut scheduler, "c"), State::Running, "{schedule}");
        let runs = fixture::runs(&mut scheduler, "c");
        assert_eq!(
            (runs.len(), runs[0].at, runs[0].state),
            (1, at, RunState::Starting)
        );
        scheduler.tick(GRACE, NOW + DAY);
        assert_eq!(fixture::runs(&mut scheduler, "c").len(), 1, "{schedule}");
    }
    // A draft begins when it is scheduled, and one that is replaced when that is done.
    let mut draft = campaign("c", json!({"at": "now"}));
    draft.state = State::Draft;
    let mut scheduler = scheduler(vec![draft, campaign("d", hourly())]);
    scheduler.tick(GRACE, NOW + MINUTE);
    assert_eq!(run_states(&mut scheduler, "c"), []);
    change_state(&mut scheduler, "c", CampaignAction::Schedule, NOW + 2 * MINUTE);
    let now = campaign("d", json!({"at": "now"}));
    scheduler.apply(Command::Replace(Box::new(now)), GRACE, NOW + 2 * MINUTE);
    for id in ["c", "d"] {
        assert_eq!(fixture::runs(&mut scheduler, id)[0].at, NOW + 2 * MINUTE);
    }
}

#[test]
fn zones_where_the_time_has_passed_are_made_up_for_within_the_grace_and_else_missed_with_their_devices() {
    // At 08:00 in UTC it is 17:00 in Tokyo, 09:00 in Berlin and 08:00 in London.
    let schedule = json!({"at": "2026-11-23T09:00", "time_zone": "device"});
    let mut scheduler = scheduler(vec![campaign("c", schedule)]);
    let now = NOW + 30 * MINUTE;
    let mut counted = Vec::new();
    for key in scheduler.due(now) {
        let task = scheduler.attempt(&key, now).unwrap();
        if let Task::Count { run, audience, .. } = &task {
            assert_eq!(audience.shards, 8);
            let is_in_tokyo = run.zones.as_ref().unwrap().contains(&"Asia/Tokyo".to_owned());
            counted.push(run.at);
            scheduler.returned(&task, &Outcome::Counted(u64::from(is_in_tokyo) * 7), now);
        }
    }
    assert!(
        counted.len() > 10 && counted.iter().all(|at| *at < NOW - GRACE),
        "{counted:?}"
    );
    let runs = fixture::runs(&mut scheduler, "c");
    let of = |zone: &str| {
        let mut found = runs
            .iter()
            .filter(|run| run.zones.as_ref().unwrap().iter().any(|own| own == zone));
        found.next().map(|run| (run.state, run.devices))
    };
    assert_eq!(of("Asia/Tokyo"), Some((RunState::Missed, Some(7))));
    // Nobody is there.
    assert_eq!(of("Pacific/Kiritimati"), None);
    assert_eq!(of("Europe/Berlin"), Some((RunState::Starting, None)));
    // London's is to come.
    assert_eq!(of("Europe/London"), None);
    assert_eq!(read(&mut scheduler, "c").next_at, Some(NOW + HOUR));
    assert_eq!(read(&mut scheduler, "c").runs, u64::try_from(runs.len()).unwrap());
}

#[test]
fn a_missed_run_whose_devices_cannot_be_counted_is_listed_without_them() {
    let schedule = json!({"at": "2026-11-23T09:00", "time_zone": "device"});
    let mut scheduler = scheduler(vec![campaign("c", schedule)]);
    let missed = |scheduler: &mut SchedulerState| {
        let runs = fixture::runs(scheduler, "c");
        runs.iter().filter(|run| run.state == RunState::Missed).count()
    };
    assert_eq!(missed(&mut scheduler), 0);
    let mut now = NOW;
    for _ in 0..20 {
        now = now + 2 * MINUTE;
        for key in scheduler.due(now) {
            let task = scheduler.attempt(&key, now).unwrap();
            scheduler.returned(&task, &Outcome::Failed("no answer".to_owned()), now);
        }
    }
    let runs = fixture::runs(&mut scheduler, "c");
    let run = runs.iter().find(|run| run.state == RunState::Missed).unwrap();
    assert_eq!(
        (run.devices, run.detail.as_deref()),
        (None, Some(super::tick::LATE))
    );
}

#[test]
fn a_campaign_that_had_runs_is_not_sent_again_to_zones_that_are_past() {
    let at = |time: &str| json!({"at": format!("2026-11-23T{time}"), "time_zone": "device"});
    let mut scheduler = scheduler(vec![campaign("c", at("09:00"))]);
    let runs = fixture::runs(&mut scheduler, "c");
    for run in &runs {
        fixture::end(&mut scheduler, "c", run.at, NOW);
    }
    assert_eq!(state(&mut scheduler, "c"), State::Scheduled);
    let replaced = scheduler.apply(Command::Replace(Box::new(campaign("c", at("08:30")))), GRACE, NOW);
    assert!(matches!(replaced, Reply::Campaign(_)), "{replaced:?}");
    assert_eq!(fixture::runs(&mut scheduler, "c").len(), runs.len());
}
