//! The plan of a batch: which chunks are queued, and when to check again.
//!
//! Only a limited number of chunks is queued or with a runner at once. Other batches' chunks then need not
//! wait behind all of this one's, and pause and cancel take effect soon. Chunks that wait for a retry come
//! before untouched ones, in the order in which they are due. A message that woke no consumer within a while
//! counts as lost. The set of queued chunks is kept only in memory. An object that lost its memory queues
//! them again; a message that comes twice, or was not requested, has no effect unless there is room.

use std::collections::BTreeSet;
use std::time::Duration;

use super::deadlines::Deadlines;
use super::rate_limiter::RateLimiter;
use super::results::{FinalResult, GaveUp};
use super::{Batch, CutOff, Progress, State, at, count};
use crate::bit_set::BitSet;
use apns::time::Timestamp;
use delivery::verdict::{RetryCause, Verdict};

/// The chunks that are out, and those that can be queued.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The untouched chunks.
    fresh: BTreeSet<u32>,
    /// The untouched chunks below this number are in the queue.
    next_fresh: u32,
    /// Touched chunks without a runner that have pushes to send, and when those are due. Includes queued
    /// chunks.
    retry_schedule: Deadlines,
    /// Chunks with a runner, until their claims expire.
    claimed: Deadlines,
    /// Chunks in the queue, until they count as lost.
    queued: Deadlines,
    /// The number of consecutive messages that counted as lost.
    losses: u32,
    /// When the last chunk was queued or claimed.
    last_out: Timestamp,
    /// Nothing is queued before this moment.
    hold_until: Timestamp,
    /// With a rate: limits the pushes that are queued, and the pushes that runners get. The second limit keeps
    /// the rate if the queue delays messages and then delivers all of them at once.
    queued_rate: RateLimiter,
    claimed_rate: RateLimiter,
}

impl Plan {
    /// Creates the plan of a batch with `chunks` untouched chunks.
    pub(super) fn new(chunks: usize) -> Self {
        Self {
            fresh: (0..u32::try_from(chunks).unwrap_or(u32::MAX)).collect(),
            ..Self::default()
        }
    }

    /// Adds an appended chunk.
    pub(super) fn add(&mut self, number: u32) {
        self.fresh.insert(number);
    }

    /// Returns the number of untouched chunks.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Updates the plan with a chunk's progress.
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
            Some(due_at) => self.retry_schedule.insert(number, due_at, 0),
            None => {
                self.retry_schedule.remove(number);
            }
        }
    }

    /// Records that a chunk was queued.
    fn queue(&mut self, number: u32, pushes: usize, now: Timestamp) {
        let patience = LOST_AFTER.saturating_mul(1 << self.losses.min(MOST_PATIENCE));
        self.queued.insert(number, now + patience, pushes);
        if self.fresh.contains(&number) {
            self.next_fresh = number.saturating_add(1);
        }
    }

    /// Records that a chunk is no longer in the queue.
    fn take(&mut self, number: u32) -> Option<usize> {
        let pushes = self.queued.remove(number)?;
        self.next_fresh = self.next_fresh.min(number);
        Some(pushes)
    }

    pub(super) fn is_queued(&self, number: u32) -> bool {
        self.queued.contains(number)
    }

    fn is_due(&self, number: u32, now: Timestamp) -> bool {
        self.fresh.contains(&number) || self.retry_schedule.of(number).is_some_and(|due_at| due_at <= now)
    }

    /// Returns a chunk that has no runner and has pushes without a final result.
    fn next_left(&self) -> Option<u32> {
        let touched = self.retry_schedule.iter().next().map(|(_, number)| number);
        touched.or_else(|| self.fresh.first().copied())
    }

    fn next_fresh(&self) -> Option<u32> {
        let mut fresh = self.fresh.range(self.next_fresh..).copied();
        fresh.find(|number| !self.is_queued(*number))
    }

    /// Returns when the rate allows more pushes.
    fn paced_until(&self, rate: Option<u32>) -> Timestamp {
        let free_at = |rate| {
            self.queued_rate
                .free_at(rate)
                .max(self.claimed_rate.free_at(rate))
        };
        rate.map(free_at).unwrap_or_default()
    }

    fn pushes_out(&self) -> usize {
        self.queued.pushes() + self.claimed.pushes()
    }

    pub(super) fn chunks_out(&self) -> usize {
        self.queued.len() + self.claimed.len()
    }

    /// Returns the number of chunks that have pushes without a final result: untouched, waiting for a retry,
    /// or with a runner.
    fn chunks_left(&self) -> usize {
        self.fresh.len() + self.retry_schedule.len() + self.claimed.len()
    }
}

