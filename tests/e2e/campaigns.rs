//! Campaigns: from the import of an audience through the cron trigger to the devices that leave it.

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

/// The type of bodies in lines.
const LINES: &str = "application/x-ndjson";

/// How long a run may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Long ago: what APNs says of a device that is gone is later.
const LONG_AGO: &str = "2024-01-01T00:00:00Z";

/// An audience, by its name.
struct Audience(String);

impl Audience {
    /// A new one of the shop.
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

    /// Its document.
    #[track_caller]
    fn status(&self, env: &TestEnv) -> Value {
        env.get(&self.path("")).with_status(200)
    }

    /// How many of its devices a segment has.
    #[track_caller]
    fn count(&self, env: &TestEnv, segment: &Value) -> u64 {
        let answer = env.post(&self.path("/count"), &json!({"segment": segment}));
        answer.with_status(200)["devices"].as_u64().unwrap()
    }

    /// All its devices.
    #[track_caller]
    fn devices(&self, env: &TestEnv) -> Vec<Value> {
        let body = env.get(&self.path("/devices")).with_status(200);
        // One line alone is a document.
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
    /// A new one.
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

    /// Its only run, once it is in this state.
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

    /// Its only run, once it is done.
    #[track_caller]
    fn done(&self, env: &TestEnv) -> Value {
        self.run_once(env, "done")
    }
}

/// Sends a document by any method, as the caller that reaches both apps.
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

/// A campaign for an audience, so soon that the next trigger starts it.
fn soon(audience: &Audience, body: &str) -> Value {
    due_in(SOON, audience, body)
}

/// The same, due in some time.
fn due_in(delay: Duration, audience: &Audience, body: &str) -> Value {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + delay;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).unwrap()).unwrap();
    json!({
        "name": "News", "audience": audience.0,
        "notification": {"payload": {"aps": {"alert": {"body": body}}}},
        "schedule": {"at": at.to_string()},
    })
}

/// Waits until what is [`soon`] is due, and fires the trigger.
fn fire_trigger_soon(env: &TestEnv) {
    sleep(SOON + Duration::from_millis(200));
    fire_trigger(env);
}

/// In how long what is to be soon is.
const SOON: Duration = Duration::from_millis(1500);

/// Starts a Worker that was killed, with scans that hand over so many steps: however fast the machine is, they are not over.
fn hold_scans(env: &mut Isolated, steps: u32) {
    env.wrap(include_str!("campaigns/held_scans.mjs"));
    env.set("STEPS", &steps.to_string());
    env.restart();
}

/// A document for each line.
fn parse(lines: &str) -> Vec<Value> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A line of an import for each device, as `line` makes it of its place.
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

/// The text of the only notification that a device shows.
#[track_caller]
fn shown(env: &TestEnv, device: &str) -> String {
    let requests = env.requests_to(device);
    assert_eq!(requests.len(), 1, "{device}");
    let payload: Value = serde_json::from_str(&requests[0].body).unwrap();
    payload["aps"]["alert"]["body"].as_str().unwrap().to_owned()
}
