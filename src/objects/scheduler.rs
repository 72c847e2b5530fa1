//! The scheduler: the one Durable Object that holds audiences, campaigns and runs, and starts what is due.
//!
//! It executes the decisions of a [`Scheduler`]: sets the alarm, writes rows, and makes calls. The alarm and
//! the rows are written without waiting in between, so no other event sees a partial state. Each run is
//! started by a separate object (`work`) of the same class, without storage. Shards that do not answer
//! therefore delay no other run, and each start has an object's request limits to itself.

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
    core: Rc<SchedulerHost>,
}

/// The state that the object's tasks share.
struct SchedulerHost {
    state: State,
    env: Env,
    scheduler: RefCell<Scheduler>,
}

impl DurableObject for SchedulerObject {
    fn new(state: State, env: Env) -> Self {
        let core = SchedulerHost {
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
        // If this fails, the alarm that was just set repeats it.
        if let Err(error) = self.core.handle(Event::Alarm).await {
            log_failure(&error);
        }
        Response::empty()
    }
}

impl SchedulerHost {
    /// Passes an event to the scheduler and executes its effects. Returns the reply to a command.
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
            // The next event sets it, at the latest the next cron trigger.
            self.scheduler.borrow_mut().arming_failed();
            log_failure(&error);
        }
        Ok(reply)
    }

    /// Returns the effects of an event. Loads the rows if they are not in memory.
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

    /// Sets or clears the alarm. When this returns, the platform has the request; its answer comes later.
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

    /// Performs a task and reports its outcome.
    async fn attempt(self: &Rc<Self>, task: Task, until: Timestamp) {
        let outcome = work::perform(&self.env, &task, until).await;
        let task = Box::new(task);
        // An outcome that cannot be stored now leads to a repeated task, which changes nothing.
        if let Err(error) = self.handle(Event::Returned { task, outcome }).await {
            log_failure(&error);
        }
    }
}

fn log_failure(error: &worker::Error) {
    let problem = error.to_string();
    LogEvent::SchedulerFailed { problem: &problem }.write();
}

/// Sends a command to the scheduler.
pub(crate) async fn ask(env: &Env, command: &Command) -> Result<Reply> {
    stubs::ask(env, (bindings::SCHEDULER, NAME), COMMAND, command).await
}

/// Notifies the scheduler that a minute has passed.
pub(crate) async fn tick(env: &Env) -> Result<()> {
    stubs::ask(env, (bindings::SCHEDULER, NAME), TICK, &()).await
}

/// The name of the deployment's only scheduler object.
const NAME: &str = "scheduler";

const COMMAND: &str = "/command";
const TICK: &str = "/tick";
pub(crate) const START: &str = "/start";
