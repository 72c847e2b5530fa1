mod properties;
mod shares;
mod simulation;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

#[test]
fn a_want_is_granted_as_far_as_permits_are_free() {
    let mut limiter = limiter_of(10);
    assert_eq!(granted(limiter.request(request(4), NOW)).count, 4);
    assert_eq!(granted(limiter.request(request(500), NOW)).count, 6);
    assert_eq!(limiter.in_use(NOW), 10);
}

#[test]
fn a_want_of_nothing_is_a_want_of_one() {
    assert_eq!(granted(limiter_of(10).request(request(0), NOW)).count, 1);
}

#[test]
fn who_would_not_wait_is_told_when_to_come_back() {
    let mut limiter = limiter_of(1);
    limiter.request(request(1), NOW);
    let LeaseDecision::Full { retry_after } = limiter.request(request(1), NOW) else {
        panic!("one permit was granted twice");
    };
    assert_eq!(retry_after, Duration::from_millis(HELD_AT_FIRST_MS));
}

#[test]
fn waiters_are_admitted_in_order_and_a_late_asker_after_them() {
    let mut limiter = limiter_of(2);
    let first = granted(limiter.request(request(2), NOW));
    let waiting = [0, 1].map(|_| ticket(limiter.request(patient(1), NOW)));
    limiter.settle(first.lease, &Report::default(), NOW);
    let late = ticket(limiter.request(patient(1), NOW));
    assert_eq!(limiter.admit(NOW).map(|(ticket, _)| ticket), Some(waiting[0]));
    assert_eq!(limiter.admit(NOW).map(|(ticket, _)| ticket), Some(waiting[1]));
    assert_eq!(limiter.admit(NOW), None);
    limiter.expire(NOW + MAX_TTL);
    assert_eq!(limiter.admit(NOW + MAX_TTL).map(|(ticket, _)| ticket), Some(late));
}

#[test]
fn past_its_bound_the_queue_turns_askers_away_each_to_a_later_time() {
    let mut limiter = limiter_of(60);
    for _ in 0..60 {
        granted(limiter.request(request(1), NOW));
    }
    for _ in 0..MAX_WAITING {
        ticket(limiter.request(patient(1), NOW));
    }
    let told = [0, 1, 2].map(|_| match limiter.request(patient(1), NOW) {
        LeaseDecision::Full { retry_after } => retry_after,
        other => panic!("{other:?}"),
    });
    assert!(told[0] < told[1] && told[1] < told[2], "{told:?}");
    assert_eq!(limiter.waiting(), MAX_WAITING);
}

#[test]
fn nobody_is_told_to_come_back_later_than_the_leases_expire() {
    let mut limiter = limiter_of(1);
    let short = LeaseRequest {
        ttl: Duration::from_secs(2),
        ..request(1)
    };
    limiter.request(short, NOW);
    for _ in 0..20 {
        let LeaseDecision::Full { retry_after } = limiter.request(short, NOW) else {
            panic!("one permit was granted twice");
        };
        assert!(retry_after <= Duration::from_secs(2));
    }
}

#[test]
fn the_time_to_come_back_follows_how_long_leases_are_held() {
    let mut limiter = limiter_of(1);
    let mut now = NOW;
    for _ in 0..64 {
        let permits = granted(limiter.request(request(1), now));
        now = now + Duration::from_secs(1);
        limiter.settle(permits.lease, &Report::default(), now);
    }
    granted(limiter.request(request(1), now));
    let LeaseDecision::Full { retry_after } = limiter.request(request(1), now) else {
        panic!("one permit was granted twice");
    };
    assert!((900..1100).contains(&retry_after.as_millis()), "{retry_after:?}");
}

