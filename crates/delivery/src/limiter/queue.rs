//! The queue for permits.
//!
//! It has two lines. Immediate requests are served first, in the order of arrival. Among batches, the one
//! with the fewest granted permits for its weight is served first. Each line has its own limit, so batches
//! never displace immediate requests. If the line of the batches is full, the batch with the most waiting
//! requests loses one to a batch with fewer.
//!
//! Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm" (1989), with
//! granted permits in place of sent bytes.

use std::collections::{BTreeMap, VecDeque};

use super::{FairShare, LeaseRequest};
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
    /// Requests that were rejected since the line last moved.
    rejected: u32,
}

/// A request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) request: LeaseRequest,
    pub(super) until: Timestamp,
}

/// The granted permits, by batch.
pub(super) type Out = BTreeMap<u64, u32>;

impl Queue {
    /// Returns the request that is served first. Calls `out` only if no immediate request waits.
    pub(super) fn first(&self, out: impl FnOnce() -> Out) -> Option<Waiter> {
        if let Some(first) = self.immediate.waiting.front() {
            return Some(*first);
        }
        let waiting = &self.batches.waiting;
        if waiting.len() < 2 {
            return waiting.front().copied();
        }
        let out = out();
        // Of batches with equally few, the first.
        waiting
            .iter()
            .min_by_key(|waiter| fill(waiter.request.share, &out))
            .copied()
    }

    /// Whether a request that arrives now is served before all that wait.
    pub(super) fn goes_first(&self, share: Option<FairShare>, out: impl FnOnce() -> Out) -> bool {
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
            .map(|waiter| fill(waiter.request.share, &out));
        fills.all(|other| fill(share, &out) < other)
    }

    /// Whether one more request may wait.
    ///
    /// If the line of the batches is full, the batch with the most waiting requests makes room if the new
    /// request's batch has at least two fewer. The wait of its last request then ends.
    pub(super) fn make_room(&mut self, share: Option<FairShare>, now: Timestamp) -> bool {
        let Some(share) = share else {
            return self.immediate.waiting.len() < MAX_WAITING;
        };
        if self.batches.waiting.len() < MAX_WAITING_BATCHES {
            return true;
        }
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for waiter in &self.batches.waiting {
            *counts.entry(batch_of(waiter)).or_default() += 1;
        }
        let own = counts.get(&share.batch).copied().unwrap_or_default();
        let Some((most, count)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
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

    /// Adds a request to the end of its line.
    pub(super) fn join(&mut self, request: LeaseRequest, until: Timestamp) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        self.line_mut(request.share).waiting.push_back(Waiter {
            ticket,
            request,
            until,
        });
        ticket
    }

    /// Removes a request, if it is there.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        [&mut self.immediate, &mut self.batches]
            .into_iter()
            .find_map(|line| {
                let index = line.waiting.iter().position(|waiter| waiter.ticket == ticket)?;
                line.waiting.remove(index)
            })
    }

    /// Returns a request whose wait is over.
    pub(super) fn lapsed(&self, now: Timestamp) -> Option<Ticket> {
        let over = self.waiting().find(|waiter| waiter.until <= now)?;
        Some(over.ticket)
    }

    /// Returns when the first wait is over.
    pub(super) fn next_lapse(&self) -> Option<Timestamp> {
        self.waiting().map(|waiter| waiter.until).min()
    }

    /// Counts a rejected request.
    pub(super) fn reject(&mut self, share: Option<FairShare>) {
        let line = self.line_mut(share);
        line.rejected = line.rejected.saturating_add(1);
    }

    /// Records that a request got permits.
    pub(super) fn moved(&mut self, share: Option<FairShare>) {
        self.line_mut(share).rejected = 0;
    }

    /// Returns how many requests are served before one that returns later, including rejected ones.
    pub(super) fn ahead(&self, share: Option<FairShare>) -> usize {
        let batches = share.map_or(0, |_| self.batches.len());
        self.immediate.len().saturating_add(batches)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().count()
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiter> {
        self.immediate.waiting.iter().chain(&self.batches.waiting)
    }

    const fn line_mut(&mut self, share: Option<FairShare>) -> &mut Line {
        match share {
            None => &mut self.immediate,
            Some(_) => &mut self.batches,
        }
    }
}

impl Line {
    /// Returns the number of requests that wait or were rejected.
    fn len(&self) -> usize {
        let rejected = usize::try_from(self.rejected).unwrap_or(usize::MAX);
        self.waiting.len().saturating_add(rejected)
    }
}

fn batch_of(waiter: &Waiter) -> u64 {
    waiter.request.share.map_or(0, |share| share.batch)
}

/// Returns a batch's granted permits divided by its weight, scaled so that equal fractions compare as equal.
fn fill(share: Option<FairShare>, out: &Out) -> u64 {
    share.map_or(0, |share| {
        let permits = out.get(&share.batch).copied().unwrap_or_default();
        (u64::from(permits) << u32::BITS) / u64::from(share.weight.max(1))
    })
}

/// The maximum number of waiting immediate requests: each is an open request in one object, which serves a
/// thousand per second.
pub const MAX_WAITING: usize = 128;

/// The maximum number of waiting requests of batches. A queue has at most some hundreds of consumers, and a
/// rejected one delays its message.
pub const MAX_WAITING_BATCHES: usize = 128;
