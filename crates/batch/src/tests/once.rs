//! Pushes that are sent at most once, and pushes with one attempt.

use super::*;
use delivery::fanout::ONE_ATTEMPT_TIME;

/// The terms of a batch whose pushes are not merged.
fn at_most_once() -> Terms {
    Terms {
        repeatable: false,
        collapse_repeats: false,
        ..terms()
    }
}

/// The terms of a batch with `expiration: 0`.
fn one_attempt() -> Terms {
    Terms {
        one_attempt: true,
        retry_for_ms: u64::try_from(ONE_ATTEMPT_TIME.as_millis()).unwrap(),
        ..at_most_once()
    }
}

fn never_left(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::Retry(RetryCause::Network), 0, "Unreachable", indices)
}

#[test]
fn pushes_that_nothing_merges_are_not_sent_again_after_their_runner_died() {
    let mut batch = sealed(at_most_once(), 1, 3);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), false, BEGIN);
    assert_eq!(batch.plan(work.until), NOTHING);
    let counts = counts(&batch, work.until);
    assert_eq!((counts.accepted, counts.failed), (1, 2));
    let (result, _) = endings(&batch)[1];
    assert_eq!(
        (result.verdict, result.reason.as_deref()),
        (Verdict::Unknown, Some("RunnerLost"))
    );
    assert_eq!(batch.record.state, State::Done);
}

#[test]
fn a_push_with_one_attempt_ends_with_its_first_answer() {
    for results in [
        overloaded([0]),
        throttled([0]),
        results_of(Verdict::Retry(RetryCause::Connection), 503, "Shutdown", [0]),
        results_of(Verdict::Unknown, 0, "DeadlinePassed", [0]),
    ] {
        let mut batch = sealed(one_attempt(), 1, 1);
        let work = batch.claim(0, BEGIN).unwrap();
        batch.settle(0, work.until, &results, true, BEGIN);
        assert_eq!(batch.record.state, State::Done, "{results:?}");
        assert_eq!(counts(&batch, BEGIN).failed, 1, "{results:?}");
    }
}

#[test]
fn a_push_with_one_attempt_that_apns_cannot_have_taken_is_sent_again_for_seconds() {
    let mut batch = sealed(one_attempt(), 1, 1);
    let mut now = BEGIN;
    let mut turns = 0;
    while batch.record.state == State::Running {
        let Some(work) = batch.claim(0, now) else {
            now = now + secs(1);
            batch.plan(now);
            continue;
        };
        turns += 1;
        batch.settle(0, work.until, &never_left([0]), true, now);
        assert!(now < BEGIN + ONE_ATTEMPT_TIME);
    }
    assert!(turns > 1);
    assert_eq!(endings(&batch)[0].0.gave_up, Some(GaveUp::Expired));
}

#[test]
fn a_push_with_one_attempt_whose_runner_could_not_begin_is_given_up_within_seconds() {
    let mut batch = sealed(one_attempt(), 1, 1);
    let mut now = BEGIN;
    while let Some(work) = batch.claim(0, now) {
        batch.release(0, work.until, secs(5), now);
        now = now + secs(5);
        assert!(now <= BEGIN + ONE_ATTEMPT_TIME);
    }
    assert_eq!(batch.record.state, State::Done);
    assert_eq!(endings(&batch)[0].0.gave_up, Some(GaveUp::Expired));
}

#[test]
fn a_push_with_one_attempt_that_had_its_turn_before_a_pause_is_not_sent_after_it() {
    let mut batch = sealed(one_attempt(), 2, 1);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &refused([0]), true, BEGIN);
    assert_eq!(batch.record.state, State::Paused);
    let later = BEGIN + secs(36_000);
    batch.resume(later);
    assert_eq!(batch.claim(0, later), None);
    // The first turn counts, however long the pause was: the caller waits for it.
    assert!(batch.claim(1, later).is_some());
    assert_eq!(endings(&batch)[0].0.gave_up, Some(GaveUp::Expired));
}

#[test]
fn the_first_turn_of_a_push_with_one_attempt_comes_with_the_rate() {
    let terms = Terms {
        rate: Some(1),
        ..one_attempt()
    };
    let mut batch = sealed(terms, 1, 3);
    let mut now = BEGIN;
    for _ in 0..3 {
        let work = loop {
            match batch.claim(0, now) {
                Some(work) => break work,
                None => now = now + secs(60),
            }
        };
        assert_eq!(work.indices.len(), 1);
        batch.settle(0, work.until, &accepted(work.indices.iter()), true, now);
    }
    assert_eq!(counts(&batch, now).accepted, 3);
}

#[test]
fn a_runner_is_told_when_the_window_ends_or_its_pushes_are_too_late() {
    let windows = vec![(BEGIN, BEGIN + secs(20))];
    let until = |terms: Terms| sealed(terms, 1, 1).claim(0, BEGIN).unwrap().launch_until;
    let in_window = Terms { windows, ..terms() };
    assert_eq!(until(terms()), None);
    assert_eq!(until(in_window.clone()), Some(BEGIN + secs(20)));
    assert_eq!(until(one_attempt()), Some(BEGIN + ONE_ATTEMPT_TIME));
    let expiring = Terms {
        expires_at: Some(BEGIN + secs(5)),
        ..in_window
    };
    assert_eq!(until(expiring), Some(BEGIN + secs(5)));
}

/// Returns a batch of two chunks with three pushes each. The last two of the first chunk and all of the
/// second are duplicates.
fn with_duplicates() -> Batch {
    let mut record = record(terms());
    record.final_results.push(FinalResult::duplicate());
    let rows = [
        (0, Progress::staged(3, vec![(1, 0), (2, 0)])),
        (1, Progress::staged(3, vec![(0, 0), (1, 0), (2, 0)])),
    ];
    Batch::load(record, sizes(2, 3), rows).sealed(BEGIN)
}

#[test]
fn pushes_that_are_left_out_are_counted_from_the_start_and_never_handed_out() {
    let mut batch = with_duplicates();
    let overview = counts(&batch, BEGIN);
    assert_eq!((overview.duplicate, overview.waiting), (5, 1));
    assert_eq!(batch.plan(BEGIN), [0]);
    let work = batch.claim(0, BEGIN).unwrap();
    assert_eq!(work.indices, BitSet::first(1));
    batch.settle(0, work.until, &accepted([0]), true, BEGIN);
    assert_eq!(batch.record.state, State::Done);
    let overview = counts(&batch, BEGIN);
    assert_eq!((overview.accepted, overview.duplicate), (1, 5));
}

#[test]
fn pushes_that_are_left_out_say_nothing_about_apns_or_its_tokens() {
    let mut record = record(terms());
    record.final_results.push(FinalResult::duplicate());
    let rows = [(
        0,
        Progress::staged(500, (1..500).map(|index| (index, 0)).collect()),
    )];
    let batch = Batch::load(record, sizes(3, 500), rows).sealed(BEGIN);
    assert_eq!(batch.breaker.ended(), 0);
}

#[test]
fn pushes_that_are_left_out_format_unchanged() {
    // It is stored with the chunk.
    let progress = Progress::staged(4, vec![(1, 0), (3, 700_000)]);
    let text = r##"{"result_codes":" # #","duplicates":[[1,0],[3,700000]]}"##;
    assert_eq!(serde_json::to_string(&progress).unwrap(), text);
    let read: Progress = serde_json::from_str(text).unwrap();
    assert_eq!(read, progress);
    assert_eq!(
        (read.duplicate_of(3), read.duplicate_of(2)),
        (Some(700_000), None)
    );
}
