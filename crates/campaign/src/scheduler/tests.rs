mod actions;
mod event_loop;
mod fixture;
mod formats;
mod simulation;
mod tasks;

use std::time::Duration;

use serde_json::json;

use super::tick::{LATE, MAX_KEPT, MAX_KEPT_ALTOGETHER, MAX_MISSED, MAX_STARTED, MAX_ZONES_KEPT, PAUSED};
use super::*;
use delivery::sql::Statement;
use fixture::{
    GRACE, MINUTE, NOW, campaign, change_state, database, end, hourly, in_state, minutely, once, read,
    restarted, run_states, runs, scheduler, state, words, work,
};

const HOUR: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_trigger_that_comes_twice_starts_a_run_once() {
    let database = database();
    let mut scheduler = scheduler(vec![campaign("c", once())]);
    for _ in 0..3 {
        scheduler.tick(GRACE, NOW + MINUTE);
        scheduler = restarted(&database, &mut scheduler);
    }
    assert_eq!(words(&scheduler, NOW + MINUTE), ["start 60"]);
    work(&mut scheduler, NOW + MINUTE);
    scheduler.tick(GRACE, NOW + MINUTE);
    assert_eq!(words(&scheduler, NOW + DAY), [] as [&str; 0]);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Running]);
    assert_eq!(state(&mut scheduler, "c"), State::Running);
}

#[test]
fn a_run_is_not_lost_if_its_rows_were_stored_in_part() {
    for stored in 0..3 {
        let database = database();
        let mut scheduler = restarted(&database, &mut scheduler(vec![campaign("c", once())]));
        scheduler.tick(GRACE, NOW + MINUTE);
        for statement in scheduler.take_changes().iter().take(stored) {
            database.execute(statement);
        }
        let mut scheduler = restarted(&database, &mut SchedulerState::default());
        scheduler.tick(GRACE, NOW + 2 * MINUTE);
        assert_eq!(words(&scheduler, NOW + 2 * MINUTE), ["start 60"], "{stored}");
    }
}

#[test]
fn a_campaign_that_is_due_once_is_done_when_its_run_has_ended() {
    let mut scheduler = in_state(State::Running);
    let at = NOW + MINUTE;
    end(&mut scheduler, "c", at, at + MINUTE);
    let before = scheduler.clone();
    end(&mut scheduler, "c", at, at + 2 * MINUTE);
    assert_eq!(scheduler, before, "told twice");
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!(
        (run.state, run.pushes, run.ended_at),
        (RunState::Done, Some(7), Some(at + MINUTE))
    );
    assert_eq!(state(&mut scheduler, "c"), State::Done);
}

#[test]
fn triggers_that_were_missed_are_caught_up_within_the_grace_and_older_ones_recorded() {
    let mut scheduler = scheduler(vec![campaign(
        "c",
        json!({"cron": "*/30 * * * *", "time_zone": "UTC"}),
    )]);
    let now = NOW + 2 * HOUR;
    scheduler.tick(GRACE, now);
    let (missed, starting) = (RunState::Missed, RunState::Starting);
    // What was due just as long ago as the grace is, is still in time.
    assert_eq!(
        run_states(&mut scheduler, "c"),
        [missed, starting, starting, starting]
    );
    assert_eq!(runs(&mut scheduler, "c")[0].detail.as_deref(), Some(LATE));
    assert_eq!(words(&scheduler, now), ["start 3600", "start 5400", "start 7200"]);
    let campaign = read(&mut scheduler, "c");
    assert_eq!((campaign.runs, campaign.next_at), (4, Some(now + HOUR / 2)));
}

#[test]
fn a_long_outage_is_recorded_in_part_and_does_not_hold_up_what_is_due_now() {
    let mut scheduler = scheduler(vec![campaign("c", minutely())]);
    let now = NOW + 7 * DAY;
    scheduler.tick(GRACE, now);
    let found = runs(&mut scheduler, "c");
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
    let mut scheduler = scheduler(vec![campaign("c", minutely())]);
    let now = NOW + 3 * HOUR;
    scheduler.tick(DAY, now);
    assert_eq!(runs(&mut scheduler, "c").len(), MAX_STARTED);
    scheduler.tick(DAY, now);
    assert_eq!(runs(&mut scheduler, "c").len(), 180);
}

