//! The host of all Durable Objects that are state machines.
//!
//! It loads the stored text once. For each command it applies the command, stores the machine if its text has
//! changed, and replies. The platform holds the object's messages until its writes are safe (the output
//! gate), and delivers no event while storage is read or written (the input gate). A command is therefore
//! applied and stored as one step. The request of a command that waits stays open. Meanwhile the host wakes
//! the machine at the time that the machine asks for.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::platform::clock;
use crate::platform::log::Event;
use apns::time::Timestamp;
use delivery::machine::{Machine, Step, Ticket};
use futures::channel::oneshot;
use futures::future::{Either, select};
use std::pin::pin;
use worker::State;

/// A hosted machine.
pub(crate) struct Host<M: Machine> {
    state: State,
    name: &'static str,
    loaded: RefCell<Option<Running<M>>>,
}

struct Running<M: Machine> {
    machine: M,
    stored: Option<String>,
    waiters: HashMap<Ticket, oneshot::Sender<M::Reply>>,
}

impl<M: Machine> Host<M> {
    /// Creates a host that has not read its storage yet. `name` appears in logs.
    pub(crate) const fn new(state: State, name: &'static str) -> Self {
        Self {
            state,
            name,
            loaded: RefCell::new(None),
        }
    }

    /// Handles a command as JSON text and returns the reply as JSON text.
    pub(crate) async fn handle(&self, command: &str, context: &M::Context<'_>) -> Result<String, String> {
        let command: M::Command = serde_json::from_str(command).map_err(|error| error.to_string())?;
        self.load().await?;
        let step = self.with(|running| {
            let step = match running.machine.apply(command, context, clock::now()) {
                Step::Answer(reply) => Ok(reply),
                Step::Wait { ticket, until } => {
                    let (sender, receiver) = oneshot::channel();
                    running.waiters.insert(ticket, sender);
                    Err((ticket, until, receiver))
                }
            };
            // Called after the waiter was added: its own answer may be among these.
            running.give_answers(context);
            step
        })?;
        self.save().await?;
        let reply = match step {
            Ok(reply) => reply,
            Err((ticket, until, receiver)) => self.wait(ticket, until, receiver, context).await?,
        };
        serde_json::to_string(&reply).map_err(|error| error.to_string())
    }

    async fn wait(
        &self,
        ticket: Ticket,
        until: Timestamp,
        receiver: oneshot::Receiver<M::Reply>,
        context: &M::Context<'_>,
    ) -> Result<M::Reply, String> {
        let mut receiver = pin!(receiver);
        loop {
            let wake = self.with(|running| running.machine.wake(clock::now()))?;
            let timer = pin!(clock::at(wake.map_or(until, |wake| wake.min(until))));
            match select(receiver.as_mut(), timer).await {
                Either::Left((reply, _)) => {
                    return reply.map_err(|_| "the object forgot its waiter".to_owned());
                }
                Either::Right(_) => self.with(|running| {
                    let now = clock::now();
                    running.machine.alarm(now);
                    running.give_answers(context);
                    if now >= until && running.waiters.contains_key(&ticket) {
                        let reply = running.machine.give_up(ticket, now);
                        running.answer(ticket, reply);
                    }
                })?,
            }
            self.save().await?;
        }
    }

    async fn load(&self) -> Result<(), String> {
        if self.loaded.borrow().is_some() {
            return Ok(());
        }
        let stored: Option<String> = self
            .state
            .storage()
            .get(KEY)
            .await
            .map_err(|error| error.to_string())?;
        let mut slot = self.loaded.borrow_mut();
        if slot.is_none() {
            let loaded = M::load(stored.as_deref(), clock::now());
            if let Some(problem) = &loaded.fault {
                Event::StateLost {
                    object: self.name,
                    problem,
                }
                .write();
            }
            *slot = Some(Running {
                machine: loaded.machine,
                stored,
                waiters: HashMap::new(),
            });
        }
        Ok(())
    }

    async fn save(&self) -> Result<(), String> {
        let changed = self.with(|running| {
            let text = running.machine.store();
            let changed = running.stored.as_deref() != Some(text.as_str());
            changed.then(|| running.stored.insert(text).clone())
        })?;
        let Some(text) = changed else { return Ok(()) };
        let put = self.state.storage().put(KEY, text).await;
        if put.is_err() {
            // Nothing counts as stored, so the next command stores it.
            self.with(|running| running.stored = None)?;
        }
        put.map_err(|error| error.to_string())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Running<M>) -> T) -> Result<T, String> {
        let mut slot = self.loaded.borrow_mut();
        slot.as_mut()
            .map(act)
            .ok_or_else(|| "the object is not loaded".to_owned())
    }
}

impl<M: Machine> Running<M> {
    fn give_answers(&mut self, context: &M::Context<'_>) {
        for (ticket, reply) in self.machine.take_answers(context, clock::now()) {
            self.answer(ticket, reply);
        }
    }

    fn answer(&mut self, ticket: Ticket, reply: M::Reply) {
        if let Some(waiter) = self.waiters.remove(&ticket) {
            // A waiter whose caller has gone gets no reply. Its permits return when the lease expires.
            let _ = waiter.send(reply);
        }
    }
}

/// Where the machine's text is stored.
const KEY: &str = "state";