impl Batch {
    /// Returns the chunks to queue now and counts them as queued. If a chunk cannot be queued, call
    /// [`Batch::not_queued`].
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

    /// Records that these chunks could not be queued. They are queued again a little later.
    pub fn not_queued(&mut self, chunks: &[u32], now: Timestamp) {
        for number in chunks {
            self.plan.take(*number);
        }
        self.hold_until(now + QUEUE_PAUSE);
    }

    /// Stops queueing and claiming until this moment.
    pub(super) fn hold_until(&mut self, until: Timestamp) {
        self.plan.hold_until = self.plan.hold_until.max(until);
    }

    /// Forgets which chunks are in the queue.
    pub(super) fn forget_queue(&mut self) {
        while let Some(number) = self.plan.queued.overdue(Timestamp::from_millis(u64::MAX)) {
            self.plan.take(number);
        }
    }

    /// Handles the message of a chunk. Returns how many of its pushes may be claimed, or `None` for none.
    pub(super) fn admit(&mut self, number: u32, now: Timestamp) -> Option<usize> {
        let let_out = match self.plan.take(number) {
            Some(pushes) => {
                self.plan.losses = 0;
                pushes
            }
            // Queued by an object that lost its memory, or before the batch was paused.
            None if self.has_room(now) && self.plan.is_due(number, now) => self.let_out(number, now),
            None => return None,
        };
        let rate = self.record.terms.rate;
        let paced = rate.is_none_or(|rate| self.plan.claimed_rate.free_at(rate) <= now);
        // Without a rate, pushes that became due in the meantime are sent as well.
        (paced && self.is_sent(now)).then_some(rate.map_or(usize::MAX, |_| let_out))
    }

    /// Records that a runner got `pushes` pushes.
    pub(super) fn handed_out(&mut self, pushes: usize, now: Timestamp) {
        if let Some(rate) = self.record.terms.rate {
            self.plan.claimed_rate.take(pushes, rate, now);
        }
    }

