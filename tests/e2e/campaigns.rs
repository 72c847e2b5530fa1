//! Campaigns: from the import of an audience through the cron trigger to the removal of devices.

mod audiences;
mod documents;
mod evictions;
mod imports;
mod refusals;
mod runs;
mod scale;
mod schedules;

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::caller::Answer;
use crate::deployment::Caller;
use crate::test_env::{Isolated, TestEnv, until_within};

/// The media type of bodies in lines.
const LINES: &str = "application/x-ndjson";

/// The timeout of a run on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A registration time in the past: APNs' timestamp of a gone device is later.
const LONG_AGO: &str = "2024-01-01T00:00:00Z";

/// An audience, by its name.
struct Audience(String);

impl Audience {
    /// Creates an audience of the shop.
    #[track_caller]
    fn create(env: &TestEnv, name: &str, shards: u32) -> Self {
        let body = json!({"app": "shop", "shards": shards});
        send(env, "PUT", &format!("/v1/audiences/{name}"), &body).with_status(201);
        Self(name.to_owned())
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/audiences/{}{rest}", self.0)
    }

    /// Imports lines.
    #[track_caller]
    fn import(&self, env: &TestEnv, lines: &str) -> Value {
        let headers = [("content-type", LINES)];
        let answer = env.call(
            Caller::Both,
            "POST",
            &self.path("/devices"),
            &headers,
            lines.as_bytes(),
        );
        answer.with_status(200)
    }

    /// Returns its document.
    #[track_caller]
    fn status(&self, env: &TestEnv) -> Value {
        env.get(&self.path("")).with_status(200)
    }

    /// Counts its devices in a segment.
    #[track_caller]
    fn count(&self, env: &TestEnv, segment: &Value) -> u64 {
        let answer = env.post(&self.path("/count"), &json!({"segment": segment}));
        answer.with_status(200)["devices"].as_u64().unwrap()
    }

    /// Returns all its devices.
    #[track_caller]
    fn devices(&self, env: &TestEnv) -> Vec<Value> {
        let body = env.get(&self.path("/devices")).with_status(200);
        // A single line is a document.
        let mut lines = match body {
            Value::String(lines) => parse(&lines),
            line => vec![line],
        };
        assert_eq!(lines.pop(), Some(json!({"cursor": null})));
        lines
    }
}

/// A campaign, by its id.
struct Campaign(String);

impl Campaign {
    /// Creates a campaign.
    #[track_caller]
    fn create(env: &TestEnv, document: &Value) -> Self {
        let answer = env.post("/v1/campaigns", document);
        let location = answer.header("location").map(str::to_owned);
        let document = answer.with_status(201);
        let id = document["id"].as_str().unwrap().to_owned();
        assert_eq!(location, Some(format!("/v1/campaigns/{id}")));
        Self(id)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/campaigns/{}{rest}", self.0)
    }

    #[track_caller]
    fn status(&self, env: &TestEnv) -> Value {
        env.get(&self.path("")).with_status(200)
    }

    #[track_caller]
    fn tell(&self, env: &TestEnv, action: &str) -> Answer {
        env.post(&self.path(&format!("/{action}")), &json!({}))
    }

    #[track_caller]
    fn runs(&self, env: &TestEnv) -> Vec<Value> {
        let page = env.get(&self.path("/runs")).with_status(200);
        page["runs"].as_array().unwrap().clone()
    }

    /// Waits until its only run is in this state. Returns the run.
    #[track_caller]
    fn run_once(&self, env: &TestEnv, state: &str) -> Value {
        let mut run = Value::Null;
        until_within(PATIENCE, &format!("a run that is {state}"), || {
            sleep(Duration::from_millis(100));
            let runs = self.runs(env);
            assert!(runs.len() <= 1, "{runs:?}");
            run = runs.first().cloned().unwrap_or_default();
            run["state"] == state
        });
        run
    }

    /// Waits until its only run is done. Returns the run.
    #[track_caller]
    fn done(&self, env: &TestEnv) -> Value {
        self.run_once(env, "done")
    }
}

/// Sends a document with any method, as the caller with access to both apps.
#[track_caller]
fn send(env: &TestEnv, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    env.call(Caller::Both, method, path, &headers, body.to_string().as_bytes())
}

/// Fires the cron trigger, as the platform does each minute.
#[track_caller]
fn fire_trigger(env: &TestEnv) {
    env.worker.fire_trigger().unwrap();
}

/// Returns a campaign that the next trigger starts.
fn soon(audience: &Audience, body: &str) -> Value {
    due_in(SOON, audience, body)
}

/// Does the same, due after a delay.
fn due_in(delay: Duration, audience: &Audience, body: &str) -> Value {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + delay;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).unwrap()).unwrap();
    json!({
        "name": "News", "audience": audience.0,
        "notification": {"payload": {"aps": {"alert": {"body": body}}}},
        "schedule": {"at": at.to_string()},
    })
}

/// Waits until a campaign of [`soon`] is due, and fires the trigger.
fn fire_trigger_soon(env: &TestEnv) {
    sleep(SOON + Duration::from_millis(200));
    fire_trigger(env);
}

/// The delay of [`soon`].
const SOON: Duration = Duration::from_millis(1500);

/// Starts a killed Worker with scans that hand over at most this many steps, so that they are not over even
/// on a fast machine.
fn hold_scans(env: &mut Isolated, steps: u32) {
    env.wrap(include_str!("campaigns/held_scans.mjs"));
    env.set("STEPS", &steps.to_string());
    env.restart();
}

/// Parses a document per line.
fn parse(lines: &str) -> Vec<Value> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns a line of an import per device. `line` receives its index.
fn lines(devices: &[String], line: impl Fn(usize) -> Value) -> String {
    let mut all = String::new();
    for (place, token) in devices.iter().enumerate() {
        let mut document = json!({"token": token, "ref": format!("user-{place}"), "registered_at": LONG_AGO});
        if let (Some(document), Value::Object(more)) = (document.as_object_mut(), line(place)) {
            document.extend(more);
        }
        all.push_str(&document.to_string());
        all.push('\n');
    }
    all
}

/// Returns the text of the only notification that a device shows.
#[track_caller]
fn shown(env: &TestEnv, device: &str) -> String {
    let requests = env.requests_to(device);
    assert_eq!(requests.len(), 1, "{device}");
    let payload: Value = serde_json::from_str(&requests[0].body).unwrap();
    payload["aps"]["alert"]["body"].as_str().unwrap().to_owned()
}
