//! The tasks of runs: what is given, until when, and what comes of reports that are late.

use std::time::Duration;

use super::fixture::{
    GRACE, MINUTE, NOW, act, calendar, campaign, database, end, hourly, minutely, once, restarted,
    run_states, runs, state, words, work,
};
use super::tasks::CLOCK_SKEW;
use super::tick::LATE;
use super::*;
use batch::LONGEST_LIFE;

/// When the campaign of these tests is due.
const DUE: Timestamp = Timestamp::from_secs(1_795_420_860);

const NOTHING: [&str; 0] = [];

/// A calendar whose campaign `c` has a run that is to be started.
fn starting() -> Calendar {
    let mut calendar = calendar(vec![campaign("c", once())]);
    calendar.tick(GRACE, DUE);
    calendar
}

/// A calendar whose campaign `c` has a run that was started.
fn running() -> Calendar {
    let mut calendar = starting();
    work(&mut calendar, DUE);
    calendar
}

#[test]
fn a_start_has_the_campaign_the_run_and_the_audience() {
    let mut calendar = starting();
    let Task::Start {
        campaign,
        run,
        audience,
    } = calendar.next_task(DUE)
    else {
        panic!()
    };
    assert_eq!((campaign.id.as_str(), run.at, audience.shards), ("c", DUE, 8));
    assert_eq!(run.batch, batch_id("c", DUE));
}

#[test]
fn a_start_is_given_until_it_is_done() {
    let database = database();
    let mut calendar = starting();
    for _ in 0..3 {
        assert_eq!(words(&calendar, DUE), ["start 60"]);
        assert_eq!(calendar.wake(), Some(DUE));
        calendar = restarted(&database, &mut calendar);
    }
    work(&mut calendar, DUE + MINUTE);
    assert_eq!((words(&calendar, DUE + MINUTE), calendar.wake()), (vec![], None));
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!(
        (run.state, run.started_at),
        (RunState::Running, Some(DUE + MINUTE))
    );
}

#[test]
fn a_start_that_fails_backs_off_up_to_a_minute_and_is_given_up_after_the_grace() {
    let (mut calendar, mut now, mut last) = (starting(), DUE, Duration::ZERO);
    while run_states(&mut calendar, "c") == [RunState::Starting] {
        let task = calendar.next_task(now);
        calendar.failed(&task, &"é".repeat(999), now);
        assert_eq!(words(&calendar, now), NOTHING);
        let next = calendar.wake().unwrap();
        let delay = next.since(now);
        assert!(
            delay >= last / 2 && delay >= MINUTE / 120 && delay <= MINUTE,
            "{delay:?}"
        );
        (now, last) = (next, delay);
        calendar.tick(GRACE, now);
    }
    assert!(now.since(DUE) > GRACE && now.since(DUE) < GRACE + 2 * MINUTE);
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!((run.state, run.ended_at), (RunState::Failed, Some(now)));
    assert_eq!(run.detail, Some("é".repeat(200)));
    assert_eq!(state(&mut calendar, "c"), State::Done);
    // It may have been started in part.
    assert_eq!(words(&calendar, now), ["cancel"]);
    work(&mut calendar, now);
    assert_eq!((words(&calendar, now), calendar.wake()), (vec![], None));
}

#[test]
fn a_start_that_cannot_be_given_is_given_up_as_well() {
    let mut calendar = starting();
    calendar.audiences.clear();
    assert_eq!((words(&calendar, DUE), calendar.wake()), (vec![], None));
    calendar.tick(GRACE, DUE + GRACE);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Starting]);
    calendar.tick(GRACE, DUE + GRACE + MINUTE);
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!(
        (run.state, run.detail.as_deref()),
        (RunState::Failed, Some("its audience is not there"))
    );
}

