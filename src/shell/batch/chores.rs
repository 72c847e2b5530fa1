//! What a batch's object does on its own: messages for the queue, news for the registry, deliveries to the webhook, the end
//! of a run to its campaign and its audience, and the alarm that wakes it for the next of these.
//!
//! One round at a time, and another one if something happened meanwhile. What fails is tried again by the next round,
//! for which the alarm is set.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use worker::js_sys::JsString;
use worker::{BatchMessageBuilder, QueueContentType, RawMessageBuilder, Result};

use super::core::Core;
use super::{origin, webhooks};
use crate::config::Config;
use crate::delivery::batch::{Batch, Message, Notice};
use crate::delivery::registry;
use crate::shell::log::{self, Event};
use crate::shell::{bindings, clock, registry as directory};

/// What is to be done.
#[derive(Default)]
pub(super) struct Chores {
    is_working: Cell<bool>,
    is_wanted: Cell<bool>,
    /// Whether the registry does not know the batch's state yet.
    is_news: Cell<bool>,
    /// Why APNs refuses the credential, if its other batches do not know yet.
    refused: RefCell<Option<String>>,
}

impl Chores {
    /// The registry may not know how the batch stands.
    pub(super) fn state_changed(&self) {
        self.is_news.set(true);
    }

    /// The batch is forgotten: the registry forgets it too, and with it what else is long over.
    pub(super) async fn forgotten(&self, core: &Core) {
        let Some(record) = core.with(|batch| batch.record().clone()) else {
            return;
        };
        let Some(app) = bindings::config(&core.env)
            .ok()
            .and_then(|config| config.app(&record.app))
        else {
            return;
        };
        let batch = record.id.clone();
        let keep = Duration::from_millis(record.terms.keep_ms);
        let sweep = registry::Command::Sweep {
            before: clock::now() - keep.saturating_mul(2),
        };
        for command in [registry::Command::Forget { batch }, sweep] {
            if let Err(error) = directory::tell(&core.env, &app.credential, &command).await {
                Event::BatchFailed {
                    batch: &record.id,
                    problem: &error.to_string(),
                }
                .write();
            }
        }
    }
}

/// Does what is due.
pub(super) async fn work(core: &Rc<Core>) {
    core.chores.is_wanted.set(true);
    if core.chores.is_working.replace(true) {
        return;
    }
    let mut failed = false;
    while core.chores.is_wanted.replace(false) {
        failed = round(core).await.is_err();
        origin::work(core).await;
    }
    core.chores.is_working.set(false);
    let now = clock::now();
    let own = core.with(|batch| batch.wake(now)).flatten();
    let wakes = [own, core.outbox.wake(), failed.then(|| now + PAUSE)];
    core.arm(wakes.into_iter().flatten().min()).await;
}

/// One round: an error means that something is left over.
async fn round(core: &Rc<Core>) -> std::result::Result<(), ()> {
    let now = clock::now();
    let Ok(config) = bindings::config(&core.env) else {
        return Err(());
    };
    let chunks = core.with(|batch| batch.plan(now)).unwrap_or_default();
    let saved = core.save().map_err(drop);
    let mut has_ended = false;
    for notice in core.with(Batch::take_notices).unwrap_or_default() {
        match notice {
            Notice::StateChanged => {
                core.chores.state_changed();
                has_ended = core.has_ended();
            }
            Notice::CredentialRefused { reason } => {
                core.chores.refused.replace(Some(reason));
            }
        }
    }
    let queued = queue(core, config, &chunks).await;
    let told = tell(core, config).await;
    let delivered = webhooks::work(core, config).await;
    if has_ended {
        log_end(core);
    }
    saved.and(queued).and(told).and(delivered)
}

fn log_end(core: &Core) {
    let ended = core.with(|batch| (batch.record().clone(), batch.overview(clock::now()).pushes));
    let Some((record, pushes)) = ended else { return };
    Event::BatchEnded {
        app: &record.app,
        batch: &record.id,
        state: record.state.as_str(),
        pushes,
        expense: core.expense(),
        memory_kb: log::memory_kb(),
    }
    .write();
}

/// Queues chunks, spread over the queues.
async fn queue(core: &Core, config: &Config, chunks: &[u32]) -> std::result::Result<(), ()> {
    let Some(id) = core.with(|batch| batch.record().id.clone()) else {
        return Ok(());
    };
    let mut result = Ok(());
    for shard in 0..config.batches.queues {
        let own = chunks
            .iter()
            .copied()
            .filter(|chunk| chunk % config.batches.queues == shard);
        let own: Vec<u32> = own.collect();
        for some in own.chunks(MESSAGES_AT_ONCE) {
            if let Err(error) = send(core, shard, &id, some).await {
                Event::BatchFailed {
                    batch: &id,
                    problem: &format!("the queue refused: {error}"),
                }
                .write();
                core.with(|batch| batch.not_queued(some, clock::now()));
                result = Err(());
            }
        }
    }
    result
}

async fn send(core: &Core, shard: u32, batch: &str, chunks: &[u32]) -> Result<()> {
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
    core.spend(|spent| spent.messages += chunks.len());
    Ok(())
}

/// Tells the registry how the batch stands, and the credential's other batches what stops them.
async fn tell(core: &Core, config: &Config) -> std::result::Result<(), ()> {
    let Some(record) = core.with(|batch| batch.record().clone()) else {
        return Ok(());
    };
    let Some(app) = config.app(&record.app) else {
        return Ok(());
    };
    let mut result = Ok(());
    if core.chores.is_news.replace(false) {
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
        core.spend(|spent| spent.told += 1);
        if directory::tell(&core.env, &app.credential, &entry).await.is_err() {
            core.chores.is_news.set(true);
            result = Err(());
        }
    }
    let refused = core.chores.refused.take();
    if let Some(reason) = refused
        && directory::stop_all(&core.env, &app.credential, &record.id, &reason)
            .await
            .is_err()
    {
        core.chores.refused.replace(Some(reason));
        result = Err(());
    }
    result
}

/// How many messages a queue takes at once (Cloudflare's limits of Queues); it refuses more.
const MESSAGES_AT_ONCE: usize = 100;

/// When what failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);
