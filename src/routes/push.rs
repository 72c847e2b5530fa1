//! `POST /v1/push`: passes a send request to its transport and returns the answer.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use crate::objects::batch::Body;
use crate::objects::connection::{self, ConnectionRequest, HandoffResult};
use crate::objects::metrics;
use crate::platform::log::{self, Event};
use crate::platform::{clock, http};
use crate::routes::batches;
use crate::sending::fetch::FetchTransport;
use crate::sending::lease;
use crate::sending::sender::{self, SendContext, SendScope, Sender};
use api::byte_budget::{self, Reservation};
use api::config::{App, Caller, Config, Transport};
use api::format::{Format, LINES, Limits, RequestProbe};
use api::problem::{Kind, Problem};
use api::push::Lines;
use api::{Answer, SendRequest, auth, preview, push};
use delivery::fanout::FETCH_WINDOW;
use delivery::gate::{Command, Lease};
use delivery::metrics::MetricsDelta;
use delivery::receipt::{Receipt, Tally};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::{FutureExt, LocalBoxFuture};
use worker::{Context, Env, Headers, Request, Response, ResponseBuilder};

/// Answers a request to send.
pub(crate) async fn answer(
    request: &mut Request,
    caller: &Caller,
    config: &'static Config,
    env: &Env,
    context: &Context,
) -> Result<Response, Problem> {
    // An unknown content encoding is always refused.
    http::coding(request)?;
    let wait = push::wait(http::header(request, "prefer").as_deref());
    let limit = Limits::of(Transport::Socket).body;
    let content_type = http::header(request, "content-type");
    let format = Format::of(
        content_type.as_deref(),
        http::header(request, "accept").as_deref(),
    );
    if batches::is_wanted(request) || http::declared_size(request) > limit {
        return batches::stream_upload(request, caller, format, env).await;
    }
    let (body, reservation) = match http::read_up_to(request, limit).await? {
        http::Read::Whole(body, reservation) => (body, reservation),
        http::Read::Part(read, rest, _reservation) => {
            return batches::continue_upload(request, caller, format, (read, *rest), env).await;
        }
    };
    let probe = match RequestProbe::read(&body, format) {
        // A request that is too large for an immediate answer may still be small enough for a batch.
        Err(problem) if problem.kind() == Kind::BodyTooLarge => {
            return batches::upload(request, caller, format, Body::Bytes(body), env).await;
        }
        probe => probe?,
    };
    let app = auth::choose_app(probe.app.as_deref(), caller, config)?;
    let limits = Limits::of(app.transport);
    if probe.batch || probe.devices > limits.devices || body.len() > limits.body {
        return batches::upload(request, caller, format, Body::Bytes(body), env).await;
    }
    let send_request = Written {
        app,
        body,
        format,
        wait,
        reservation: Some(reservation),
    };
    at_once(send_request, probe.devices, config, env, context).await
}

/// A send request as its caller wrote it.
pub(crate) struct Written {
    pub(crate) app: &'static App,
    pub(crate) body: Vec<u8>,
    pub(crate) format: Format,
    /// How long resends may take.
    pub(crate) wait: Duration,
    /// The memory reserved for the body, if it is a request's.
    pub(crate) reservation: Option<Reservation>,
}

/// Sends a request to `devices` devices and answers with the result of each.
pub(crate) async fn at_once(
    written: Written,
    devices: usize,
    config: &'static Config,
    env: &Env,
    context: &Context,
) -> Result<Response, Problem> {
    let mut delta = MetricsDelta::default();
    let app = written.app;
    let send_request = Dispatch {
        app,
        body: written.body,
        format: written.format,
        wait: written.wait,
        reservation: written.reservation,
        config,
        env,
        context,
        delta: &mut delta,
    };
    let answer = match app.transport {
        Transport::Fetch => send_request.by_fetch().await,
        Transport::Socket => send_request.by_socket(devices).await,
    };
    if let Err(problem) = &answer {
        delta.request(&app.name, problem.kind().status());
    }
    // A sender or a connection object adds the counters that it has taken over.
    context.wait_until(metrics::add(env.clone(), delta));
    answer
}

