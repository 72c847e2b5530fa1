//! Leases of batches, and what leases report about the connections of the pool.

use super::*;

#[test]
fn a_batch_waits_behind_immediate_orders_and_its_lease_says_whose_it_is() {
    let mut scene = Scene::new();
    let holder = scene.fill(NOW);
    let batch = scene.request(10, Some(SHARE));
    let send_request = scene.request(10, None);
    scene.settle(&holder, NOW);
    let answers = scene.answers(NOW);
    let [
        (first, Reply::Granted(to_order)),
        (second, Reply::Granted(to_batch)),
    ] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!((*first, *second), (send_request, batch));
    assert_eq!((to_order.share, to_batch.share), (None, Some(SHARE)));
}

#[test]
fn who_waits_behind_one_whose_wait_is_over_is_answered_with_it() {
    let mut scene = Scene::new();
    lease_of(scene.step(lease(START - 100, None, 0), NOW));
    let over = scene.request(START, None);
    let later = NOW + Duration::from_secs(1);
    let Step::Wait { ticket: behind, .. } = scene.apply(lease(10, None, 10_000), later) else {
        panic!("it overtook");
    };
    let answers = scene.answers(NOW + Duration::from_secs(10));
    let [(first, Reply::Full { .. }), (second, Reply::Granted(_))] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!((*first, *second), (over, behind));
}

#[test]
fn a_batchs_command_and_lease_format_unchanged() {
    let mut scene = Scene::new();
    let command = lease(10, Some(SHARE), 0);
    let text = serde_json::to_string(&command).unwrap();
    assert_eq!(
        text,
        r#"{"lease":{"want":10,"ttl_ms":60000,"wait_ms":0,"refused":null,"pooled":false,"share":{"batch":18446744073709551615,"weight":3}}}"#
    );
    assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    let reply = scene.step(command, NOW);
    let text = serde_json::to_string(&reply).unwrap();
    assert!(
        text.ends_with(r#""expires_at":1795421160000,"share":{"batch":18446744073709551615,"weight":3}}}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
}

#[test]
fn a_command_of_before_there_were_batches_is_one_of_an_immediate_order() {
    let text = r#"{"lease":{"want":10,"ttl_ms":60000,"wait_ms":0,"refused":null}}"#;
    assert_eq!(serde_json::from_str::<Command>(text).unwrap(), LEASE);
}

#[test]
fn a_state_of_before_there_were_batches_is_read() {
    let text = r#"{"tokens":{"key":"930c320433c65f7b","newest":null,"previous":null,"pause":null,"lost":false},"limiter":{"limit":2000,"credit":0,"decreased_at":null,"held_ms":3500,"next_lease":1795421100003,"leases":[{"id":1795421100001,"permits":10,"granted_at":1795421100000,"expires_at":1795421160000}]},"pool":{"slots":[{"used_at":1795421100000,"unavailable_until":0}],"loads":{"1795421100001":{"slot":0,"permits":10,"expires_at":1795421160000}},"dialed_at":1795421100000}}"#;
    let loaded = Gate::load(Some(text), NOW);
    assert_eq!(loaded.fault, None);
    let gate = loaded.machine;
    assert_eq!((gate.limiter.in_use(NOW), gate.pool.len()), (10, 1));
    assert_eq!(Gate::load(Some(&gate.store()), NOW).machine, gate);
}

#[test]
fn a_settled_lease_tells_of_its_connection() {
    let report = |answered, lost| Report {
        answered,
        accepted: answered,
        lost,
        ..Report::default()
    };
    assert_eq!(health(&report(500, 0), None), ConnectionHealth::Open);
    assert_eq!(
        health(&report(500, 2), None),
        ConnectionHealth::Open,
        "single timeouts"
    );
    assert_eq!(health(&report(400, 100), None), ConnectionHealth::Broken);
    assert_eq!(health(&report(0, 1), None), ConnectionHealth::Broken);
    assert_eq!(health(&report(0, 0), None), ConnectionHealth::Unused);
    let delay = Duration::from_secs(2);
    assert_eq!(
        health(&report(0, 0), Some(2000)),
        ConnectionHealth::Unavailable(delay)
    );
}

const SHARE: FairShare = FairShare {
    batch: u64::MAX,
    weight: 3,
};

const fn lease(want: u32, share: Option<FairShare>, wait_ms: u64) -> Command {
    Command::Lease {
        want,
        ttl_ms: 60_000,
        wait_ms,
        refused: None,
        pooled: false,
        share,
    }
}

impl Scene<'_> {
    /// Sends a request that has to wait.
    fn request(&mut self, want: u32, share: Option<FairShare>) -> Ticket {
        match self.apply(lease(want, share, 10_000), NOW) {
            Step::Wait { ticket, .. } => ticket,
            Step::Answer(reply) => panic!("{reply:?}"),
        }
    }
}
