use super::*;

#[test]
fn a_message_that_comes_twice_finds_nothing() {
    let mut batch = sealed(terms(), 1, 500);
    assert_eq!(batch.plan(BEGIN), [0]);
    let work = batch.claim(0, BEGIN).unwrap();
    assert_eq!(work.indices, BitSet::first(500));
    assert_eq!(work.until, BEGIN + CLAIM);
    assert_eq!(batch.claim(0, BEGIN + secs(1)), None, "somebody has it");
    batch.settle(0, work.until, &accepted(0..500), true, BEGIN + secs(2));
    assert_eq!(batch.claim(0, BEGIN + secs(3)), None, "it is done");
}

#[test]
fn a_message_for_a_chunk_that_is_not_there_finds_nothing() {
    let mut batch = sealed(terms(), 1, 5);
    assert_eq!(batch.claim(1, BEGIN), None);
    assert_eq!(batch.claim(u32::MAX, BEGIN), None);
    let settled = batch.settle(u32::MAX, BEGIN, &accepted(0..5), true, BEGIN);
    assert!(settled.stop);
    assert_eq!(counts(&batch, BEGIN).waiting, 5);
}

#[test]
fn the_chunk_of_a_runner_that_died_is_claimed_anew_after_its_time() {
    let mut batch = sealed(terms(), 1, 500);
    let dead = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, dead.until, &accepted(0..100), false, BEGIN + secs(1));
    assert_eq!(batch.claim(0, dead.until - secs(1)), None);
    assert_eq!(batch.wake(BEGIN + secs(1)), Some(dead.until));
    assert_eq!(
        batch.plan(dead.until),
        NOTHING,
        "the network gets a moment, as it may be at fault"
    );
    let again = dead.until + secs(1);
    assert_eq!(batch.plan(again), [0]);
    let work = batch.claim(0, again).unwrap();
    assert_eq!(work.indices, (100..500).collect());
}

#[test]
fn a_runner_whose_time_is_over_is_told_to_stop() {
    let mut batch = sealed(terms(), 1, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let settled = batch.settle(0, work.until, &accepted(0..100), false, work.until - secs(1));
    assert!(!settled.stop);
    let settled = batch.settle(0, work.until, &accepted(0..200), false, work.until);
    assert!(settled.stop, "another may have it");
    assert_eq!(counts(&batch, work.until).accepted, 200);
}

#[test]
fn a_late_runner_has_its_endings_kept_and_nothing_else() {
    let mut batch = sealed(terms(), 1, 500);
    let late = batch.claim(0, BEGIN).unwrap();
    let now = late.until + secs(1);
    let work = batch.claim(0, now);
    assert_eq!(work, None, "its message has not come");
    assert_eq!(batch.plan(now + secs(1)), [0]);
    let work = batch.claim(0, now + secs(1)).unwrap();
    let results = both(accepted(0..10), both(throttled(10..20), refused(20..30)));
    let settled = batch.settle(0, late.until, &results, true, now + secs(2));
    assert!(settled.stop);
    assert_eq!(batch.record().state, State::Running);
    let progress = batch.progress(0).unwrap();
    assert_eq!(progress.ended(), BitSet::first(10));
    assert_eq!(progress.in_flight(), (10..500).collect(), "as they were");
    assert!(progress.retries.is_empty());
    let settled = batch.settle(0, work.until, &accepted(0..500), true, now + secs(3));
    assert!(!settled.stop || batch.record().state == State::Done);
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(counts(&batch, now).accepted, 500);
}

#[test]
fn a_runner_whose_pushes_another_one_has_ended_holds_nothing_up() {
    let mut batch = sealed(terms(), 1, 5);
    let late = batch.claim(0, BEGIN).unwrap();
    let now = late.until + secs(1);
    batch.plan(now);
    let work = batch.claim(0, now + secs(1)).unwrap();
    batch.settle(0, late.until, &accepted(0..5), true, now + secs(2));
    assert_eq!(batch.record().state, State::Done);
    let (chunks, _) = batch.take_unsaved();
    batch.saved(&chunks);
    assert!(batch.settle(0, work.until, &untried(0..5), true, work.until).stop);
}

#[test]
fn a_runner_that_has_told_of_everything_has_nothing_more_to_do() {
    let mut batch = sealed(terms(), 1, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let all = both(accepted(0..499), throttled([499]));
    batch.settle(0, work.until, &all, false, BEGIN);
    assert_eq!(batch.progress(0).unwrap().claim, None);
    assert!(batch.claim(0, due_at(&batch, 0)).is_some());
}

#[test]
fn the_first_ending_of_a_push_is_the_one_that_stays() {
    let mut batch = sealed(terms(), 1, 2);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), false, BEGIN);
    batch.settle(0, work.until, &bad_tokens([0, 1]), false, BEGIN);
    let counts = counts(&batch, BEGIN);
    assert_eq!((counts.accepted, counts.rejected), (1, 1));
}