/// Answers a request to preview what would be sent.
pub(crate) async fn preview(
    request: &mut Request,
    caller: &Caller,
    config: &Config,
) -> Result<Answer, Problem> {
    let format = Format::of(http::header(request, "content-type").as_deref(), None);
    let body = http::read_body(request, Limits::of(Transport::Socket).body).await?;
    let probe = RequestProbe::read(&body, format)?;
    let app = auth::choose_app(probe.app.as_deref(), caller, config)?;
    http::check_size(body.len(), Limits::of(app.transport).body)?;
    let send_request = SendRequest::parse_for(app, &body, format, clock::seed(), clock::now())?;
    preview::answer(&send_request, config)
}

/// A send request that is not parsed yet.
struct Dispatch<'d> {
    app: &'static App,
    body: Vec<u8>,
    format: Format,
    wait: Duration,
    reservation: Option<Reservation>,
    config: &'static Config,
    env: &'d Env,
    context: &'d Context,
    /// Counters that no sender has taken over yet.
    delta: &'d mut MetricsDelta,
}

impl Dispatch<'_> {
    async fn by_fetch(mut self) -> Result<Response, Problem> {
        let send_request = Rc::new(parse(&self.body, self.format, self.app)?);
        let pushes = send_request.sendable().count();
        if pushes == 0 {
            self.delta.request(&self.app.name, 200);
            return nothing_to_send(&send_request, self.format, Transport::Fetch);
        }
        let want = u32::try_from(pushes.min(FETCH_WINDOW)).unwrap_or(1);
        let context = SendContext {
            lease: self.lease(want, Transport::Fetch).await?,
            transport: FetchTransport::new(self.config.origin(self.app.credential.environment)),
            delta: std::mem::take(self.delta),
            env: self.env.clone(),
        };
        let scope = SendScope::of_request(&send_request, self.wait);
        let run = Sender::new(Rc::clone(&send_request), context, scope, self.config);
        let spawn = |work| self.context.wait_until(work);
        let after = move || drop(self.reservation);
        send(send_request, run, self.format, Transport::Fetch, spawn, after).await
    }

    async fn by_socket(mut self, devices: usize) -> Result<Response, Problem> {
        let streams = usize::try_from(self.config.sockets.pool.streams).unwrap_or(1);
        let want = u32::try_from(devices.clamp(1, streams)).unwrap_or(1);
        let lease = self.lease(want, Transport::Socket).await?;
        let wait_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        let errand = ConnectionRequest {
            app: self.app.name.clone(),
            lease,
            wait_ms,
            format: self.format,
            assignment: None,
            delta: std::mem::take(self.delta),
        };
        let unavailable = |_| {
            // The lease stays until it expires: the object may be sending under it.
            let detail = "the connection object did not answer; pushes may have been sent";
            Problem::new(Kind::Unavailable, detail).retry_after_ms(lease::TTL_MS)
        };
        match connection::hand_over(self.env, self.app, &errand, &self.body)
            .await
            .map_err(unavailable)?
        {
            HandoffResult::Responded(response) => Ok(response),
            HandoffResult::Full => {
                self.give_back(errand, None).await;
                Err(byte_budget::refusal())
            }
            HandoffResult::Unavailable { millis } => {
                self.give_back(errand, Some(millis)).await;
                if !self.config.sockets.fallback {
                    let detail = "no connection to APNs can be opened; nothing was sent";
                    return Err(Problem::new(Kind::Unavailable, detail).retry_after_ms(millis));
                }
                Event::FellBack {
                    app: &self.app.name,
                    devices,
                }
                .write();
                self.delta.fallback(&self.app.name);
                self.by_fetch().await
            }
        }
    }

    /// Returns a lease under which nothing was sent. No connection can be opened for `unavailable_for_ms`.
    async fn give_back(&mut self, errand: ConnectionRequest, unavailable_for_ms: Option<u64>) {
        self.delta.merge(errand.delta);
        self.delta.lease(&self.app.name, true);
        let settle = Command::Settle {
            lease: errand.lease.id,
            report: Default::default(),
            proven: None,
            unavailable_for_ms,
            refused: None,
        };
        lease::give_back(self.env, self.app, settle).await;
    }

    /// Requests a lease of up to `want` permits. A granted lease is counted by its user.
    async fn lease(&mut self, want: u32, transport: Transport) -> Result<Lease, Problem> {
        let lease = lease::open(self.env, self.app, want, transport).await;
        if lease.is_err() {
            self.delta.lease(&self.app.name, false);
        }
        lease
    }
}

