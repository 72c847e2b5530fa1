//! Executes the effects of a batch's [`BackgroundTasks`](batch::BackgroundTasks): sets the alarm, stores
//! changes, and makes calls.
//!
//! Each call runs independently of the event that began it and ends within [`CALL_TIMEOUT`]. Its end is
//! another event.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, FutureExt, LocalBoxFuture, select};
use worker::js_sys::JsString;
use worker::{BatchMessageBuilder, QueueContentType, RawMessageBuilder, Result};

use super::batch_state::BatchState;
use super::{run_report, webhooks};
use crate::objects::registry as directory;
use crate::platform::log::{self, Event as LogEvent};
use crate::platform::{bindings, clock};
use crate::stubs;
use api::config::Config;
use batch::registry;
use batch::{CALL_TIMEOUT, Call, Effect, Event, Message, Outcome, Record, Refusal, State};

/// Handles an event and executes its effects. Does nothing if there is no batch.
///
/// # Errors
/// Returns an error if the rows cannot be read or written. The memory is then cleared and the alarm is set.
pub(super) async fn step(core: &Rc<BatchState>, event: Event) -> std::result::Result<(), ()> {
    match core.load() {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(_) => {
            core.arm_after_failure().await;
            return Err(());
        }
    }
    let effects = core.handle(event);
    for effect in effects {
        match effect {
            Effect::Arm(at) => core.arm(at).await,
            Effect::Write => {
                if core.save().is_err() {
                    core.arm_after_failure().await;
                    return Err(());
                }
            }
            Effect::LogEnd => log_end(core),
            Effect::Begin { number, call } => core.state.wait_until(run(Rc::clone(core), number, call)),
        }
    }
    Ok(())
}

/// Makes a call and handles its end.
fn run(core: Rc<BatchState>, number: u64, call: Call) -> LocalBoxFuture<'static, ()> {
    async move {
        let in_doubt = if_unknown(&call);
        let made = match select(
            pin!(make(&core, call)),
            pin!(clock::at(clock::now() + CALL_TIMEOUT)),
        )
        .await
        {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => in_doubt,
        };
        // A failure is logged where it occurs, and the alarm is set there.
        let _ = step(
            &core,
            Event::Ended {
                call: number,
                outcome: made,
            },
        )
        .await;
    }
    .boxed_local()
}

/// Returns the outcome of a call that does not end in time: whatever may not have been done is repeated.
fn if_unknown(call: &Call) -> Outcome {
    match call {
        Call::Queue(chunks) => Outcome::Queued {
            refused: chunks.clone(),
        },
        Call::Deliver(delivery) => Outcome::Delivered {
            id: delivery.id.clone(),
            result: Err("it took too long".to_owned()),
        },
        Call::Register
        | Call::PauseOthers(_)
        | Call::WakeScans { .. }
        | Call::Report(_)
        | Call::FindGone(_)
        | Call::Remove => Outcome::Failed,
    }
}

async fn make(core: &BatchState, call: Call) -> Outcome {
    let Some(record) = core.with(|batch| batch.record().clone()) else {
        return if_unknown(&call);
    };
    let in_doubt = if_unknown(&call);
    let Ok(config) = bindings::config(&core.env) else {
        return in_doubt;
    };
    let made = match call {
        Call::Queue(chunks) => Ok(Outcome::Queued {
            refused: queue(core, config, &record, &chunks).await,
        }),
        Call::Register => register(core, config, &record).await,
        Call::PauseOthers(refusal) => pause_others(core, config, &record, refusal).await,
        Call::WakeScans { audience, shards } => run_report::wake_scans(core, &audience, shards).await,
        Call::Report(report) => run_report::report(core, report).await,
        Call::FindGone(from) => webhooks::find_gone(core, config, from),
        Call::Deliver(delivery) => Ok(Outcome::Delivered {
            result: webhooks::deliver(core, config, &record, &delivery).await,
            id: delivery.id,
        }),
        Call::Remove => core
            .forget()
            .await
            .map(|()| Outcome::Done)
            .map_err(|error| error.to_string()),
    };
    made.unwrap_or_else(|problem| {
        failed(&record.id, &problem);
        in_doubt
    })
}

fn failed(batch: &str, problem: &str) {
    LogEvent::BatchFailed { batch, problem }.write();
}

fn log_end(core: &BatchState) {
    let ended = core.with(|batch| (batch.record().clone(), batch.overview(clock::now()).pushes));
    let Some((record, pushes)) = ended else { return };
    LogEvent::BatchEnded {
        app: &record.app,
        batch: &record.id,
        state: record.state.as_str(),
        pushes,
        expense: core.expense(),
        memory_kb: log::memory_kb(),
    }
    .write();
}

