//! Send requests and answers in lines.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use apns_mock::{DEFAULT_STREAMS, Fault, FaultKind};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::shared::{Shared, over_both_transports};
use crate::test_env::{TestEnv, until};

over_both_transports! {
    results_come_as_lines_in_the_order_of_their_completion_with_the_counts_last,
    a_fault_in_a_line_is_told_with_the_place_of_its_device_and_nothing_is_sent,
    an_answer_alone_may_come_in_lines_and_an_order_alone_too,
}

const LINES: &str = "application/x-ndjson";

/// Returns a request in lines.
fn send_request(on_invalid: &str, tokens: &[&str]) -> String {
    let head = json!({ "app": "shop", "on_invalid": on_invalid, "notification": { "payload": { "aps": { "alert": "Sale" } } } });
    let devices = tokens
        .iter()
        .zip(0..)
        .map(|(token, number)| json!({ "token": token, "ref": format!("user-{number}") }));
    let lines = [head].into_iter().chain(devices).map(|line| format!("{line}\n"));
    lines.collect()
}

/// Returns the lines of the answer to a request in lines.
fn push(env: &TestEnv, send_request: &str) -> Vec<Value> {
    let headers = [("content-type", LINES), ("accept", LINES)];
    let answer = env.call(
        Caller::Both,
        "POST",
        "/v1/push",
        &headers,
        send_request.as_bytes(),
    );
    assert_eq!(answer.header("content-type"), Some(LINES));
    let body = answer.with_status(200);
    let lines = body.as_str().unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn results_come_as_lines_in_the_order_of_their_completion_with_the_counts_last(env: &TestEnv) {
    let first = env.device("lines, first");
    // After this, the provider token is proven and pushes are sent together.
    push(env, &send_request("reject", &[&first]));
    let known = env.devices(&SHOP, "lines", 4);
    let unknown = env.tokens("lines, unknown", 1).remove(0);
    let late = Fault {
        delay_ms: Some(1000),
        ..Fault::new(FaultKind::Stall)
    };
    env.apns.fault(late.times(1).for_token(&known[0])).unwrap();
    let tokens = [&known[0], &known[1], &unknown, "no token", &known[2], &known[3]];
    let mut lines = push(env, &send_request("skip", &tokens.map(|token| token as &str)));
    let last = lines.pop().unwrap();
    assert_eq!(last["app"], "shop");
    assert_eq!(
        last["counts"],
        json!({ "devices": 6, "accepted": 4, "rejected": 2, "retrying": 0, "failed": 0, "duplicate": 0, "gone": 0 })
    );
    // The result of a skipped device comes first, and the delayed one last.
    let indexes: Vec<u64> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!((indexes[0], indexes[5]), (3, 0), "{indexes:?}");
    let mut sorted = indexes;
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
    for line in &lines {
        let index = line["index"].as_u64().unwrap();
        assert_eq!(line["ref"], format!("user-{index}"));
        let (status, attempts) = match index {
            2 => ("rejected", 1),
            3 => ("rejected", 0),
            _ => ("accepted", 1),
        };
        assert_eq!(
            (&line["status"], &line["attempts"]),
            (&json!(status), &json!(attempts)),
            "{line}"
        );
    }
}

fn a_fault_in_a_line_is_told_with_the_place_of_its_device_and_nothing_is_sent(env: &TestEnv) {
    let known = env.device("lines, faults");
    // The lines of devices begin with the second.
    let body = send_request("reject", &[&known, "no token", &known, "nor this"]);
    let headers = [("content-type", LINES), ("accept", LINES)];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
    let problem = answer.problem(422, "invalid-request");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/devices/1/token", "/devices/3/token"]);
    assert!(env.requests_to(&known).is_empty());
}

fn an_answer_alone_may_come_in_lines_and_an_order_alone_too(env: &TestEnv) {
    let tokens = env.devices(&SHOP, "lines, one way", 2);
    let body = send_request("reject", &[&tokens[0], &tokens[1]]);
    let headers = [("content-type", LINES)];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
    let answer = answer.with_status(200);
    assert_eq!(answer["counts"]["accepted"], 2);
    assert_eq!(answer["results"][1]["ref"], "user-1");

    let document = json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": [{ "token": tokens[0] }] });
    let headers = [("accept", LINES)];
    let body = document.to_string();
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
    let answer = answer.with_status(200);
    let lines = answer.as_str().unwrap().lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["index"], &lines[0]["status"]),
        (&json!(0), &json!("accepted"))
    );
    assert_eq!(lines[1]["counts"]["accepted"], 1);
    assert_eq!(lines.len(), 2);
}

#[test]
fn over_a_socket_a_caller_that_leaves_in_the_middle_of_its_order_stops_no_push() {
    let env = Shared::by_wide_socket();
    for accept in [LINES, "application/json"] {
        let devices = env.devices(&SHOP, &format!("lines, leaving, {accept}"), 300);
        env.apns.set_max_concurrent_streams(20);
        // APNs accepts no further pushes, and the results so far are sent to the caller.
        let pause = Fault {
            streams: Some(0),
            ..Fault::new(FaultKind::StreamLimit).times(1)
        };
        env.apns.fault(pause.for_token(&devices[150])).unwrap();
        let shown = || {
            let screens = devices
                .iter()
                .map(|device| env.apns.device(device)[0].screen.count);
            screens.filter(|count| *count == 1).count()
        };
        let tokens: Vec<&str> = devices.iter().map(String::as_str).collect();
        let connection = send(&env, accept, &send_request("reject", &tokens));
        if accept == LINES {
            let mut answer = BufReader::new(&connection).lines().map(Result::unwrap);
            let first = answer.find(|line| line.starts_with(r#"{"index""#)).unwrap();
            assert!(first.contains("accepted"), "{first}");
        }
        until("the pause", || shown() > 150 && env.apns.state().in_flight == 0);
        drop(connection);
        sleep(FAREWELL);
        let before = shown();
        assert!(before < devices.len(), "{before}");
        env.apns.set_max_concurrent_streams(DEFAULT_STREAMS);
        until("the pushes of the caller that left", || shown() == devices.len());
        for device in &devices {
            assert_eq!(env.requests_to(device).len(), 1);
        }
    }
}

/// Enough time for the Worker to notice that a caller has disconnected.
const FAREWELL: Duration = Duration::from_millis(500);

/// Sends a request in lines, without reading the answer.
fn send(env: &TestEnv, accept: &str, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(env.worker.authority()).unwrap();
    let key = Caller::Both.key();
    let length = body.len();
    let head = format!(
        "POST /v1/push HTTP/1.1\r\nHost: worker\r\nAuthorization: Bearer {key}\r\nContent-Type: {LINES}\r\nAccept: {accept}\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(body.as_bytes()).unwrap();
    connection
}
