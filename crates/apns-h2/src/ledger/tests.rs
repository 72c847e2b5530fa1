//! The ledger under random interleavings of all events of a connection, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// An event. A number chooses among the pushes or callers that it can affect.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ask,
    Leave(usize),
    GiveBack,
    Launch(u64),
    Answer(usize),
    Refuse(usize),
    Reset(usize),
    Forget(usize),
    Settings(Option<u32>),
    Heard,
    Pass(u64),
    GoAway(usize),
    Break,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Ask),
        1 => any::<usize>().prop_map(Event::Leave),
        1 => Just(Event::GiveBack),
        10 => (0u64..60_000).prop_map(Event::Launch),
        6 => any::<usize>().prop_map(Event::Answer),
        1 => any::<usize>().prop_map(Event::Refuse),
        1 => any::<usize>().prop_map(Event::Reset),
        1 => any::<usize>().prop_map(Event::Forget),
        2 => prop::option::of(0u32..12).prop_map(Event::Settings),
        1 => Just(Event::Heard),
        4 => (0u64..20_000).prop_map(Event::Pass),
        1 => any::<usize>().prop_map(Event::GoAway),
        1 => Just(Event::Break),
    ]
}

/// A push that is in flight according to the model.
struct Under {
    key: Key,
    deadline: Timestamp,
}

/// A waiting caller, by number.
struct Waiter {
    number: usize,
    ticket: Option<Ticket>,
}

/// The ledger, and a model of its expected state.
struct Simulation {
    ledger: Ledger<usize>,
    now: Timestamp,
    waiting: VecDeque<Waiter>,
    asked: usize,
    slots: usize,
    under_way: Vec<Under>,
    launched: u64,
    outcomes: Vec<Outcome>,
    abandoned: u64,
}

impl Simulation {
    fn new() -> Self {
        let now = Timestamp::from_secs(1_000_000);
        let secs = Duration::from_secs;
        let times = KeepaliveTimes {
            idle: secs(3600),
            stall: secs(10),
            pong: secs(10),
        };
        Self {
            ledger: Ledger::new(8, times, now),
            now,
            waiting: VecDeque::new(),
            asked: 0,
            slots: 0,
            under_way: Vec::new(),
            launched: 0,
            outcomes: Vec::new(),
            abandoned: 0,
        }
    }

    fn is_open(&self) -> bool {
        *self.ledger.state() == State::Open
    }

    /// Lets the woken callers run and checks that they got what they were woken for.
    fn wake(&mut self, woken: Vec<usize>) -> Result<(), TestCaseError> {
        for number in woken {
            let Some(mut first) = self.waiting.pop_front() else {
                continue; // A push that has expired.
            };
            prop_assert_eq!(number, first.number, "out of turn");
            match self.ledger.ask(&mut first.ticket, number) {
                SlotAnswer::Granted => self.slots += 1,
                SlotAnswer::Wait => return Err(TestCaseError::fail("woken for nothing")),
                SlotAnswer::Closed(_) => {
                    let ticket = first.ticket.take().unwrap();
                    self.ledger.leave(&ticket, &mut Vec::new());
                }
            }
        }
        Ok(())
    }

    fn pick(&mut self, pick: usize) -> Option<Under> {
        (!self.under_way.is_empty()).then(|| self.under_way.swap_remove(pick % self.under_way.len()))
    }

    fn settle(
        &mut self,
        push: Under,
        stream_end: StreamEnd,
        with_server: bool,
    ) -> Result<Outcome, TestCaseError> {
        let mut woken = Vec::new();
        let outcome = self
            .ledger
            .settle(push.key, stream_end, with_server, self.now, &mut woken);
        self.outcomes.push(outcome.clone());
        self.wake(woken)?;
        Ok(outcome)
    }

    fn launch(&mut self, millis: u64) {
        if self.slots > 0 {
            self.slots -= 1;
            let deadline = self.now + Duration::from_millis(millis);
            let key = self.ledger.launch(deadline, self.now);
            self.under_way.push(Under { key, deadline });
            self.launched += 1;
        }
    }

