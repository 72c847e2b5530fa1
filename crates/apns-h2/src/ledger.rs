//! The ledger of one connection: who may open a stream, which pushes are in flight, and the outcome of each.
//!
//! A synchronous machine. The driver and the handles report events. It returns a decision and the wakers of
//! the affected tasks (type `W`, so that tests can use any value). It keeps three promises:
//!
//! 1. It never opens more streams than the server allows, and only one until the server has accepted a push
//!    or raised its limit.
//! 2. Each push has exactly one outcome.
//! 3. A push is [`Outcome::NotSent`] only if the server cannot have received all of it.
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
    /// Slots that are granted and not used yet.
    slots: usize,
    pushes: Slab<Push<W>>,
    /// A lower bound of all deadlines.
    alarm: Option<Timestamp>,
    keepalive: Keepalive,
    idle_since: Option<Timestamp>,
    /// When the connection stopped accepting pushes.
    left_at: Timestamp,
    counters: Counters,
}

/// One push in flight.
#[derive(Debug)]
struct Push<W> {
    deadline: Timestamp,
    expired: bool,
    waker: Option<W>,
}

/// The key of a push in flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

/// The counters of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The number of pushes in flight.
    pub in_flight: usize,
    /// The maximum number of pushes in flight.
    pub limit: usize,
    /// The number of callers that wait for a slot.
    pub waiting: usize,
    /// The number of pushes handed to the connection so far.
    pub sent: u64,
    /// The number of pushes that APNs answered, with any status.
    pub answered: u64,
    /// The number of pushes that APNs certainly did not process.
    pub not_sent: u64,
    /// The number of pushes with an unknown result.
    pub lost: u64,
    /// Bytes written, including frame heads, without TLS.
    pub bytes_out: u64,
    /// Bytes read, counted like `bytes_out`.
    pub bytes_in: u64,
    /// Since when no push has been in flight; `None` while one is.
    pub idle_since: Option<Timestamp>,
}

/// How the stream of a push ended.
#[derive(Debug)]
pub(super) enum StreamEnd {
    /// The server answered.
    Answered(Reply),
    /// RST_STREAM with REFUSED_STREAM.
    Refused,
    /// GOAWAY with a last stream below this one, or the connection accepts no new streams.
    PassedOver,
    /// RST_STREAM with another code.
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
    /// Whether to send a PING.
    pub(super) ping: bool,
    /// Whether the server is gone: it did not answer a PING.
    pub(super) dead: bool,
}

impl<W> Ledger<W> {
    /// Creates the ledger of a new connection with at most `most` streams.
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

    /// Returns whether the connection is in use.
    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the counters, without the bytes.
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
            // While there is room, no caller waits.
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
        // No longer in the queue: the slot was granted.
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

    /// Uses a slot for a push and returns the push's key.
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

    /// Uses a slot for a push whose stream cannot be opened.
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

    /// Ends a push and returns its outcome. `with_server` says whether the server may have received all of
    /// it.
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
            // A server that resets a stream has processed at least part of it.
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

    /// Removes a push whose outcome is no longer awaited.
    pub(super) fn forget(&mut self, Key(index): Key, now: Timestamp, woken: &mut Vec<W>) {
        if self.pushes.try_remove(index).is_some() {
            if self.pushes.is_empty() {
                self.idle_since = Some(now);
                self.alarm = None;
            }
            self.promote(woken);
        }
    }

    /// Records the server's SETTINGS, with or without a stream limit.
    pub(super) fn settings(&mut self, streams: Option<u32>, woken: &mut Vec<W>) {
        self.limit.set(streams);
        self.promote(woken);
    }

    /// Whether the server's SETTINGS have arrived.
    pub(super) const fn is_greeted(&self) -> bool {
        self.limit.is_known()
    }

    /// Stops opening streams. Pushes in flight may finish.
    pub(super) fn drain(&mut self, end: CloseReason, now: Timestamp, woken: &mut Vec<W>) {
        if self.state == State::Open {
            self.state = State::Draining(end);
            self.left_at = now;
            self.queue.wake_all(woken);
        }
    }

    /// Closes the connection and returns why. The first reason that was recorded is kept.
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

    /// Returns when [`Ledger::tick`] is due if nothing else happens.
    pub(super) fn next_tick(&self) -> Timestamp {
        let keepalive = self.keepalive.next(!self.pushes.is_empty());
        let others = self.alarm.into_iter().chain(self.overdue_at());
        others.fold(keepalive, Timestamp::min)
    }

    /// Returns when to abandon a connection that is out of use, has no push in flight, and has not ended.
    ///
    /// A server that neither reads nor hangs up would otherwise keep the connection, and the object that
    /// holds it, for an hour.
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

    /// Grants the free slots to waiting callers, in their order.
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
