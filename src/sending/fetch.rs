//! The fetch transport: one platform `fetch` per push.
//!
//! In production Cloudflare uses HTTP/2 to Apple and pools the connections. The body has a fixed length,
//! redirects are not followed, the answer's body is always read, and an attempt is aborted at its deadline.

use std::pin::pin;
use std::time::Duration;

use crate::platform::clock;
use crate::sending::sender::{SendLimit, Transport};
use api::config;
use apns::provider_token::ProviderToken;
use apns::time::Timestamp;
use apns::{Outcome, Reply, Request, TransportError};
use delivery::fanout::FETCH_WINDOW;
use delivery::metrics::MetricsDelta;
use futures::future::{Either, select};
use worker::js_sys::Uint8Array;
use worker::{AbortController, Fetch, Headers, Method, RequestInit, RequestRedirect, Response};

/// Sends pushes to one origin, each with its own `fetch`.
pub(crate) struct FetchTransport {
    origin: String,
}

impl FetchTransport {
    pub(crate) const fn new(origin: String) -> Self {
        Self { origin }
    }
}

impl Transport for FetchTransport {
    const NAME: config::Transport = config::Transport::Fetch;

    fn width(&self) -> usize {
        FETCH_WINDOW
    }

    async fn send(
        &self,
        request: &Request,
        token: &ProviderToken,
        timeout: Duration,
        limit: &SendLimit,
    ) -> Outcome {
        if limit.is_over() {
            return Outcome::NotSent(TransportError::OutOfTime);
        }
        let headers = Headers::new();
        let authorization = format!("bearer {}", token.as_str());
        let list = request.header_list();
        let all = list.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in all.chain([("authorization", authorization.as_str())]) {
            if headers.set(name, value).is_err() {
                return Outcome::NotSent(TransportError::Unreachable);
            }
        }
        let url = format!("{}{}", self.origin, request.path());
        exchange(&url, headers, &request.body, clock::now() + timeout).await
    }

    // The platform does not report its connections.
    fn count(&self, _delta: &mut MetricsDelta) {}
}

/// Sends a request without credentials to APNs, for the doctor.
pub(crate) async fn probe(origin: &str, deadline: Timestamp) -> Outcome {
    let request = Request::probe();
    exchange(
        &format!("{origin}{}", request.path()),
        Headers::new(),
        &request.body,
        deadline,
    )
    .await
}

async fn exchange(url: &str, headers: Headers, body: &[u8], deadline: Timestamp) -> Outcome {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(Uint8Array::from(body).into()));
    let Ok(request) = worker::Request::new_with_init(url, &init) else {
        return Outcome::NotSent(TransportError::Unreachable);
    };
    let controller = AbortController::default();
    let signal = controller.signal();
    let fetch = Fetch::Request(request);
    let mut timer = pin!(clock::at(deadline));
    let mut response = match select(pin!(fetch.send_with_signal(&signal)), timer.as_mut()).await {
        Either::Left((Ok(response), _)) => response,
        // The platform does not distinguish a refused connection from one that broke after the request was
        // sent.
        Either::Left((Err(_), _)) => return Outcome::Lost(TransportError::ConnectionLost),
        Either::Right(_) => {
            controller.abort();
            return Outcome::Lost(TransportError::Deadline);
        }
    };
    // The status settles the push, whatever happens to the body.
    let body = match select(pin!(response.bytes()), timer).await {
        Either::Left((body, _)) => body.unwrap_or_default(),
        Either::Right(_) => {
            controller.abort();
            Vec::new()
        }
    };
    Outcome::Answered(reply(&response, &body))
}

fn reply(response: &Response, body: &[u8]) -> Reply {
    let values = KEPT.map(|name| (name, response.headers().get(name).ok().flatten()));
    let header = |name: &str| {
        values
            .iter()
            .find(|(kept, _)| *kept == name)
            .and_then(|(_, value)| value.as_deref())
    };
    Reply::read(response.status_code(), header, body, clock::now())
}

/// The headers of an answer that are used.
const KEPT: [&str; 3] = ["apns-id", "apns-unique-id", "retry-after"];
