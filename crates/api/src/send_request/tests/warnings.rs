//! What is sent unchanged and answered with a warning.

use std::collections::BTreeSet;

use super::*;
use crate::config::Transport;
use crate::push;
use apns::fault::WarningCode;

fn order_of<'c>(config: &'c Config, body: &str, lines_in: bool) -> Result<SendRequest<'c>, Problem> {
    let format = Format {
        lines_in,
        lines_out: false,
    };
    SendRequest::parse_for(config.app("shop").unwrap(), body.as_bytes(), format, SEED, NOW)
}

/// Returns the warnings in the answer to a request.
fn answered(body: &Value) -> Value {
    let config = config();
    let send_request =
        order_of(&config, &body.to_string(), false).unwrap_or_else(|problem| panic!("{}", problem.detail()));
    let answer = push::answer(&send_request, &[], Transport::Fetch).body;
    let document: Value = serde_json::from_str(&answer).unwrap();
    document.get("warnings").cloned().unwrap_or_else(|| json!([]))
}

/// Returns their codes and pointers.
fn kinds(body: &Value) -> Vec<String> {
    let warnings = answered(body);
    let kind = |warning: &Value| {
        let text = |field: &str| warning[field].as_str().unwrap().to_owned();
        format!("{} {}", text("code"), text("pointer"))
    };
    warnings.as_array().unwrap().iter().map(kind).collect()
}

fn with_notification(notification: Value) -> Value {
    let mut body = valid(2);
    body["notification"] = notification;
    body
}

#[test]
fn what_apns_takes_is_sent_with_a_warning() {
    for (aps, warning) in [
        (
            json!({"badge": 1, "mutable-content": 1}),
            "mutable_without_alert /notification/payload/aps/mutable-content",
        ),
        (
            json!({"alert": "a", "content-available": 0}),
            "wrong_value /notification/payload/aps/content-available",
        ),
        (
            json!({"alert": "a", "content-available": true}),
            "wrong_type /notification/payload/aps/content-available",
        ),
        (
            json!({"alert": "a", "badge": -1}),
            "wrong_value /notification/payload/aps/badge",
        ),
        (
            json!({"alert": {"body": "b", "action-loc-key": null}}),
            "null_value /notification/payload/aps/alert/action-loc-key",
        ),
        (
            json!({"alert": "a", "relevance-score": 100}),
            "wrong_value /notification/payload/aps/relevance-score",
        ),
        (
            json!({"alert": "a", "relevance-score": -5}),
            "wrong_value /notification/payload/aps/relevance-score",
        ),
    ] {
        let body = with_notification(json!({"payload": {"aps": aps}}));
        assert_eq!(kinds(&body), [warning]);
        let sent = parse(&body).unwrap();
        let sent: Value = serde_json::from_slice(&sent[0].request.as_ref().unwrap().body).unwrap();
        assert_eq!(sent["aps"], aps, "it is sent as written");
        let mut strict = body;
        strict["strict"] = json!(true);
        let faults = faults(&strict);
        let (code, pointer) = warning.split_once(' ').unwrap();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with(&format!("{pointer}: ")), "{faults:?}");
        assert!(faults[0].contains(code), "{faults:?}");
    }
    let body = with_notification(json!({"payload": {"aps": {"event": "update"}}}));
    assert_eq!(
        faults(&body).len(),
        2,
        "a Live Activity needs what Apple requires"
    );
}

#[test]
fn an_order_without_mistakes_has_no_warnings() {
    assert_eq!(answered(&valid(2)), json!([]));
    let mut strict = valid(2);
    strict["strict"] = json!(true);
    assert_eq!(answered(&strict), json!([]));
    strict["strict"] = json!("yes");
    assert_eq!(faults(&strict), ["/strict: must be a boolean, but is a string"]);
}

#[test]
fn the_notifications_warnings_come_once_and_a_devices_with_their_lines() {
    let mut body = valid(9);
    body["notification"]["payload"]["badge"] = json!(1);
    for index in 1..8 {
        body["devices"][index]["payload"] = json!({"order": {"id": null}});
    }
    let of_null = "is null: devices drop a notification that has null in it; leave it out";
    let misplaced = "does nothing here; did you mean `aps.badge`?";
    // A null in a patch takes a key away; a null in an array stays.
    assert_eq!(
        answered(&body),
        json!([{"code": "misplaced_key", "pointer": "/notification/payload/badge", "detail": misplaced}])
    );
    for index in 1..8 {
        body["devices"][index]["payload"] = json!({"order": [null]});
    }
    let expected = json!([
        {"code": "misplaced_key", "pointer": "/notification/payload/badge", "detail": misplaced},
        {"code": "null_value", "pointer": "/payload/order/0", "detail": of_null, "count": 7, "lines": [2, 3, 4, 5, 6]},
    ]);
    assert_eq!(answered(&body), expected);
    body["devices"][2]["colour"] = json!("red");
    body["on_invalid"] = json!("skip");
    let mut without = expected;
    without[1]["count"] = json!(6);
    without[1]["lines"] = json!([2, 4, 5, 6, 7]);
    assert_eq!(
        answered(&body),
        without,
        "of a device that is left out nothing is sent"
    );
}

