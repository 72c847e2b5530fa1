//! The shards of audiences: one Durable Object each, and how to talk to it.
//!
//! The object executes the statements of a shard's commands, and walks through its devices for the runs of campaigns. A
//! command's statements run with no wait in between; the platform lets no answer out before they are safe. Walks are driven
//! by the object's alarm, so that one that a crash ended goes on by itself.

mod client;
mod walk;

use std::rc::Rc;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

use super::clock;
use super::database::Database;
use crate::delivery::audience::Command;
use crate::delivery::sql::Query;

pub(super) use client::{ask, ask_all, ask_each, begin, wipe};

/// The Durable Object of a shard.
#[durable_object]
pub struct AudienceObject {
    core: Rc<Core>,
}

/// What the object's work shares.
struct Core {
    state: State,
    env: Env,
    /// Whether its tables are known to be there.
    is_made: std::cell::Cell<bool>,
}

impl DurableObject for AudienceObject {
    fn new(state: State, env: Env) -> Self {
        let core = Core {
            state,
            env,
            is_made: Default::default(),
        };
        Self { core: Rc::new(core) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let (path, text) = (request.path(), request.text().await?);
        match path.as_str() {
            WALK => walk::begin(&self.core, serde_json::from_str(&text)?).await?,
            WIPE => {
                self.core.is_made.set(false);
                self.core.state.storage().delete_alarm().await?;
                self.core.state.storage().delete_all().await?;
            }
            _ => return self.command(&serde_json::from_str(&text)?),
        }
        Response::ok("null")
    }

    async fn alarm(&self) -> Result<Response> {
        walk::go_on(&self.core).await?;
        Response::empty()
    }
}

impl AudienceObject {
    fn command(&self, command: &Command) -> Result<Response> {
        let database = self.core.database()?;
        let mut rows = Vec::new();
        for statement in command.statements(clock::now()) {
            rows.push(database.rows(statement)?);
        }
        let reply = command.reply(&rows).map_err(|error| error.to_string())?;
        Response::ok(serde_json::to_string(&reply)?)
    }
}

impl Core {
    /// The database, with its tables.
    fn database(&self) -> Result<Database> {
        let database = Database::of(&self.state);
        if !self.is_made.get() {
            for statement in Command::schema() {
                database.execute(statement)?;
            }
            self.is_made.set(true);
        }
        Ok(database)
    }
}

const COMMAND: &str = "/command";
const WALK: &str = "/walk";
const WIPE: &str = "/wipe";
