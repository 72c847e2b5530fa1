//! What goes wrong on a connection that the Worker holds itself, over the platform's sockets.

use std::time::Duration;

use apns_mock::{Fault, FaultKind, LastStream, Latency, Options};
use serde_json::{Value, json};

use crate::deployment::SHOP;
use crate::stage::{ATTEMPT_TIMEOUT_MS, Alone, Stage, header};

/// The HTTP/2 error code of a stream that the server has not looked at.
const REFUSED_STREAM: u32 = 7;

/// A stage whose Worker sends over sockets, to a server slow enough for all pushes of an order to be in flight.
fn stage() -> Alone {
    let latency = Latency::fixed(Duration::from_millis(100));
    let settings = [
        ("TRANSPORT", "socket"),
        ("ATTEMPT_TIMEOUT_MS", ATTEMPT_TIMEOUT_MS),
    ];
    Stage::alone(
        Options {
            latency,
            ..Options::default()
        },
        &settings,
    )
}

fn order(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_server_that_says_goodbye_loses_no_push_and_shows_none_twice() {
    let stage = stage();
    for last in [LastStream::Seen, LastStream::This, LastStream::Before] {
        let devices = stage.devices(&SHOP, &format!("socket, {last:?}"), 40);
        let goodbye = Fault {
            last,
            ..Fault::new(FaultKind::GoAway).times(1)
        };
        stage.apns.fault(goodbye.for_token(&devices[20])).unwrap();
        let answer = stage.push(&order(&devices));
        assert_eq!(answer["transport"], "socket");
        assert_eq!(answer["counts"]["accepted"], 40, "{last:?}: {answer}");
        for device in &devices {
            assert_eq!(stage.apns.device(device)[0].screen.count, 1);
        }
    }
    assert_eq!(stage.apns.state().provider_tokens, 1);
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_stream_that_fails_fails_alone() {
    let stage = stage();
    let devices = stage.devices(&SHOP, "socket, streams", 20);
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
        stage.apns.fault(fault.for_token(&devices[place])).unwrap();
    }
    let answer = stage.push(&order(&devices));
    for (place, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        let outcome = ["status", "attempts", "reason"].map(|field| result[field].clone());
        let expected = match place {
            // Refused by APNs for now: sent again.
            3 => [json!("accepted"), json!(2), Value::Null],
            // Nobody knows what became of these.
            7 => [json!("failed"), json!(1), json!("ConnectionLost")],
            9 => [json!("failed"), json!(1), json!("DeadlinePassed")],
            // Of the eleventh the headers came, and say all: the end of the body is not needed.
            _ => [json!("accepted"), json!(1), Value::Null],
        };
        assert_eq!(outcome, expected, "device {place}");
    }
    // A stream that the server refused before it looked at it was no attempt.
    let ids = stage
        .requests_to(&devices[5])
        .into_iter()
        .map(|request| header(&request, "apns-id").unwrap().to_owned());
    let id = answer["results"][5]["apns_id"].as_str().unwrap();
    assert_eq!(ids.collect::<Vec<_>>(), [id, id]);
    assert_eq!(stage.apns.state().connections_h2, 1);
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_connection_that_breaks_is_replaced_for_the_next_order() {
    let stage = stage();
    let devices = stage.devices(&SHOP, "socket, broken", 21);
    let close = Fault::new(FaultKind::Close).times(1);
    stage.apns.fault(close.for_token(&devices[10])).unwrap();
    let answer = stage.push(&order(&devices[..20]));
    // What was in flight may have arrived; it is not sent again.
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
        assert!(stage.requests_to(device).len() <= 1);
    }
    assert_eq!(stage.push(&order(&devices[20..]))["counts"]["accepted"], 1);
    assert_eq!(stage.apns.state().connections_h2, 2);
}
