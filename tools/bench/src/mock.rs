//! The APNs server of the benchmark: apns-mock on one thread, with devices by their numbers.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::Mock;

use crate::credentials::TOPIC;
use crate::usage::{self, Usage};

/// Where senders with a fixed host expect APNs; only in a network of our own does the mock listen there.
const APPLES_PORT: u16 = 443;

/// How many streams a connection has from its start, as at APNs with a certificate. With tokens it begins with one; how
/// soon a sender makes use of the others is not measured here, and aioapns 4.0 never does.
const STREAMS: &str = "1000";

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

/// Starts it. `folder` takes its certificate.
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

/// How many connections it has open.
pub(crate) fn connections(mock: &Mock) -> Result<u64> {
    let open = mock.state()?.get("connections_open").and_then(Value::as_u64);
    open.context("apns-mock did not say how many connections it has open")
}

/// What it has used of the machine.
pub(crate) fn usage(mock: &Mock) -> Result<Usage> {
    usage::of_tree(mock.process())
}
