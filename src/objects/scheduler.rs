//! The scheduler: the one Durable Object that knows audiences, campaigns and runs, and starts what is due.
//!
//! It executes what a [`Scheduler`] decides: arms the alarm, writes rows, and calls others. The alarm is set and the rows
//! are written in one go, with no wait in between, so that nothing else sees a part of it. A run is started by an object
//! of its own (`work`), of the same class and without storage: shards that do not answer hold up no other run, and each
//! start has an object's requests for itself.

mod work;

use std::cell::RefCell;
use std::rc::Rc;

use crate::platform::database::Database;
use crate::platform::log::Event as LogEvent;
use crate::platform::{bindings, clock};
use crate::stubs;
use apns::time::Timestamp;
use campaign::scheduler::{Command, Effect, Event, Reply, Scheduler, SchedulerState, Task};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

/// The Durable Object that hosts the scheduler.
#[durable_object]
pub struct SchedulerObject {
    core: Rc<Core>,
}

/// What the object's work shares.
struct Core {
    state: State,
    env: Env,
    scheduler: RefCell<Scheduler>,
}

impl DurableObject for SchedulerObject {
    fn new(state: State, env: Env) -> Self {
        let core = Core {
            state,
            env,
            scheduler: RefCell::default(),
        };
        Self { core: Rc::new(core) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let (path, text) = (request.path(), request.text().await?);
        let core = &self.core;
        let event = match path.as_str() {
            START => return work::start(&core.env, &text).await,
            TICK => Event::Trigger,
            _ => Event::Command(serde_json::from_str(&text)?),
        };
        let reply = core.handle(event).await?;
        Response::ok(serde_json::to_string(&reply)?)
    }

    async fn alarm(&self) -> Result<Response> {
        let armed = self.core.scheduler.borrow_mut().alarm_came(clock::now());
        self.core.arm(armed).await?;
        // The alarm that was just set tries again what fails here.
        if let Err(error) = self.core.handle(Event::Alarm).await {
            log_failure(&error);
        }
        Response::empty()
    }
}

impl Core {
    /// Has the scheduler take an event, and does what it wants done. Gives its reply to a command.
    async fn handle(self: &Rc<Self>, event: Event) -> Result<Option<Reply>> {
        let (mut reply, mut calls, mut arming) = (None, Vec::new(), None);
        let written = self.decide(event).and_then(|effects| {
            let database = Database::of(&self.state);
            for effect in effects {
                match effect {
                    Effect::Arm(_) | Effect::Disarm => arming = Some(self.arming(effect)),
                    Effect::Write(statement) => database.execute(statement)?,
                    Effect::Call { task, until } => calls.push((task, until)),
                    Effect::Reply(answer) => reply = Some(*answer),
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            let again = self.scheduler.borrow_mut().write_failed(clock::now());
            self.arm(again).await?;
            return Err(error);
        }
        for (task, until) in calls {
            let core = Rc::clone(self);
            self.state
                .wait_until(async move { core.attempt(*task, until).await });
        }
        if let Some(arming) = arming
            && let Err(error) = arming.await
        {
            // The next event sets it, and at the latest the next trigger.
            self.scheduler.borrow_mut().arming_failed();
            log_failure(&error);
        }
        Ok(reply)
    }

    /// What comes of an event. Loads the rows if they are not in memory.
    fn decide(&self, event: Event) -> Result<Vec<Effect>> {
        let config = bindings::config(&self.env).map_err(|problem| problem.detail().to_owned())?;
        let mut scheduler = self.scheduler.borrow_mut();
        if scheduler.needs_rows() {
            let database = Database::of(&self.state);
            for statement in SchedulerState::schema() {
                database.execute(statement)?;
            }
            if let Some(problem) = &scheduler.load(&database.rows(SchedulerState::select())?) {
                let object = "scheduler";
                LogEvent::StateLost { object, problem }.write();
            }
        }
        Ok(scheduler.handle(event, config.campaigns.grace, clock::now()))
    }

    /// Sets or clears the alarm. The platform has been asked to when this returns, and answers later.
    fn arming(self: &Rc<Self>, effect: Effect) -> LocalBoxFuture<'static, Result<()>> {
        let core = Rc::clone(self);
        let mut arming = async move { core.arm(effect).await }.boxed_local();
        match (&mut arming).now_or_never() {
            Some(result) => futures::future::ready(result).boxed_local(),
            None => arming,
        }
    }

    async fn arm(&self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Arm(at) => clock::set_alarm(&self.state, at).await,
            Effect::Disarm => self.state.storage().delete_alarm().await,
            Effect::Write(_) | Effect::Call { .. } | Effect::Reply(_) => Ok(()),
        }
    }

    /// Does a task, and reports what came of it.
    async fn attempt(self: &Rc<Self>, task: Task, until: Timestamp) {
        let outcome = work::perform(&self.env, &task, until).await;
        let task = Box::new(task);
        // What cannot be written down now is done again: it is the same however often.
        if let Err(error) = self.handle(Event::Returned { task, outcome }).await {
            log_failure(&error);
        }
    }
}

fn log_failure(error: &worker::Error) {
    let problem = error.to_string();
    LogEvent::SchedulerFailed { problem: &problem }.write();
}

/// Tells the scheduler something, or asks it.
pub(crate) async fn ask(env: &Env, command: &Command) -> Result<Reply> {
    stubs::ask(env, (bindings::SCHEDULER, NAME), COMMAND, command).await
}

/// The minute has struck.
pub(crate) async fn tick(env: &Env) -> Result<()> {
    stubs::ask(env, (bindings::SCHEDULER, NAME), TICK, &()).await
}

/// The object's name: there is one for the deployment.
const NAME: &str = "scheduler";

const COMMAND: &str = "/command";
const TICK: &str = "/tick";
pub(crate) const START: &str = "/start";
