use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::{Config, Transport};
use crate::fixture::{NOW, SEED, caller, config};
use apns::{Reply, TransportError};
use delivery::verdict::judge;

fn send_request(config: &Config, devices: Value) -> SendRequest<'_> {
    let body = json!({
        "app": "shop", "on_invalid": "skip",
        "notification": {"payload": {"aps": {"alert": "Hi"}}},
        "devices": devices,
    });
    let body = body.to_string();
    SendRequest::parse(body.as_bytes(), caller(config, "backend"), config, SEED, NOW).unwrap()
}

/// Returns devices with different tokens. Those with a `ref` have no token.
fn devices(refs: &[Option<&str>]) -> Value {
    let device = |(index, reference): (usize, &Option<&str>)| match reference {
        Some(reference) => json!({"ref": reference}),
        None => json!({"token": format!("{index:064x}")}),
    };
    refs.iter().enumerate().map(device).collect()
}

fn receipt(push: usize, outcome: Outcome) -> Receipt {
    Receipt {
        push,
        verdict: judge(&outcome),
        outcome,
        retry_after: None,
        attempts: 1,
        latency: Duration::from_millis(57),
        one_attempt: false,
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let header = |name: &str| {
        let mut found = headers.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| *value)
    };
    Outcome::Answered(Reply::read(
        status,
        header,
        body.as_bytes(),
        apns::time::Timestamp::default(),
    ))
}

