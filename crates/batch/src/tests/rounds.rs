use super::*;
use apns::{Outcome, Reply};
use delivery::receipt::Receipt;
use delivery::verdict::{TokenRefusal, judge};

/// Sends a chunk's only push again and again with the same outcome. Returns the delay of each round.
fn delays(results: &Results, rounds: usize) -> Vec<Duration> {
    let mut batch = sealed(terms(), 1, 1);
    let mut now = BEGIN;
    let delay = |_| {
        let work = batch.claim(0, now).unwrap();
        batch.settle(0, work.until, results, true, now);
        let due_at = due_at(&batch, 0);
        assert_eq!(batch.claim(0, due_at - Duration::from_millis(1)), None);
        let delay = due_at.since(now);
        now = due_at;
        delay
    };
    (0..rounds).map(delay).collect()
}

#[test]
fn a_round_waits_twice_as_long_as_the_one_before_up_to_the_longest_of_its_class() {
    let retry = |again| results_of(Verdict::Retry(again), 0, "Reason", [0]);
    let token = |refusal| retry(RetryCause::ProviderToken(refusal));
    for (results, first, longest) in [
        (overloaded([0]), 10, 900),
        (throttled([0]), 60, 900),
        (retry(RetryCause::Connection), 1, 60),
        (retry(RetryCause::Network), 1, 60),
        (token(TokenRefusal::Expired), 1, 60),
        (token(TokenRefusal::TooManyUpdates), 60, 1200),
        (results_of(Verdict::Unknown, 0, "DeadlinePassed", [0]), 1, 60),
    ] {
        for (round, delay) in delays(&results, 12).into_iter().enumerate() {
            let full = secs((first << round).min(longest));
            assert!(
                delay >= full / 2 && delay <= full,
                "{results:?}, round {round}: {delay:?}"
            );
        }
    }
}

#[test]
fn nothing_is_sent_again_within_five_seconds_of_a_5xx() {
    for chunk in 0..200 {
        let mut batch = under_way(terms(), 201, 500);
        let work = batch.claim(chunk + 1, BEGIN).unwrap();
        batch.settle(chunk + 1, work.until, &overloaded(0..500), true, BEGIN);
        assert!(due_at(&batch, chunk + 1) >= BEGIN + secs(5));
    }
}

#[test]
fn retry_after_is_obeyed() {
    let mut results = overloaded([0]);
    results.groups[0].retry_after_ms = Some(1_800_000);
    assert_eq!(delays(&results, 3), [secs(1800); 3]);
}

#[test]
fn a_retry_after_that_is_a_date_is_when_the_next_round_is_sent() {
    // 2027-01-15T09:00:00Z is an hour after `BEGIN`.
    let date = BEGIN + secs(3600);
    for (status, reason) in [(429, "TooManyRequests"), (503, "ServiceUnavailable")] {
        for value in [
            "Fri, 15 Jan 2027 09:00:00 GMT",
            "Friday, 15-Jan-27 09:00:00 GMT",
            "Fri Jan 15 09:00:00 2027",
        ] {
            // The delay has a resolution of a second, so the round also begins at the date.
            for now in [BEGIN, BEGIN + Duration::from_millis(250)] {
                let header = |name: &str| (name == "retry-after").then_some(value);
                let body = format!(r#"{{"reason":"{reason}"}}"#);
                let outcome = Outcome::Answered(Reply::read(status, header, body.as_bytes(), now));
                let mut results = Results::default();
                results.add(&Receipt {
                    push: 0,
                    verdict: judge(&outcome),
                    outcome,
                    retry_after: None,
                    attempts: 1,
                    latency: Duration::ZERO,
                    one_attempt: false,
                });
                let mut batch = sealed(terms(), 1, 1);
                let work = batch.claim(0, now).unwrap();
                batch.settle(0, work.until, &results, true, now);
                assert_eq!(due_at(&batch, 0), date, "{status} {value}");
                assert_eq!(batch.claim(0, date - Duration::from_millis(1)), None);
                assert!(batch.claim(0, date).is_some());
            }
        }
    }
}

#[test]
fn attempts_add_up_over_rounds() {
    let mut batch = sealed(terms(), 1, 3);
    let work = batch.claim(0, BEGIN).unwrap();
    let mut results = overloaded([0, 1]);
    results.groups[0].result.attempts = 3;
    batch.settle(0, work.until, &both(results, accepted([2])), true, BEGIN);
    let now = due_at(&batch, 0);
    let work = batch.claim(0, now).unwrap();
    assert_eq!(work.indices, BitSet::first(2));
    batch.settle(0, work.until, &both(throttled([0]), accepted([1])), true, now);
    let now = due_at(&batch, 0);
    let work = batch.claim(0, now).unwrap();
    batch.settle(0, work.until, &accepted([0]), true, now);
    let attempts = |(result, count): (&FinalResult, u64)| (result.attempts, count);
    let attempts: Vec<(u8, u64)> = endings(&batch).into_iter().map(attempts).collect();
    assert_eq!(attempts, [(1, 1), (4, 1), (5, 1)]);
}

#[test]
fn a_late_ending_has_the_attempts_of_the_rounds_before() {
    let mut batch = sealed(terms(), 1, 1);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &throttled([0]), true, BEGIN);
    let late = batch.claim(0, due_at(&batch, 0)).unwrap();
    batch.settle(0, late.until, &accepted([0]), true, late.until + secs(5));
    assert_eq!(endings(&batch)[0].0.attempts, 2);
}

