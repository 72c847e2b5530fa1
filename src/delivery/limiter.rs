//! How many pushes of a credential may be in flight, shared out in leases.
//!
//! APNs publishes no rate, so the limit is found as TCP finds its window: it grows by a step for each windowful of
//! answers, and halves when APNs or the way to it is overloaded. A holder gets permits for a limited time, so that one
//! that dies gives them back; who finds none waits in order. In scope: permits and the queue for them. Out of scope:
//! the provider token that goes with a lease (`gate`), and what an answer means (`verdict`).
//!
//! Source: Chiu and Jain, "Analysis of the increase and decrease algorithms" (1989); RFC 5681, sections 3.1 and 3.2;
//! RFC 7661 for the limit that grows only while it is used.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::Ticket;
use super::verdict::{Again, Verdict};
use crate::apns::Outcome;
use crate::time::Timestamp;

/// The permits of one credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    limit: u32,
    /// Answers counted towards the next step.
    credit: u32,
    decreased_at: Option<Timestamp>,
    /// How long a lease was held of late, on average, in milliseconds.
    held_ms: u64,
    next_lease: u64,
    leases: Vec<LiveLease>,
    #[serde(skip)]
    queue: Queue,
    #[serde(skip, default = "default_ceiling")]
    ceiling: u32,
}

/// A lease's name. No two leases of a credential have the same, though an object lost its state in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(u64);

/// A request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How many pushes the holder could have in flight; zero is taken as one.
    pub want: u32,
    /// How long it will need them; held to [`MIN_TTL`] and [`MAX_TTL`].
    pub ttl: Duration,
    /// How long it would wait for them; zero for not at all, at most [`MAX_WAIT`].
    pub wait: Duration,
    /// Whether it asks for a connection of the pool as well; given back with the permits.
    pub pooled: bool,
}

/// Permits that were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits {
    /// The lease to settle.
    pub lease: LeaseId,
    /// How many pushes may be in flight: from 1 to what was wanted.
    pub count: u32,
    /// When they go back, settled or not.
    pub expires_at: Timestamp,
    /// Whether a connection of the pool was asked for.
    pub pooled: bool,
}

/// What comes of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Here they are.
    Granted(Permits),
    /// They come later, by [`Limiter::admit`].
    Wait {
        /// The place in the queue.
        ticket: Ticket,
        /// When the wait is over.
        until: Timestamp,
    },
    /// None are free, and the queue is full or the asker would not wait.
    Full {
        /// When to ask again.
        retry_after: Duration,
    },
}

/// How the pushes of a lease went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Pushes that APNs answered, in whatever way.
    pub answered: u32,
    /// Those of them with 200.
    pub accepted: u32,
    /// Those of them that say to slow down: 429 `TooManyRequests`, 500, 503.
    pub throttled: u32,
    /// Pushes without an answer: resets and timeouts.
    pub lost: u32,
}

impl Report {
    /// Counts the end of one attempt.
    pub fn count(&mut self, outcome: &Outcome, verdict: Verdict) {
        match outcome {
            Outcome::Answered(_) => self.answered += 1,
            Outcome::NotSent(_) => {}
            Outcome::Lost(_) => self.lost += 1,
        }
        self.accepted += u32::from(verdict == Verdict::Accepted);
        let throttled = matches!(verdict, Verdict::Retry(Again::Device | Again::Server));
        self.throttled += u32::from(throttled);
    }

    const fn is_congested(&self) -> bool {
        let bad = self.throttled as u64 + self.lost as u64;
        let all = self.answered as u64 + self.lost as u64;
        bad > 0 && bad * CONGESTED_SHARE >= all
    }
}

