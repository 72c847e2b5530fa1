use super::*;

fn told(scene: &mut Scene<'_>, lease: &Lease, accepted: u32, refused: Option<&str>, now: Timestamp) {
    let command = Command::Settle {
        lease: lease.id,
        report: Report {
            answered: accepted + 1,
            accepted,
            ..Report::default()
        },
        proven: None,
        unavailable_for_ms: None,
        refused: refused.map(|reason| CredentialRefusal {
            reason: reason.to_owned(),
            at: now,
        }),
    };
    assert_eq!(scene.step(command, now), Reply::Settled);
}

fn last(scene: &mut Scene<'_>) -> Option<String> {
    match scene.step(Command::Inspect, NOW) {
        Reply::Inspected(inspection) => inspection.last_refusal.map(|refusal| refusal.reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_refusal_is_kept_until_apns_accepts_a_push() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    assert_eq!(last(&mut scene), None);
    told(&mut scene, &lease, 0, Some("InvalidProviderToken"), NOW);
    assert_eq!(last(&mut scene).as_deref(), Some("InvalidProviderToken"));
    // Answers about single devices say nothing about the credential.
    told(&mut scene, &lease, 0, None, NOW);
    assert_eq!(last(&mut scene).as_deref(), Some("InvalidProviderToken"));
    // A refusal comes after what was accepted under the same lease.
    told(&mut scene, &lease, 700, Some("Forbidden"), NOW);
    assert_eq!(last(&mut scene).as_deref(), Some("Forbidden"));
    told(&mut scene, &lease, 1, None, NOW);
    assert_eq!(last(&mut scene), None);
}

#[test]
fn a_refusal_is_stored_and_belongs_to_the_key_that_was_refused() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    told(&mut scene, &lease, 0, Some("InvalidProviderToken"), NOW);
    let stored = scene.gate.store();
    scene.gate = Gate::load(Some(&stored), NOW).machine;
    assert_eq!(last(&mut scene).as_deref(), Some("InvalidProviderToken"));
    // The secret was replaced. APNs has not judged the new key yet.
    let other = RFC_6979_KEY.replace('\n', "\r\n");
    let mut mended = Scene {
        credential: scene.credential.clone(),
        key: Ok(&other),
        gate: scene.gate.clone(),
    };
    assert_eq!(last(&mut mended), None);
}
