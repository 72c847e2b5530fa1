//! A gate that loses its memory in the middle of work.

use std::thread;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::caller;
use crate::deployment::{Caller, SHOP};
use crate::stage::{Stage, header};

fn order(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_killed_worker_comes_back_with_its_provider_token_and_knows_what_was_in_flight() {
    let mut stage = Stage::alone(Options::default(), &[("PERMITS", "12")]);
    let devices = stage.devices(&SHOP, "eviction", 30);
    assert_eq!(stage.push(&order(&devices[..10]))["counts"]["accepted"], 10);
    let gate = |stage: &Stage| {
        stage
            .call(Caller::Shop, "GET", "/v1/doctor", &[], b"")
            .with_status(200)["gates"][0]
            .clone()
    };

    // One order never gets its answer: it is under way when the Worker dies.
    stage
        .apns
        .fault(Fault::new(FaultKind::Silence).for_token(&devices[10]))
        .unwrap();
    let url = stage.worker.url("/v1/push");
    let authorization = format!("Bearer {}", Caller::Shop.key());
    let body = order(&devices[10..11]).to_string();
    let stuck = thread::spawn(move || {
        caller::try_call(
            "POST",
            &url,
            &[("authorization", &authorization)],
            body.as_bytes(),
        )
        .is_err()
    });
    while stage.requests_to(&devices[10]).is_empty() {
        thread::yield_now();
    }
    let in_use = gate(&stage)["in_use"].clone();
    stage.kill_and_restart();
    assert!(stuck.join().unwrap(), "the Worker died before it could answer");

    // The permits of the dead holder are out until their time is over, and the rest can be used.
    let after = gate(&stage);
    assert_eq!((&after["in_use"], &after["limit"]), (&in_use, &json!(12)));
    let answer = stage.push(&order(&devices[11..]));
    assert_eq!(answer["counts"]["accepted"], 19, "{answer}");
    let state = stage.apns.state();
    assert_eq!((state.provider_tokens, state.requests), (1, 30 + state.probes));
    let tokens = devices.iter().map(|device| {
        header(&stage.requests_to(device)[0], "authorization")
            .unwrap()
            .to_owned()
    });
    let mut tokens: Vec<String> = tokens.collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
}
