mod devices;
mod faults;
mod properties;
mod reading;
mod warnings;

use serde_json::{Value, json};

use super::*;
use crate::fixture::{NOW, SEED, caller, config};
use crate::problem::Kind;

/// Parses a body as `backend` sends it, which has access to one app.
fn parse(body: &Value) -> Result<Vec<Push>, Problem> {
    parse_as("backend", &body.to_string()).map(|(_, pushes)| pushes)
}

/// Parses a body. Returns the app's name and the pushes.
fn parse_as(name: &str, body: &str) -> Result<(String, Vec<Push>), Problem> {
    let config = config();
    SendRequest::parse(body.as_bytes(), caller(&config, name), &config, SEED, NOW)
        .map(|send_request| (send_request.app.name.clone(), send_request.pushes))
}

/// Returns the faults of a body with their pointers.
fn faults(body: &Value) -> Vec<String> {
    listed(&parse(body).expect_err("faults"))
}

fn listed(problem: &Problem) -> Vec<String> {
    let answer = problem.answer();
    assert_eq!(answer.status, 422, "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["pointer"], document["errors"][0]["pointer"]);
    let entries = document["errors"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let detail = entry["detail"].as_str().unwrap();
            match entry["pointer"].as_str() {
                Some(pointer) => format!("{pointer}: {detail}"),
                None => format!("the body {detail}"),
            }
        })
        .collect()
}

/// Returns a valid body for `count` devices.
fn valid(count: usize) -> Value {
    let devices: Vec<Value> = (0..count).map(device).collect();
    json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Hi"}}}, "devices": devices})
}

fn device(index: usize) -> Value {
    json!({"token": format!("{index:064x}"), "ref": format!("user-{index}")})
}

/// Returns a valid body for one device, changed at a pointer whose parent exists.
fn changed(pointer: &str, value: Value) -> Value {
    let mut body = valid(1);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[key] = value;
    body
}

#[test]
fn a_whole_order_is_read() {
    let body = json!({
        "app": "news",
        "on_invalid": "reject",
        "notification": {
            "payload": {"aps": {"alert": "Hi"}}, "push_type": "alert", "priority": 5, "expiration": "1h",
            "collapse_id": "story-7", "topic": "com.example.news", "truncate": true,
        },
        "devices": [
            {"token": "<ABCD1234 abcd5678>", "ref": "Ann", "payload": {"aps": {"badge": 3}}},
            {"token": "00ff", "apns_id": "123E4567-E89B-12D3-A456-426614174000"},
        ],
    });
    let (app, pushes) = parse_as("editor", &body.to_string()).unwrap();
    assert_eq!(app, "news");
    let sent: Vec<_> = pushes
        .iter()
        .map(|push| {
            let request = push.request.as_ref().unwrap();
            (
                push.reference.as_deref(),
                request.path(),
                std::str::from_utf8(&request.body).unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        sent,
        [
            (
                Some("Ann"),
                "/3/device/abcd1234abcd5678".to_owned(),
                r#"{"aps":{"alert":"Hi","badge":3}}"#.to_owned()
            ),
            (
                None,
                "/3/device/00ff".to_owned(),
                r#"{"aps":{"alert":"Hi"}}"#.to_owned()
            ),
        ]
    );
    assert_eq!(
        pushes[1].request.as_ref().unwrap().header_list(),
        [
            ("apns-id", "123e4567-e89b-12d3-a456-426614174000".to_owned()),
            ("apns-push-type", "alert".to_owned()),
            ("apns-topic", "com.example.news".to_owned()),
            ("apns-priority", "5".to_owned()),
            ("apns-expiration", (NOW.as_secs() + 3600).to_string()),
            ("apns-collapse-id", "story-7".to_owned()),
        ]
    );
}

#[test]
fn the_only_app_that_a_key_reaches_need_not_be_named() {
    let mut body = valid(1);
    body.as_object_mut().unwrap().remove("app");
    assert_eq!(parse_as("backend", &body.to_string()).unwrap().0, "shop");
}

#[test]
fn a_key_that_reaches_several_apps_is_told_their_names() {
    let mut body = valid(1);
    body.as_object_mut().unwrap().remove("app");
    let problem = parse_as("editor", &body.to_string()).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["/app: is required: the key reaches shop, news"]
    );
}

#[test]
fn an_app_out_of_reach_cannot_be_told_from_one_that_is_not_there() {
    let answer = |name: &str, app: &str| {
        let body = changed("/app", json!(app)).to_string();
        parse_as(name, &body).unwrap_err().answer()
    };
    let beyond = answer("backend", "news");
    assert_eq!(beyond.status, 403);
    for absent in ["nothing", "", "Shop"] {
        // Each repeats the name that the caller wrote, and is the same otherwise.
        let mut told = answer("backend", absent);
        told.body = told.body.replace(&format!("`{absent}`"), "`news`");
        assert_eq!(told, beyond, "{absent}");
    }
    let others = beyond.body.replace("unknown app `news`", "");
    assert!(!others.contains("news"), "{others}");
    let mut unnamed = valid(1);
    unnamed.as_object_mut().unwrap().remove("app");
    let none = parse_as("intern", &unnamed.to_string()).unwrap_err().answer();
    assert_eq!(none.status, 403);
    assert!(
        !none.body.contains("shop") && !none.body.contains("news"),
        "{}",
        none.body
    );
}

#[test]
fn a_body_that_is_not_json_is_answered_with_line_and_column() {
    for (body, place) in [
        ("", "it is empty"),
        ("{\n  \"app\": shop\n}", "line 2 column 10"),
        ("{\"app\": \"shop\"} x", "at column 17"),
        ("{\"devices\": [{\"token\": \"00ff", "at column 28"),
    ] {
        let answer = parse_as("backend", body).unwrap_err().answer();
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (answer.status, &document["type"]),
            (400, &json!("urn:apns-edge:problem:not-json"))
        );
        let detail = document["detail"].as_str().unwrap();
        assert!(detail.ends_with(place), "{body}: {detail}");
        assert!(!detail.contains("shop") && !detail.contains("00ff"), "{detail}");
    }
}

