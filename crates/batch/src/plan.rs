//! Which chunks are queued, and when the batch must look again.
//!
//! Only so many chunks are out at once - queued or with a runner - so that another batch's chunks do not stand behind
//! all of this one's, and so that pause and cancel reach it soon. Chunks that wait for another round come before those
//! that nobody has touched, in the order in which they are due. A message that woke nobody within a while counts as
//! lost. What is queued is kept in memory alone: an object that forgot it queues again, and what comes twice, or was
//! not asked for, finds nothing to do unless there is room for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::moments::Moments;
use super::pace::Pace;
use super::results::{Ending, GaveUp};
use super::{Batch, CutOff, Progress, State, at, count};
use crate::places::Places;
use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

/// What is out, and what can go out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The chunks that nobody has touched.
    fresh: BTreeSet<u32>,
    /// Those of them below this one are in the queue.
    next_fresh: u32,
    /// Touched chunks with something to send, and when, that no runner has; queued ones too.
    agenda: Moments,
    /// Chunks with a runner, until their claims end.
    claimed: Moments,
    /// Chunks in the queue, until they count as lost.
    queued: Moments,
    /// How often in a row a message was taken for lost.
    losses: u32,
    /// When the last chunk was let out.
    last_out: Timestamp,
    /// Nothing is queued before this.
    hold_until: Timestamp,
    /// With a rate: what was queued, and what runners have got of it. The second keeps the rate though the queue holds
    /// messages up and brings them all at once.
    queued_pace: Pace,
    claimed_pace: Pace,
}

impl Plan {
    /// The plan of a batch with so many chunks that nobody has touched.
    pub(super) fn new(chunks: usize) -> Self {
        Self {
            fresh: (0..u32::try_from(chunks).unwrap_or(u32::MAX)).collect(),
            ..Self::default()
        }
    }

    /// A chunk was appended.
    pub(super) fn add(&mut self, number: u32) {
        self.fresh.insert(number);
    }

    /// How many chunks nobody has touched.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Takes in how far a chunk is.
    pub(super) fn enter(&mut self, number: u32, progress: &Progress, pushes: usize) {
        self.fresh.remove(&number);
        match &progress.claim {
            Some(claim) => {
                let pushes = progress.in_flight().len();
                self.claimed.insert(number, claim.until, pushes);
            }
            None => {
                self.claimed.remove(number);
            }
        }
        match progress.due_at(pushes) {
            Some(due_at) => self.agenda.insert(number, due_at, 0),
            None => {
                self.agenda.remove(number);
            }
        }
    }

    /// Puts a chunk into the queue.
    fn queue(&mut self, number: u32, pushes: usize, now: Timestamp) {
        let patience = LOST_AFTER.saturating_mul(1 << self.losses.min(MOST_PATIENCE));
        self.queued.insert(number, now + patience, pushes);
        if self.fresh.contains(&number) {
            self.next_fresh = number.saturating_add(1);
        }
    }

    /// Takes a chunk's message off the queue.
    fn take(&mut self, number: u32) -> Option<usize> {
        let pushes = self.queued.remove(number)?;
        self.next_fresh = self.next_fresh.min(number);
        Some(pushes)
    }

    pub(super) fn is_queued(&self, number: u32) -> bool {
        self.queued.contains(number)
    }

    fn is_due(&self, number: u32, now: Timestamp) -> bool {
        self.fresh.contains(&number) || self.agenda.of(number).is_some_and(|due_at| due_at <= now)
    }

    /// A chunk with pushes that have not ended and that no runner has.
    fn next_left(&self) -> Option<u32> {
        let touched = self.agenda.iter().next().map(|(_, number)| number);
        touched.or_else(|| self.fresh.first().copied())
    }

    fn next_fresh(&self) -> Option<u32> {
        let mut fresh = self.fresh.range(self.next_fresh..).copied();
        fresh.find(|number| !self.is_queued(*number))
    }

    /// When the rate lets more out.
    fn paced_until(&self, rate: Option<u32>) -> Timestamp {
        let free_at = |rate| {
            self.queued_pace
                .free_at(rate)
                .max(self.claimed_pace.free_at(rate))
        };
        rate.map(free_at).unwrap_or_default()
    }

    fn pushes_out(&self) -> usize {
        self.queued.pushes() + self.claimed.pushes()
    }

    pub(super) fn chunks_out(&self) -> usize {
        self.queued.len() + self.claimed.len()
    }

    /// How many chunks have pushes without an ending: those that nobody touched, and those with a place on the agenda or
    /// a runner.
    fn chunks_left(&self) -> usize {
        self.fresh.len() + self.agenda.len() + self.claimed.len()
    }
}

