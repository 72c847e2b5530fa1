//! A request whose devices have different results.

use std::time::Duration;

use apns_mock::{Environment, Latency, Options, Registration, Standing, State};
use serde_json::{Value, json};

use crate::deployment::SHOP;
use crate::test_env::{TestEnv, header};

/// Since when the unregistered device is gone: 2016-02-02, 09:28:33.
const GONE_SINCE_MS: i64 = 1_454_405_313_000;

/// Enough for a window of six to fill and slide.
const GOOD_DEVICES: usize = 30;

#[test]
fn each_device_gets_its_outcome_in_the_order_of_the_request_with_six_in_flight() {
    let state = state_after_a_mixed_order("fetch");
    assert_eq!(state.peak_in_flight, 6);
}

#[test]
fn over_a_socket_too_each_device_gets_its_outcome_with_all_in_flight_on_one_connection() {
    let state = state_after_a_mixed_order("socket");
    assert_eq!((state.connections_h2, state.connections_h1), (1, 0));
    // The first push goes alone, because the provider token is not proven yet.
    assert_eq!(state.peak_in_flight, state.requests - 1);
}

/// Sends to devices with different results, and asserts what holds for each transport.
fn state_after_a_mixed_order(transport: &str) -> State {
    let latency = Latency::fixed(Duration::from_millis(200));
    let env = TestEnv::isolated(
        Options {
            latency,
            ..Options::default()
        },
        &[("TRANSPORT", transport)],
    );
    let good = env.devices(&SHOP, "outcomes, good", GOOD_DEVICES);
    let [gone, expired] =
        [("gone", Standing::Unregistered), ("expired", Standing::Expired)].map(|(name, state)| {
            let tokens = env.tokens(&format!("outcomes, {name}"), 1);
            env.register(Registration {
                state,
                since: Some(GONE_SINCE_MS),
                tokens: tokens.clone(),
                ..Registration::device(Environment::Production, SHOP.topic, "")
            });
            tokens
        });
    let unknown = env.tokens("outcomes, unknown", 1);
    let foreign = env.tokens("outcomes, foreign", 1);
    env.register(Registration {
        tokens: foreign.clone(),
        ..Registration::device(Environment::Production, "com.example.other", "")
    });
    // The bad ones are among the good ones.
    let (first, rest) = good.split_at(3);
    let tokens = [first, &gone, &expired, &rest[..7], &unknown, &foreign, &rest[7..]].concat();
    let devices: Vec<Value> = tokens
        .iter()
        .enumerate()
        .map(|(place, token)| json!({ "token": token, "ref": format!("customer-{place}") }))
        .collect();

    let answer = env.push(&json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices }));

    assert_eq!(
        (&answer["app"], &answer["transport"]),
        (&json!("shop"), &json!(transport))
    );
    assert_eq!(
        answer["counts"],
        json!({ "devices": GOOD_DEVICES + 4, "accepted": GOOD_DEVICES, "rejected": 4, "retrying": 0, "failed": 0, "duplicate": 0, "gone": 2 })
    );
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), tokens.len());
    for (place, (token, result)) in tokens.iter().zip(results).enumerate() {
        assert_eq!(result["ref"], format!("customer-{place}"));
        assert_eq!(result["token_hint"], format!("{}…{}", &token[..4], &token[60..]));
        assert_eq!(result["attempts"], 1);
        let requests = env.requests_to(token);
        assert_eq!(requests.len(), 1);
        assert_eq!(result["apns_id"], header(&requests[0], "apns-id").unwrap());
        let outcome = ["status", "code", "reason", "verdict", "since"].map(|field| &result[field]);
        let since = json!("2016-02-02T09:28:33.000Z");
        let bad = |code: u16, reason: &str, verdict: &str, since| {
            [
                json!("rejected"),
                json!(code),
                json!(reason),
                json!(verdict),
                since,
            ]
        };
        let expected = match token {
            _ if gone.contains(token) => bad(410, "Unregistered", "drop_device", since),
            _ if expired.contains(token) => bad(410, "ExpiredToken", "drop_device", since),
            _ if unknown.contains(token) => bad(400, "BadDeviceToken", "check_token", Value::Null),
            _ if foreign.contains(token) => bad(400, "DeviceTokenNotForTopic", "check_token", Value::Null),
            _ => [
                json!("accepted"),
                json!(200),
                Value::Null,
                json!("accepted"),
                Value::Null,
            ],
        };
        assert_eq!(outcome, expected.each_ref(), "device {place}");
    }
    for token in &tokens {
        assert!(!answer.to_string().contains(token.as_str()));
    }
    for token in &good {
        assert_eq!(env.apns.device(token)[0].screen.count, 1);
    }
    let state = env.apns.state();
    assert_eq!(state.requests, tokens.len() as u64);
    assert_eq!(state.provider_tokens, 1);
    state
}

