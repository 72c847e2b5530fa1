//! The ledger of one connection: who may open a stream, which pushes are in flight, and the outcome of each.
//!
//! A synchronous machine. The driver and the handles tell it what happened, and it answers with a decision and with the
//! wakers of those whom that concerns (`W`, so that a test may use anything). It keeps three promises: never more
//! streams than the server allows, and one alone until the server has shown that it takes more; each push has one
//! outcome; and a push is [`Outcome::NotSent`] only if the server cannot have had all of it.
//!
//! Source: RFC 9113 sections 5.1.2, 6.8 and 8.7; Apple, "Sending notification requests to APNs".

mod end;
mod keepalive;
mod limit;
mod queue;

use slab::Slab;

use apns::time::Timestamp;
use apns::{Outcome, Reply, TransportError};

pub use end::{CloseReason, Closed, State};
pub(super) use keepalive::{Keepalive, KeepaliveTimes};
use limit::Limit;
use queue::Queue;
pub(super) use queue::Ticket;

/// The state of one connection and its pushes.
#[derive(Debug)]
pub(super) struct Ledger<W> {
    state: State,
    limit: Limit,
    queue: Queue<W>,
    /// Slots that are handed out and not used yet.
    slots: usize,
    pushes: Slab<Push<W>>,
    /// No deadline is earlier than this.
    alarm: Option<Timestamp>,
    keepalive: Keepalive,
    idle_since: Option<Timestamp>,
    /// When it went out of use.
    left_at: Timestamp,
    counters: Counters,
}

/// One push under way.
#[derive(Debug)]
struct Push<W> {
    deadline: Timestamp,
    expired: bool,
    waker: Option<W>,
}

/// The name of a push under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

/// What a connection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pushes under way.
    pub in_flight: usize,
    /// How many may be under way.
    pub limit: usize,
    /// Who waits for a slot.
    pub waiting: usize,
    /// Pushes handed to the connection so far.
    pub sent: u64,
    /// Those that APNs has answered, whatever it said.
    pub answered: u64,
    /// Those that APNs surely has not processed.
    pub not_sent: u64,
    /// Those of which nobody knows.
    pub lost: u64,
    /// Bytes written and read, heads of frames included, TLS not.
    pub bytes_out: u64,
    /// See `bytes_out`.
    pub bytes_in: u64,
    /// Since when nothing has been under way; absent while something is.
    pub idle_since: Option<Timestamp>,
}

/// How the stream of a push ended.
#[derive(Debug)]
pub(super) enum StreamEnd {
    /// The server answered.
    Answered(Reply),
    /// RST_STREAM with REFUSED_STREAM.
    Refused,
    /// GOAWAY with a last stream below this one, or the connection takes no new streams.
    PassedOver,
    /// Another RST_STREAM.
    Reset,
    /// The connection broke.
    Broken,
    /// The deadline passed.
    Expired,
}

/// The answer to a request for a slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SlotAnswer {
    /// The slot is granted.
    Granted,
    /// Others are first, or the server allows no more streams.
    Wait,
    /// The connection takes no more pushes.
    Closed(Closed),
}

/// What is due now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// A PING is to be sent.
    pub(super) ping: bool,
    /// The server is gone: it has not answered a PING.
    pub(super) dead: bool,
}

impl<W> Ledger<W> {
    /// A connection of which nothing is known yet, `most` streams at the most.
    pub(super) fn new(most: usize, times: KeepaliveTimes, now: Timestamp) -> Self {
        Self {
            state: State::Open,
            limit: Limit::new(most),
            queue: Queue::new(),
            slots: 0,
            pushes: Slab::new(),
            alarm: None,
            keepalive: Keepalive::new(times, now),
            idle_since: Some(now),
            left_at: now,
            counters: Counters::default(),
        }
    }