/// Queues chunks, spread over the queues. Returns the chunks that could not be queued.
async fn queue(core: &BatchState, config: &Config, record: &Record, chunks: &[u32]) -> Vec<u32> {
    let mut refused = Vec::new();
    for shard in 0..config.batches.queues {
        let own = chunks
            .iter()
            .copied()
            .filter(|chunk| chunk % config.batches.queues == shard);
        let own: Vec<u32> = own.collect();
        for some in own.chunks(MESSAGES_AT_ONCE) {
            let sent = stubs::within(QUEUE_TIMEOUT, "the queue", send(core, shard, &record.id, some));
            if let Err(error) = sent.await {
                failed(&record.id, &format!("the queue refused: {error}"));
                refused.extend_from_slice(some);
            }
        }
    }
    refused
}

async fn send(core: &BatchState, shard: u32, batch: &str, chunks: &[u32]) -> Result<()> {
    let queue = core.env.queue(&bindings::queue(shard))?;
    let mut messages = BatchMessageBuilder::new();
    for chunk in chunks {
        let message = Message {
            batch: batch.to_owned(),
            chunk: *chunk,
        };
        let text = JsString::from(serde_json::to_string(&message)?);
        let message = RawMessageBuilder::new(text.into());
        messages = messages.message(message.build_with_content_type(QueueContentType::Text));
    }
    queue.send_raw_batch(messages.build()).await?;
    core.count_usage(|usage| usage.messages += chunks.len());
    Ok(())
}

/// Records the batch's state in the registry. Does nothing if the app is no longer configured.
async fn register(
    core: &BatchState,
    config: &Config,
    record: &Record,
) -> std::result::Result<Outcome, String> {
    let Some(app) = config.app(&record.app) else {
        return Ok(Outcome::Done);
    };
    let pushes = core
        .with(|batch| batch.overview(clock::now()).pushes)
        .unwrap_or_default();
    let entry = registry::Command::Record(registry::Entry {
        id: record.id.clone(),
        app: record.app.clone(),
        state: record.state.as_str().to_owned(),
        created_at: record.created_at,
        ended_at: record.ended_at,
        pushes,
        webhook: record.terms.webhook.clone(),
    });
    core.count_usage(|usage| usage.reports += 1);
    let result = directory::ask(&core.env, &app.credential, &entry).await;
    result.map(|_| Outcome::Done).map_err(|error| error.to_string())
}

/// Pauses the credential's other batches.
async fn pause_others(
    core: &BatchState,
    config: &Config,
    record: &Record,
    refusal: Refusal,
) -> std::result::Result<Outcome, String> {
    let Some(app) = config.app(&record.app) else {
        let unheard = Vec::new();
        return Ok(Outcome::PausedOthers { unheard });
    };
    let until = clock::now() + PAUSE_TIME;
    // A batch that was resumed in the meantime pauses no others.
    let is_refused = || core.with(|batch| batch.record().state) != Some(State::Running);
    let goes_on = || clock::now() < until && is_refused();
    let result = directory::pause_others(&core.env, &app.credential, &record.id, refusal, goes_on).await;
    result
        .map(|unheard| Outcome::PausedOthers { unheard })
        .map_err(|error| error.to_string())
}

/// Removes the batch from the registry, and sweeps old entries. If this fails, the removal of another batch
/// sweeps the entry later.
pub(super) async fn unregister(core: &BatchState) {
    let Some(record) = core.with(|batch| batch.record().clone()) else {
        return;
    };
    let config = bindings::config(&core.env).ok();
    let Some(app) = config.and_then(|config| config.app(&record.app)) else {
        return;
    };
    let batch = record.id.clone();
    let keep = Duration::from_millis(record.terms.keep_ms);
    let sweep = registry::Command::Sweep {
        before: clock::now() - keep.saturating_mul(2),
    };
    for command in [registry::Command::Forget { batch }, sweep] {
        if let Err(error) = directory::ask(&core.env, &app.credential, &command).await {
            failed(&record.id, &error.to_string());
        }
    }
}

/// How long one call pauses other batches. Together with the time limit of the last request it is less than
/// [`CALL_TIMEOUT`].
const PAUSE_TIME: Duration = Duration::from_secs(25);

/// How many messages a queue accepts at once (Cloudflare's limits of Queues).
const MESSAGES_AT_ONCE: usize = 100;

/// The time limit for queueing messages. If the queue accepts them later, they arrive twice, and the second
/// message claims nothing.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