impl Batch {
    /// The chunks to queue now; they count as queued. Who could not queue one says so with [`Batch::not_queued`].
    pub fn plan(&mut self, now: Timestamp) -> Vec<u32> {
        self.tick(now);
        let mut is_lost = false;
        while let Some(number) = self.plan.queued.overdue(now) {
            self.plan.take(number);
            is_lost = true;
        }
        self.plan.losses += u32::from(is_lost);
        let mut chosen = Vec::new();
        while self.has_room(now)
            && let Some(number) = self.next_chunk(now)
        {
            let pushes = self.let_out(number, now);
            self.plan.queue(number, pushes, now);
            chosen.push(number);
        }
        chosen
    }

    /// These could not be queued: they are tried again a little later.
    pub fn not_queued(&mut self, chunks: &[u32], now: Timestamp) {
        for number in chunks {
            self.plan.take(*number);
        }
        self.hold_until(now + QUEUE_PAUSE);
    }

    /// Nothing is queued or claimed before this.
    pub(super) fn hold_until(&mut self, until: Timestamp) {
        self.plan.hold_until = self.plan.hold_until.max(until);
    }

    /// What is in the queue does not count any more.
    pub(super) fn forget_queue(&mut self) {
        while let Some(number) = self.plan.queued.overdue(Timestamp::from_millis(u64::MAX)) {
            self.plan.take(number);
        }
    }

    /// A chunk's message has come. Gives how many of its pushes may be claimed.
    pub(super) fn admit(&mut self, number: u32, now: Timestamp) -> Option<usize> {
        let let_out = match self.plan.take(number) {
            Some(pushes) => {
                self.plan.losses = 0;
                pushes
            }
            // Queued by an object that forgot it, or before the batch was paused.
            None if self.has_room(now) && self.plan.is_due(number, now) => self.let_out(number, now),
            None => return None,
        };
        let rate = self.record.terms.rate;
        let paced = rate.is_none_or(|rate| self.plan.claimed_pace.free_at(rate) <= now);
        // Without a rate, what has become due in between goes with it.
        (paced && self.is_sent(now)).then_some(rate.map_or(usize::MAX, |_| let_out))
    }

    /// A runner got so many pushes.
    pub(super) fn handed_out(&mut self, pushes: usize, now: Timestamp) {
        if let Some(rate) = self.record.terms.rate {
            self.plan.claimed_pace.take(pushes, rate, now);
        }
    }

