mod devices;
mod faults;
mod properties;
mod warnings;

use serde_json::{Value, json};

use super::*;
use crate::api::fixture::{NOW, SEED, caller, config};
use crate::api::problem::Kind;

/// Parses a body as `backend` sends it, who reaches one app.
fn parse(body: &Value) -> Result<Vec<Push>, Problem> {
    parse_as("backend", &body.to_string()).map(|(_, pushes)| pushes)
}

/// Parses a body and gives the app's name and the pushes.
fn parse_as(name: &str, body: &str) -> Result<(String, Vec<Push>), Problem> {
    let config = config();
    Order::parse(body.as_bytes(), caller(&config, name), &config, SEED, NOW)
        .map(|order| (order.app.name.clone(), order.pushes))
}

/// What is wrong with a body, each fault with its pointer.
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

/// A body that has nothing wrong with it, for `count` devices.
fn valid(count: usize) -> Value {
    let devices: Vec<Value> = (0..count).map(device).collect();
    json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Hi"}}}, "devices": devices})
}

fn device(index: usize) -> Value {
    json!({"token": format!("{index:064x}"), "ref": format!("user-{index}")})
}

/// A valid body for one device with a change at a pointer whose parent is there.
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
    let problem = Order::parse(body, caller(&config, "backend"), &config, SEED, NOW).unwrap_err();
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
    Order::parse_for(config.app("shop").unwrap(), body.as_bytes(), lines, SEED, NOW).map(|order| order.pushes)
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

#[test]
fn with_skip_a_line_that_is_not_json_is_left_out_and_says_why() {
    let mut head = valid(0);
    head.as_object_mut().unwrap().remove("devices");
    head["on_invalid"] = json!("skip");
    let body = format!(
        "\u{feff}{head}\r{}\r\n{{\"token\": \"00\r{{\"token\": \"00ff\",}}\n{{\"token\":\"00ff\",\"payload\":{{\"x\":\"\\ud83d\"}}}}\n\n{}",
        device(0),
        device(1)
    );
    let pushes = parse_lines(&body).unwrap();
    let told: Vec<String> = pushes
        .iter()
        .map(|push| {
            push.request
                .as_ref()
                .map_or_else(ToString::to_string, |_| "sent".to_owned())
        })
        .collect();
    assert_eq!(
        (told.len(), told[0].as_str(), told[4].as_str()),
        (5, "sent", "sent")
    );
    for (index, expected) in [
        (1, "/devices/1: is not JSON: it is cut off"),
        (2, "/devices/2: is not JSON: trailing comma at column 18"),
        (3, "/devices/3: is not JSON: it has a lone surrogate"),
    ] {
        assert!(told[index].starts_with(expected), "{}", told[index]);
    }
}

#[test]
fn a_byte_order_mark_before_an_order_is_ignored() {
    let parsed = |text: &str| parse_as("backend", text).unwrap();
    let body = valid(2).to_string();
    assert_eq!(parsed(&format!("\u{feff}{body}")), parsed(&body));
    let unusual = body.replace("\"app\"", "\"on_invalid\":null,\"app\"");
    assert_eq!(parsed(&format!("\u{feff}{unusual}")), parsed(&body));
    let said = parse_as("backend", "\u{feff}{").unwrap_err().answer().body;
    assert!(said.contains("cut off"), "{said}");
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let config = config();
    let problem = Order::parse(&utf16, caller(&config, "backend"), &config, SEED, NOW).unwrap_err();
    assert!(
        problem.detail().contains("it is UTF-16; send UTF-8"),
        "{}",
        problem.detail()
    );
}

