//! What is read liberally, and what is rejected as ambiguous.

use super::*;

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
    let problem = SendRequest::parse(&utf16, caller(&config, "backend"), &config, SEED, NOW).unwrap_err();
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

/// Asserts that the first push goes to the device with this token, and that the others repeat it.
#[track_caller]
fn assert_same_device(pushes: &[Push], token: &str) {
    assert_eq!(pushes[0].request.as_ref().unwrap().device_token.as_hex(), token);
    let is_repeat = |push: &Push| push.request == Err(Unsent::Duplicate { of: 0 });
    assert!(pushes[1..].iter().all(is_repeat));
}

#[test]
fn a_bare_text_is_a_device() {
    let token = "00ff".repeat(16);
    let mut body = valid(0);
    body["devices"] = json!([token, {"token": token, "ref": "Ann"}, format!("<{token}>")]);
    let sent = parse(&body).unwrap();
    assert_same_device(&sent, &token);
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
        assert_same_device(&sent, &token);
        assert_eq!(sent.len(), 4, "{skip}");
    }
    let mut body = valid(0);
    body["devices"] = json!(["8C2F4A6B-1111-4222-8333-123456789abc"]);
    assert!(
        faults(&body)[0].starts_with("/devices/0: is a UUID"),
        "{:?}",
        faults(&body)
    );
}

#[test]
fn a_number_for_a_ref_or_a_collapse_id_is_its_digits() {
    let mut body = valid(0);
    body["notification"]["collapse_id"] = json!(20391);
    body["strict"] = json!("false");
    body["on_invalid"] = json!("Skip");
    body["devices"] =
        json!([{"token": "00ff", "ref": 17}, {"token": "00fe", "ref": u64::MAX}, {"token": "x", "ref": 7.0}]);
    let pushes = parse(&body).unwrap();
    let refs: Vec<&str> = pushes
        .iter()
        .filter_map(|push| push.reference.as_deref())
        .collect();
    assert_eq!(refs, ["17", "18446744073709551615", "7"]);
    let headers = &pushes[0].request.as_ref().unwrap().headers;
    assert_eq!(headers.collapse_id.as_ref().unwrap().as_str(), "20391");
}

#[test]
fn with_skip_a_device_of_a_document_that_cannot_be_read_is_left_out() {
    let mut body = valid(1);
    body["on_invalid"] = json!("skip");
    let good = body["devices"][0].to_string();
    let text = body.to_string().replace(
        &good,
        &format!(
            r#"{good},{{"token":"00ff","payload":{{"x":"\ud83d"}}}},{{"token":"00","token":"01"}},{good}"#
        ),
    );
    let pushes = parse_as("backend", &text).unwrap().1;
    let told: Vec<String> = pushes
        .iter()
        .map(|push| {
            push.request
                .as_ref()
                .map_or_else(ToString::to_string, |_| "sent".to_owned())
        })
        .collect();
    let repeat = "the same device and content as `/devices/0`";
    assert_eq!((told[0].as_str(), told[3].as_str()), ("sent", repeat));
    assert!(
        told[1].starts_with("/devices/1: is not JSON: it has a lone surrogate"),
        "{}",
        told[1]
    );
    assert_eq!(
        told[2],
        "/devices/2/token: occurs twice in one object; keep one of them"
    );
}

#[test]
fn the_payload_is_measured_as_it_is_sent_whatever_its_escapes() {
    let frame = r#"{"aps":{"alert":""}}"#.len();
    let emojis = (4096 - frame) / 4;
    let of = |rest: usize| {
        let text = format!("{}{}", r"\ud83d\ude00".repeat(emojis), "a".repeat(rest));
        format!(
            r#"{{"notification":{{"payload":{{"aps":{{"alert":"{text}"}}}}}},"devices":[{{"token":"00ff"}}]}}"#
        )
    };
    let rest = 4096 - frame - 4 * emojis;
    let pushes = parse_as("backend", &of(rest)).unwrap().1;
    assert_eq!(pushes[0].request.as_ref().unwrap().body.len(), 4096);
    let problem = parse_as("backend", &of(rest + 1)).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["/notification/payload: is 4097 bytes long; the limit is 4096"]
    );
}

#[test]
fn a_badge_may_have_a_point_and_is_sent_as_it_is_written() {
    let mut body = valid(1);
    body["notification"]["payload"] = json!({"aps": {"alert": "Hi"}});
    let text = body
        .to_string()
        .replace(r#""alert":"Hi""#, r#""alert":"Hi","badge":5.0"#);
    let pushes = parse_as("backend", &text).unwrap().1;
    let sent = String::from_utf8(pushes[0].request.as_ref().unwrap().body.to_vec()).unwrap();
    assert!(sent.contains(r#""badge":5.0"#), "{sent}");
}