#[test]
fn a_checkpoint_that_is_told_again_changes_nothing() {
    let mut batch = sealed(terms(), 1, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let results = both(accepted(0..100), throttled(100..110));
    batch.settle(0, work.until, &results, false, BEGIN + secs(1));
    let before = batch.progress(0).unwrap().clone();
    batch.settle(0, work.until, &results, false, BEGIN + secs(9));
    assert_eq!(batch.progress(0), Some(&before));
    let all = both(results, accepted(110..500));
    batch.settle(0, work.until, &all, true, BEGIN + secs(10));
    let after = batch.progress(0).unwrap().clone();
    assert_eq!(after.retries, before.retries);
    assert_eq!(after.claim, None);
    let settled = batch.settle(0, work.until, &all, true, BEGIN + secs(11));
    assert!(settled.stop);
    assert_eq!(batch.progress(0), Some(&after));
}

#[test]
fn a_settling_that_changes_nothing_is_not_written() {
    let mut batch = sealed(terms(), 1, 5);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    let (chunks, is_record_unsaved) = batch.take_unsaved();
    assert_eq!((chunks.as_slice(), is_record_unsaved), ([0].as_slice(), true));
    batch.saved(&chunks);
    assert_eq!(batch.progress(0), None, "what is done is in its row alone");
    batch.settle(0, work.until, &bad_tokens(0..5), true, BEGIN);
    assert_eq!(batch.take_unsaved(), (Vec::new(), false));
    assert_eq!(counts(&batch, BEGIN).accepted, 5);
}

#[test]
fn no_two_claims_of_a_moment_have_the_same_name() {
    let mut batch = under_way(terms(), 3, 500);
    let first = batch.claim(1, BEGIN).unwrap();
    batch.release(1, first.until, Duration::ZERO, BEGIN);
    let second = batch.claim(1, BEGIN).unwrap();
    assert_ne!(first.until, second.until);
    batch.settle(1, first.until, &throttled(0..500), true, BEGIN);
    assert!(batch.progress(1).unwrap().retries.is_empty());
}

#[test]
fn what_a_runner_does_not_tell_of_is_sent_again_at_once() {
    let mut batch = sealed(terms(), 1, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..400), true, BEGIN);
    assert_eq!(counts(&batch, BEGIN).waiting, 100);
    assert_eq!(batch.claim(0, BEGIN).unwrap().indices, (400..500).collect());
}

#[test]
fn a_run_that_tried_nothing_holds_the_batch_for_a_second() {
    for results in [Results::default(), untried(0..500)] {
        let mut batch = sealed(terms(), 1, 500);
        let work = batch.claim(0, BEGIN).unwrap();
        batch.settle(0, work.until, &results, true, BEGIN);
        assert_eq!(batch.plan(BEGIN), NOTHING);
        assert_eq!(batch.wake(BEGIN), Some(BEGIN + secs(1)));
        assert_eq!(batch.plan(BEGIN + secs(1)), [0]);
        let counts = counts(&batch, BEGIN);
        assert_eq!(counts.waiting, 500, "as if nobody had touched them");
    }
}

#[test]
fn a_released_chunk_holds_the_others_back_and_waits_as_before() {
    let mut batch = under_way(terms(), 3, 500);
    assert_eq!(batch.plan(BEGIN), [1, 2]);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.release(1, work.until, secs(10), BEGIN);
    assert_eq!(
        batch.claim(2, BEGIN + secs(9)),
        None,
        "its message comes to nothing"
    );
    assert_eq!(batch.plan(BEGIN + secs(9)), NOTHING);
    assert_eq!(batch.wake(BEGIN + secs(9)), Some(BEGIN + secs(10)));
    assert_eq!(batch.plan(BEGIN + secs(10)), [1, 2]);
    assert_eq!(counts(&batch, BEGIN).retrying, 0);
}

#[test]
fn a_release_by_a_runner_whose_time_is_over_holds_nothing() {
    let mut batch = under_way(terms(), 2, 500);
    let late = batch.claim(1, BEGIN).unwrap();
    batch.release(1, late.until, secs(60), late.until);
    assert_eq!(batch.plan(late.until + secs(1)), [1]);
}

#[test]
fn a_chunk_whose_runners_all_die_is_given_up_with_its_budget() {
    let mut batch = sealed(terms(), 1, 2);
    let mut now = BEGIN;
    let mut claims = 0;
    while !batch.record().state.has_ended() {
        for number in batch.plan(now) {
            claims += u32::from(batch.claim(number, now).is_some());
        }
        now = batch.wake(now).unwrap();
    }
    let took = batch.record().ended_at.unwrap().since(BEGIN);
    assert!(took > secs(86_000) && took < secs(87_000), "{took:?}");
    assert!((450..750).contains(&claims), "{claims}");
    let [(result, 2)] = endings(&batch)[..] else {
        panic!("{:?}", endings(&batch))
    };
    assert_eq!(result.gave_up, Some(GaveUp::OutOfRetries));
    assert_eq!(result.reason.as_deref(), Some("RunnerLost"));
    assert_eq!(counts(&batch, now).failed, 2);
}
