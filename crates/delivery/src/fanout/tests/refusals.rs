use super::*;

#[test]
fn a_credential_fault_stops_the_chunk_at_once() {
    let mut fanout = Fanout::new(plan(500, 6));
    let mut launches: Vec<Launch> = (0..6).map(|_| launch(&mut fanout, START)).collect();
    let refused = settle(
        &mut fanout,
        launches.remove(0),
        answer(403, "InvalidProviderToken"),
    )
    .unwrap();
    assert_eq!((refused.status(), refused.attempts), (Status::Rejected, 1));
    let mut unsent = 0;
    while let Next::Unsent(receipt) = fanout.next(START) {
        assert_eq!((receipt.status(), receipt.attempts), (Status::Failed, 0));
        assert_eq!(receipt.reason(), Some("InvalidProviderToken"));
        let Outcome::Answered(reply) = receipt.outcome else {
            panic!("an answer")
        };
        assert_eq!(reply.apns_id, None, "another push's id");
        unsent += 1;
    }
    assert_eq!(unsent, 494);
    assert_eq!(fanout.next(START), Next::Wait(None), "five are still in flight");
    for attempt in launches {
        settle(&mut fanout, attempt, answer(200, "")).unwrap();
    }
    assert_eq!(fanout.next(START), Next::Done);
}

/// Creates a fan-out under a provider token with which APNs has accepted `accepted` pushes.
fn trusted(pushes: usize, window: usize, accepted: u32) -> Fanout {
    Fanout::new(Plan {
        accepted,
        ..plan(pushes, window)
    })
}

fn refused() -> Outcome {
    answer(403, "InvalidProviderToken")
}

#[test]
fn one_refusal_after_many_acceptances_is_tried_once_more_alone_and_over_another_connection() {
    let mut fanout = trusted(10, 3, TRUSTED);
    let mut launches: Vec<Launch> = (0..3).map(|_| launch(&mut fanout, START)).collect();
    assert_eq!(settle(&mut fanout, launches.remove(0), refused()), None);
    for attempt in launches {
        assert_eq!(
            fanout.next(START),
            Next::Wait(None),
            "what is in flight ends first"
        );
        settle(&mut fanout, attempt, answer(200, "")).unwrap();
    }
    let cause = launch(&mut fanout, START);
    assert_eq!((cause.push, cause.is_second_opinion()), (0, true));
    assert_eq!(fanout.next(START), Next::Wait(None), "nothing goes beside it");
    let receipt = settle(&mut fanout, cause, answer(200, "")).unwrap();
    assert_eq!((receipt.status(), receipt.attempts), (Status::Accepted, 2));
    for _ in 0..3 {
        assert!(!launch(&mut fanout, START).is_second_opinion());
    }
}

