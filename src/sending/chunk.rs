//! Sends a chunk of a batch: sends what was assigned, reports progress now and then, and settles the chunk.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::objects::batch;
use crate::platform::clock;
use crate::platform::log::{self, Event};
use crate::sending::sender::{SendContext, SendScope, Sender, Transport};
use ::batch::{Assignment, Command, Results};
use api::config::{App, Config, SETTLE_TIME};
use api::send_request::{Basis, Repeats};
use api::{Problem, SendRequest, batch as contract};
use apns::time::Timestamp;
use delivery::backoff;
use futures::future::{Either, FutureExt, LocalBoxFuture, join, select};
use worker::Env;

/// Parses the send request of a chunk: the notification's line and the device lines.
pub(crate) fn read(
    assignment: &Assignment,
    body: &[u8],
    app: &'static App,
) -> Result<SendRequest<'static>, Problem> {
    let seed = contract::seed(&assignment.batch).unwrap_or_default();
    let first = assignment.first;
    let collapse_id = contract::collapse_id(assignment);
    let basis = Basis {
        seed,
        first,
        repeats: collapse_id.as_deref().map_or(Repeats::Keep, Repeats::Separate),
    };
    SendRequest::parse_chunk(app, body, basis, assignment.created_at)
}

/// Sends the assigned pushes and settles with the batch and the gate.
pub(crate) async fn run<T: Transport>(
    assignment: Assignment,
    send_request: Rc<SendRequest<'static>>,
    context: SendContext<T>,
    config: &'static Config,
    spawn: impl Fn(LocalBoxFuture<'static, ()>),
) {
    let started = clock::now();
    let app = send_request.app;
    let scope = span(&assignment, &send_request, config, started);
    let pushes = scope.places.len();
    let env = context.env.clone();
    let mut run = Sender::new(send_request, context, scope, config);
    run.count(|delta, app| delta.chunk(app, T::NAME.as_str()));
    let window = run.window();
    let results = Rc::new(RefCell::new(Results::default()));
    let reporter = ProgressReporter {
        env: env.clone(),
        assignment: assignment.clone(),
        busy: Rc::default(),
        stop: Rc::default(),
    };
    let reported = Cell::new(0);
    let every = usize::try_from(config.batches.checkpoint).unwrap_or(usize::MAX);
    let look = || {
        let ended = results.borrow().len();
        // Pushes that are launched already will soon be in flight.
        let is_left = pushes.saturating_sub(ended) > window;
        if is_left && ended - reported.get() >= every && !reporter.busy.get() {
            reported.set(ended);
            spawn(reporter.clone().report(results.borrow().clone()).boxed_local());
        }
        if reporter.stop.get() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    // Launched pushes may wait for a stream, so a slow chunk also checks by time whether to continue.
    let limit = run.limit();
    let ask = async {
        loop {
            clock::at(clock::now() + ASK_EVERY).await;
            if !reporter.busy.get() {
                let so_far = results.borrow().clone();
                reporter.clone().report(so_far).await;
            }
            if reporter.stop.get() {
                limit.stop();
                return;
            }
        }
    };
    let drive = run.drive(|receipt| results.borrow_mut().add(&receipt), look);
    if let Either::Right(((), drive)) = select(pin!(drive), pin!(ask)).await {
        drive.await;
    }
    let results = results.take();
    Event::ChunkSent {
        app: &app.name,
        batch: &assignment.batch,
        chunk: assignment.chunk,
        pushes,
        memory_kb: log::memory_kb(),
        ms: clock::millis_since(started),
    }
    .write();
    spawn(run.add_to_metrics());
    join(settle(&env, &assignment, results), run.close()).await;
}

/// Returns what a runner sends and until when. It must stop before another runner may claim its chunk.
fn span(
    assignment: &Assignment,
    send_request: &SendRequest<'_>,
    config: &Config,
    now: Timestamp,
) -> SendScope {
    let places = send_request
        .sendable()
        .filter(|place| assignment.indices.contains(*place));
    let claimed_until = assignment.claim - config.attempt_timeout - SETTLE_TIME;
    let launch_until = (now + crate::sending::lease::LAUNCH_TIME)
        .min(claimed_until)
        .min(assignment.launch_until.unwrap_or(claimed_until));
    SendScope {
        places: places.collect(),
        launch_until,
        resend_until: launch_until.min(now + RESEND_TIME),
    }
}

/// Reports a chunk's progress while it is sent.
#[derive(Clone)]
struct ProgressReporter {
    env: Env,
    assignment: Assignment,
    busy: Rc<Cell<bool>>,
    stop: Rc<Cell<bool>>,
}

impl ProgressReporter {
    async fn report(self, results: Results) {
        self.busy.set(true);
        // The next report repeats one that fails.
        if let Ok(settled) = batch::settle(&self.env, &self.assignment, results, false).await {
            self.stop.set(settled.stop);
        }
        self.busy.set(false);
    }
}

/// Makes the chunk's last report, until the batch has received it or the claim expires. Results that the
/// batch never receives count as lost.
async fn settle(env: &Env, assignment: &Assignment, results: Results) {
    report(assignment, || {
        batch::settle(env, assignment, results.clone(), true)
    })
    .await;
}

/// Repeats a report until it succeeds or the claim expires.
async fn report<T, F>(assignment: &Assignment, mut attempt: impl FnMut() -> F)
where
    F: Future<Output = Result<T, String>>,
{
    let mut failures = 0;
    loop {
        let Err(problem) = attempt().await else {
            return;
        };
        failures += 1;
        let salt = u64::from(assignment.chunk);
        let Some(next_at) = backoff::next_report(failures, salt, assignment.claim, clock::now()) else {
            return Event::BatchFailed {
                batch: &assignment.batch,
                problem: &problem,
            }
            .write();
        };
        clock::at(next_at).await;
    }
}

/// Returns the claim of a chunk that could not be started.
pub(crate) async fn release(env: &Env, assignment: &Assignment, after_ms: u64) {
    let command = Command::Release {
        chunk: assignment.chunk,
        claim: assignment.claim,
        after_ms,
    };
    send(env, assignment, command).await;
}

/// Returns the claim of a chunk that cannot be sent with the deployment's current settings. The batch pauses.
pub(crate) async fn halt(env: &Env, assignment: &Assignment, detail: String) {
    let command = Command::Halt {
        chunk: assignment.chunk,
        claim: assignment.claim,
        detail,
    };
    send(env, assignment, command).await;
}

async fn send(env: &Env, assignment: &Assignment, command: Command) {
    report(assignment, || batch::command(env, &assignment.batch, &command)).await;
}

/// How long the runner itself may resend a chunk's pushes: enough for a new connection or a restarted server. A
/// longer wait takes place in the batch, where it delays nothing else.
const RESEND_TIME: Duration = Duration::from_secs(3);

/// How often a slow chunk asks the batch whether to continue. A pause, a cancel or the end of a window takes
/// effect within this time.
const ASK_EVERY: Duration = Duration::from_secs(2);
