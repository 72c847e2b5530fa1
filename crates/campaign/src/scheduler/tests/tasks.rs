//! The tasks of runs: which there are, until when, and what a late report changes.

use std::time::Duration;

use super::fixture::{
    GRACE, MINUTE, NOW, campaign, change_state, database, end, hourly, minutely, once, restarted, run_states,
    runs, scheduler, state, words, work,
};
use super::tick::LATE;
use super::*;
use crate::scheduler::tasks::CLOCK_SKEW;
use batch::LONGEST_LIFE;

/// When the campaign of these tests is due.
const DUE: Timestamp = Timestamp::from_secs(1_795_420_860);

const NOTHING: [&str; 0] = [];

/// Creates a scheduler whose campaign `c` has a run that must be started.
fn starting() -> SchedulerState {
    let mut scheduler = scheduler(vec![campaign("c", once())]);
    scheduler.tick(GRACE, DUE);
    scheduler
}

/// Creates a scheduler whose campaign `c` has a run that was started.
fn running() -> SchedulerState {
    let mut scheduler = starting();
    work(&mut scheduler, DUE);
    scheduler
}

#[test]
fn a_start_has_the_campaign_the_run_and_the_audience() {
    let mut scheduler = starting();
    let Task::Start {
        campaign,
        run,
        audience,
    } = scheduler.next_task(DUE)
    else {
        panic!()
    };
    assert_eq!((campaign.id.as_str(), run.at, audience.shards), ("c", DUE, 8));
    assert_eq!(run.batch, batch_id("c", DUE));
}

#[test]
fn a_start_is_given_until_it_is_done() {
    let database = database();
    let mut scheduler = starting();
    for _ in 0..3 {
        assert_eq!(words(&scheduler, DUE), ["start 60"]);
        assert_eq!(scheduler.wake(), Some(DUE));
        scheduler = restarted(&database, &mut scheduler);
    }
    work(&mut scheduler, DUE + MINUTE);
    assert_eq!(
        (words(&scheduler, DUE + MINUTE), scheduler.wake()),
        (vec![], None)
    );
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!(
        (run.state, run.started_at),
        (RunState::Running, Some(DUE + MINUTE))
    );
}

#[test]
fn a_start_that_fails_backs_off_up_to_a_minute_and_is_given_up_after_the_grace() {
    let (mut scheduler, mut now, mut last) = (starting(), DUE, Duration::ZERO);
    while run_states(&mut scheduler, "c") == [RunState::Starting] {
        let task = scheduler.next_task(now);
        scheduler.failed(&task, &"é".repeat(999), now);
        assert_eq!(words(&scheduler, now), NOTHING);
        let next = scheduler.wake().unwrap();
        let delay = next.since(now);
        assert!(
            delay >= last / 2 && delay >= MINUTE / 120 && delay <= MINUTE,
            "{delay:?}"
        );
        (now, last) = (next, delay);
        scheduler.tick(GRACE, now);
    }
    assert!(now.since(DUE) > GRACE && now.since(DUE) < GRACE + 2 * MINUTE);
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!((run.state, run.ended_at), (RunState::Failed, Some(now)));
    assert_eq!(run.detail, Some("é".repeat(200)));
    assert_eq!(state(&mut scheduler, "c"), State::Done);
    // It may have been started in part.
    assert_eq!(words(&scheduler, now), ["cancel"]);
    work(&mut scheduler, now);
    assert_eq!((words(&scheduler, now), scheduler.wake()), (vec![], None));
}

#[test]
fn a_start_that_cannot_be_given_is_given_up_as_well() {
    let mut scheduler = starting();
    scheduler.audiences.clear();
    assert_eq!((words(&scheduler, DUE), scheduler.wake()), (vec![], None));
    scheduler.tick(GRACE, DUE + GRACE);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Starting]);
    scheduler.tick(GRACE, DUE + GRACE + MINUTE);
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!(
        (run.state, run.detail.as_deref()),
        (RunState::Failed, Some("its audience is not there"))
    );
}

