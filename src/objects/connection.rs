//! The connection objects: Durable Objects that hold sockets to APNs.
//!
//! Each is named by its credential and its slot in the credential's pool. A request to it is a line of JSON,
//! the [`ConnectionRequest`], followed by the caller's body unchanged. The object parses the body, runs the
//! fan-out on its sockets and answers the caller through the Worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::objects::metrics;
use crate::platform::{bindings, clock, http};
use crate::routes::push;
use crate::sending::sender::{SendContext, SendScope, Sender};
use crate::sending::socket::{Links, SocketTransport};
use crate::sending::{chunk, lease};
use crate::stubs;
use api::byte_budget::{ByteBudget, MAX_BYTES_IN_FLIGHT, Reservation};
use api::config::{App, Config, Transport};
use api::format::Format;
use api::problem::{Kind, Problem};
use apns::request::Headers;
use batch::Assignment;
use delivery::gate::{Command, Lease};
use delivery::metrics::MetricsDelta;
use futures::future::{FutureExt, LocalBoxFuture};
use serde::{Deserialize, Serialize};
use worker::js_sys::Uint8Array;
use worker::{
    DurableObject, Env, Method, Request, RequestInit, Response, Result, State, durable_object, wasm_bindgen,
};

/// The Durable Object that holds connections.
#[durable_object]
pub struct ConnectionObject {
    state: State,
    env: Env,
    links: RefCell<Option<Links>>,
}

/// What a connection object does with the body that follows.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConnectionRequest {
    pub(crate) app: String,
    pub(crate) lease: Lease,
    pub(crate) wait_ms: u64,
    pub(crate) format: Format,
    /// The assignment of the chunk that the body is; `None` for an immediate request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assignment: Option<Assignment>,
    /// What was counted before. It is added to the metrics with the rest.
    #[serde(default, skip_serializing_if = "MetricsDelta::is_empty")]
    pub(crate) delta: MetricsDelta,
}

impl DurableObject for ConnectionObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            links: RefCell::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let size = http::header(&request, REQUEST_BYTES).and_then(|value| value.parse().ok());
        let Ok(reservation) = reserve(size.unwrap_or_default()) else {
            let headers = worker::Headers::new();
            headers.set(FULL, "1")?;
            return Ok(Response::empty()?.with_status(503).with_headers(headers));
        };
        let body = request.bytes().await?;
        match self.send(&body, reservation).await {
            Ok(response) => Ok(response),
            Err(problem) => http::response(problem.answer()),
        }
    }
}

impl ConnectionObject {
    async fn send(&self, body: &[u8], reservation: Reservation) -> std::result::Result<Response, Problem> {
        let malformed = || Problem::new(Kind::Unavailable, "the connection got no errand");
        let end = body
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(malformed)?;
        let (errand, body) = body.split_at(end);
        let body = body.get(1..).unwrap_or_default();
        // Parsed from text, like all other input, so that the same compiled code is used.
        let errand = str::from_utf8(errand).map_err(|_| malformed())?;
        let mut errand: ConnectionRequest = serde_json::from_str(errand).map_err(|_| malformed())?;
        let config = bindings::config(&self.env)?;
        let app = config.app(&errand.app).ok_or_else(malformed)?;
        let links = self.links(app, config);
        if let Err(delay) = links.pick().await {
            let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            // Adds the failed dial, if there was one. During the delay after it no dial is made.
            self.state
                .wait_until(metrics::add(self.env.clone(), links.take_counted()));
            let problem = Problem::new(
                Kind::Unavailable,
                "no connection to APNs can be opened; nothing was sent",
            );
            return Err(problem
                .retry_after_ms(millis)
                .with_header(UNAVAILABLE_FOR_MS, millis.to_string()));
        }
        if let Some(assignment) = errand.assignment.take() {
            return self.send_chunk(assignment, errand, body, app, links).await;
        }
        let send_request = match push::parse(body, errand.format, app) {
            Ok(send_request) => Rc::new(send_request),
            Err(problem) => {
                links.close_when_idle();
                errand.delta.request(&app.name, problem.kind().status());
                self.state
                    .wait_until(give_back_unused(self.env.clone(), app, errand));
                return Err(problem);
            }
        };
        let headers = send_request.headers();
        let Some(headers) = headers else {
            links.close_when_idle();
            errand.delta.request(&app.name, 200);
            let answer = push::nothing_to_send(&send_request, errand.format, Transport::Socket);
            self.state
                .wait_until(give_back_unused(self.env.clone(), app, errand));
            return answer;
        };
        let format = errand.format;
        let scope = SendScope::of_request(&send_request, Duration::from_millis(errand.wait_ms));
        let context = self.means(errand, headers, &links);
        let run = Sender::new(Rc::clone(&send_request), context, scope, config);
        let spawn = |work| self.state.wait_until(work);
        let after = move || {
            drop(reservation);
            links.close_when_idle();
        };
        push::send(send_request, run, format, Transport::Socket, spawn, after).await
    }

