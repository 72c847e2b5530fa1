mod chunks;
mod documents;
mod faults;
mod properties;
mod warnings;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::fixture::{NOW, SEED, caller, config, config_with};
use crate::send_request::{Basis, Repeats};
use crate::{SendRequest, problem};
use apns::expiration::Expiration;

const LINES: Format = Format {
    lines_in: true,
    lines_out: false,
};

/// The result of an upload, with all its chunks.
#[derive(Debug, PartialEq)]
struct Told {
    app: String,
    head: String,
    options: Options,
    expiration: Option<u64>,
    collapses: bool,
    chunks: Vec<Staged>,
    pushes: u32,
    duplicates: u32,
    invalid: u32,
    invalid_lines: Vec<InvalidLine>,
    invalid_kinds: Vec<InvalidKind>,
    warnings: WarningSummary,
    sha256: [u8; 32],
}

/// Uploads a body in pieces, with its own configuration.
fn upload_as(format: Format, max_pushes: u32, pieces: &[&[u8]]) -> Result<Told, Problem> {
    upload_with(&config(), format, max_pushes, pieces)
}

/// Uploads a body in pieces as `editor`, which has access to both apps.
fn upload_with(config: &Config, format: Format, max_pushes: u32, pieces: &[&[u8]]) -> Result<Told, Problem> {
    let caller = caller(config, "editor");
    let mut upload = Upload::of_at_most(max_pushes, caller, config, format, NOW);
    let mut chunks = Vec::new();
    for piece in pieces {
        upload.feed(piece)?;
        chunks.extend(upload.take_staged());
    }
    let finished = upload.finish()?;
    chunks.extend(finished.staged);
    let header = finished.header;
    Ok(Told {
        app: header.app.name.clone(),
        head: header.head,
        options: header.options,
        expiration: header.expiration.map(Expiration::as_secs),
        collapses: header.collapses,
        chunks,
        pushes: finished.pushes,
        duplicates: finished.duplicates,
        invalid: finished.invalid,
        invalid_lines: finished.invalid_lines,
        invalid_kinds: finished.invalid_kinds,
        warnings: finished.warnings,
        sha256: finished.sha256,
    })
}

fn upload(body: &str) -> Result<Told, Problem> {
    upload_as(LINES, MAX_PUSHES, &[body.as_bytes()])
}

fn upload_document(body: &Value) -> Result<Told, Problem> {
    upload_as(Format::JSON, MAX_PUSHES, &[body.to_string().as_bytes()])
}

/// Returns a valid header.
fn head() -> Value {
    json!({"app": "shop", "notification": {"payload": {"aps": {"alert": "Hi"}}}})
}

fn device(index: usize) -> Value {
    json!({"token": format!("{index:064x}")})
}

/// Returns a body in lines.
fn lines(head: &Value, devices: impl IntoIterator<Item = Value>) -> String {
    let devices = devices.into_iter();
    std::iter::once(head.clone())
        .chain(devices)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Returns the faults of a problem: line if there is one, pointer and detail.
fn listed(problem: &Problem) -> Vec<String> {
    let answer = problem.answer();
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &document["status"]),
        (422, &json!(422)),
        "{document}"
    );
    let errors = document["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            let line = error
                .get("line")
                .map_or_else(String::new, |line| format!("{line}: "));
            let detail = error["detail"].as_str().unwrap();
            match error["pointer"].as_str() {
                Some(pointer) => format!("{line}{pointer}: {detail}"),
                None if line.is_empty() => format!("the body {detail}"),
                None => format!("{line}{detail}"),
            }
        })
        .collect()
}

fn faults(body: &str) -> Vec<String> {
    listed(&upload(body).unwrap_err())
}

#[test]
fn an_upload_tells_what_its_head_says_as_soon_as_it_is_read() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = config_with(|name| (name == "WEBHOOK_SECRET").then(|| secret.to_owned()));
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    let head = json!({
        "app": "news", "on_invalid": "skip",
        "batch": {"rate": 7, "retry_for": "6h", "webhook": "HTTPS://Example.COM:443"},
        "notification": {"payload": {"aps": {"alert": "Hi"}}, "expiration": "1h", "collapse_id": "story"},
    });
    let text = format!("\r\n {head}");
    upload.feed(text.as_bytes()).unwrap();
    assert!(upload.header().is_none());
    upload.feed(b"\r\n").unwrap();
    let header = upload.header().unwrap();
    assert_eq!(header.app.name, "news");
    assert_eq!(
        header.head,
        r#"{"app":"news","notification":{"payload":{"aps":{"alert":"Hi"}},"expiration":"1h","collapse_id":"story"}}"#
    );
    assert_eq!(
        header.options,
        Options {
            rate: Some(7),
            retry_for: std::time::Duration::from_secs(6 * 3600),
            webhook: Some("https://example.com/".to_owned()),
            ..Options::default()
        }
    );
    assert_eq!(
        header.expiration.map(Expiration::as_secs),
        Some(NOW.as_secs() + 3600)
    );
    assert!(header.collapses);
    assert_eq!(upload.take_staged(), []);
}

