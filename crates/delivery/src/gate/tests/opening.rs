use super::*;
use proptest::prelude::*;

/// What the gate says to an object that needs a connection.
fn ask(scene: &mut Scene<'_>, now: Timestamp) -> Turn {
    let Reply::Turn(turn) = scene.step(Command::Open, now) else {
        panic!("no turn");
    };
    turn
}

#[test]
fn one_object_of_a_credential_opens_at_a_time_and_the_others_wait() {
    let mut scene = Scene::new();
    assert_eq!(ask(&mut scene, NOW), Turn::Open);
    assert_eq!(ask(&mut scene, NOW), Turn::Join);
    let opened = Command::Opened { succeeded: true };
    assert_eq!(scene.step(opened, NOW), Reply::Settled);
    assert_eq!(ask(&mut scene, NOW), Turn::Open);
}

#[test]
fn after_a_failure_no_object_opens_before_the_delay_is_over() {
    let mut scene = Scene::new();
    ask(&mut scene, NOW);
    let reply = scene.step(Command::Opened { succeeded: false }, NOW);
    let Reply::Turn(Turn::Refused(delay)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(ask(&mut scene, NOW), Turn::Refused(delay));
    // A gate that is evicted meanwhile knows it still.
    let stored = scene.gate.store();
    scene.gate = Gate::load(Some(&stored), NOW).machine;
    let before = NOW + delay - Duration::from_millis(1);
    assert_eq!(ask(&mut scene, before), Turn::Refused(Duration::from_millis(1)));
    assert_eq!(ask(&mut scene, NOW + delay), Turn::Open);
}

proptest! {
    #[test]
    fn two_objects_never_open_at_once(steps in proptest::collection::vec((0_u64..20_000, 0_usize..4, 0_u8..4), 1..200)) {
        let mut scene = Scene::new();
        let mut now = NOW;
        // Each object: since when it opens a connection, if it does. One that opens says how that went within 15 s, or dies.
        let mut opening: [Option<Timestamp>; 4] = [None; 4];
        for (millis, object, what) in steps {
            now = now + Duration::from_millis(millis);
            for slot in &mut opening {
                *slot = slot.filter(|since| now.since(*since) < Duration::from_secs(15));
            }
            match (opening[object], what) {
                (None, _) => {
                    if ask(&mut scene, now) == Turn::Open {
                        opening[object] = Some(now);
                    }
                }
                (Some(_), 0) => opening[object] = None,
                (Some(_), what) => {
                    scene.step(Command::Opened { succeeded: what == 1 }, now);
                    opening[object] = None;
                }
            }
            prop_assert!(opening.iter().flatten().count() <= 1);
        }
    }
}
