mod refusals;

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::receipt::Status;
use apns::Reply;

const START: Timestamp = Timestamp::from_secs(1_795_420_800);

fn plan(pushes: usize, window: usize) -> Plan {
    Plan {
        pushes,
        window,
        proven: true,
        accepted: 0,
        launch_until: START + Duration::from_secs(60),
        resend_until: START + Duration::from_secs(20),
        one_attempt: false,
    }
}

fn answer(status: u16, reason: &str) -> Outcome {
    let body = if reason.is_empty() {
        String::new()
    } else {
        format!("{{\"reason\":\"{reason}\"}}")
    };
    Outcome::Answered(Reply::read(
        status,
        |name| (name == "apns-id").then_some("an-id"),
        body.as_bytes(),
        START,
    ))
}

fn launch(fanout: &mut Fanout, now: Timestamp) -> Launch {
    match fanout.next(now) {
        Next::Launch(launch) => launch,
        other => panic!("expected a launch, got {other:?}"),
    }
}

fn settle(fanout: &mut Fanout, launch: Launch, outcome: Outcome) -> Option<Receipt> {
    fanout.settle(launch, outcome, false, START)
}

#[test]
fn no_more_than_the_window_is_in_flight() {
    let mut fanout = Fanout::new(plan(10, 3));
    let first: Vec<Launch> = (0..3).map(|_| launch(&mut fanout, START)).collect();
    assert_eq!(fanout.next(START), Next::Wait(None));
    for attempt in first {
        settle(&mut fanout, attempt, answer(200, "")).unwrap();
        launch(&mut fanout, START);
        assert_eq!(fanout.next(START), Next::Wait(None));
    }
}

#[test]
fn the_first_push_of_an_unproven_token_goes_alone() {
    let mut fanout = Fanout::new(Plan {
        proven: false,
        ..plan(10, 6)
    });
    let first = launch(&mut fanout, START);
    assert_eq!(fanout.next(START), Next::Wait(None));
    settle(&mut fanout, first, answer(410, "Unregistered")).unwrap();
    for _ in 0..6 {
        launch(&mut fanout, START);
    }
    assert_eq!(fanout.next(START), Next::Wait(None));
}

#[test]
fn an_answer_that_says_nothing_of_the_token_does_not_open_the_window() {
    for outcome in [
        answer(503, "Shutdown"),
        Outcome::NotSent(TransportError::Unreachable),
        Outcome::Lost(TransportError::Deadline),
    ] {
        let mut fanout = Fanout::new(Plan {
            proven: false,
            ..plan(10, 6)
        });
        let first = launch(&mut fanout, START);
        settle(&mut fanout, first, outcome.clone());
        launch(&mut fanout, START);
        assert_eq!(fanout.next(START), Next::Wait(None), "{outcome:?}");
    }
}

#[test]
fn a_server_error_is_sent_again_twice_and_then_handed_back_with_apples_delay() {
    let mut fanout = Fanout::new(plan(1, 6));
    let mut now = START;
    for _ in 0..MAX_RESENDS {
        let attempt = launch(&mut fanout, now);
        assert_eq!(
            fanout.settle(attempt, answer(503, "ServiceUnavailable"), false, now),
            None
        );
        let Next::Wait(Some(due)) = fanout.next(now) else {
            panic!("a wait")
        };
        assert!(due > now);
        now = due;
    }
    let attempt = launch(&mut fanout, now);
    let receipt = fanout
        .settle(attempt, answer(503, "ServiceUnavailable"), false, now)
        .unwrap();
    assert_eq!((receipt.status(), receipt.attempts), (Status::Retrying, 3));
    assert_eq!(receipt.retry_after, Some(Duration::from_secs(900)));
    assert_eq!(fanout.next(now), Next::Done);
}

#[test]
fn no_resend_outlasts_the_time_budget() {
    let mut fanout = Fanout::new(Plan {
        resend_until: START,
        ..plan(1, 6)
    });
    let attempt = launch(&mut fanout, START);
    let receipt = fanout
        .settle(attempt, answer(503, "ServiceUnavailable"), false, START)
        .unwrap();
    assert_eq!((receipt.status(), receipt.attempts), (Status::Retrying, 1));
}

#[test]
fn a_retry_after_beyond_the_budget_goes_to_the_caller() {
    let mut fanout = Fanout::new(plan(1, 6));
    let attempt = launch(&mut fanout, START);
    let header = |name: &str| (name == "retry-after").then_some("3600");
    let outcome = Outcome::Answered(Reply::read(
        429,
        header,
        br#"{"reason":"TooManyRequests"}"#,
        START,
    ));
    let receipt = settle(&mut fanout, attempt, outcome).unwrap();
    assert_eq!(receipt.retry_after, Some(Duration::from_secs(3600)));
}

#[test]
fn a_push_that_surely_was_not_sent_goes_out_again_at_once_and_costs_no_attempt() {
    for error in [TransportError::StreamRefused, TransportError::GoingAway] {
        let mut fanout = Fanout::new(plan(1, 6));
        let attempt = launch(&mut fanout, START);
        assert_eq!(settle(&mut fanout, attempt, Outcome::NotSent(error)), None);
        let attempt = launch(&mut fanout, START);
        assert_eq!(settle(&mut fanout, attempt, answer(200, "")).unwrap().attempts, 1);
    }
}

