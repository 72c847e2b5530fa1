//! Memory that does not grow with the number of pushes.

use std::time::Duration;

use apns_mock::{Latency, Options};
use serde_json::{Value, json};

use crate::deployment::SHOP;
use crate::log::SENT;
use crate::test_env::TestEnv;

/// Ten requests of the largest size, to a slow server: a hundred thousand pushes.
const ORDERS: usize = 10;

/// After these the isolate has nearly all the memory that a request needs. The allocator may still request a
/// piece later.
const FIRST: usize = 3;

/// Such pieces have 2 MB. Seventy thousand pushes that each leaked 120 bytes would need more than this.
const SLACK_KB: u64 = 8 * 1024;

#[test]
fn the_isolates_memory_does_not_grow_with_the_pushes() {
    let options = Options {
        latency: Latency::fixed(Duration::from_millis(50)),
        ..Options::default()
    };
    let env = TestEnv::isolated(options, &[("TRANSPORT", "socket")]);
    let devices = env.devices(&SHOP, "memory", 10_000);
    let devices: Vec<Value> = devices.iter().map(|token| json!({ "token": token })).collect();
    let send_request = json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices });
    for _ in 0..ORDERS {
        assert_eq!(env.push(&send_request)["counts"]["accepted"], 10_000);
    }
    let log = env.log_with(SENT, ORDERS);
    let sizes: Vec<u64> = log
        .lines()
        .filter(|line| line.contains(SENT))
        .map(memory_kb)
        .collect();
    assert_eq!(sizes.len(), ORDERS);
    let growth = sizes[ORDERS - 1] - sizes[FIRST - 1];
    assert!(growth < SLACK_KB, "in KB after each order: {sizes:?}");
}

pub(crate) fn memory_kb(line: &str) -> u64 {
    let json = &line[line.find('{').unwrap()..];
    let event: Value = serde_json::from_str(json.trim_end()).unwrap();
    event["memory_kb"].as_u64().unwrap()
}
