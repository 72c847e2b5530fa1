//! Frames, limits and protocols: what is on the wire.

use std::time::Duration;

use apns_mock::{Environment, Fault, FaultKind, LastStream, Latency, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Client, Harness, MOMENT, PATIENCE, Push, eventually, tls};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn settings(&self) -> Vec<(u16, u32)> {
        let value = |c: &[u8]| {
            (
                u16::from_be_bytes([c[0], c[1]]),
                u32::from_be_bytes([c[2], c[3], c[4], c[5]]),
            )
        };
        self.payload.chunks(6).map(value).collect()
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client that writes and reads frames by hand.
struct Raw {
    tcp: TcpStream,
}

impl Raw {
    async fn connect(harness: &Harness) -> Self {
        let tcp = TcpStream::connect(harness.server.production_addr())
            .await
            .unwrap();
        let mut raw = Self { tcp };
        raw.tcp.write_all(PREFACE).await.unwrap();
        raw.write(SETTINGS, 0, 0, &[]).await;
        raw
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.tcp.write_all(&frame).await.unwrap();
    }

    async fn read(&mut self) -> Frame {
        let reading = async {
            let mut head = [0; 9];
            self.tcp.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.tcp.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Frame {
                kind: head[3],
                flags: head[4],
                stream,
                payload,
            }
        };
        timeout(PATIENCE, reading).await.expect("a frame in time")
    }

    /// The next frame of a kind, without acknowledgements.
    async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await;
            if frame.kind == kind && !(kind == SETTINGS && frame.flags == ACK) {
                return frame;
            }
        }
    }

    async fn acknowledge_settings(&mut self) {
        self.write(SETTINGS, ACK, 0, &[]).await;
    }

    async fn push(&mut self, stream: u32, push: &Push) {
        let mut block = Vec::new();
        let pseudo = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", &push.path),
            (":authority", "localhost"),
        ];
        let headers = push
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in pseudo.into_iter().chain(headers) {
            block.push(0);
            for text in [name, value] {
                encode_length(&mut block, text.len());
                block.extend(text.as_bytes());
            }
        }
        self.write(HEADERS, END_HEADERS, stream, &block).await;
        self.write(0, END_STREAM, stream, &push.body).await;
    }
}

/// HPACK's integer with a prefix of 7 bits.
fn encode_length(block: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ 0..127) => block.push(short),
        _ => {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
}

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
    harness.server.set_latency(Latency::fixed(Duration::from_secs(1)));
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

#[tokio::test]
async fn many_pushes_at_once_are_all_answered_within_the_limit() {
    let harness = Harness::new().await;
    harness.server.set_latency(Latency {
        min: Duration::ZERO,
        max: Duration::from_millis(30),
        seed: 1,
    });
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    client.wait_for_limit(1000).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2000 {
        let (client, push) = (client.clone(), harness.push());
        tasks.spawn(async move { client.reason(&push).await });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer == "200"));
    let state = harness.server.state();
    assert_eq!(
        (state.accepted, state.in_flight, state.violations),
        (2001, 0, Vec::new())
    );
    assert!(state.peak_in_flight_on_one_connection <= 1000 && state.peak_in_flight > 1);
    assert_eq!(harness.shown(), 2001);
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
async fn tls_without_alpn_is_http2_with_prior_knowledge() {
    let harness = Harness::new().await;
    for http1 in [false, true] {
        let harness = if http1 {
            Harness::with(Options {
                http1,
                ..Options::default()
            })
            .await
        } else {
            Harness::new().await
        };
        let io = tls(&harness.server, Environment::Production, &[]).await;
        assert_eq!(io.get_ref().1.alpn_protocol(), None);
        assert_eq!(Client::over(io).await.reason(&harness.push()).await, "200");
    }
    let io = tls(&harness.server, Environment::Production, &["h2"]).await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn http_1_1_is_answered_in_http2_frames_unless_it_is_on() {
    let harness = Harness::new().await;
    let mut io = tls(&harness.server, Environment::Production, &["http/1.1"]).await;
    assert_eq!(io.get_ref().1.alpn_protocol(), None);
    io.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 9];
    timeout(PATIENCE, io.read_exact(&mut head))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((head[3], &head[5..]), (SETTINGS, &[0; 4][..]));
}

/// The request as lines, and the answer's status line and body.
async fn http1(io: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), push: &Push) -> (String, String) {
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        push.path,
        push.body.len()
    );
    for (name, value) in &push.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(std::str::from_utf8(&push.body).unwrap());
    io.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(
            timeout(PATIENCE, io.read_u8()).await.unwrap().unwrap(),
        ));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    let mut body = vec![0; length];
    io.read_exact(&mut body).await.unwrap();
    (
        head.lines().next().unwrap().to_owned(),
        String::from_utf8(body).unwrap(),
    )
}

#[tokio::test]
async fn http_1_1_keeps_its_connection_and_obeys_the_same_checks() {
    let harness = Harness::with(Options {
        http1: true,
        ..Options::default()
    })
    .await;
    for alpn in [&["http/1.1"][..], &[]] {
        let mut io = tls(&harness.server, Environment::Production, alpn).await;
        assert_eq!(
            http1(&mut io, &harness.push()).await,
            ("HTTP/1.1 200 OK".to_owned(), String::new())
        );
        let (status, body) = http1(&mut io, &harness.push().to("ee")).await;
        assert_eq!(
            (status.as_str(), body.as_str()),
            ("HTTP/1.1 400 Bad Request", r#"{"reason":"BadDeviceToken"}"#)
        );
    }
    let state = harness.server.state();
    assert_eq!(
        (state.connections_h1, state.connections_h2, state.requests),
        (2, 0, 4)
    );
    assert_eq!((state.in_flight, state.peak_in_flight), (0, 1));
}

#[tokio::test]
async fn plaintext_serves_both_protocols_if_wanted() {
    let harness = Harness::with(Options {
        http1: true,
        plaintext: true,
        ..Options::default()
    })
    .await;
    assert_eq!(harness.client().await.reason(&harness.push()).await, "200");
    let mut tcp = TcpStream::connect(harness.server.production_addr())
        .await
        .unwrap();
    assert_eq!(http1(&mut tcp, &harness.push()).await.0, "HTTP/1.1 200 OK");
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