#[test]
fn a_push_that_never_finds_a_connection_is_bounded_by_time_and_was_never_sent() {
    let mut fanout = Fanout::new(plan(1, 6));
    let (mut now, mut tries) = (START, 0);
    let receipt = loop {
        let attempt = launch(&mut fanout, now);
        tries += 1;
        if let Some(receipt) =
            fanout.settle(attempt, Outcome::NotSent(TransportError::Unreachable), false, now)
        {
            break receipt;
        }
        let Next::Wait(Some(due)) = fanout.next(now) else {
            panic!("a wait")
        };
        now = due;
    };
    assert_eq!((receipt.status(), receipt.attempts), (Status::Retrying, 0));
    assert!((5..20).contains(&tries), "{tries}");
}

#[test]
fn a_lost_push_is_sent_again_only_if_it_replaces_itself() {
    let lost = || Outcome::Lost(TransportError::ConnectionLost);
    let mut fanout = Fanout::new(plan(2, 6));
    let attempt = launch(&mut fanout, START);
    let receipt = fanout.settle(attempt, lost(), false, START).unwrap();
    assert_eq!(
        (receipt.status(), receipt.verdict),
        (Status::Failed, Verdict::Unknown)
    );
    let attempt = launch(&mut fanout, START);
    assert_eq!(fanout.settle(attempt, lost(), true, START), None);
}

#[test]
fn what_is_left_when_time_is_up_is_handed_back_unsent() {
    let mut fanout = Fanout::new(plan(3, 1));
    let attempt = launch(&mut fanout, START);
    let late = START + Duration::from_secs(60);
    fanout.settle(attempt, answer(200, ""), false, late).unwrap();
    for push in 1..3 {
        let Next::Unsent(receipt) = fanout.next(late) else {
            panic!("an unsent push")
        };
        assert_eq!(
            (receipt.push, receipt.attempts, receipt.status()),
            (push, 0, Status::Retrying)
        );
    }
    assert_eq!(fanout.next(late), Next::Done);
}

#[test]
fn a_lost_push_that_waited_for_its_resend_is_never_called_unsent() {
    let mut fanout = Fanout::new(plan(2, 2));
    let (lost, refused) = (launch(&mut fanout, START), launch(&mut fanout, START));
    assert_eq!(
        fanout.settle(lost, Outcome::Lost(TransportError::ConnectionLost), true, START),
        None
    );
    fanout
        .settle(refused, answer(403, "InvalidProviderToken"), true, START)
        .unwrap();
    let Next::Unsent(receipt) = fanout.next(START) else {
        panic!("the waiting push")
    };
    assert_eq!((receipt.verdict, receipt.attempts), (Verdict::Unknown, 1));
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        8 => Just(answer(200, "")),
        2 => Just(answer(410, "Unregistered")),
        2 => Just(answer(503, "ServiceUnavailable")),
        1 => Just(answer(429, "TooManyRequests")),
        1 => Just(answer(503, "Shutdown")),
        1 => Just(answer(403, "ExpiredProviderToken")),
        1 => Just(answer(429, "TooManyProviderTokenUpdates")),
        1 => Just(answer(403, "InvalidProviderToken")),
        1 => Just(answer(502, "")),
        1 => Just(Outcome::NotSent(TransportError::StreamRefused)),
        1 => Just(Outcome::Lost(TransportError::ConnectionLost)),
    ]
}

fn one_attempt() -> Fanout {
    Fanout::new(Plan {
        one_attempt: true,
        ..plan(1, 1)
    })
}

#[test]
fn a_push_with_one_attempt_is_not_sent_again_once_apns_may_have_taken_it() {
    for outcome in [
        answer(503, "ServiceUnavailable"),
        answer(500, "InternalServerError"),
        answer(429, "TooManyRequests"),
        answer(503, "Shutdown"),
        answer(502, ""),
        Outcome::Lost(TransportError::ConnectionLost),
    ] {
        let mut fanout = one_attempt();
        let launch = launch(&mut fanout, START);
        // Even a push that a collapse id would merge: it could be shown late.
        let receipt = fanout.settle(launch, outcome.clone(), true, START);
        let receipt = receipt.expect("its end");
        assert_eq!(receipt.attempts, 1, "{outcome:?}");
        // If the caller sent it again later, it would be shown late.
        assert_eq!((receipt.status(), receipt.advice()), (Status::Failed, None));
        assert_eq!(fanout.next(START), Next::Done);
    }
}