#[test]
fn what_comes_while_a_campaign_is_paused_is_missed_and_not_caught_up() {
    let mut scheduler = scheduler(vec![campaign("c", hourly())]);
    change_state(&mut scheduler, "c", CampaignAction::Pause, NOW);
    scheduler.tick(GRACE, NOW + HOUR);
    change_state(
        &mut scheduler,
        "c",
        CampaignAction::Resume,
        NOW + 2 * HOUR + MINUTE,
    );
    scheduler.tick(GRACE, NOW + 3 * HOUR);
    let (missed, starting) = (RunState::Missed, RunState::Starting);
    assert_eq!(run_states(&mut scheduler, "c"), [missed, missed, starting]);
    assert_eq!(runs(&mut scheduler, "c")[1].detail.as_deref(), Some(PAUSED));
}

#[test]
fn a_campaign_whose_only_moment_passed_while_it_was_paused_is_done_when_it_is_resumed() {
    let mut scheduler = scheduler(vec![campaign("c", once())]);
    change_state(&mut scheduler, "c", CampaignAction::Pause, NOW);
    change_state(&mut scheduler, "c", CampaignAction::Resume, NOW + HOUR);
    assert_eq!(state(&mut scheduler, "c"), State::Done);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Missed]);
}

#[test]
fn on_the_devices_clocks_a_time_has_a_run_for_each_moment() {
    let schedule = json!({"at": "2026-11-24T12:00", "time_zone": "device"});
    let mut scheduler = scheduler(vec![campaign("c", schedule)]);
    let mut now = NOW;
    while state(&mut scheduler, "c") != State::Running || read(&mut scheduler, "c").next_at.is_some() {
        now = now + 15 * MINUTE;
        scheduler.tick(GRACE, now);
        work(&mut scheduler, now);
    }
    let found = runs(&mut scheduler, "c");
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
        assert_eq!(state(&mut scheduler, "c"), State::Running);
        end(&mut scheduler, "c", run.at, now);
    }
    assert_eq!(state(&mut scheduler, "c"), State::Done);
}

/// Creates a scheduler with `count` ended runs, a minute apart, each with `zones` zones.
fn with_ended_runs(count: usize, zones: usize) -> SchedulerState {
    let mut scheduler = scheduler(vec![]);
    let zones: Vec<String> = (0..zones).map(|zone| format!("Zone/{zone}")).collect();
    for number in 0..count {
        // No campaign has more runs than are kept of one.
        let id = format!("c{}", number / MAX_KEPT);
        let at = NOW + MINUTE * u32::try_from(number).unwrap();
        let mut run = Run::starting(&id, at, Some(zones.clone()), NOW);
        run.state = RunState::Done;
        scheduler.runs.insert((id, at), run);
    }
    scheduler
}

#[test]
fn as_many_runs_are_kept_altogether_as_documented_and_the_oldest_go_first() {
    let mut scheduler = with_ended_runs(MAX_KEPT_ALTOGETHER, 0);
    scheduler.tick(GRACE, NOW);
    assert_eq!(scheduler.runs.len(), MAX_KEPT_ALTOGETHER);
    let mut scheduler = with_ended_runs(MAX_KEPT_ALTOGETHER + 1, 0);
    scheduler.tick(GRACE, NOW);
    assert_eq!(scheduler.runs.len(), MAX_KEPT_ALTOGETHER);
    assert!(!scheduler.runs.contains_key(&("c0".to_owned(), NOW)));
}

