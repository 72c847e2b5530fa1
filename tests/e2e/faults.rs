//! Each way in which APNs, or the connection to it, can fail: the caller's result, and what the device shows.
//! Every rule is tested with both transports.

use std::time::{Duration, SystemTime};

use apns_mock::{Fault, FaultBody, FaultKind, RecordedRequest};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::shared::over_both_transports;
use crate::test_env::{TestEnv, header};

over_both_transports! {
    a_push_that_apns_goes_on_refusing_is_handed_back_with_a_delay,
    a_push_with_one_attempt_that_apns_does_not_take_failed_and_is_not_to_be_sent_again,
    nothing_is_sent_again_before_retry_after_or_past_the_callers_wait,
    a_retry_after_that_fits_is_waited_for,
    a_retry_after_as_a_date_is_waited_for,
    an_answer_that_is_not_from_apns_leaves_open_what_became_of_the_push,
    a_proxy_that_could_not_connect_says_that_nothing_was_sent,
    an_answer_of_apns_that_is_garbled_counts_by_its_status,
    a_push_without_an_answer_ends_at_its_deadline_and_is_unknown,
    an_answer_that_comes_too_late_is_no_answer,
    an_answer_whose_body_never_ends_counts_by_its_status;
    breaking connections:
    what_apns_refuses_for_now_is_sent_again_with_the_same_apns_id,
    a_connection_that_breaks_leaves_open_what_became_of_the_push,
    a_connection_that_ends_in_good_order_loses_no_push,
}

/// Returns a request for one device. With a collapse id, the push may be repeated.
fn send_request(token: &str, collapse_id: Option<&str>) -> Value {
    let mut notification = json!({ "payload": { "aps": { "alert": "Sale" } } });
    if let Some(id) = collapse_id {
        notification["collapse_id"] = json!(id);
    }
    json!({ "app": "shop", "notification": notification, "devices": [{ "token": token }] })
}

/// Sends to one device whose push meets a fault. Returns the result and the requests that APNs received.
#[track_caller]
fn push_into(
    env: &TestEnv,
    name: &str,
    fault: Fault,
    collapse_id: Option<&str>,
) -> (Value, Vec<RecordedRequest>) {
    let token = env.device(&format!("faults, {name}"));
    env.apns.fault(fault.for_token(&token)).unwrap();
    let answer = env.push(&send_request(&token, collapse_id));
    (answer["results"][0].clone(), env.requests_to(&token))
}

/// Returns how many notifications the device of [`push_into`] shows, and how many were replaced.
fn shown(env: &TestEnv, name: &str) -> (u64, u64) {
    let token = env.tokens(&format!("faults, {name}"), 1).remove(0);
    let screen = env.apns.device(&token).remove(0).screen;
    (screen.count, screen.replaced)
}

#[track_caller]
fn assert_outcome(result: &Value, status: &str, code: u16, reason: Option<&str>, verdict: &str) {
    let outcome = ["status", "code", "reason", "verdict"].map(|field| result[field].clone());
    assert_eq!(
        outcome,
        [json!(status), json!(code), json!(reason), json!(verdict)]
    );
}

/// Asserts that all attempts of a push have the apns-id in the result.
#[track_caller]
fn assert_attempts(result: &Value, requests: &[RecordedRequest], count: usize) {
    assert_eq!(result["attempts"], count);
    assert_eq!(requests.len(), count);
    for request in requests {
        assert_eq!(result["apns_id"], header(request, "apns-id").unwrap());
        assert_eq!(request.body, requests[0].body);
    }
}

fn what_apns_refuses_for_now_is_sent_again_with_the_same_apns_id(env: &TestEnv) {
    for (status, reason) in [
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (503, "Shutdown"),
        (400, "IdleTimeout"),
        (500, "SomethingNew"),
    ] {
        let name = format!("again, {reason}");
        let (result, requests) = push_into(env, &name, Fault::answer(status, reason).times(1), None);
        assert_outcome(&result, "accepted", 200, None, "accepted");
        assert_attempts(&result, &requests, 2);
        assert_eq!(shown(env, &name), (1, 0));
    }
}

fn a_push_that_apns_goes_on_refusing_is_handed_back_with_a_delay(env: &TestEnv) {
    let (result, requests) = push_into(env, "persistent", Fault::answer(503, "ServiceUnavailable"), None);
    assert_outcome(&result, "retrying", 503, Some("ServiceUnavailable"), "retry");
    assert_attempts(&result, &requests, 3);
    // Apple asks to wait for a quarter of an hour.
    assert_eq!(result["retry_after"], 900);
    assert_eq!(shown(env, "persistent"), (0, 0));
}

