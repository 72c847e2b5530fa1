//! Programs that pages show are run: the verification of webhooks, with requests that the code signs.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use docs_reader::Page;

use crate::code::{Timestamp, webhook};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"type":"batch.ended","data":{"name":"ä"}}"#;

#[test]
fn the_webhook_code_in_python_tells_ours_from_others() {
    tell_apart("python", "python3", |code, secret, headers, body| {
        format!("{code}\nprint(verify({secret:?}, {headers}, {body:?}.encode()))\n")
    });
}

#[test]
fn the_webhook_code_in_javascript_tells_ours_from_others() {
    tell_apart("js", "node", |code, secret, headers, body| {
        format!("{code}\nconsole.log(verify({secret:?}, {headers}, Buffer.from({body:?})));\n")
    });
}

/// Runs the code of the page with a request of ours, and with others.
fn tell_apart(language: &str, program: &str, render: impl Fn(&str, &str, &str, &str) -> String) {
    if Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("{program} is not installed: its code is not run");
        return;
    }
    let blocks = Page::open("docs/guides/webhooks.md").blocks();
    let code = &blocks
        .iter()
        .find(|block| block.language == language)
        .unwrap()
        .text;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let run = |secret: &str, at: u64, body: &str| {
        let script = render(code, secret, &headers(at), body);
        let flag = if program == "node" { "-e" } else { "-c" };
        let output = Command::new(program).args([flag, &script]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_lowercase()
    };
    assert_eq!(run(SECRET, now, BODY), "true");
    assert_eq!(run(SECRET, now - 600, BODY), "false", "an old request");
    assert_eq!(run(SECRET, now, "{}"), "false", "another body");
    assert_eq!(
        run("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", now, BODY),
        "false",
        "another secret"
    );
}

/// The headers of an attempt at `at`, as JSON.
fn headers(at: u64) -> String {
    let secrets = [webhook::WebhookSecret::parse(SECRET).unwrap()];
    let headers = webhook::headers(&secrets, "msg_1", BODY, Timestamp::from_secs(at)).unwrap();
    let headers: serde_json::Map<String, serde_json::Value> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::Value::Object(headers).to_string()
}
