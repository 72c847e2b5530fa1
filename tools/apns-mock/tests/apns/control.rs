//! The control port.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Harness, NOW, Push, Signer, TEAM, TOKEN, TOPIC};

/// Sends a request. Returns the status and the JSON.
pub(crate) async fn call(
    control: std::net::SocketAddr,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let mut tcp = TcpStream::connect(control).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        serde_json::from_str(body).unwrap(),
    )
}

#[tokio::test]
async fn everything_can_be_done_over_the_control_port() {
    let harness = Harness::new().await;
    let control = harness.server.control_addr();
    let client = harness.client().await;
    let ok = (200, json!({"ok": true}));

    let signer = Signer::new(TEAM, "KEY0000009");
    let key = json!({"team_id": TEAM, "key_id": "KEY0000009", "public_key_pem": signer.spec.public_key_pem,
        "environments": ["production", "sandbox"], "topics": null});
    assert_eq!(call(control, "POST", "/keys", Some(key)).await, ok);
    let devices = json!({"topic": TOPIC, "environment": "production", "state": "unregistered", "since": 5,
        "tokens": ["0a", "0b"], "range": {"prefix": "bb", "first": 10, "count": 1000}});
    assert_eq!(
        call(control, "POST", "/devices", Some(devices)).await,
        (200, json!({"registered": 1002}))
    );
    let (_, device) = call(control, "GET", &format!("/devices/bb{:062x}", 1009), None).await;
    let expected = json!([{"environment": "production", "topic": TOPIC, "state": "unregistered", "since": 5,
        "screen": {"count": 0, "replaced": 0, "notifications": []}}]);
    assert_eq!(device, expected);

    let push = Push::new(&signer.bearer(NOW));
    assert_eq!(client.reason(&push).await, "200");
    let (_, summary) = call(control, "GET", "/shown/summary", None).await;
    assert_eq!(
        summary,
        json!({"devices": 1, "shown": 1, "replaced": 0, "max_shown_on_one_device": 1})
    );
    let (_, screens) = call(control, "GET", &format!("/devices/{TOKEN}"), None).await;
    assert_eq!(
        screens[0]["screen"]["notifications"][0]["payload"],
        r#"{"aps":{"alert":"hello"}}"#
    );
    let (_, requests) = call(control, "GET", "/requests?last=1", None).await;
    assert_eq!(requests[0]["headers"][2], json!(["apns-topic", TOPIC]));

    let fault = json!({"kind": "answer", "status": 429, "reason": "TooManyRequests", "count": 1, "after": 1,
        "headers": [["retry-after", "3"]]});
    assert_eq!(call(control, "POST", "/faults", Some(fault.clone())).await, ok);
    assert_eq!(client.reason(&push).await, "200");
    assert_eq!(client.push(&push).await.unwrap().header("retry-after"), Some("3"));
    assert_eq!(call(control, "POST", "/faults", Some(fault)).await, ok);
    assert_eq!(call(control, "DELETE", "/faults", None).await, ok);
    for _ in 0..2 {
        assert_eq!(client.reason(&push).await, "200");
    }

    assert_eq!(
        call(
            control,
            "POST",
            "/limits",
            Some(json!({"max_concurrent_streams": 9}))
        )
        .await,
        ok
    );
    client.wait_for_limit(9).await;
    assert_eq!(
        call(
            control,
            "POST",
            "/latency",
            Some(json!({"ms": 1, "max_ms": 3, "seed": 4}))
        )
        .await,
        ok
    );
    assert_eq!(
        call(control, "POST", "/clock", Some(json!({"offset_ms": 3_601_000}))).await,
        ok
    );
    assert_eq!(client.reason(&push).await, "403 ExpiredProviderToken");

    let (_, state) = call(control, "GET", "/state", None).await;
    assert_eq!(
        (&state["requests"], &state["accepted"], &state["devices"]),
        (&json!(6), &json!(4), &json!(1003))
    );
    assert_eq!(state["violations"], json!([]));
    assert_eq!(call(control, "POST", "/reset", None).await, ok);
    let (_, state) = call(control, "GET", "/state", None).await;
    assert_eq!((&state["requests"], &state["answers"]), (&json!(0), &json!([])));
    assert_eq!(call(control, "DELETE", "/keys/KEY0000009", None).await, ok);
}

#[tokio::test]
async fn the_control_port_says_what_is_wrong() {
    let harness = Harness::new().await;
    let control = harness.server.control_addr();
    for (method, path, body, status, says) in [
        ("GET", "/nothing", None, 404, "no such operation"),
        ("GET", "/devices/0123", None, 404, "no such operation or device"),
        ("DELETE", "/keys/NOSUCHKEY0", None, 404, "no such"),
        ("POST", "/clock", Some(json!({"offset": 1})), 400, "unknown field"),
        (
            "POST",
            "/faults",
            Some(json!({"kind": "stream_limit"})),
            400,
            "number of streams",
        ),
        (
            "POST",
            "/faults",
            Some(json!({"kind": "silence", "now": true})),
            400,
            "without a request",
        ),
        (
            "POST",
            "/devices",
            Some(json!({"environment": "sandbox", "tokens": ["xyz"]})),
            400,
            "hex digits",
        ),
        (
            "POST",
            "/keys",
            Some(json!({"team_id": "T", "key_id": "K", "public_key_pem": "AAAA"})),
            400,
            "P-256 SubjectPublicKeyInfo",
        ),
    ] {
        let (got, answer) = call(control, method, path, body).await;
        assert_eq!(got, status, "{path}");
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
}
