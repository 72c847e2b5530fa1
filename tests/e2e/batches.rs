//! Durable batches: from the upload through the queue to the last receipt.

mod control;
mod crashes;
mod fairness;
mod fallback;
mod guards;
mod keys;
mod links;
mod memory;
mod messages;
mod once;
mod outcomes;
pub(crate) mod pieces;
mod refusals;
mod uploads;
pub(crate) mod webhooks;

use std::collections::BTreeMap;
use std::time::Duration;

use apns_mock::RecordedRequest;
use serde_json::{Value, json};

use crate::caller::Answer;
use crate::deployment::Caller;
use crate::test_env::{REQUESTS_KEPT, TestEnv, until_within};

/// The media type of bodies in lines.
const LINES: &str = "application/x-ndjson";

/// The timeout of a batch on a busy machine: `fetch` sends six pushes at a time, and each round of retries
/// takes some seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The counts whose sum is the number of pushes.
const COUNTS: [&str; 8] = [
    "accepted",
    "rejected",
    "failed",
    "duplicate",
    "cancelled",
    "retrying",
    "in_flight",
    "waiting",
];

/// A batch, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch(String);

impl Batch {
    /// Uploads lines, which must become a batch.
    #[track_caller]
    pub(crate) fn upload(env: &TestEnv, body: &str) -> Self {
        let (batch, _) = Self::accepted(upload(env, &[], body));
        batch
    }

    /// Returns the batch of an answer to an upload, with its status document.
    #[track_caller]
    fn accepted(answer: Answer) -> (Self, Value) {
        let location = answer.header("location").map(str::to_owned);
        let applied = answer.header("preference-applied").map(str::to_owned);
        let document = answer.with_status(202);
        let id = document["id"].as_str().unwrap().to_owned();
        assert_eq!(location, Some(format!("/v1/batches/{id}")));
        assert_eq!(applied.as_deref(), Some("respond-async"));
        (Self(id), document)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/batches/{}{rest}", self.0)
    }

    /// Returns its status document.
    #[track_caller]
    fn status(&self, env: &TestEnv) -> Value {
        let document = env.get(&self.path("")).with_status(200);
        let counts = &document["counts"];
        let sum: u64 = COUNTS.iter().map(|name| number(&counts[*name])).sum();
        assert_eq!(number(&document["pushes"]), sum, "{document}");
        document
    }

    /// Posts an action.
    #[track_caller]
    fn tell(&self, env: &TestEnv, action: &str) -> Answer {
        env.call(Caller::Both, "POST", &self.path(&format!("/{action}")), &[], b"")
    }

    /// Waits until it is in this state. Returns its status document.
    #[track_caller]
    fn once(&self, env: &TestEnv, state: &str) -> Value {
        let mut document = Value::Null;
        until_within(PATIENCE, &format!("a batch that is {state}"), || {
            document = self.status(env);
            let is_over = ["done", "cancelled"]
                .iter()
                .any(|over| document["state"] == *over);
            assert!(!is_over || document["state"] == state, "{document}");
            document["state"] == state
        });
        document
    }

    /// Waits for its end, and asserts that every push was accepted.
    #[track_caller]
    pub(crate) fn once_accepted(&self, env: &TestEnv) {
        let document = self.once(env, "done");
        assert_eq!(document["counts"]["accepted"], document["pushes"], "{document}");
    }

    /// Returns the lines of all pages of a listing, with `limit` lines per page.
    #[track_caller]
    fn pages(&self, env: &TestEnv, listing: &str, limit: usize) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = env.get(&self.path(&format!("/{listing}limit={limit}{cursor}")));
            assert_eq!(answer.header("content-type"), Some(LINES));
            let body = answer.with_status(200);
            let mut lines = parse(&text(&body));
            let last = lines.pop().unwrap();
            pages.push(lines);
            if last["more"] == false {
                assert_eq!(last["cursor"], Value::Null);
                return pages;
            }
            cursor = format!("&cursor={}", last["cursor"].as_str().unwrap());
        }
    }

    /// Returns all receipts. If the batch has ended, each must have a final result.
    #[track_caller]
    fn receipts(&self, env: &TestEnv) -> Vec<Value> {
        let receipts = self.pages(env, "receipts?", 1000).concat();
        let indexes: Vec<u64> = receipts.iter().map(|receipt| number(&receipt["index"])).collect();
        let all: Vec<u64> = (0..receipts.len() as u64).collect();
        assert_eq!(indexes, all);
        receipts
    }
}

/// Uploads lines with further headers.
#[track_caller]
fn upload(env: &TestEnv, headers: &[(&str, &str)], body: &str) -> Answer {
    upload_as(Caller::Both, env, headers, body)
}

/// Does the same as another caller.
#[track_caller]
fn upload_as(caller: Caller, env: &TestEnv, headers: &[(&str, &str)], body: &str) -> Answer {
    let lines = [("content-type", LINES), ("prefer", "respond-async")];
    env.call(
        caller,
        "POST",
        "/v1/push",
        &[&lines, headers].concat(),
        body.as_bytes(),
    )
}

/// Returns the header of an upload for the shop.
fn head(options: Value) -> Value {
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "batch": options })
}

/// Returns an upload: a header, and devices with refs.
fn lines(head: &Value, tokens: &[String]) -> String {
    let mut body = format!("{head}\n");
    for (number, token) in tokens.iter().enumerate() {
        body.push_str(&format!(
            "{}\n",
            json!({ "token": token, "ref": format!("user-{number}") })
        ));
    }
    body
}

/// Returns the usual upload.
pub(crate) fn sale(tokens: &[String]) -> String {
    lines(&head(json!({})), tokens)
}

/// Returns an upload with lines so long that a chunk has thirty devices.
fn wide(tokens: &[String]) -> String {
    let filler = "x".repeat(1800);
    let mut body = format!("{}\n", head(json!({})));
    for (number, token) in tokens.iter().enumerate() {
        let line =
            json!({ "token": token, "ref": format!("user-{number}"), "payload": { "filler": filler } });
        body.push_str(&format!("{line}\n"));
    }
    body
}

/// Returns the requests that APNs received, by device token.
fn requests(env: &TestEnv) -> BTreeMap<String, Vec<RecordedRequest>> {
    let mut requests: BTreeMap<String, Vec<RecordedRequest>> = BTreeMap::new();
    for request in env.apns.requests(REQUESTS_KEPT) {
        let token = request.path.trim_start_matches("/3/device/").to_owned();
        requests.entry(token).or_default().push(request);
    }
    requests
}

/// Asserts that each device shows one notification, even if pushes were repeated with the same collapse id.
#[track_caller]
fn assert_shown_once(env: &TestEnv, tokens: &[String]) {
    for token in tokens {
        let screen = &env.apns.device(token)[0].screen;
        assert_eq!(screen.count, 1, "{screen:?}");
    }
}

/// Returns how many of these devices show something.
fn shown(env: &TestEnv, tokens: &[String]) -> usize {
    let screens = tokens.iter().map(|token| env.apns.device(token)[0].screen.count);
    screens.filter(|count| *count > 0).count()
}

/// Returns the values of a field in lines.
fn all<'l>(lines: &'l [Value], field: &str) -> Vec<&'l str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Returns the text of a body. A single line was parsed as JSON.
fn text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_owned)
}

fn parse(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
