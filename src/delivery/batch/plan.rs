//! Which chunks are queued, and when the batch must look again.
//!
//! Only so many chunks are out at once - queued or with a runner - so that another batch's chunks do not stand behind
//! all of this one's, and so that pause and cancel reach it soon. Chunks that wait for another round come before those
//! that nobody has touched, in the order in which they are due. A message that woke nobody within a while counts as
//! lost. What is queued is kept in memory alone: an object that forgot it queues again, and what comes twice finds
//! nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::results::{Ending, GaveUp};
use super::{Batch, Progress, State, at};
use crate::delivery::places::Places;
use crate::delivery::verdict::Verdict;
use crate::time::Timestamp;

/// What is out, and what can go out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The chunks that nobody has touched.
    fresh: BTreeSet<u32>,
    /// Touched chunks with something to send, and when, that no runner has; queued ones too.
    agenda: BTreeSet<(Timestamp, u32)>,
    due: BTreeMap<u32, Timestamp>,
    /// Chunks with a runner: until when, and how many pushes.
    claimed: BTreeMap<u32, (Timestamp, usize)>,
    /// Chunks in the queue.
    queued: BTreeMap<u32, Queued>,
    /// Nothing is queued before this.
    hold_until: Timestamp,
    /// With a rate: until when what was let out is enough.
    paced_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    since: Timestamp,
    pushes: usize,
}

impl Plan {
    /// The plan of a batch with so many chunks that nobody has touched.
    pub(super) fn new(chunks: usize) -> Self {
        Self {
            fresh: (0..u32::try_from(chunks).unwrap_or(u32::MAX)).collect(),
            ..Self::default()
        }
    }

    /// Takes in how far a chunk is.
    pub(super) fn enter(&mut self, number: u32, progress: &Progress, pushes: usize) {
        self.fresh.remove(&number);
        if let Some(due_at) = self.due.remove(&number) {
            self.agenda.remove(&(due_at, number));
        }
        match &progress.claim {
            Some(claim) => {
                let in_flight = progress.in_flight().len();
                self.claimed.insert(number, (claim.until, in_flight));
            }
            None => {
                self.claimed.remove(&number);
            }
        }
        if let Some(due_at) = progress.due_at(pushes) {
            self.due.insert(number, due_at);
            self.agenda.insert((due_at, number));
        }
    }

    /// A chunk's message has come. Gives how many of its pushes may be claimed: with a rate, none that were not let out.
    pub(super) fn take(&mut self, number: u32, rate: Option<u32>, now: Timestamp) -> Option<usize> {
        let queued = self.queued.remove(&number);
        if now < self.hold_until {
            return None;
        }
        match rate {
            None => Some(usize::MAX),
            Some(_) => queued.map(|queued| queued.pushes),
        }
    }

    pub(super) fn hold_until(&mut self, until: Timestamp) {
        self.hold_until = self.hold_until.max(until);
    }

    /// The moment of the next claim that ends by itself.
    fn next_lapse(&self) -> Option<Timestamp> {
        self.claimed.values().map(|(until, _)| *until).min()
    }

    fn next_loss(&self) -> Option<Timestamp> {
        let oldest = self.queued.values().map(|queued| queued.since).min();
        oldest.map(|since| since + LOST_AFTER)
    }

    fn pushes_out(&self) -> usize {
        let queued = self.queued.values().map(|queued| queued.pushes);
        let claimed = self.claimed.values().map(|(_, pushes)| *pushes);
        queued.sum::<usize>() + claimed.sum::<usize>()
    }

    fn chunks_out(&self) -> usize {
        self.queued.len() + self.claimed.len()
    }
}

impl Batch {
    /// The chunks to queue now; they count as queued. Who could not queue one says so with [`Batch::not_queued`].
    pub fn plan(&mut self, now: Timestamp) -> Vec<u32> {
        self.tick(now);
        self.plan
            .queued
            .retain(|_, queued| now < queued.since + LOST_AFTER);
        let mut chosen = Vec::new();
        if self.record.state != State::Running || now < self.plan.hold_until {
            return chosen;
        }
        self.plan.paced_until = self.plan.paced_until.max(now - PACE);
        while self.has_room(now)
            && let Some(number) = self.next_chunk(now)
        {
            let pushes = self.let_out(number, now);
            self.plan.queued.insert(number, Queued { since: now, pushes });
            chosen.push(number);
        }
        chosen
    }

    /// These could not be queued: they are tried again a little later.
    pub fn not_queued(&mut self, chunks: &[u32], now: Timestamp) {
        for number in chunks {
            self.plan.queued.remove(number);
        }
        self.plan.hold_until(now + QUEUE_PAUSE);
    }

