//! Which protocol a client gets, depending on TLS, ALPN and its first bytes.

use apns_mock::{Environment, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::SETTINGS;
use crate::support::{Client, Harness, PATIENCE, Push, tls};

#[tokio::test]
async fn tls_without_alpn_is_http2_with_prior_knowledge() {
    for http1 in [false, true] {
        let harness = Harness::with(Options {
            http1,
            ..Options::default()
        })
        .await;
        let io = tls(&harness.server, Environment::Production, &[]).await;
        assert_eq!(io.get_ref().1.alpn_protocol(), None);
        assert_eq!(Client::over(io).await.reason(&harness.push()).await, "200");
        let io = tls(&harness.server, Environment::Production, &["http/1.1", "h2"]).await;
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
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

/// Sends the request with HTTP/1.1. Returns the answer's status line and body.
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
