//! Imports: large ones, and those during a run or a deletion.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use apns_mock::Options;
use serde_json::{Value, json};

use super::{Audience, Campaign, LINES, fire_trigger_soon, lines, send, soon};
use crate::batches::pieces::Pieces;
use crate::deployment::{Caller, NEWS, SHOP};
use crate::test_env::{REQUESTS_KEPT, TestEnv, until};

/// The beginning of the log line about an import.
const IMPORTED: &str = r#""event":"devices_imported""#;

#[test]
fn memory_does_not_grow_with_the_lines_of_an_import() {
    let env = TestEnv::isolated(Options::default(), &[]);
    let audience = Audience::create(&env, "long", 8);
    // Two of the first size, because the allocator requests its pieces with the first.
    for (place, count) in [FEW, FEW, MANY].into_iter().enumerate() {
        let devices: Vec<String> = (0..count).map(|number| format!("{number:064x}")).collect();
        let body = lines(
            &devices,
            |number| json!({"tags": ["news"], "attributes": {"n": number}}),
        );
        let answer = audience.import(&env, &body);
        assert_eq!(
            (&answer["received"], &answer["invalid"]),
            (&json!(count), &json!(0))
        );
        assert_eq!(
            env.log_with(IMPORTED, place + 1).matches(IMPORTED).count(),
            place + 1
        );
    }
    assert_eq!(audience.status(&env)["devices"], MANY);
    let log = env.log();
    let sizes: Vec<u64> = log
        .lines()
        .filter(|line| line.contains(IMPORTED))
        .map(|line| {
            let event: Value = serde_json::from_str(line[line.find('{').unwrap()..].trim_end()).unwrap();
            event["memory_kb"].as_u64().unwrap()
        })
        .collect();
    assert!(
        sizes[2] - sizes[1] < SLACK_KB,
        "in KB after each import: {sizes:?}"
    );
}

/// Some megabytes of lines.
const FEW: usize = 10_000;

const MANY: usize = 200_000;

/// Lines that each leaked 50 bytes would need more than this.
const SLACK_KB: u64 = 8 * 1024;

#[test]
fn imports_during_a_run_send_to_no_device_twice_and_leave_none_out() {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", "socket")]);
    let audience = Audience::create(&env, "busy", 2);
    let devices = env.devices(&SHOP, "campaigns, busy", 12_000);
    let (known, more) = devices.split_at(10_000);
    audience.import(&env, &lines(known, |_| json!({"time_zone": "Europe/Vienna"})));
    let mut document = soon(&audience, "Hello");
    document["rate"] = json!(4000);
    let campaign = Campaign::create(&env, &document);
    let is_over = AtomicBool::new(false);
    let run = thread::scope(|scope| {
        scope.spawn(|| {
            // Some known devices change, some are removed and added again, and others are new.
            let leaving: String = known[..500]
                .iter()
                .map(|token| format!("{{\"token\":\"{token}\"}}\n"))
                .collect();
            for round in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let headers = [("content-type", LINES)];
                let path = audience.path("/devices");
                let left = env.call(Caller::Both, "DELETE", &path, &headers, leaving.as_bytes());
                left.with_status(200);
                audience.import(
                    &env,
                    &lines(&devices, |place| json!({"attributes": {"round": round + place}})),
                );
            }
        });
        // Long enough for the imports to be in progress.
        fire_trigger_soon(&env);
        let run = campaign.done(&env);
        is_over.store(true, Ordering::Relaxed);
        run
    });
    let mut requests: BTreeMap<String, usize> = BTreeMap::new();
    for request in env.apns.requests(REQUESTS_KEPT) {
        *requests.entry(request.path).or_default() += 1;
    }
    let sent = |token: &String| {
        requests
            .get(&format!("/3/device/{token}"))
            .copied()
            .unwrap_or_default()
    };
    assert!(devices.iter().all(|token| sent(token) <= 1));
    assert!(known[500..].iter().all(|token| sent(token) == 1));
    let all: usize = devices.iter().map(sent).sum();
    assert_eq!(run["counts"]["accepted"], all, "{run}");
    assert_eq!(audience.status(&env)["devices"], devices.len());
    assert_eq!(more.len(), 2000);
}

#[test]
fn nothing_is_left_of_an_import_whose_audience_is_deleted_meanwhile() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "vanishing", 2);
    let path = audience.path("/devices");
    let devices = env.tokens("audiences, vanishing", 3000);
    let (first, rest) = devices.split_at(2000);
    let mut request = Pieces::post(&env, &path, &[("content-type", LINES)]);
    request.piece(lines(first, |_| json!({})).as_bytes());
    until("an import under way", || audience.status(&env)["devices"] != 0);
    env.call(Caller::Both, "DELETE", &audience.path(""), &[], b"")
        .with_status(204);
    request.piece(lines(rest, |_| json!({})).as_bytes());
    request.end().problem(404, "audience-not-found");
    let again = Audience::create(&env, "vanishing", 2);
    assert_eq!(again.status(&env)["devices"], 0);
}

#[test]
fn devices_of_a_deleted_audience_never_come_into_the_next_of_its_name() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "reborn", 2);
    let devices = env.tokens("audiences, reborn", 3000);
    let (first, rest) = devices.split_at(2000);
    let mut request = Pieces::post(&env, &audience.path("/devices"), &[("content-type", LINES)]);
    request.piece(lines(first, |_| json!({})).as_bytes());
    until("an import under way", || audience.status(&env)["devices"] != 0);
    env.call(Caller::Both, "DELETE", &audience.path(""), &[], b"")
        .with_status(204);
    // Another app takes the name, and the import continues until its caller disconnects.
    let body = json!({"app": NEWS.name, "shards": 2});
    send(&env, "PUT", &audience.path(""), &body).with_status(201);
    request.piece(lines(rest, |_| json!({})).as_bytes());
    drop(request);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(audience.status(&env)["devices"], 0);
    assert!(audience.devices(&env).is_empty());
    assert_eq!(audience.count(&env, &json!({"not": {"exists": "tags"}})), 0);
}