    /// Sends a chunk of a batch and reports the results to the batch.
    async fn send_chunk(
        &self,
        assignment: Assignment,
        errand: ConnectionRequest,
        body: &[u8],
        app: &'static App,
        links: Links,
    ) -> std::result::Result<Response, Problem> {
        let config = bindings::config(&self.env)?;
        let read = chunk::read(&assignment, body, app).map_err(|problem| problem.detail().to_owned());
        let read = read.and_then(|send_request| {
            let headers = send_request.headers().ok_or("the chunk has no push")?;
            Ok((Rc::new(send_request), headers))
        });
        match read {
            Ok((send_request, headers)) => {
                let context = self.means(errand, headers, &links);
                let spawn = |work| self.state.wait_until(work);
                chunk::run(assignment, send_request, context, config, spawn).await;
            }
            Err(detail) => {
                chunk::halt(&self.env, &assignment, detail).await;
                give_back_unused(self.env.clone(), app, errand).await;
            }
        }
        links.close_when_idle();
        Response::empty().map_err(|error| Problem::new(Kind::Unavailable, error.to_string()))
    }

    /// Returns the context of a send request.
    fn means(
        &self,
        errand: ConnectionRequest,
        headers: Arc<Headers>,
        links: &Links,
    ) -> SendContext<SocketTransport> {
        SendContext {
            lease: errand.lease,
            transport: SocketTransport::new(links.clone(), headers),
            delta: errand.delta,
            env: self.env.clone(),
        }
    }

    fn links(&self, app: &'static App, config: &'static Config) -> Links {
        let mut links = self.links.borrow_mut();
        links
            .get_or_insert_with(|| {
                let address = config.address(app.credential.environment);
                Links::new(address, config.sockets, &app.credential, self.env.clone())
            })
            .clone()
    }
}

/// Returns an unused lease and adds the counters to the metrics.
fn give_back_unused(
    env: Env,
    app: &'static App,
    mut errand: ConnectionRequest,
) -> LocalBoxFuture<'static, ()> {
    errand.delta.lease(&app.name, true);
    let settle = Command::Settle {
        lease: errand.lease.id,
        report: Default::default(),
        proven: None,
        unavailable_for_ms: None,
        refused: None,
    };
    async move {
        lease::give_back(&env, app, settle).await;
        metrics::add(env, errand.delta).await;
    }
    .boxed_local()
}

/// Sends a request to a connection object. Returns the object's response, or why nothing was sent.
pub(crate) async fn hand_over(
    env: &Env,
    app: &App,
    errand: &ConnectionRequest,
    body: &[u8],
) -> Result<HandoffResult> {
    let place = errand.lease.connection.unwrap_or_default();
    let name = format!("{}#{place}", app.credential);
    let mut line = serde_json::to_vec(errand)?;
    line.push(b'\n');
    let too_long = |_| worker::Error::from("the body is too long");
    let start = u32::try_from(line.len()).map_err(too_long)?;
    let end = u32::try_from(line.len() + body.len()).map_err(too_long)?;
    // Avoids one copy in wasm memory, which never shrinks.
    let bytes = Uint8Array::new_with_length(end);
    bytes.subarray(0, start).copy_from(&line);
    bytes.subarray(start, end).copy_from(body);
    let headers = worker::Headers::new();
    if errand.assignment.is_none() {
        headers.set(REQUEST_BYTES, &body.len().to_string())?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_body(Some(bytes.into()));
    let response = stubs::begin(env, (bindings::CONNECTION, &name), "/", &init).await?;
    if response.headers().has(FULL)? {
        return Ok(HandoffResult::Full);
    }
    let shut_for = response
        .headers()
        .get(UNAVAILABLE_FOR_MS)?
        .and_then(|value| value.parse().ok());
    Ok(match shut_for {
        Some(millis) => HandoffResult::Unavailable { millis },
        None => HandoffResult::Responded(response),
    })
}

/// The result of a request to a connection object.
pub(crate) enum HandoffResult {
    /// The object's response, which is sent to the caller.
    Responded(Response),
    /// The object has no memory for the request. Nothing was sent.
    Full,
    /// No connection could be opened, and none can be for this long. Nothing was sent.
    Unavailable { millis: u64 },
}

/// Reserves memory for the body of a send request. Chunks need no reservation: they are small, and permits
/// limit their number.
fn reserve(bytes: usize) -> std::result::Result<Reservation, Problem> {
    thread_local! {
        static BODIES: Rc<ByteBudget> = ByteBudget::new(MAX_BYTES_IN_FLIGHT);
    }
    BODIES.with(|budget| budget.reserve(bytes, clock::now()))
}

/// The header with the size of a send request's body.
const REQUEST_BYTES: &str = "x-apns-edge-request-bytes";

/// The header by which an object reports that it has no memory for a request.
const FULL: &str = "x-apns-edge-full";

/// The header by which an object reports that it has no connection.
const UNAVAILABLE_FOR_MS: &str = "x-apns-edge-unavailable-for-ms";
