//! The metrics: the objects that store them, and `GET /metrics`.
//!
//! Each sender counts into its own [`MetricsDelta`] and adds it once, after the answer, to one of the
//! objects. This takes one request per send request or chunk, whatever the number of its pushes. Counters of
//! the Worker and the queue consumer travel with the work and are added with the rest. A delta that cannot be
//! added is logged and lost.

use std::cell::{Cell, RefCell};
use std::iter;
use std::rc::Rc;
use std::time::Duration;

use crate::objects::{gate, registry};
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use crate::routes::directory;
use crate::stubs;
use api::Answer;
use api::config::{App, Caller, Config};
use api::metrics::{self, Snapshot};
use api::problem::{Kind, Problem};
use apns::credential::Credential;
use batch::registry::{Command as RegistryCommand, Counted, Reply as RegistryReply};
use campaign::scheduler;
use delivery::gate::{Command as GateCommand, Inspection, Reply as GateReply};
use delivery::metrics::{Command, MetricsDelta, MetricsShard};
use futures::future::{FutureExt, LocalBoxFuture, join_all, ready};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

/// The Durable Object that hosts a [`MetricsShard`].
#[durable_object]
pub struct MetricsObject {
    core: Rc<MetricsState>,
}

struct MetricsState {
    state: State,
    shard: RefCell<Option<MetricsShard>>,
    /// Whether the added deltas are about to be stored.
    is_saving: Cell<bool>,
}

impl DurableObject for MetricsObject {
    fn new(state: State, _env: Env) -> Self {
        Self {
            core: Rc::new(MetricsState {
                state,
                shard: RefCell::default(),
                is_saving: Cell::default(),
            }),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let command: Command = serde_json::from_str(&request.text().await?)?;
        let core = &self.core;
        if core.shard.borrow().is_none() {
            let stored: Option<String> = core.state.storage().get(KEY).await?;
            core.load(stored.as_deref());
        }
        let mut shard = core.shard.borrow_mut();
        let shard = shard.get_or_insert_default();
        match command {
            Command::Add(delta) => shard.add(delta),
            Command::Read => return Response::ok(shard.store()),
        }
        if !core.is_saving.replace(true) {
            let core = Rc::clone(core);
            self.core.state.wait_until(async move { core.save().await });
        }
        Response::empty()
    }
}

impl MetricsState {
    fn load(&self, stored: Option<&str>) {
        let (shard, fault) = MetricsShard::load(stored);
        if let Some(problem) = &fault {
            let object = "metrics";
            Event::StateLost { object, problem }.write();
        }
        // Another request may have loaded it in the meantime and added to it.
        self.shard.borrow_mut().get_or_insert(shard);
    }

    /// Stores the deltas of a short period together. One row per second costs less than one per chunk, and a
    /// crash loses only that second.
    async fn save(&self) {
        clock::at(clock::now() + SAVE_PAUSE).await;
        self.is_saving.set(false);
        let text = self.shard.borrow().as_ref().map(MetricsShard::store);
        if let Some(text) = text
            && let Err(error) = self.state.storage().put(KEY, text).await
        {
            let problem = error.to_string();
            Event::MetricsLost { problem: &problem }.write();
        }
    }
}

/// Adds a delta to one of the objects, unless it is empty.
pub(crate) fn add(env: Env, delta: MetricsDelta) -> LocalBoxFuture<'static, ()> {
    if delta.is_empty() {
        return ready(()).boxed_local();
    }
    async move {
        let shards = bindings::config(&env).map_or(1, |config| config.metrics_shards);
        // Any object can take it.
        let [random, ..] = clock::seed();
        let shard = u32::from(random) % shards;
        if let Err(error) = send(&env, shard, &Command::Add(delta)).await {
            Event::MetricsLost {
                problem: &error.to_string(),
            }
            .write();
        }
    }
    .boxed_local()
}

/// Returns the name of a credential in the metrics.
pub(crate) fn name(env: &Env, credential: &Credential) -> String {
    let config = bindings::config(env).ok();
    let app = config.and_then(|config| config.first_app(credential));
    app.map_or_else(String::new, |app| app.name.clone())
}

/// Answers `GET /metrics`.
pub(crate) async fn answer(
    caller: &Caller,
    config: &Config,
    env: &Env,
) -> std::result::Result<Answer, Problem> {
    directory::refuse_unless_operator(caller)?;
    let is_first = |app: &&App| {
        config
            .first_app(&app.credential)
            .is_some_and(|first| first.name == app.name)
    };
    let shards = (0..config.metrics_shards).map(|shard| read(env, shard).boxed_local());
    let credentials = config.apps.iter().filter(is_first);
    let parts = credentials.flat_map(|app| [inspect(env, app).boxed_local(), count(env, app).boxed_local()]);
    let (mut total, mut snapshot) = (MetricsDelta::default(), Snapshot::default());
    let campaigns = iter::once(count_campaigns(env).boxed_local());
    for part in join_all(shards.chain(parts).chain(campaigns)).await {
        match part {
            Part::Shard(shard) => total.merge(shard),
            Part::Gate(credential, inspection) => snapshot.gates.push((credential, inspection)),
            Part::Batches(counted) => snapshot.batches.extend(counted),
            Part::Campaigns(counted) => snapshot.campaigns = counted,
            // If a shard were missing, all counters would appear to restart and then to jump.
            Part::NoShard => {
                let detail = "a part of the metrics did not answer";
                return Err(Problem::new(Kind::Unavailable, detail).retry_after_ms(1000));
            }
            Part::Nothing => {}
        }
    }
    metrics::answer(total, snapshot)
}

/// The answer of one object.
enum Part {
    Shard(MetricsDelta),
    NoShard,
    Gate(String, Inspection),
    Batches(Vec<Counted>),
    Campaigns(Vec<scheduler::CampaignCount>),
    /// A gate, a registry or the scheduler did not answer. The output has no samples of it.
    Nothing,
}

async fn read(env: &Env, shard: u32) -> Part {
    let total = send(env, shard, &Command::Read).await;
    match total.map(|text| serde_json::from_str(&text)) {
        Ok(Ok(total)) => Part::Shard(total),
        Ok(Err(_)) | Err(_) => Part::NoShard,
    }
}

async fn inspect(env: &Env, app: &App) -> Part {
    match gate::ask(env, &app.credential, &GateCommand::Inspect).await {
        Ok(GateReply::Inspected(inspection)) => Part::Gate(app.name.clone(), inspection),
        Ok(_) | Err(_) => Part::Nothing,
    }
}

async fn count(env: &Env, app: &App) -> Part {
    match registry::ask(env, &app.credential, &RegistryCommand::Count).await {
        Ok(RegistryReply::Counted(counted)) => Part::Batches(counted),
        Ok(_) | Err(_) => Part::Nothing,
    }
}

async fn count_campaigns(env: &Env) -> Part {
    match crate::objects::scheduler::ask(env, &scheduler::Command::Count).await {
        Ok(scheduler::Reply::Counted(counted)) => Part::Campaigns(counted),
        Ok(_) | Err(_) => Part::Nothing,
    }
}

async fn send(env: &Env, shard: u32, command: &Command) -> Result<String> {
    let object = (bindings::METRICS, &*shard.to_string());
    match stubs::send(env, object, "/", serde_json::to_string(command)?).await? {
        (200, body) => String::from_utf8(body).map_err(|error| error.to_string().into()),
        (status, _) => Err(format!("the object answered {status}").into()),
    }
}

/// How long deltas wait until they are stored.
const SAVE_PAUSE: Duration = Duration::from_secs(1);

/// The storage key of the shard's text.
const KEY: &str = "shard";
