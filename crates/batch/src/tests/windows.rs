use super::*;

/// Open from BEGIN for a minute, and an hour later for another minute.
fn windowed() -> Terms {
    Terms {
        windows: vec![
            (BEGIN, BEGIN + secs(60)),
            (BEGIN + secs(3600), BEGIN + secs(3660)),
        ],
        ..terms()
    }
}

#[test]
fn nothing_is_planned_or_claimed_outside_a_window() {
    let mut batch = under_way(windowed(), 4, 500);
    let closed = BEGIN + secs(60);
    assert_eq!(batch.plan(closed - secs(1)), [1, 2, 3]);
    assert_eq!(batch.claim(1, closed), None, "its message came late");
    assert_eq!(batch.plan(closed), NOTHING);
    let opens = BEGIN + secs(3600);
    // Queued chunks count as lost in the meantime, which changes nothing.
    let mut now = closed;
    while let Some(wake) = batch.wake(now).filter(|wake| *wake < opens) {
        assert_eq!(batch.plan(wake), NOTHING);
        now = wake;
    }
    assert_eq!(batch.wake(now), Some(opens));
    assert_eq!(batch.overview(now).opens_at, Some(opens));
    assert_eq!(batch.plan(opens), [1, 2, 3]);
    assert!(batch.claim(1, opens).is_some());
    assert_eq!(batch.overview(opens).opens_at, None);
}

#[test]
fn a_batch_that_begins_outside_a_window_wakes_when_it_opens() {
    let terms = Terms {
        windows: vec![(BEGIN + secs(3600), BEGIN + secs(3660))],
        ..terms()
    };
    let mut batch = sealed(terms, 1, 5);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    assert_eq!(batch.wake(BEGIN), Some(BEGIN + secs(3600)));
}

#[test]
fn a_runner_is_told_to_stop_when_the_window_closes() {
    let mut batch = under_way(windowed(), 2, 500);
    let work = batch.claim(1, BEGIN).unwrap();
    let settle = |batch: &mut Batch, at| batch.settle(1, work.until, &accepted(0..100), false, at);
    assert!(!settle(&mut batch, BEGIN + secs(59)).stop);
    assert!(settle(&mut batch, BEGIN + secs(60)).stop);
    let results = both(accepted(0..100), untried(100..500));
    batch.settle(1, work.until, &results, true, BEGIN + secs(61));
    assert_eq!(
        batch.plan(BEGIN + secs(3601)),
        [1],
        "the rest goes out in the next one"
    );
}

#[test]
fn what_is_left_when_the_last_window_is_over_has_expired() {
    let mut batch = under_way(windowed(), 3, 500);
    let work = batch.claim(1, BEGIN + secs(3600)).unwrap();
    batch.settle(
        1,
        work.until,
        &both(accepted(0..400), throttled(400..500)),
        true,
        BEGIN + secs(3601),
    );
    let over = BEGIN + secs(3660);
    assert_eq!(batch.plan(BEGIN + secs(3602)), [2]);
    let mut now = BEGIN + secs(3602);
    while batch.record().state == State::Running {
        now = batch.wake(now).unwrap();
        assert!(now <= over);
        batch.plan(now);
    }
    assert_eq!((batch.record().state, now), (State::Done, over));
    let counts = counts(&batch, now);
    assert_eq!((counts.accepted, counts.failed), (900, 600));
    let expired = |(result, _): &(&FinalResult, u64)| result.gave_up == Some(GaveUp::Expired);
    let expired: u64 = endings(&batch)
        .iter()
        .filter(|found| expired(found))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(expired, 600);
}

#[test]
fn a_round_that_would_come_after_the_last_window_is_given_up() {
    let terms = Terms {
        windows: vec![(BEGIN, BEGIN + secs(20))],
        ..terms()
    };
    let mut batch = sealed(terms, 1, 5);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &throttled(0..5), true, BEGIN);
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(endings(&batch)[0].0.gave_up, Some(GaveUp::Expired));
}
