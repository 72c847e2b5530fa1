//! A large run whose Worker dies three times at different points.

use std::thread::sleep;
use std::time::Duration;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};
use testbed::Queue;

use super::{Audience, Campaign, PATIENCE, fire_trigger_soon, hold_scans, lines, soon};
use crate::deployment::SHOP;
use crate::test_env::{Isolated, TestEnv, until, until_within};

#[test]
fn a_run_of_a_hundred_thousand_devices_outlives_kills_while_it_scans_while_it_is_paused_and_while_it_sends() {
    let mut env = TestEnv::isolated(Options::default(), &SETTINGS);
    // Nothing is sent at first, so that the first kill finds only a scan.
    env.kill_at_once();
    let queue = Queue {
        // A killed runner keeps its permits for two minutes. With few chunks at a time, enough permits are
        // left for others.
        delivery: 2,
        ..Queue::of_transport(Some("socket"))
    };
    env.configure(Queue {
        takes: false,
        ..queue
    });
    hold_scans(&mut env, 40);
    let audience = Audience::create(&env, "large", 8);
    let devices = env.devices(&SHOP, "campaigns, large", DEVICES);
    let answer = audience.import(&env, &lines(&devices, |_| json!({})));
    assert_eq!(answer["added"], DEVICES);
    let campaign = Campaign::create(&env, &soon(&audience, "Hello {{ ref }}!"));
    fire_trigger_soon(&env);
    held(&env);
    let scanned = scanned(&env, &campaign);
    assert!(0 < scanned && scanned < DEVICES as u64, "{scanned}");
    env.kill_at_once();

    // While the batch is paused, the scans wait.
    env.set("STEPS", "0");
    env.configure(queue);
    come_back(&mut env);
    campaign.tell(&env, "pause").with_status(200);
    campaign.run_once(&env, "paused");
    let before = env.log().matches("a scan waits").count();
    until("all scans that wait", || {
        env.log().matches("a scan waits").count() >= before + 8
    });
    env.kill_at_once();
    env.set("STEPS", "80");
    come_back(&mut env);
    assert_eq!(campaign.run_once(&env, "paused")["state"], "paused");

    // After the resume, some pushes are in flight for as long as killing the Worker takes, and some devices
    // are not scanned yet.
    for device in devices.iter().step_by(500) {
        let silence = Fault::new(FaultKind::Silence);
        env.apns.fault(silence.for_token(device)).unwrap();
    }
    campaign.tell(&env, "resume").with_status(200);
    until_within(PATIENCE, "pushes that are sent, and others in flight", || {
        let state = env.apns.state();
        env.apns.shown().devices > 10_000 && state.in_flight > 0
    });
    env.kill_at_once();
    assert!(env.apns.shown().devices < DEVICES as u64, "it had sent all");
    env.apns.clear_faults();
    env.set("STEPS", "Infinity");
    come_back(&mut env);
    let mut run = Value::Null;
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

/// Restarts the Worker a minute later: an alarm that was set before a scan began is due.
fn come_back(env: &mut Isolated) {
    env.away_for_a_minute();
    env.restart();
}

/// Waits until the scans are held.
#[track_caller]
fn held(env: &TestEnv) {
    env.log_with("held a step", 1);
}

/// Returns how many devices of its run the batch knows.
#[track_caller]
fn scanned(env: &TestEnv, campaign: &Campaign) -> u64 {
    let run = campaign.runs(env).remove(0);
    let batch = format!("/v1/batches/{}", run["batch"].as_str().unwrap());
    let batch = env.get(&batch).with_status(200);
    assert_eq!(batch["sealed_at"], Value::Null, "{batch}");
    batch["pushes"].as_u64().unwrap()
}

/// A killed runner keeps its chunks until its claim ends, so claims are short.
const SETTINGS: [(&str, &str); 3] = [
    ("TRANSPORT", "socket"),
    ("CHUNK_CLAIM_MS", "5000"),
    ("ATTEMPT_TIMEOUT_MS", "2500"),
];

const DEVICES: usize = 100_000;