#[test]
fn a_push_with_one_attempt_that_was_never_sent_failed_once_its_time_is_over() {
    let plan = Plan {
        one_attempt: true,
        ..plan(3, 2)
    };
    let mut fanout = Fanout::new(plan);
    let [first, second] = [launch(&mut fanout, START), launch(&mut fanout, START)];
    let late = plan.resend_until + Duration::from_secs(1);
    let unsent = Outcome::NotSent(TransportError::StreamRefused);
    let bounced = fanout.settle(first, unsent.clone(), false, START);
    assert_eq!(bounced, None, "there is time left");
    let mut receipts = vec![fanout.settle(second, unsent, false, late).expect("its end")];
    fanout.halt();
    while let Next::Unsent(receipt) = fanout.next(late) {
        receipts.push(receipt);
    }
    assert_eq!(receipts.len(), 3);
    for receipt in receipts {
        assert_eq!(
            (receipt.status(), receipt.advice()),
            (Status::Failed, None),
            "{receipt:?}"
        );
        assert_eq!(receipt.attempts, 0);
    }
}

#[test]
fn a_push_with_one_attempt_is_sent_again_if_apns_cannot_have_taken_it() {
    for outcome in [
        Outcome::NotSent(TransportError::StreamRefused),
        Outcome::NotSent(TransportError::GoingAway),
        answer(403, "UnrelatedKeyIdInToken"),
    ] {
        let mut fanout = one_attempt();
        let first = launch(&mut fanout, START);
        assert_eq!(fanout.settle(first, outcome, false, START), None);
        let later = START + Duration::from_secs(1);
        let second = launch(&mut fanout, later);
        let receipt = fanout.settle(second, answer(200, ""), false, later).unwrap();
        assert_eq!(receipt.status(), Status::Accepted);
    }
    let mut fanout = one_attempt();
    let first = launch(&mut fanout, START);
    assert_eq!(
        fanout.settle(first, answer(403, "ExpiredProviderToken"), false, START),
        None
    );
    assert!(matches!(fanout.next(START), Next::Renew(TokenRefusal::Expired)));
}

#[test]
fn nothing_is_launched_once_the_transport_sends_nothing_more() {
    let mut fanout = Fanout::new(plan(3, 1));
    let first = launch(&mut fanout, START);
    let out_of_time = Outcome::NotSent(TransportError::OutOfTime);
    let receipt = fanout.settle(first, out_of_time, true, START).expect("its end");
    assert_eq!((receipt.attempts, receipt.status()), (0, Status::Retrying));
    for push in 1..3 {
        match fanout.next(START) {
            Next::Unsent(receipt) => assert_eq!((receipt.push, receipt.attempts), (push, 0)),
            other => panic!("expected a push that is not sent, got {other:?}"),
        }
    }
    assert_eq!(fanout.next(START), Next::Done);
}

proptest! {
    #[test]
    fn every_push_settles_exactly_once_and_the_window_holds(
        pushes in 0_usize..60,
        window in 0_usize..8,
        proven: bool,
        accepted in prop_oneof![Just(0), Just(TRUSTED)],
        repeatable: bool,
        steps in proptest::collection::vec((any_outcome(), any::<prop::sample::Index>(), 0_u64..3000, any::<bool>()), 1..400),
    ) {
        let mut fanout = Fanout::new(Plan { proven, accepted, ..plan(pushes, window) });
        let mut now = START;
        let mut flying: Vec<Launch> = Vec::new();
        let mut receipts: BTreeMap<usize, Receipt> = BTreeMap::new();
        let mut steps = steps.into_iter().cycle().take(20_000);
        let mut fresh_order: Vec<usize> = Vec::new();
        loop {
            match fanout.next(now) {
                Next::Launch(launch) => {
                    if launch.attempt == 1 && !fresh_order.contains(&launch.push) {
                        fresh_order.push(launch.push);
                    }
                    prop_assert!(launch.attempt <= MAX_RESENDS + 1 + u8::from(launch.refused));
                    flying.push(launch);
                    prop_assert!(flying.len() <= window.max(1));
                    let distinct: HashSet<usize> = flying.iter().map(|launch| launch.push).collect();
                    prop_assert_eq!(distinct.len(), flying.len(), "one push twice in flight");
                }
                Next::Renew(_) => {
                    prop_assert!(flying.is_empty());
                    if steps.next().unwrap().3 { fanout.renewed(false, 0) } else { fanout.not_renewed(None) }
                }
                Next::Unsent(receipt) => prop_assert!(receipts.insert(receipt.push, receipt).is_none()),
                Next::Wait(due) => {
                    let (outcome, pick, millis, _) = steps.next().unwrap();
                    now = now + Duration::from_millis(millis);
                    if flying.is_empty() {
                        let due = due.expect("a wait without an end");
                        now = now.max(due);
                    } else {
                        let launch = flying.remove(pick.index(flying.len()));
                        if let Some(receipt) = fanout.settle(launch, outcome, repeatable, now) {
                            prop_assert!(receipts.insert(receipt.push, receipt).is_none());
                        }
                    }
                }
                Next::Done => break,
            }
            prop_assert_eq!(fanout.in_flight(), flying.len());
        }
        prop_assert!(flying.is_empty());
        prop_assert!(receipts.keys().copied().eq(0..pushes));
        prop_assert!(fresh_order.is_sorted(), "pushes leave in the order of the source");
    }
}
