//! Frames, limits and connections: what is on the wire.

use std::time::Duration;

use apns_mock::{Fault, FaultKind, LastStream, Latency, Options};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{
    ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS,
};
use crate::support::{Harness, MOMENT, PATIENCE, eventually};

async fn plaintext() -> Harness {
    Harness::with(Options {
        plaintext: true,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn the_first_settings_allow_one_stream_and_those_after_a_token_1000() {
    let harness = plaintext().await;
    let mut raw = Raw::connect(&harness).await;
    let first = raw.next(SETTINGS).await;
    assert_eq!(
        first.settings(),
        [(1, 4096), (3, 1), (4, 65_535), (5, 16_384), (6, 8000)]
    );
    raw.acknowledge_settings().await;
    raw.push(1, &harness.push()).await;
    assert_eq!(raw.next(SETTINGS).await.settings(), [(3, 1000)]);
    let answer = raw.next(HEADERS).await;
    assert_eq!((answer.stream, answer.flags), (1, END_STREAM | END_HEADERS));
    raw.acknowledge_settings().await;
    raw.push(3, &harness.push()).await;
    assert_eq!(
        raw.next(HEADERS).await.stream,
        3,
        "the acknowledgement did no harm"
    );
}

#[tokio::test]
async fn a_request_without_a_valid_token_does_not_raise_the_limit() {
    let harness = plaintext().await;
    let mut raw = Raw::connect(&harness).await;
    raw.next(SETTINGS).await;
    raw.push(1, &harness.push().set("authorization", "bearer x.y.z"))
        .await;
    raw.next(HEADERS).await;
    raw.push(3, &harness.push()).await;
    assert_eq!(raw.next(SETTINGS).await.settings(), [(3, 1000)]);
}

#[tokio::test]
async fn a_stream_too_many_is_refused_and_a_violation_once_the_limit_is_acknowledged() {
    let harness = plaintext().await;
    harness
        .server
        .set_latency(Latency::fixed(Duration::from_secs(60)));
    for acknowledged in [false, true] {
        let mut raw = Raw::connect(&harness).await;
        raw.next(SETTINGS).await;
        if acknowledged {
            raw.acknowledge_settings().await;
        }
        let bad = harness.push().set("authorization", "bearer x.y.z");
        raw.push(1, &bad).await;
        raw.push(3, &bad).await;
        let reset = raw.next(RST_STREAM).await;
        assert_eq!((reset.stream, reset.number(0)), (3, REFUSED_STREAM));
    }
    let violations = harness.violations();
    let too_many = "stream 3 was opened beside 1 others; the acknowledged limit is 1";
    assert!(
        violations.iter().any(|violation| violation == too_many),
        "{violations:?}"
    );
    assert_eq!(
        violations
            .iter()
            .filter(|violation| violation.starts_with("stream"))
            .count(),
        1
    );
    let state = harness.server.state();
    assert_eq!((state.requests, state.streams_refused), (2, 2));
}

#[tokio::test]
async fn goaway_has_json_debug_data_or_none() {
    let harness = plaintext().await;
    for (reason, debug) in [(Some("Shutdown"), &br#"{"reason":"Shutdown"}"#[..]), (None, b"")] {
        let mut raw = Raw::connect(&harness).await;
        let reason = reason.map(str::to_owned);
        harness
            .server
            .fault(Fault {
                reason,
                ..Fault::new(FaultKind::GoAway).times(1)
            })
            .unwrap();
        raw.push(1, &harness.push()).await;
        let goaway = raw.next(GOAWAY).await;
        assert_eq!(
            (
                goaway.stream,
                goaway.number(0),
                goaway.number(4),
                &goaway.payload[8..]
            ),
            (0, 1, 0, debug)
        );
        assert_eq!(
            raw.next(HEADERS).await.stream,
            1,
            "the stream at the limit is still answered"
        );
        let mut rest = Vec::new();
        timeout(PATIENCE, raw.tcp.read_to_end(&mut rest))
            .await
            .expect("it closes")
            .unwrap();
        assert_eq!(rest, [0; 0], "no second GOAWAY");
    }
}

#[tokio::test]
async fn streams_after_goaway_are_refused_and_a_violation_once_it_has_arrived() {
    let harness = plaintext().await;
    harness.server.set_latency(Latency::fixed(Duration::from_secs(3)));
    let mut raw = Raw::connect(&harness).await;
    harness
        .server
        .fault(Fault::new(FaultKind::GoAway).times(1))
        .unwrap();
    raw.push(1, &harness.push()).await;
    raw.next(GOAWAY).await;
    raw.push(3, &harness.push()).await;
    let reset = raw.next(RST_STREAM).await;
    assert_eq!((reset.stream, reset.number(0)), (3, REFUSED_STREAM));
    assert_eq!(harness.violations(), [""; 0], "the client could not know yet");
    raw.write(PING, ACK, 0, b"farewell").await;
    raw.push(5, &harness.push()).await;
    assert_eq!(raw.next(RST_STREAM).await.stream, 5);
    assert_eq!(
        harness.violations(),
        ["stream 5 was opened after GOAWAY had arrived"]
    );
    assert_eq!(raw.next(HEADERS).await.stream, 1);
}

#[tokio::test]
async fn goaway_can_drop_the_streams_above_its_last() {
    for (last, number, answered) in [(LastStream::This, 3, Some(3)), (LastStream::Before, 1, None)] {
        let harness = plaintext().await;
        let mut raw = Raw::connect(&harness).await;
        raw.push(1, &harness.push()).await;
        raw.next(HEADERS).await;
        harness
            .server
            .set_latency(Latency::fixed(Duration::from_millis(50)));
        harness
            .server
            .fault(Fault {
                last,
                ..Fault::new(FaultKind::GoAway).times(1)
            })
            .unwrap();
        raw.push(3, &harness.push()).await;
        raw.push(5, &harness.push()).await;
        assert_eq!(raw.next(GOAWAY).await.number(0), number);
        if let Some(answered) = answered {
            assert_eq!(raw.next(HEADERS).await.stream, answered);
        }
        let mut rest = Vec::new();
        timeout(PATIENCE, raw.tcp.read_to_end(&mut rest))
            .await
            .expect("it closes")
            .unwrap();
        assert!(rest.len() <= 17, "nothing but the PING: {rest:?}");
        assert_eq!(harness.shown(), 1 + u64::from(answered.is_some()));
    }
}

#[tokio::test]
async fn the_limit_changes_at_any_time() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1000).await;
    harness.server.set_max_concurrent_streams(7);
    client.wait_for_limit(7).await;
    harness
        .server
        .fault(Fault {
            streams: Some(3),
            now: true,
            ..Fault::new(FaultKind::StreamLimit)
        })
        .unwrap();
    client.wait_for_limit(3).await;
    let second = harness.client().await;
    second.push(&harness.push()).await.unwrap();
    second.wait_for_limit(7).await;
    assert_eq!(client.reason(&harness.push()).await, "200");
}

#[tokio::test]
async fn an_error_can_drop_the_limit_to_one_until_the_next_success() {
    let harness = Harness::with(Options {
        throttle_on_error: true,
        ..Options::default()
    })
    .await;
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1000).await;
    client.push(&harness.push().to("ee")).await.unwrap();
    client.wait_for_limit(1).await;
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1000).await;
    harness
        .server
        .fault(Fault::answer(503, "ServiceUnavailable").times(1))
        .unwrap();
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1).await;
}

