//! Drives a fan-out: sends the pushes that it launches, reports their outcomes to it, and returns the lease.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::objects::metrics;
use crate::platform::clock;
use crate::sending::lease;
use api::SendRequest;
use api::config::Transport::Fetch;
use api::config::{App, Config};
use apns::provider_token::ProviderToken;
use apns::time::Timestamp;
use apns::{Outcome, Request};
use delivery::fanout::{Fanout, Next, ONE_ATTEMPT_TIME, Plan};
use delivery::gate::{Command, Lease, Refusal, Reply};
use delivery::metrics::{MetricsDelta, Tally};
use delivery::receipt::Receipt;
use delivery::verdict::TokenRefusal;
use futures::StreamExt;
use futures::channel::oneshot;
use futures::future::{Either, FutureExt, LocalBoxFuture, Shared, select};
use futures::stream::FuturesUnordered;
use worker::Env;

/// A way to send one push.
pub(crate) trait Transport {
    /// Its name.
    const NAME: api::config::Transport;

    /// Returns the maximum number of pushes in flight.
    fn width(&self) -> usize;

    /// Sends a push and waits for its outcome, for at most `timeout` from when it is really sent. A push that
    /// could not be sent before `limit` is over is not sent.
    fn send(
        &self,
        request: &Request,
        token: &ProviderToken,
        timeout: Duration,
        limit: &SendLimit,
    ) -> impl Future<Output = Outcome>;

    /// Stops using the connections over which APNs has refused the credential to this transport. The
    /// platform's `fetch` chooses its own connections.
    fn use_another_connection(&self) {}

    /// Moves what it has counted since the last call into `delta`.
    fn count(&self, delta: &mut MetricsDelta);
}

/// The context of a sender.
pub(crate) struct SendContext<T> {
    pub(crate) lease: Lease,
    pub(crate) transport: T,
    /// What was counted before. It is added to the metrics with the rest.
    pub(crate) delta: MetricsDelta,
    pub(crate) env: Env,
}

/// Limits how long a sender sends: until a moment, or until it is stopped. Clones share one limit.
#[derive(Clone)]
pub(crate) struct SendLimit {
    until: Timestamp,
    /// One timer for all pushes of the sender.
    over: Shared<LocalBoxFuture<'static, ()>>,
    /// `None` once the sender is stopped.
    running: Rc<RefCell<Option<oneshot::Sender<()>>>>,
}

impl SendLimit {
    fn new(until: Timestamp) -> Self {
        let (running, stopped) = oneshot::channel::<()>();
        let over = async move {
            select(pin!(clock::at(until)), stopped).await;
        };
        Self {
            until,
            over: over.boxed_local().shared(),
            running: Rc::new(RefCell::new(Some(running))),
        }
    }

    /// Stops sending: pushes that are launched later or wait for a stream are not sent.
    pub(crate) fn stop(&self) {
        drop(self.running.borrow_mut().take());
    }

    /// Waits until sending ends.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + use<> {
        self.over.clone()
    }

    /// Whether sending has ended. A timer may be late, so the clock is checked.
    pub(crate) fn is_over(&self) -> bool {
        clock::now() >= self.until || self.running.borrow().is_none()
    }
}

/// A fan-out with its lease.
pub(crate) struct Sender<T> {
    send_request: Rc<SendRequest<'static>>,
    /// The indices of the devices in the request that pushes are sent to.
    sendable: Vec<usize>,
    fanout: Fanout,
    context: SendContext<T>,
    tally: Tally,
    attempt_timeout: Duration,
    limit: SendLimit,
}

/// Which pushes of a request are sent, and until when.
pub(crate) struct SendScope {
    /// The indices of the devices in the request that pushes are sent to.
    pub(crate) places: Vec<usize>,
    /// No attempt starts after this moment.
    pub(crate) launch_until: Timestamp,
    /// No push is sent again after this moment.
    pub(crate) resend_until: Timestamp,
}

impl SendScope {
    /// Creates the scope of a whole request. Resends end after `wait`.
    pub(crate) fn of_request(send_request: &SendRequest<'_>, wait: Duration) -> Self {
        let now = clock::now();
        let longest = if send_request.is_one_attempt() {
            ONE_ATTEMPT_TIME
        } else {
            lease::LAUNCH_TIME
        };
        Self {
            places: send_request.sendable().collect(),
            launch_until: now + longest,
            resend_until: now + wait.min(longest),
        }
    }
}

impl<T: Transport> Sender<T> {
    /// Creates a fan-out over `scope`.
    pub(crate) fn new(
        send_request: Rc<SendRequest<'static>>,
        mut context: SendContext<T>,
        scope: SendScope,
        config: &Config,
    ) -> Self {
        context.delta.lease(&send_request.app.name, true);
        let plan = Plan {
            pushes: scope.places.len(),
            window: usize::try_from(context.lease.permits)
                .unwrap_or(usize::MAX)
                .min(context.transport.width()),
            proven: context.lease.proven,
            accepted: context.lease.accepted,
            launch_until: scope.launch_until,
            resend_until: scope.resend_until,
            one_attempt: send_request.is_one_attempt(),
        };
        Self {
            send_request,
            limit: SendLimit::new(scope.launch_until),
            sendable: scope.places,
            fanout: Fanout::new(plan),
            context,
            tally: Tally::default(),
            attempt_timeout: config.attempt_timeout,
        }
    }

