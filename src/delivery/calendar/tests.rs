use std::time::Duration;

use serde_json::json;

use super::fixture::{
    GRACE, MINUTE, NOW, act, audience, calendar, campaign, database, end, hourly, minutely, once, restarted,
    run_states, runs, state, words, work,
};
use super::tick::{LATE, MAX_KEPT, MAX_MISSED, MAX_STARTED, PAUSED};
use super::*;
use crate::delivery::sql::Statement;

const HOUR: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);

fn read(calendar: &mut Calendar, id: &str) -> Campaign {
    match calendar.apply(Command::Read { id: id.to_owned() }, NOW) {
        Reply::Campaign(campaign) => *campaign,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_audience_is_made_once_and_stays_as_it_was_made() {
    let mut calendar = calendar(vec![]);
    let put = |calendar: &mut Calendar, change: &dyn Fn(&mut Audience)| {
        let mut audience = audience("all");
        audience.created_at = NOW + MINUTE;
        change(&mut audience);
        calendar.apply(Command::PutAudience(audience), NOW)
    };
    assert_eq!(put(&mut calendar, &|_| {}), Reply::Audience(audience("all")));
    assert_eq!(
        put(&mut calendar, &|new| new.shards = 9),
        Reply::Conflict(audience("all"))
    );
    assert_eq!(
        put(&mut calendar, &|new| new.app = "news".to_owned()),
        Reply::Conflict(audience("all"))
    );
    assert_eq!(
        calendar.apply(Command::Audiences, NOW),
        Reply::Audiences(vec![audience("all")])
    );
    let missing = Command::Audience {
        name: "none".to_owned(),
    };
    assert_eq!(calendar.apply(missing, NOW), Reply::Missing);
}

#[test]
fn an_audience_stays_while_a_campaign_needs_it() {
    let mut calendar = calendar(vec![campaign("c", hourly())]);
    let drop = || Command::DropAudience {
        name: "all".to_owned(),
    };
    let campaigns = vec!["c".to_owned()];
    assert_eq!(calendar.apply(drop(), NOW), Reply::InUse { campaigns });
    act(&mut calendar, "c", Act::Cancel, NOW);
    assert_eq!(calendar.apply(drop(), NOW), Reply::Audience(audience("all")));
    assert_eq!(calendar.apply(drop(), NOW), Reply::Missing);
    let other = Command::Create(Box::new(campaign("d", hourly())));
    assert_eq!(calendar.apply(other, NOW), Reply::NoAudience);
}

#[test]
fn there_are_so_many_audiences_and_campaigns_and_no_more() {
    let mut calendar = calendar(vec![]);
    for number in 1..acts::MAX_AUDIENCES {
        calendar.apply(Command::PutAudience(audience(&format!("a{number}"))), NOW);
    }
    let more = Command::PutAudience(audience("more"));
    assert_eq!(
        calendar.apply(more, NOW),
        Reply::Full {
            limit: acts::MAX_AUDIENCES
        }
    );
    for number in 0..acts::MAX_CAMPAIGNS {
        calendar.apply(
            Command::Create(Box::new(campaign(&format!("c{number}"), once()))),
            NOW,
        );
    }
    let more = Command::Create(Box::new(campaign("more", once())));
    assert_eq!(
        calendar.apply(more, NOW),
        Reply::Full {
            limit: acts::MAX_CAMPAIGNS
        }
    );
    let again = Command::Create(Box::new(campaign("c0", once())));
    assert!(matches!(calendar.apply(again, NOW), Reply::Campaign(_)));
}

#[test]
fn a_campaign_that_is_never_due_is_not_scheduled() {
    let mut calendar = calendar(vec![]);
    let past = json!({"at": NOW.to_string()});
    let mut late = campaign("c", past);
    assert_eq!(
        calendar.apply(Command::Create(Box::new(late.clone())), NOW),
        Reply::NeverDue
    );
    late.state = State::Draft;
    assert!(matches!(
        calendar.apply(Command::Create(Box::new(late)), NOW),
        Reply::Campaign(_)
    ));
    assert_eq!(act(&mut calendar, "c", Act::Schedule, NOW), Reply::NeverDue);
    let mut draft = campaign("d", once());
    (draft.state, draft.schedule) = (State::Draft, None);
    calendar.apply(Command::Create(Box::new(draft)), NOW);
    assert_eq!(act(&mut calendar, "d", Act::Schedule, NOW), Reply::NeverDue);
    assert_eq!(state(&mut calendar, "d"), State::Draft);
}

#[test]
fn a_draft_is_due_from_the_moment_when_it_is_scheduled() {
    let mut draft = campaign("c", hourly());
    draft.state = State::Draft;
    let mut calendar = calendar(vec![draft]);
    calendar.tick(GRACE, NOW + 5 * HOUR);
    assert_eq!(run_states(&mut calendar, "c"), []);
    let later = NOW + 5 * HOUR + MINUTE;
    act(&mut calendar, "c", Act::Schedule, later);
    calendar.tick(GRACE, later);
    assert_eq!(run_states(&mut calendar, "c"), []);
    assert_eq!(read(&mut calendar, "c").next_at, Some(NOW + 6 * HOUR));
}

#[test]
fn each_act_is_for_some_states_and_repeating_it_is_no_fault() {
    use State::{Cancelled, Done, Draft, Paused, Running, Scheduled};
    let table = [
        (
            Act::Schedule,
            [Some(Scheduled), Some(Scheduled), Some(Running), None, None, None],
        ),
        (
            Act::Pause,
            [None, Some(Paused), Some(Paused), Some(Paused), None, None],
        ),
        (
            Act::Resume,
            [None, Some(Scheduled), Some(Running), Some(Scheduled), None, None],
        ),
        (
            Act::Cancel,
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
    for (what, expected) in table {
        for (before, expected) in [Draft, Scheduled, Running, Paused, Done, Cancelled]
            .into_iter()
            .zip(expected)
        {
            let mut calendar = in_state(before);
            let now = NOW + 2 * MINUTE;
            match (act(&mut calendar, "c", what, now), expected) {
                (Reply::Campaign(campaign), Some(after)) => {
                    assert_eq!(campaign.state, after, "{what:?} {before:?}")
                }
                (Reply::State { state }, None) => assert_eq!(state, before, "{what:?}"),
                (reply, _) => panic!("{what:?} {before:?}: {reply:?}"),
            }
        }
    }
    assert_eq!(act(&mut calendar(vec![]), "c", Act::Pause, NOW), Reply::Missing);
}

/// A calendar whose campaign `c` is in a state.
fn in_state(wanted: State) -> Calendar {
    let mut new = campaign("c", hourly());
    if wanted == State::Draft {
        new.state = State::Draft;
    }
    if wanted == State::Done || wanted == State::Running {
        new = campaign("c", once());
    }
    let mut calendar = calendar(vec![new]);
    match wanted {
        State::Draft | State::Scheduled => {}
        State::Paused => _ = act(&mut calendar, "c", Act::Pause, NOW),
        State::Cancelled => _ = act(&mut calendar, "c", Act::Cancel, NOW),
        State::Running | State::Done => {
            calendar.tick(GRACE, NOW + MINUTE);
            work(&mut calendar, NOW + MINUTE);
            if wanted == State::Done {
                end(&mut calendar, "c", NOW + MINUTE, NOW + MINUTE);
            }
        }
    }
    assert_eq!(state(&mut calendar, "c"), wanted);
    calendar
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
        new.created_at = NOW + HOUR;
        let mut calendar = in_state(before);
        match (
            calendar.apply(Command::Replace(Box::new(new)), NOW + HOUR),
            replaced,
        ) {
            (Reply::Campaign(campaign), Some(after)) => {
                assert_eq!((campaign.state, campaign.created_at), (after, NOW));
                assert_eq!(campaign.next_at, Some(NOW + DAY));
            }
            (Reply::State { state }, None) => assert_eq!(state, before),
            (reply, _) => panic!("{before:?}: {reply:?}"),
        }
        let mut calendar = in_state(before);
        let deleted = calendar.apply(Command::Delete { id: "c".to_owned() }, NOW);
        assert_eq!(deleted == Reply::Done, is_deletable, "{before:?}");
        assert_eq!(
            calendar.runs.is_empty() && calendar.campaigns.is_empty(),
            is_deletable
        );
    }
    let unknown = Command::Replace(Box::new(campaign("d", once())));
    assert_eq!(calendar(vec![]).apply(unknown, NOW), Reply::Missing);
}

#[test]
fn a_trigger_that_comes_twice_starts_a_run_once() {
    let database = database();
    let mut calendar = calendar(vec![campaign("c", once())]);
    for _ in 0..3 {
        calendar.tick(GRACE, NOW + MINUTE);
        calendar = restarted(&database, &mut calendar);
    }
    assert_eq!(words(&calendar, NOW + MINUTE), ["start 60"]);
    work(&mut calendar, NOW + MINUTE);
    calendar.tick(GRACE, NOW + MINUTE);
    assert_eq!(words(&calendar, NOW + DAY), [] as [&str; 0]);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Running]);
    assert_eq!(state(&mut calendar, "c"), State::Running);
}

#[test]
fn a_campaign_that_is_due_once_is_done_when_its_run_has_ended() {
    let mut calendar = in_state(State::Running);
    let at = NOW + MINUTE;
    end(&mut calendar, "c", at, at + MINUTE);
    let before = calendar.clone();
    end(&mut calendar, "c", at, at + 2 * MINUTE);
    assert_eq!(calendar, before, "told twice");
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!(
        (run.state, run.pushes, run.ended_at),
        (RunState::Done, Some(7), Some(at + MINUTE))
    );
    assert_eq!(state(&mut calendar, "c"), State::Done);
}

#[test]
fn triggers_that_were_missed_are_caught_up_within_the_grace_and_older_ones_recorded() {
    let mut calendar = calendar(vec![campaign(
        "c",
        json!({"cron": "*/30 * * * *", "time_zone": "UTC"}),
    )]);
    let now = NOW + 2 * HOUR;
    calendar.tick(GRACE, now);
    let (missed, starting) = (RunState::Missed, RunState::Starting);
    // What was due just as long ago as the grace is, is still in time.
    assert_eq!(
        run_states(&mut calendar, "c"),
        [missed, starting, starting, starting]
    );
    assert_eq!(runs(&mut calendar, "c")[0].detail.as_deref(), Some(LATE));
    assert_eq!(words(&calendar, now), ["start 3600", "start 5400", "start 7200"]);
    let campaign = read(&mut calendar, "c");
    assert_eq!((campaign.runs, campaign.next_at), (4, Some(now + HOUR / 2)));
}

#[test]
fn a_long_outage_is_recorded_in_part_and_does_not_hold_up_what_is_due_now() {
    let mut calendar = calendar(vec![campaign("c", minutely())]);
    let now = NOW + 7 * DAY;
    calendar.tick(GRACE, now);
    let found = runs(&mut calendar, "c");
    let missed = found.iter().filter(|run| run.state == RunState::Missed);
    assert_eq!((missed.count(), found.len()), (MAX_MISSED, MAX_MISSED + 61));
    let edge = now - HOUR - Duration::from_millis(1);
    assert_eq!(
        found[MAX_MISSED - 1].detail,
        Some(format!("{LATE}; what came after it up to {edge} is not listed"))
    );
    assert_eq!(found.last().unwrap().at, now);
}

#[test]
fn more_than_one_tick_may_start_is_started_by_the_next() {
    let mut calendar = calendar(vec![campaign("c", minutely())]);
    let now = NOW + 3 * HOUR;
    calendar.tick(DAY, now);
    assert_eq!(runs(&mut calendar, "c").len(), MAX_STARTED);
    calendar.tick(DAY, now);
    assert_eq!(runs(&mut calendar, "c").len(), 180);
}

#[test]
fn what_comes_while_a_campaign_is_paused_is_missed_and_not_caught_up() {
    let mut calendar = calendar(vec![campaign("c", hourly())]);
    act(&mut calendar, "c", Act::Pause, NOW);
    calendar.tick(GRACE, NOW + HOUR);
    act(&mut calendar, "c", Act::Resume, NOW + 2 * HOUR + MINUTE);
    calendar.tick(GRACE, NOW + 3 * HOUR);
    let (missed, starting) = (RunState::Missed, RunState::Starting);
    assert_eq!(run_states(&mut calendar, "c"), [missed, missed, starting]);
    assert_eq!(runs(&mut calendar, "c")[1].detail.as_deref(), Some(PAUSED));
}

#[test]
fn a_campaign_whose_only_moment_passed_while_it_was_paused_is_done_when_it_is_resumed() {
    let mut calendar = calendar(vec![campaign("c", once())]);
    act(&mut calendar, "c", Act::Pause, NOW);
    act(&mut calendar, "c", Act::Resume, NOW + HOUR);
    assert_eq!(state(&mut calendar, "c"), State::Done);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Missed]);
}