fn a_push_with_one_attempt_that_apns_does_not_take_failed_and_is_not_to_be_sent_again(env: &TestEnv) {
    for (status, reason) in [(503, "ServiceUnavailable"), (429, "TooManyRequests")] {
        let token = env.device(&format!("faults, one attempt, {status}"));
        let fault = Fault::answer(status, reason);
        env.apns.fault(fault.for_token(&token)).unwrap();
        let mut send_request = send_request(&token, None);
        send_request["notification"]["expiration"] = json!(0);
        let answer = env.push(&send_request);
        assert_eq!(answer["counts"]["failed"], 1, "{answer}");
        let result = &answer["results"][0];
        assert_outcome(result, "failed", status, Some(reason), "retry");
        assert_eq!(
            (&result["gave_up"], result.get("retry_after")),
            (&json!("expired"), None)
        );
        assert_attempts(result, &env.requests_to(&token), 1);
    }
}

fn nothing_is_sent_again_before_retry_after_or_past_the_callers_wait(env: &TestEnv) {
    let token = env.device("faults, retry-after");
    let fault = Fault {
        headers: vec![("retry-after".to_owned(), "100".to_owned())],
        ..Fault::answer(429, "TooManyRequests")
    };
    env.apns.fault(fault.for_token(&token)).unwrap();
    let answer = env.call(
        Caller::Both,
        "POST",
        "/v1/push",
        &[("prefer", "wait=30")],
        send_request(&token, None).to_string().as_bytes(),
    );
    let result = answer.with_status(200)["results"][0].clone();
    assert_outcome(&result, "retrying", 429, Some("TooManyRequests"), "retry");
    assert_attempts(&result, &env.requests_to(&token), 1);
    assert_eq!(result["retry_after"], 100);

    let token = env.device("faults, no wait");
    env.apns
        .fault(Fault::answer(503, "ServiceUnavailable").for_token(&token))
        .unwrap();
    let answer = env.call(
        Caller::Both,
        "POST",
        "/v1/push",
        &[("prefer", "wait=0")],
        send_request(&token, None).to_string().as_bytes(),
    );
    let result = answer.with_status(200)["results"][0].clone();
    assert_attempts(&result, &env.requests_to(&token), 1);
}

fn a_retry_after_that_fits_is_waited_for(env: &TestEnv) {
    let fault = Fault {
        headers: vec![("retry-after".to_owned(), "1".to_owned())],
        ..Fault::answer(503, "ServiceUnavailable").times(1)
    };
    let (result, requests) = push_into(env, "short retry-after", fault, None);
    assert_outcome(&result, "accepted", 200, None, "accepted");
    assert_attempts(&result, &requests, 2);
}

fn a_retry_after_as_a_date_is_waited_for(env: &TestEnv) {
    let begin = SystemTime::now();
    let date = httpdate::fmt_http_date(begin + Duration::from_secs(4));
    let fault = Fault {
        headers: vec![("retry-after".to_owned(), date)],
        ..Fault::answer(503, "ServiceUnavailable").times(1)
    };
    let (result, requests) = push_into(env, "retry-after as a date", fault, None);
    assert_outcome(&result, "accepted", 200, None, "accepted");
    assert_attempts(&result, &requests, 2);
    // An HTTP date has no fractions of a second, and both use the same clock.
    assert!(begin.elapsed().unwrap() >= Duration::from_secs(3));
}

fn an_answer_that_is_not_from_apns_leaves_open_what_became_of_the_push(env: &TestEnv) {
    let html = || Fault {
        body: FaultBody::Html,
        delivered: true,
        ..Fault::answer(502, "Bad Gateway").times(1)
    };
    // Repeated, it could be shown twice.
    let (result, requests) = push_into(env, "html", html(), None);
    assert_outcome(&result, "failed", 502, Some("AnswerNotFromApns"), "unknown");
    assert_attempts(&result, &requests, 1);
    assert_eq!(shown(env, "html"), (1, 0));
    // With a collapse id it replaces itself.
    let (result, requests) = push_into(env, "html, collapse", html(), Some("sale"));
    assert_outcome(&result, "accepted", 200, None, "accepted");
    assert_attempts(&result, &requests, 2);
    assert_eq!(shown(env, "html, collapse"), (1, 1));
}

fn a_proxy_that_could_not_connect_says_that_nothing_was_sent(env: &TestEnv) {
    // Cloudflare's `fetch` reports these statuses for a connection that was refused, or broke before the
    // request.
    for status in [521, 522, 525] {
        let fault = Fault {
            body: FaultBody::Html,
            ..Fault::answer(status, "Connection timed out")
        };
        let name = format!("{status}, once");
        let (result, requests) = push_into(env, &name, fault.clone().times(1), None);
        assert_outcome(&result, "accepted", 200, None, "accepted");
        assert_attempts(&result, &requests, 2);
        let (result, requests) = push_into(env, &format!("{status}, always"), fault, None);
        assert_outcome(&result, "retrying", status, Some("AnswerNotFromApns"), "retry");
        assert_attempts(&result, &requests, 3);
        assert_eq!(result["retry_after"], 10);
    }
}