#[test]
fn null_is_an_absent_field_everywhere_but_in_a_payload() {
    let plain = parse(&valid(1)).unwrap();
    for pointer in [
        "/on_invalid",
        "/batch",
        "/app",
        "/notification/priority",
        "/notification/expiration",
        "/notification/collapse_id",
        "/notification/push_type",
        "/notification/topic",
        "/notification/truncate",
        "/notification/apns_id",
        "/devices/0/payload",
        "/devices/0/apns_id",
    ] {
        let mut body = valid(1);
        let fields = [("priority", "10"), ("collapse_id", ""), ("push_type", "alert")];
        for (field, _) in fields.iter().filter(|(field, _)| pointer.ends_with(field)) {
            body["notification"].as_object_mut().unwrap().remove(*field);
        }
        let absent = parse(&body).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = Value::Null;
        assert_eq!(parse(&body).unwrap(), absent, "{pointer}");
    }
    assert_eq!(
        parse(&changed("/devices/0/ref", Value::Null)).unwrap()[0].reference,
        None
    );
    assert_eq!(
        faults(&changed("/devices/0/token", Value::Null)),
        ["/devices/0/token: is required"]
    );
    assert_eq!(
        faults(&changed("/notification", Value::Null)),
        ["/notification: is required"]
    );
    let mut body = valid(1);
    body["notification"]["payload"]["x"] = json!({"y": null});
    body["devices"][0]["payload"] = json!({"x": {"z": 1}});
    let sent = parse(&body).unwrap();
    let sent = String::from_utf8(sent[0].request.as_ref().unwrap().body.to_vec()).unwrap();
    assert!(sent.contains(r#""x":{"y":null,"z":1}"#), "{sent}");
    assert_ne!(sent.as_bytes(), &plain[0].request.as_ref().unwrap().body[..]);
}

#[test]
fn a_number_may_be_written_as_text() {
    for (pointer, text) in [
        ("priority", json!("10")),
        ("priority", json!(10.0)),
        ("expiration", json!("0")),
    ] {
        let mut body = valid(1);
        body["notification"][pointer] = text;
        let headers = parse(&body).unwrap()[0].request.as_ref().unwrap().headers.list();
        let value = if pointer == "priority" { "10" } else { "0" };
        assert!(headers.contains(&(
            ["apns-priority", "apns-expiration"][usize::from(pointer == "expiration")],
            value.to_owned()
        )));
    }
}

#[test]
fn a_name_that_occurs_twice_is_refused_with_its_pointer() {
    let valid = valid(1).to_string();
    let notification = r#""notification":{"payload":{"aps":{"alert":"Hi"}}}"#;
    for (body, pointer) in [
        (valid.replacen('{', r#"{"devices":[],"#, 1), "/devices"),
        (
            format!(r#"{{{notification},"devices":[{{"token":"00ff","token":"00fe"}}]}}"#),
            "/devices/0/token",
        ),
        (
            format!(r#"{{{notification},"devices":[{{"token":"00ff","payload":{{"a":{{"b":1,"b":2}}}}}}]}}"#),
            "/devices/0/payload/a/b",
        ),
        (
            r#"{"notification":{"payload":{"aps":{"badge":1,"badge":2}}},"devices":[{"token":"00ff"}]}"#
                .to_owned(),
            "/notification/payload/aps/badge",
        ),
        (
            format!(r#"{{{notification},"devices":[{{"token":"00ff"}}],"app":"shop","app":"shop"}}"#),
            "/app",
        ),
    ] {
        let problem = parse_as("backend", &body).unwrap_err();
        assert_eq!(
            listed(&problem),
            [format!("{pointer}: occurs twice in one object; keep one of them")],
            "{body}"
        );
    }
}

#[test]
fn a_bare_text_is_a_device() {
    let token = "00ff".repeat(16);
    let mut body = valid(0);
    body["devices"] = json!([token, {"token": token, "ref": "Ann"}, format!("<{token}>")]);
    let sent = parse(&body).unwrap();
    assert!(
        sent.iter()
            .all(|push| push.request.as_ref().unwrap().device_token.as_hex() == token)
    );
    body["on_invalid"] = json!("skip");
    assert_eq!(parse(&body).unwrap().len(), 3);
    let mut head = body.clone();
    head.as_object_mut().unwrap().remove("devices");
    for (own, skip) in [
        (head.to_string(), true),
        (head.to_string().replace(r#","on_invalid":"skip""#, ""), false),
    ] {
        let lines = format!("{own}\n{token}\n\"{token}\"\n <{token}> \r0x{token}");
        let sent = parse_lines(&lines).unwrap();
        assert!(
            sent.iter()
                .all(|push| push.request.as_ref().unwrap().device_token.as_hex() == token),
            "{skip}"
        );
        assert_eq!(sent.len(), 4);
    }
    let mut body = valid(0);
    body["devices"] = json!(["8C2F4A6B-1111-4222-8333-123456789abc"]);
    assert!(
        faults(&body)[0].starts_with("/devices/0: is a UUID"),
        "{:?}",
        faults(&body)
    );
}
