//! Compressed bodies: what the platform passes on, and how each endpoint handles them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::deployment::{Caller, SHOP};
use crate::test_env::{TestEnv, until};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const GZIP: (&str, &str) = ("content-encoding", "gzip");
const LINES: (&str, &str) = ("content-type", "application/jsonl");

#[test]
fn a_gzip_order_is_sent_and_another_coding_is_refused() {
    let env = TestEnv::shared();
    let devices = env.devices(&SHOP, "coding, at once", 3);
    let send_request = json!({
        "app": "shop", "notification": {"payload": {"aps": {"alert": "Zip"}}, "priority": "10", "collapse_id": null},
        "devices": [devices[0], {"token": devices[1]}],
    });
    let text = format!("\u{feff}{send_request}");
    let answer = env.call(Caller::Both, "POST", "/v1/push", &[GZIP], &gzip(&text));
    let body = answer.with_status(200);
    assert_eq!(body["counts"]["accepted"], 2, "{body}");
    let head = json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Zip"}}}});
    let members = [gzip(&format!("{head}\n")), gzip(&format!("{}\n", devices[2]))].concat();
    let headers = [("content-encoding", "x-gzip"), LINES];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, &members);
    let body = answer.with_status(200);
    assert_eq!(body["counts"]["accepted"], 1, "{body}");
    let answer = env.call(Caller::Both, "POST", "/v1/preview", &[GZIP], &gzip(&text));
    answer.with_status(200);

    for path in ["/v1/push", "/v1/preview", "/v1/campaigns"] {
        let headers = [("content-encoding", "br")];
        let answer = env.call(Caller::Both, "POST", path, &headers, text.as_bytes());
        assert_eq!(answer.header("accept-encoding"), Some("gzip, identity"), "{path}");
        answer.problem(415, "unsupported-coding");
    }
    for body in [&gzip(&text)[..40], text.as_bytes()] {
        env.call(Caller::Both, "POST", "/v1/push", &[GZIP], body)
            .problem(400, "not-json");
    }
    let plain = env.call(Caller::Both, "POST", "/v1/push", &[], &gzip(&text));
    let problem = plain.problem(400, "not-json");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("Content-Encoding: gzip"), "{detail}");
}

#[test]
fn a_batch_is_the_same_however_it_is_compressed() {
    let env = TestEnv::shared();
    let devices = env.devices(&SHOP, "coding, batch", 3);
    let head = json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Zip"}}}});
    let text = format!(
        "{head}\r\n{}\r\n{{\"token\":\"{}\"}}\r\n\"{}\"",
        devices[0], devices[1], devices[2]
    );
    let key = ("idempotency-key", "coding-batch");
    let upload = |body: &[u8], headers: &[(&str, &str)]| {
        let headers = [&[LINES, key], headers].concat();
        env.call(Caller::Both, "POST", "/v1/push", &headers, body)
    };
    // An incomplete body stores nothing.
    let body = gzip(&text);
    upload(&body[..body.len() - 9], &[GZIP]).problem(400, "not-json");
    let first = upload(&body, &[GZIP]).with_status(202);
    assert_eq!(first["pushes"], 3, "{first}");
    let again = upload(text.as_bytes(), &[]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.with_status(202)["id"], first["id"]);
    until("each is sent", || {
        devices.iter().all(|device| env.requests_to(device).len() == 1)
    });
}

#[test]
fn an_order_that_is_large_when_decompressed_becomes_a_batch() {
    let env = TestEnv::shared();
    let device = env.device("coding, large");
    // More than can be answered immediately, but small when compressed.
    let text = format!(
        "{}\n{}{device}\n",
        json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Large"}}}}),
        format!("{}\n", " ".repeat(40_000)).repeat(440),
    );
    let body = gzip(&text);
    assert!(body.len() < 1 << 20);
    let answer = env.call(Caller::Both, "POST", "/v1/push", &[GZIP, LINES], &body);
    answer.with_status(202);
    until("it is sent", || env.requests_to(&device).len() == 1);
}

#[test]
fn a_gzip_import_keeps_every_member_and_the_first_device() {
    let env = TestEnv::shared();
    let devices = env.tokens("coding, import", 4);
    let path = "/v1/audiences/coding";
    let put = json!({"app": "shop", "shards": null}).to_string();
    env.call(Caller::Both, "PUT", path, &[GZIP], &gzip(&put))
        .with_status(201);
    let devices_path = format!("{path}/devices");
    let import =
        |headers: &[(&str, &str)], body: &[u8]| env.call(Caller::Both, "POST", &devices_path, headers, body);
    let table = format!("\u{feff}token,ref\r\n{},a\r\n", devices[0]);
    let members = [gzip(&table), gzip(&format!("{},b\r\n", devices[1]))].concat();
    let excel = ("content-type", "application/vnd.ms-excel");
    let body = import(&[GZIP, excel], &members).with_status(200);
    assert_eq!(
        (&body["added"], &body["invalid"]),
        (&json!(2), &json!(0)),
        "{body}"
    );
    let lines = format!("\u{feff}{{\"token\":\"{}\"}}\n{}\n", devices[2], devices[3]);
    let body = import(&[GZIP], &gzip(&lines)).with_status(200);
    assert_eq!(
        (&body["added"], &body["invalid"]),
        (&json!(2), &json!(0)),
        "{body}"
    );
    let cut_off = gzip(&lines);
    import(&[GZIP], &cut_off[..cut_off.len() - 2]).problem(400, "not-json");
    import(&[("content-encoding", "deflate")], b"").problem(415, "unsupported-coding");
    let body = env.call(
        Caller::Both,
        "DELETE",
        &devices_path,
        &[GZIP],
        &gzip(&devices.join("\r")),
    );
    assert_eq!(body.with_status(200)["removed"], 4);
}