#[test]
fn a_second_refusal_counts() {
    let mut fanout = trusted(10, 3, TRUSTED);
    let launches: Vec<Launch> = (0..3).map(|_| launch(&mut fanout, START)).collect();
    for attempt in launches {
        // All were sent before the first refusal arrived: they belong to the same event.
        assert_eq!(settle(&mut fanout, attempt, refused()), None);
    }
    let cause = launch(&mut fanout, START);
    let receipt = settle(&mut fanout, cause, refused()).unwrap();
    assert_eq!((receipt.verdict, receipt.attempts), (Verdict::FixCredentials, 2));
    let mut attempts = Vec::new();
    while let Next::Unsent(receipt) = fanout.next(START) {
        assert_eq!(receipt.verdict, Verdict::FixCredentials);
        attempts.push(receipt.attempts);
    }
    assert_eq!(attempts, [1, 1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_refusal_soon_after_one_that_was_a_mistake_counts() {
    let mut fanout = trusted(10, 1, TRUSTED);
    let first = launch(&mut fanout, START);
    settle(&mut fanout, first, refused());
    for _ in 0..2 {
        let next = launch(&mut fanout, START);
        settle(&mut fanout, next, answer(200, "")).unwrap();
    }
    let next = launch(&mut fanout, START);
    let receipt = settle(&mut fanout, next, refused()).unwrap();
    assert_eq!(receipt.verdict, Verdict::FixCredentials);
    assert!(matches!(fanout.next(START), Next::Unsent(_)));
}

#[test]
fn a_refusal_is_believed_at_once_without_enough_acceptances() {
    for accepted in [0, TRUSTED - 2, TRUSTED - 1] {
        let mut fanout = trusted(3, 1, accepted);
        let first = launch(&mut fanout, START);
        settle(&mut fanout, first, answer(200, "")).unwrap();
        let second = launch(&mut fanout, START);
        let stops = settle(&mut fanout, second, refused()).is_some();
        assert_eq!(stops, accepted + 1 < TRUSTED, "{accepted}");
    }
}

#[test]
fn a_refusal_that_is_not_tried_again_in_time_blames_nobody() {
    let late = START + Duration::from_secs(60);
    // It waits when the time is over, or comes after that.
    let mut fanout = trusted(3, 2, TRUSTED);
    let (one, two) = (launch(&mut fanout, START), launch(&mut fanout, START));
    assert_eq!(settle(&mut fanout, one, refused()), None);
    fanout.halt();
    let receipt = fanout.settle(two, refused(), false, late).unwrap();
    assert_eq!(receipt.verdict, Verdict::Retry(RetryCause::Connection));
    for expected in [1, 0] {
        let Next::Unsent(receipt) = fanout.next(late) else {
            panic!("an unsent push")
        };
        assert_eq!(
            (receipt.verdict, receipt.attempts),
            (Verdict::Retry(RetryCause::Connection), expected)
        );
    }
    assert_eq!(fanout.next(late), Next::Done);
}

#[test]
fn a_refused_token_is_renewed_once_and_costs_no_attempt() {
    let mut fanout = Fanout::new(plan(3, 6));
    let launches: Vec<Launch> = (0..3).map(|_| launch(&mut fanout, START)).collect();
    for (index, attempt) in launches.into_iter().enumerate() {
        assert_eq!(
            settle(&mut fanout, attempt, answer(403, "ExpiredProviderToken")),
            None
        );
        let expected = if index < 2 {
            Next::Wait(None)
        } else {
            Next::Renew(TokenRefusal::Expired)
        };
        assert_eq!(fanout.next(START), expected);
    }
    fanout.renewed(false, 0);
    let attempt = launch(&mut fanout, START);
    assert_eq!(
        fanout.next(START),
        Next::Wait(None),
        "the first push of the new token goes alone"
    );
    assert_eq!(settle(&mut fanout, attempt, answer(200, "")).unwrap().attempts, 1);
    launch(&mut fanout, START);
    launch(&mut fanout, START);
}

#[test]
fn a_second_refusal_ends_the_chunk_instead_of_a_loop() {
    let mut fanout = Fanout::new(plan(3, 1));
    let attempt = launch(&mut fanout, START);
    settle(&mut fanout, attempt, answer(429, "TooManyProviderTokenUpdates"));
    assert_eq!(fanout.next(START), Next::Renew(TokenRefusal::TooManyUpdates));
    fanout.renewed(true, 0);
    let attempt = launch(&mut fanout, START);
    let receipt = settle(&mut fanout, attempt, answer(429, "TooManyProviderTokenUpdates")).unwrap();
    assert_eq!(receipt.status(), Status::Retrying);
    let Next::Unsent(unsent) = fanout.next(START) else {
        panic!("an unsent push")
    };
    assert_eq!(unsent.retry_after, Some(Duration::from_secs(20 * 60)));
}

#[test]
fn without_another_token_everything_goes_back_with_the_gates_delay() {
    let mut fanout = Fanout::new(plan(2, 1));
    let attempt = launch(&mut fanout, START);
    settle(&mut fanout, attempt, answer(429, "TooManyProviderTokenUpdates"));
    assert_eq!(fanout.next(START), Next::Renew(TokenRefusal::TooManyUpdates));
    fanout.not_renewed(Some(Duration::from_secs(77)));
    for _ in 0..2 {
        let Next::Unsent(receipt) = fanout.next(START) else {
            panic!("an unsent push")
        };
        assert_eq!(
            (receipt.status(), receipt.retry_after),
            (Status::Retrying, Some(Duration::from_secs(77)))
        );
    }
    assert_eq!(fanout.next(START), Next::Done);
}
