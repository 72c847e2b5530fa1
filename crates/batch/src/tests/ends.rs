use super::*;

#[test]
fn a_batch_is_done_when_all_its_pushes_have_ended() {
    let mut batch = sealed(terms(), 2, 5);
    assert_eq!(batch.record().sealed_at, Some(BEGIN));
    for number in [0, 1] {
        assert_eq!(batch.record().state, State::Running);
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &accepted(0..4), false, BEGIN);
        assert_eq!(batch.record().state, State::Running);
        batch.settle(number, work.until, &bad_tokens([4]), true, BEGIN);
    }
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(batch.record().ended_at, Some(BEGIN));
    assert_eq!(
        batch.take_notices(),
        [Notice::StateChanged, Notice::StateChanged],
        "it ran, and it is done"
    );
    let counts = counts(&batch, BEGIN);
    assert_eq!((counts.accepted, counts.rejected, counts.gone), (8, 2, 0));
}

#[test]
fn a_batch_without_pushes_is_done_at_once() {
    let batch = Batch::seal(record(terms()), Vec::new(), BEGIN);
    assert_eq!(batch.record().state, State::Done);
}

#[test]
fn a_batch_is_kept_for_its_retention_time() {
    let mut batch = sealed(terms(), 1, 1);
    assert_eq!(batch.outdated_at(), None);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), true, BEGIN);
    let wake = batch.wake(BEGIN).unwrap();
    assert_eq!(wake, BEGIN + secs(7 * 86_400));
    assert_eq!(batch.outdated_at(), Some(wake));
}

#[test]
fn nothing_is_claimed_after_a_cancel_and_what_is_in_flight_is_recorded() {
    let mut batch = under_way(terms(), 4, 500);
    batch.plan(BEGIN);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.cancel(BEGIN);
    assert_eq!(batch.record().state, State::Cancelling);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    assert_eq!(batch.claim(2, BEGIN), None);
    let settled = batch.settle(1, work.until, &accepted(0..100), false, BEGIN);
    assert!(settled.stop);
    assert_eq!(batch.record().state, State::Cancelling);
    let results = both(accepted(0..150), both(throttled(150..160), untried(160..500)));
    batch.settle(1, work.until, &results, true, BEGIN);
    assert_eq!(batch.record().state, State::Cancelled);
    let counts = counts(&batch, BEGIN);
    assert_eq!((counts.accepted, counts.cancelled), (650, 1350));
    assert_eq!((counts.retrying, counts.in_flight, counts.waiting), (0, 0, 0));
}

#[test]
fn a_batch_without_runners_is_cancelled_at_once() {
    let mut batch = under_way(terms(), 2, 500);
    batch.cancel(BEGIN);
    assert_eq!(batch.record().state, State::Cancelled);
    batch.cancel(BEGIN);
    batch.resume(BEGIN);
    let (by, detail) = (PausedBy::Caller, String::new());
    batch.pause(Pause { by, detail }, BEGIN);
    assert_eq!(batch.record().state, State::Cancelled, "that is its end");
}

#[test]
fn a_dead_runner_holds_up_a_cancel_until_its_time_is_over() {
    let mut batch = under_way(terms(), 2, 500);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.cancel(BEGIN);
    assert_eq!(batch.wake(BEGIN), Some(work.until));
    batch.plan(work.until);
    assert_eq!(batch.record().state, State::Cancelled);
    let settled = batch.settle(1, work.until, &accepted(0..10), true, work.until + secs(1));
    assert!(settled.stop);
    let counts = counts(&batch, work.until);
    assert_eq!((counts.accepted, counts.cancelled), (510, 490), "it has happened");
}

