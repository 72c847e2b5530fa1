//! A caller of the Worker: JSON over HTTP.

use std::io::{BufRead, BufReader};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

/// How long an answer may take. The longest that is asked for is 500 pushes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What the Worker answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    headers: HeaderMap,
}

impl Answer {
    /// An answer that was read some other way.
    pub(crate) fn new(status: u16, headers: &[(String, String)], body: &str) -> Self {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Self {
            status,
            body: serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())),
            headers: all,
        }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn with_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The body of an answer that must be this problem.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, slug: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.with_status(status);
        assert_eq!(body["type"], format!("urn:apns-edge:problem:{slug}"));
        assert_eq!(body["status"], status);
        body
    }
}

/// Sends a request with these headers. A status is an answer; none at all ends the test.
#[track_caller]
pub(crate) fn call(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_call(method, url, headers, body)
        .unwrap_or_else(|error| panic!("no answer to {method} {url}: {error}"))
}

/// Sends a request that may get no answer.
pub(crate) fn try_call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    agent().run(request.body(body).unwrap()).map(read)
}

/// Asks for something that comes bit by bit: its type, and a reader that ends with it.
pub(crate) fn stream(url: &str, headers: &[(&str, &str)]) -> (String, impl BufRead + use<>) {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.call().unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, BufReader::new(response.into_body().into_reader()))
}

/// Whether a GET is answered by the Worker: with 200, or with 503 if its settings have faults.
pub(crate) fn answers(url: &str) -> bool {
    agent().get(url).call().is_ok_and(|response| {
        let is_json = response
            .headers()
            .get("content-type")
            .is_some_and(|value| value == "application/json");
        is_json && matches!(response.status().as_u16(), 200 | 503)
    })
}

fn read(mut response: Response<ureq::Body>) -> Answer {
    let text = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_string()
        .unwrap();
    Answer {
        status: response.status().as_u16(),
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        headers: response.headers().clone(),
    }
}

/// One agent for all, because it keeps the connections.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        // No proxy: what is called is on this machine. No errors for statuses: they are what the tests are about.
        let config = Agent::config_builder().proxy(None).http_status_as_error(false);
        // Tests send what a good caller would not, such as a GET with a body.
        let config = config.allow_non_standard_methods(true);
        config.timeout_global(Some(LIMIT)).build().new_agent()
    })
}
