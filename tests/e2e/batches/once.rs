//! Nothing is sent after a claim or a pause, including pushes that wait for a free stream. A device that
//! occurs twice gets equal content once.

use std::thread::sleep;
use std::time::Duration;

use apns_mock::{Latency, Options};
use serde_json::{Value, json};

use super::{Batch, head, lines, requests, shown};
use crate::deployment::SHOP;
use crate::shared::over_both_transports;
use crate::test_env::{Isolated, TestEnv, until};

over_both_transports! {
    a_repeated_device_is_a_duplicate_in_an_order_and_a_batch,
}

fn a_repeated_device_is_a_duplicate_in_an_order_and_a_batch(env: &TestEnv) {
    let name = format!("once, repeats, {}", env.worker.authority());
    let devices = env.devices(&SHOP, &name, 2);
    let (one, two) = (&devices[0], &devices[1]);
    let upper = one.to_uppercase();
    let send_request = json!({
        "app": "shop",
        "notification": { "payload": { "aps": { "alert": "Sale" } } },
        "devices": [{ "token": one }, { "token": two }, { "token": upper }],
    });
    let answer = env.push(&send_request);
    assert_eq!(answer["counts"]["accepted"], 2, "{answer}");
    assert_eq!(answer["counts"]["duplicate"], 1, "{answer}");
    let repeat = &answer["results"][2];
    assert_eq!(
        (&repeat["status"], &repeat["duplicate_of"]),
        (&json!("duplicate"), &json!(0))
    );
    let screen = |token: &str| env.apns.device(token)[0].screen.count;
    assert_eq!((screen(one), screen(two)), (1, 1));

    let line = |token: &str, badge: Option<u32>| {
        let payload = badge.map(|badge| json!({ "aps": { "badge": badge } }));
        format!("{}\n", json!({ "token": token, "payload": payload }))
    };
    let lines = [
        line(one, None),
        line(&upper, None),
        line(two, None),
        line(one, Some(7)),
        line(&format!("<{one}>"), Some(7)),
    ];
    let batch = Batch::upload(env, &format!("{}\n{}", head(json!({})), lines.concat()));
    let document = batch.once(env, "done");
    assert_eq!(document["chunks"], 1);
    assert_eq!(document["counts"]["accepted"], 3, "{document}");
    assert_eq!(document["counts"]["duplicate"], 2, "{document}");
    let receipts = batch.receipts(env);
    let fields = |field: &str| -> Vec<Value> { receipts.iter().map(|line| line[field].clone()).collect() };
    let expected = ["accepted", "duplicate", "accepted", "accepted", "duplicate"];
    assert_eq!(fields("status"), expected);
    let named = [Value::Null, json!(0), Value::Null, Value::Null, json!(3)];
    assert_eq!(fields("duplicate_of"), named);
    // Both contents are shown: neither has replaced the other.
    assert_eq!((screen(one), screen(two)), (3, 2));
}

/// Creates an environment whose connections carry one push at a time, each for `ms` milliseconds.
fn one_stream(ms: u64, settings: &[(&str, &str)]) -> Isolated {
    let options = Options {
        max_concurrent_streams: 1,
        latency: Latency::fixed(Duration::from_millis(ms)),
        ..Options::default()
    };
    TestEnv::isolated(options, &[settings, &[("TRANSPORT", "socket")]].concat())
}

#[test]
fn a_push_that_waits_for_a_stream_is_not_sent_after_the_claim_has_ended() {
    // All pushes together take longer than a claim, in which a runner launches for one second.
    let settings = [("CHUNK_CLAIM_MS", "5000"), ("ATTEMPT_TIMEOUT_MS", "2000")];
    let env = one_stream(500, &settings);
    let devices = env.devices(&SHOP, "once, claim", 16);
    let batch = Batch::upload(
        &env,
        &lines(&head(json!({ "collapse_repeats": false })), &devices),
    );
    batch.once_accepted(&env);
    let sent = requests(&env);
    for device in &devices {
        assert_eq!(sent[device].len(), 1, "two runners have sent to one device");
    }
}

#[test]
fn a_push_that_waits_for_a_stream_is_not_sent_after_a_pause() {
    let env = one_stream(250, &[]);
    let devices = env.devices(&SHOP, "once, pause", 60);
    let batch = Batch::upload(&env, &lines(&head(json!({})), &devices));
    until("the first pushes", || shown(&env, &devices) >= 2);
    batch.tell(&env, "pause").with_status(200);
    // The runner reports every two seconds, and pushes that have a stream are answered.
    until("the end of what was in flight", || {
        batch.status(&env)["counts"]["in_flight"] == 0
    });
    let before = requests(&env).len();
    sleep(Duration::from_secs(2));
    assert!(before < devices.len(), "all were sent");
    assert_eq!(requests(&env).len(), before);
    assert_eq!(batch.status(&env)["counts"]["failed"], 0);
}

#[test]
fn a_chunk_whose_last_report_is_refused_for_seconds_is_not_sent_again() {
    // A chunk without a report is sent again when its claim ends.
    let settings = [
        ("CHUNK_CLAIM_MS", "15000"),
        ("ATTEMPT_TIMEOUT_MS", "2000"),
        ("TRANSPORT", "socket"),
    ];
    let mut env = TestEnv::isolated(Options::default(), &settings);
    env.kill();
    env.wrap(include_str!("unreachable_batch.mjs"));
    env.restart();
    let devices = env.devices(&SHOP, "once, unreachable", 20);
    let options = head(json!({ "collapse_repeats": false }));
    let batch = Batch::upload(&env, &lines(&options, &devices));
    until("all pushes", || shown(&env, &devices) == devices.len());
    assert_eq!(batch.status(&env)["counts"]["in_flight"], devices.len());
    batch.once_accepted(&env);
    let refused = env.worker.log().matches("refused a report").count();
    assert!(refused >= 5, "only {refused} reports were refused");
    let sent = requests(&env);
    for device in &devices {
        assert_eq!(sent[device].len(), 1, "the chunk was sent again");
    }
}