#[test]
fn an_expired_lease_gives_its_permits_back_once() {
    let mut limiter = limiter_of(4);
    let permits = granted(limiter.request(request(4), NOW));
    assert_eq!(permits.expires_at, NOW + Duration::from_mins(1));
    assert_eq!(limiter.in_use(permits.expires_at - Duration::from_millis(1)), 4);
    assert_eq!(limiter.in_use(permits.expires_at), 0);
    let next = granted(limiter.request(request(4), permits.expires_at));
    limiter.settle(permits.lease, &Report::default(), permits.expires_at);
    limiter.settle(permits.lease, &Report::default(), permits.expires_at);
    assert_eq!(limiter.in_use(permits.expires_at), 4);
    assert_ne!(next.lease, permits.lease);
}

#[test]
fn a_wait_that_is_over_ends_without_permits() {
    let mut limiter = limiter_of(1);
    granted(limiter.request(request(1), NOW));
    let ticket = ticket(limiter.request(patient(1), NOW));
    let until = NOW + Duration::from_secs(10);
    assert_eq!(limiter.next_event(NOW), Some(until));
    assert_eq!(limiter.lapse(until - Duration::from_millis(1)), None);
    assert_eq!(limiter.lapse(until).map(|(ticket, _)| ticket), Some(ticket));
    assert_eq!((limiter.waiting(), limiter.next_event(until)), (0, None));
}

#[test]
fn one_event_that_fails_a_hundred_leases_halves_the_limit_once() {
    let mut limiter = limiter_of(1000);
    let leases = Vec::from_iter((0..100).map(|_| granted(limiter.request(request(10), NOW)).lease));
    for (index, lease) in leases.into_iter().enumerate() {
        let now = NOW + Duration::from_millis(100 * index as u64 + 1);
        limiter.settle(lease, &lost(10), now);
    }
    assert_eq!(limiter.limit(), 500);
}

#[test]
fn trouble_under_the_lowered_limit_lowers_it_again_down_to_the_floor() {
    let mut limiter = limiter_of(1000);
    let mut now = NOW;
    let mut limits = Vec::new();
    for _ in 0..10 {
        let lease = granted(limiter.request(request(5), now)).lease;
        now = now + Duration::from_secs(1);
        limiter.settle(lease, &lost(5), now);
        limits.push(limiter.limit());
        now = now + Duration::from_millis(1);
    }
    assert_eq!(limits[..3], [500, 250, 125]);
    assert_eq!(limiter.limit(), FLOOR);
}

#[test]
fn a_holder_that_comes_back_after_its_lease_expired_is_still_learnt_from() {
    let mut limiter = limiter_of(1000);
    let lease = granted(limiter.request(request(5), NOW)).lease;
    limiter.settle(lease, &lost(5), NOW + MAX_TTL);
    assert_eq!(limiter.limit(), 500);
    limiter.settle(lease, &lost(5), NOW + MAX_TTL);
    assert_eq!(limiter.limit(), 500, "the same event");
}

#[test]
fn a_few_bad_pushes_among_many_do_not_lower_the_limit() {
    let mut limiter = limiter_of(1000);
    let lease = granted(limiter.request(request(500), NOW)).lease;
    let report = Report {
        answered: 498,
        accepted: 480,
        throttled: 22,
        lost: 2,
    };
    limiter.settle(lease, &report, NOW);
    assert_eq!(limiter.limit(), 1000);
}

#[test]
fn the_limit_grows_by_a_step_for_each_windowful_while_it_is_used() {
    let mut limiter = limiter_of(100);
    serve(&mut limiter, 100, 100);
    assert_eq!(limiter.limit(), 100 + STEP);
    serve(&mut limiter, 100, 99 + STEP);
    assert_eq!(limiter.limit(), 100 + STEP);
    serve(&mut limiter, 100, 1);
    assert_eq!(limiter.limit(), 100 + 2 * STEP);
}

