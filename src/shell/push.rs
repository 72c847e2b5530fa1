//! Sends an order: asks the gate for a lease, runs the fan-out, gives the lease back.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use worker::{Context, Env};

use super::log::Event;
use super::{clock, fetch, gate};
use crate::api::problem::{Kind, Problem};
use crate::api::{Answer, Order, push};
use crate::apns::{Outcome, Request};
use crate::config::{ApiKey, App, Config};
use crate::delivery::fanout::{FETCH_WINDOW, Fanout, Launch, Next, Plan};
use crate::delivery::gate::{Command, Lease, Refusal, Reply};
use crate::delivery::receipt::Receipt;
use crate::delivery::verdict::TokenRefusal;
use crate::time::Timestamp;

/// Parses an order with what only the platform has: random bytes and the moment.
pub(super) fn parse<'c>(body: &[u8], caller: &ApiKey, config: &'c Config) -> Result<Order<'c>, Problem> {
    Order::parse(body, caller, config, clock::seed(), clock::now())
}

/// Sends an order and answers with a result for every device.
pub(super) async fn send(
    order: &Order<'_>,
    wait: Duration,
    config: &Config,
    env: &Env,
    context: &Context,
) -> Result<Answer, Problem> {
    let requests: Vec<&Request> = order
        .pushes
        .iter()
        .filter_map(|push| push.request.as_ref().ok())
        .collect();
    let started = clock::now();
    let receipts = if requests.is_empty() {
        Vec::new()
    } else {
        let mut run = Run::open(order.app, requests, wait, config, env).await?;
        let receipts = run.drive().await;
        context.wait_until(run.close());
        receipts
    };
    let tally = receipts.iter().map(Receipt::status).collect();
    let ms = u64::try_from(clock::now().since(started).as_millis()).unwrap_or(u64::MAX);
    Event::Sent {
        app: &order.app.name,
        transport: TRANSPORT,
        pushes: receipts.len(),
        tally,
        ms,
    }
    .write();
    Ok(push::answer(order, &receipts, TRANSPORT))
}

/// One fan-out with its lease.
struct Run<'r> {
    app: &'r App,
    origin: String,
    requests: Vec<&'r Request>,
    fanout: Fanout,
    lease: Lease,
    env: &'r Env,
}

impl<'r> Run<'r> {
    async fn open(
        app: &'r App,
        requests: Vec<&'r Request>,
        wait: Duration,
        config: &Config,
        env: &'r Env,
    ) -> Result<Self, Problem> {
        let lease = lease(app, None, env).await?;
        let now = clock::now();
        let plan = Plan {
            pushes: requests.len(),
            window: usize::try_from(lease.permits)
                .unwrap_or(FETCH_WINDOW)
                .min(FETCH_WINDOW),
            proven: lease.proven,
            attempt_timeout: config.attempt_timeout,
            launch_until: now + LAUNCH_TIME,
            resend_until: now + wait,
        };
        let origin = config.origin(app.credential.environment);
        Ok(Self {
            app,
            origin,
            requests,
            fanout: Fanout::new(plan),
            lease,
            env,
        })
    }

    async fn drive(&mut self) -> Vec<Receipt> {
        let mut receipts = Vec::with_capacity(self.requests.len());
        let mut in_flight = FuturesUnordered::new();
        loop {
            match self.fanout.next(clock::now()) {
                Next::Launch(launch) => {
                    let Some(request) = self.requests.get(launch.push).copied() else {
                        return receipts;
                    };
                    let token = self.lease.provider_token.clone();
                    let origin = self.origin.clone();
                    in_flight.push(async move {
                        let outcome = fetch::send(&origin, request, token.as_str(), launch.deadline).await;
                        (launch, outcome)
                    });
                }
                Next::Renew(refusal) => self.renew(refusal).await,
                Next::Unsent(receipt) => receipts.push(receipt),
                Next::Wait(until) => {
                    if let Some((launch, outcome)) = next_end(&mut in_flight, until).await {
                        receipts.extend(self.settle(launch, outcome));
                    }
                }
                Next::Done => return receipts,
            }
        }
    }

    fn settle(&mut self, launch: Launch, outcome: Outcome) -> Option<Receipt> {
        let repeatable = self
            .requests
            .get(launch.push)
            .is_some_and(|request| request.headers.collapse_id.is_some());
        self.fanout.settle(launch, outcome, repeatable, clock::now())
    }

