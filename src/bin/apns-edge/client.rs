//! HTTP to the deployment.
//!
//! No redirect is followed, since the key would not go along and an upload can not be sent twice. A connection on which
//! nothing moves for a minute counts as broken; otherwise an exchange may take as long as it takes.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

use crate::failure::Failure;
use crate::problem::Problem;
use crate::settings::{Key, Settings};

/// The way to one deployment, with one key.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    key: Key,
}

/// An answer that is a success.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status, 200 to 299.
    pub(crate) status: u16,
    /// Whether the server says that it had taken this upload before.
    pub(crate) is_replayed: bool,
    /// Its body.
    pub(crate) text: String,
}

/// An order on its way to the server.
pub(crate) struct Upload<'u> {
    /// Its lines.
    pub(crate) body: &'u mut dyn Read,
    /// How many bytes there are, if that is known.
    pub(crate) length: Option<u64>,
    /// More headers.
    pub(crate) headers: &'u [(&'static str, &'u str)],
}

impl Client {
    /// A client for the deployment of the settings.
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

    /// Asks for a document.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.answer(self.begin(path, query, "*/*")?)
    }

    /// Asks for a stream of events, and gives it as it comes.
    pub(crate) fn events(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.begin(path, &[], "text/event-stream")?;
        Ok(self.success(response)?.into_body().into_reader())
    }

    /// Asks for something to be done.
    pub(crate) fn post(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.post(self.at(path));
        let request = request.header(header::AUTHORIZATION, self.key.authorization());
        self.answer(request.send_empty().map_err(|error| self.unreachable(&error))?)
    }

    /// Asks for something to be forgotten.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.delete(self.at(path));
        let request = request.header(header::AUTHORIZATION, self.key.authorization());
        self.answer(request.call().map_err(|error| self.unreachable(&error))?)
    }

    /// Sends an order in lines, as they come out of their reader.
    pub(crate) fn order(&self, upload: Upload<'_>) -> Result<Answer, Failure> {
        let mut request = self
            .agent
            .post(self.at("/v1/push"))
            .header(header::AUTHORIZATION, self.key.authorization())
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        for (name, value) in upload.headers {
            request = request.header(*name, *value);
        }
        if let Some(length) = upload.length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let request = request.config().timeout_per_read(Some(ORDER)).build();
        let response = request.send(SendBody::from_reader(upload.body));
        self.answer(response.map_err(|error| self.unreachable(&error))?)
    }

    /// The error of an answer that is not what it should be.
    pub(crate) fn unreadable(&self, reason: impl Into<String>) -> Failure {
        Failure::Unreadable {
            url: self.url.clone(),
            reason: reason.into(),
        }
    }

    /// The error of an exchange that broke.
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

    /// Reads an answer to its end.
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

    /// The answer, if it is a success.
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
        // Half a problem is still an answer: the status says most.
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

/// How long a name may take to resolve, and a connection to open. A server that is there answers within a second.
const CONNECT: Duration = Duration::from_secs(10);

/// How long nothing may move on a connection: four of the signs of life that a stream of events has every 15 s.
const IDLE: Duration = Duration::from_secs(60);

/// How long the answer to an order may take: the first attempts of an immediate order may last a minute, and resends
/// another.
const ORDER: Duration = Duration::from_secs(150);

/// The longest answer in bytes: the longest page of receipts is a quarter of it.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// The longest problem in bytes: a hundred faults are some 20 KB.
const MAX_PROBLEM: u64 = 1024 * 1024;
