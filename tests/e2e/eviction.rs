//! A gate that is evicted while permits are leased.

use std::thread;
use std::time::Duration;

use apns_mock::{Fault, FaultKind, Latency, Options};
use serde_json::{Value, json};

use crate::caller;
use crate::deployment::{Caller, SHOP};
use crate::shared::over_each_transport;
use crate::test_env::{TestEnv, header, until};

fn send_request(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

fn gate(env: &TestEnv) -> Value {
    let doctor = env.call(Caller::Shop, "GET", "/v1/doctor", &[], b"");
    doctor.with_status(200)["gates"][0].clone()
}

over_each_transport! {
    a_killed_worker_comes_back_with_its_provider_token_and_knows_what_was_in_flight,
}

fn a_killed_worker_comes_back_with_its_provider_token_and_knows_what_was_in_flight(transport: &str) {
    let mut env = TestEnv::isolated(Options::default(), &[("PERMITS", "12"), ("TRANSPORT", transport)]);
    let devices = env.devices(&SHOP, "eviction", 30);
    assert_eq!(env.push(&send_request(&devices[..10]))["counts"]["accepted"], 10);

    // One request never gets its answer: it is in progress when the Worker dies.
    env.apns
        .fault(Fault::new(FaultKind::Silence).for_token(&devices[10]))
        .unwrap();
    let url = env.worker.url("/v1/push");
    let authorization = format!("Bearer {}", Caller::Shop.key());
    let body = send_request(&devices[10..11]).to_string();
    let stuck = thread::spawn(move || {
        caller::try_call(
            "POST",
            &url,
            &[("authorization", &authorization)],
            body.as_bytes(),
        )
        .is_err()
    });
    until("the order that gets no answer", || {
        !env.requests_to(&devices[10]).is_empty() && gate(&env)["in_use"] == 1
    });
    env.kill_and_restart();
    assert!(stuck.join().unwrap(), "the Worker died before it could answer");

    // The permits of the dead holder are leased until they expire, and the others can be used.
    let after = gate(&env);
    assert_eq!((&after["in_use"], &after["limit"]), (&json!(1), &json!(12)));
    let answer = env.push(&send_request(&devices[11..]));
    assert_eq!(answer["counts"]["accepted"], 19, "{answer}");
    let state = env.apns.state();
    assert_eq!((state.provider_tokens, state.requests), (1, 30 + state.probes));
    let tokens = devices.iter().map(|device| {
        header(&env.requests_to(device)[0], "authorization")
            .unwrap()
            .to_owned()
    });
    let mut tokens: Vec<String> = tokens.collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
}

#[test]
fn a_gate_that_is_evicted_keeps_its_provider_token_and_gives_the_permits_out_again() {
    let latency = Latency::fixed(Duration::from_millis(300));
    let options = Options {
        latency,
        ..Options::default()
    };
    let mut env = TestEnv::evictable(options, &[("PERMITS", "6")]);
    let devices = env.devices(&SHOP, "eviction of the gate", 40);
    assert_eq!(env.push(&send_request(&devices[..6]))["counts"]["accepted"], 6);
    env.evict_gate(&SHOP);
    let gate = gate(&env);
    assert_eq!((&gate["proven"], &gate["limit"]), (&json!(true), &json!(6)));
    assert_eq!(env.push(&send_request(&devices[6..12]))["counts"]["accepted"], 6);

    // During a request that holds all permits.
    let body = send_request(&devices[12..36]);
    let under_way = {
        let url = env.worker.url("/v1/push");
        let authorization = format!("Bearer {}", Caller::Shop.key());
        let body = body.to_string();
        thread::spawn(move || {
            let headers = [("authorization", authorization.as_str())];
            caller::call("POST", &url, &headers, body.as_bytes())
        })
    };
    until("the order's first push", || {
        !env.requests_to(&devices[12]).is_empty()
    });
    env.evict_gate(&SHOP);
    let answer = under_way.join().unwrap().with_status(200);
    assert_eq!(answer["counts"]["accepted"], 24, "{answer}");
    assert_eq!(env.push(&send_request(&devices[36..]))["counts"]["accepted"], 4);
    let state = env.apns.state();
    assert_eq!((state.provider_tokens, state.peak_in_flight), (1, 6));
}

#[test]
fn a_connection_object_that_has_closed_its_connection_can_be_evicted() {
    let settings = [("TRANSPORT", "socket"), ("CONNECTION_IDLE_MS", "1000")];
    let mut env = TestEnv::evictable(Options::default(), &settings);
    let devices = env.devices(&SHOP, "eviction of a connection", 20);
    assert_eq!(env.push(&send_request(&devices[..10]))["counts"]["accepted"], 10);
    until("the end of the idle connection", || {
        env.apns.state().connections_open == 0
    });
    env.evict_connection(&SHOP);
    let answer = env.push(&send_request(&devices[10..]));
    assert_eq!(
        (&answer["counts"]["accepted"], &answer["transport"]),
        (&json!(10), &json!("socket"))
    );
    assert_eq!(env.apns.state().provider_tokens, 1);
}
