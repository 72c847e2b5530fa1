//! JSON over HTTP to programs on this machine.

use std::io::{BufRead, BufReader};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

/// The media type of documents.
pub const JSON: &str = "application/json";

/// The default timeout of an answer: enough for all pushes of a request, six at a time, to a mock with a
/// latency of several seconds.
pub const LIMIT: Duration = Duration::from_secs(600);

/// An answer with any status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The document, or the text if it is not JSON.
    pub body: Value,
    headers: HeaderMap,
}

impl Answer {
    /// Creates an answer that was read in another way.
    pub fn new(status: u16, headers: &[(String, String)], body: &str) -> Self {
        let headers = headers.iter().filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        Self {
            status,
            body: document(body),
            headers: headers.collect(),
        }
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the document. Returns an error if the status is not a success.
    pub fn success(self) -> Result<Value> {
        let Self { status, body, .. } = self;
        ensure!((200..300).contains(&status), "status {status}: {body}");
        Ok(if body == "" { Value::Null } else { body })
    }

    /// Returns the document. Panics if the status is another one.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Returns the document. Panics if it is not this problem.
    #[track_caller]
    pub fn problem(self, status: u16, slug: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.with_status(status);
        let field = |name| body.get(name).cloned().unwrap_or_default();
        assert_eq!(field("type"), format!("urn:apns-edge:problem:{slug}"));
        assert_eq!(field("status"), status);
        body
    }
}

/// Sends a request and returns the answer. Returns an error if there is none within `limit`.
pub fn call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    limit: Duration,
) -> Result<Answer> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = agent().configure_request(request.body(body)?);
    let response = agent().run(request.timeout_global(Some(limit)).build());
    response
        .map_err(anyhow::Error::from)
        .and_then(read)
        .with_context(|| format!("no answer to {method} {url}"))
}

/// Opens a stream. Returns its media type, and a reader that ends with it.
pub fn stream(url: &str, headers: &[(&str, &str)]) -> Result<(String, impl BufRead + use<>)> {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.call()?;
    ensure!(response.status() == 200, "{url} answered {}", response.status());
    let content_type = response.headers().get("content-type").context("no type")?;
    let content_type = content_type.to_str()?.to_owned();
    Ok((content_type, BufReader::new(response.into_body().into_reader())))
}

fn read(mut response: Response<ureq::Body>) -> Result<Answer> {
    let body = response.body_mut().with_config().limit(u64::MAX);
    let text = body.read_to_string()?;
    Ok(Answer {
        status: response.status().as_u16(),
        body: document(&text),
        headers: response.headers().clone(),
    })
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Returns the shared agent, which keeps its connections.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        // No proxy, because all programs are on this machine. No errors for statuses, because their bodies
        // have the reasons.
        let config = Agent::config_builder().proxy(None).http_status_as_error(false);
        // Tests send invalid requests, such as a GET with a body.
        let config = config.allow_non_standard_methods(true);
        config.timeout_global(Some(LIMIT)).build().new_agent()
    })
}
