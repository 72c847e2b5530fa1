use std::collections::HashSet;

use serde_json::json;

use super::*;

fn ids(body: &Value, seed: [u8; 16]) -> Vec<String> {
    let config = config();
    let body = body.to_string();
    let send_request =
        SendRequest::parse(body.as_bytes(), caller(&config, "backend"), &config, seed, NOW).unwrap();
    let requests = send_request
        .pushes
        .iter()
        .filter_map(|push| push.request.as_ref().ok());
    requests.map(|request| request.apns_id.to_string()).collect()
}

fn bodies(pushes: &[Push]) -> Vec<&str> {
    let requests = pushes.iter().map(|push| push.request.as_ref().unwrap());
    requests
        .map(|request| std::str::from_utf8(&request.body).unwrap())
        .collect()
}

#[test]
fn ids_are_distinct_and_the_same_for_the_same_seed() {
    let first = ids(&valid(500), SEED);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 500);
    assert_eq!(first, ids(&valid(500), SEED));
    let other: HashSet<String> = ids(&valid(500), [1; 16]).into_iter().collect();
    assert!(first.iter().all(|id| !other.contains(id)));
}

#[test]
fn a_skipped_device_does_not_move_the_ids_of_the_others() {
    let mut body = valid(3);
    body["on_invalid"] = json!("skip");
    let all = ids(&body, SEED);
    body["devices"][1] = json!({});
    assert_eq!(ids(&body, SEED), [all[0].clone(), all[2].clone()]);
}

#[test]
fn a_devices_own_id_goes_before_the_derived_one_and_the_notifications() {
    let mut body = valid(2);
    body["devices"][1]["apns_id"] = json!("123E4567-E89B-12D3-A456-426614174000");
    assert_eq!(
        ids(&body, SEED),
        [
            "abababab-abab-8bab-abab-abab00000000",
            "123e4567-e89b-12d3-a456-426614174000"
        ]
    );
    let mut body = valid(1);
    body["notification"]["apns_id"] = json!("00000000-0000-0000-0000-000000000001");
    body["devices"][0]["apns_id"] = json!("00000000-0000-0000-0000-000000000002");
    assert_eq!(ids(&body, SEED), ["00000000-0000-0000-0000-000000000002"]);
}