#[test]
fn pausing_and_resuming_are_told_to_the_batches_under_way() {
    let mut calendar = running();
    for (what, word, run, campaign) in [
        (Act::Pause, "pause", RunState::Paused, State::Paused),
        (Act::Resume, "resume", RunState::Running, State::Running),
        (Act::Cancel, "cancel", RunState::Cancelled, State::Cancelled),
    ] {
        act(&mut calendar, "c", what, DUE);
        assert_eq!(words(&calendar, DUE), [word]);
        assert_eq!(run_states(&mut calendar, "c"), [run]);
        assert_eq!(state(&mut calendar, "c"), campaign);
        work(&mut calendar, DUE);
        assert_eq!(words(&calendar, DUE), NOTHING);
    }
}

#[test]
fn nothing_is_started_while_its_campaign_is_paused() {
    let mut calendar = starting();
    act(&mut calendar, "c", Act::Pause, DUE);
    // A start may be under way.
    assert_eq!(words(&calendar, DUE), ["pause"]);
    work(&mut calendar, DUE);
    calendar.tick(GRACE, DUE + 10 * GRACE);
    assert_eq!(
        (words(&calendar, DUE + 10 * GRACE), calendar.wake()),
        (vec![], None)
    );
    let mut late = calendar.clone();
    act(&mut late, "c", Act::Resume, DUE + 10 * GRACE);
    late.give_up(GRACE, DUE + 10 * GRACE);
    assert_eq!(run_states(&mut late, "c"), [RunState::Missed]);
    let later = DUE + GRACE;
    act(&mut calendar, "c", Act::Resume, later);
    assert_eq!(words(&calendar, later), ["start 60"]);
    work(&mut calendar, later);
    assert_eq!(words(&calendar, later), ["resume"]);
    work(&mut calendar, later);
    assert_eq!(words(&calendar, later), NOTHING);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Running]);
}

#[test]
fn nothing_is_started_after_a_cancel_and_a_start_that_was_under_way_is_undone() {
    for is_done in [true, false] {
        let mut calendar = starting();
        let start = calendar.next_task(DUE);
        act(&mut calendar, "c", Act::Cancel, DUE);
        assert_eq!(words(&calendar, DUE), ["cancel"]);
        work(&mut calendar, DUE);
        assert_eq!(words(&calendar, DUE), NOTHING);
        if is_done {
            calendar.done(&start, DUE + MINUTE);
        } else {
            calendar.failed(&start, "no answer", DUE + MINUTE);
        }
        assert_eq!(words(&calendar, DUE + MINUTE), ["cancel"]);
        assert_eq!(run_states(&mut calendar, "c"), [RunState::Cancelled]);
    }
}

#[test]
fn a_run_is_stopping_until_it_is_known_that_nothing_more_is_sent() {
    let is_stopping = |calendar: &mut Calendar| runs(calendar, "c").remove(0).is_stopping();
    // One that was started, until its batch has ended.
    let mut calendar = running();
    assert!(!is_stopping(&mut calendar));
    act(&mut calendar, "c", Act::Cancel, DUE);
    assert!(is_stopping(&mut calendar));
    work(&mut calendar, DUE);
    assert!(is_stopping(&mut calendar));
    end(&mut calendar, "c", DUE, DUE);
    assert!(!is_stopping(&mut calendar));
    // One that was not, until nobody can be starting it.
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    act(&mut calendar, "c", Act::Cancel, DUE);
    assert!(is_stopping(&mut calendar));
    work(&mut calendar, DUE);
    assert!(!is_stopping(&mut calendar));
    calendar.done(&start, DUE);
    assert!(is_stopping(&mut calendar));
}

#[test]
fn a_start_that_is_done_while_its_campaign_is_paused_leaves_the_run_paused() {
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    act(&mut calendar, "c", Act::Pause, DUE);
    work(&mut calendar, DUE);
    calendar.done(&start, DUE + MINUTE);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Paused]);
    assert_eq!(words(&calendar, DUE + MINUTE), ["pause"]);
}

#[test]
fn what_reaches_a_batch_too_late_is_put_right() {
    let mut calendar = running();
    act(&mut calendar, "c", Act::Pause, DUE);
    let pause = calendar.next_task(DUE);
    act(&mut calendar, "c", Act::Resume, DUE);
    work(&mut calendar, DUE);
    assert_eq!(words(&calendar, DUE), NOTHING);
    calendar.done(&pause, DUE + MINUTE);
    assert_eq!(words(&calendar, DUE + MINUTE), ["resume"]);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Running]);
}