fn results(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn push_answer_format_unchanged() {
    // Callers read every one of these fields; a field that is renamed or changes its type breaks them.
    let config = config();
    let token = |index: usize| format!("{index:016x}abcdefabcdef");
    let send_request = send_request(
        &config,
        json!([
            {"token": token(0), "ref": "user-0"},
            {"token": token(1)},
            {"token": token(2)},
            {"token": token(3)},
            {"token": "not hex", "ref": "user-4"},
            {"token": token(5)},
            {"token": token(6)},
            {"token": token(7)},
        ]),
    );
    let receipts = [
        receipt(0, reply(200, &[("apns-unique-id", "3f0c8f1e")], "")),
        receipt(
            1,
            reply(410, &[], r#"{"reason":"Unregistered","timestamp":1795420799123}"#),
        ),
        receipt(2, reply(413, &[], r#"{"reason":"PayloadTooLarge"}"#)),
        Receipt {
            attempts: 3,
            retry_after: Some(Duration::from_millis(900_001)),
            ..receipt(3, reply(503, &[], r#"{"reason":"ServiceUnavailable"}"#))
        },
        Receipt {
            attempts: 0,
            latency: Duration::ZERO,
            ..receipt(5, reply(403, &[], r#"{"reason":"InvalidProviderToken"}"#))
        },
        receipt(6, Outcome::Lost(TransportError::Deadline)),
        Receipt {
            retry_after: Some(Duration::from_secs(900)),
            one_attempt: true,
            ..receipt(7, reply(503, &[], r#"{"reason":"ServiceUnavailable"}"#))
        },
    ];
    let expected = [
        r#"{"ref":"user-0","token_hint":"0000…cdef","status":"accepted","apns_id":"abababab-abab-8bab-abab-abab00000000","apns_unique_id":"3f0c8f1e","code":200,"verdict":"accepted","attempts":1,"ms":57}"#,
        r#"{"token_hint":"0000…cdef","status":"rejected","apns_id":"abababab-abab-8bab-abab-abab00000001","code":410,"reason":"Unregistered","verdict":"drop_device","since":"2026-11-23T07:59:59.123Z","attempts":1,"ms":57}"#,
        r#"{"token_hint":"0000…cdef","status":"rejected","apns_id":"abababab-abab-8bab-abab-abab00000002","code":413,"reason":"PayloadTooLarge","verdict":"fix_request","attempts":1,"ms":57}"#,
        r#"{"token_hint":"0000…cdef","status":"retrying","apns_id":"abababab-abab-8bab-abab-abab00000003","code":503,"reason":"ServiceUnavailable","verdict":"retry","retry_after":901,"attempts":3,"ms":57}"#,
        r#"{"ref":"user-4","token_hint":"…","status":"rejected","code":0,"reason":"InvalidDevice","verdict":"fix_request","detail":"/devices/4/token: has a character at position 0 that is not a hex digit","attempts":0,"ms":0}"#,
        r#"{"token_hint":"0000…cdef","status":"failed","apns_id":"abababab-abab-8bab-abab-abab00000005","code":0,"reason":"InvalidProviderToken","verdict":"fix_credentials","attempts":0,"ms":0}"#,
        r#"{"token_hint":"0000…cdef","status":"failed","apns_id":"abababab-abab-8bab-abab-abab00000006","code":0,"reason":"DeadlinePassed","verdict":"unknown","attempts":1,"ms":57}"#,
        r#"{"token_hint":"0000…cdef","status":"failed","apns_id":"abababab-abab-8bab-abab-abab00000007","code":503,"reason":"ServiceUnavailable","verdict":"retry","gave_up":"expired","attempts":1,"ms":57}"#,
    ];
    let answer = answer(&send_request, &receipts, Transport::Fetch);
    assert_eq!((answer.status, answer.content_type), (200, "application/json"));
    let counts = r#"{"devices":8,"accepted":1,"rejected":3,"retrying":1,"failed":3,"duplicate":0,"gone":1}"#;
    assert_eq!(
        answer.body,
        format!(
            r#"{{"app":"shop","transport":"fetch","counts":{counts},"results":[{}]}}"#,
            expected.join(",")
        )
    );
}

#[test]
fn results_stand_in_the_order_of_the_request_whatever_came_first_and_was_skipped() {
    let config = config();
    let send_request = send_request(
        &config,
        devices(&[Some("first"), None, None, Some("middle"), None, Some("last")]),
    );
    let receipts = [
        receipt(4, reply(200, &[], "")),
        receipt(1, reply(400, &[], r#"{"reason":"BadDeviceToken"}"#)),
        receipt(2, Outcome::NotSent(TransportError::Unreachable)),
    ];
    let answer = results(&answer(&send_request, &receipts, Transport::Fetch));
    let statuses: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let skipped = result["reason"] == "InvalidDevice";
            let field = if skipped { "ref" } else { "status" };
            result[field].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        statuses,
        ["first", "rejected", "retrying", "middle", "accepted", "last"]
    );
    assert_eq!(
        answer["counts"],
        json!({"devices": 6, "accepted": 1, "rejected": 4, "retrying": 1, "failed": 0, "duplicate": 0, "gone": 0})
    );
}

#[test]
fn a_push_without_a_receipt_counts_as_failed_and_unknown() {
    let config = config();
    let send_request = send_request(&config, devices(&[None, None]));
    let answer = results(&answer(
        &send_request,
        &[receipt(1, reply(200, &[], ""))],
        Transport::Fetch,
    ));
    let result = &answer["results"][0];
    assert_eq!(
        (&result["status"], &result["verdict"]),
        (&json!("failed"), &json!("unknown"))
    );
}

#[test]
fn push_answer_in_lines_format_unchanged() {
    // Callers read a line at a time; the last one has the counts and no index.
    let config = config();
    let send_request = send_request(&config, devices(&[None, Some("Ann"), None]));
    let mut lines = Lines::begin(&send_request);
    lines.add(&send_request, &receipt(2, reply(200, &[], "")));
    let gone = r#"{"reason":"Unregistered","timestamp":1795420799123}"#;
    lines.add(&send_request, &receipt(0, reply(410, &[], gone)));
    lines.end(&send_request, Transport::Fetch);
    let expected = [
        r#"{"index":1,"ref":"Ann","token_hint":"…","status":"rejected","code":0,"reason":"InvalidDevice","verdict":"fix_request","detail":"/devices/1/token: is required","attempts":0,"ms":0}"#,
        r#"{"index":2,"token_hint":"0000…0002","status":"accepted","apns_id":"abababab-abab-8bab-abab-abab00000002","code":200,"verdict":"accepted","attempts":1,"ms":57}"#,
        r#"{"index":0,"token_hint":"0000…0000","status":"rejected","apns_id":"abababab-abab-8bab-abab-abab00000000","code":410,"reason":"Unregistered","verdict":"drop_device","since":"2026-11-23T07:59:59.123Z","attempts":1,"ms":57}"#,
        r#"{"app":"shop","transport":"fetch","counts":{"devices":3,"accepted":1,"rejected":2,"retrying":0,"failed":0,"duplicate":0,"gone":1}}"#,
        "",
    ];
    assert_eq!(String::from_utf8(lines.take()).unwrap(), expected.join("\n"));
    assert!(lines.is_empty());
}

#[test]
fn only_apns_own_410_counts_as_gone() {
    let config = config();
    let send_request = send_request(&config, devices(&[None; 4]));
    let receipts = [
        receipt(0, reply(410, &[], r#"{"reason":"ExpiredToken","timestamp":1}"#)),
        receipt(1, reply(410, &[], r#"{"reason":"NewInAYear"}"#)),
        receipt(2, reply(410, &[], "<html>a proxy's page</html>")),
        receipt(3, reply(400, &[], r#"{"reason":"BadDeviceToken"}"#)),
    ];
    let answer = results(&answer(&send_request, &receipts, Transport::Fetch));
    assert_eq!(answer["counts"]["gone"], 2);
    assert_eq!(answer["results"][2]["reason"], "AnswerNotFromApns");
}

#[test]
fn an_order_of_which_every_device_is_skipped_has_its_answer_too() {
    let config = config();
    let send_request = send_request(&config, devices(&[Some("a"), Some("b")]));
    let answer = results(&answer(&send_request, &[], Transport::Fetch));
    assert_eq!(answer["counts"]["rejected"], 2);
    assert_eq!(answer["results"][1]["detail"], "/devices/1/token: is required");
}

#[test]
fn the_wait_is_the_callers_within_its_bounds() {
    for (prefer, seconds) in [
        ("wait=0", 0),
        ("wait=1", 1),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=99999999999999999999999999", 60),
        ("wait=\"7\"", 7),
        ("wait = 7", 7),
        ("Wait=7", 7),
        ("WAIT=7;because=\"slow\"", 7),
        ("respond-async, wait=7", 7),
        ("wait=7,respond-async", 7),
        ("return=minimal; foo=\"a, wait=9\", wait=7", 7),
        ("foo=\"\\\", wait=9\", wait=7", 7),
        ("wait=7, wait=9", 7),
    ] {
        assert_eq!(wait(Some(prefer)), Duration::from_secs(seconds), "{prefer}");
    }
}

#[test]
fn a_preference_that_cannot_be_read_is_none_and_no_error() {
    // RFC 7240, section 2: what a server cannot comply with it ignores.
    assert_eq!(wait(None), DEFAULT_WAIT);
    for prefer in [
        "",
        ",",
        "wait",
        "wait=",
        "wait=\"\"",
        "wait=\"",
        "wait=soon",
        "wait=+5",
        "wait=-1",
        "wait=1.5",
        "waiting=5",
        "await=5",
        "respond-async",
        "foo=\"wait=5",
        "wait=soon, wait=5",
    ] {
        assert_eq!(wait(Some(prefer)), DEFAULT_WAIT, "{prefer}");
    }
}

proptest::proptest! {
    #[test]
    fn no_preference_is_longer_than_the_longest_wait(prefer in "[-\"\\\\ ,;=+a-zA-Z0-9]{0,40}") {
        proptest::prop_assert!(wait(Some(&prefer)) <= MAX_WAIT);
        let asked = format!("wait={prefer}");
        proptest::prop_assert!(wait(Some(&asked)) <= MAX_WAIT);
    }
}
