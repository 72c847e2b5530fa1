//! The queue's consumer.
//!
//! A message says that a chunk can be claimed. Nothing here throws: the platform would deliver all messages
//! again and start fewer consumers. A message is acknowledged as soon as the batch has answered, because the
//! batch queues again what was not done. It is retried only if the batch cannot be reached.

use std::rc::Rc;

use crate::objects::connection::{self, ConnectionRequest, HandoffResult};
use crate::objects::{batch, metrics, registry};
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use crate::sending::fetch::FetchTransport;
use crate::sending::sender::SendContext;
use crate::sending::{chunk, lease};
use crate::stubs;
use ::batch::{Assignment, Command, Message};
use api::batch as contract;
use api::config::{App, Config, Transport};
use api::format::Format;
use apns::time::Timestamp;
use delivery::fanout::FETCH_WINDOW;
use delivery::gate::{self, Lease, Reply};
use delivery::limiter::FairShare;
use delivery::metrics::MetricsDelta;
use futures::lock::{Mutex, MutexGuard};
use futures::stream::{self, StreamExt};
use worker::{Context, Env, MessageBatch, MessageExt, QueueRetryOptionsBuilder, RawMessage};

/// Handles the messages of one delivery.
pub(crate) async fn consume(messages: MessageBatch<()>, env: &Env, context: &Context) {
    let queue = messages.queue();
    let turn = Mutex::new(());
    let received: Vec<RawMessage> = messages.raw_iter().collect();
    stream::iter(received)
        .for_each_concurrent(AT_ONCE, |message| {
            let (queue, turn) = (&queue, &turn);
            async move { receive(&message, queue, turn, env, context).await }
        })
        .await;
}

async fn receive(message: &RawMessage, queue: &str, turn: &Mutex<()>, env: &Env, context: &Context) {
    let text = message.body().as_string().unwrap_or_default();
    let parsed = serde_json::from_str::<Message>(&text);
    let taken = match parsed {
        Ok(wanted) if !queue.ends_with(DEAD) => {
            let queued_at = Timestamp::from_millis(message.timestamp().as_millis());
            run(&wanted, queued_at, turn, env, context).await
        }
        Ok(_) => registry::add_dead_letter(env, &message.id(), queue, &text, "it was retried in vain").await,
        Err(error) => {
            let problem = format!("it cannot be read: {error}");
            registry::add_dead_letter(env, &message.id(), queue, &text, &problem).await
        }
    };
    match taken {
        Ok(()) => message.ack(),
        Err(problem) => {
            Event::MessageFailed {
                queue,
                problem: &problem,
            }
            .write();
            let options = QueueRetryOptionsBuilder::new().with_delay_seconds(RETRY_SECONDS);
            message.retry_with_options(&options.build());
        }
    }
}

/// Claims a chunk and sends it. Chunks that use `fetch` take turns from their claim on: an invocation has six
/// requests for all of them.
async fn run(
    wanted: &Message,
    queued_at: Timestamp,
    turn: &Mutex<()>,
    env: &Env,
    context: &Context,
) -> Result<(), String> {
    let my_turn = turn.lock().await;
    let claim = Command::Claim { chunk: wanted.chunk };
    let Some(body) = batch::command(env, &wanted.batch, &claim).await? else {
        return Ok(());
    };
    let mut delta = MetricsDelta::default();
    delta.claimed(clock::now().since(queued_at));
    let end = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
    let (first, send_request) = body.split_at(end);
    let assignment: Assignment = stubs::read(first)?;
    let send_request = send_request.get(1..).unwrap_or_default();
    let Ok(config) = bindings::config(env) else {
        chunk::halt(
            env,
            &assignment,
            "the deployment's settings have faults".to_owned(),
        )
        .await;
        return Ok(());
    };
    let app = match config.find_app(&assignment.app) {
        Ok(app) => app,
        Err(error) => {
            chunk::halt(env, &assignment, error.to_string()).await;
            return Ok(());
        }
    };
    let dispatch = Dispatch {
        assignment,
        send_request,
        app,
        config,
        env,
        context,
        delta: &mut delta,
    };
    match app.transport {
        Transport::Fetch => dispatch.by_fetch(my_turn).await,
        Transport::Socket => {
            drop(my_turn);
            dispatch.by_socket(turn).await;
        }
    }
    // A sender adds the counters that it has taken over.
    context.wait_until(metrics::add(env.clone(), delta));
    Ok(())
}