#[tokio::test]
async fn priority_frames_are_violations_and_pings_are_answered() {
    let harness = plaintext().await;
    let mut raw = Raw::connect(&harness).await;
    raw.write(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]).await;
    raw.write(PING, 0, 0, b"12345678").await;
    let pong = raw.next(PING).await;
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"12345678"[..]));
    assert_eq!(harness.violations(), ["a PRIORITY frame was sent"]);
    assert_eq!(harness.server.state().pings, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_pushes_at_once_are_all_answered_within_the_limit() {
    let harness = Harness::new().await;
    harness.server.set_latency(Latency {
        min: Duration::ZERO,
        max: Duration::from_millis(30),
        seed: 1,
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = harness.client().await;
        client.push(&harness.push()).await.unwrap();
        client.wait_for_limit(1000).await;
        for _ in 0..1500 {
            let (client, push) = (client.clone(), harness.push());
            tasks.spawn(async move { client.reason(&push).await });
        }
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer == "200"));
    let state = harness.server.state();
    assert_eq!(
        (state.accepted, state.in_flight, state.violations),
        (4503, 0, Vec::new())
    );
    assert!(state.peak_in_flight_on_one_connection <= 1000 && state.peak_in_flight > 1);
    assert_eq!(harness.shown(), 4503);
}

#[tokio::test]
async fn a_client_that_gives_up_is_no_longer_in_flight() {
    let harness = Harness::new().await;
    harness
        .server
        .set_latency(Latency::fixed(Duration::from_secs(60)));
    let client = harness.client().await;
    assert!(
        timeout(MOMENT, client.push_patiently(&harness.push()))
            .await
            .is_err()
    );
    eventually(async || harness.server.state().in_flight == 0).await;
    assert_eq!(harness.server.state().connections_open, 1);
}

#[tokio::test]
async fn a_storm_of_http2_connections_is_a_violation() {
    let harness = Harness::with(Options {
        plaintext: true,
        connection_burst: 3,
        ..Options::default()
    })
    .await;
    let mut raws = Vec::new();
    for _ in 0..4 {
        raws.push(Raw::connect(&harness).await);
    }
    eventually(async || harness.server.state().connections_h2 == 4).await;
    assert_eq!(harness.violations(), ["4 new HTTP/2 connections within a second"]);
}

#[tokio::test]
async fn shutdown_ends_connections_and_closes_the_ports() {
    let harness = Harness::new().await;
    harness
        .server
        .set_latency(Latency::fixed(Duration::from_secs(60)));
    let client = harness.client().await;
    let push = harness.push();
    let pending = tokio::spawn(async move { client.push_patiently(&push).await });
    eventually(async || harness.server.state().in_flight == 1).await;
    timeout(PATIENCE, harness.server.shutdown())
        .await
        .expect("it ends");
    assert!(pending.await.unwrap().is_err());
    assert_eq!(harness.server.state().connections_open, 0);
    assert!(
        TcpStream::connect(harness.server.production_addr())
            .await
            .is_err()
    );
    assert!(TcpStream::connect(harness.server.control_addr()).await.is_err());
}
