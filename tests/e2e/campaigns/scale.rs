//! A large run, with a Worker that dies in its middle, twice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use apns_mock::Options;
use serde_json::{Value, json};

use super::{Audience, Campaign, PATIENCE, fire_trigger_soon, lines, soon};
use crate::deployment::SHOP;
use crate::test_env::{TestEnv, until_within};
use crate::worker::Queue;

#[test]
fn a_run_of_a_hundred_thousand_devices_outlives_kills_while_it_walks_and_while_it_sends() {
    let mut env = TestEnv::isolated(Options::default(), &SETTINGS);
    let audience = Audience::create(&env, "large", 8);
    let devices = env.devices(&SHOP, "campaigns, large", DEVICES);
    let body = lines(&devices, |_| json!({}));
    let started = Instant::now();
    let answer = audience.import(&env, &body);
    let imported = started.elapsed();
    assert_eq!(answer["added"], DEVICES);
    // Words of its own for each device make the walk longer.
    let campaign = Campaign::create(&env, &soon(&audience, &"Hello {{ ref }}! ".repeat(10)));
    fire_trigger_soon(&env);
    // To ask the Worker how far it is would take as long as the walk does. That is about as long as the import was, on
    // whatever machine.
    env.log_with(r#""event":"run_started""#, 1);
    sleep(imported / 3);
    env.kill_at_once();
    let killed_at = jiff::Timestamp::now();
    // Who is killed while it sends keeps its permits for two minutes: few chunks at a time leave enough for others.
    env.configure(Queue {
        delivery: 4,
        ..Queue::of_transport(Some("socket"))
    });
    env.restart();
    until_within(PATIENCE, "pushes that are sent", || {
        env.apns.shown().devices > 20_000
    });
    let mut run = campaign.runs(&env).remove(0);
    let batch = format!("/v1/batches/{}", run["batch"].as_str().unwrap());
    let batch = env.get(&batch).with_status(200);
    let sealed_at: jiff::Timestamp = batch["sealed_at"].as_str().unwrap().parse().unwrap();
    assert!(sealed_at > killed_at, "it had walked before: {batch}");
    // What was walked before is not walked again: it is told nowhere, as its shards died before they could.
    let told = walked(&env.log());
    assert!(0 < told && told < DEVICES as u64, "{told}");
    env.kill_at_once();
    assert!(env.apns.shown().devices < DEVICES as u64, "it had sent all");
    env.restart();
    until_within(PATIENCE, "a run that is done", || {
        sleep(Duration::from_millis(200));
        run = campaign.runs(&env).remove(0);
        run["state"] == "done"
    });
    assert_eq!(
        (&run["pushes"], &run["counts"]["accepted"]),
        (&json!(DEVICES), &json!(DEVICES)),
        "{run}"
    );
    let shown = env.apns.shown();
    assert_eq!(
        (shown.devices, shown.max_shown_on_one_device),
        (DEVICES as u64, 1)
    );
}

/// How many pushes the shards have told that they have walked past.
fn walked(log: &str) -> u64 {
    let events = log
        .lines()
        .filter(|line| line.contains(r#""event":"shard_walked""#));
    events
        .map(|line| {
            let event: Value = serde_json::from_str(line[line.find('{').unwrap()..].trim_end()).unwrap();
            event["pushes"].as_u64().unwrap()
        })
        .sum()
}

/// A runner that died keeps its chunks until its claim ends, which is to be soon.
const SETTINGS: [(&str, &str); 3] = [
    ("TRANSPORT", "socket"),
    ("CHUNK_CLAIM_MS", "5000"),
    ("ATTEMPT_TIMEOUT_MS", "2500"),
];

const DEVICES: usize = 100_000;
