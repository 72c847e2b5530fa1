//! The calendar: the one Durable Object that knows audiences, campaigns and runs, and starts what is due.
//!
//! It hosts a [`Calendar`]: a command is applied and its rows are written before
//! anything else runs, as neither waits. What is to be done outside - a run begins, a batch is paused - is done one after
//! the other, and again until it has succeeded: by the next command, the next trigger, or the object's alarm.

mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

use super::database::Database;
use super::log::Event;
use super::{bindings, clock, stub};
use crate::delivery::calendar::{Calendar, Command, Reply};
use crate::time::Timestamp;

/// The Durable Object that hosts the calendar.
#[durable_object]
pub struct CalendarObject {
    core: Rc<Core>,
}

/// What the object's work shares.
struct Core {
    state: State,
    env: Env,
    calendar: RefCell<Option<Calendar>>,
    is_working: Cell<bool>,
    is_wanted: Cell<bool>,
}

impl DurableObject for CalendarObject {
    fn new(state: State, env: Env) -> Self {
        let core = Core {
            state,
            env,
            calendar: RefCell::default(),
            is_working: Cell::default(),
            is_wanted: Cell::default(),
        };
        Self { core: Rc::new(core) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let (path, text) = (request.path(), request.text().await?);
        let core = &self.core;
        let reply = match path.as_str() {
            TICK => core.tick().map(|()| String::from("null"))?,
            _ => {
                let command: Command = serde_json::from_str(&text)?;
                let reply = core.with(|calendar, now| calendar.apply(command, now))?;
                serde_json::to_string(&reply)?
            }
        };
        let work = Rc::clone(core);
        core.state.wait_until(async move { work.work().await });
        Response::ok(reply)
    }

    async fn alarm(&self) -> Result<Response> {
        self.core.tick()?;
        self.core.work().await;
        Response::empty()
    }
}

impl Core {
    /// Makes runs of what is due.
    fn tick(&self) -> Result<()> {
        let Ok(config) = bindings::config(&self.env) else {
            return Ok(());
        };
        self.with(|calendar, now| calendar.tick(config.campaigns.grace, now))
    }

    /// Does something with the calendar, and writes the rows that it changes.
    fn with<T>(&self, act: impl FnOnce(&mut Calendar, Timestamp) -> T) -> Result<T> {
        let database = Database::of(&self.state);
        let mut slot = self.calendar.borrow_mut();
        let calendar = match &mut *slot {
            Some(calendar) => calendar,
            None => slot.insert(load(&database)?),
        };
        let result = act(calendar, clock::now());
        for change in calendar.take_changes() {
            if let Err(error) = database.execute(change) {
                // What is in memory is ahead of the rows: the rows are the truth.
                *slot = None;
                return Err(error);
            }
        }
        Ok(result)
    }
}

fn load(database: &Database) -> Result<Calendar> {
    for statement in Calendar::schema() {
        database.execute(statement)?;
    }
    let loaded = Calendar::load(&database.rows(Calendar::select())?);
    if let Some(problem) = &loaded.fault {
        let object = "calendar";
        Event::StateLost { object, problem }.write();
    }
    Ok(loaded.machine)
}

/// Tells the calendar something, or asks it.
pub(super) async fn ask(env: &Env, command: &Command) -> Result<Reply> {
    stub::ask(env, (bindings::CALENDAR, NAME), COMMAND, command).await
}

/// The minute has struck.
pub(super) async fn tick(env: &Env) -> Result<()> {
    stub::ask(env, (bindings::CALENDAR, NAME), TICK, &()).await
}

/// The object's name: there is one for the deployment.
const NAME: &str = "calendar";

const COMMAND: &str = "/command";
const TICK: &str = "/tick";