#[test]
fn a_start_that_is_done_twice_changes_nothing_the_second_time() {
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    calendar.done(&start, DUE);
    let before = calendar.clone();
    calendar.done(&start, DUE + MINUTE);
    assert_eq!(words(&calendar, DUE + MINUTE), NOTHING);
    assert_eq!(calendar.runs, before.runs);
}

#[test]
fn a_run_that_has_ended_is_told_and_started_no_more() {
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    // The end is known before the start is.
    end(&mut calendar, "c", DUE, DUE);
    assert_eq!((words(&calendar, DUE), calendar.wake()), (vec![], None));
    calendar.done(&start, DUE);
    calendar.failed(&start, "no answer", DUE);
    assert_eq!((words(&calendar, DUE), calendar.wake()), (vec![], None));
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Done]);
    assert_eq!(state(&mut calendar, "c"), State::Done);
}

#[test]
fn a_run_that_was_cancelled_learns_what_it_had_sent() {
    let mut calendar = running();
    act(&mut calendar, "c", Act::Cancel, DUE);
    end(&mut calendar, "c", DUE, DUE + MINUTE);
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!((run.state, run.pushes), (RunState::Cancelled, Some(7)));
    assert_eq!(run.ended_at, Some(DUE + MINUTE));
    assert_eq!(words(&calendar, DUE + MINUTE), NOTHING);
}

#[test]
fn a_batch_is_told_of_its_end_though_its_campaign_was_deleted() {
    let database = database();
    let mut calendar = running();
    act(&mut calendar, "c", Act::Cancel, DUE);
    assert_eq!(
        calendar.apply(Command::Delete { id: "c".to_owned() }, GRACE, DUE),
        Reply::Done
    );
    let mut calendar = restarted(&database, &mut calendar);
    assert_eq!(words(&calendar, DUE), ["cancel"]);
    work(&mut calendar, DUE);
    assert!(calendar.runs.is_empty());
    assert!(restarted(&database, &mut calendar).runs.is_empty());
}

#[test]
fn telling_is_repeated_for_as_long_as_a_batch_can_live() {
    for (what, state) in [(Act::Pause, RunState::Paused), (Act::Cancel, RunState::Cancelled)] {
        let mut calendar = running();
        act(&mut calendar, "c", what, DUE);
        let mut now = DUE;
        while let Some(next) = calendar.wake() {
            assert!(next.since(now) <= MINUTE);
            now = next;
            for task in calendar.tasks(now) {
                calendar.failed(&task, "no answer", now);
            }
            calendar.tick(GRACE, now);
        }
        assert!(now.since(DUE) > LONGEST_LIFE && now.since(DUE) < LONGEST_LIFE + 2 * MINUTE);
        calendar.take_changes();
        calendar.tick(GRACE, now + MINUTE);
        assert_eq!(calendar.take_changes(), []);
        let run = runs(&mut calendar, "c").remove(0);
        assert_eq!((run.state, run.detail.as_deref()), (state, Some("no answer")));
    }
}

#[test]
fn a_batch_that_a_late_start_may_still_open_is_told_again_after_that() {
    for (what, word) in [(Act::Cancel, "cancel"), (Act::Pause, "pause")] {
        let mut calendar = starting();
        let start = calendar.next_task(DUE);
        calendar.returned(&start, &Outcome::Failed("no answer".to_owned()), DUE);
        act(&mut calendar, "c", what, DUE);
        let tell = calendar.next_task(DUE);
        calendar.returned(&tell, &Outcome::NotThere, DUE);
        assert_eq!(words(&calendar, DUE), NOTHING);
        let until = DUE + START_TIME + CLOCK_SKEW;
        assert_eq!(
            (calendar.wake(), words(&calendar, until)),
            (Some(until), vec![word.to_owned()])
        );
        // By then it could not be opened any more.
        let tell = calendar.next_task(until);
        calendar.returned(&tell, &Outcome::NotThere, until);
        assert_eq!((calendar.wake(), words(&calendar, until)), (None, vec![]));
    }
}