#[test]
fn five_hundred_devices_are_answered_at_once() {
    let env = TestEnv::shared();
    let tokens = env.devices(&SHOP, "outcomes, many", 500);
    let send_request = |tokens: &[String]| {
        let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
        json!({ "app": "shop", "notification": { "payload": { "aps": { "badge": 1 } } }, "devices": devices })
    };
    let answer = env.push(&send_request(&tokens));
    assert_eq!(answer["counts"]["accepted"], 500);
    for token in &tokens {
        assert_eq!(env.apns.device(token)[0].screen.count, 1);
    }
}

#[test]
fn each_device_can_have_a_payload_of_its_own() {
    let env = TestEnv::shared();
    let tokens = env.devices(&SHOP, "outcomes, own payload", 3);
    let send_request = json!({
        "app": "shop",
        "notification": { "payload": { "aps": { "alert": { "title": "Hello", "body": "Sale" }, "badge": 1 }, "shop": 7 } },
        "devices": [
            { "token": &tokens[0] },
            { "token": &tokens[1], "payload": { "aps": { "badge": 2, "alert": { "title": "Hello, Ann" } } } },
            { "token": &tokens[2], "payload": { "aps": { "badge": null }, "shop": null } },
        ],
    });
    assert_eq!(env.push(&send_request)["counts"]["accepted"], 3);
    let shown = tokens.iter().map(|token| {
        let screen = env.apns.device(token).remove(0).screen;
        screen.notifications[0].payload.clone()
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            r#"{"aps":{"alert":{"title":"Hello","body":"Sale"},"badge":1},"shop":7}"#,
            r#"{"aps":{"alert":{"title":"Hello, Ann","body":"Sale"},"badge":2},"shop":7}"#,
            r#"{"aps":{"alert":{"title":"Hello","body":"Sale"}}}"#,
        ]
    );
}

#[test]
fn devices_at_fault_are_left_out_if_the_caller_says_so() {
    let env = TestEnv::shared();
    let tokens = env.devices(&SHOP, "outcomes, skip", 2);
    let mut send_request = json!({
        "app": "shop",
        "notification": { "payload": { "aps": { "alert": "Sale" } } },
        "devices": [
            { "token": &tokens[0], "ref": "a" },
            { "token": "{length=32,bytes=0xabcd...}", "ref": "b" },
            { "token": "not hex", "ref": "c" },
            { "token": &tokens[1], "ref": "d" },
        ],
    });
    let problem = env
        .post("/v1/push", &send_request)
        .problem(422, "invalid-request");
    let pointers: Vec<&Value> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(pointers, ["/devices/1/token", "/devices/2/token"]);
    assert!(env.requests_to(&tokens[0]).is_empty());

    send_request["on_invalid"] = json!("skip");
    let answer = env.push(&send_request);
    assert_eq!(
        answer["counts"],
        json!({ "devices": 4, "accepted": 2, "rejected": 2, "retrying": 0, "failed": 0, "duplicate": 0, "gone": 0 })
    );
    let results = answer["results"].as_array().unwrap();
    let refs: Vec<&Value> = results.iter().map(|result| &result["ref"]).collect();
    assert_eq!(refs, ["a", "b", "c", "d"]);
    for result in &results[1..3] {
        assert_eq!(
            (&result["reason"], &result["code"]),
            (&json!("InvalidDevice"), &json!(0))
        );
        assert!(
            result["detail"].as_str().unwrap().starts_with("/devices/"),
            "{result}"
        );
    }
}