#[test]
fn pausing_and_resuming_are_told_to_the_batches_under_way() {
    let mut scheduler = running();
    for (action, word, run, campaign) in [
        (CampaignAction::Pause, "pause", RunState::Paused, State::Paused),
        (
            CampaignAction::Resume,
            "resume",
            RunState::Running,
            State::Running,
        ),
        (
            CampaignAction::Cancel,
            "cancel",
            RunState::Cancelled,
            State::Cancelled,
        ),
    ] {
        change_state(&mut scheduler, "c", action, DUE);
        assert_eq!(words(&scheduler, DUE), [word]);
        assert_eq!(run_states(&mut scheduler, "c"), [run]);
        assert_eq!(state(&mut scheduler, "c"), campaign);
        work(&mut scheduler, DUE);
        assert_eq!(words(&scheduler, DUE), NOTHING);
    }
}

#[test]
fn nothing_is_started_while_its_campaign_is_paused() {
    let mut scheduler = starting();
    change_state(&mut scheduler, "c", CampaignAction::Pause, DUE);
    // A start may be under way.
    assert_eq!(words(&scheduler, DUE), ["pause"]);
    work(&mut scheduler, DUE);
    scheduler.tick(GRACE, DUE + 10 * GRACE);
    assert_eq!(
        (words(&scheduler, DUE + 10 * GRACE), scheduler.wake()),
        (vec![], None)
    );
    let mut late = scheduler.clone();
    change_state(&mut late, "c", CampaignAction::Resume, DUE + 10 * GRACE);
    late.give_up(GRACE, DUE + 10 * GRACE);
    assert_eq!(run_states(&mut late, "c"), [RunState::Missed]);
    let later = DUE + GRACE;
    change_state(&mut scheduler, "c", CampaignAction::Resume, later);
    assert_eq!(words(&scheduler, later), ["start 60"]);
    work(&mut scheduler, later);
    assert_eq!(words(&scheduler, later), ["resume"]);
    work(&mut scheduler, later);
    assert_eq!(words(&scheduler, later), NOTHING);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Running]);
}

#[test]
fn nothing_is_started_after_a_cancel_and_a_start_that_was_under_way_is_undone() {
    for is_done in [true, false] {
        let mut scheduler = starting();
        let start = scheduler.next_task(DUE);
        change_state(&mut scheduler, "c", CampaignAction::Cancel, DUE);
        assert_eq!(words(&scheduler, DUE), ["cancel"]);
        work(&mut scheduler, DUE);
        assert_eq!(words(&scheduler, DUE), NOTHING);
        if is_done {
            scheduler.done(&start, DUE + MINUTE);
        } else {
            scheduler.failed(&start, "no answer", DUE + MINUTE);
        }
        assert_eq!(words(&scheduler, DUE + MINUTE), ["cancel"]);
        assert_eq!(run_states(&mut scheduler, "c"), [RunState::Cancelled]);
    }
}

#[test]
fn a_run_is_stopping_until_it_is_known_that_nothing_more_is_sent() {
    let is_stopping = |scheduler: &mut SchedulerState| runs(scheduler, "c").remove(0).is_stopping();
    // One that was started, until its batch has ended.
    let mut scheduler = running();
    assert!(!is_stopping(&mut scheduler));
    change_state(&mut scheduler, "c", CampaignAction::Cancel, DUE);
    assert!(is_stopping(&mut scheduler));
    work(&mut scheduler, DUE);
    assert!(is_stopping(&mut scheduler));
    end(&mut scheduler, "c", DUE, DUE);
    assert!(!is_stopping(&mut scheduler));
    // One that was not, until nobody can be starting it.
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    change_state(&mut scheduler, "c", CampaignAction::Cancel, DUE);
    assert!(is_stopping(&mut scheduler));
    work(&mut scheduler, DUE);
    assert!(!is_stopping(&mut scheduler));
    scheduler.done(&start, DUE);
    assert!(is_stopping(&mut scheduler));
}

#[test]
fn a_start_that_is_done_while_its_campaign_is_paused_leaves_the_run_paused() {
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    change_state(&mut scheduler, "c", CampaignAction::Pause, DUE);
    work(&mut scheduler, DUE);
    scheduler.done(&start, DUE + MINUTE);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Paused]);
    assert_eq!(words(&scheduler, DUE + MINUTE), ["pause"]);
}

