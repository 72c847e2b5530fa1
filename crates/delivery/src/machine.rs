//! The form of a Durable Object: a plain state machine, and what its host must know to run it.
//!
//! One host in the shell runs every machine. It loads the stored text once, and then for each command: applies it,
//! stores the machine if its text has changed, sets the alarm to [`Machine::wake`], and answers with the reply. The
//! platform holds the object's outgoing messages until its writes are safe (the output gate), so that no reply leaves
//! that a restart would forget. In scope: the agreement between host and machines. Out of scope: any one machine.

use serde::Serialize;
use serde::de::DeserializeOwned;

use apns::time::Timestamp;

/// A Durable Object's decisions.
pub trait Machine: Sized {
    /// What it is asked, as JSON text.
    type Command: DeserializeOwned;

    /// What it answers, as JSON text.
    type Reply: Serialize;

    /// What the deployment's configuration lends it; it is not stored.
    type Context<'c>;

    /// The machine as [`Machine::store`] wrote it, or a new one if nothing is stored. A text that cannot be read must not
    /// brick the object: then it is a new one too, and the fault is for the log.
    fn load(stored: Option<&str>, now: Timestamp) -> Loaded<Self>;

    /// The text to keep. Who waits is not in it: a waiter's request dies with the object.
    fn store(&self) -> String;

    /// Takes a command. The host calls [`Machine::take_answers`] after each.
    fn apply(
        &mut self,
        command: Self::Command,
        context: &Self::Context<'_>,
        now: Timestamp,
    ) -> Step<Self::Reply>;

    /// The answers that have become ready for commands which had to wait. The host calls this after each command and
    /// each alarm.
    fn take_answers(&mut self, context: &Self::Context<'_>, now: Timestamp) -> Vec<(Ticket, Self::Reply)>;

    /// Ends the wait of `ticket`, as its time is over or its caller has gone, with the reply to give.
    fn give_up(&mut self, ticket: Ticket, now: Timestamp) -> Self::Reply;

    /// When [`Machine::alarm`] is next to be called, if at all.
    fn wake(&self, now: Timestamp) -> Option<Timestamp>;

    /// Does what is due. An alarm that comes early, late or twice is harmless.
    fn alarm(&mut self, now: Timestamp);
}

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<R> {
    /// The reply.
    Answer(R),
    /// The reply comes later, from [`Machine::take_answers`].
    Wait {
        /// Whose reply it will be.
        ticket: Ticket,
        /// When the host is to call [`Machine::give_up`] instead.
        until: Timestamp,
    },
}

/// A command that waits. Tickets count up while the object lives, and are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A machine as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<M> {
    /// The machine.
    pub machine: M,
    /// Why what was stored could not be read, if it could not: the machine is then a new one.
    pub fault: Option<String>,
}