#[test]
fn on_the_devices_clocks_a_time_has_a_run_for_each_moment() {
    let schedule = json!({"at": "2026-11-24T12:00", "time_zone": "device"});
    let mut calendar = calendar(vec![campaign("c", schedule)]);
    let mut now = NOW;
    while state(&mut calendar, "c") != State::Running || read(&mut calendar, "c").next_at.is_some() {
        now = now + 15 * MINUTE;
        calendar.tick(GRACE, now);
        work(&mut calendar, now);
    }
    let found = runs(&mut calendar, "c");
    assert!(found.len() > 30, "{}", found.len());
    let noon = |zone: &str| {
        let run = found
            .iter()
            .find(|run| run.zones.as_ref().unwrap().iter().any(|own| own == zone));
        run.unwrap().at.to_string()
    };
    assert_eq!(noon("Europe/Berlin"), "2026-11-24T11:00:00.000Z");
    assert_eq!(noon(""), "2026-11-24T12:00:00.000Z");
    for run in &found {
        assert_eq!(state(&mut calendar, "c"), State::Running);
        end(&mut calendar, "c", run.at, now);
    }
    assert_eq!(state(&mut calendar, "c"), State::Done);
}

#[test]
fn the_newest_runs_are_kept_and_listed_in_pages() {
    let mut calendar = calendar(vec![campaign("c", minutely())]);
    for minutes in 1..=MAX_KEPT + 10 {
        let now = NOW + MINUTE * u32::try_from(minutes).unwrap();
        calendar.tick(GRACE, now);
        // The first one never ends.
        if minutes > 1 {
            end(&mut calendar, "c", now, now);
        }
    }
    calendar.tick(GRACE, NOW);
    let found = runs(&mut calendar, "c");
    assert_eq!((found.len(), found[0].at), (MAX_KEPT + 1, NOW + MINUTE));
    assert_eq!(read(&mut calendar, "c").runs, 1010);
    let (mut before, mut listed) = (None, Vec::new());
    loop {
        let command = Command::Runs {
            id: "c".to_owned(),
            before,
            limit: 77,
        };
        let Reply::Runs(page) = calendar.apply(command, NOW) else {
            panic!()
        };
        assert!(page.runs.len() <= 77);
        listed.extend(page.runs);
        before = page.cursor;
        if before.is_none() {
            break;
        }
    }
    listed.reverse();
    assert_eq!(listed, found);
}