    /// Lets time pass in the steps that the ledger asks for.
    fn pass(&mut self, millis: u64) -> Result<(), TestCaseError> {
        let end = self.now + Duration::from_millis(millis);
        loop {
            self.now = self.ledger.next_tick().max(self.now).min(end);
            let due = self.ledger.tick(self.now, &mut Vec::new());
            if due.dead {
                return self.break_off(CloseReason::Silent);
            }
            let expired = |push: &Under| push.deadline <= self.now;
            for push in &self.under_way {
                prop_assert_eq!(self.ledger.is_expired(&push.key), expired(push));
            }
            let (over, rest) = std::mem::take(&mut self.under_way).into_iter().partition(expired);
            self.under_way = rest;
            for (push, with_server) in Vec::into_iter(over).zip([true, false].into_iter().cycle()) {
                let outcome = self.settle(push, StreamEnd::Expired, with_server)?;
                let wanted = if with_server {
                    Outcome::Lost
                } else {
                    Outcome::NotSent
                };
                prop_assert_eq!(outcome, wanted(TransportError::Deadline));
            }
            if self.now == end {
                return Ok(());
            }
        }
    }

    fn break_off(&mut self, end: CloseReason) -> Result<(), TestCaseError> {
        let mut woken = Vec::new();
        self.ledger.close(end, &mut woken);
        self.wake(woken)?;
        for (push, with_server) in std::mem::take(&mut self.under_way)
            .into_iter()
            .zip([false, true].into_iter().cycle())
        {
            let outcome = self.settle(push, StreamEnd::Broken, with_server)?;
            let wanted = if with_server {
                Outcome::Lost
            } else {
                Outcome::NotSent
            };
            prop_assert_eq!(outcome, wanted(TransportError::ConnectionLost));
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        let mut woken = Vec::new();
        match event {
            Event::Ask => {
                let mut waiter = Waiter {
                    number: self.asked,
                    ticket: None,
                };
                self.asked += 1;
                match self.ledger.ask(&mut waiter.ticket, waiter.number) {
                    SlotAnswer::Granted => self.slots += 1,
                    SlotAnswer::Wait => self.waiting.push_back(waiter),
                    SlotAnswer::Closed(_) => prop_assert!(!self.is_open()),
                }
            }
            Event::Leave(pick) if !self.waiting.is_empty() => {
                let waiter = self.waiting.remove(pick % self.waiting.len()).unwrap();
                self.ledger.leave(&waiter.ticket.unwrap(), &mut woken);
            }
            Event::GiveBack if self.slots > 0 => {
                self.slots -= 1;
                self.ledger.give_back(&mut woken);
            }
            Event::Launch(millis) => self.launch(millis),
            Event::Answer(pick) => {
                if let Some(push) = self.pick(pick) {
                    let reply = Reply::read(200, |_| None, b"", Timestamp::default());
                    let outcome = self.settle(push, StreamEnd::Answered(reply.clone()), true)?;
                    prop_assert_eq!(outcome, Outcome::Answered(reply));
                }
            }
            Event::Refuse(pick) => {
                if let Some(push) = self.pick(pick) {
                    let outcome = self.settle(push, StreamEnd::Refused, true)?;
                    prop_assert_eq!(outcome, Outcome::NotSent(TransportError::StreamRefused));
                }
            }
            Event::Reset(pick) => {
                if let Some(push) = self.pick(pick) {
                    let outcome = self.settle(push, StreamEnd::Reset, false)?;
                    prop_assert_eq!(outcome, Outcome::Lost(TransportError::ConnectionLost));
                }
            }
            Event::Forget(pick) => {
                if let Some(push) = self.pick(pick) {
                    self.abandoned += 1;
                    self.ledger.forget(push.key, self.now, &mut woken);
                }
            }
            Event::Settings(streams) => self.ledger.settings(streams, &mut woken),
            Event::Heard => self.ledger.heard(self.now),
            Event::Pass(millis) => self.pass(millis)?,
            Event::GoAway(above) => {
                self.ledger
                    .drain(CloseReason::go_away(0, b""), self.now, &mut woken);
                let above = above % (self.under_way.len() + 1);
                for push in self.under_way.split_off(above) {
                    let outcome = self.settle(push, StreamEnd::PassedOver, true)?;
                    prop_assert_eq!(outcome, Outcome::NotSent(TransportError::GoingAway));
                }
            }
            Event::Break => self.break_off(CloseReason::Broken(String::new()))?,
            Event::Leave(_) | Event::GiveBack => {}
        }
        self.wake(woken)
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let counters = self.ledger.counters();
        prop_assert_eq!(counters.in_flight, self.under_way.len());
        prop_assert_eq!(counters.sent, self.launched);
        prop_assert_eq!(
            counters.answered + counters.not_sent + counters.lost,
            self.outcomes.len() as u64
        );
        let ended = self.outcomes.len() as u64 + self.abandoned;
        prop_assert_eq!(ended + self.under_way.len() as u64, self.launched);
        prop_assert_eq!(self.ledger.slots, self.slots);
        prop_assert_eq!(counters.idle_since.is_some(), self.under_way.is_empty());
        if self.is_open() {
            let busy = self.slots + self.under_way.len();
            prop_assert!(
                self.waiting.is_empty() || busy >= counters.limit,
                "a slot is free and somebody waits"
            );
            prop_assert_eq!(counters.waiting, self.waiting.len());
        } else {
            prop_assert_eq!(counters.waiting, 0);
        }
        for push in &self.under_way {
            prop_assert!(self.ledger.next_tick() <= push.deadline);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_books_hold_whatever_happens(events in prop::collection::vec(event(), 0..200)) {
        let mut simulation = Simulation::new();
        for event in events {
            let before = simulation.slots + simulation.under_way.len();
            simulation.happen(event)?;
            simulation.check()?;
            let after = simulation.slots + simulation.under_way.len();
            let limit = simulation.ledger.counters().limit;
            prop_assert!(after <= limit.max(before), "{} of {}", after, limit);
        }
        // All remaining pushes end with the connection, each once.
        simulation.break_off(CloseReason::Done)?;
        simulation.check()?;
    }
}

#[test]
fn why_a_connection_ended_is_what_was_said_first() {
    let mut simulation = Simulation::new();
    let first = CloseReason::go_away(0, br#"{"reason":"Shutdown"}"#);
    simulation
        .ledger
        .drain(first.clone(), simulation.now, &mut Vec::new());
    simulation
        .ledger
        .drain(CloseReason::Done, simulation.now, &mut Vec::new());
    assert_eq!(
        simulation.ledger.close(CloseReason::Silent, &mut Vec::new()),
        first
    );
    assert_eq!(*simulation.ledger.state(), State::Closed(first));
}

#[test]
fn a_connection_out_of_use_is_given_up_when_nothing_is_under_way_any_more() {
    let times = KeepaliveTimes {
        idle: Duration::from_hours(1),
        stall: Duration::from_secs(10),
        pong: Duration::from_secs(10),
    };
    let at = Timestamp::from_secs;
    let mut ledger = Ledger::<()>::new(10, times, at(0));
    ledger.settings(Some(10), &mut Vec::new());
    assert_eq!(ledger.ask(&mut None, ()), SlotAnswer::Granted);
    let key = ledger.launch(at(60), at(0));
    ledger.drain(CloseReason::Done, at(1), &mut Vec::new());
    ledger.heard(at(7));
    ledger.settle(key, StreamEnd::Expired, false, at(8), &mut Vec::new());
    assert_eq!(ledger.next_tick(), at(18));
    assert!(!ledger.tick(at(17), &mut Vec::new()).dead);
    assert!(ledger.tick(at(18), &mut Vec::new()).dead);
}
