use super::*;

/// Uploads a document from its text.
fn raw(text: &str) -> Result<Told, Problem> {
    upload_as(Format::JSON, MAX_PUSHES, &[text.as_bytes()])
}

#[test]
fn devices_are_cut_out_as_they_are_written() {
    let text = r#" { "notification" : {"payload": {"x": "a, ] } \" \\", "y": [1, [2, {}]]}},
        "devices" : [ {"token": "00ff", "ref": "[{,:\\\"}"} ,
            { "token"
              : "01ff" , "payload": {"z": [1e2, {"a": "b\\"}]}}
        ] ,
        "app":"shop"} "#;
    let told = raw(text).unwrap();
    let body = &told.chunks[0].body;
    assert_eq!(told.pushes, 2);
    let mut bodies = body.lines();
    assert_eq!(bodies.next(), Some(r#"{"token": "00ff", "ref": "[{,:\\\"}"}"#));
    let second: Value = serde_json::from_str(bodies.next().unwrap()).unwrap();
    let expected: Value =
        serde_json::from_str(r#"{"token": "01ff", "payload": {"z": [1e2, {"a": "b\\"}]}}"#).unwrap();
    assert_eq!(second, expected);
    assert_eq!(bodies.next(), None);
    assert_eq!(
        told.head,
        r#"{"app":"shop","notification":{"payload":{"x":"a, ] } \" \\","y":[1,[2,{}]]}}}"#
    );
}

#[test]
fn the_largest_document_is_exact() {
    let mut document = head();
    document["devices"] = json!([device(1)]);
    let text = document.to_string();
    let inner = text.replace(":[{", &format!(":[{}{{", " ".repeat(MAX_DOCUMENT - text.len())));
    assert_eq!(inner.len(), MAX_DOCUMENT);
    assert_eq!(raw(&inner).unwrap().pushes, 1);

    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, Format::JSON, NOW);
    upload.feed(inner.as_bytes()).unwrap();
    let problem = upload.feed(b" ").unwrap_err();
    assert_eq!(problem.answer().status, 413);
    let body = problem.answer().body;
    assert!(
        body.contains("16777216 bytes") && body.contains("application/x-ndjson"),
        "{body}"
    );
    assert_eq!(upload.finish().unwrap_err(), problem);
}

#[test]
fn a_document_has_a_head_of_bounded_size() {
    let mut document = head();
    document["devices"] = json!([device(1), device(2)]);
    let devices = document["devices"].to_string().len();
    let text = document.to_string();
    let padded = |size: usize| {
        let padding = " ".repeat(size + devices - text.len());
        format!("{}{padding}}}", text.strip_suffix('}').unwrap())
    };
    assert_eq!(raw(&padded(MAX_HEAD)).unwrap().pushes, 2);
    assert_eq!(
        listed(&raw(&padded(MAX_HEAD + 1)).unwrap_err()),
        [
            "the body has 65537 bytes without its devices; the limit is 65536. Of a payload, APNs takes 4096 bytes, and of a VoIP payload 5120"
        ]
    );
}

#[test]
fn the_longest_device_is_exact() {
    let text = |size: usize| {
        let bare = r#"{"token":"00ff"}"#;
        let padding = "\n".repeat(size - bare.len());
        format!(
            r#"{{"app":"shop","notification":{{"payload":{{}}}},"devices":[{{"token":{padding}"00ff"}}]}}"#
        )
    };
    assert_eq!(raw(&text(MAX_LINE)).unwrap().pushes, 1);
    assert_eq!(
        listed(&raw(&text(MAX_LINE + 1)).unwrap_err()),
        ["1: /devices/0: is 49153 bytes long; the limit is 49152"]
    );
}

#[test]
fn what_is_wrong_with_the_document_is_named() {
    for (text, expected) in [
        ("[]", "the body must be an object, but is an array"),
        ("7", "the body must be an object, but is a number"),
        (
            r#"{"app":"shop","notification":{"payload":{}}}"#,
            "/devices: is required",
        ),
        (
            r#"{"app":"shop","notification":{"payload":{}},"devices":{}}"#,
            "/devices: must be an array, but is an object",
        ),
        (
            r#"{"app":"shop","notification":{"payload":{}},"devices":true}"#,
            "/devices: must be an array, but is a boolean",
        ),
        (
            r#"{"app":"shop","notification":{"payload":{"x":"\ud800"}},"devices":[1]}"#,
            "/notification: is not JSON: it has a lone surrogate, half of a character such as `\\ud83d` without its other half: a text was cut inside an emoji, at column 24",
        ),
        (
            r#"{"app":7,"notification":{"payload":{}},"devices":[1]}"#,
            "/app: must be a string, but is a number",
        ),
        (
            r#"{"app":"shop","notification":{"payload":{}},"devices":[],"device":[1]}"#,
            "/device: is not a known field; did you mean `devices`?",
        ),
        (
            r#"{"app":"shop","notification":{"payload":{}},"devices":["\ud800"]}"#,
            "1: /devices/0: is not JSON: it has a lone surrogate, half of a character such as `\\ud83d` without its other half: a text was cut inside an emoji, at column 8",
        ),
    ] {
        assert_eq!(listed(&raw(text).unwrap_err()), [expected], "{text}");
    }
    let problem = raw("{\n  \"app\": shop\n}").unwrap_err();
    let body = problem.answer().body;
    assert!(
        body.contains("line 2 column 10") && !body.contains("shop"),
        "{body}"
    );
    let body = b"{\"app\": \"\xff\"}";
    let problem = upload_as(Format::JSON, MAX_PUSHES, &[body]).unwrap_err();
    assert_eq!(problem.kind(), Kind::NotJson);
}

#[test]
fn a_name_that_occurs_twice_is_refused_with_its_pointer() {
    let twice = "occurs twice in one object; keep one of them";
    let problem = raw(
        r#"{"app":"news","devices":[{"token":"01"},7],"notification":{"payload":{"a":1,"a":2}},"devic\u0065s":[{"token":"02"}],"app":"shop"}"#,
    )
    .unwrap_err();
    assert_eq!(
        listed(&problem),
        [
            format!("/devices: {twice}"),
            format!("/notification/payload/a: {twice}"),
            format!("/app: {twice}")
        ]
    );
    let problem = raw(
        r#"{"app":"shop","notification":{"payload":{}},"devices":[{"token":"01","payload":{"a":1,"a":1}},{"token":"02","ref":"a","ref":"b"}]}"#,
    )
    .unwrap_err();
    assert_eq!(
        listed(&problem),
        [
            format!("1: /devices/0/payload/a: {twice}"),
            format!("2: /devices/1/ref: {twice}")
        ]
    );
}

#[test]
fn a_mark_null_and_bare_tokens_are_read_in_a_document() {
    let told = raw(
        "\u{feff}{\"app\":\"shop\",\"on_invalid\":null,\"batch\":null,\"notification\":{\"payload\":{},\"priority\":null},\"devices\":[\"01\",{\"token\":\"02\",\"ref\":null}]}",
    )
    .unwrap();
    assert_eq!(told.pushes, 2);
    assert_eq!(
        listed(&raw(r#"{"app":"shop","notification":{"payload":{}},"devices":null}"#).unwrap_err()),
        ["/devices: is required"]
    );
}

#[test]
fn a_document_nested_too_deep_is_refused_and_not_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        listed(&raw(&deep).unwrap_err()),
        ["the body must be an object, but is an array"]
    );
    let mut document = head().to_string();
    document.truncate(document.len() - 1);
    let problem = raw(&format!("{document},\"devices\":[{}]}}", &deep[90_000..110_000])).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["1: /devices/0: is not JSON: arrays and objects are nested more than 127 deep at column 128"]
    );
}

#[test]
fn a_document_may_have_any_line_ends_between_its_values() {
    let told = raw(
        "{\r\n\"app\":\"shop\",\r\"notification\":{\"payload\":\r\n{}},\"devices\":[\r\n{\r\"token\":\r\n\"01\"},\r{\"token\":\n\"02\"}]}",
    )
    .unwrap();
    let body = &told.chunks[0].body;
    assert!(
        !body.contains('\r') && body.matches('\n').count() == 2,
        "{body:?}"
    );
    let config = config();
    let chunk = format!("{}\n{body}", head());
    let send_request =
        SendRequest::parse_for(config.app("shop").unwrap(), chunk.as_bytes(), LINES, [0; 16], NOW).unwrap();
    assert_eq!(send_request.pushes.len(), 2);
}
