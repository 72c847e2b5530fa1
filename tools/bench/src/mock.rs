//! apns-mock as a process of its own, and its control port.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::credentials::{Credentials, TOPIC};
use crate::http::Client;
use crate::usage::{self, Usage};

/// Where senders with a fixed host expect APNs; only in a network of our own does the mock listen there.
const APPLES_PORT: u16 = 443;

/// How many streams a connection has from its start, as at APNs with a certificate. With tokens it begins with one; how
/// soon a sender makes use of the others is not measured here, and aioapns 4.0 never does.
const STREAMS: &str = "1000";

/// What the mock says when it listens.
#[derive(Debug, Deserialize)]
struct Ready {
    production: String,
    control: String,
}

/// What it is to know and to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// How many devices are registered, from the first number on.
    pub(crate) devices: u64,
    /// What it remembers of notifications, in its own words.
    pub(crate) record: &'static str,
    /// How late it answers, in milliseconds.
    pub(crate) latency_ms: u64,
}

/// A running apns-mock.
#[derive(Debug)]
pub(crate) struct Mock {
    process: Child,
    control: Client,
    port: u16,
    ca: PathBuf,
}

impl Mock {
    /// Starts it on one thread. `folder` takes its certificate.
    pub(crate) async fn start(program: &Path, folder: &Path, isolated: bool, setup: Setup) -> Result<Self> {
        let ca = folder.join("ca.pem");
        let port = if isolated { APPLES_PORT } else { 0 };
        let mut command = Command::new(program);
        command
            .args([
                "--threads",
                "1",
                "--http1",
                "--any-base64",
                "--initial-streams",
                STREAMS,
                "--until-stdin-closes",
            ])
            .args(["--record", setup.record])
            .args(["--latency", &setup.latency_ms.to_string()])
            .args(["--production", &format!("127.0.0.1:{port}")])
            .arg("--ca")
            .arg(&ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let output = process.stdout.take().context("its output is piped")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let ready: Ready = serde_json::from_str(&line.context("apns-mock ended")?)?;
        let (_, port) = ready
            .production
            .rsplit_once(':')
            .context("apns-mock did not say its port")?;
        let mock = Self {
            process,
            control: Client::new(format!("http://{}", ready.control)),
            port: port.parse()?,
            ca,
        };
        let devices = json!({
            "environment": "production",
            "topic": TOPIC,
            "range": { "prefix": "", "first": 0, "count": setup.devices },
        });
        mock.control.post_json("/devices", &devices).await?;
        Ok(mock)
    }

    /// The port that takes pushes.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of those who signed its own.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Lets it accept what is signed with this key.
    pub(crate) async fn trust(&self, credentials: &Credentials) -> Result<()> {
        self.control
            .post_json("/keys", &credentials.registration())
            .await
            .map(drop)
    }

    /// Makes it answer so late.
    pub(crate) async fn answer_after(&self, ms: u64) -> Result<()> {
        self.control
            .post_json("/latency", &json!({ "ms": ms }))
            .await
            .map(drop)
    }

    /// Everything that it counts.
    pub(crate) async fn state(&self) -> Result<Value> {
        self.control.get_json("/state").await
    }

    /// How many devices show how much.
    pub(crate) async fn shown(&self) -> Result<Value> {
        self.control.get_json("/shown/summary").await
    }

    /// Begins to count anew, with empty screens.
    pub(crate) async fn forget(&self) -> Result<()> {
        self.control.post_json("/reset", &json!({})).await.map(drop)
    }

    /// How many connections it has open.
    pub(crate) async fn connections(&self) -> Result<u64> {
        let state = self.state().await?;
        let open = state.get("connections_open").and_then(Value::as_u64);
        open.context("apns-mock did not say how many connections it has open")
    }

    /// What it has used of the machine.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage::of_tree(self.process.id().context("apns-mock has ended")?)
    }
}
