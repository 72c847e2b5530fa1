use super::*;
use apns::fault::MAX_LISTED;

fn skipping() -> Value {
    let mut head = head();
    head["on_invalid"] = json!("skip");
    head
}

#[test]
fn a_fault_names_its_line_and_its_device() {
    let body = format!(
        "\n{}\n\n{}\n{{\"tokn\": 1}}\n\n[]\n{{\"token\": \"00f\"}}\r\n{{\"token\": 00ff}}",
        head(),
        device(1)
    );
    assert_eq!(
        faults(&body),
        [
            "5: /devices/1/tokn: is not a known field; did you mean `token`?",
            "5: /devices/1/token: is required",
            "7: /devices/2: must be an object with a `token`, or a token in quotes, but is an array",
            "8: /devices/3/token: has 3 hex digits, an odd number; it was cut off or mistyped",
            "9: /devices/4: is not JSON: invalid number at column 12",
        ]
    );
}

#[test]
fn every_rule_of_an_orders_device_holds() {
    for (device, fault) in [
        (
            json!({"token": "zz"}),
            "/token: has a character at position 0 that is not a hex digit",
        ),
        (
            json!({"token": "00ff", "ref": "r".repeat(257)}),
            "/ref: is 257 bytes long; the limit is 256",
        ),
        (json!({"token": null}), "/token: is required"),
        (
            json!({"token": "00ff", "payload": []}),
            "/payload: must be an object, but is an array",
        ),
        (
            json!({"token": "00ff", "payload": {"x": "y".repeat(4096)}}),
            "/payload: is 4125 bytes long; the limit is 4096",
        ),
        (
            json!({"token": "00ff", "payload": []}),
            "/payload: must be an object, but is an array",
        ),
    ] {
        assert_eq!(
            faults(&lines(&head(), [device.clone()])),
            [format!("2: /devices/0{fault}")]
        );
        let mut document = head();
        document["devices"] = json!([{"token": "00"}, device]);
        let problem = upload_document(&document).unwrap_err();
        assert_eq!(listed(&problem), [format!("2: /devices/1{fault}")]);
        let told = upload(&lines(&skipping(), [json!({"token": "00"}), device])).unwrap();
        let (line, detail) = (3, fault.to_owned());
        assert_eq!(told.invalid_lines, [InvalidLine { line, detail }]);
    }
}

#[test]
fn after_a_fault_nothing_more_is_staged() {
    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    upload
        .feed(lines(&head(), (0..1001).map(device)).as_bytes())
        .unwrap();
    assert_eq!(upload.take_staged().len(), 2);
    upload.feed(b"{}\n").unwrap();
    let more: String = (0..1001).map(|index| format!("{}\n", device(index))).collect();
    upload.feed(more.as_bytes()).unwrap();
    assert_eq!(upload.take_staged(), []);
    let problem = upload.finish().unwrap_err();
    assert_eq!(listed(&problem), ["1003: /devices/1001/token: is required"]);
}

#[test]
fn faults_beyond_the_list_are_counted() {
    let problem = upload(&lines(&head(), (0..130).map(|_| json!({"x": 1})))).unwrap_err();
    let document: Value = serde_json::from_str(&problem.answer().body).unwrap();
    assert_eq!(document["errors"].as_array().unwrap().len(), MAX_LISTED);
    assert_eq!(document["more_errors"], 160);
    let many: serde_json::Map<String, Value> =
        (0..130).map(|index| (format!("x{index}"), json!(1))).collect();
    let problem = upload(&lines(&head(), [json!(many)])).unwrap_err();
    let document: Value = serde_json::from_str(&problem.answer().body).unwrap();
    assert_eq!(document["more_errors"], 31);
}

