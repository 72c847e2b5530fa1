use proptest::prelude::*;

use super::simulation::Simulation;
use super::*;

fn some_terms() -> impl Strategy<Value = Terms> {
    let rates = prop_oneof![3 => Just(None), 1 => (1_u32..2000).prop_map(Some)];
    let expirations = prop_oneof![3 => Just(None), 1 => (60_u64..20_000).prop_map(Some)];
    let others = (any::<bool>(), 0_u32..=100);
    (rates, expirations, some_windows(), others).prop_map(|(rate, lasts, windows, others)| Terms {
        rate,
        expires_at: lasts.map(|lasts| BEGIN + secs(lasts)),
        repeatable: others.0,
        one_attempt: !others.0 && others.1 % 2 == 0,
        bad_token_percent: others.1,
        windows,
        ..terms()
    })
}

fn some_windows() -> impl Strategy<Value = Vec<(Timestamp, Timestamp)>> {
    let spans = proptest::collection::vec((0_u64..3000, 1_u64..3000), 1..5);
    let windows = spans.prop_map(|spans| {
        let mut end = BEGIN;
        let window = |(closed, open)| {
            let begin = end + secs(closed);
            end = begin + secs(open);
            (begin, end)
        };
        spans.into_iter().map(window).collect()
    });
    prop_oneof![3 => Just(Vec::new()), 1 => windows]
}

fn some_sizes() -> impl Strategy<Value = Vec<Size>> {
    let pushes = prop_oneof![1_usize..20, Just(500)];
    proptest::collection::vec(pushes, 1..12).prop_map(|all| {
        let mut first = 0;
        let size = |pushes| {
            let size = Size { first, pushes };
            first += u32::try_from(pushes).unwrap();
            size
        };
        all.into_iter().map(size).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Random events in random order. [`Simulation`] checks each claim and each row that is written.
    #[test]
    fn every_push_ends_once_and_none_is_sent_twice_at_a_time(
        terms in some_terms(),
        sizes in some_sizes(),
        steps in 0_usize..600,
        seed: u64,
    ) {
        let pushes: usize = sizes.iter().map(|size| size.pushes).sum();
        let mut simulation = Simulation::new(terms, sizes, seed);
        for step in 0..steps {
            simulation.step();
            counts(&simulation.batch, simulation.now);
            if step % 50 == 0 {
                simulation.assert_stored();
            }
        }
        // From here on everything succeeds, and the batch ends.
        simulation.kind = true;
        simulation.batch.resume(simulation.now);
        simulation.save();
        for _ in 0..100_000 {
            if simulation.batch.record().state.has_ended() {
                break;
            }
            if let State::Paused = simulation.batch.record().state {
                // Pushes in flight may still report trouble.
                simulation.batch.resume(simulation.now);
            }
            simulation.step();
        }
        simulation.assert_stored();
        let counts = counts(&simulation.batch, simulation.now);
        prop_assert_eq!((counts.waiting, counts.in_flight, counts.retrying), (0, 0, 0));
        let ended = usize::try_from(counts.accepted + counts.rejected + counts.failed).unwrap();
        prop_assert_eq!(simulation.letters(), ended);
        match simulation.batch.record().state {
            State::Done => prop_assert_eq!(ended, pushes),
            State::Cancelled => prop_assert_eq!(ended + usize::try_from(counts.cancelled).unwrap(), pushes),
            state => prop_assert!(false, "it never ends: {state:?}"),
        }
    }
}

#[test]
fn the_world_has_everything_happen() {
    let (mut claims, mut evictions) = (0, 0);
    for seed in 0..20 {
        let mut simulation = Simulation::new(terms(), sizes(8, 20), seed);
        for _ in 0..500 {
            simulation.step();
        }
        claims += simulation.claims;
        evictions += simulation.evictions;
    }
    assert!(
        claims > 400 && evictions > 200,
        "{claims} claims, {evictions} evictions"
    );
}
