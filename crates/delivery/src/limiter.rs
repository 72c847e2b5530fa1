//! Limits how many pushes of a credential are in flight. Grants permits as leases.
//!
//! APNs publishes no rate, so the limit is found as TCP finds its window. It grows by one step per windowful
//! of answers, and halves when APNs or the network is overloaded. A lease expires, so permits return even if
//! their holder dies. A request that finds no permits waits in a queue, immediate requests before batches.
//! Batches never get all permits: a reserve stays for immediate requests. In scope: permits and the queue for
//! them. Out of scope: the provider token of a lease (`gate`), and the meaning of answers (`verdict`).
//!
//! Source: Chiu and Jain, "Analysis of the increase and decrease algorithms" (1989); RFC 5681, sections 3.1
//! and 3.2; RFC 7661 for a limit that grows only while it is used.

mod queue;
mod report;
mod request;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::Ticket;
use apns::time::Timestamp;
use queue::{Out, Queue, Waiter};

pub use queue::{MAX_WAITING, MAX_WAITING_BATCHES};
pub use report::{CONGESTED_SHARE, Report};
pub use request::{FairShare, LeaseDecision, LeaseId, LeaseRequest, Permits};

/// The permits and leases of one credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    limit: u32,
    /// Answers counted towards the next step.
    credit: u32,
    decreased_at: Option<Timestamp>,
    /// The recent average of how long a lease was held, in milliseconds.
    held_ms: u64,
    next_lease: u64,
    leases: Vec<LiveLease>,
    #[serde(skip)]
    queue: Queue,
    #[serde(skip, default = "default_ceiling")]
    ceiling: u32,
}

impl Limiter {
    /// Creates a limiter without leases.
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

    /// Sets the maximum of the limit, at least one.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        self.ceiling = ceiling.max(1);
    }

    /// Grants permits, queues the request, or rejects it. A request never overtakes one of equal or higher
    /// priority.
    pub fn request(&mut self, request: LeaseRequest, now: Timestamp) -> LeaseDecision {
        self.expire(now);
        let goes_first = self.queue.goes_first(request.share, || self.out_by_batch(now));
        if goes_first && self.has_room(request, now) {
            return LeaseDecision::Granted(self.grant(request, now));
        }
        if request.wait.is_zero() || !self.queue.make_room(request.share, now) {
            self.queue.reject(request.share);
            return LeaseDecision::Full {
                retry_after: self.retry_after(request.share, now),
            };
        }
        let until = now + request.wait.min(MAX_WAIT);
        let ticket = self.queue.join(request, until);
        LeaseDecision::Wait { ticket, until }
    }

    /// Whether the first request in the queue could be admitted.
    #[must_use]
    pub fn can_admit(&self, now: Timestamp) -> bool {
        self.first(now)
            .is_some_and(|first| self.has_room(first.request, now))
    }

    /// Grants permits to the first of the queue, if enough are free.
    pub fn admit(&mut self, now: Timestamp) -> Option<(Ticket, Permits)> {
        self.expire(now);
        let first = self
            .first(now)
            .filter(|first| self.has_room(first.request, now))?;
        self.queue.leave(first.ticket);
        Some((first.ticket, self.grant(first.request, now)))
    }

    /// Removes the first request from the queue without permits.
    pub fn dismiss(&mut self, now: Timestamp) -> Option<Ticket> {
        let first = self.first(now)?;
        self.queue.leave(first.ticket);
        Some(first.ticket)
    }

    /// Removes a request whose wait is over. Returns its ticket and when to ask again.
    pub fn lapse(&mut self, now: Timestamp) -> Option<(Ticket, Duration)> {
        let ticket = self.queue.lapsed(now)?;
        Some((ticket, self.give_up(ticket, now)))
    }

    /// Removes `ticket` from the queue, if it is there. Returns when to ask again.
    pub fn give_up(&mut self, ticket: Ticket, now: Timestamp) -> Duration {
        let share = self.queue.leave(ticket).and_then(|waiter| waiter.request.share);
        self.retry_after(share, now)
    }

    /// Ends a lease and adapts the limit to its report. A second call does nothing. The report of an expired
    /// lease still counts.
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

    /// Returns when a rejected request should ask again. Each request that is rejected before the queue moves
    /// gets a later time, so that they do not all return at once.
    fn retry_after(&self, share: Option<FairShare>, now: Timestamp) -> Duration {
        let ahead = self.queue.ahead(share).max(1);
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

    /// Returns when the queue may move without a command: a lease expires, or a wait is over. Returns `None`
    /// if no request waits.
    #[must_use]
    pub fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        let lapse = self.queue.next_lapse()?;
        let expiry = self.live(now).map(|live| live.expires_at).min();
        Some(expiry.map_or(lapse, |expiry| expiry.min(lapse)))
    }

    /// Removes expired leases.
    pub fn expire(&mut self, now: Timestamp) {
        self.leases.retain(|live| live.expires_at > now);
    }

    /// Returns the maximum number of permits that may be granted at once.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.min(self.ceiling)
    }

    /// Returns the number of granted permits.
    #[must_use]
    pub fn in_use(&self, now: Timestamp) -> u32 {
        self.live(now).map(|live| live.permits).sum()
    }

    /// Returns the number of leases.
    #[must_use]
    pub fn leases(&self, now: Timestamp) -> usize {
        self.live(now).count()
    }

    /// Returns the number of waiting requests.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn first(&self, now: Timestamp) -> Option<Waiter> {
        self.queue.first(|| self.out_by_batch(now))
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &LiveLease> {
        self.leases.iter().filter(move |live| live.expires_at > now)
    }

    fn out_by_batch(&self, now: Timestamp) -> Out {
        let mut out = Out::new();
        for live in self.live(now) {
            if let Some(share) = live.share {
                let permits = out.entry(share.batch).or_default();
                *permits = live.permits.saturating_add(*permits);
            }
        }
        out
    }

    /// Returns the permits that batches cannot get: the reserve, and what immediate requests hold beyond it.
    ///
    /// A batch's fair share is a part of the rest, so batches continue as long as immediate requests leave
    /// any permits.
    fn kept_from_batches(&self, now: Timestamp) -> u32 {
        let reserve = (self.limit() / RESERVE)
            .max(1)
            .min(self.limit().saturating_sub(1));
        let immediate = self.live(now).filter(|live| live.share.is_none());
        immediate.map(|live| live.permits).sum::<u32>().max(reserve)
    }

    /// Returns the number of permits that an immediate request or a batch may use in total, and how many of
    /// them are free.
    fn open_to(&self, share: Option<FairShare>, now: Timestamp) -> (u32, u32) {
        let free = self.limit().saturating_sub(self.in_use(now));
        if share.is_none() {
            return (self.limit(), free);
        }
        let batches = self.limit().saturating_sub(self.kept_from_batches(now));
        let out = self.live(now).filter(|live| live.share.is_some());
        (
            batches,
            free.min(batches.saturating_sub(out.map(|live| live.permits).sum())),
        )
    }

    /// Whether enough permits are free. A lease keeps its permits to its end. A large request therefore waits
    /// for a fair share and does not send thousands of pushes through the few permits that are free.
    fn has_room(&self, request: LeaseRequest, now: Timestamp) -> bool {
        let (all, free) = self.open_to(request.share, now);
        free >= request.want.clamp(1, (all / MIN_GRANT_SHARE).max(1))
    }

    fn grant(&mut self, request: LeaseRequest, now: Timestamp) -> Permits {
        let (_, free) = self.open_to(request.share, now);
        let permits = Permits {
            lease: LeaseId(self.next_lease),
            count: request.want.clamp(1, free.max(1)),
            expires_at: now + request.ttl.clamp(MIN_TTL, MAX_TTL),
            pooled: request.pooled,
            share: request.share,
        };
        self.next_lease = self.next_lease.saturating_add(1);
        self.queue.moved(request.share);
        self.leases.push(LiveLease {
            id: permits.lease,
            permits: permits.count,
            granted_at: now,
            expires_at: permits.expires_at,
            share: request.share,
        });
        permits
    }

    /// Halves the limit. A lease that was granted before the last decrease, or may have been, reports the
    /// same event and changes nothing.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<FairShare>,
}

