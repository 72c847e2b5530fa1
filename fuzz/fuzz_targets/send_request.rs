//! Any body in place of a request, as one document and as lines: it becomes a push for every device, or a problem that
//! tells no device token.

#![no_main]

use std::sync::LazyLock;

use api::config::{API_KEYS, APPS, Config, Transport};
use api::format::{Format, RequestProbe};
use api::{Problem, SendRequest, preview, push};
use apns::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, from_slice, from_str};

fuzz_target!(|body: &[u8]| {
    let caller = CONFIG.api_keys.first().expect("a caller").caller();
    let document: Value = from_slice(body).unwrap_or_default();
    match SendRequest::parse(body, caller, &CONFIG, [7; 16], NOW) {
        Ok(send_request) => check_order(
            &send_request,
            document["devices"].as_array().expect("devices").len(),
        ),
        Err(problem) => check_problem(&problem, &document),
    }
    if let (Some(app), Ok(head)) = (CONFIG.apps.first(), RequestProbe::read(body, LINES)) {
        match SendRequest::parse_for(app, body, LINES, [7; 16], NOW) {
            Ok(send_request) => check_order(&send_request, head.devices),
            Err(problem) => check_problem(&problem, &Value::Null),
        }
    }
});

fn check_order(send_request: &SendRequest<'_>, devices: usize) {
    assert_eq!(send_request.pushes.len(), devices);
    for request in send_request
        .pushes
        .iter()
        .filter_map(|push| push.request.as_ref().ok())
    {
        assert!(request.body.len() <= request.headers.push_type.rules().max_payload);
        assert!(from_slice::<Value>(&request.body).is_ok_and(|payload| payload.is_object()));
        let printable = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(request.header_list().iter().all(|(_, value)| printable(value)));
    }
    let previewed: Value =
        from_str(&preview::answer(send_request, &CONFIG).expect("few devices").body).expect("JSON");
    assert_eq!(previewed["pushes"].as_array().map(Vec::len), Some(devices));
    let answer = push::answer(send_request, &[], Transport::Fetch).body;
    let results: Value = from_str(&answer).expect("JSON");
    assert_eq!(results["results"].as_array().map(Vec::len), Some(devices));
}

fn check_problem(problem: &Problem, send_request: &Value) {
    let answer = problem.answer();
    let document: Value = from_str(&answer.body).expect("JSON");
    assert_eq!(document["status"], answer.status);
    let errors = document["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    assert_eq!(answer.status == 422, !errors.is_empty(), "{answer:?}");
    assert!(matches!(answer.status, 400 | 403 | 413 | 422), "{answer:?}");
    for error in errors {
        let pointer = error["pointer"].as_str().expect("a pointer");
        assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer}");
    }
    let tokens = send_request["devices"].as_array().into_iter().flatten();
    for token in tokens.filter_map(|device| device["token"].as_str()) {
        // A pointer repeats the caller's own names of fields, and nothing else of the body.
        assert!(
            token.len() <= 16 || is_named(send_request, token) || !answer.body.contains(token),
            "{answer:?}"
        );
    }
}

/// Whether a field's name, or a number, has the text in it.
fn is_named(value: &Value, text: &str) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => false,
        Value::Number(number) => number.to_string().contains(text),
        Value::Array(list) => list.iter().any(|value| is_named(value, text)),
        Value::Object(map) => map
            .iter()
            .any(|(name, value)| name.contains(text) || is_named(value, text)),
    }
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config::load(|name| {
        let text = match name {
            APPS => {
                r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#
            }
            API_KEYS => API_KEYS_TEXT,
            "APNS_KEY_KEY1234567" => P8,
            _ => return None,
        };
        Some(text.to_owned())
    })
    .expect("no faults")
});

/// JSON in lines, whose answer is read as one document all the same.
const LINES: Format = Format {
    lines_in: true,
    lines_out: false,
};

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

const API_KEYS_TEXT: &str = r#"[{"name": "fuzzer", "apps": "*",
    "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]"#;

/// A key that was made for this and signs nothing.
const P8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/2J9XU3ILe7f2Md+
KA/nyLy5nhZDHVCtae/YmyYB37ShRANCAATwFVweDvEuBDiwiIhVwtZyvbaH/FHv
pYAvkex1GrkgrJqbJ0n7ZBDp0iZvoUpjKeBxgp2UiiCQQo2IPjj4tznL
-----END PRIVATE KEY-----";