    /// When [`Batch::plan`] is next to be called, though nothing has come; with the end of a batch that ended, when it is
    /// to be forgotten.
    #[must_use]
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let terms = &self.record.terms;
        if let Some(ended_at) = self.record.ended_at {
            return Some(ended_at + Duration::from_millis(terms.keep_ms));
        }
        let mut moments = vec![
            self.plan.next_lapse(),
            Some(self.record.created_at + LONGEST_LIFE),
        ];
        if self.record.state == State::Running {
            moments.push(self.plan.next_loss());
            moments.push(terms.expires_at);
            if self.has_window() {
                moments.push(self.next_due(now));
            }
        }
        moments.into_iter().flatten().min()
    }

    /// Whether it has ended so long ago that it is to be forgotten.
    #[must_use]
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        let keep = Duration::from_millis(self.record.terms.keep_ms);
        self.record
            .ended_at
            .is_some_and(|ended_at| now >= ended_at + keep)
    }

    /// Does what time alone brings: claims end, the notification expires, the batch is over.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.record.state.has_ended() {
            return;
        }
        let lapsed = self.plan.claimed.iter().filter(|(_, (until, _))| *until <= now);
        let lapsed: Vec<u32> = lapsed.map(|(number, _)| *number).collect();
        for number in lapsed {
            if let Some(chunk) = self.chunks.get_mut(at(number)) {
                let size = chunk.size;
                if let Some(progress) = chunk.open() {
                    progress.end_claim(now, now);
                }
                self.unsaved.insert(number);
                self.after_change(number, size);
            }
        }
        if now >= self.record.created_at + LONGEST_LIFE {
            self.turn(State::Cancelling, now);
        }
        let is_sent = matches!(self.record.state, State::Running | State::Paused);
        if is_sent && self.record.terms.expires_at.is_some_and(|at| at <= now) {
            self.expire();
        }
        if self.plan.claimed.is_empty() {
            if self.record.state == State::Cancelling {
                self.turn(State::Cancelled, now);
            } else if self.chunks_left() == 0 {
                self.turn(State::Done, now);
            }
        }
        self.note_rate(now);
    }

    /// The notification is of no more use: every push that no runner has ends.
    fn expire(&mut self) {
        let numbers = 0..u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for number in numbers {
            let Some(chunk) = self.chunks.get_mut(at(number)) else {
                return;
            };
            let size = chunk.size;
            let Some(progress) = chunk.open() else { continue };
            let mut left = vec![(0, progress.ready(size.pushes))];
            let waiting = progress.waiting.iter();
            left.extend(waiting.map(|waiting| (waiting.part.attempts, waiting.part.places)));
            for (attempts, places) in left {
                if !places.is_empty() {
                    self.end(number, places, &expired(attempts), &[]);
                }
            }
            self.after_change(number, size);
        }
    }

    /// How many chunks have pushes without an ending: those that nobody touched, and those with a place on the agenda or
    /// a runner.
    fn chunks_left(&self) -> usize {
        self.plan.fresh.len() + self.plan.due.len() + self.plan.claimed.len()
    }

    fn has_window(&self) -> bool {
        let probing = self.guard.is_probing || !self.guard.is_decided;
        self.plan.chunks_out() < WINDOW && (!probing || self.plan.pushes_out() < PROBE)
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let paced = self.record.terms.rate.is_none() || self.plan.paced_until <= now;
        paced && self.has_window()
    }

    /// The next chunk that can be sent and is not out.
    fn next_chunk(&self, now: Timestamp) -> Option<u32> {
        let agenda = self.plan.agenda.iter();
        let mut due = agenda.take_while(|(due_at, _)| *due_at <= now);
        let waiting = due.find(|(_, number)| !self.plan.queued.contains_key(number));
        waiting.map(|(_, number)| *number).or_else(|| self.next_fresh())
    }

    fn next_fresh(&self) -> Option<u32> {
        let mut fresh = self.plan.fresh.iter().copied();
        fresh.find(|number| !self.plan.queued.contains_key(number))
    }

    /// How many of a chunk's pushes go out now: with a rate, a second's worth at the most.
    fn let_out(&mut self, number: u32, now: Timestamp) -> usize {
        let Some(chunk) = self.chunks.get(at(number)) else {
            return 0;
        };
        let sendable = match self.progress(number) {
            None => chunk.size.pushes,
            Some(progress) => {
                let due = progress.waiting.iter().filter(|waiting| waiting.due_at <= now);
                let due = due.fold(Places::NONE, |all, waiting| all.with(waiting.part.places));
                due.with(progress.ready(chunk.size.pushes)).len()
            }
        };
        let Some(rate) = self.record.terms.rate else {
            return sendable;
        };
        let pushes = sendable.min(at(rate.max(1)));
        let takes =
            Duration::from_secs(1).saturating_mul(u32::try_from(pushes).unwrap_or(u32::MAX)) / rate.max(1);
        self.plan.paced_until = self.plan.paced_until + takes;
        pushes
    }

    /// When something can be queued that is not queued yet.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let agenda = self.plan.agenda.iter();
        let mut waiting = agenda.filter(|(_, number)| !self.plan.queued.contains_key(number));
        let due_at = match self.next_fresh() {
            Some(_) => Some(now),
            None => waiting.next().map(|(due_at, _)| *due_at),
        };
        let paced = self.record.terms.rate.map(|_| self.plan.paced_until);
        due_at.map(|at| at.max(self.plan.hold_until).max(paced.unwrap_or_default()))
    }
}

/// The ending of a push that the notification's expiration kept from going out.
fn expired(attempts: u8) -> Ending {
    Ending {
        verdict: Verdict::Retry(crate::delivery::verdict::Again::Server),
        code: 0,
        reason: None,
        attempts,
        gave_up: Some(GaveUp::Expired),
    }
}

/// The most chunks of a batch that are out at once: half a minute's work at a thousand pushes a second, two seconds' at
/// the rate of one connection; more would only make other batches wait.
pub(super) const WINDOW: usize = 64;

/// No chunk goes out beside so many pushes while it is not known whether APNs takes any.
const PROBE: usize = 500;

/// A message that has woken nobody for so long is sent again: consumers are far behind, or it is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How long nothing is queued after the queue has refused.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// What a batch with a rate may be behind and catch up with at once.
const PACE: Duration = Duration::from_secs(1);

/// The longest life of a batch, paused or not; then what is left is cancelled. APNs itself keeps no notification longer.
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