    /// When [`Batch::plan`] is next to be called, though nothing has come; with the end of a batch that ended, when it is
    /// to be forgotten.
    #[must_use]
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let terms = &self.record.terms;
        if let Some(outdated_at) = self.outdated_at() {
            return Some(self.report_at().unwrap_or(outdated_at));
        }
        let is_left = self.is_open() || self.plan.next_left().is_some();
        let expires_at = terms.ends_at().filter(|_| is_left && self.can_expire());
        let mut moments = vec![
            self.plan.claimed.next(),
            Some(self.record.created_at + LONGEST_LIFE),
            expires_at,
            self.silent_at(now),
        ];
        if self.record.state == State::Running {
            moments.push(self.plan.queued.next());
            let window_at = self.window_at(now);
            let opens_at = terms.opens_at(now).filter(|at| *at > now).unwrap_or_default();
            moments.push(window_at.and_then(|at| Some(self.next_due(now)?.max(at).max(opens_at))));
        }
        moments.into_iter().flatten().min()
    }

    /// When the time is over for which it is kept after its end. Returns `None` if it has not ended.
    pub(super) fn outdated_at(&self) -> Option<Timestamp> {
        let ended_at = self.record.ended_at?;
        let keep = Duration::from_millis(self.record.terms.keep_ms);
        Some(
            ended_at
                + if self.record.is_deleting {
                    Duration::ZERO
                } else {
                    keep
                },
        )
    }

    /// Has it deleted as soon as nothing of it waits any more.
    pub(super) fn mark_deleting(&mut self) {
        self.record.is_deleting = true;
        self.is_record_unsaved = true;
    }

    /// Does what time alone brings: claims end, the notification expires, the batch is over.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.record.state.has_ended() || self.record.state == State::Staging {
            return;
        }
        while let Some(number) = self.plan.claimed.overdue(now) {
            self.plan.claimed.remove(number);
            self.lapse(number, now);
        }
        if now >= self.record.created_at + LONGEST_LIFE {
            self.turn(State::Cancelling, now);
        }
        if self.can_expire() && self.is_expired(now) {
            self.cut_off(CutOff::Expired, now);
            self.expire();
        }
        self.close_if_scanned(now);
        if self.plan.claimed.len() == 0 {
            if self.record.state == State::Cancelling {
                self.turn(State::Cancelled, now);
            } else if self.plan.chunks_left() == 0 && !self.is_open() {
                self.turn(State::Done, now);
            }
        }
        self.note_rate(now);
    }

    /// Nothing may be sent any more: the pushes end that no runner has, some chunks' at a time.
    fn expire(&mut self) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(number) = self.plan.next_left() else {
                return;
            };
            let pushes = self.chunks.get(at(number)).map_or(0, |chunk| chunk.size.pushes);
            self.end(number, Places::first(pushes), &expired(), &[]);
        }
    }

    /// Whether its pushes end when the notification expires or the last window is over.
    const fn can_expire(&self) -> bool {
        matches!(self.record.state, State::Running | State::Paused)
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.record.terms.ends_at().is_some_and(|at| at <= now)
    }

    /// Whether anything goes out now.
    fn is_sent(&self, now: Timestamp) -> bool {
        let is_held = now < self.plan.hold_until || !self.record.terms.is_open_at(now);
        self.record.state == State::Running && !is_held && !self.is_expired(now)
    }

    /// When more may be out than is; nothing if some of that has to end first.
    fn window_at(&self, now: Timestamp) -> Option<Timestamp> {
        let out = count(self.plan.pushes_out());
        let window = self.rate(now).saturating_mul(WINDOW_SECONDS).max(WINDOW);
        let is_full = out >= window || self.plan.chunks_out() >= MOST_OUT;
        self.guard.admits_at(out, self.plan.last_out).filter(|_| !is_full)
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let paced_until = self.plan.paced_until(self.record.terms.rate);
        self.is_sent(now) && paced_until <= now && self.window_at(now).is_some_and(|at| at <= now)
    }

    /// The next chunk that can be sent and is not out.
    fn next_chunk(&self, now: Timestamp) -> Option<u32> {
        let mut due = self.plan.agenda.iter().take_while(|(due_at, _)| *due_at <= now);
        let waiting = due.find(|(_, number)| !self.plan.is_queued(*number));
        waiting
            .map(|(_, number)| number)
            .or_else(|| self.plan.next_fresh())
    }

    /// How many of a chunk's pushes go out now: with a rate, a second's worth at the most.
    fn let_out(&mut self, number: u32, now: Timestamp) -> usize {
        self.plan.last_out = now;
        let Some(chunk) = self.chunks.get(at(number)) else {
            return 0;
        };
        let sendable = match self.progress(number) {
            None => chunk.size.pushes,
            Some(progress) => progress.sendable(chunk.size.pushes, now).len(),
        };
        let Some(rate) = self.record.terms.rate else {
            return sendable;
        };
        let pushes = sendable.min(at(rate.max(1)));
        self.plan.queued_pace.take(pushes, rate, now);
        pushes
    }

    /// When something can be queued that is not queued yet.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let mut waiting = self.plan.agenda.iter();
        let due_at = match self.plan.next_fresh() {
            Some(_) => Some(now),
            None => waiting
                .find(|(_, number)| !self.plan.is_queued(*number))
                .map(|(due_at, _)| rounded_up(due_at)),
        };
        let paced_until = self.plan.paced_until(self.record.terms.rate);
        due_at.map(|at| at.max(self.plan.hold_until).max(paced_until))
    }
}

/// Rounds that are due one after the other are looked for together.
const fn rounded_up(due_at: Timestamp) -> Timestamp {
    Timestamp::from_millis(
        due_at
            .as_millis()
            .div_ceil(LOOK_EVERY_MS)
            .saturating_mul(LOOK_EVERY_MS),
    )
}

/// The ending of a push that the notification's expiration kept from going out.
pub(super) const fn expired() -> Ending {
    Ending {
        verdict: Verdict::Retry(RetryCause::Server),
        code: 0,
        reason: None,
        attempts: 0,
        gave_up: Some(GaveUp::Expired),
    }
}

/// How many pushes may be out in any case: half a minute's work at a thousand a second, so that a message has its time in
/// the queue without the senders running dry.
const WINDOW: u64 = 32_000;

/// How many seconds' work is out at the rate of late: a message spends a second or two in the queue, and other batches'
/// messages stand behind what is more.
const WINDOW_SECONDS: u64 = 4;

/// The most chunks that are out, whatever is to be sent of them: four seconds' work at 64,000 pushes a second, which is what
/// a credential's four connections reach.
const MOST_OUT: usize = 512;

/// How often a batch is woken for rounds that are due: each time costs a request and a written row.
const LOOK_EVERY_MS: u64 = 500;

/// How many chunks expire with one command: each is a row to write, and a batch may have many thousands.
const EXPIRED_AT_ONCE: usize = 256;

/// A message that has woken nobody for so long is sent again: consumers are far behind, or it is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How often that time doubles while no message comes at all, to a quarter of an hour: a queue that stands still would fill
/// with messages for the same chunks.
const MOST_PATIENCE: u32 = 4;

/// How long nothing is queued after the queue has refused.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// The longest life of a batch, paused or not; then what is left is cancelled. APNs itself keeps no notification longer.
pub const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
