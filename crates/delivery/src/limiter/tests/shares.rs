//! Immediate requests beside batches, and batches competing with each other.

use super::*;

#[test]
fn an_immediate_order_goes_before_all_batches_that_wait() {
    let mut limiter = limiter_of(16);
    let holder = granted(limiter.request(request(16), NOW));
    let batches = [1, 2].map(|batch| ticket(limiter.request(batch_ask(batch, 1, 4), NOW)));
    let send_requests = [0, 1].map(|_| ticket(limiter.request(patient(1), NOW)));
    limiter.settle(holder.lease, &Report::default(), NOW);
    assert_eq!(
        admitted(&mut limiter, NOW),
        [send_requests[0], send_requests[1], batches[0], batches[1]]
    );
}

#[test]
fn an_immediate_order_is_granted_at_once_though_batches_wait() {
    let mut limiter = limiter_of(16);
    granted(limiter.request(batch_ask(1, 1, 16), NOW));
    ticket(limiter.request(batch_ask(1, 1, 4), NOW));
    assert_eq!(granted(limiter.request(request(2), NOW)).count, 2);
}

#[test]
fn batches_leave_a_reserve_to_immediate_orders() {
    for (limit, reserve) in [(1, 0), (2, 1), (6, 1), (16, 2), (2000, 250)] {
        let mut limiter = limiter_of(limit);
        assert_eq!(
            granted(limiter.request(batch_ask(1, 1, limit), NOW)).count,
            limit - reserve
        );
        assert_eq!(granted_in_all(&mut limiter, request(1)), reserve, "of {limit}");
    }
}

#[test]
fn immediate_orders_beyond_the_reserve_leave_the_rest_to_batches() {
    let mut limiter = limiter_of(160);
    granted(limiter.request(request(140), NOW));
    // A fair share of the twenty that are left, not of all.
    assert_eq!(granted_in_all(&mut limiter, batch_ask(1, 1, 12)), 20);
}

#[test]
fn with_one_permit_a_batch_has_it_when_no_immediate_order_waits() {
    let mut limiter = limiter_of(1);
    let batch = granted(limiter.request(batch_ask(1, 1, 500), NOW));
    let next = ticket(limiter.request(batch_ask(1, 1, 500), NOW));
    let send_request = ticket(limiter.request(patient(1), NOW));
    limiter.settle(batch.lease, &Report::default(), NOW);
    assert_eq!(admitted(&mut limiter, NOW), [send_request]);
    assert_eq!(
        admitted(&mut limiter, NOW + Duration::from_mins(1)),
        [next],
        "the order's lease has expired"
    );
}

#[test]
fn the_batch_with_the_fewest_permits_for_its_weight_goes_first() {
    let mut limiter = limiter_of(60);
    granted(limiter.request(batch_ask(1, 1, 10), NOW));
    granted(limiter.request(batch_ask(2, 3, 24), NOW));
    let holder = granted(limiter.request(request(26), NOW));
    let light = ticket(limiter.request(batch_ask(1, 1, 1), NOW));
    let heavy = [0, 1, 2, 3].map(|_| ticket(limiter.request(batch_ask(2, 3, 2), NOW)));
    let fresh = ticket(limiter.request(batch_ask(3, 1, 9), NOW));
    limiter.settle(holder.lease, &Report::default(), NOW);
    // The fresh batch has none, the light one 10, and the heavy one 24 with three times the weight. After
    // three more leases the fresh one has as many as the light one, which has waited longer.
    assert_eq!(
        admitted(&mut limiter, NOW),
        [fresh, heavy[0], heavy[1], heavy[2], light, heavy[3]],
    );
}

#[test]
fn a_batch_that_has_less_overtakes_those_that_wait_and_one_that_has_as_much_does_not() {
    let mut limiter = limiter_of(80);
    granted(limiter.request(batch_ask(1, 1, 60), NOW));
    ticket(limiter.request(batch_ask(1, 1, 20), NOW));
    assert_eq!(granted(limiter.request(batch_ask(2, 1, 2), NOW)).count, 2);
    let impatient = LeaseRequest {
        wait: Duration::ZERO,
        ..batch_ask(1, 1, 1)
    };
    assert!(matches!(
        limiter.request(impatient, NOW),
        LeaseDecision::Full { .. }
    ));
}

