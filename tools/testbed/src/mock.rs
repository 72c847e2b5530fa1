//! apns-mock as a separate process, and its control port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::group::{Group, Output};
use crate::http;

/// A running apns-mock.
#[derive(Debug)]
pub struct Mock {
    group: Group,
    /// The addresses of its ports, as it printed them.
    addresses: Value,
    ca: PathBuf,
}

impl Mock {
    /// Starts the program with these options, and reads its addresses. `folder` is for its certificate and
    /// its log.
    pub fn start(program: &Path, options: &[&str], folder: &Path) -> Result<Self> {
        let ca = folder.join("ca.pem");
        let mut command = Command::new(program);
        command.args(options).args(["--http1", "--until-stdin-closes"]);
        command.arg("--ca").arg(&ca);
        let mut group = Group::start(&mut command, &folder.join("apns-mock.log"), Output::Piped)?;
        let mut line = String::new();
        let output = group.output().context("its output is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).with_context(|| {
            let log = group.log_tail();
            format!("apns-mock did not say where it listens but: {line}{log}")
        })?;
        Ok(Self { group, addresses, ca })
    }

    /// Returns the file with the certificate authority that signed its certificate.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// Returns its process id.
    pub fn process(&self) -> u32 {
        self.group.id()
    }

    /// Returns the port of `production`, `sandbox` or `control`.
    pub fn port(&self, name: &str) -> Result<u16> {
        let address = self.addresses.get(name).and_then(Value::as_str);
        let port = address
            .and_then(|address| address.rsplit(':').next())
            .and_then(|port| port.parse().ok());
        port.with_context(|| format!("apns-mock did not say where its {name} port is"))
    }

    /// Returns its counters since its start or [`Self::reset`].
    pub fn state(&self) -> Result<Value> {
        self.call("GET", "/state", &Value::Null)
    }

    /// Returns what all devices show, in numbers.
    pub fn shown(&self) -> Result<Value> {
        self.call("GET", "/shown/summary", &Value::Null)
    }

    /// Registers devices.
    pub fn add_devices(&self, devices: &Value) -> Result<()> {
        self.call("POST", "/devices", devices).map(drop)
    }

    /// Registers a key that signs provider tokens.
    pub fn add_key(&self, key: &Value) -> Result<()> {
        self.call("POST", "/keys", key).map(drop)
    }

    /// Changes its latency.
    pub fn set_latency(&self, ms: u64) -> Result<()> {
        self.call("POST", "/latency", &json!({ "ms": ms })).map(drop)
    }

    /// Resets its counters and clears what devices show.
    pub fn reset(&self) -> Result<()> {
        self.call("POST", "/reset", &json!({})).map(drop)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port("control")?);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("content-type", http::JSON)];
        let answer = http::call(method, &url, &headers, body.as_bytes(), http::LIMIT)?;
        answer.success().with_context(|| format!("{url} failed"))
    }
}