/// Parses a send request with random bytes and the current time, which only the platform has.
pub(crate) fn parse(body: &[u8], format: Format, app: &'static App) -> Result<SendRequest<'static>, Problem> {
    SendRequest::parse_for(app, body, format, clock::seed(), clock::now())
}

/// Returns the answer to a request whose devices are all skipped.
pub(crate) fn nothing_to_send(
    send_request: &SendRequest<'_>,
    format: Format,
    transport: Transport,
) -> Result<Response, Problem> {
    if !format.lines_out {
        return http::response(push::answer(send_request, &[], transport)).map_err(unanswered);
    }
    let mut lines = Lines::begin(send_request);
    lines.end(send_request, transport);
    lines_head().from_bytes(lines.take()).map_err(unanswered)
}

/// Runs a request's fan-out and answers. Work that outlives the answer is passed to `spawn`; `after` is
/// called at the end.
pub(crate) async fn send<T: sender::Transport + 'static>(
    send_request: Rc<SendRequest<'static>>,
    mut run: Sender<T>,
    format: Format,
    transport: Transport,
    spawn: impl Fn(LocalBoxFuture<'static, ()>),
    after: impl FnOnce() + 'static,
) -> Result<Response, Problem> {
    run.count(|delta, app| delta.request(app, 200));
    let started = clock::now();
    let sent = move |app: &App, tally: Tally| {
        let ms = clock::millis_since(started);
        Event::Sent {
            app: &app.name,
            transport: transport.as_str(),
            tally,
            memory_kb: log::memory_kb(),
            ms,
        }
        .write();
    };
    if format.lines_out {
        let (sender, receiver) = mpsc::unbounded();
        let work = async move {
            let lines = RefCell::new(Lines::begin(&send_request));
            let mut tally = Tally::default();
            let flush = |least| {
                let mut lines = lines.borrow_mut();
                if lines.len() >= least {
                    // A caller that disconnects stops nothing. An invocation with `fetch` then has some 30 s
                    // left, an object as long as it needs.
                    let _ = sender.unbounded_send(Ok::<_, worker::Error>(lines.take()));
                }
            };
            let settled = |receipt: Receipt| {
                tally.add(receipt.status());
                lines.borrow_mut().add(&send_request, &receipt);
            };
            let on = || {
                flush(FLUSH_AT);
                ControlFlow::Continue(())
            };
            run.drive(settled, on).await;
            lines.borrow_mut().end(&send_request, transport);
            flush(1);
            sent(send_request.app, tally);
            let metrics = run.add_to_metrics();
            run.close().await;
            metrics.await;
            after();
        };
        spawn(work.boxed_local());
        return lines_head()
            .from_stream(receiver.boxed_local())
            .map_err(unanswered);
    }
    let mut receipts = Vec::with_capacity(send_request.pushes.len());
    run.drive(|receipt| receipts.push(receipt), || ControlFlow::Continue(()))
        .await;
    sent(send_request.app, receipts.iter().map(Receipt::status).collect());
    let response = http::response(push::answer(&send_request, &receipts, transport)).map_err(unanswered);
    let work = async move {
        let metrics = run.add_to_metrics();
        run.close().await;
        metrics.await;
        after();
    };
    spawn(work.boxed_local());
    response
}

fn lines_head() -> ResponseBuilder {
    let headers = Headers::new();
    for (name, value) in [("content-type", LINES), ("cache-control", "no-store")] {
        // All platforms accept these names and values.
        let _ = headers.set(name, value);
    }
    ResponseBuilder::new().with_headers(headers)
}

fn unanswered(_: worker::Error) -> Problem {
    Problem::new(
        Kind::Unavailable,
        "the answer could not be written; pushes may have been sent",
    )
}

/// How many bytes of lines are collected while there is more to do: large enough to be cheap, small enough to
/// show progress.
const FLUSH_AT: usize = 8 * 1024;