#[test]
fn the_pieces_in_which_a_body_comes_do_not_matter() {
    let mut head = head();
    head["on_invalid"] = json!("skip");
    let body = format!("{head}\r\n\n{}\n{{\"é\": 1}}\n x\n  {}", device(1), device(2));
    let config = config();
    for format in [LINES, Format::JSON] {
        let upload = |pieces: &[&[u8]]| upload_with(&config, format, MAX_PUSHES, pieces);
        let body = if format.lines_in {
            body.clone()
        } else {
            let mut document = head.clone();
            document["devices"] = json!([device(1), {"é": 1}, device(2)]);
            format!("{document:#}")
        };
        let whole = upload(&[body.as_bytes()]).unwrap();
        assert_eq!(whole.pushes, 2);
        for place in 0..=body.len() {
            let (start, end) = body.as_bytes().split_at(place);
            assert_eq!(upload(&[start, end]).as_ref(), Ok(&whole));
        }
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(upload(&bytes).as_ref(), Ok(&whole));
    }
}

#[test]
fn the_fingerprint_is_the_sha_256_of_the_bytes() {
    let body = lines(&head(), [device(1), device(2)]);
    let hash: [u8; 32] = Sha256::digest(&body).into();
    assert_eq!(upload(&body).unwrap().sha256, hash);
    let mut compared = Fingerprint::new();
    body.as_bytes().chunks(7).for_each(|piece| compared.feed(piece));
    assert_eq!(compared.finish(), hash);
    let mut document = head();
    document["devices"] = json!([device(1)]);
    let text = document.to_string();
    let hash: [u8; 32] = Sha256::digest(&text).into();
    assert_eq!(upload_document(&document).unwrap().sha256, hash);
}

#[test]
fn a_document_and_lines_come_to_the_same() {
    let mut document = head();
    document["devices"] = (0..700).map(device).collect();
    let (document, lines) = (
        upload_document(&document).unwrap(),
        upload(&lines(&head(), (0..700).map(device))).unwrap(),
    );
    let sha256 = lines.sha256;
    assert_eq!(Told { sha256, ..document }, lines);
}

#[test]
fn the_most_pushes_of_a_batch_are_exact() {
    let body = lines(&head(), (0..3).map(device));
    assert_eq!(upload_as(LINES, 3, &[body.as_bytes()]).unwrap().pushes, 3);
    let problem = upload_as(LINES, 2, &[body.as_bytes()]).unwrap_err();
    assert_eq!(
        listed(&problem),
        ["/devices: are more than 2, the most of one batch"]
    );
    let mut skip = head();
    skip["on_invalid"] = json!("skip");
    let body = lines(&skip, [device(0), json!(1), device(1)]);
    assert_eq!(
        upload_as(LINES, 2, &[body.as_bytes()]).unwrap().pushes,
        2,
        "what is left out does not count"
    );
}

#[test]
fn an_upload_that_is_over_stays_so() {
    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    let problem = upload.feed(b"{\"app\": \"shop\"}\n").unwrap_err();
    assert_eq!(listed(&problem), ["/notification: is required"]);
    let body = lines(&head(), [device(1)]);
    assert_eq!(upload.feed(body.as_bytes()), Err(problem.clone()));
    assert!(upload.header().is_none());
    assert_eq!(upload.finish().unwrap_err(), problem);
}

#[test]
fn the_app_is_one_that_the_caller_reaches() {
    let config = config();
    let opened = |name: &str, app: Option<&str>| {
        let mut upload = Upload::new(caller(&config, name), &config, LINES, NOW);
        let mut head = head();
        head["app"] = json!(app);
        if app.is_none() {
            head.as_object_mut().unwrap().remove("app");
        }
        let fed = upload.feed(format!("{head}\n").as_bytes());
        fed.map(|()| upload.header().unwrap().head.clone())
            .map_err(|problem| problem.kind())
    };
    assert_eq!(opened("backend", Some("news")), Err(problem::Kind::Forbidden));
    assert_eq!(opened("editor", None), Err(problem::Kind::InvalidRequest));
    assert_eq!(
        opened("backend", None),
        Ok(head().to_string()),
        "the head that is stored names it"
    );
}

#[test]
fn an_invalid_line_format_unchanged() {
    // It is stored with the batch and told in the answer to its upload.
    let line = InvalidLine {
        line: 18,
        detail: "/token: is required".to_owned(),
    };
    let text = r#"{"line":18,"detail":"/token: is required"}"#;
    assert_eq!(serde_json::to_string(&line).unwrap(), text);
    assert_eq!(serde_json::from_str::<InvalidLine>(text).unwrap(), line);
}
