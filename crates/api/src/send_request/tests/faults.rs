use crate::config::Transport;
use serde_json::json;

use super::*;

#[test]
fn every_wrong_type_is_named_at_its_field() {
    for (pointer, value, text) in [
        ("/app", json!(1), "must be a string, but is a number"),
        ("/notification", json!("Hi"), "must be an object, but is a string"),
        (
            "/notification/payload",
            json!([]),
            "must be an object, but is an array",
        ),
        (
            "/notification/truncate",
            json!("yes"),
            "must be a boolean, but is a string",
        ),
        ("/devices", json!({}), "must be an array, but is an object"),
        ("/devices/0/ref", json!([17]), "must be a string, but is an array"),
        ("/devices/0/token", json!(null), "is required"),
        (
            "/devices/0/apns_id",
            json!(false),
            "must be a string, but is a boolean",
        ),
        (
            "/devices/0/payload",
            json!("Hi"),
            "must be an object, but is a string",
        ),
        ("/on_invalid", json!(true), "must be a string, but is a boolean"),
    ] {
        let body = changed(pointer, value);
        assert_eq!(faults(&body), [format!("{pointer}: {text}")], "{body}");
    }
    for body in [json!([]), json!("order"), json!(7), json!(null)] {
        assert!(faults(&body)[0].starts_with("the body must be an object, but is"));
    }
}

#[test]
fn an_app_of_the_wrong_type_is_not_called_missing() {
    let problem = parse_as("editor", &changed("/app", json!(7)).to_string()).unwrap_err();
    assert_eq!(listed(&problem), ["/app: must be a string, but is a number"]);
}

#[test]
fn a_device_that_is_no_object_is_named_by_its_place() {
    let mut body = valid(3);
    body["devices"][1] = json!(7);
    assert_eq!(
        faults(&body),
        ["/devices/1: must be an object with a `token`, or a token in quotes, but is a number"]
    );
}

#[test]
fn an_unknown_field_gets_a_suggestion_at_each_level() {
    for (pointer, field, nearest) in [
        ("", "on_invald", "on_invalid"),
        ("", "Devices", "devices"),
        ("/notification", "colapse_id", "collapse_id"),
        ("/notification", "pushtype", "push_type"),
        ("/devices/0", "reff", "ref"),
        ("/devices/0", "apnsid", "apns_id"),
    ] {
        let body = changed(&format!("{pointer}/{field}"), json!(1));
        assert_eq!(
            faults(&body),
            [format!(
                "{pointer}/{field}: is not a known field; did you mean `{nearest}`?"
            )]
        );
        let body = changed(&format!("{pointer}/quite-unlike"), json!(1));
        assert_eq!(
            faults(&body),
            [format!("{pointer}/quite-unlike: is not a known field")]
        );
    }
}

#[test]
fn every_missing_field_is_named() {
    assert_eq!(
        faults(&json!({})),
        ["/notification: is required", "/devices: is required"]
    );
    let mut body = valid(2);
    body["devices"][1] = json!({"ref": "Ann"});
    assert_eq!(faults(&body), ["/devices/1/token: is required"]);
}

#[test]
fn the_faults_of_the_notification_and_of_every_device_are_reported_at_once() {
    let body = json!({
        "app": "shop", "from": "me", "on_invalid": "ignore",
        "notification": {"payload": {"aps": {"alert": "Hi"}}, "priority": 7},
        "devices": [
            {"token": "00f"},
            {"token": "00ff", "apns_id": "7"},
            {"token": "00ff", "ref": true, "colour": "red"},
            {},
        ],
    });
    assert_eq!(
        faults(&body),
        [
            "/from: is not a known field",
            "/on_invalid: must be `reject` or `skip`",
            "/notification/priority: must be 10, 5 or 1, but is 7",
            "/devices/0/token: has 3 hex digits, an odd number; it was cut off or mistyped",
            "/devices/1/apns_id: must be a UUID of 8-4-4-4-12 hex digits, as in `123e4567-e89b-12d3-a456-426614174000`",
            "/devices/2/colour: is not a known field",
            "/devices/2/ref: must be a string, but is a boolean",
            "/devices/3/token: is required",
        ]
    );
}