    /// Whether it is in use.
    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// The figures, but for the bytes.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            in_flight: self.pushes.len(),
            limit: self.limit.now(),
            waiting: self.queue.len(),
            idle_since: self.idle_since.filter(|_| self.pushes.is_empty()),
            ..self.counters
        }
    }

    /// Grants a slot or queues the request. A queued caller calls it again when woken.
    pub(super) fn ask(&mut self, ticket: &mut Option<Ticket>, waker: W) -> SlotAnswer {
        if let State::Draining(end) | State::Closed(end) = &self.state {
            return SlotAnswer::Closed(Closed { end: end.clone() });
        }
        let Some(held) = ticket else {
            // While there is room, nobody waits.
            if self.has_room() {
                self.slots += 1;
                return SlotAnswer::Granted;
            }
            *ticket = Some(self.queue.join(waker));
            return SlotAnswer::Wait;
        };
        if self.queue.renew(held, waker) {
            return SlotAnswer::Wait;
        }
        // No longer in the queue: its turn has come.
        *ticket = None;
        SlotAnswer::Granted
    }

    /// Removes a caller that no longer waits.
    pub(super) fn leave(&mut self, ticket: &Ticket, woken: &mut Vec<W>) {
        if !self.queue.leave(ticket) {
            self.give_back(woken);
        }
    }

    /// Returns an unused slot.
    pub(super) fn give_back(&mut self, woken: &mut Vec<W>) {
        self.slots = self.slots.saturating_sub(1);
        self.promote(woken);
    }

    /// A slot is used.
    pub(super) fn launch(&mut self, deadline: Timestamp, now: Timestamp) -> Key {
        self.slots = self.slots.saturating_sub(1);
        self.counters.sent += 1;
        self.keepalive.launched(self.pushes.is_empty(), now);
        self.alarm = Some(self.alarm.map_or(deadline, |alarm| alarm.min(deadline)));
        Key(self.pushes.insert(Push {
            deadline,
            expired: false,
            waker: None,
        }))
    }

    /// A slot is used, and the stream cannot be opened.
    pub(super) fn launch_failed(&mut self, woken: &mut Vec<W>) -> Outcome {
        self.counters.sent += 1;
        self.counters.not_sent += 1;
        self.give_back(woken);
        Outcome::NotSent(TransportError::GoingAway)
    }

    /// Whether a push's deadline has passed.
    pub(super) fn is_expired(&self, key: &Key) -> bool {
        self.pushes.get(key.0).is_some_and(|push| push.expired)
    }

    /// Sets the waker that is called when the push's deadline passes.
    pub(super) fn watch(&mut self, key: &Key, waker: &W, same: impl FnOnce(&W, &W) -> bool)
    where
        W: Clone,
    {
        if let Some(push) = self.pushes.get_mut(key.0)
            && !push.waker.as_ref().is_some_and(|held| same(held, waker))
        {
            push.waker = Some(waker.clone());
        }
    }

    /// A push has ended. `with_server` tells whether the server may have had all of it.
    pub(super) fn settle(
        &mut self,
        key: Key,
        stream_end: StreamEnd,
        with_server: bool,
        now: Timestamp,
        woken: &mut Vec<W>,
    ) -> Outcome {
        let unanswered = if with_server {
            Outcome::Lost
        } else {
            Outcome::NotSent
        };
        let outcome = match stream_end {
            StreamEnd::Answered(reply) => {
                self.limit.prove();
                Outcome::Answered(reply)
            }
            StreamEnd::Refused => Outcome::NotSent(TransportError::StreamRefused),
            StreamEnd::PassedOver => Outcome::NotSent(TransportError::GoingAway),
            // A server that resets a stream has looked at it, however little of it was there.
            StreamEnd::Reset => Outcome::Lost(TransportError::ConnectionLost),
            StreamEnd::Broken => unanswered(TransportError::ConnectionLost),
            StreamEnd::Expired => unanswered(TransportError::Deadline),
        };
        match outcome {
            Outcome::Answered(_) => self.counters.answered += 1,
            Outcome::NotSent(_) => self.counters.not_sent += 1,
            Outcome::Lost(_) => self.counters.lost += 1,
        }
        self.forget(key, now, woken);
        outcome
    }

    /// A push whose outcome nobody waits for any more.
    pub(super) fn forget(&mut self, Key(index): Key, now: Timestamp, woken: &mut Vec<W>) {
        if self.pushes.try_remove(index).is_some() {
            if self.pushes.is_empty() {
                self.idle_since = Some(now);
                self.alarm = None;
            }
            self.promote(woken);
        }
    }

    /// SETTINGS came, with or without a stream limit.
    pub(super) fn settings(&mut self, streams: Option<u32>, woken: &mut Vec<W>) {
        self.limit.set(streams);
        self.promote(woken);
    }

    /// Whether the server's SETTINGS have come.
    pub(super) const fn is_greeted(&self) -> bool {
        self.limit.is_known()
    }

    /// No new streams from now on; those under way may finish.
    pub(super) fn drain(&mut self, end: CloseReason, now: Timestamp, woken: &mut Vec<W>) {
        if self.state == State::Open {
            self.state = State::Draining(end);
            self.left_at = now;
            self.queue.wake_all(woken);
        }
    }

    /// The connection is gone. What was said first about why stays true.
    pub(super) fn close(&mut self, end: CloseReason, woken: &mut Vec<W>) -> CloseReason {
        let end = match std::mem::replace(&mut self.state, State::Open) {
            State::Open => end,
            State::Draining(first) | State::Closed(first) => first,
        };
        self.state = State::Closed(end.clone());
        self.queue.wake_all(woken);
        end
    }

    /// Records that something arrived from the server.
    pub(super) fn heard(&mut self, now: Timestamp) {
        self.keepalive.heard(now);
    }

    /// Records the answer to a PING.
    pub(super) fn ponged(&mut self, now: Timestamp) {
        self.keepalive.ponged(now);
    }

    /// Expires deadlines, and returns what is due.
    pub(super) fn tick(&mut self, now: Timestamp, woken: &mut Vec<W>) -> Due {
        if self.alarm.is_some_and(|alarm| alarm <= now) {
            self.expire(now, woken);
        }
        if self.overdue_at().is_some_and(|at| at <= now) {
            return Due {
                ping: false,
                dead: true,
            };
        }
        self.keepalive.tick(!self.pushes.is_empty(), now)
    }

    /// When [`Ledger::tick`] is due if nothing else happens.
    pub(super) fn next_tick(&self) -> Timestamp {
        let keepalive = self.keepalive.next(!self.pushes.is_empty());
        let others = self.alarm.into_iter().chain(self.overdue_at());
        others.fold(keepalive, Timestamp::min)
    }

    /// When a connection that is out of use, with nothing under way, is given up though it has not ended: a server that
    /// neither reads nor hangs up would keep it, and the object that holds it, for an hour.
    fn overdue_at(&self) -> Option<Timestamp> {
        let is_out_of_use = matches!(self.state, State::Draining(_));
        let idle_since = self
            .idle_since
            .filter(|_| is_out_of_use && self.pushes.is_empty())?;
        Some(self.keepalive.close_by(idle_since.max(self.left_at)))
    }

    fn expire(&mut self, now: Timestamp, woken: &mut Vec<W>) {
        self.alarm = None;
        for (_, push) in self.pushes.iter_mut().filter(|(_, push)| !push.expired) {
            if push.deadline <= now {
                push.expired = true;
                woken.extend(push.waker.take());
            } else {
                self.alarm = Some(self.alarm.map_or(push.deadline, |alarm| alarm.min(push.deadline)));
            }
        }
    }

    fn has_room(&self) -> bool {
        self.pushes.len() + self.slots < self.limit.now()
    }

    /// Hands the slots that are free to those who wait, in their order.
    fn promote(&mut self, woken: &mut Vec<W>) {
        while self.state == State::Open && self.has_room() {
            let Some(waker) = self.queue.next() else { return };
            self.slots += 1;
            woken.extend(waker);
        }
    }
}

#[cfg(test)]
mod tests;
