//! apns-mock as a process of its own, and its control port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{group::Group, http};
use crate::{process, progress, project};

/// A running apns-mock.
#[derive(Debug)]
pub(crate) struct Mock {
    /// Held for its drop.
    _group: Group,
    /// Where its ports are, as it says itself.
    addresses: Value,
    ca: PathBuf,
}

impl Mock {
    /// Builds it if need be, starts it and reads where it listens. `folder` takes its certificate and its log.
    pub(crate) fn start(folder: &Path, latency: Duration) -> Result<Self> {
        progress::step("cargo build -p apns-mock", "plays APNs", "30 s at first", || {
            process::quietly(process::cargo().args(["build", "--package", "apns-mock"]))
        })?;
        let ca = folder.join("ca.pem");
        let log = folder.join("apns-mock.log");
        let mut command = process::command(project::native_target()?.join("debug").join("apns-mock"));
        command.args(["--http1", "--until-stdin-closes", "--record", "last"]);
        command.args(["--latency", &latency.as_millis().to_string()]);
        let mut group = Group::start(command.arg("--ca").arg(&ca), &log, true)?;
        let mut line = String::new();
        let output = group.output().context("its output is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).with_context(|| {
            format!(
                "apns-mock did not say where it listens but: {line}{}",
                group.log()
            )
        })?;
        Ok(Self {
            _group: group,
            addresses,
            ca,
        })
    }

    /// The certificate of those who signed its own.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// The port of one of its faces: `production`, `sandbox` or `control`.
    pub(crate) fn port(&self, name: &str) -> Result<u16> {
        let address = self.addresses.get(name).and_then(Value::as_str);
        let port = address
            .and_then(|address| address.rsplit(':').next())
            .and_then(|port| port.parse().ok());
        port.with_context(|| format!("apns-mock did not say where its {name} port is"))
    }

    /// What it saw since its start.
    pub(crate) fn state(&self) -> Result<Value> {
        http::get(&self.control("/state")?)
    }

    /// What all devices together show.
    pub(crate) fn shown(&self) -> Result<Value> {
        http::get(&self.control("/shown/summary")?)
    }

    /// Registers devices.
    pub(crate) fn add_devices(&self, devices: &Value) -> Result<()> {
        http::post(&self.control("/devices")?, None, devices).map(drop)
    }

    /// Registers a key that signs provider tokens.
    pub(crate) fn add_key(&self, key: &Value) -> Result<()> {
        http::post(&self.control("/keys")?, None, key).map(drop)
    }

    fn control(&self, path: &str) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}{path}", self.port("control")?))
    }
}
