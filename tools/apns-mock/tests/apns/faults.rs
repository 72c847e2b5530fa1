//! Each fault, as a client meets it.

use std::time::{Duration, Instant};

use apns_mock::{Environment, Fault, FaultBody, FaultKind, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{HEADERS, Raw};
use crate::support::{Client, Harness, ID, MOMENT, TOKEN, eventually};

#[tokio::test]
async fn a_forced_answer_replaces_the_true_one_so_many_times() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    harness
        .server
        .fault(Fault::answer(503, "ServiceUnavailable").times(2))
        .unwrap();
    for expected in ["503 ServiceUnavailable", "503 ServiceUnavailable", "200"] {
        assert_eq!(client.reason(&harness.push()).await, expected);
    }
    assert_eq!((harness.shown(), harness.server.state().accepted), (1, 1));
}

#[tokio::test]
async fn a_forced_answer_has_the_timestamp_and_headers_it_is_given() {
    let harness = Harness::new().await;
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    let fault = Fault {
        timestamp: Some(5),
        headers,
        ..Fault::answer(410, "Unregistered")
    };
    harness.server.fault(fault).unwrap();
    let answer = harness.client().await.push(&harness.push()).await.unwrap();
    assert_eq!(&answer.body[..], br#"{"reason":"Unregistered","timestamp":5}"#);
    assert_eq!(
        (answer.header("retry-after"), answer.header("apns-id")),
        (Some("7"), Some(ID))
    );
    assert_eq!(harness.violations(), [""; 0]);
}

#[tokio::test]
async fn bodies_can_be_broken_empty_or_html() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    let mut bodies = Vec::new();
    for body in [FaultBody::BrokenJson, FaultBody::Empty, FaultBody::Html] {
        harness
            .server
            .fault(
                Fault {
                    body,
                    ..Fault::answer(502, "Bad")
                }
                .times(1),
            )
            .unwrap();
        let answer = client.push(&harness.push()).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("apns-id").is_none()),
            (502, body == FaultBody::Html)
        );
        bodies.push(String::from_utf8(answer.body.to_vec()).unwrap());
    }
    assert_eq!(
        bodies,
        [
            r#"{"reason"#,
            "",
            "<html><body><h1>502 Bad</h1></body></html>\r\n"
        ]
    );
}

#[tokio::test]
async fn a_fault_can_be_for_one_device_or_environment() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    harness
        .server
        .fault(Fault::answer(500, "InternalServerError").for_token("ee"))
        .unwrap();
    let sandbox = Some(Environment::Sandbox);
    harness
        .server
        .fault(Fault {
            environment: sandbox,
            ..Fault::answer(500, "X")
        })
        .unwrap();
    assert_eq!(client.reason(&harness.push()).await, "200");
    assert_eq!(
        client.reason(&harness.push().to("ee")).await,
        "500 InternalServerError"
    );
    harness.server.clear_faults();
    assert_eq!(
        client.reason(&harness.push().to("ee")).await,
        "400 BadDeviceToken"
    );
}

#[tokio::test]
async fn a_reset_has_its_code() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    for (code, reason) in [(Some(7), h2::Reason::REFUSED_STREAM), (None, h2::Reason::CANCEL)] {
        harness
            .server
            .fault(Fault {
                code,
                ..Fault::new(FaultKind::Reset).times(1)
            })
            .unwrap();
        let error = client.push(&harness.push()).await.unwrap_err();
        assert_eq!(error.reason(), Some(reason));
    }
    assert_eq!(client.reason(&harness.push()).await, "200");
    assert_eq!(harness.shown(), 1);
}

#[tokio::test]
async fn a_stall_answers_late_and_holds_up_nobody_else() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1000).await;
    let stall = Fault {
        delay_ms: Some(1000),
        ..Fault::new(FaultKind::Stall)
    };
    harness.server.fault(stall.for_token(TOKEN)).unwrap();
    let (begin, late) = (Instant::now(), client.clone());
    let push = harness.push();
    let late = tokio::spawn(async move { late.reason(&push).await });
    assert_eq!(
        client.reason(&harness.push().to("ee")).await,
        "400 BadDeviceToken"
    );
    assert!(!late.is_finished());
    assert_eq!(late.await.unwrap(), "200");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn silence_never_answers() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    harness
        .server
        .fault(Fault::new(FaultKind::Silence).times(1))
        .unwrap();
    assert!(
        timeout(MOMENT, client.push_patiently(&harness.push()))
            .await
            .is_err()
    );
    assert_eq!(harness.shown(), 0);
    assert_eq!(client.reason(&harness.push()).await, "200");
}

#[tokio::test]
async fn headers_only_never_ends_its_body() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    harness
        .server
        .fault(Fault::new(FaultKind::HeadersOnly).times(1))
        .unwrap();
    let mut send = client.send.clone().ready().await.unwrap();
    let push = harness.push();
    let (response, mut body) = send.send_request(push.request("localhost"), false).unwrap();
    body.send_data(push.body, true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(timeout(MOMENT, response.body_mut().data()).await.is_err());
}

