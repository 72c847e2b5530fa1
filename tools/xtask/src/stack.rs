//! Runs the Worker on this machine with `wrangler dev`, and apns-mock as APNs. Both end with this process.
//!
//! Keys, certificate, ports and storage are temporary, in a temporary folder.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::keys::{SigningKey, random_hex};
use testbed::settings::{App, Caller, origins, settings};
use testbed::{Mock, Setup, Worker, http};

use crate::interrupt::Interrupt;
use crate::setup::Ready;
use crate::{process, progress, project};

/// The app.
pub(crate) const APP: App<'_> = App {
    name: "demo",
    topic: "com.example.demo",
    environment: "production",
    team_id: "TEAM123456",
    key_id: "KEY1234567",
};

/// A running Worker and its APNs server.
///
/// The fields are dropped in this order: first the Worker, then the server, then the files of both.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) worker: Worker,
    pub(crate) mock: Mock,
    /// The API key of its caller.
    pub(crate) api_key: String,
    _folder: TempDir,
}

impl Stack {
    /// Starts both and returns when they answer. The Worker must be built.
    ///
    /// `latency` is the mock's latency; `transport` is the Worker's transport.
    pub(crate) fn start(
        ready: &Ready,
        latency: Duration,
        transport: &str,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("apns-edge-").tempdir()?;
        progress::step("cargo build -p apns-mock", "plays APNs", "30 s at first", || {
            process::quietly(process::cargo().args(["build", "--package", "apns-mock"]))
        })?;
        let program = project::native_target()?.join("debug").join("apns-mock");
        let latency = latency.as_millis().to_string();
        let mock = Mock::start(
            &program,
            &["--record", "last", "--latency", &latency],
            folder.path(),
        )?;
        let signing = SigningKey::generate()?;
        mock.add_key(&APP.key_document(&signing.public_pem))?;
        let api_key = random_hex()?;
        let caller = Caller {
            name: APP.name.to_owned(),
            key: api_key.clone(),
            apps: json!([APP.name]),
        };
        let origins = origins(mock.port("production")?, mock.port("sandbox")?);
        let mut settings = settings(&[(APP, signing.private_pem)], &[caller], origins);
        settings.insert("TRANSPORT".to_owned(), transport.to_owned());
        let node = ready.node.binary();
        let setup = Setup::new(node, &folder.path().join("worker"), settings, mock.ca());
        let mut worker = Worker::launch(setup)?;
        worker.wait(|| interrupt.check())?;
        Ok(Self {
            worker,
            mock,
            api_key,
            _folder: folder,
        })
    }

    /// Posts a document to the Worker with the API key.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, http::JSON, &body.to_string())
    }

    /// Puts a document.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("PUT", path, http::JSON, &body.to_string())
    }

    /// Posts lines of JSON.
    pub(crate) fn lines(&self, path: &str, lines: &str) -> Result<Value> {
        self.send("POST", path, "application/x-ndjson", lines)
    }

    /// Reads a document from the Worker.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, http::JSON, "")
    }

    fn send(&self, method: &str, path: &str, media_type: &str, body: &str) -> Result<Value> {
        let url = self.worker.url(path);
        let authorization = format!("Bearer {}", self.api_key);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", media_type),
        ];
        let answer = http::call(method, &url, &headers, body.as_bytes(), http::LIMIT);
        answer
            .and_then(|answer| answer.success().with_context(|| format!("{method} {url} failed")))
            .with_context(|| format!("the Worker's log ends with\n{}", self.worker.log_tail()))
    }
}