    /// Returns when to call [`Batch::plan`] next if nothing else happens. For a batch that has ended: when to
    /// delete it.
    #[must_use]
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let terms = &self.record.terms;
        if let Some(outdated_at) = self.outdated_at() {
            return Some(self.report_at().unwrap_or(outdated_at));
        }
        let is_left = self.is_open() || self.plan.next_left().is_some();
        let expires_at = terms.ends_at().filter(|_| is_left && self.can_expire());
        let mut deadlines = vec![
            self.plan.claimed.next(),
            Some(self.record.created_at + LONGEST_LIFE),
            expires_at,
            self.silent_at(now),
        ];
        if self.record.state == State::Running {
            deadlines.push(self.plan.queued.next());
            let window_at = self.window_at(now);
            let opens_at = terms.opens_at(now).filter(|at| *at > now).unwrap_or_default();
            deadlines.push(window_at.and_then(|at| Some(self.next_due(now)?.max(at).max(opens_at))));
        }
        deadlines.into_iter().flatten().min()
    }

    /// Returns when the retention time of an ended batch is over. Returns `None` if it has not ended.
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

    /// Marks the batch to be deleted as soon as its deliveries have ended.
    pub(super) fn mark_deleting(&mut self) {
        self.record.is_deleting = true;
        self.is_record_unsaved = true;
    }

    /// Applies what only depends on time: claims and the notification expire, and the batch ends.
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

    /// Ends the pushes that can no longer be sent and have no runner, in groups of chunks.
    fn expire(&mut self) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(number) = self.plan.next_left() else {
                return;
            };
            let pushes = self.chunks.get(at(number)).map_or(0, |chunk| chunk.size.pushes);
            self.end(number, BitSet::first(pushes), &expired(), &[]);
        }
    }

    /// Whether its pushes end when the notification expires or the last sending window is over.
    const fn can_expire(&self) -> bool {
        matches!(self.record.state, State::Running | State::Paused)
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.record.terms.ends_at().is_some_and(|at| at <= now)
    }

    /// Whether anything is sent now.
    fn is_sent(&self, now: Timestamp) -> bool {
        let is_held = now < self.plan.hold_until || !self.record.terms.is_open_at(now);
        self.record.state == State::Running && !is_held && !self.is_expired(now)
    }

    /// Returns when more pushes may be out than now. Returns `None` if some of those must end first.
    fn window_at(&self, now: Timestamp) -> Option<Timestamp> {
        let out = count(self.plan.pushes_out());
        let window = self.rate(now).saturating_mul(WINDOW_SECONDS).max(WINDOW);
        let is_full = out >= window || self.plan.chunks_out() >= MOST_OUT;
        self.breaker
            .admits_at(out, self.plan.last_out)
            .filter(|_| !is_full)
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let paced_until = self.plan.paced_until(self.record.terms.rate);
        self.is_sent(now) && paced_until <= now && self.window_at(now).is_some_and(|at| at <= now)
    }

    /// Returns the next chunk that can be sent and is not out.
    fn next_chunk(&self, now: Timestamp) -> Option<u32> {
        let mut due = self
            .plan
            .retry_schedule
            .iter()
            .take_while(|(due_at, _)| *due_at <= now);
        let waiting = due.find(|(_, number)| !self.plan.is_queued(*number));
        waiting
            .map(|(_, number)| number)
            .or_else(|| self.plan.next_fresh())
    }

    /// Returns how many of a chunk's pushes are sent now: with a rate, at most one second's worth.
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
        self.plan.queued_rate.take(pushes, rate, now);
        pushes
    }

    /// Returns when another chunk can be queued.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let mut waiting = self.plan.retry_schedule.iter();
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

/// Rounds up, so that retries that are due shortly after one another are handled together.
const fn rounded_up(due_at: Timestamp) -> Timestamp {
    Timestamp::from_millis(
        due_at
            .as_millis()
            .div_ceil(LOOK_EVERY_MS)
            .saturating_mul(LOOK_EVERY_MS),
    )
}

/// Returns the result of a push that was not sent because the notification has expired.
pub(super) const fn expired() -> FinalResult {
    FinalResult {
        verdict: Verdict::Retry(RetryCause::Server),
        code: 0,
        reason: None,
        attempts: 0,
        gave_up: Some(GaveUp::Expired),
    }
}

/// The number of pushes that may always be out: half a minute's work at a thousand per second. Senders then
/// do not run dry while a message is in the queue.
const WINDOW: u64 = 32_000;

/// How many seconds' work may be out at the recent rate. A message spends a second or two in the queue, and
/// anything more delays other batches.
const WINDOW_SECONDS: u64 = 4;

/// The maximum number of chunks that are out: four seconds' work at 64,000 pushes per second, which a
/// credential's four connections reach.
const MOST_OUT: usize = 512;

/// How often a batch wakes for due retries: each wake costs a request and a written row.
const LOOK_EVERY_MS: u64 = 500;

/// The number of chunks that expire with one command: each is a row to write, and a batch may have many
/// thousands.
const EXPIRED_AT_ONCE: usize = 256;

/// A message that has woken no consumer for this long is sent again: consumers are far behind, or it is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How often that time doubles while no message arrives at all, up to a quarter of an hour. Otherwise a
/// stalled queue would fill with messages for the same chunks.
const MOST_PATIENCE: u32 = 4;

/// How long nothing is queued after the queue refused a message.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// The longest life of a batch, paused or not. The rest is then cancelled. APNs keeps no notification longer.
pub const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
