//! The Worker on this machine: `wrangler dev` runs it, apns-mock plays APNs, and both end with this process.
//!
//! Everything is made for the occasion - keys, certificate, ports, storage - and lies in a temporary folder.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::interrupt::Interrupt;
use crate::setup::Ready;

mod group;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod mock;
pub(crate) mod worker;

/// The app's name at the Worker.
pub(crate) const APP: &str = "demo";

/// The app's topic.
pub(crate) const TOPIC: &str = "com.example.demo";

/// The team of the signing key.
const TEAM_ID: &str = "TEAM123456";

/// The signing key's id.
const KEY_ID: &str = "KEY1234567";

/// The type of documents.
const JSON: &str = "application/json";

/// Where wrangler fires a cron trigger.
const TRIGGER: &str = "/cdn-cgi/local/scheduled?cron=*+*+*+*+*";

/// A running Worker and the APNs that it sends to.
///
/// The fields are dropped in this order: first the Worker, then what it talks to, then the files of both.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) worker: worker::Worker,
    pub(crate) mock: mock::Mock,
    /// What the Worker takes as a caller's key.
    pub(crate) api_key: String,
    _folder: TempDir,
}

impl Stack {
    /// Starts both and returns when they answer. The Worker must be built.
    ///
    /// `latency` is how long the mock takes for an answer; `transport` how the Worker talks to it.
    pub(crate) fn start(
        ready: &Ready,
        latency: Duration,
        transport: &str,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("apns-edge-").tempdir()?;
        let mock = mock::Mock::start(folder.path(), latency)?;
        let signing = keys::SigningKey::generate()?;
        mock.add_key(&json!({
            "team_id": TEAM_ID,
            "key_id": KEY_ID,
            "public_key_pem": signing.public_pem,
        }))?;
        let api_key = keys::random_hex()?;
        let settings = [
            ("APPS", apps().to_string()),
            ("API_KEYS", api_keys(&api_key).to_string()),
            ("APNS_ORIGINS", origins(&mock)?.to_string()),
            ("TRANSPORT", transport.to_owned()),
            (&format!("APNS_KEY_{KEY_ID}"), signing.private_pem),
        ];
        let worker = worker::Worker::start(ready, folder.path(), &settings, mock.ca(), interrupt)?;
        Ok(Self {
            worker,
            mock,
            api_key,
            _folder: folder,
        })
    }

    /// Sends a document to the Worker as a caller with a key.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, JSON, body.to_string())
    }

    /// The same with another method.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("PUT", path, JSON, body.to_string())
    }

    /// Sends lines of JSON.
    pub(crate) fn lines(&self, path: &str, lines: &str) -> Result<Value> {
        self.send("POST", path, "application/x-ndjson", lines.to_owned())
    }

    /// Asks the Worker for a document.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, JSON, String::new())
    }

    /// Fires the Worker's cron trigger, as the platform does each minute.
    pub(crate) fn fire_trigger(&self) -> Result<()> {
        http::touch(&format!("{}{TRIGGER}", self.worker.url()))
    }

    fn send(&self, method: &str, path: &str, media_type: &str, body: String) -> Result<Value> {
        let url = format!("{}{path}", self.worker.url());
        let answer = http::send(method, &url, Some(&self.api_key), media_type, body);
        answer.with_context(|| format!("the Worker's log ends with\n{}", self.worker.log()))
    }
}

fn apps() -> Value {
    json!({ APP: { "team_id": TEAM_ID, "key_id": KEY_ID, "topic": TOPIC, "environment": "production" } })
}

fn api_keys(key: &str) -> Value {
    json!([{ "name": APP, "sha256": keys::sha256_hex(key), "apps": [APP] }])
}

/// By name, because the mock's certificate is for `localhost`.
fn origins(mock: &mock::Mock) -> Result<Value> {
    let [production, sandbox] = [mock.port("production")?, mock.port("sandbox")?];
    Ok(json!({
        "production": format!("https://localhost:{production}"),
        "sandbox": format!("https://localhost:{sandbox}"),
    }))
}
