//! Batches and immediate requests that need permits at the same time.

use std::time::Duration;

use apns_mock::{Latency, Options};
use serde_json::json;

use super::{Batch, assert_shown_once, shown, wide};
use crate::deployment::SHOP;
use crate::shared::over_each_transport;
use crate::test_env::{TestEnv, until};

over_each_transport! {
    an_immediate_order_does_not_wait_for_a_batch,
}

fn an_immediate_order_does_not_wait_for_a_batch(transport: &str) {
    let options = Options {
        latency: Latency::fixed(Duration::from_millis(50)),
        ..Options::default()
    };
    let env = TestEnv::isolated(options, &[("TRANSPORT", transport), ("PERMITS", "6")]);
    let devices = env.devices(&SHOP, "batches, fairness", 480);
    let urgent = env.device("batches, fairness, urgent");
    let batch = Batch::upload(&env, &wide(&devices));
    until("a batch under way", || shown(&env, &devices) > 0);
    let send_request = json!({
        "app": "shop",
        "notification": { "payload": { "aps": { "alert": "Now" } } },
        "devices": [{ "token": urgent }],
    });
    assert_eq!(env.push(&send_request)["counts"]["accepted"], 1);
    assert_eq!(batch.status(&env)["state"], "running");
    batch.once_accepted(&env);
    assert_shown_once(&env, &devices);
    let peak = env.apns.state().peak_in_flight;
    assert!(peak <= 6, "{peak}");
}
