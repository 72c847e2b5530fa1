//! Faults of a connection that the Worker itself holds, over the platform's sockets, with many pushes on it.
//! See `faults` for the effect on a single push.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use apns_mock::{DEFAULT_STREAMS, Fault, FaultKind, LastStream, Latency, Options};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::shared::Shared;
use crate::test_env::{TestEnv, header, until};

/// The HTTP/2 error code of a stream that the server has not processed.
const REFUSED_STREAM: u32 = 7;

/// The highest HTTP/2 error code there is (RFC 9113, section 7).
const HIGHEST_CODE: u32 = 13;

/// Returns an environment whose server is slow enough for all pushes of a request to be in flight, and whose
/// provider token is proven.
fn env() -> Shared {
    let env = Shared::by_wide_socket();
    let first = env.device("socket, first");
    assert_eq!(env.push(&send_request(&[first]))["counts"]["accepted"], 1);
    env.apns.set_latency(Latency::fixed(Duration::from_millis(100)));
    env
}

fn send_request(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

/// Asserts that all devices are pushed over a socket, and that each shows its notification once.
#[track_caller]
fn assert_all_shown_once(env: &TestEnv, devices: &[String]) {
    let answer = env.push(&send_request(devices));
    assert_eq!(answer["transport"], "socket");
    assert_eq!(answer["counts"]["accepted"], devices.len(), "{answer}");
    for device in devices {
        assert_eq!(env.apns.device(device)[0].screen.count, 1);
    }
}

/// Returns the connections of the pushes to these devices, each once.
fn connections(env: &TestEnv, devices: &[String]) -> Vec<u64> {
    let requests = devices.iter().flat_map(|device| env.requests_to(device));
    let mut connections: Vec<u64> = requests.map(|request| request.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    connections
}

#[test]
fn a_server_that_says_goodbye_in_the_middle_of_an_order_loses_no_push_and_shows_none_twice() {
    let env = env();
    for last in [LastStream::Seen, LastStream::This, LastStream::Before] {
        for reason in [None, Some("Shutdown"), Some("InternalServerError")] {
            let devices = env.devices(&SHOP, &format!("socket, {last:?}, {reason:?}"), 40);
            let goodbye = Fault {
                last,
                reason: reason.map(str::to_owned),
                ..Fault::new(FaultKind::GoAway).times(1)
            };
            env.apns.fault(goodbye.for_token(&devices[20])).unwrap();
            assert_all_shown_once(&env, &devices);
        }
    }
}

#[test]
fn a_server_that_says_goodbye_between_orders_gets_the_next_one_on_another_connection() {
    let env = env();
    let devices = env.devices(&SHOP, "socket, between", 40);
    assert_all_shown_once(&env, &devices[..20]);
    let goodbye = Fault {
        now: true,
        ..Fault::new(FaultKind::GoAway)
    };
    env.apns.fault(goodbye).unwrap();
    until("the end of the connection", || {
        env.apns.state().connections_open == 0
    });
    assert_all_shown_once(&env, &devices[20..]);
    assert_ne!(
        connections(&env, &devices[..20]),
        connections(&env, &devices[20..])
    );
}

#[test]
fn a_stream_that_fails_fails_alone() {
    let env = env();
    let devices = env.devices(&SHOP, "socket, streams", 20);
    let faults = [
        (3, Fault::answer(503, "ServiceUnavailable").times(1)),
        (
            5,
            Fault {
                code: Some(REFUSED_STREAM),
                ..Fault::new(FaultKind::Reset).times(1)
            },
        ),
        (7, Fault::new(FaultKind::Reset).times(1)),
        (9, Fault::new(FaultKind::Silence).times(1)),
        (11, Fault::new(FaultKind::HeadersOnly).times(1)),
    ];
    for (place, fault) in faults {
        env.apns.fault(fault.for_token(&devices[place])).unwrap();
    }
    let answer = env.push(&send_request(&devices));
    for (place, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        let outcome = ["status", "attempts", "reason"].map(|field| result[field].clone());
        let expected = match place {
            // Refused by APNs temporarily, so it is repeated.
            3 => [json!("accepted"), json!(2), Value::Null],
            // The results of these are unknown.
            7 => [json!("failed"), json!(1), json!("ConnectionLost")],
            9 => [json!("failed"), json!(1), json!("DeadlinePassed")],
            // Of the eleventh the headers arrived, and are enough: the end of the body is not needed.
            _ => [json!("accepted"), json!(1), Value::Null],
        };
        assert_eq!(outcome, expected, "device {place}");
    }
    // A stream that the server refused before processing it was not an attempt.
    let ids = env
        .requests_to(&devices[5])
        .into_iter()
        .map(|request| header(&request, "apns-id").unwrap().to_owned());
    let id = answer["results"][5]["apns_id"].as_str().unwrap();
    assert_eq!(ids.collect::<Vec<_>>(), [id, id]);
    assert_eq!(connections(&env, &devices).len(), 1);
}

#[test]
fn a_connection_that_breaks_is_replaced_for_the_next_order() {
    let env = env();
    let devices = env.devices(&SHOP, "socket, broken", 21);
    let close = Fault::new(FaultKind::Close).times(1);
    env.apns.fault(close.for_token(&devices[10])).unwrap();
    let answer = env.push(&send_request(&devices[..20]));
    // Pushes in flight may have arrived, so they are not repeated.
    let counts = &answer["counts"];
    assert_eq!(
        (&counts["retrying"], &counts["rejected"]),
        (&json!(0), &json!(0)),
        "{answer}"
    );
    assert_eq!(
        counts["accepted"].as_u64().unwrap() + counts["failed"].as_u64().unwrap(),
        20
    );
    assert!(counts["failed"].as_u64().unwrap() > 0, "{answer}");
    for device in &devices[..20] {
        assert!(env.requests_to(device).len() <= 1);
    }
    assert_eq!(env.push(&send_request(&devices[20..]))["counts"]["accepted"], 1);
    let [broken, next] = [&devices[..20], &devices[20..]].map(|part| connections(&env, part));
    assert_eq!((broken.len(), next.len()), (1, 1));
    assert_ne!(broken, next);
}

#[test]
fn of_all_the_ways_to_reset_a_stream_only_a_refusal_is_sent_again() {
    let env = env();
    let codes: Vec<u32> = (0..=HIGHEST_CODE).collect();
    let devices = env.devices(&SHOP, "socket, codes", codes.len());
    for (code, device) in codes.iter().zip(&devices) {
        let reset = Fault {
            code: Some(*code),
            // Except for a refusal, the server may have processed it.
            delivered: *code != REFUSED_STREAM,
            ..Fault::new(FaultKind::Reset).times(1)
        };
        env.apns.fault(reset.for_token(device)).unwrap();
    }
    let answer = env.push(&send_request(&devices));
    for (code, device) in codes.iter().zip(&devices) {
        let result = &answer["results"][usize::try_from(*code).unwrap()];
        let outcome = ["status", "attempts", "reason"].map(|field| result[field].clone());
        let (expected, requests) = if *code == REFUSED_STREAM {
            ([json!("accepted"), json!(1), Value::Null], 2)
        } else {
            ([json!("failed"), json!(1), json!("ConnectionLost")], 1)
        };
        assert_eq!(outcome, expected, "code {code}");
        assert_eq!(env.requests_to(device).len(), requests, "code {code}");
        assert_eq!(env.apns.device(device)[0].screen.count, 1, "code {code}");
    }
    assert_eq!(connections(&env, &devices).len(), 1);
}

#[test]
fn a_stream_limit_that_falls_and_rises_in_the_middle_of_an_order_is_obeyed() {
    let env = env();
    let devices = env.devices(&SHOP, "socket, limits", 300);
    // The first fault is met with some three hundred in flight, the last by one of the three.
    for (place, streams) in [(10, 3), (150, 1), (160, 40), (220, DEFAULT_STREAMS)] {
        let limit = Fault {
            streams: Some(streams),
            ..Fault::new(FaultKind::StreamLimit).times(1)
        };
        env.apns.fault(limit.for_token(&devices[place])).unwrap();
    }
    env.apns.set_max_concurrent_streams(100);
    assert_all_shown_once(&env, &devices);
    assert_eq!(connections(&env, &devices).len(), 1);
    // The check of the environment asserts that no stream exceeded an acknowledged limit.
    for device in &devices {
        assert_eq!(env.requests_to(device).len(), 1);
    }
}

#[test]
fn a_server_that_takes_no_stream_at_all_for_a_while_gets_the_pushes_after_it() {
    let env = env();
    let devices = env.devices(&SHOP, "socket, no streams", 60);
    env.apns.set_max_concurrent_streams(10);
    let none = Fault {
        streams: Some(0),
        ..Fault::new(FaultKind::StreamLimit).times(1)
    };
    env.apns.fault(none.for_token(&devices[15])).unwrap();
    let sent = || {
        devices
            .iter()
            .filter(|device| !env.requests_to(device).is_empty())
            .count()
    };
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| assert_all_shown_once(&env, &devices));
        until("the last answer before the pause", || {
            sent() > 15 && env.apns.state().in_flight == 0
        });
        let before = sent();
        assert!(before < devices.len(), "{before}");
        env.apns.set_max_concurrent_streams(DEFAULT_STREAMS);
        under_way.join().unwrap();
    });
    assert_eq!(connections(&env, &devices).len(), 1);
}