#[test]
fn so_many_attempts_that_a_byte_does_not_hold_them_stay_at_255() {
    let mut batch = sealed(terms(), 1, 1);
    let mut now = BEGIN;
    for _ in 0..3 {
        let work = batch.claim(0, now).unwrap();
        let mut results = overloaded([0]);
        results.groups[0].result.attempts = 200;
        batch.settle(0, work.until, &results, true, now);
        now = due_at(&batch, 0);
    }
    assert_eq!(batch.progress(0).unwrap().retries[0].group.attempts, 255);
}

#[test]
fn a_push_is_given_up_when_its_next_round_would_come_after_its_budget() {
    let terms = Terms {
        retry_for_ms: 60_000,
        ..terms()
    };
    let mut batch = sealed(terms, 1, 1);
    let mut now = BEGIN;
    while !batch.record().state.has_ended() {
        let work = batch.claim(0, now).unwrap();
        batch.settle(0, work.until, &overloaded([0]), true, now);
        if !batch.record().state.has_ended() {
            now = due_at(&batch, 0);
            assert!(now <= BEGIN + secs(60));
        }
    }
    let [(result, 1)] = endings(&batch)[..] else {
        panic!("{:?}", endings(&batch))
    };
    assert_eq!(result.gave_up, Some(GaveUp::OutOfRetries));
    assert_eq!(
        (result.code, result.reason.as_deref()),
        (503, Some("ServiceUnavailable"))
    );
    assert!(result.attempts >= 3, "{result:?}");
    assert_eq!(counts(&batch, now).failed, 1);
}

#[test]
fn a_budget_begins_when_the_push_has_first_come_back() {
    let mut batch = under_way(terms(), 2, 500);
    // Its turn comes late because the batch is slow or was paused.
    let late = BEGIN + secs(5 * 86_400);
    let work = batch.claim(1, late).unwrap();
    batch.settle(1, work.until, &overloaded(0..500), true, late);
    assert_eq!(counts(&batch, late).retrying, 500);
}

#[test]
fn a_push_is_given_up_when_its_next_round_would_come_after_its_expiration() {
    let terms = Terms {
        expires_at: Some(BEGIN + secs(20)),
        ..terms()
    };
    let mut batch = sealed(terms, 1, 1);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &throttled([0]), true, BEGIN);
    let [(result, 1)] = endings(&batch)[..] else {
        panic!("{:?}", endings(&batch))
    };
    assert_eq!(result.gave_up, Some(GaveUp::Expired));
    assert_eq!((result.code, result.attempts), (429, 1));
    assert_eq!(batch.record().state, State::Done);
}