#[test]
fn what_reaches_a_batch_too_late_is_put_right() {
    let mut scheduler = running();
    change_state(&mut scheduler, "c", CampaignAction::Pause, DUE);
    let pause = scheduler.next_task(DUE);
    change_state(&mut scheduler, "c", CampaignAction::Resume, DUE);
    work(&mut scheduler, DUE);
    assert_eq!(words(&scheduler, DUE), NOTHING);
    scheduler.done(&pause, DUE + MINUTE);
    assert_eq!(words(&scheduler, DUE + MINUTE), ["resume"]);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Running]);
}

#[test]
fn a_start_that_is_done_twice_changes_nothing_the_second_time() {
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    scheduler.done(&start, DUE);
    let before = scheduler.clone();
    scheduler.done(&start, DUE + MINUTE);
    assert_eq!(words(&scheduler, DUE + MINUTE), NOTHING);
    assert_eq!(scheduler.runs, before.runs);
}

#[test]
fn a_run_that_has_ended_is_told_and_started_no_more() {
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    // The end is known before the start is.
    end(&mut scheduler, "c", DUE, DUE);
    assert_eq!((words(&scheduler, DUE), scheduler.wake()), (vec![], None));
    scheduler.done(&start, DUE);
    scheduler.failed(&start, "no answer", DUE);
    assert_eq!((words(&scheduler, DUE), scheduler.wake()), (vec![], None));
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Done]);
    assert_eq!(state(&mut scheduler, "c"), State::Done);
}

#[test]
fn a_run_that_was_cancelled_learns_what_it_had_sent() {
    let mut scheduler = running();
    change_state(&mut scheduler, "c", CampaignAction::Cancel, DUE);
    end(&mut scheduler, "c", DUE, DUE + MINUTE);
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!((run.state, run.pushes), (RunState::Cancelled, Some(7)));
    assert_eq!(run.ended_at, Some(DUE + MINUTE));
    assert_eq!(words(&scheduler, DUE + MINUTE), NOTHING);
}

#[test]
fn a_batch_is_told_of_its_end_though_its_campaign_was_deleted() {
    let database = database();
    let mut scheduler = running();
    change_state(&mut scheduler, "c", CampaignAction::Cancel, DUE);
    assert_eq!(
        scheduler.apply(Command::Delete { id: "c".to_owned() }, GRACE, DUE),
        Reply::Done
    );
    let mut scheduler = restarted(&database, &mut scheduler);
    assert_eq!(words(&scheduler, DUE), ["cancel"]);
    work(&mut scheduler, DUE);
    assert!(scheduler.runs.is_empty());
    assert!(restarted(&database, &mut scheduler).runs.is_empty());
}

#[test]
fn a_control_is_repeated_for_as_long_as_a_batch_can_live() {
    for (action, state) in [
        (CampaignAction::Pause, RunState::Paused),
        (CampaignAction::Cancel, RunState::Cancelled),
    ] {
        let mut scheduler = running();
        change_state(&mut scheduler, "c", action, DUE);
        let mut now = DUE;
        while let Some(next) = scheduler.wake() {
            assert!(next.since(now) <= MINUTE);
            now = next;
            for task in scheduler.tasks(now) {
                scheduler.failed(&task, "no answer", now);
            }
            scheduler.tick(GRACE, now);
        }
        assert!(now.since(DUE) > LONGEST_LIFE && now.since(DUE) < LONGEST_LIFE + 2 * MINUTE);
        scheduler.take_changes();
        scheduler.tick(GRACE, now + MINUTE);
        assert_eq!(scheduler.take_changes(), []);
        let run = runs(&mut scheduler, "c").remove(0);
        assert_eq!((run.state, run.detail.as_deref()), (state, Some("no answer")));
    }
}

#[test]
fn a_batch_that_a_late_start_may_still_open_is_told_again_after_that() {
    for (action, word) in [
        (CampaignAction::Cancel, "cancel"),
        (CampaignAction::Pause, "pause"),
    ] {
        let mut scheduler = starting();
        let start = scheduler.next_task(DUE);
        scheduler.returned(&start, &Outcome::Failed("no answer".to_owned()), DUE);
        change_state(&mut scheduler, "c", action, DUE);
        let control = scheduler.next_task(DUE);
        scheduler.returned(&control, &Outcome::NoBatch, DUE);
        assert_eq!(words(&scheduler, DUE), NOTHING);
        let until = DUE + START_TIME + CLOCK_SKEW;
        assert_eq!(
            (scheduler.wake(), words(&scheduler, until)),
            (Some(until), vec![word.to_owned()])
        );
        // By then it could not be opened any more.
        let control = scheduler.next_task(until);
        scheduler.returned(&control, &Outcome::NoBatch, until);
        assert_eq!((scheduler.wake(), words(&scheduler, until)), (None, vec![]));
    }
}