#[test]
fn bytes_that_are_no_text_are_not_json() {
    let config = config();
    let body = b"{\"app\": \"\xff\xfe\"}";
    let problem = SendRequest::parse(body, caller(&config, "backend"), &config, SEED, NOW).unwrap_err();
    assert_eq!(problem.kind(), Kind::NotJson);
}

#[test]
fn a_body_nested_too_deep_is_refused_and_not_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let problem = parse_as("backend", &deep).unwrap_err();
    assert_eq!(problem.kind(), Kind::NotJson);
}

#[test]
fn an_app_out_of_reach_stays_so_behind_a_field_that_stands_there_twice() {
    let body =
        r#"{"app": "news", "notification": {"payload": {}}, "devices": [], "devices": [{"token": "00ff"}]}"#;
    let problem = parse_as("backend", body).unwrap_err();
    assert_eq!(problem.kind(), Kind::Forbidden);
    let body =
        r#"{"app": "shop", "app": "news", "notification": {"payload": {}}, "devices": [{"token": "00ff"}]}"#;
    let problem = parse_as("backend", body).unwrap_err();
    assert_eq!(problem.kind(), Kind::Forbidden);
}

#[test]
fn what_is_asked_of_a_batch_is_checked_and_changes_no_push() {
    // A body for a batch can be previewed as it is.
    let body = changed("/batch", json!({"rate": 5}));
    assert_eq!(parse(&body).unwrap(), parse(&valid(1)).unwrap());
    let body = changed("/batch", json!({"rat": 5, "weight": 0}));
    assert_eq!(
        faults(&body),
        [
            "/batch/rat: is not a known field; did you mean `rate`?",
            "/batch/weight: must be an integer from 1 to 100, but is 0",
        ]
    );
}

/// Parses a body in lines for the app `shop`.
fn parse_lines(body: &str) -> Result<Vec<Push>, Problem> {
    let config = config();
    let lines = Format {
        lines_in: true,
        lines_out: false,
    };
    SendRequest::parse_for(config.app("shop").unwrap(), body.as_bytes(), lines, SEED, NOW)
        .map(|send_request| send_request.pushes)
}

#[test]
fn an_order_in_lines_is_the_same_order() {
    let mut head = valid(0);
    head.as_object_mut().unwrap().remove("devices");
    let lines = format!("\n{head}\r\n{}\n\n  {}  ", device(0), device(1));
    let sent =
        |pushes: Vec<Push>| -> Vec<Request> { pushes.into_iter().flat_map(|push| push.request).collect() };
    assert_eq!(
        sent(parse_lines(&lines).unwrap()),
        sent(parse(&valid(2)).unwrap())
    );
    let bad = format!("{head}\n{}\n{{\"tokn\": 1}}", device(0));
    assert_eq!(
        listed(&parse_lines(&bad).unwrap_err()),
        [
            "/devices/1/tokn: is not a known field; did you mean `token`?",
            "/devices/1/token: is required"
        ]
    );
    assert_eq!(
        listed(&parse_lines(&valid(1).to_string()).unwrap_err()),
        [
            "/devices: do not belong in the first line: each follows in a line of its own. One JSON document with its devices is sent as `application/json`",
            "/devices: names no device"
        ]
    );
}

#[test]
fn a_line_that_is_not_json_is_named_by_its_number() {
    let mut head = valid(0);
    head.as_object_mut().unwrap().remove("devices");
    let problem = parse_lines(&format!("{head}\n\n{{\"token\": 00ff}}\n{}", device(0))).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["/devices/0: is not JSON: invalid number at column 12"]
    );
    let body = problem.answer().body;
    assert!(body.contains(r#""line":3"#) && !body.contains("00ff"), "{body}");
    let problem = parse_lines("\n{\"app\": shop}\n").unwrap_err();
    assert_eq!(problem.kind(), Kind::NotJson);
    let body = problem.answer().body;
    assert!(
        body.contains("line 2 of the body, which says what is sent, is not JSON"),
        "{body}"
    );
}