#[test]
fn with_skip_devices_with_faults_are_left_out_counted_and_listed() {
    let devices = (0..600).map(|index| {
        if index % 3 == 0 {
            json!({"ref": "Ann", "tken": 1})
        } else {
            device(index)
        }
    });
    let told = upload(&lines(&skipping(), devices)).unwrap();
    assert_eq!((told.pushes, told.invalid), (400, 200));
    assert_eq!(told.invalid_lines.len(), MAX_LISTED);
    assert_eq!(
        told.invalid_lines[1],
        InvalidLine {
            line: 5,
            detail: "/tken: is not a known field; did you mean `token`?".to_owned()
        }
    );
    let expected = InvalidKind {
        pointer: "/tken".to_owned(),
        detail: "is not a known field; did you mean `token`?".to_owned(),
        count: 200,
        lines: vec![2, 5, 8, 11, 14],
    };
    assert_eq!(told.invalid_kinds, [expected], "they are summed up");
    let (chunk, bodies) = (&told.chunks[0], &told.chunks[0].body);
    assert_eq!((told.chunks.len(), chunk.first, chunk.pushes), (1, 0, 400));
    assert_eq!(bodies.lines().nth(1), Some(device(2).to_string().as_str()));
}

#[test]
fn a_body_without_a_device_is_refused() {
    assert_eq!(faults(&head().to_string()), ["/devices: names no device"]);
    assert_eq!(
        faults(&format!("{}\n\n \r\n", head())),
        ["/devices: names no device"]
    );
    assert_eq!(
        faults(&lines(&skipping(), [json!({}), json!(7)])),
        [
            "/devices: names no device without faults",
            "2: /token: is required",
            "3: has 1 hex digits, an odd number; it was cut off or mistyped",
        ]
    );
    let mut document = head();
    document["devices"] = json!([]);
    let problem = upload_document(&document).unwrap_err();
    assert_eq!(listed(&problem), ["/devices: names no device"]);
}

#[test]
fn a_body_without_a_head_is_not_json() {
    for body in ["", "\n\n", "{\"app\": shop}\n", "\u{feff}{", "{"] {
        for format in [LINES, Format::JSON] {
            let problem = upload_as(format, MAX_PUSHES, &[body.as_bytes()]).unwrap_err();
            assert_eq!(problem.kind(), Kind::NotJson, "{body}");
            assert!(!problem.answer().body.contains("shop"), "{problem:?}");
        }
    }
    let problem = upload("\n{\"app\": shop}\n").unwrap_err();
    let said = problem.answer().body;
    assert!(
        said.contains("line 2 of the body, which says what is sent, is not JSON"),
        "{said}"
    );
}

#[test]
fn a_fault_of_the_head_ends_the_upload_at_once() {
    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    let head = json!({
        "app": "shop", "on_invald": 1, "on_invalid": "ignore", "devices": [], "batch": {"rate": 0}, "strict": 1,
        "notification": {"payload": []},
    });
    let problem = upload.feed(format!("{head}\n").as_bytes()).unwrap_err();
    assert_eq!(
        listed(&problem),
        [
            "/on_invald: is not a known field; did you mean `on_invalid`?",
            "/devices: do not belong in the first line: each follows in a line of its own. One JSON document with its devices is sent as `application/json`",
            "/on_invalid: must be `reject` or `skip`",
            "/strict: must be a boolean, but is a number",
            "/batch/rate: must be an integer from 1 to 1000000, but is 0",
            "/notification/payload: must be an object, but is an array",
        ]
    );
    assert_eq!(faults("[]\n").len(), 1);
}

#[test]
fn one_id_does_not_do_for_a_batch() {
    let mut head = head();
    head["notification"]["apns_id"] = json!("123e4567-e89b-12d3-a456-426614174000");
    assert_eq!(
        faults(&lines(&head, [device(1)])),
        ["/notification/apns_id: is one push's id, and a batch may have any number: use `devices[].apns_id`"]
    );
}

