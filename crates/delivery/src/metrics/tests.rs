use std::time::Duration;

use proptest::prelude::*;

use super::sample::PUSH_BOUNDS_MS;
use super::*;
use crate::fanout::{Fanout, Launch, Next, Plan};
use apns::time::Timestamp;
use apns::{Outcome, PushType, Reason, Reply as Answer, TransportError};

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn answer(status: u16, reason: &str) -> Outcome {
    let body = format!(r#"{{"reason":"{reason}"}}"#);
    let header = |name: &str| (name == "apns-id").then_some("id");
    Outcome::Answered(Answer::read(
        status,
        header,
        body.as_bytes(),
        Timestamp::default(),
    ))
}

fn fanout(pushes: usize) -> Fanout {
    Fanout::new(Plan {
        pushes,
        window: pushes,
        proven: true,
        accepted: 0,
        launch_until: NOW + ms(60_000),
        resend_until: NOW + ms(60_000),
        one_attempt: false,
    })
}

fn launch(fanout: &mut Fanout, tally: &mut Tally, now: Timestamp) -> Launch {
    match fanout.next(now) {
        Next::Launch(launch) => {
            tally.launched(&launch);
            launch
        }
        other => panic!("{other:?}"),
    }
}

fn settle(fanout: &mut Fanout, tally: &mut Tally, launch: Launch, outcome: Outcome, now: Timestamp) {
    tally.ended(&launch, &outcome, now);
    if let Some(receipt) = fanout.settle(launch, outcome, false, now) {
        tally.settled(&receipt);
    }
}

fn delta(mut tally: Tally) -> MetricsDelta {
    let mut delta = MetricsDelta::default();
    tally.take_into(&mut delta, "shop", PushType::Alert, "fetch");
    delta
}

/// The pushes that were counted, by verdict and reason.
fn pushes(delta: &MetricsDelta) -> Vec<(&str, &str, u64)> {
    let rows = delta.of(Metric::Pushes, 4);
    rows.map(|(labels, sample)| {
        assert_eq!((labels[0].as_str(), labels[1].as_str()), ("shop", "alert"));
        (labels[2].as_str(), labels[3].as_str(), sample.count())
    })
    .collect()
}

fn took(millis: u64, bounds_ms: &[u64]) -> Sample {
    let mut sample = Sample::default();
    sample.observe(ms(millis), bounds_ms);
    sample
}

#[test]
fn a_push_is_counted_by_what_became_of_it() {
    let (mut fanout, mut tally) = (fanout(8), Tally::default());
    for outcome in [
        Outcome::Answered(Answer::read(200, |_| None, b"", Timestamp::default())),
        answer(410, "Unregistered"),
        answer(410, "Unregistered"),
        answer(400, "BadMood"),
        answer(400, "OddMood"),
        Outcome::Lost(TransportError::Deadline),
        Outcome::Answered(Answer::read(502, |_| None, b"<html>", Timestamp::default())),
        Outcome::Answered(Answer::read(200, |_| None, b"", Timestamp::default())),
    ] {
        let attempt = launch(&mut fanout, &mut tally, NOW);
        settle(&mut fanout, &mut tally, attempt, outcome, NOW);
    }
    assert_eq!(
        pushes(&delta(tally)),
        [
            ("accepted", "none", 2),
            ("drop_device", "Unregistered", 2),
            ("fix_request", "other", 2),
            ("unknown", "AnswerNotFromApns", 1),
            ("unknown", "DeadlinePassed", 1),
        ]
    );
}

#[test]
fn every_reason_that_apple_documents_has_a_label_of_its_own() {
    let (mut fanout, mut tally) = (fanout(Reason::KNOWN.len()), Tally::default());
    let mut expected = Vec::new();
    for reason in Reason::KNOWN {
        let outcome = answer(400, reason.as_str());
        let attempt = launch(&mut fanout, &mut tally, NOW);
        let receipt = crate::receipt::Receipt {
            push: attempt.push,
            verdict: crate::verdict::judge(&outcome),
            outcome,
            retry_after: None,
            attempts: 1,
            latency: Duration::ZERO,
            one_attempt: false,
        };
        tally.settled(&receipt);
        expected.push(reason.as_str());
    }
    let delta = delta(tally);
    let mut found: Vec<&str> = pushes(&delta).iter().map(|(_, reason, _)| *reason).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn only_an_attempt_that_was_answered_has_a_time() {
    let (mut fanout, mut tally) = (fanout(3), Tally::default());
    let [first, second, third] = [(); 3].map(|()| launch(&mut fanout, &mut tally, NOW));
    settle(
        &mut fanout,
        &mut tally,
        first,
        answer(410, "Unregistered"),
        NOW + ms(40),
    );
    settle(
        &mut fanout,
        &mut tally,
        second,
        Outcome::Lost(TransportError::Deadline),
        NOW + ms(10_000),
    );
    // The push is retried, but its first attempt was answered.
    settle(
        &mut fanout,
        &mut tally,
        third,
        answer(503, "ServiceUnavailable"),
        NOW + ms(70),
    );
    let delta = delta(tally);
    let times: Vec<_> = delta.of(Metric::Push, 1).collect();
    let [(labels, times)] = times.as_slice() else {
        panic!("{times:?}")
    };
    assert_eq!(
        (labels[0].as_str(), times.count(), times.sum_ms()),
        ("fetch", 2, 110)
    );
    assert_eq!((times.between(Some(25), 50), times.between(Some(50), 75)), (1, 1));
}

#[test]
fn an_attempt_beyond_a_pushs_first_is_a_resend() {
    let (mut fanout, mut tally) = (fanout(3), Tally::default());
    let [first, second] = [(); 2].map(|()| launch(&mut fanout, &mut tally, NOW));
    settle(
        &mut fanout,
        &mut tally,
        first,
        Outcome::NotSent(TransportError::GoingAway),
        NOW,
    );
    settle(&mut fanout, &mut tally, second, answer(200, ""), NOW);
    let later = NOW + ms(5000);
    let again = launch(&mut fanout, &mut tally, later);
    assert_eq!(again.push, 0);
    settle(&mut fanout, &mut tally, again, answer(200, ""), later);
    launch(&mut fanout, &mut tally, later);
    let delta = delta(tally);
    let resends: Vec<_> = delta.of(Metric::Resends, 1).collect();
    assert_eq!(resends, [(&["fetch".to_owned()][..], &Sample::times(1))]);
}

#[test]
fn a_time_is_counted_with_the_lowest_bound_that_it_does_not_exceed() {
    for (millis, over, bound) in [
        (0, None, 5),
        (5, None, 5),
        (6, Some(5), 10),
        (10_000, Some(5000), 10_000),
    ] {
        let histogram = took(millis, PUSH_BOUNDS_MS);
        assert_eq!(histogram.between(over, bound), 1, "{millis}");
    }
    let long = took(10_001, PUSH_BOUNDS_MS);
    assert_eq!((long.count(), long.between(None, 10_000)), (1, 0));
}

#[test]
fn bounds_that_another_version_had_count_where_they_lie() {
    let mut histogram = took(40, &[45]);
    histogram.merge(took(40, PUSH_BOUNDS_MS));
    assert_eq!(histogram.between(Some(25), 50), 2);
}

/// A delta with every metric.
fn everything() -> MetricsDelta {
    let mut delta = MetricsDelta::default();
    let (mut fanout, mut tally) = (fanout(1), Tally::default());
    let attempt = launch(&mut fanout, &mut tally, NOW);
    settle(
        &mut fanout,
        &mut tally,
        attempt,
        answer(410, "Unregistered"),
        NOW + ms(61),
    );
    tally.take_into(&mut delta, "shop", PushType::Alert, "socket");
    delta.add(Metric::Resends, &["socket"], Sample::times(1));
    delta.fallback("shop");
    delta.request("shop", 200);
    delta.chunk("shop", "socket");
    delta.claimed(ms(30));
    delta.lease("shop", true);
    delta.provider_token("shop");
    delta.opening("shop", false);
    delta
}

const EVERYTHING: &str = r#"[[["chunks","shop","socket"],{"count":1}],[["connection_openings","shop","failed"],{"count":1}],[["fallbacks","shop"],{"count":1}],[["leases","shop","granted"],{"count":1}],[["provider_tokens","shop"],{"count":1}],[["push","socket"],{"count":1,"sum_ms":61,"buckets":{"75":1}}],[["pushes","shop","alert","drop_device","Unregistered"],{"count":1}],[["queue"],{"count":1,"sum_ms":30,"buckets":{"100":1}}],[["requests","shop","200"],{"count":1}],[["resends","socket"],{"count":1}]]"#;

#[test]
fn a_deltas_format_unchanged() {
    // It is stored, and runners of the previous deployment send it to a shard of this version.
    assert_eq!(serde_json::to_string(&everything()).unwrap(), EVERYTHING);
    assert_eq!(
        serde_json::from_str::<MetricsDelta>(EVERYTHING).unwrap(),
        everything()
    );
    assert_eq!(serde_json::to_string(&MetricsDelta::default()).unwrap(), "[]");
}

#[test]
fn a_shards_commands_format_unchanged() {
    let commands = [Command::Add(MetricsDelta::default()), Command::Read];
    let text = serde_json::to_string(&commands).unwrap();
    assert_eq!(text, r#"[{"add":[]},"read"]"#);
    assert_eq!(serde_json::from_str::<Vec<Command>>(&text).unwrap(), commands);
}

#[test]
fn what_another_version_counts_is_kept_for_it_and_not_told() {
    let text = r#"[[["campaigns","shop"],{"count":7}],[["requests","shop"],{"count":1}],[["requests","shop","200"],{"count":2}]]"#;
    let delta = serde_json::from_str::<MetricsDelta>(text).unwrap();
    let labels = ["shop".to_owned(), "200".to_owned()];
    let told: Vec<_> = delta.of(Metric::Requests, 2).collect();
    assert_eq!(told, [(&labels[..], &Sample::times(2))]);
    assert_eq!(serde_json::to_string(&delta).unwrap(), text);
}

#[test]
fn a_shard_adds_up_what_it_is_handed_and_stores_it() {
    let (mut shard, fault) = MetricsShard::load(None);
    assert_eq!(fault, None);
    for _ in 0..2 {
        shard.add(everything());
    }
    let mut twice = everything();
    twice.merge(everything());
    let text = shard.store();
    assert_eq!(serde_json::from_str::<MetricsDelta>(&text).unwrap(), twice);
    assert_eq!(MetricsShard::load(Some(&text)), (shard, None));
}

#[test]
fn a_shard_whose_text_cannot_be_read_starts_again_and_says_so() {
    let (shard, fault) = MetricsShard::load(Some(r#"[["requests"]]"#));
    assert_eq!(shard, MetricsShard::default());
    assert!(fault.is_some());
}

fn some() -> impl Strategy<Value = MetricsDelta> {
    let step = (0..10_u8, 0..3_usize, 0..20_000_u64);
    proptest::collection::vec(step, 0..12).prop_map(|steps| {
        let mut delta = MetricsDelta::default();
        for (kind, app, millis) in steps {
            let app = ["shop", "news", "\"\\\n"][app];
            match kind {
                0 => delta.request(app, 200),
                1 => delta.fallback(app),
                2 => delta.chunk(app, "fetch"),
                3 => delta.claimed(ms(millis)),
                4 => delta.lease(app, millis % 2 == 0),
                5 => delta.provider_token(app),
                6 => delta.opening(app, millis % 2 == 0),
                7 => delta.add(Metric::Push, &[app], took(millis, PUSH_BOUNDS_MS)),
                // Sums that reach the largest number.
                8 => delta.add(Metric::Resends, &[app], Sample::times(u64::MAX - millis)),
                _ => delta.add(
                    Metric::Pushes,
                    &[app, "alert", "accepted", "none"],
                    Sample::times(millis),
                ),
            }
        }
        delta
    })
}

fn sum(mut first: MetricsDelta, second: &MetricsDelta) -> MetricsDelta {
    first.merge(second.clone());
    first
}

proptest! {
    #[test]
    fn adding_is_associative_and_commutative_and_nothing_adds_nothing(a in some(), b in some(), c in some()) {
        prop_assert_eq!(sum(a.clone(), &b), sum(b.clone(), &a));
        prop_assert_eq!(sum(sum(a.clone(), &b), &c), sum(a.clone(), &sum(b, &c)));
        prop_assert_eq!(sum(a.clone(), &MetricsDelta::default()), a);
    }

    #[test]
    fn a_delta_comes_back_from_its_text(delta in some()) {
        let text = serde_json::to_string(&delta).unwrap();
        prop_assert_eq!(serde_json::from_str::<MetricsDelta>(&text).unwrap(), delta);
    }
}