fn an_answer_of_apns_that_is_garbled_counts_by_its_status(env: &TestEnv) {
    for (name, body) in [("broken", FaultBody::BrokenJson), ("empty", FaultBody::Empty)] {
        let garbled = |status| Fault {
            body,
            ..Fault::answer(status, "SomeReason").times(1)
        };
        let (result, requests) = push_into(env, &format!("{name} 503"), garbled(503), None);
        assert_outcome(&result, "accepted", 200, None, "accepted");
        assert_attempts(&result, &requests, 2);
        let (result, requests) = push_into(env, &format!("{name} 400"), garbled(400), None);
        assert_outcome(&result, "rejected", 400, Some("NoReason"), "fix_request");
        assert_attempts(&result, &requests, 1);
    }
}

fn a_push_without_an_answer_ends_at_its_deadline_and_is_unknown(env: &TestEnv) {
    let (result, requests) = push_into(env, "silence", Fault::new(FaultKind::Silence), None);
    assert_outcome(&result, "failed", 0, Some("DeadlinePassed"), "unknown");
    assert_attempts(&result, &requests, 1);
    let (result, requests) = push_into(
        env,
        "silence, collapse",
        Fault::new(FaultKind::Silence),
        Some("sale"),
    );
    assert_outcome(&result, "failed", 0, Some("DeadlinePassed"), "unknown");
    assert_attempts(&result, &requests, 3);
    assert_eq!(result.get("retry_after"), None);
}

fn an_answer_that_comes_too_late_is_no_answer(env: &TestEnv) {
    let late = || {
        let fault = Fault {
            delay_ms: Some(10_000),
            ..Fault::new(FaultKind::Stall)
        };
        fault.times(1)
    };
    let (result, requests) = push_into(env, "late", late(), None);
    assert_outcome(&result, "failed", 0, Some("DeadlinePassed"), "unknown");
    assert_attempts(&result, &requests, 1);
    assert_eq!(shown(env, "late"), (1, 0));
    let (result, requests) = push_into(env, "late, collapse", late(), Some("sale"));
    assert_outcome(&result, "accepted", 200, None, "accepted");
    assert_attempts(&result, &requests, 2);
    assert_eq!(shown(env, "late, collapse"), (1, 1));
}

fn an_answer_whose_body_never_ends_counts_by_its_status(env: &TestEnv) {
    let (result, requests) = push_into(env, "endless", Fault::new(FaultKind::HeadersOnly).times(1), None);
    assert_outcome(&result, "accepted", 200, None, "accepted");
    assert_attempts(&result, &requests, 1);
    assert_eq!(shown(env, "endless"), (1, 0));
}

fn a_connection_that_breaks_leaves_open_what_became_of_the_push(env: &TestEnv) {
    for kind in [FaultKind::Close, FaultKind::Reset] {
        for delivered in [true, false] {
            let broken = || Fault {
                delivered,
                ..Fault::new(kind).times(1)
            };
            let name = format!("{kind:?} {delivered}");
            let (result, requests) = push_into(env, &name, broken(), None);
            assert_outcome(&result, "failed", 0, Some("ConnectionLost"), "unknown");
            assert_attempts(&result, &requests, 1);
            assert_eq!(shown(env, &name), (u64::from(delivered), 0));
            let name = format!("{name}, collapse");
            let (result, requests) = push_into(env, &name, broken(), Some("sale"));
            assert_outcome(&result, "accepted", 200, None, "accepted");
            assert_attempts(&result, &requests, 2);
            assert_eq!(shown(env, &name), (1, u64::from(delivered)));
        }
    }
}

fn a_connection_that_ends_in_good_order_loses_no_push(env: &TestEnv) {
    let tokens = env.devices(&SHOP, "faults, farewell", 20);
    for token in tokens.iter().step_by(3) {
        env.apns
            .fault(Fault::new(FaultKind::GoAway).times(1).for_token(token))
            .unwrap();
    }
    let limit = Fault {
        streams: Some(1),
        ..Fault::new(FaultKind::StreamLimit).times(1)
    };
    env.apns.fault(limit.for_token(&tokens[1])).unwrap();
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    let answer = env.push(&json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices }));
    assert_eq!(answer["counts"]["accepted"], tokens.len());
    for token in &tokens {
        assert_eq!(env.requests_to(token).len(), 1);
    }
}
