//! The shards of audiences: one Durable Object per shard.
//!
//! The object executes the statements of a shard's commands, and scans its devices for the runs of campaigns.
//! The statements of a command run without waiting in between; the platform holds the answer until they are
//! stored. The object's alarm drives the scans, so a scan continues after a crash. Before anything is read or
//! written, [`Epoch`] decides which audience the shard's devices belong to.

mod scans;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::platform::clock;
use crate::platform::database::Database;
use apns::time::Timestamp;
use campaign::audience::{self as shard, Admission, Command, Epoch, Reply};
use campaign::scan::{AudienceScan, ShardLoop};
use delivery::sql::Query;
use serde::de::DeserializeOwned;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

pub(crate) use crate::stubs::audience::{ask, ask_all, ask_each, begin, count, wake, wipe};

/// The Durable Object of a shard.
#[durable_object]
pub struct AudienceObject {
    core: Rc<ShardState>,
}

/// The state that the object's tasks share.
struct ShardState {
    state: State,
    env: Env,
    /// The audience whose devices the object has; `None` before it was read.
    epoch: Cell<Option<Epoch>>,
    /// The number of deletions of everything. A turn that began before a deletion then ends.
    generation: Cell<u32>,
    scans: RefCell<ShardLoop>,
}

impl DurableObject for AudienceObject {
    fn new(state: State, env: Env) -> Self {
        let core = ShardState {
            state,
            env,
            epoch: Cell::default(),
            generation: Cell::default(),
            scans: RefCell::default(),
        };
        Self { core: Rc::new(core) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let (path, text) = (request.path(), request.text().await?);
        match path.as_str() {
            SCAN => scans::begin(&self.core, read::<AudienceScan>(&text)?).await?,
            WAKE => scans::wake(&self.core, &read::<String>(&text)?).await?,
            WIPE => self.core.wipe(read::<()>(&text)?.epoch).await?,
            _ => {
                let reply = self.core.command(&read(&text)?).await?;
                return Response::ok(serde_json::to_string(&reply)?);
            }
        }
        Response::ok("null")
    }

    async fn alarm(&self) -> Result<Response> {
        scans::take_turn(&self.core).await?;
        Response::empty()
    }
}

fn read<C: DeserializeOwned>(text: &str) -> Result<shard::Request<C>> {
    Ok(serde_json::from_str(text)?)
}

impl ShardState {
    async fn command(&self, request: &shard::Request<Command>) -> Result<Reply> {
        let shard::Request { epoch, command } = request;
        match self.admit(*epoch, command.brings_devices()).await? {
            Admission::Refuse => return Ok(Reply::Deleted),
            Admission::Nothing => return Ok(command.nothing()),
            Admission::Begin | Admission::Execute => {}
        }
        let (database, now) = (self.database(), clock::now());
        let mut rows = Vec::new();
        for statement in command.statements(now) {
            rows.push(database.rows(statement)?);
        }
        let changes = command.changes(&rows);
        for change in changes.map_err(|error| error.to_string())? {
            database.execute(change)?;
        }
        let reply = command.reply(&rows);
        Ok(reply.map_err(|error| error.to_string())?)
    }

    fn database(&self) -> Database {
        Database::of(&self.state)
    }

    /// Returns the audience whose devices the object has.
    fn epoch(&self) -> Result<Epoch> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(epoch);
        }
        let database = self.database();
        let mut rows = database.rows(Epoch::exists())?;
        if !rows.is_empty() {
            rows = database.rows(Epoch::read())?;
        }
        let epoch = Epoch::load(&rows).map_err(|error| error.to_string())?;
        self.epoch.set(Some(epoch));
        Ok(epoch)
    }

    /// Admits or refuses a request. Creates the tables if it is the first request of its audience.
    async fn admit(&self, epoch: Timestamp, brings: bool) -> Result<Admission> {
        let known = self.epoch()?;
        let admission = known.admit(epoch, brings);
        if admission == Admission::Begin {
            if known != Epoch::Unknown {
                self.delete_all().await?;
            }
            // Another request may have begun in the meantime.
            if self.epoch()?.admit(epoch, brings) == Admission::Begin {
                self.store(Epoch::Of(epoch))?;
                for statement in Command::schema() {
                    self.database().execute(statement)?;
                }
            }
        }
        Ok(admission)
    }

    /// Stores which audience the devices belong to, when the storage is empty.
    fn store(&self, epoch: Epoch) -> Result<()> {
        for statement in epoch.write() {
            self.database().execute(statement)?;
        }
        self.epoch.set(Some(epoch));
        Ok(())
    }

    /// Deletes the devices of the audience that was created at `epoch`.
    async fn wipe(&self, epoch: Timestamp) -> Result<()> {
        let now = clock::now();
        if self.epoch()?.delete(epoch, now).is_none() {
            return Ok(());
        }
        self.delete_all().await?;
        let Some(left) = self.epoch()?.delete(epoch, now) else {
            return Ok(());
        };
        if self.epoch()? == Epoch::Unknown {
            self.store(left)?;
        }
        if let Some(at) = left.forget_at() {
            clock::set_alarm(&self.state, at).await?;
        }
        Ok(())
    }

    async fn delete_all(&self) -> Result<()> {
        self.generation.set(self.generation.get().wrapping_add(1));
        self.scans.take();
        self.state.storage().delete_alarm().await?;
        // While the deletion runs, it is unknown what is stored.
        self.epoch.set(None);
        self.state.storage().delete_all().await?;
        self.epoch.set(Some(Epoch::Unknown));
        Ok(())
    }
}

pub(crate) const COMMAND: &str = "/command";
pub(crate) const SCAN: &str = "/scan";
pub(crate) const WAKE: &str = "/wake";
pub(crate) const WIPE: &str = "/wipe";
