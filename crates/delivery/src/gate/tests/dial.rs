use super::*;
use proptest::prelude::*;

/// The gate's answer to an object that needs a connection.
fn request(scene: &mut Scene<'_>, now: Timestamp) -> Dial {
    let Reply::Dial(dial) = scene.step(Command::Dial, now) else {
        panic!("not about a dial");
    };
    dial
}

#[test]
fn one_object_of_a_credential_dials_at_a_time_and_the_others_wait() {
    let mut scene = Scene::new();
    assert_eq!(request(&mut scene, NOW), Dial::Allowed);
    assert_eq!(request(&mut scene, NOW), Dial::InProgress);
    let opened = Command::Dialed { succeeded: true };
    assert_eq!(scene.step(opened, NOW), Reply::Settled);
    assert_eq!(request(&mut scene, NOW), Dial::Allowed);
}

#[test]
fn after_a_failure_no_object_dials_before_the_delay_is_over() {
    let mut scene = Scene::new();
    request(&mut scene, NOW);
    let reply = scene.step(Command::Dialed { succeeded: false }, NOW);
    let Reply::Dial(Dial::Refused(delay)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(request(&mut scene, NOW), Dial::Refused(delay));
    // A gate that was evicted in the meantime still knows it.
    let stored = scene.gate.store();
    scene.gate = Gate::load(Some(&stored), NOW).machine;
    let before = NOW + delay - Duration::from_millis(1);
    assert_eq!(
        request(&mut scene, before),
        Dial::Refused(Duration::from_millis(1))
    );
    assert_eq!(request(&mut scene, NOW + delay), Dial::Allowed);
}

proptest! {
    #[test]
    fn two_objects_never_dial_at_once(steps in proptest::collection::vec((0_u64..20_000, 0_usize..4, 0_u8..4), 1..200)) {
        let mut scene = Scene::new();
        let mut now = NOW;
        // Per object: since when it dials, if it does. A dialing object reports the result within 15 s, or
        // dies.
        let mut dialing: [Option<Timestamp>; 4] = [None; 4];
        for (millis, object, what) in steps {
            now = now + Duration::from_millis(millis);
            for slot in &mut dialing {
                *slot = slot.filter(|since| now.since(*since) < Duration::from_secs(15));
            }
            match (dialing[object], what) {
                (None, _) => {
                    if request(&mut scene, now) == Dial::Allowed {
                        dialing[object] = Some(now);
                    }
                }
                (Some(_), 0) => dialing[object] = None,
                (Some(_), what) => {
                    scene.step(Command::Dialed { succeeded: what == 1 }, now);
                    dialing[object] = None;
                }
            }
            prop_assert!(dialing.iter().flatten().count() <= 1);
        }
    }
}
