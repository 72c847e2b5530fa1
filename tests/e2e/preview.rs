//! A preview shows exactly what APNs receives.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::deployment::SHOP;
use crate::test_env::TestEnv;

/// Headers that the transport adds and that are not part of APNs' protocol.
const TRANSPORTS_OWN: [&str; 5] = [
    "host",
    "content-length",
    "authorization",
    "accept-encoding",
    "cf-worker",
];

/// Sends the same body to preview and push, and compares. Every push needs its apns-id in the body.
#[track_caller]
fn assert_the_same(env: &TestEnv, body: &Value, tokens: &[String]) {
    let preview = env.post("/v1/preview", body).with_status(200);
    let pushes = preview["pushes"].as_array().unwrap();
    assert_eq!(pushes.len(), tokens.len());
    for token in tokens {
        assert!(env.requests_to(token).is_empty(), "a preview sends nothing");
    }
    assert_eq!(env.push(body)["counts"]["accepted"], tokens.len());
    for (push, token) in pushes.iter().zip(tokens) {
        let shown = &push["request"];
        let sent = env.requests_to(token).remove(0);
        assert_eq!(
            (shown["method"].as_str(), shown["path"].as_str()),
            (Some(sent.method.as_str()), Some(sent.path.as_str()))
        );
        assert_eq!(shown["body"], sent.body);
        assert_eq!(shown["size"], sent.body.len());
        let mut headers: Vec<(String, String)> = sent.headers;
        headers.retain(|(name, _)| !TRANSPORTS_OWN.contains(&name.as_str()));
        let mut expected: Vec<(String, String)> = shown["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        expected.sort();
        assert_eq!(headers, expected);
    }
}

#[test]
fn a_preview_equals_byte_for_byte_what_apns_gets() {
    let env = TestEnv::shared();
    let tokens = env.devices(&SHOP, "preview, alert", 2);
    let tomorrow = UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(24 * 60 * 60);
    let body = json!({
        "app": "shop",
        "notification": {
            "payload": {
                "aps": { "alert": { "title": "Grüße 👋", "body": "line\nand \"quotes\" \\ \u{1}" }, "sound": "default", "badge": 12 },
                "numbers": [1.0, 1e3, 12345678901234567890_u64, -0.5],
                "nested": { "z": null, "a": [] },
            },
            "priority": 5,
            "expiration": tomorrow.as_secs(),
            "collapse_id": "sale-7",
        },
        "devices": [
            { "token": &tokens[0], "apns_id": "123e4567-e89b-42d3-a456-426614174000" },
            { "token": tokens[1].to_uppercase(), "ref": "b", "apns_id": "123e4567-e89b-42d3-a456-426614174001", "payload": { "aps": { "badge": 13 } } },
        ],
    });
    assert_the_same(&env, &body, &tokens);
}

#[test]
fn a_preview_equals_what_apns_gets_for_a_background_push_and_a_shortened_one() {
    let env = TestEnv::shared();
    let id = "123e4567-e89b-42d3-a456-426614174002";
    let tokens = env.devices(&SHOP, "preview, background", 1);
    let background = json!({ "payload": { "aps": { "content-available": 1 }, "sync": true }, "apns_id": id });
    assert_the_same(
        &env,
        &json!({ "app": "shop", "notification": background, "devices": [{ "token": &tokens[0] }] }),
        &tokens,
    );

    let tokens = env.devices(&SHOP, "preview, truncated", 1);
    let long = json!({ "payload": { "aps": { "alert": { "body": "żółw ".repeat(2000) } } }, "truncate": true, "apns_id": id });
    assert_the_same(
        &env,
        &json!({ "app": "shop", "notification": long, "devices": [{ "token": &tokens[0] }] }),
        &tokens,
    );
    let size = env.requests_to(&tokens[0])[0].body.len();
    assert!((4090..=4096).contains(&size), "{size}");
}