#[test]
fn campaigns_are_listed_by_app_and_state_and_counted() {
    let mut second = campaign("d", once());
    second.created_at = NOW + MINUTE;
    let mut calendar = calendar(vec![campaign("c", once()), second, campaign("e", once())]);
    act(&mut calendar, "e", Act::Pause, NOW);
    let mut list = |apps: Option<&str>, state: Option<State>| {
        let apps = apps.map(|app| vec![app.to_owned()]);
        match calendar.apply(Command::List { apps, state }, NOW) {
            Reply::Campaigns(found) => found.into_iter().map(|campaign| campaign.id).collect::<String>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(None, None), "dec");
    assert_eq!(list(Some("shop"), Some(State::Scheduled)), "dc");
    assert_eq!(list(Some("news"), None), "");
    let counted = |state, campaigns| Counted {
        app: "shop".to_owned(),
        state,
        campaigns,
    };
    assert_eq!(
        calendar.apply(Command::Count, NOW),
        Reply::Counted(vec![counted(State::Scheduled, 2), counted(State::Paused, 1)])
    );
}

#[test]
fn a_row_that_cannot_be_read_is_left_out_told_and_left_as_it_is() {
    let database = database();
    let mut calendar = calendar(vec![campaign("c", once()), campaign("d", once())]);
    calendar.tick(GRACE, NOW + MINUTE);
    restarted(&database, &mut calendar);
    database.execute(&Statement::new(
        "UPDATE campaigns SET campaign = '{}' WHERE id = 'c'",
    ));
    let loaded = Calendar::load(&database.execute(&Calendar::select()));
    assert!(loaded.fault.unwrap().starts_with("campaign c: "));
    let mut calendar = loaded.machine;
    assert_eq!(words(&calendar, NOW + MINUTE), ["start 60"]);
    assert_eq!(run_states(&mut calendar, "d"), [RunState::Starting]);
    assert_eq!(calendar.take_changes(), []);
    let rows = database.execute(&Statement::new("SELECT id FROM campaigns"));
    assert_eq!(rows.len(), 2);
}

#[test]
fn only_what_has_changed_is_stored() {
    let mut calendar = calendar(vec![campaign("c", hourly()), campaign("d", once())]);
    assert_eq!(calendar.take_changes().len(), 3);
    calendar.tick(GRACE, NOW + MINUTE / 2);
    assert_eq!(calendar.take_changes(), []);
    calendar.tick(GRACE, NOW + MINUTE);
    assert_eq!(calendar.take_changes().len(), 2);
}