#[test]
fn a_run_that_can_never_be_started_fails_at_once_with_the_reason() {
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    let reason = "/notification/expiration: is over";
    scheduler.returned(&start, &Outcome::Rejected(reason.to_owned()), DUE);
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!(
        (run.state, run.detail.as_deref()),
        (RunState::Failed, Some(reason))
    );
    assert_eq!(state(&mut scheduler, "c"), State::Done);
    // An attempt before it may have opened the batch.
    assert_eq!(words(&scheduler, DUE), ["cancel"]);
}

#[test]
fn a_start_whose_turn_comes_after_the_grace_is_missed() {
    let mut scheduler = starting();
    scheduler.give_up(GRACE, DUE + GRACE);
    assert_eq!(words(&scheduler, DUE + GRACE), ["start 60"]);
    scheduler.give_up(GRACE, DUE + GRACE + Duration::from_millis(1));
    assert_eq!((words(&scheduler, DUE + GRACE), scheduler.wake()), (vec![], None));
    let run = runs(&mut scheduler, "c").remove(0);
    assert_eq!((run.state, run.detail.as_deref()), (RunState::Missed, Some(LATE)));
    assert_eq!(state(&mut scheduler, "c"), State::Done);
}

#[test]
fn a_run_whose_devices_left_while_it_was_started_is_cancelled_and_not_forgotten() {
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    scheduler.failed(&start, "no answer", DUE);
    let start = scheduler.next_task(DUE + MINUTE);
    scheduler.returned(&start, &Outcome::NoDevices, DUE + MINUTE);
    assert_eq!(run_states(&mut scheduler, "c"), [RunState::Failed]);
    assert_eq!(words(&scheduler, DUE + MINUTE), ["cancel"]);
    // One that nobody had tried before is as if it had never been due.
    let mut scheduler = starting();
    let start = scheduler.next_task(DUE);
    scheduler.returned(&start, &Outcome::NoDevices, DUE);
    assert_eq!(
        (run_states(&mut scheduler, "c"), state(&mut scheduler, "c")),
        (vec![], State::Done)
    );
}

#[test]
fn controls_come_before_starts_and_each_in_the_order_in_which_they_became_due() {
    let mut scheduler = scheduler(vec![
        campaign("a", hourly()),
        campaign("b", once()),
        campaign("c", once()),
    ]);
    scheduler.tick(GRACE, NOW + MINUTE);
    work(&mut scheduler, NOW + MINUTE);
    scheduler.tick(GRACE, NOW + GRACE);
    change_state(&mut scheduler, "c", CampaignAction::Cancel, NOW + GRACE + MINUTE);
    change_state(&mut scheduler, "b", CampaignAction::Pause, NOW + GRACE);
    assert_eq!(
        words(&scheduler, NOW + GRACE + MINUTE),
        ["pause", "cancel", "start 3600"]
    );
}

#[test]
fn a_cancel_asks_for_all_runs_that_are_stopping() {
    let mut scheduler = scheduler(vec![campaign("c", minutely())]);
    for minute in 1..=150 {
        scheduler.tick(GRACE, NOW + minute * MINUTE);
        work(&mut scheduler, NOW + minute * MINUTE);
    }
    let now = NOW + 150 * MINUTE;
    change_state(&mut scheduler, "c", CampaignAction::Cancel, now);
    let mut stopping = |limit| {
        let id = "c".to_owned();
        match scheduler.apply(Command::Stopping { id, limit }, GRACE, now) {
            Reply::Runs(page) => (page.runs.len(), page.runs[0].at, page.cursor.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stopping(149), (149, NOW + MINUTE, true));
    assert_eq!(stopping(150), (150, NOW + MINUTE, false));
    end(&mut scheduler, "c", NOW + MINUTE, now);
    let id = "c".to_owned();
    let reply = scheduler.apply(Command::Stopping { id, limit: 1000 }, GRACE, now);
    assert!(matches!(reply, Reply::Runs(page) if page.runs.len() == 149));
}