#[tokio::test]
async fn a_close_loses_the_answer_and_the_push_unless_it_is_delivered() {
    let harness = Harness::new().await;
    for (delivered, shown) in [(false, 0), (true, 1)] {
        harness
            .server
            .fault(Fault {
                delivered,
                ..Fault::new(FaultKind::Close).times(1)
            })
            .unwrap();
        let client = harness.client().await;
        assert!(client.push(&harness.push()).await.is_err());
        assert_eq!(harness.shown(), shown);
    }
    assert_eq!(harness.client().await.reason(&harness.push()).await, "200");
    assert_eq!(harness.shown(), 2);
}

#[tokio::test]
async fn close_and_goaway_can_come_without_a_request() {
    let harness = Harness::new().await;
    for kind in [FaultKind::Close, FaultKind::GoAway] {
        let client = harness.client().await;
        assert_eq!(client.reason(&harness.push()).await, "200");
        harness
            .server
            .fault(Fault {
                now: true,
                ..Fault::new(kind)
            })
            .unwrap();
        eventually(async || client.send.clone().ready().await.is_err()).await;
        eventually(async || harness.server.state().connections_open == 0).await;
    }
    assert!(
        harness
            .server
            .fault(Fault {
                now: true,
                ..Fault::new(FaultKind::Silence)
            })
            .is_err()
    );
}

#[tokio::test]
async fn a_connection_closes_the_given_time_after_goaway() {
    let harness = Harness::with(Options {
        plaintext: true,
        ..Options::default()
    })
    .await;
    // A client that leaves the closing to the server.
    for (delay_ms, range) in [(Some(0), 0..400), (None, 500..1100), (Some(1200), 1200..2500)] {
        let goaway = Fault {
            delay_ms,
            ..Fault::new(FaultKind::GoAway).times(1)
        };
        harness.server.fault(goaway).unwrap();
        let mut raw = Raw::connect(&harness).await;
        raw.push(1, &harness.push()).await;
        raw.next(HEADERS).await;
        let begin = Instant::now();
        let _ = raw.tcp.read_to_end(&mut Vec::new()).await;
        let took = begin.elapsed().as_millis();
        assert!(range.contains(&took), "{delay_ms:?}: {took}");
    }
}

#[tokio::test]
async fn connections_are_refused_for_a_time() {
    let harness = Harness::with(Options {
        plaintext: true,
        ..Options::default()
    })
    .await;
    let refuse = Fault {
        delay_ms: Some(1000),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    harness.server.fault(refuse).unwrap();
    let mut tcp = TcpStream::connect(harness.server.production_addr())
        .await
        .unwrap();
    let read = timeout(MOMENT * 10, tcp.read(&mut [0; 9]))
        .await
        .expect("it is closed at once");
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(harness.server.state().connections_refused, 1);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(harness.client().await.reason(&harness.push()).await, "200");
}

#[tokio::test]
async fn a_request_can_change_the_limit_of_its_connection() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    harness
        .server
        .fault(Fault {
            streams: Some(5),
            ..Fault::new(FaultKind::StreamLimit).times(1)
        })
        .unwrap();
    assert_eq!(client.reason(&harness.push()).await, "200");
    client.wait_for_limit(5).await;
}

#[tokio::test]
async fn a_fault_on_http_1_1_closes_or_hangs_its_connection() {
    let harness = Harness::with(Options {
        http1: true,
        plaintext: true,
        ..Options::default()
    })
    .await;
    for (kind, closes) in [
        (FaultKind::Close, true),
        (FaultKind::Reset, true),
        (FaultKind::Silence, false),
    ] {
        harness.server.fault(Fault::new(kind).times(1)).unwrap();
        let mut tcp = TcpStream::connect(harness.server.production_addr())
            .await
            .unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let ended = timeout(MOMENT, tcp.read_to_end(&mut answer)).await.is_ok();
        assert_eq!((ended, answer.len()), (closes, 0), "{kind:?}");
    }
    harness
        .server
        .fault(Fault::new(FaultKind::GoAway).times(1))
        .unwrap();
    let mut tcp = TcpStream::connect(harness.server.production_addr())
        .await
        .unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 405") && answer.contains("connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_goaway_on_one_connection_leaves_the_others_alone() {
    let harness = Harness::new().await;
    let (one, two) = (
        harness.client().await,
        Client::connect(&harness.server, Environment::Production).await,
    );
    assert_eq!(two.reason(&harness.push()).await, "200");
    let goaway = Fault {
        reason: Some("Shutdown".to_owned()),
        ..Fault::new(FaultKind::GoAway).times(1)
    };
    harness.server.fault(goaway).unwrap();
    assert_eq!(one.reason(&harness.push()).await, "200");
    eventually(async || one.send.clone().ready().await.is_err()).await;
    assert_eq!(two.reason(&harness.push()).await, "200");
}
