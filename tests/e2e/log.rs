//! What the Worker's log may contain, and what not.

use std::collections::HashSet;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::json;

use crate::deployment::{Caller, SHOP};
use crate::test_env::TestEnv;

/// The beginning of the log line about a send request.
pub(crate) const SENT: &str = r#""event":"sent""#;

/// The beginning of a push's path. A device token follows.
const PATH: &str = "/3/device/";

/// Returns the beginnings of the secrets of which a log contains a part that is too long to be a coincidence.
pub(crate) fn secrets_in<'s>(log: &str, secrets: impl Iterator<Item = &'s str>) -> Vec<String> {
    // There are thousands of secrets, because device tokens are secrets. So each part is looked up, and the
    // log is read once.
    let windows: HashSet<&[u8]> = log.as_bytes().windows(PART).collect();
    let held = secrets.chain([PATH]).filter(|secret| {
        let (parts, rest) = secret.as_bytes().as_chunks::<PART>();
        let is_short = parts.is_empty() && !rest.is_empty();
        parts.iter().any(|part| windows.contains(&part[..])) || is_short && log.contains(secret)
    });
    held.map(|secret| secret.chars().take(8).collect()).collect()
}

/// The length of a part of a secret: 60 random bits in their densest alphabet, and more than a hint shows.
const PART: usize = 16;

#[test]
fn a_secret_is_found_whole_and_in_parts() {
    let secret = "0123456789abcdef0123456789ABCDEF";
    let found = |log: &str| secrets_in(log, [secret].into_iter());
    assert_eq!(found("token 0123456789abcdef0123456789ABCDEF."), ["01234567"]);
    assert_eq!(found("…0123456789ABCDEF"), ["01234567"]);
    assert!(found("0123…CDEF").is_empty());
    assert_eq!(found("POST /3/device/00"), ["/3/devic"]);
}

#[test]
fn an_order_is_logged_with_its_numbers_and_no_secret_is() {
    let env = TestEnv::isolated(Options::default(), &[("ATTEMPT_TIMEOUT_MS", "1000")]);
    let known = env.devices(&SHOP, "log, known", 2);
    let unknown = env.tokens("log, unknown", 1).remove(0);
    let lost = env.device("log, lost");
    env.apns
        .fault(Fault::new(FaultKind::Silence).for_token(&lost))
        .unwrap();
    let send_request = |token: &str| json!({ "app": "shop", "devices": [{ "token": token }], "notification": { "payload": { "aps": { "alert": "Hello" } } } });
    for token in [&known[0], &unknown, &lost, &known[1]] {
        env.push(&send_request(token));
    }
    // Rejected requests too: the caller, the app, a token, a field, a body.
    let token = format!("{}x", known[0]);
    env.post("/v1/push", &send_request(&token)).with_status(422);
    env.post("/v1/push", &json!({ &known[0]: 1 })).with_status(422);
    env.call(
        Caller::News,
        "POST",
        "/v1/push",
        &[],
        send_request(&known[0]).to_string().as_bytes(),
    )
    .with_status(403);
    env.call(Caller::Shop, "POST", "/v1/push", &[], known[0].as_bytes())
        .with_status(400);
    env.get("/v1/doctor").with_status(200);
    let log = env.log();
    let line = format!(r#"{{{SENT},"app":"shop","transport":"fetch","#);
    let tally = r#""tally":{"accepted":1,"rejected":0,"retrying":0,"failed":0,"duplicate":0}"#;
    assert_eq!(log.matches(&line).count(), 4, "{log}");
    assert_eq!(log.matches(tally).count(), 2, "{log}");
    assert_eq!(log.matches(SENT).count(), 4, "{log}");
}