#[test]
fn in_lines_the_lines_of_the_body_are_named_and_the_warnings_come_last() {
    let mut head = valid(0);
    head.as_object_mut().unwrap().remove("devices");
    let own = |index: usize| {
        let mut device = device(index);
        device["payload"] = json!({"order": [null]});
        device
    };
    let body = format!("{head}\n\n{}\n{}\n\n{}", device(0), own(1), own(2));
    let config = config();
    let send_request = order_of(&config, &body, true).unwrap();
    assert_eq!(send_request.warnings.kinds()[0].lines, [4, 6]);
    let mut lines = push::Lines::begin(&send_request);
    lines.end(&send_request, Transport::Fetch);
    let text = String::from_utf8(lines.take()).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["warnings"][0]["lines"], json!([4, 6]));
    assert_eq!(last["warnings"][0]["count"], 2);
}

#[test]
fn a_merge_that_mends_the_notification_has_no_warning() {
    let mut body = valid(2);
    body["notification"]["payload"] = json!({"badge": 1, "aps": {"sound": 1}, "k": [null]});
    for index in 0..2 {
        body["devices"][index]["payload"] = json!({"badge": null, "aps": {"sound": "s", "alert": "a"}});
    }
    // What the devices do not change is still the notification's.
    assert_eq!(kinds(&body), ["null_value /notification/payload/k/0"]);
}

#[test]
fn in_a_strict_order_a_devices_warning_is_its_fault() {
    let mut body = valid(3);
    body["strict"] = json!(true);
    body["devices"][1]["payload"] = json!({"aps": {"badge": -1}});
    let fault = "/devices/1/payload/aps/badge: should be an integer from 0 (warning `wrong_value`, refused by `\"strict\": true`)";
    assert_eq!(faults(&body), [fault]);
    body["on_invalid"] = json!("skip");
    let pushes = parse(&body).unwrap();
    let skipped: Vec<bool> = pushes.iter().map(|push| push.request.is_err()).collect();
    assert_eq!(skipped, [false, true, false]);
    assert_eq!(pushes[1].request.as_ref().unwrap_err().to_string(), fault);
    assert_eq!(answered(&body), json!([]));
    // Of the notification itself, no device gets anything.
    body["notification"]["payload"]["aps"]["badge"] = json!(-1);
    assert!(faults(&body)[0].starts_with("/notification/payload/aps/badge: "));
    body["notification"] = json!({"payload": {"aps": {}}, "push_type": "pushtotalk", "priority": 5});
    assert!(faults(&body)[0].starts_with("/notification/priority: "));
}

#[test]
fn many_kinds_of_warnings_are_bounded() {
    let mut body = valid(60);
    for index in 0..60 {
        body["devices"][index]["payload"] = json!({format!("k{index}"): [null]});
    }
    let config = config();
    let send_request = order_of(&config, &body.to_string(), false).unwrap();
    assert_eq!(
        (send_request.warnings.kinds().len(), send_request.warnings.more()),
        (50, 10)
    );
    let document: Value =
        serde_json::from_str(&push::answer(&send_request, &[], Transport::Fetch).body).unwrap();
    assert_eq!(document["more_warnings"], 10);
}

#[test]
fn every_code_is_answered_to_some_order() {
    let now = NOW.as_secs();
    let activity = |aps: Value| json!({"payload": {"aps": aps}, "push_type": "liveactivity", "priority": 1});
    let send_requests = [
        json!({"payload": {"aps": {"alert": null, "alrt": "a", "url": 1, "sound": 1, "badge": -1}, "badge": 1}}),
        json!({"payload": {"payload": {"aps": {"alert": "a"}}}}),
        activity(
            json!({"event": "end", "timestamp": now, "stale-date": now - 1, "dismissal-date": now + 20_000}),
        ),
        activity(json!({"event": "update", "timestamp": now * 1000, "content-state": {}})),
        activity(json!({"event": "update", "timestamp": 1, "content-state": {}, "attributes": {}})),
        json!({"payload": {"aps": {"alert": "a"}}, "push_type": "background"}),
        json!({"payload": {"aps": {"badge": 1, "mutable-content": 1}}}),
        json!({"payload": {"aps": {}}, "push_type": "pushtotalk", "expiration": "1h"}),
    ];
    let seen = send_requests
        .into_iter()
        .flat_map(|notification| kinds(&with_notification(notification)));
    let seen: BTreeSet<String> = seen
        .filter_map(|kind| Some(kind.split_once(' ')?.0.to_owned()))
        .collect();
    // Variables are campaigns' alone.
    let codes = WarningCode::ALL
        .into_iter()
        .filter(|code| *code != WarningCode::MissingVariable);
    let all: BTreeSet<String> = codes.map(|code| code.to_string()).collect();
    assert_eq!(seen, all);
}