#[test]
fn nothing_is_claimed_while_a_batch_is_paused() {
    let mut batch = under_way(terms(), 3, 500);
    batch.plan(BEGIN);
    let work = batch.claim(1, BEGIN).unwrap();
    let (by, detail) = (PausedBy::Caller, "by hand".to_owned());
    batch.pause(Pause { by, detail }, BEGIN);
    assert_eq!(batch.claim(2, BEGIN), None);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    let settled = batch.settle(1, work.until, &accepted(0..100), false, BEGIN);
    assert!(settled.stop);
    batch.settle(
        1,
        work.until,
        &both(accepted(0..100), untried(100..500)),
        true,
        BEGIN,
    );
    assert_eq!(counts(&batch, BEGIN).waiting, 900);
    let later = BEGIN + secs(3600);
    batch.resume(later);
    assert_eq!(batch.record().paused, None);
    assert_eq!(batch.plan(later), [1, 2], "400 and 500");
}

#[test]
fn a_paused_batch_whose_last_pushes_end_is_done() {
    let mut batch = sealed(terms(), 1, 5);
    let work = batch.claim(0, BEGIN).unwrap();
    let (by, detail) = (PausedBy::Caller, String::new());
    batch.pause(Pause { by, detail }, BEGIN);
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(batch.record().paused, None);
}

#[test]
fn the_overview_tells_where_every_push_is() {
    let mut batch = under_way(terms(), 4, 500);
    let one = batch.claim(1, BEGIN).unwrap();
    let results = both(
        accepted(0..100),
        both(
            throttled(100..150),
            both(
                overloaded(150..200),
                results_of(Verdict::DropDevice, 410, "Unregistered", 200..210),
            ),
        ),
    );
    batch.settle(1, one.until, &results, true, BEGIN);
    batch.claim(2, BEGIN).unwrap();
    assert_eq!(
        counts(&batch, BEGIN),
        Counts {
            accepted: 600,
            rejected: 10,
            retrying: 100,
            in_flight: 500,
            waiting: 790,
            gone: 10,
            ..Counts::default()
        }
    );
    let overview = batch.overview(BEGIN);
    assert_eq!((overview.pushes, overview.chunks), (2000, 4));
    let reasons = overview.reasons.iter();
    let reasons: Vec<(u16, u64)> = reasons.map(|reason| (reason.result.code, reason.count)).collect();
    assert_eq!(reasons, [(200, 600), (410, 10)]);
}

#[test]
fn the_rate_is_that_of_the_last_seconds() {
    let mut batch = under_way(terms(), 400, 500);
    let mut now = BEGIN;
    for number in 1..101 {
        now = now + Duration::from_millis(250);
        let work = batch.claim(number, now).unwrap();
        batch.settle(number, work.until, &accepted(0..500), true, now);
    }
    let overview = batch.overview(now);
    assert!((1900..=2100).contains(&overview.rate), "{}", overview.rate);
    let eta = overview.eta.unwrap();
    assert!(eta > secs(70) && eta < secs(80), "{eta:?}");
    assert!(batch.overview(now + secs(3600)).rate < 10);
}

#[test]
fn a_control_that_arrives_after_a_newer_one_changes_nothing() {
    let mut batch = under_way(terms(), 4, 500);
    let [first, second, third] = [1, 2, 3].map(|after| BEGIN + secs(after));
    let now = BEGIN + secs(10);
    assert_eq!(
        batch.control(BatchControl::Pause, first, now).state,
        State::Paused
    );
    assert_eq!(
        batch.control(BatchControl::Resume, third, now).state,
        State::Running
    );
    batch.take_unsaved();
    assert_eq!(
        batch.control(BatchControl::Pause, second, now).state,
        State::Running
    );
    assert_eq!(batch.take_unsaved(), (vec![], false));
    // A control that is repeated because its answer was lost is applied again.
    assert_eq!(
        batch.control(BatchControl::Resume, third, now).state,
        State::Running
    );
    // The moment survives a restart of the object.
    let text = serde_json::to_string(batch.record()).unwrap();
    let record: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(record.controlled_at, third);
}