impl Limiter {
    /// A limiter without leases.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            limit: START,
            credit: 0,
            decreased_at: None,
            held_ms: HELD_AT_FIRST_MS,
            next_lease: now.as_millis(),
            leases: Vec::new(),
            queue: Queue::default(),
            ceiling: DEFAULT_CEILING,
        }
    }

    /// Sets the most that the limit may grow to, at least one.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        self.ceiling = ceiling.max(1);
    }

    /// Grants permits, or queues the asker, or turns it away. Who asks while others wait comes after them.
    pub fn ask(&mut self, ask: Ask, now: Timestamp) -> Decision {
        self.expire(now);
        if self.queue.waiting.is_empty() && self.has_room(ask, now) {
            return Decision::Granted(self.grant(ask, now));
        }
        if ask.wait.is_zero() || self.queue.waiting.len() >= MAX_WAITING {
            self.queue.turned_away = self.queue.turned_away.saturating_add(1);
            return Decision::Full {
                retry_after: self.retry_after(now),
            };
        }
        let until = now + ask.wait.min(MAX_WAIT);
        let ticket = self.queue.join(ask, until);
        Decision::Wait { ticket, until }
    }

    /// Whether the first of the queue could be admitted.
    #[must_use]
    pub fn can_admit(&self, now: Timestamp) -> bool {
        self.queue
            .waiting
            .front()
            .is_some_and(|first| self.has_room(first.ask, now))
    }

    /// Grants permits to the first of the queue, if any are free.
    pub fn admit(&mut self, now: Timestamp) -> Option<(Ticket, Permits)> {
        self.expire(now);
        if !self.can_admit(now) {
            return None;
        }
        let waiter = self.queue.waiting.pop_front()?;
        Some((waiter.ticket, self.grant(waiter.ask, now)))
    }

    /// The first of the queue leaves it without permits.
    pub fn dismiss(&mut self) -> Option<Ticket> {
        Some(self.queue.waiting.pop_front()?.ticket)
    }

    /// One of the queue whose wait is over leaves it without permits.
    pub fn lapse(&mut self, now: Timestamp) -> Option<Ticket> {
        let index = self.queue.waiting.iter().position(|waiter| waiter.until <= now)?;
        Some(self.queue.waiting.remove(index)?.ticket)
    }

    /// `ticket` leaves the queue, if it is in it.
    pub fn give_up(&mut self, ticket: Ticket) {
        self.queue.waiting.retain(|waiter| waiter.ticket != ticket);
    }

    /// Takes a lease's permits back and learns from how it went. The second time, it does nothing; a lease that has
    /// expired is still learnt from.
    pub fn settle(&mut self, lease: LeaseId, report: &Report, now: Timestamp) {
        let in_use = self.in_use(now);
        let settled = self
            .leases
            .iter()
            .position(|live| live.id == lease)
            .map(|index| self.leases.remove(index));
        if let Some(live) = &settled {
            let held_ms = u64::try_from(now.since(live.granted_at).as_millis()).unwrap_or(u64::MAX);
            self.held_ms = self
                .held_ms
                .saturating_mul(HELD_WEIGHT - 1)
                .saturating_add(held_ms)
                / HELD_WEIGHT;
        }
        if report.is_congested() {
            self.decrease(settled.as_ref(), now);
        } else if settled.is_some() && in_use.saturating_mul(2) >= self.limit() {
            self.increase(report.answered);
        }
        self.expire(now);
    }

    /// When someone who was turned away should ask again. Each who is turned away before the queue moves is told a
    /// later time, so that they do not come back all at once.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Duration {
        let turned_away = usize::try_from(self.queue.turned_away).unwrap_or(usize::MAX);
        let ahead = self.queue.waiting.len().saturating_add(turned_away).max(1);
        let mut expiries: Vec<Timestamp> = self.live(now).map(|live| live.expires_at).collect();
        expiries.sort_unstable();
        let leases = u64::try_from(expiries.len()).unwrap_or(u64::MAX).max(1);
        let by_rate = self.held_ms.saturating_mul(ahead as u64) / leases;
        let by_expiry = expiries
            .get(ahead.min(expiries.len()).saturating_sub(1))
            .map_or(Duration::ZERO, |expiry| expiry.since(now));
        Duration::from_millis(by_rate)
            .min(by_expiry)
            .clamp(MIN_RETRY, MAX_RETRY)
    }

    /// When the queue may move without a command: a lease expires, or a wait is over. Nothing if nobody waits.
    #[must_use]
    pub fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        let lapse = self.queue.waiting.iter().map(|waiter| waiter.until).min()?;
        let expiry = self.live(now).map(|live| live.expires_at).min();
        Some(expiry.map_or(lapse, |expiry| expiry.min(lapse)))
    }

    /// Forgets the leases that have expired.
    pub fn expire(&mut self, now: Timestamp) {
        self.leases.retain(|live| live.expires_at > now);
    }

    /// The most permits that may be out.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.min(self.ceiling)
    }

    /// The permits that are out.
    #[must_use]
    pub fn in_use(&self, now: Timestamp) -> u32 {
        self.live(now).map(|live| live.permits).sum()
    }

    /// The leases that are out.
    #[must_use]
    pub fn leases(&self, now: Timestamp) -> usize {
        self.live(now).count()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting.len()
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &LiveLease> {
        self.leases.iter().filter(move |live| live.expires_at > now)
    }

    fn free(&self, now: Timestamp) -> u32 {
        self.limit().saturating_sub(self.in_use(now))
    }

    /// Whether enough is free. A lease keeps what it was granted to its end: who has thousands of pushes waits for a fair
    /// share rather than send them through the few permits that others have left.
    fn has_room(&self, ask: Ask, now: Timestamp) -> bool {
        let fair = (self.limit() / FAIR_SHARE).max(1);
        self.free(now) >= ask.want.clamp(1, fair)
    }

    fn grant(&mut self, ask: Ask, now: Timestamp) -> Permits {
        let permits = Permits {
            lease: LeaseId(self.next_lease),
            count: ask.want.clamp(1, self.free(now).max(1)),
            expires_at: now + ask.ttl.clamp(MIN_TTL, MAX_TTL),
            pooled: ask.pooled,
        };
        self.next_lease = self.next_lease.saturating_add(1);
        self.queue.turned_away = 0;
        self.leases.push(LiveLease {
            id: permits.lease,
            permits: permits.count,
            granted_at: now,
            expires_at: permits.expires_at,
        });
        permits
    }

    /// A lease that was granted before the last decrease, or may have been, tells of the same event.
    fn decrease(&mut self, settled: Option<&LiveLease>, now: Timestamp) {
        let granted_at = settled.map_or(now - MAX_TTL, |live| live.granted_at);
        if self.decreased_at.is_some_and(|decreased| granted_at <= decreased) {
            return;
        }
        self.limit = (self.limit() / 2).max(FLOOR);
        self.credit = 0;
        self.decreased_at = Some(now);
    }

    fn increase(&mut self, answered: u32) {
        self.credit = self.credit.saturating_add(answered);
        while self.credit >= self.limit {
            self.credit -= self.limit;
            self.limit = self.limit.saturating_add(STEP);
            if self.limit >= self.ceiling {
                self.limit = self.ceiling;
                self.credit = 0;
                return;
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LiveLease {
    id: LeaseId,
    permits: u32,
    granted_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Queue {
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
    /// Askers who were turned away since the queue last moved.
    turned_away: u32,
}

impl Queue {
    fn join(&mut self, ask: Ask, until: Timestamp) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        self.waiting.push_back(Waiter { ticket, ask, until });
        ticket
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiter {
    ticket: Ticket,
    ask: Ask,
    until: Timestamp,
}

const fn default_ceiling() -> u32 {
    DEFAULT_CEILING
}

/// The limit of a new limiter: the streams that APNs was seen to allow on two connections, so that a second large order
/// runs beside a first. Apple's engineers call 3000 requests at once no problem.
pub const START: u32 = 2000;

/// The part of the limit that an order waits for, if it could use as much: one in this many.
pub const FAIR_SHARE: u32 = 4;

/// The limit never falls below what one invocation can use, six fetches, or a credential in trouble would stand still
/// and never learn that the trouble is over.
pub const FLOOR: u32 = 6;

/// The limit never grows above this, unless the configuration says otherwise: the streams of ten connections.
pub const DEFAULT_CEILING: u32 = 10_000;

/// What the limit grows by for each windowful of answers: from half of [`START`] back to it in 50 windows, which are
/// about five seconds. More would overshoot further before APNs can object.
pub const STEP: u32 = 20;

/// One bad push in so many makes a lease congested. A single reset, or one device that is sent to too often, is not
/// the limit's fault; a server in trouble refuses far more than a twentieth.
pub const CONGESTED_SHARE: u64 = 20;

/// The shortest lease: less would expire on the way to its holder.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest lease, and so the longest that a dead holder's permits are missing.
pub const MAX_TTL: Duration = Duration::from_mins(5);

/// The longest wait in the queue: less than the minute after which clients and proxies give a request up.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// The most that wait: each is an open request in one object, which serves a thousand a second.
pub const MAX_WAITING: usize = 128;

/// The soonest that anyone is told to come back: a push's round trip.
pub const MIN_RETRY: Duration = Duration::from_millis(100);

/// The latest that anyone is told to come back: a queue message can be put off so long without a batch looking stuck.
pub const MAX_RETRY: Duration = Duration::from_mins(1);

/// How long leases are thought to be held before any was: a chunk of 500 pushes by six fetches of 50 ms.
const HELD_AT_FIRST_MS: u64 = 4000;

/// The average of what leases were held follows the last eight of them.
const HELD_WEIGHT: u64 = 8;

#[cfg(test)]
mod tests;