#[test]
fn an_immediate_order_finds_a_place_in_the_queue_though_batches_fill_theirs() {
    let mut limiter = limiter_of(8);
    granted(limiter.request(request(8), NOW));
    for _ in 0..MAX_WAITING_BATCHES {
        ticket(limiter.request(batch_ask(1, 1, 1), NOW));
    }
    assert!(matches!(
        limiter.request(batch_ask(1, 1, 1), NOW),
        LeaseDecision::Full { .. }
    ));
    for _ in 0..MAX_WAITING {
        ticket(limiter.request(patient(1), NOW));
    }
    assert!(matches!(
        limiter.request(patient(1), NOW),
        LeaseDecision::Full { .. }
    ));
}

#[test]
fn a_batch_that_fills_the_queue_gives_places_up_to_the_next() {
    let mut limiter = limiter_of(8);
    granted(limiter.request(request(8), NOW));
    let first =
        Vec::from_iter((0..MAX_WAITING_BATCHES).map(|_| ticket(limiter.request(batch_ask(1, 1, 1), NOW))));
    let mut given_up = Vec::new();
    for _ in 0..MAX_WAITING_BATCHES / 2 {
        ticket(limiter.request(batch_ask(2, 1, 1), NOW));
        given_up.extend(std::iter::from_fn(|| limiter.lapse(NOW)).map(|(ticket, _)| ticket));
    }
    let last = first.iter().rev().take(MAX_WAITING_BATCHES / 2).copied();
    assert_eq!(
        given_up,
        Vec::from_iter(last),
        "the last of the batch that has the most"
    );
    assert!(matches!(
        limiter.request(batch_ask(2, 1, 1), NOW),
        LeaseDecision::Full { .. }
    ));
    assert_eq!(limiter.waiting(), MAX_WAITING_BATCHES);
}

#[test]
fn who_comes_back_for_a_batch_is_told_a_later_time_than_an_immediate_order() {
    let mut limiter = limiter_of(4);
    granted(limiter.request(request(4), NOW));
    for batch in 0..3 {
        ticket(limiter.request(batch_ask(batch, 1, 1), NOW));
    }
    let mut told = |share| match limiter.request(LeaseRequest { share, ..request(1) }, NOW) {
        LeaseDecision::Full { retry_after } => retry_after,
        other => panic!("{other:?}"),
    };
    let share = Some(FairShare { batch: 9, weight: 1 });
    assert!(told(None) < told(share));
}

/// If this changes, a deployment loses which batch has how many permits, and all granted permits.
#[test]
fn a_leases_share_format_unchanged() {
    let mut limiter = limiter_of(100);
    granted(limiter.request(batch_ask(u64::MAX, 3, 5), NOW));
    granted(limiter.request(request(6), NOW));
    let text = serde_json::to_string(&limiter).unwrap();
    assert_eq!(
        text,
        r#"{"limit":100,"credit":0,"decreased_at":null,"held_ms":4000,"next_lease":1795420800002,"leases":[{"id":1795420800000,"permits":5,"granted_at":1795420800000,"expires_at":1795420860000,"share":{"batch":18446744073709551615,"weight":3}},{"id":1795420800001,"permits":6,"granted_at":1795420800000,"expires_at":1795420860000}]}"#
    );
    assert_eq!(serde_json::from_str::<Limiter>(&text).unwrap(), limiter);
}

/// Admits requests until the queue grants no more.
fn admitted(limiter: &mut Limiter, now: Timestamp) -> Vec<Ticket> {
    std::iter::from_fn(|| limiter.admit(now))
        .map(|(ticket, _)| ticket)
        .collect()
}

/// Returns how many permits such requests get until one has to wait.
fn granted_in_all(limiter: &mut Limiter, request: LeaseRequest) -> u32 {
    let grants = std::iter::from_fn(|| match limiter.request(request, NOW) {
        LeaseDecision::Granted(permits) => Some(permits.count),
        LeaseDecision::Wait { .. } | LeaseDecision::Full { .. } => None,
    });
    grants.sum()
}