#[test]
fn a_payload_that_devices_share_and_none_can_get_ends_the_upload_whatever_is_left_out() {
    for mut head in [head(), skipping()] {
        head["notification"] = json!({"push_type": "liveactivity", "payload": {"aps": {"event": "end"}}});
        let own = json!({"token": "00", "payload": {"aps": {"timestamp": 1}}});
        assert_eq!(upload(&lines(&head, [own.clone()])).unwrap().pushes, 1);
        let config = config();
        let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
        let problem = upload
            .feed(lines(&head, [own, json!({"token": "01"})]).as_bytes())
            .unwrap_err();
        assert_eq!(
            listed(&problem),
            ["/notification/payload/aps/timestamp: is required"]
        );
    }
}

#[test]
fn a_line_is_not_quoted() {
    for line in [
        "secret",
        "{\"token\": \"secret",
        "\"secret\"",
        "{\"token\": \"secret\"}",
        "{\"token\": \"\\ud800secret\"}",
    ] {
        let said = upload(&format!("{}\n{line}\n", head()))
            .unwrap_err()
            .answer()
            .body;
        assert!(!said.contains("secret"), "{said}");
    }
    let body = [head().to_string().as_bytes(), b"\n{\"token\": \"\xff\"}"].concat();
    let problem = upload_as(LINES, MAX_PUSHES, &[&body]).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["2: /devices/0: is not JSON: it is not UTF-8: the byte at position 11 is wrong"]
    );
}

#[test]
fn a_line_is_read_alike_in_a_batch_and_at_once() {
    let token = |number: u32| format!("{number:064}");
    let body = format!(
        "\u{feff}{}\r\n{}\r\"{}\"\n<{}>\n\n{{\"token\":\"{}\",\"ref\":null,\"payload\":null}}\n{{\"token\":\"{}\",}}",
        skipping(),
        token(1),
        token(2),
        token(3),
        token(4),
        token(5)
    );
    let told = upload(&body).unwrap();
    assert_eq!((told.pushes, told.invalid), (4, 1));
    assert_eq!(told.invalid_lines[0].line, 7);
    assert_eq!(
        told.invalid_lines[0].detail,
        "is not JSON: trailing comma at column 77"
    );
    let config = config();
    let app = config.app("shop").unwrap();
    let send_request = SendRequest::parse_for(app, body.as_bytes(), LINES, [0; 16], NOW).unwrap();
    assert_eq!(
        (send_request.pushes.len(), send_request.sendable().count()),
        (5, 4)
    );
    // What was staged is read again when its chunk is sent.
    let chunk = format!("{}\n{}", skipping(), told.chunks[0].body);
    let send_request = SendRequest::parse_for(app, chunk.as_bytes(), LINES, [0; 16], NOW).unwrap();
    assert_eq!(send_request.sendable().count(), 4);
}

#[test]
fn what_is_told_of_a_device_that_is_left_out_is_bounded() {
    let mut stranger = device(1);
    stranger["é".repeat(10_000)] = json!(1);
    let told = upload(&lines(&skipping(), [device(2), stranger])).unwrap();
    let detail = &told.invalid_lines[0].detail;
    assert!(detail.len() < 1010 && detail.ends_with("é…"), "{}", detail.len());
}

#[test]
fn a_line_nested_too_deep_is_refused_and_not_followed() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(
        faults(&format!("{}\n{deep}", head())),
        ["2: /devices/0: is not JSON: arrays and objects are nested more than 127 deep at column 128"]
    );
}

#[test]
fn a_webhook_is_public_and_can_be_signed() {
    for (webhook, fault) in [
        (
            "http://hooks.example.com/x",
            "/batch/webhook: must begin with `https://`",
        ),
        (
            "https://127.0.0.1/x",
            "/batch/webhook: must have a public host, not one of an inner network or of this machine",
        ),
        (
            "https://hooks.example.com/x",
            "/batch/webhook: cannot be signed: the deployment has no secret WEBHOOK_SECRET",
        ),
    ] {
        let mut head = head();
        head["batch"] = json!({ "webhook": webhook });
        let body = lines(&head, [json!({"token": "00ff"})]);
        assert_eq!(faults(&body), [fault]);
    }
}
