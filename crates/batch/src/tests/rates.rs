use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rate_limiter::RateLimiter;

/// Returns what runners got, and when, from a batch with a rate. Its messages take `delays` milliseconds, in
/// turn, and its runners a second and a half per chunk.
fn claimed(rate: u32, pushes: usize, delays: &[u64], time: Duration) -> Vec<(Timestamp, u64)> {
    let rate_terms = Terms {
        rate: Some(rate),
        ..terms()
    };
    let chunks = usize::try_from(time.as_secs() * u64::from(rate)).unwrap() / pushes + 10;
    let mut batch = sealed(rate_terms, chunks, pushes);
    let (mut queue, mut runs) = (BTreeMap::new(), BTreeMap::new());
    let (mut now, mut sent) = (BEGIN, 0);
    let mut claimed = Vec::new();
    while now < BEGIN + time {
        for number in batch.plan(now) {
            let delay = Duration::from_millis(delays[sent % delays.len()]);
            sent += 1;
            queue.insert((now + delay, sent), number);
        }
        let wake = batch.wake(now).unwrap();
        let events = [
            Some(wake.max(now + Duration::from_millis(1))),
            queue.keys().next().map(|(at, _): &(Timestamp, usize)| *at),
            runs.keys().next().map(|(at, _): &(Timestamp, u32)| *at),
        ];
        now = events.into_iter().flatten().min().unwrap();
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let number = entry.remove();
            if let Some(work) = batch.claim(number, now) {
                claimed.push((now, count(work.indices.len())));
                runs.insert((now + Duration::from_millis(1500), number), work);
            }
        }
        while let Some(entry) = runs.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), work) = entry.remove_entry();
            batch.settle(number, work.until, &accepted(work.indices.iter()), true, now);
        }
    }
    claimed
}

/// Checks every interval: at most the rate, plus one second's worth and one chunk.
fn assert_within(rate: u32, chunk: u64, claimed: &[(Timestamp, u64)]) {
    for (index, (since, _)) in claimed.iter().enumerate() {
        let mut sum = 0;
        for (at, pushes) in claimed[index..].iter().take(300) {
            sum += pushes;
            let millis = u64::try_from(at.since(*since).as_millis()).unwrap();
            let most = u64::from(rate) * (millis + 1000) / 1000 + chunk.min(u64::from(rate)) + 1;
            assert!(sum <= most, "{sum} in {millis} ms at {rate}/s");
        }
    }
}

#[test]
fn a_rate_is_kept_and_reached_though_messages_are_held_up() {
    for (rate, pushes) in [(1, 500), (50, 500), (1000, 500), (1000, 15), (20_000, 500)] {
        for delays in [&[0][..], &[1000], &[200, 3000, 900, 5000, 40, 1500]] {
            let claimed = claimed(rate, pushes, delays, secs(90));
            assert_within(rate, count(pushes), &claimed);
            // The first 500 are sent alone, and it takes a while until a high rate's pushes are in flight.
            let late = claimed.iter().filter(|(at, _)| *at >= BEGIN + secs(60));
            let late: u64 = late.map(|(_, pushes)| pushes).sum();
            let expected = u64::from(rate) * 30;
            assert!(
                late * 100 >= expected * 85,
                "{late} of {expected} by {pushes}, {delays:?}"
            );
        }
    }
}

#[test]
fn messages_that_come_all_at_once_do_not_break_a_rate() {
    // A queue that delivers nothing for half a minute, then everything.
    let delays: Vec<u64> = (0..60).map(|message| 30_000 - message * 500).collect();
    let claimed = claimed(1000, 500, &delays, secs(120));
    assert_within(1000, 500, &claimed);
}

#[test]
fn with_a_rate_the_pushes_that_have_waited_longest_go_first() {
    let rate_terms = Terms {
        rate: Some(2),
        ..terms()
    };
    let mut batch = sealed(rate_terms, 1, 4);
    let work = batch.claim(0, BEGIN).unwrap();
    assert_eq!(work.indices, BitSet::first(2), "a second's worth");
    batch.settle(0, work.until, &throttled([0, 1]), true, BEGIN);
    let now = BEGIN + secs(5);
    let work = batch.claim(0, now).unwrap();
    assert_eq!(work.indices, (2..4).collect());
    batch.settle(0, work.until, &overloaded([2, 3]), true, now);
    let now = BEGIN + secs(100);
    let work = batch.claim(0, now).unwrap();
    assert_eq!(work.indices, (2..4).collect(), "a 5xx is waited for shorter");
}

#[test]
fn a_batch_without_a_rate_knows_no_pace() {
    let mut batch = under_way(terms(), 100, 500);
    assert_eq!(batch.plan(BEGIN).len(), 64);
}

proptest! {
    #[test]
    fn a_pace_lets_through_what_it_must_and_no_more(
        rate in 1_u32..1_000_000,
        steps in proptest::collection::vec((0_u64..3000, 1_usize..500), 1..200),
    ) {
        let mut rate_limiter = RateLimiter::default();
        let (mut now, mut taken) = (BEGIN, Vec::new());
        for (pause, pushes) in steps {
            now = (now + Duration::from_millis(pause)).max(rate_limiter.free_at(rate));
            rate_limiter.take(pushes, rate, now);
            taken.push((now, count(pushes)));
            // It is free again once everything above one second's worth has drained.
            let wait = rate_limiter.free_at(rate).since(now).as_millis();
            prop_assert!(wait <= (pushes as u128 * 1000).div_ceil(u128::from(rate)));
        }
        for (index, (since, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (at, pushes) in &taken[index..] {
                let millis = u64::try_from(at.since(*since).as_millis()).unwrap();
                prop_assert!(sum <= u64::from(rate) * (millis + 1000) / 1000);
                sum += pushes;
            }
        }
    }
}