#[test]
fn a_run_that_can_never_be_started_fails_at_once_with_the_reason() {
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    let reason = "/notification/expiration: is over";
    calendar.returned(&start, &Outcome::Rejected(reason.to_owned()), DUE);
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!(
        (run.state, run.detail.as_deref()),
        (RunState::Failed, Some(reason))
    );
    assert_eq!(state(&mut calendar, "c"), State::Done);
    // An attempt before it may have opened the batch.
    assert_eq!(words(&calendar, DUE), ["cancel"]);
}

#[test]
fn a_start_whose_turn_comes_after_the_grace_is_missed() {
    let mut calendar = starting();
    calendar.give_up(GRACE, DUE + GRACE);
    assert_eq!(words(&calendar, DUE + GRACE), ["start 60"]);
    calendar.give_up(GRACE, DUE + GRACE + Duration::from_millis(1));
    assert_eq!((words(&calendar, DUE + GRACE), calendar.wake()), (vec![], None));
    let run = runs(&mut calendar, "c").remove(0);
    assert_eq!((run.state, run.detail.as_deref()), (RunState::Missed, Some(LATE)));
    assert_eq!(state(&mut calendar, "c"), State::Done);
}

#[test]
fn a_run_whose_devices_left_while_it_was_started_is_cancelled_and_not_forgotten() {
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    calendar.failed(&start, "no answer", DUE);
    let start = calendar.next_task(DUE + MINUTE);
    calendar.returned(&start, &Outcome::ForNobody, DUE + MINUTE);
    assert_eq!(run_states(&mut calendar, "c"), [RunState::Failed]);
    assert_eq!(words(&calendar, DUE + MINUTE), ["cancel"]);
    // One that nobody had tried before is as if it had never been due.
    let mut calendar = starting();
    let start = calendar.next_task(DUE);
    calendar.returned(&start, &Outcome::ForNobody, DUE);
    assert_eq!(
        (run_states(&mut calendar, "c"), state(&mut calendar, "c")),
        (vec![], State::Done)
    );
}

#[test]
fn tells_come_before_starts_and_each_in_the_order_in_which_they_became_due() {
    let mut calendar = calendar(vec![
        campaign("a", hourly()),
        campaign("b", once()),
        campaign("c", once()),
    ]);
    calendar.tick(GRACE, NOW + MINUTE);
    work(&mut calendar, NOW + MINUTE);
    calendar.tick(GRACE, NOW + GRACE);
    act(&mut calendar, "c", Act::Cancel, NOW + GRACE + MINUTE);
    act(&mut calendar, "b", Act::Pause, NOW + GRACE);
    assert_eq!(
        words(&calendar, NOW + GRACE + MINUTE),
        ["pause", "cancel", "start 3600"]
    );
}

#[test]
fn a_cancel_asks_for_all_runs_that_are_stopping() {
    let mut calendar = calendar(vec![campaign("c", minutely())]);
    for minute in 1..=150 {
        calendar.tick(GRACE, NOW + minute * MINUTE);
        work(&mut calendar, NOW + minute * MINUTE);
    }
    let now = NOW + 150 * MINUTE;
    act(&mut calendar, "c", Act::Cancel, now);
    let mut stopping = |limit| {
        let id = "c".to_owned();
        match calendar.apply(Command::Stopping { id, limit }, GRACE, now) {
            Reply::Runs(page) => (page.runs.len(), page.runs[0].at, page.cursor.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stopping(149), (149, NOW + MINUTE, true));
    assert_eq!(stopping(150), (150, NOW + MINUTE, false));
    end(&mut calendar, "c", NOW + MINUTE, now);
    let id = "c".to_owned();
    let reply = calendar.apply(Command::Stopping { id, limit: 1000 }, GRACE, now);
    assert!(matches!(reply, Reply::Runs(page) if page.runs.len() == 149));
}