    /// Sends all pushes and calls `settled` with each receipt; its `push` is the index in the request. Calls
    /// `pause` before each wait, which may stop further launches.
    pub(crate) async fn drive(
        &mut self,
        mut settled: impl FnMut(Receipt),
        mut pause: impl FnMut() -> ControlFlow<()>,
    ) {
        let Self {
            send_request,
            sendable,
            fanout,
            context,
            tally,
            attempt_timeout,
            limit,
        } = self;
        let SendContext {
            lease,
            transport,
            delta,
            env,
        } = context;
        let (send_request, transport, timeout, limit) =
            (&**send_request, &*transport, *attempt_timeout, &*limit);
        let mut settled = |receipt: Receipt, tally: &mut Tally| {
            tally.settled(&receipt);
            let push = sendable.get(receipt.push).copied().unwrap_or_default();
            settled(Receipt { push, ..receipt });
        };
        let mut token = Rc::new(lease.provider_token.clone());
        let mut in_flight = FuturesUnordered::new();
        loop {
            match fanout.next(clock::now()) {
                Next::Launch(launch) => {
                    let request = sendable
                        .get(launch.push)
                        .and_then(|place| send_request.request(*place));
                    let Some(request) = request else { return };
                    tally.launched(&launch);
                    if launch.is_second_opinion() {
                        transport.use_another_connection();
                    }
                    let token = Rc::clone(&token);
                    in_flight.push(async move {
                        let outcome = transport.send(request, &token, timeout, limit).await;
                        (launch, outcome, request.is_repeatable())
                    });
                }
                Next::Renew(refusal) => {
                    let before = lease.id;
                    renew(fanout, lease, refusal, send_request.app, env).await;
                    delta.lease(&send_request.app.name, lease.id != before);
                    token = Rc::new(lease.provider_token.clone());
                }
                Next::Unsent(receipt) => settled(receipt, tally),
                Next::Wait(until) => {
                    if pause().is_break() {
                        fanout.halt();
                    }
                    if let Some((launch, outcome, repeatable)) = next_end(&mut in_flight, until).await {
                        let now = clock::now();
                        tally.ended(&launch, &outcome, now);
                        if let Some(receipt) = fanout.settle(launch, outcome, repeatable, now) {
                            settled(receipt, tally);
                        }
                    }
                }
                Next::Done => return,
            }
        }
    }

    /// Returns the limit that can stop the sending early.
    pub(crate) fn limit(&self) -> SendLimit {
        self.limit.clone()
    }

    /// Returns the maximum number of pushes in flight.
    pub(crate) const fn window(&self) -> usize {
        self.fanout.width()
    }

    /// Returns the lease to the gate.
    pub(crate) async fn close(mut self) {
        let SendContext { lease, env, .. } = &self.context;
        let settle = settle_command(&mut self.fanout, lease);
        lease::give_back(env, self.send_request.app, settle).await;
    }

    /// Adds counters of the whole request or chunk.
    pub(crate) fn count(&mut self, count: impl FnOnce(&mut MetricsDelta, &str)) {
        count(&mut self.context.delta, &self.send_request.app.name);
    }

    /// Returns a future that adds all counters to the metrics, to be run after the answer.
    pub(crate) fn add_to_metrics(&mut self) -> LocalBoxFuture<'static, ()> {
        let SendContext {
            transport,
            delta,
            env,
            ..
        } = &mut self.context;
        if let Some(headers) = self.send_request.headers() {
            let (app, name) = (&self.send_request.app.name, T::NAME.as_str());
            self.tally.take_into(delta, app, headers.push_type, name);
        }
        transport.count(delta);
        metrics::add(env.clone(), std::mem::take(delta))
    }
}

/// Replaces a provider token that APNs has refused.
async fn renew(fanout: &mut Fanout, lease: &mut Lease, refusal: TokenRefusal, app: &App, env: &Env) {
    let issued_at = lease.provider_token.issued_at();
    let refused = match refusal {
        TokenRefusal::Expired => Refusal::Expired { issued_at },
        TokenRefusal::TooManyUpdates => Refusal::TooManyUpdates { issued_at },
    };
    lease::give_back(env, app, settle_command(fanout, lease)).await;
    // Requests no slot of the pool: the pushes stay on their connection, and the pool must not consider
    // another one open.
    match lease::ask(env, app, lease.permits, Fetch, lease.share, Some(refused)).await {
        Ok(Reply::Granted(renewed)) => {
            fanout.renewed(renewed.proven, renewed.accepted);
            *lease = renewed;
        }
        Ok(Reply::Full { retry_after_ms } | Reply::Stopped { retry_after_ms, .. }) => {
            fanout.not_renewed(Some(Duration::from_millis(retry_after_ms)));
        }
        Ok(Reply::Unavailable { .. } | Reply::Settled | Reply::Dial(_) | Reply::Inspected(_)) | Err(_) => {
            fanout.not_renewed(None);
        }
    }
}

fn settle_command(fanout: &mut Fanout, lease: &Lease) -> Command {
    let (report, proven) = fanout.take_report();
    let proven = proven.then(|| lease.provider_token.issued_at());
    Command::Settle {
        lease: lease.id,
        report,
        proven,
        unavailable_for_ms: None,
        refused: fanout.take_refusal(),
    }
}

/// Returns the result of the next attempt that ends. Returns `None` once `until` is reached.
async fn next_end<E>(
    in_flight: &mut FuturesUnordered<impl Future<Output = E>>,
    until: Option<Timestamp>,
) -> Option<E> {
    let Some(until) = until else {
        return in_flight.next().await;
    };
    let timer = pin!(clock::at(until));
    if in_flight.is_empty() {
        timer.await;
        return None;
    }
    match select(in_flight.next(), timer).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => None,
    }
}
