use super::*;

#[test]
fn only_so_many_chunks_are_out_at_once() {
    let mut batch = under_way(terms(), 200, 500);
    let out = batch.plan(BEGIN);
    assert_eq!(out, (1..65).collect::<Vec<u32>>());
    let work = batch.claim(1, BEGIN).unwrap();
    assert_eq!(batch.plan(BEGIN), NOTHING, "one that a runner has is out too");
    batch.settle(1, work.until, &accepted(0..500), true, BEGIN);
    assert_eq!(batch.plan(BEGIN), [65]);
}

#[test]
fn a_batch_that_goes_fast_may_have_more_out_and_a_slow_one_less_again() {
    let mut batch = under_way(terms(), 4000, 500);
    let (mut now, mut out) = (BEGIN, VecDeque::new());
    for _ in 0..100 {
        now = now + Duration::from_millis(100);
        out.extend(batch.plan(now));
        for number in out.drain(..10) {
            let work = batch.claim(number, now).unwrap();
            batch.settle(number, work.until, &accepted(0..500), true, now);
        }
    }
    assert!((350..=450).contains(&out.len()), "{} at 50,000/s", out.len());
    let slow = batch.plan(now + secs(600)).len();
    assert_eq!(slow, 64, "those before count as lost");
}

#[test]
fn chunks_of_which_little_is_left_do_not_hold_up_the_others() {
    let mut batch = under_way(terms(), 400, 500);
    for number in 1..201 {
        let work = batch.claim(number, BEGIN).unwrap();
        let results = both(accepted(0..499), throttled([499]));
        batch.settle(number, work.until, &results, true, BEGIN);
    }
    let planned = batch.plan(BEGIN + secs(60));
    assert_eq!(
        planned.len(),
        200 + 64,
        "the 200 pushes that are due, and 64 full chunks"
    );
}

#[test]
fn what_was_tried_before_goes_first_in_the_order_in_which_it_is_due() {
    let mut batch = under_way(terms(), 40, 500);
    let mut due = Vec::new();
    for number in 1..20 {
        let now = BEGIN + Duration::from_millis(u64::from(number));
        let work = batch.claim(number, now).unwrap();
        let results = both(accepted(0..400), throttled(400..500));
        batch.settle(number, work.until, &results, true, now);
        due.push((due_at(&batch, number), number));
    }
    due.sort_unstable();
    let now = due[9].0;
    let planned = batch.plan(now);
    let expected: Vec<u32> = due[..10].iter().map(|(_, number)| *number).collect();
    assert_eq!(planned[..10], expected);
    assert_eq!(
        planned[10..],
        (20..40).collect::<Vec<u32>>(),
        "then what is fresh"
    );
    let wake = batch.wake(now).unwrap();
    assert!(wake >= due[10].0 && wake.since(due[10].0) < Duration::from_millis(500));
}

#[test]
fn a_message_that_woke_nobody_within_a_minute_is_sent_again() {
    let mut batch = under_way(terms(), 3, 500);
    assert_eq!(batch.plan(BEGIN), [1, 2]);
    batch.claim(1, BEGIN + secs(5)).unwrap();
    let wake = batch.wake(BEGIN + secs(5)).unwrap();
    assert_eq!(wake, BEGIN + secs(60));
    assert_eq!(batch.plan(wake - secs(1)), NOTHING);
    assert_eq!(batch.plan(wake), [2]);
}

#[test]
fn a_queue_that_stands_still_is_not_filled_with_the_same_chunks() {
    let mut batch = under_way(terms(), 3, 500);
    let (mut now, mut messages) = (BEGIN, 0);
    while now < BEGIN + secs(12 * 3600) {
        messages += batch.plan(now).len();
        now = batch.wake(now).unwrap();
    }
    assert!(messages < 2 * 60, "{messages}");
    batch.claim(1, now).unwrap();
    batch.claim(2, now).unwrap();
    batch.plan(now + CLAIM + secs(1));
    let again = now + CLAIM + secs(2);
    assert_eq!(batch.plan(again), [1, 2]);
    assert_eq!(batch.plan(again + secs(60)), [1, 2], "it moves again");
}

#[test]
fn a_queue_that_refuses_is_left_alone_for_a_moment() {
    let mut batch = under_way(terms(), 4, 500);
    assert_eq!(batch.plan(BEGIN), [1, 2, 3]);
    batch.not_queued(&[2, 3], BEGIN);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    let wake = batch.wake(BEGIN).unwrap();
    assert_eq!(wake, BEGIN + secs(5));
    assert_eq!(batch.plan(wake), [2, 3], "the first is in the queue");
}

#[test]
fn an_object_that_forgot_what_it_queued_takes_messages_that_come() {
    let rows = [(0, under_way(terms(), 1, 500).progress(0).unwrap().clone())];
    let record = under_way(terms(), 3, 500).record().clone();
    let mut batch = Batch::load(record, sizes(3, 500), rows);
    assert!(batch.claim(2, BEGIN).is_some());
}

#[test]
fn a_batch_with_nothing_to_do_sleeps_until_a_claim_ends_or_a_round_is_due() {
    let mut batch = under_way(terms(), 3, 500);
    batch.plan(BEGIN);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.claim(2, BEGIN + secs(1)).unwrap();
    assert_eq!(batch.wake(BEGIN + secs(1)), Some(work.until));
    let results = both(accepted(0..400), throttled(400..500));
    batch.settle(1, work.until, &results, true, BEGIN + secs(1));
    let wake = batch.wake(BEGIN + secs(1)).unwrap();
    assert!(wake >= due_at(&batch, 1) && wake < due_at(&batch, 1) + secs(1));
}

#[test]
fn a_batch_that_nobody_resumes_is_cancelled_after_a_month() {
    let mut batch = under_way(terms(), 3, 500);
    let (by, detail) = (PausedBy::Caller, String::new());
    batch.pause(Pause { by, detail }, BEGIN);
    let wake = batch.wake(BEGIN).unwrap();
    assert_eq!(wake, BEGIN + secs(30 * 86_400));
    batch.plan(wake);
    assert_eq!(batch.record().state, State::Cancelled);
    assert_eq!(counts(&batch, wake).cancelled, 1000);
}