#[test]
fn runs_keep_as_many_names_of_zones_as_documented_and_the_oldest_go_first() {
    const ZONES: usize = 500;
    let count = MAX_ZONES_KEPT / ZONES;
    let mut scheduler = with_ended_runs(count, ZONES);
    scheduler.tick(GRACE, NOW);
    assert_eq!(scheduler.runs.len(), count);
    // One name more, and the oldest run goes.
    let key = ("c0".to_owned(), NOW + MINUTE);
    let one_more = |run: &mut Run| run.zones.as_mut().unwrap().push("Zone/more".to_owned());
    one_more(scheduler.runs.get_mut(&key).unwrap());
    scheduler.tick(GRACE, NOW);
    assert_eq!(scheduler.runs.len(), count - 1);
    assert!(!scheduler.runs.contains_key(&("c0".to_owned(), NOW)));
}

#[test]
fn the_newest_runs_are_kept_and_listed_in_pages() {
    let mut scheduler = scheduler(vec![campaign("c", minutely())]);
    for minutes in 1..=MAX_KEPT + 10 {
        let now = NOW + MINUTE * u32::try_from(minutes).unwrap();
        scheduler.tick(GRACE, now);
        work(&mut scheduler, now);
        // The first one never ends.
        if minutes > 1 {
            end(&mut scheduler, "c", now, now);
        }
    }
    scheduler.tick(GRACE, NOW);
    let found = runs(&mut scheduler, "c");
    assert_eq!((found.len(), found[0].at), (MAX_KEPT + 1, NOW + MINUTE));
    assert_eq!(read(&mut scheduler, "c").runs, 1010);
    let (mut before, mut listed) = (None, Vec::new());
    loop {
        let command = Command::Runs {
            id: "c".to_owned(),
            before,
            limit: 77,
        };
        let Reply::Runs(page) = scheduler.apply(command, GRACE, NOW) else {
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
    let mut scheduler = scheduler(vec![campaign("c", once()), second, campaign("e", once())]);
    change_state(&mut scheduler, "e", CampaignAction::Pause, NOW);
    let mut list = |apps: Option<&str>, state: Option<State>| {
        let apps = apps.map(|app| vec![app.to_owned()]);
        match scheduler.apply(Command::List { apps, state }, GRACE, NOW) {
            Reply::Campaigns(found) => found.into_iter().map(|campaign| campaign.id).collect::<String>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(None, None), "dec");
    assert_eq!(list(Some("shop"), Some(State::Scheduled)), "dc");
    assert_eq!(list(Some("news"), None), "");
    let counted = |state, campaigns| CampaignCount {
        app: "shop".to_owned(),
        state,
        campaigns,
    };
    assert_eq!(
        scheduler.apply(Command::Count, GRACE, NOW),
        Reply::Counted(vec![counted(State::Scheduled, 2), counted(State::Paused, 1)])
    );
}

#[test]
fn a_row_that_cannot_be_read_is_left_out_told_and_left_as_it_is() {
    let database = database();
    let mut scheduler = scheduler(vec![campaign("c", once()), campaign("d", once())]);
    scheduler.tick(GRACE, NOW + MINUTE);
    restarted(&database, &mut scheduler);
    database.execute(&Statement::new(
        "UPDATE campaigns SET campaign = '{}' WHERE id = 'c'",
    ));
    let loaded = SchedulerState::load(&database.execute(&SchedulerState::select()));
    assert!(loaded.fault.unwrap().starts_with("campaign c: "));
    let mut scheduler = loaded.machine;
    assert_eq!(words(&scheduler, NOW + MINUTE), ["start 60"]);
    assert_eq!(run_states(&mut scheduler, "d"), [RunState::Starting]);
    assert_eq!(scheduler.take_changes(), []);
    let rows = database.execute(&Statement::new("SELECT id FROM campaigns"));
    assert_eq!(rows.len(), 2);
}

#[test]
fn only_what_has_changed_is_stored() {
    let mut scheduler = scheduler(vec![campaign("c", hourly()), campaign("d", once())]);
    assert_eq!(scheduler.take_changes().len(), 5);
    scheduler.tick(GRACE, NOW + MINUTE / 2);
    assert_eq!(scheduler.take_changes(), []);
    scheduler.tick(GRACE, NOW + MINUTE);
    assert_eq!(scheduler.take_changes().len(), 2);
}