/// The largest body of a send request.
const LARGEST: usize = 16 * 1024 * 1024;

#[test]
fn a_second_order_of_the_largest_size_is_refused_while_another_is_under_way() {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", "socket")]);
    let mut first = TcpStream::connect(env.worker.authority()).unwrap();
    let key = Caller::Both.key();
    let head = format!(
        "POST /v1/push HTTP/1.1\r\nHost: worker\r\nAuthorization: Bearer {key}\r\nContent-Length: {LARGEST}\r\n\r\n"
    );
    first.write_all(head.as_bytes()).unwrap();
    // Only a piece of its body has arrived.
    first.write_all(&[b' '; 1000]).unwrap();
    let blank = vec![b' '; LARGEST];
    let second = || env.call(Caller::Both, "POST", "/v1/push", &[], &blank);
    let mut retry_after = None;
    until("a refusal", || {
        let answer = second();
        retry_after = answer.header("retry-after").map(str::to_owned);
        answer.status == 503
    });
    assert_eq!(retry_after.as_deref(), Some("2"));
    // A small request is sent meanwhile, and a large one is read when the first is over.
    let device = env.device("socket, large orders");
    assert_eq!(env.push(&send_request(&[device]))["counts"]["accepted"], 1);
    first.write_all(&blank[1000..]).unwrap();
    until("memory for an order of the largest size", || {
        second().status == 400
    });
}
