//! The limit of a credential's pushes in flight, over all requests.

use std::thread;
use std::time::Duration;

use apns_mock::{Fault, FaultKind, Latency, Options};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::test_env::{Isolated, TestEnv, until};

/// How many requests may wait for permits.
const QUEUE: usize = 128;

fn send_request(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

fn gate(env: &Isolated) -> Value {
    let doctor = env.call(Caller::Shop, "GET", "/v1/doctor", &[], b"");
    doctor.with_status(200)["gates"][0].clone()
}

#[test]
fn orders_that_come_at_once_share_the_permits() {
    let latency = Latency::fixed(Duration::from_millis(100));
    let env = TestEnv::isolated(
        Options {
            latency,
            ..Options::default()
        },
        &[("PERMITS", "8")],
    );
    let devices = env.devices(&SHOP, "permits, shared", 60);
    thread::scope(|scope| {
        for part in devices.chunks(20) {
            scope.spawn(|| assert_eq!(env.push(&send_request(part))["counts"]["accepted"], 20));
        }
    });
    let peak = env.apns.state().peak_in_flight;
    assert!((6..=8).contains(&peak), "{peak}");
}

#[test]
fn one_permit_lets_one_push_be_in_flight_and_a_full_queue_turns_away() {
    let env = TestEnv::isolated(
        Options::default(),
        &[("PERMITS", "1"), ("ATTEMPT_TIMEOUT_MS", "60000")],
    );
    let devices = env.devices(&SHOP, "permits, one", QUEUE + 4);
    // The only permit is leased for this time.
    env.apns
        .fault(Fault::new(FaultKind::Silence).times(1).for_token(&devices[0]))
        .unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(|| env.push(&send_request(&devices[..1])));
        until("the holder", || !env.requests_to(&devices[0]).is_empty());
        let waiting: Vec<_> = devices[1..=QUEUE]
            .chunks(1)
            .map(|device| scope.spawn(|| env.post("/v1/push", &send_request(device))))
            .collect();
        until("the full queue", || gate(&env)["waiting"] == QUEUE);
        // The doctor's probes are over, and no longer counted.
        assert_eq!(env.take_violations(), Vec::<String>::new());
        let one_more = env.post("/v1/push", &send_request(&devices[QUEUE + 1..]));
        let wait: u64 = one_more.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        one_more.problem(503, "busy");
        assert_eq!(env.apns.state().accepted, 0);

        env.apns
            .fault(Fault {
                now: true,
                ..Fault::new(FaultKind::Close)
            })
            .unwrap();
        assert_eq!(holder.join().unwrap()["counts"]["failed"], 1);
        // On a slow machine some have waited too long by now. Each of them gets an answer.
        let mut accepted = 0;
        for answer in waiting
            .into_iter()
            .map(|send_request| send_request.join().unwrap())
        {
            match answer.status {
                200 => accepted += u64::from(answer.body["counts"]["accepted"] == 1),
                _ => drop(answer.problem(503, "busy")),
            }
        }
        assert!(accepted > 0);
        assert_eq!(env.apns.state().accepted, accepted);
    });
    assert_eq!(env.apns.state().peak_in_flight, 1);
    // And all permits were returned.
    assert_eq!(
        env.push(&send_request(&devices[QUEUE + 1..]))["counts"]["accepted"],
        3
    );
    let gate = gate(&env);
    assert_eq!((&gate["waiting"], &gate["limit"]), (&json!(0), &json!(1)));
}