#[test]
fn a_large_order_waits_for_a_fair_share_and_a_small_one_takes_what_it_needs() {
    let fair = 100 / MIN_GRANT_SHARE;
    let mut limiter = limiter_of(100);
    assert!(matches!(
        limiter.request(request(100 - fair + 1), NOW),
        LeaseDecision::Granted(_)
    ));
    assert!(
        matches!(limiter.request(request(100), NOW), LeaseDecision::Full { .. }),
        "crumbs are left"
    );
    assert!(
        matches!(limiter.request(request(6), NOW), LeaseDecision::Granted(permits) if permits.count == 6)
    );
    let mut limiter = limiter_of(100);
    assert!(matches!(
        limiter.request(request(100 - fair), NOW),
        LeaseDecision::Granted(_)
    ));
    assert!(
        matches!(limiter.request(request(100), NOW), LeaseDecision::Granted(permits) if permits.count == fair)
    );
}

#[test]
fn the_limit_does_not_grow_while_it_is_not_used() {
    let mut limiter = limiter_of(100);
    for _ in 0..100 {
        serve(&mut limiter, 49, 500);
    }
    assert_eq!(limiter.limit(), 100);
}

#[test]
fn the_limit_never_grows_past_the_ceiling() {
    let mut limiter = limiter_of(100);
    limiter.set_ceiling(105);
    serve(&mut limiter, 100, u32::MAX);
    assert_eq!(limiter.limit(), 105);
    limiter.set_ceiling(50);
    assert_eq!(limiter.limit(), 50);
    assert_eq!(granted(limiter.request(request(500), NOW)).count, 50);
}

#[test]
fn a_limit_below_what_is_out_grants_nothing_until_it_drains() {
    let mut limiter = limiter_of(100);
    let bad = granted(limiter.request(request(10), NOW)).lease;
    let good = granted(limiter.request(request(80), NOW)).lease;
    limiter.settle(bad, &lost(10), NOW);
    assert_eq!((limiter.limit(), limiter.in_use(NOW)), (50, 80));
    assert!(matches!(
        limiter.request(request(1), NOW),
        LeaseDecision::Full { .. }
    ));
    limiter.settle(good, &Report::default(), NOW);
    assert_eq!(granted(limiter.request(request(500), NOW)).count, 50);
}

#[test]
fn leases_of_an_object_that_lost_its_state_have_new_names() {
    let mut before = Limiter::new(NOW);
    let names = [0, 1, 2].map(|_| granted(before.request(request(1), NOW)).lease);
    let mut after = Limiter::new(NOW + Duration::from_secs(1));
    assert!(!names.contains(&granted(after.request(request(1), NOW)).lease));
}

fn limiter_of(limit: u32) -> Limiter {
    Limiter {
        limit,
        ..Limiter::new(NOW)
    }
}

const fn request(want: u32) -> LeaseRequest {
    LeaseRequest {
        want,
        ttl: Duration::from_mins(1),
        wait: Duration::ZERO,
        pooled: false,
        share: None,
    }
}

const fn patient(want: u32) -> LeaseRequest {
    LeaseRequest {
        wait: Duration::from_secs(10),
        ..request(want)
    }
}

const fn batch_ask(batch: u64, weight: u32, want: u32) -> LeaseRequest {
    LeaseRequest {
        share: Some(FairShare { batch, weight }),
        ..patient(want)
    }
}

fn serve(limiter: &mut Limiter, permits: u32, answered: u32) {
    let lease = granted(limiter.request(request(permits), NOW)).lease;
    let report = Report {
        answered,
        accepted: answered,
        ..Report::default()
    };
    limiter.settle(lease, &report, NOW);
}

const fn lost(lost: u32) -> Report {
    Report {
        answered: 0,
        accepted: 0,
        throttled: 0,
        lost,
    }
}

fn granted(decision: LeaseDecision) -> Permits {
    match decision {
        LeaseDecision::Granted(permits) => permits,
        other => panic!("not granted: {other:?}"),
    }
}

fn ticket(decision: LeaseDecision) -> Ticket {
    match decision {
        LeaseDecision::Wait { ticket, .. } => ticket,
        other => panic!("does not wait: {other:?}"),
    }
}