#[test]
fn nothing_is_sent_after_the_expiration() {
    let expires_at = BEGIN + secs(60);
    let terms = Terms {
        expires_at: Some(expires_at),
        ..terms()
    };
    let mut batch = under_way(terms, 4, 500);
    assert_eq!(batch.plan(BEGIN), [1, 2, 3]);
    let work = batch.claim(1, BEGIN).unwrap();
    let later = BEGIN + secs(1);
    batch.settle(
        1,
        work.until,
        &both(overloaded(0..9), accepted(9..500)),
        true,
        later,
    );
    let running = batch.claim(2, expires_at - secs(1)).unwrap();
    let wake = batch.wake(later + secs(30)).unwrap();
    assert!(wake >= due_at(&batch, 1) && wake < due_at(&batch, 1) + secs(1));
    assert_eq!(batch.claim(3, expires_at), None);
    assert_eq!(batch.plan(expires_at), NOTHING);
    assert_eq!(
        batch.wake(expires_at),
        Some(running.until),
        "nothing to do before the runner has told"
    );
    batch.settle(2, running.until, &untried(0..500), true, expires_at);
    assert_eq!(batch.record().state, State::Done);
    let expired = endings(&batch).into_iter();
    let expired = expired.filter(|(result, _)| result.gave_up == Some(GaveUp::Expired));
    let expired: Vec<(u8, u64)> = expired.map(|(result, count)| (result.attempts, count)).collect();
    assert_eq!(expired, [(1, 9), (0, 1000)]);
    assert_eq!(counts(&batch, expires_at).failed, 1009);
}

#[test]
fn a_paused_batch_expires_too() {
    let terms = Terms {
        expires_at: Some(BEGIN + secs(60)),
        ..terms()
    };
    let mut batch = sealed(terms, 2, 5);
    let (by, detail) = (PausedBy::Caller, String::new());
    batch.pause(Pause { by, detail }, BEGIN);
    assert_eq!(batch.wake(BEGIN), Some(BEGIN + secs(60)));
    batch.plan(BEGIN + secs(60));
    assert_eq!(batch.record().state, State::Done);
}

#[test]
fn a_large_batch_expires_bit_by_bit() {
    let terms = Terms {
        expires_at: Some(BEGIN + secs(60)),
        ..terms()
    };
    let mut batch = sealed(terms, 1000, 500);
    let (mut now, mut most) = (BEGIN + secs(60), 0);
    while !batch.record().state.has_ended() {
        assert_eq!(batch.plan(now), NOTHING);
        let (chunks, _) = batch.take_unsaved();
        batch.saved(&chunks);
        most = most.max(chunks.len());
        let next = batch.wake(now).unwrap();
        assert!(next <= now || batch.record().state.has_ended());
        now = now + Duration::from_millis(1);
    }
    assert_eq!(most, 256);
    assert_eq!(counts(&batch, now).failed, 500_000);
}

#[test]
fn an_answer_that_was_lost_is_final_for_a_push_that_would_show_twice() {
    for (repeatable, retrying) in [(true, 1), (false, 0)] {
        let terms = Terms {
            repeatable,
            ..terms()
        };
        let mut batch = sealed(terms, 1, 1);
        let work = batch.claim(0, BEGIN).unwrap();
        let lost = results_of(Verdict::Unknown, 0, "DeadlinePassed", [0]);
        batch.settle(0, work.until, &lost, true, BEGIN);
        let counts = counts(&batch, BEGIN);
        assert_eq!((counts.retrying, counts.failed), (retrying, 1 - retrying));
    }
}

#[test]
fn endings_of_other_verdicts_are_never_taken_for_one_another_however_many_reasons_there_are() {
    let mut batch = sealed(terms(), 5, 500);
    for number in 0..4_u32 {
        let work = batch.claim(number, BEGIN).unwrap();
        for index in 0..500 {
            let reason = format!("Reason{number}-{index}");
            let results = results_of(Verdict::FixRequest, 400, &reason, [index]);
            batch.settle(number, work.until, &results, index == 499, BEGIN);
        }
    }
    assert_eq!(batch.record().final_results.len(), MAX_FINAL_RESULTS);
    let work = batch.claim(4, BEGIN).unwrap();
    let gone = results_of(Verdict::DropDevice, 410, "Unregistered", 0..250);
    let results = both(gone, accepted(250..500));
    batch.settle(4, work.until, &results, true, BEGIN);
    let counts = counts(&batch, BEGIN);
    assert_eq!((counts.rejected, counts.gone, counts.accepted), (2250, 250, 250));
}