const fn default_ceiling() -> u32 {
    DEFAULT_CEILING
}

/// The limit of a new limiter: the streams that APNs was seen to allow on two connections, so that a second
/// large request can run beside a first.
///
/// Apple's engineers call 3000 concurrent requests no problem.
pub const START: u32 = 2000;

/// The fraction of the limit that a large request waits for: one in this many.
pub const MIN_GRANT_SHARE: u32 = 4;

/// The fraction of the limit that batches leave to immediate requests: one in this many.
///
/// It is at least one permit, but never all. A request for a few devices then finds free permits however many
/// batches run. A larger reserve would be idle in a deployment that sends only batches.
pub const RESERVE: u32 = 8;

/// The limit never falls below what one invocation can use: six fetches. Below it, a credential in trouble
/// would stop and never learn that the trouble is over.
pub const FLOOR: u32 = 6;

/// The limit never grows above this by default: the streams of ten connections.
pub const DEFAULT_CEILING: u32 = 10_000;

/// What the limit grows by per windowful of answers: from half of [`START`] back to it in 50 windows, about
/// five seconds. A larger step would overshoot further before APNs can react.
pub const STEP: u32 = 20;

/// The shortest lease. A shorter one would expire on the way to its holder.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest lease. The permits of a dead holder are missing for this long.
pub const MAX_TTL: Duration = Duration::from_mins(5);

/// The longest wait in the queue: less than the minute after which clients and proxies abandon a request.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// The shortest retry delay: one round trip of a push.
pub const MIN_RETRY: Duration = Duration::from_millis(100);

/// The longest retry delay: a queue message can be delayed for this long without a batch looking stuck.
pub const MAX_RETRY: Duration = Duration::from_mins(1);

/// The assumed lease time before the first lease: a chunk of 500 pushes by six fetches of 50 ms.
const HELD_AT_FIRST_MS: u64 = 4000;

/// The average lease time follows roughly the last eight leases.
const HELD_WEIGHT: u64 = 8;
