//! The APNs server of the benchmark: apns-mock on one thread, with numbered devices.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::Mock;

use crate::credentials::TOPIC;
use crate::usage::{self, Usage};

/// The port to which senders with a fixed host send. The mock listens there only in its own network.
const APPLES_PORT: u16 = 443;

/// The streams of a connection from its start, as at APNs with a certificate.
///
/// With tokens a connection begins with one. How soon a sender uses the others is not measured here, and
/// aioapns 4.0 never does.
const STREAMS: &str = "1000";

/// The mock's devices, recording and latency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// The number of registered devices, from the first number on.
    pub(crate) devices: u64,
    /// What it records about notifications: the value of its option.
    pub(crate) record: &'static str,
    /// The latency in milliseconds.
    pub(crate) latency_ms: u64,
}

/// Starts it. Its certificate is written to `folder`.
pub(crate) fn start(program: &Path, folder: &Path, isolated: bool, setup: Setup) -> Result<Mock> {
    let port = if isolated { APPLES_PORT } else { 0 };
    let (latency, address) = (setup.latency_ms.to_string(), format!("127.0.0.1:{port}"));
    let options = [
        ["--threads", "1"],
        ["--initial-streams", STREAMS],
        ["--record", setup.record],
        ["--latency", &latency],
        ["--production", &address],
    ];
    let options = [options.as_flattened(), &["--any-base64"]].concat();
    let mock = Mock::start(program, &options, folder)?;
    mock.add_devices(&json!({
        "environment": "production",
        "topic": TOPIC,
        "range": { "prefix": "", "first": 0, "count": setup.devices },
    }))?;
    Ok(mock)
}

/// Returns the number of open connections.
pub(crate) fn connections(mock: &Mock) -> Result<u64> {
    let open = mock.state()?.get("connections_open").and_then(Value::as_u64);
    open.context("apns-mock did not say how many connections it has open")
}

/// Returns the resources that it has used.
pub(crate) fn usage(mock: &Mock) -> Result<Usage> {
    usage::of_tree(mock.process())
}
