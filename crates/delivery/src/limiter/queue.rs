//! Who waits for permits, and who goes first.
//!
//! Two lines: immediate orders in the order in which they came, and behind them the batches, of which the one goes first
//! that has the fewest permits out for its weight. Each line has a bound of its own, so that batches never take the places
//! of immediate orders; and a batch that fills the line of the batches gives places up to those that have fewer. In scope:
//! the order. Out of scope: how many permits are free (`limiter`).
//!
//! Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm" (1989), with permits that are
//! out in the place of bytes that were sent.

use std::collections::{BTreeMap, VecDeque};

use super::{Ask, Share};
use crate::machine::Ticket;
use apns::time::Timestamp;

/// The queue for the permits of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    immediate: Line,
    batches: Line,
    next_ticket: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    waiting: VecDeque<Waiter>,
    /// Askers who were turned away since the line last moved.
    turned_away: u32,
}

/// One who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) ask: Ask,
    pub(super) until: Timestamp,
}

/// The permits that are out, by batch.
pub(super) type Out = BTreeMap<u64, u32>;

impl Queue {
    /// Who goes first; `out` is asked for if only batches wait.
    pub(super) fn first(&self, out: impl FnOnce() -> Out) -> Option<Waiter> {
        if let Some(first) = self.immediate.waiting.front() {
            return Some(*first);
        }
        let waiting = &self.batches.waiting;
        if waiting.len() < 2 {
            return waiting.front().copied();
        }
        let out = out();
        // The first of those that have as few.
        waiting
            .iter()
            .min_by_key(|waiter| fill(waiter.ask.share, &out))
            .copied()
    }

    /// Whether somebody who asks now goes before all who wait.
    pub(super) fn goes_first(&self, share: Option<Share>, out: impl FnOnce() -> Out) -> bool {
        if !self.immediate.waiting.is_empty() {
            return false;
        }
        if share.is_none() || self.batches.waiting.is_empty() {
            return true;
        }
        let out = out();
        let mut fills = self
            .batches
            .waiting
            .iter()
            .map(|waiter| fill(waiter.ask.share, &out));
        fills.all(|other| fill(share, &out) < other)
    }

    /// Whether there is a place for one more. In a full line of batches, the last of those that have the most places is told
    /// that its wait is over, if that lets another batch have as many.
    pub(super) fn make_place(&mut self, share: Option<Share>, now: Timestamp) -> bool {
        let Some(share) = share else {
            return self.immediate.waiting.len() < MAX_WAITING;
        };
        if self.batches.waiting.len() < MAX_WAITING_BATCHES {
            return true;
        }
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        for waiter in &self.batches.waiting {
            *places.entry(batch_of(waiter)).or_default() += 1;
        }
        let own = places.get(&share.batch).copied().unwrap_or_default();
        let Some((most, count)) = places.into_iter().max_by_key(|(_, count)| *count) else {
            return false;
        };
        let last = self
            .batches
            .waiting
            .iter()
            .rposition(|waiter| batch_of(waiter) == most);
        match last.and_then(|last| self.batches.waiting.get_mut(last)) {
            Some(last) if count > own + 1 => {
                last.until = last.until.min(now);
                true
            }
            _ => false,
        }
    }

    /// Somebody takes the last place of a line.
    pub(super) fn join(&mut self, ask: Ask, until: Timestamp) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        self.line_mut(ask.share)
            .waiting
            .push_back(Waiter { ticket, ask, until });
        ticket
    }

    /// A waiter leaves, if it is there.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        [&mut self.immediate, &mut self.batches]
            .into_iter()
            .find_map(|line| {
                let index = line.waiting.iter().position(|waiter| waiter.ticket == ticket)?;
                line.waiting.remove(index)
            })
    }

    /// One whose wait is over.
    pub(super) fn lapsed(&self, now: Timestamp) -> Option<Ticket> {
        let over = self.waiting().find(|waiter| waiter.until <= now)?;
        Some(over.ticket)
    }

    /// When the first wait is over.
    pub(super) fn next_lapse(&self) -> Option<Timestamp> {
        self.waiting().map(|waiter| waiter.until).min()
    }

    /// Somebody found no place.
    pub(super) fn turn_away(&mut self, share: Option<Share>) {
        let line = self.line_mut(share);
        line.turned_away = line.turned_away.saturating_add(1);
    }

    /// Somebody got permits.
    pub(super) fn moved(&mut self, share: Option<Share>) {
        self.line_mut(share).turned_away = 0;
    }

    /// How many come before somebody who comes back, those included who were told to.
    pub(super) fn ahead(&self, share: Option<Share>) -> usize {
        let batches = share.map_or(0, |_| self.batches.len());
        self.immediate.len().saturating_add(batches)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().count()
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiter> {
        self.immediate.waiting.iter().chain(&self.batches.waiting)
    }

    const fn line_mut(&mut self, share: Option<Share>) -> &mut Line {
        match share {
            None => &mut self.immediate,
            Some(_) => &mut self.batches,
        }
    }
}

impl Line {
    /// Who waits, and who was told to come back.
    fn len(&self) -> usize {
        let turned_away = usize::try_from(self.turned_away).unwrap_or(usize::MAX);
        self.waiting.len().saturating_add(turned_away)
    }
}

fn batch_of(waiter: &Waiter) -> u64 {
    waiter.ask.share.map_or(0, |share| share.batch)
}

/// The permits that a batch has out for one of weight, in fractions so fine that equal parts are equal.
fn fill(share: Option<Share>, out: &Out) -> u64 {
    share.map_or(0, |share| {
        let permits = out.get(&share.batch).copied().unwrap_or_default();
        (u64::from(permits) << u32::BITS) / u64::from(share.weight.max(1))
    })
}

/// The most immediate orders that wait: each is an open request in one object, which serves a thousand a second.
pub const MAX_WAITING: usize = 128;

/// The most asks of batches that wait, beside the immediate orders: a queue's consumers are no more than some hundreds, and
/// one that finds no place puts its message off.
pub const MAX_WAITING_BATCHES: usize = 128;