#[test]
fn a_priority_in_words_is_told_its_number() {
    for word in ["high", "normal", ""] {
        let mut body = valid(1);
        body["notification"]["priority"] = json!(word);
        assert_eq!(
            faults(&body),
            ["/notification/priority: must be 10, 5 or 1, and is a word: 10 for `high`, 5 for `normal`"]
        );
    }
}

#[test]
fn the_limit_of_devices_is_exact() {
    assert_eq!(
        parse(&valid(Limits::of(Transport::Fetch).devices)).unwrap().len(),
        500
    );
    assert_eq!(
        faults(&valid(Limits::of(Transport::Fetch).devices + 1)),
        ["/devices: is 501 devices long; the limit is 500"]
    );
    assert_eq!(faults(&valid(0)), ["/devices: names no device"]);
}

#[test]
fn devices_past_the_limit_are_not_read_one_by_one() {
    let mut body = valid(Limits::of(Transport::Fetch).devices + 1);
    body["devices"][0] = json!(7);
    assert_eq!(faults(&body), ["/devices: is 501 devices long; the limit is 500"]);
}

#[test]
fn the_limit_of_ref_counts_bytes() {
    for longest in ["r".repeat(MAX_REF), "é".repeat(MAX_REF / 2)] {
        let pushes = parse(&changed("/devices/0/ref", json!(longest))).unwrap();
        assert_eq!(pushes[0].reference.as_deref(), Some(longest.as_str()));
        let over = format!("{longest}r");
        assert_eq!(
            faults(&changed("/devices/0/ref", json!(over))),
            ["/devices/0/ref: is 257 bytes long; the limit is 256"]
        );
    }
}

#[test]
fn the_ios_13_description_of_a_token_is_refused_with_advice() {
    let found = faults(&changed(
        "/devices/0/token",
        json!("{length=32,bytes=0xabcd12345678...9012}"),
    ));
    assert!(
        found[0].starts_with("/devices/0/token: is a description of a `Data` value"),
        "{found:?}"
    );
    assert!(
        found[0].contains("%02x") && !found[0].contains("abcd12345678"),
        "{found:?}"
    );
}

#[test]
fn one_id_does_for_one_device_alone() {
    let id = "123E4567-E89B-12D3-A456-426614174000";
    let mut body = valid(1);
    body["notification"]["apns_id"] = json!(id);
    let pushes = parse(&body).unwrap();
    assert_eq!(
        pushes[0].request.as_ref().unwrap().apns_id.to_string(),
        id.to_ascii_lowercase()
    );
    let mut body = valid(2);
    body["notification"]["apns_id"] = json!(id);
    assert_eq!(
        faults(&body),
        ["/notification/apns_id: is one push's id, but there are 2 devices: use `devices[].apns_id`"]
    );
}

#[test]
fn a_rule_of_the_push_type_is_reported_once_and_at_the_notification() {
    let mut body = valid(3);
    body["notification"] = json!({"payload": {"aps": {"event": "end"}}, "push_type": "liveactivity"});
    assert_eq!(
        faults(&body),
        ["/notification/payload/aps/timestamp: is required"]
    );
}

#[test]
fn a_payload_that_the_merge_made_too_large_is_the_devices_fault() {
    let mut body = valid(2);
    body["devices"][1]["payload"] = json!({"filler": ""});
    let frame = parse(&body).unwrap()[1].request.as_ref().unwrap().body.len();
    body["devices"][1]["payload"] = json!({"filler": "x".repeat(4096 - frame)});
    let pushes = parse(&body).unwrap();
    assert_eq!(pushes[1].request.as_ref().unwrap().body.len(), 4096);
    body["devices"][1]["payload"] = json!({"filler": "x".repeat(4097 - frame)});
    assert_eq!(
        faults(&body),
        ["/devices/1/payload: is 4097 bytes long; the limit is 4096"]
    );
}

#[test]
fn more_faults_than_one_answer_lists_are_counted() {
    let mut body = valid(0);
    body["devices"] = json!(vec![json!({}); 130]);
    let problem = parse(&body).unwrap_err();
    let document: Value = serde_json::from_str(&problem.answer().body).unwrap();
    assert_eq!(document["errors"].as_array().unwrap().len(), 100);
    assert_eq!(document["more_errors"], 30);
}
