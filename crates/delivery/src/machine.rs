//! The interface between a Durable Object's host and its state machine.
//!
//! One host in the Worker runs every machine. It loads the stored text once. For each command it applies the
//! command, stores the machine if its text has changed, sets the alarm to [`Machine::wake`], and sends the
//! reply. The platform holds outgoing messages until the object's writes are safe (the output gate), so no
//! reply leaves that a restart would forget. In scope: the interface. Out of scope: any one machine.

use serde::Serialize;
use serde::de::DeserializeOwned;

use apns::time::Timestamp;

/// The decisions of a Durable Object.
pub trait Machine: Sized {
    /// A command, as JSON text.
    type Command: DeserializeOwned;

    /// A reply, as JSON text.
    type Reply: Serialize;

    /// The part of the configuration that the machine uses; it is not stored.
    type Context<'c>;

    /// Reads the machine that [`Machine::store`] wrote, or creates a new one if nothing is stored. An
    /// unreadable text also creates a new one, so that the object keeps working; the fault is logged.
    fn load(stored: Option<&str>, now: Timestamp) -> Loaded<Self>;

    /// Returns the text to store. Waiting requests are not in it: they end with the object.
    fn store(&self) -> String;

    /// Applies a command. The host calls [`Machine::take_answers`] after each.
    fn apply(
        &mut self,
        command: Self::Command,
        context: &Self::Context<'_>,
        now: Timestamp,
    ) -> Step<Self::Reply>;

    /// Returns the replies to waiting commands that are now ready. The host calls this after each command and
    /// each alarm.
    fn take_answers(&mut self, context: &Self::Context<'_>, now: Timestamp) -> Vec<(Ticket, Self::Reply)>;

    /// Ends the wait of `ticket`, because its time is over or its caller has gone. Returns the reply.
    fn give_up(&mut self, ticket: Ticket, now: Timestamp) -> Self::Reply;

    /// Returns when to call [`Machine::alarm`] next.
    fn wake(&self, now: Timestamp) -> Option<Timestamp>;

    /// Executes what is due. An alarm that fires early, late or twice is harmless.
    fn alarm(&mut self, now: Timestamp);
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<R> {
    /// The reply.
    Answer(R),
    /// The reply is returned later by [`Machine::take_answers`].
    Wait {
        /// Identifies the reply.
        ticket: Ticket,
        /// When the host calls [`Machine::give_up`] instead.
        until: Timestamp,
    },
}

/// Identifies a command that waits. Tickets count up while the object lives and are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A loaded machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<M> {
    /// The machine.
    pub machine: M,
    /// Why the stored text could not be read. The machine is then a new one.
    pub fault: Option<String>,
}
