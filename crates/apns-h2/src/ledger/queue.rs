//! The callers that wait for a slot, first come, first served.

use std::collections::VecDeque;

/// A position in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// The queue, in the order of its tickets.
#[derive(Debug)]
pub(super) struct Queue<W> {
    waiting: VecDeque<(u64, Option<W>)>,
    issued: u64,
}

impl<W> Queue<W> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            issued: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn join(&mut self, waker: W) -> Ticket {
        let ticket = self.issued;
        self.issued += 1;
        self.waiting.push_back((ticket, Some(waker)));
        Ticket(ticket)
    }

    /// Sets the waker of a waiting caller. Returns `false` if the ticket is no longer in the queue.
    pub(super) fn renew(&mut self, ticket: &Ticket, waker: W) -> bool {
        match self.index(ticket).and_then(|index| self.waiting.get_mut(index)) {
            Some((_, held)) => {
                *held = Some(waker);
                true
            }
            None => false,
        }
    }

    /// Removes the ticket. Returns `false` if it was no longer in the queue.
    pub(super) fn leave(&mut self, ticket: &Ticket) -> bool {
        self.index(ticket)
            .and_then(|index| self.waiting.remove(index))
            .is_some()
    }

    /// Removes the first caller and returns its waker.
    pub(super) fn next(&mut self) -> Option<Option<W>> {
        self.waiting.pop_front().map(|(_, waker)| waker)
    }

    /// Returns all wakers. The callers stay in the queue until each leaves it.
    pub(super) fn wake_all(&mut self, woken: &mut Vec<W>) {
        woken.extend(self.waiting.iter_mut().filter_map(|(_, waker)| waker.take()));
    }

    fn index(&self, Ticket(ticket): &Ticket) -> Option<usize> {
        self.waiting
            .binary_search_by_key(ticket, |(waiting, _)| *waiting)
            .ok()
    }
}