/// A claimed chunk.
struct Dispatch<'d> {
    assignment: Assignment,
    send_request: &'d [u8],
    app: &'static App,
    config: &'static Config,
    env: &'d Env,
    context: &'d Context,
    /// Counters that no sender has taken over yet.
    delta: &'d mut MetricsDelta,
}

impl Dispatch<'_> {
    async fn by_fetch(self, _my_turn: MutexGuard<'_, ()>) {
        let send_request = match chunk::read(&self.assignment, self.send_request, self.app) {
            Ok(send_request) => Rc::new(send_request),
            Err(problem) => {
                return chunk::halt(self.env, &self.assignment, problem.detail().to_owned()).await;
            }
        };
        let Some(lease) = self.lease(FETCH_WINDOW, Transport::Fetch).await else {
            return self.delta.lease(&self.app.name, false);
        };
        let context = SendContext {
            lease,
            transport: FetchTransport::new(self.config.origin(self.app.credential.environment)),
            delta: std::mem::take(self.delta),
            env: self.env.clone(),
        };
        let spawn = |work| self.context.wait_until(work);
        chunk::run(self.assignment, send_request, context, self.config, spawn).await;
    }

    async fn by_socket(self, turn: &Mutex<()>) {
        let streams = usize::try_from(self.config.sockets.pool.streams).unwrap_or(1);
        let Some(lease) = self.lease(streams, Transport::Socket).await else {
            return self.delta.lease(&self.app.name, false);
        };
        let errand = ConnectionRequest {
            app: self.app.name.clone(),
            lease,
            wait_ms: 0,
            format: Format {
                lines_in: true,
                lines_out: false,
            },
            assignment: Some(self.assignment.clone()),
            delta: std::mem::take(self.delta),
        };
        // An object that did not answer may be sending. The claim and the lease expire by themselves.
        let Ok(HandoffResult::Unavailable { millis }) =
            connection::hand_over(self.env, self.app, &errand, self.send_request).await
        else {
            return;
        };
        self.delta.merge(errand.delta);
        self.delta.lease(&self.app.name, true);
        let settle = gate::Command::Settle {
            lease: errand.lease.id,
            report: Default::default(),
            proven: None,
            unavailable_for_ms: Some(millis),
            refused: None,
        };
        lease::give_back(self.env, self.app, settle).await;
        if !self.config.sockets.fallback {
            return chunk::release(self.env, &self.assignment, millis).await;
        }
        Event::FellBack {
            app: &self.app.name,
            devices: self.assignment.indices.len(),
        }
        .write();
        self.delta.fallback(&self.app.name);
        self.by_fetch(turn.lock().await).await;
    }

    /// Requests a lease for the chunk. If none is granted, the chunk's claim is returned.
    async fn lease(&self, width: usize, transport: Transport) -> Option<Lease> {
        let want = u32::try_from(self.assignment.indices.len().clamp(1, width)).unwrap_or(1);
        let share = FairShare {
            batch: contract::share(&self.assignment.batch),
            weight: self.assignment.weight,
        };
        let after_ms = match lease::ask(self.env, self.app, want, transport, Some(share), None).await {
            Ok(Reply::Granted(lease)) => return Some(lease),
            Ok(Reply::Full { retry_after_ms } | Reply::Stopped { retry_after_ms, .. }) => retry_after_ms,
            Ok(Reply::Unavailable { problem }) => {
                chunk::halt(self.env, &self.assignment, problem).await;
                return None;
            }
            Ok(Reply::Settled | Reply::Dial(_) | Reply::Inspected(_)) | Err(_) => GATE_RETRY_MS,
        };
        chunk::release(self.env, &self.assignment, after_ms).await;
        None
    }
}

/// How many chunks of a delivery are claimed at once: as many as a credential's connections carry together,
/// at 500 pushes each.
///
/// The gate makes them wait for their turn. This limits the memory of a delivery to a megabyte.
const AT_ONCE: usize = 16;

/// The suffix of a dead-letter queue's name.
const DEAD: &str = "-dead-letters";

/// The delay before a batch that could not be reached is tried again.
const RETRY_SECONDS: u32 = 5;

/// The delay after the gate did not answer.
const GATE_RETRY_MS: u64 = 1000;
