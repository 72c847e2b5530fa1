//! The HTTP client.
//!
//! It follows no redirects, because the key would not be sent along and an upload cannot be sent twice. A
//! connection without any activity for a minute counts as broken. Apart from that, an exchange may take any
//! time.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

use crate::failure::Failure;
use crate::problem::Problem;
use crate::settings::{Key, Settings};

/// A client of one deployment with one key.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    key: Key,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status, 200 to 299.
    pub(crate) status: u16,
    /// Whether the server says that it had accepted this upload before.
    pub(crate) is_replayed: bool,
    /// Its body.
    pub(crate) text: String,
}

/// The method of a request with a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// Executes an action.
    Post,
    /// Creates or replaces.
    Put,
    /// Deletes.
    Delete,
}

/// The destination of a body, and its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'t> {
    pub(crate) method: Method,
    pub(crate) path: &'t str,
    /// Its media type.
    pub(crate) content_type: &'static str,
    /// Further headers.
    pub(crate) headers: &'t [(&'static str, &'t str)],
}

impl<'t> Target<'t> {
    /// Returns the destination of send requests in lines.
    pub(crate) const fn push(headers: &'t [(&'static str, &'t str)]) -> Self {
        Self {
            method: Method::Post,
            path: "/v1/push",
            content_type: NDJSON,
            headers,
        }
    }
}

impl Client {
    /// Creates a client for the deployment in the settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .user_agent(concat!("apns-edge/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(IDLE))
            .timeout_per_write(Some(IDLE));
        Self {
            agent: config.build().new_agent(),
            url: settings.url.clone(),
            key: settings.key.clone(),
        }
    }

    /// Reads a document.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.answer(self.begin(path, query, "*/*")?)
    }

    /// Opens a stream of events.
    pub(crate) fn events(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.begin(path, &[], "text/event-stream")?;
        Ok(self.success(response)?.into_body().into_reader())
    }

    /// Posts an action.
    pub(crate) fn post(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.post(self.at(path));
        let request = request.header(header::AUTHORIZATION, self.key.authorization());
        self.answer(request.send_empty().map_err(|error| self.unreachable(&error))?)
    }

    /// Deletes a resource.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.delete(self.at(path));
        let request = request.header(header::AUTHORIZATION, self.key.authorization());
        self.answer(request.call().map_err(|error| self.unreachable(&error))?)
    }

    /// Sends a JSON document.
    pub(crate) fn json(&self, method: Method, path: &str, document: &Value) -> Result<Answer, Failure> {
        let text = document.to_string();
        let target = Target {
            method,
            path,
            content_type: "application/json",
            headers: &[],
        };
        self.upload(&target, &mut text.as_bytes(), Some(text.len() as u64))
    }

    /// Sends a body from a reader, with the header `Content-Length` if `length` is known.
    pub(crate) fn upload(
        &self,
        target: &Target<'_>,
        body: &mut dyn Read,
        length: Option<u64>,
    ) -> Result<Answer, Failure> {
        let url = self.at(target.path);
        let mut request = match target.method {
            Method::Post => self.agent.post(url),
            Method::Put => self.agent.put(url),
            Method::Delete => self.agent.delete(url).force_send_body(),
        };
        request = request
            .header(header::AUTHORIZATION, self.key.authorization())
            .header(header::CONTENT_TYPE, target.content_type);
        for (name, value) in target.headers {
            request = request.header(*name, *value);
        }
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let request = request.config().timeout_per_read(Some(ORDER)).build();
        let response = request.send(SendBody::from_reader(body));
        self.answer(response.map_err(|error| self.unreachable(&error))?)
    }

    /// Returns the error of an answer that is not as expected.
    pub(crate) fn unreadable(&self, reason: impl Into<String>) -> Failure {
        Failure::Unreadable {
            url: self.url.clone(),
            reason: reason.into(),
        }
    }

    /// Returns the error of a broken exchange.
    pub(crate) fn broken(&self, reason: impl Into<String>) -> Failure {
        Failure::Unreachable {
            url: self.url.clone(),
            reason: reason.into(),
        }
    }

    fn begin(&self, path: &str, query: &[(&str, &str)], accept: &str) -> Result<Response<Body>, Failure> {
        let mut request = self
            .agent
            .get(self.at(path))
            .header(header::AUTHORIZATION, self.key.authorization())
            .header(header::ACCEPT, accept);
        for (name, value) in query {
            request = request.query(*name, *value);
        }
        request.call().map_err(|error| self.unreachable(&error))
    }

    /// Reads a whole answer.
    fn answer(&self, response: Response<Body>) -> Result<Answer, Failure> {
        let mut response = self.success(response)?;
        Ok(Answer {
            status: response.status().as_u16(),
            is_replayed: response
                .headers()
                .get("idempotent-replayed")
                .is_some_and(|value| value == "true"),
            text: read(&mut response, MAX_ANSWER).map_err(|error| self.unreachable(&error))?,
        })
    }

    /// Returns the answer if it is a success.
    fn success(&self, mut response: Response<Body>) -> Result<Response<Body>, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let value = |name: header::HeaderName| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        if status.is_redirection() {
            let place = value(header::LOCATION).unwrap_or_else(|| "somewhere else".to_owned());
            return Err(self.unreadable(format!("{} leads to {place}; is the URL right?", status.as_u16())));
        }
        let retry_after = value(header::RETRY_AFTER);
        // An incomplete problem is still useful, because the status says most.
        let text = read(&mut response, MAX_PROBLEM).unwrap_or_default();
        let problem = Box::new(Problem::read(status.as_u16(), retry_after.as_deref(), text));
        Err(if status.is_client_error() {
            Failure::Refused(problem)
        } else {
            Failure::Unavailable(problem)
        })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        self.broken(error.to_string())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.url)
    }
}

fn read(response: &mut Response<Body>, limit: u64) -> Result<String, ureq::Error> {
    response.body_mut().with_config().limit(limit).read_to_string()
}

/// The media type of lines of JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The timeout of resolving a name, and of opening a connection. A reachable server answers within a second.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest time without activity on a connection: four of the keep-alive comments that a stream of events
/// sends every 15 s.
const IDLE: Duration = Duration::from_secs(60);

/// The timeout of the answer to a send request: the first attempts of an immediate request may take a minute,
/// and retries another one.
const ORDER: Duration = Duration::from_secs(150);

/// The longest answer in bytes. The longest page has 10,000 devices with lines of 16 KiB.
const MAX_ANSWER: u64 = 192 * 1024 * 1024;

/// The longest problem in bytes. A hundred faults have some 20 KB.
const MAX_PROBLEM: u64 = 1024 * 1024;