#[test]
fn one_token_may_stand_in_an_order_twice() {
    // Two payloads to one device are two notifications.
    let mut body = valid(2);
    body["devices"][1]["token"] = body["devices"][0]["token"].clone();
    body["devices"][1]["payload"] = json!({"aps": {"alert": "Bye"}});
    let pushes = parse(&body).unwrap();
    assert_eq!(
        bodies(&pushes),
        [r#"{"aps":{"alert":"Hi"}}"#, r#"{"aps":{"alert":"Bye"}}"#]
    );
    assert_eq!(pushes[0].token_hint, pushes[1].token_hint);
}

/// Returns the index that each device of a request repeats, if it is a repetition.
fn duplicates(devices: &Value) -> Vec<Option<usize>> {
    let mut body = valid(1);
    body["devices"] = devices.clone();
    let pushes = parse(&body).unwrap();
    let of = |push: &Push| match push.request {
        Err(Unsent::Duplicate { of }) => Some(of),
        _ => None,
    };
    pushes.iter().map(of).collect()
}

#[test]
fn a_device_gets_equal_content_once_and_each_repeat_names_the_first() {
    let (lower, upper) = ("ab".repeat(32), "AB".repeat(32));
    let devices = json!([
        {"token": lower},
        {"token": "cd".repeat(32)},
        {"token": upper, "ref": "user-1"},
        {"token": format!("<{lower}>"), "apns_id": "123e4567-e89b-12d3-a456-426614174000"},
        {"token": lower, "payload": {"aps": {"alert": "Hi"}}},
    ]);
    assert_eq!(duplicates(&devices), [None, None, Some(0), Some(0), Some(0)]);
}

#[test]
fn a_device_gets_each_of_several_contents_once() {
    let push = |badge: u32| json!({"token": "ab".repeat(32), "payload": {"aps": {"badge": badge}}});
    let devices = json!([push(1), push(2), push(1), push(2), push(3)]);
    assert_eq!(duplicates(&devices), [None, None, Some(0), Some(1), None]);
}

#[test]
fn a_repeat_among_10000_devices_is_found_over_a_socket() {
    use crate::fixture::config_with;
    let config = config_with(|name| (name == "TRANSPORT").then(|| "socket".to_owned()));
    let mut body = valid(1);
    body["devices"] = (0..10_000)
        .map(|index| json!({"token": format!("{:064x}", index % 9999)}))
        .collect();
    let text = body.to_string();
    let send_request =
        SendRequest::parse(text.as_bytes(), caller(&config, "backend"), &config, SEED, NOW).unwrap();
    assert_eq!(send_request.sendable().count(), 9999);
    assert_eq!(
        send_request.pushes[9999].request,
        Err(Unsent::Duplicate { of: 0 })
    );
}

#[test]
fn a_token_is_cleaned_before_it_is_sent() {
    let body = changed(
        "/devices/0/token",
        json!(" <EFC7492A bdbd8209 EFC7492A bdbd8209>\n"),
    );
    let pushes = parse(&body).unwrap();
    assert_eq!(
        pushes[0].request.as_ref().unwrap().path(),
        "/3/device/efc7492abdbd8209efc7492abdbd8209"
    );
    assert_eq!(pushes[0].token_hint, "efc7…8209");
}

#[test]
fn each_device_gets_its_own_payload_over_the_notifications() {
    let mut body = valid(3);
    body["notification"]["payload"] = json!({"aps": {"alert": {"title": "Hi"}, "badge": 1}, "id": 7});
    body["devices"][1]["payload"] = json!({"aps": {"alert": {"body": "Ann"}, "badge": null}});
    body["devices"][2]["payload"] = json!({"id": null, "name": "Bob"});
    assert_eq!(
        bodies(&parse(&body).unwrap()),
        [
            r#"{"aps":{"alert":{"title":"Hi"},"badge":1},"id":7}"#,
            r#"{"aps":{"alert":{"title":"Hi","body":"Ann"}},"id":7}"#,
            r#"{"aps":{"alert":{"title":"Hi"},"badge":1},"name":"Bob"}"#,
        ]
    );
}

#[test]
fn what_the_push_type_requires_may_come_from_the_devices() {
    let mut body = valid(1);
    body["notification"] = json!({"push_type": "liveactivity", "payload": {"aps": {"event": "end"}}});
    body["devices"][0]["payload"] = json!({"aps": {"timestamp": 1}});
    assert_eq!(
        bodies(&parse(&body).unwrap()),
        [r#"{"aps":{"event":"end","timestamp":1}}"#]
    );
}

#[test]
fn a_merged_payload_is_shortened_as_well() {
    let mut body = valid(1);
    body["notification"]["truncate"] = json!(true);
    body["devices"][0]["payload"] = json!({"aps": {"alert": "word ".repeat(1000)}});
    let pushes = parse(&body).unwrap();
    let sent = bodies(&pushes)[0];
    assert!(sent.len() <= 4096 && sent.contains('…'), "{}", sent.len());
}

#[test]
fn with_skip_a_bad_device_is_left_out_and_named() {
    let mut body = valid(4);
    body["on_invalid"] = json!("skip");
    body["devices"][1] = json!({"token": "zz", "ref": "Ann"});
    body["devices"][2]["payload"] = json!([]);
    let pushes = parse(&body).unwrap();
    let faults: Vec<Option<String>> = pushes
        .iter()
        .map(|push| push.request.as_ref().err().map(ToString::to_string))
        .collect();
    assert_eq!(
        faults,
        [
            None,
            Some("/devices/1/token: has a character at position 0 that is not a hex digit".to_owned()),
            Some("/devices/2/payload: must be an object, but is an array".to_owned()),
            None
        ]
    );
    assert_eq!(pushes[1].reference.as_deref(), Some("Ann"));
    assert_eq!(
        (pushes[1].token_hint.as_str(), pushes[2].token_hint.as_str()),
        ("…", "0000…0002")
    );
}

#[test]
fn without_skip_one_bad_device_refuses_the_order() {
    for on_invalid in [None, Some("reject")] {
        let mut body = valid(2);
        if let Some(word) = on_invalid {
            body["on_invalid"] = json!(word);
        }
        body["devices"][1]["token"] = json!("zz");
        assert_eq!(
            faults(&body),
            ["/devices/1/token: has a character at position 0 that is not a hex digit"]
        );
    }
}

#[test]
fn skip_is_for_devices_and_not_for_a_fault_that_all_of_them_share() {
    let mut body = valid(3);
    body["on_invalid"] = json!("skip");
    body["notification"] = json!({"push_type": "liveactivity", "payload": {"aps": {"event": "update"}}});
    assert_eq!(
        faults(&body),
        [
            "/notification/payload/aps/timestamp: is required",
            "/notification/payload/aps/content-state: is required"
        ]
    );
}

#[test]
fn a_skipped_device_keeps_no_ref_beyond_the_limit() {
    let mut body = valid(1);
    body["on_invalid"] = json!("skip");
    body["devices"][0]["ref"] = json!("r".repeat(MAX_REF + 1));
    let pushes = parse(&body).unwrap();
    assert_eq!(pushes[0].reference, None);
    assert!(pushes[0].request.is_err());
}