    async fn renew(&mut self, refusal: TokenRefusal) {
        let issued_at = self.lease.provider_token.issued_at();
        let refused = match refusal {
            TokenRefusal::Expired => Refusal::Expired { issued_at },
            TokenRefusal::TooManyUpdates => Refusal::TooManyUpdates { issued_at },
        };
        self.settle_lease().await;
        match ask_for_lease(self.app, Some(refused), self.env).await {
            Ok(Reply::Granted(lease)) => {
                self.fanout.renewed(lease.proven);
                self.lease = lease;
            }
            Ok(Reply::Full { retry_after_ms } | Reply::Stopped { retry_after_ms, .. }) => {
                self.fanout
                    .not_renewed(Some(Duration::from_millis(retry_after_ms)));
            }
            Ok(Reply::Unavailable { .. } | Reply::Settled | Reply::Inspected(_)) | Err(_) => {
                self.fanout.not_renewed(None);
            }
        }
    }

    async fn settle_lease(&mut self) {
        let command = self.settle_command();
        give_back(self.env, self.app, command).await;
    }

    fn settle_command(&mut self) -> Command {
        let (report, proven) = self.fanout.take_report();
        let proven = proven.then(|| self.lease.provider_token.issued_at());
        Command::Settle {
            lease: self.lease.id,
            report,
            proven,
            shut_for_ms: None,
        }
    }

    /// Gives the lease back; the caller's answer need not wait for it.
    fn close(mut self) -> impl Future<Output = ()> + 'static {
        let command = self.settle_command();
        let (env, app) = (self.env.clone(), self.app.clone());
        async move { give_back(&env, &app, command).await }
    }
}

/// The next attempt to end, or nothing once `until` is reached.
async fn next_end<F: Future<Output = (Launch, Outcome)>>(
    in_flight: &mut FuturesUnordered<F>,
    until: Option<Timestamp>,
) -> Option<(Launch, Outcome)> {
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

async fn lease(app: &App, refused: Option<Refusal>, env: &Env) -> Result<Lease, Problem> {
    match ask_for_lease(app, refused, env).await {
        Ok(Reply::Granted(lease)) => Ok(lease),
        Ok(Reply::Full { retry_after_ms }) => {
            let detail = "all permits of the app's credential are taken and the queue for them is full; nothing was sent";
            Err(Problem::new(Kind::Busy, detail).retry_after_ms(retry_after_ms))
        }
        Ok(Reply::Stopped {
            retry_after_ms,
            problem,
        }) => {
            let detail = format!("{problem}; nothing was sent");
            Err(Problem::new(Kind::ProviderTokenRefused, detail).retry_after_ms(retry_after_ms))
        }
        Ok(Reply::Unavailable { problem }) => Err(Problem::new(Kind::Misconfigured, problem)),
        Ok(Reply::Settled | Reply::Inspected(_)) | Err(_) => {
            let detail = "the gate of the app's credential did not answer; nothing was sent";
            Err(Problem::new(Kind::Unavailable, detail).retry_after_ms(GATE_RETRY_MS))
        }
    }
}

async fn ask_for_lease(app: &App, refused: Option<Refusal>, env: &Env) -> Result<Reply, String> {
    let command = Command::Lease {
        want: u32::try_from(FETCH_WINDOW).unwrap_or(u32::MAX),
        ttl_ms: LEASE_TTL_MS,
        wait_ms: PERMIT_WAIT_MS,
        refused,
        pooled: false,
    };
    ask(env, app, &command).await
}

async fn give_back(env: &Env, app: &App, command: Command) {
    // A failure is logged; the permits then come back when the lease's time is over.
    let _ = ask(env, app, &command).await;
}

async fn ask(env: &Env, app: &App, command: &Command) -> Result<Reply, String> {
    let reply = gate::ask(env, &app.credential, command).await;
    if let Err(problem) = &reply {
        Event::GateFailed {
            app: &app.name,
            problem,
        }
        .write();
    }
    reply
}

/// The only transport there is.
const TRANSPORT: &str = "fetch";

/// How long an order may go on launching pushes: 500 devices, six at a time, at 700 ms each. What is left then goes back
/// to the caller unsent.
const LAUNCH_TIME: Duration = Duration::from_secs(60);

/// The life of a lease: the launching time and the longest attempt after it.
const LEASE_TTL_MS: u64 = 2 * 60 * 1000;

/// How long an order waits for permits before the caller is told to come back.
const PERMIT_WAIT_MS: u64 = 10_000;

/// When to try again after the gate did not answer.
const GATE_RETRY_MS: u64 = 1000;
