//! JSON over HTTP with programs on this machine.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

/// How long an answer may take: a request's worth of pushes, six at a time, to a mock that is several seconds slow.
const LIMIT: Duration = Duration::from_secs(600);

/// Whether anything answers there, and with success.
pub(crate) fn touch(url: &str) -> Result<()> {
    let status = agent().get(url).call()?.status();
    if !status.is_success() {
        bail!("{url} answered {status}");
    }
    Ok(())
}

/// Asks for a document.
pub(crate) fn get(url: &str) -> Result<Value> {
    let answer = agent().get(url).call();
    read(url, answer)
}

/// Sends a document and returns the answer.
pub(crate) fn post(url: &str, key: Option<&str>, body: &Value) -> Result<Value> {
    send("POST", url, key, "application/json", body.to_string())
}

/// Sends any body by any method and returns the answer.
pub(crate) fn send(
    method: &str,
    url: &str,
    key: Option<&str>,
    media_type: &str,
    body: String,
) -> Result<Value> {
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", media_type);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    read(url, agent().run(request.body(body)?))
}

/// One agent for all, because it keeps the connections.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        // No proxy: what is talked to is on this machine. No errors for statuses: their bodies say what is wrong.
        let config = Agent::config_builder().proxy(None).http_status_as_error(false);
        config.timeout_global(Some(LIMIT)).build().new_agent()
    })
}

fn read(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut answer = answer.with_context(|| format!("no answer from {url}"))?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string()?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered what is no JSON: {text}"))
}
