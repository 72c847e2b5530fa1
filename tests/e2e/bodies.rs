//! Bodies for which an isolate has no memory.

use std::thread;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::batches::pieces::Pieces;
use crate::caller::{self, Answer};
use crate::deployment::{Caller, SHOP};
use crate::log::SENT;
use crate::memory::memory_kb;
use crate::test_env::{TestEnv, until};

/// The largest body of a send request over sockets.
const LARGEST: usize = 16 * 1024 * 1024;

/// A quarter of the largest body. Seven bodies of this size exceed the budget of all bodies.
const PART: usize = LARGEST / 4;

/// Returns a request for a device, padded with white space to the largest size.
fn largest_order(device: &str) -> String {
    let send_request = json!({
        "app": "shop",
        "notification": { "payload": { "aps": { "alert": "Sale" } } },
        "devices": [{ "token": device }],
    });
    let mut body = send_request.to_string();
    let end = body.pop().unwrap();
    body.push_str(&" ".repeat(LARGEST - body.len() - 1));
    body.push(end);
    assert_eq!(body.len(), LARGEST);
    body
}

#[test]
fn a_body_for_which_there_is_no_memory_is_answered_with_503_before_all_of_it_was_sent() {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", "socket")]);
    let device = env.device("bodies, refused");
    let body = largest_order(&device);
    // Chunked, because the proxy of `wrangler dev` buffers a body with a length until it is complete.
    let begin = || Pieces::post(&env, "/v1/push", &[("content-type", "application/json")]);
    let mut requests: Vec<Pieces> = (0..7).map(|_| begin()).collect();
    for request in &mut requests {
        request.piece(&body.as_bytes()[..PART]);
    }
    let refused: Vec<Answer> = requests.into_iter().filter_map(Pieces::early_answer).collect();
    assert!(!refused.is_empty() && refused.len() < 7, "{}", refused.len());
    for answer in refused {
        assert!(answer.header("retry-after").is_some());
        answer.problem(503, "busy");
    }
    assert!(env.requests_to(&device).is_empty());
    // The bytes of interrupted bodies are free again.
    let headers = [("content-type", "application/json")];
    until("an order that is taken", || {
        let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
        answer.status == 200
    });
}

#[test]
fn an_order_that_its_connection_object_has_no_memory_for_is_answered_with_503_and_is_not_sent() {
    // The first request is in progress until its only push is given up.
    let settings = [("TRANSPORT", "socket"), ("ATTEMPT_TIMEOUT_MS", "15000")];
    let env = TestEnv::isolated(Options::default(), &settings);
    let devices = env.devices(&SHOP, "bodies, connection", 2);
    let silence = Fault::new(FaultKind::Silence);
    env.apns.fault(silence.for_token(&devices[0])).unwrap();
    let authorization = format!("Bearer {}", Caller::Both.key());
    let url = env.worker.url("/v1/push");
    let in_lines = {
        let (url, authorization, body) = (url.clone(), authorization, largest_order(&devices[0]));
        thread::spawn(move || {
            // Its answer begins at once, so that the Worker is no longer involved.
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json"),
                ("accept", "application/x-ndjson"),
            ];
            caller::call("POST", &url, &headers, body.as_bytes())
        })
    };
    until("an order that is under way", || {
        !env.requests_to(&devices[0]).is_empty()
    });
    let largest = largest_order(&devices[1]);
    let headers = [("content-type", "application/json")];
    let refused = env.call(Caller::Both, "POST", "/v1/push", &headers, largest.as_bytes());
    assert!(refused.header("retry-after").is_some());
    let problem = refused.problem(503, "busy");
    assert!(
        problem["detail"].as_str().unwrap().contains("nothing was sent"),
        "{problem}"
    );
    assert!(env.requests_to(&devices[1]).is_empty());
    // Its permits were returned: only the first request has any.
    let doctor = env.call(Caller::Shop, "GET", "/v1/doctor", &[], b"");
    assert_eq!(doctor.with_status(200)["gates"][0]["in_use"], 1);
    assert_eq!(in_lines.join().unwrap().status, 200);
    let taken = env.call(Caller::Both, "POST", "/v1/push", &headers, largest.as_bytes());
    assert_eq!(taken.with_status(200)["counts"]["accepted"], 1);
}

#[test]
fn the_largest_order_takes_no_more_memory_than_half_of_an_isolate_and_some() {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", "socket")]);
    let devices = env.devices(&SHOP, "bodies, memory", 10_000);
    let filler = "x".repeat(1540);
    let devices: Vec<Value> = devices
        .iter()
        .map(|token| json!({ "token": token, "payload": { "aps": { "badge": 1 }, "filler": filler } }))
        .collect();
    let notification = json!({ "payload": { "aps": { "alert": "Sale" } } });
    let send_request = json!({ "app": "shop", "notification": notification, "devices": devices });
    let bytes = send_request.to_string().len();
    assert!(LARGEST * 9 / 10 < bytes && bytes <= LARGEST, "{bytes}");
    assert_eq!(env.push(&send_request)["counts"]["accepted"], 10_000);
    let log = env.log_with(SENT, 1);
    let line = log.lines().find(|line| line.contains(SENT)).unwrap();
    let memory_kb = memory_kb(line);
    assert!(memory_kb < MEMORY_KB, "{memory_kb}");
}

/// The limit of the wasm memory. An isolate has 128 MB, and JavaScript holds further memory for the largest
/// request.
const MEMORY_KB: u64 = 80 * 1024;
