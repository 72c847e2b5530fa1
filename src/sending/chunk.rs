//! Runs a chunk of a batch: sends what was assigned, says how far it is now and then, and settles it.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::objects::batch;
use crate::platform::clock;
use crate::platform::log::{self, Event};
use crate::sending::run::{Means, Run, Span, Transport};
use ::batch::{Assignment, Command, Results};
use api::config::{App, Config, SETTLE_TIME};
use api::order::{Basis, Repeats};
use api::{Order, Problem, batch as contract};
use apns::time::Timestamp;
use delivery::backoff;
use futures::future::{Either, FutureExt, LocalBoxFuture, join, select};
use worker::Env;

/// Reads the order of a chunk: the notification's line and the device lines.
pub(crate) fn read(
    assignment: &Assignment,
    body: &[u8],
    app: &'static App,
) -> Result<Order<'static>, Problem> {
    let seed = contract::seed(&assignment.batch).unwrap_or_default();
    let first = assignment.first;
    let collapse_id = contract::collapse_id(assignment);
    let basis = Basis {
        seed,
        first,
        repeats: collapse_id.as_deref().map_or(Repeats::Keep, Repeats::Separate),
    };
    Order::parse_chunk(app, body, basis, assignment.created_at)
}

/// Sends what was assigned of an order, and settles it with the batch and the gate.
pub(crate) async fn run<T: Transport>(
    assignment: Assignment,
    order: Rc<Order<'static>>,
    means: Means<T>,
    config: &'static Config,
    spawn: impl Fn(LocalBoxFuture<'static, ()>),
) {
    let started = clock::now();
    let app = order.app;
    let span = span(&assignment, &order, config, started);
    let pushes = span.places.len();
    let env = means.env.clone();
    let mut run = Run::new(order, means, span, config);
    run.count(|delta, app| delta.chunk(app, T::NAME.as_str()));
    let window = run.window();
    let results = Rc::new(RefCell::new(Results::default()));
    let teller = Teller {
        env: env.clone(),
        assignment: assignment.clone(),
        busy: Rc::default(),
        stop: Rc::default(),
    };
    let told = Cell::new(0);
    let every = usize::try_from(config.batches.checkpoint).unwrap_or(usize::MAX);
    let look = || {
        let ended = results.borrow().len();
        // What is launched already is soon in flight.
        let is_left = pushes.saturating_sub(ended) > window;
        if is_left && ended - told.get() >= every && !teller.busy.get() {
            told.set(ended);
            spawn(teller.clone().tell(results.borrow().clone()).boxed_local());
        }
        if teller.stop.get() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    // What is launched may wait for a stream, so that a slow run asks by time whether to go on.
    let limit = run.limit();
    let ask = async {
        loop {
            clock::at(clock::now() + ASK_EVERY).await;
            if !teller.busy.get() {
                let so_far = results.borrow().clone();
                teller.clone().tell(so_far).await;
            }
            if teller.stop.get() {
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

/// What a runner sends, and until when: it must have ended before another may take its chunk.
fn span(assignment: &Assignment, order: &Order<'_>, config: &Config, now: Timestamp) -> Span {
    let places = order
        .sendable()
        .filter(|place| assignment.places.contains(*place));
    let claimed_until = assignment.claim - config.attempt_timeout - SETTLE_TIME;
    let launch_until = (now + crate::sending::lease::LAUNCH_TIME)
        .min(claimed_until)
        .min(assignment.launch_until.unwrap_or(claimed_until));
    Span {
        places: places.collect(),
        launch_until,
        resend_until: launch_until.min(now + RESEND_TIME),
    }
}

/// Says how far a chunk is while it is sent.
#[derive(Clone)]
struct Teller {
    env: Env,
    assignment: Assignment,
    busy: Rc<Cell<bool>>,
    stop: Rc<Cell<bool>>,
}

impl Teller {
    async fn tell(self, results: Results) {
        self.busy.set(true);
        // One that is not heard is repeated by the next.
        if let Ok(settled) = batch::settle(&self.env, &self.assignment, results, false).await {
            self.stop.set(settled.stop);
        }
        self.busy.set(false);
    }
}

/// Reports to the batch how the chunk ended, until the batch has heard or the claim ends. What it does not hear of counts as
/// never heard of again.
async fn settle(env: &Env, assignment: &Assignment, results: Results) {
    report(assignment, || {
        batch::settle(env, assignment, results.clone(), true)
    })
    .await;
}

/// Makes a report to the batch until it has been heard, or the claim ends.
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

/// A chunk that could not be begun goes back.
pub(crate) async fn release(env: &Env, assignment: &Assignment, after_ms: u64) {
    let command = Command::Release {
        chunk: assignment.chunk,
        claim: assignment.claim,
        after_ms,
    };
    tell(env, assignment, command).await;
}

/// A chunk that cannot be sent as the deployment is now goes back, and its batch pauses.
pub(crate) async fn halt(env: &Env, assignment: &Assignment, detail: String) {
    let command = Command::Halt {
        chunk: assignment.chunk,
        claim: assignment.claim,
        detail,
    };
    tell(env, assignment, command).await;
}

async fn tell(env: &Env, assignment: &Assignment, command: Command) {
    report(assignment, || batch::command(env, &assignment.batch, &command)).await;
}

/// How long a chunk's pushes may be sent again by the runner itself: a connection that is replaced, a server that is
/// restarted. What takes longer waits in the batch, where it holds nobody up.
const RESEND_TIME: Duration = Duration::from_secs(3);

/// How often a run that goes on asks the batch whether to: a pause, a cancel or the end of a window reaches it within this time.
const ASK_EVERY: Duration = Duration::from_secs(2);
