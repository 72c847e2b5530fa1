//! A snapshot of a batch for its status document.

use std::time::Duration;

use super::{Batch, FinalResult, LeftOut, Suspect, count};
use apns::time::Timestamp;
use delivery::receipt::Status;
use delivery::verdict::Verdict;

/// A snapshot of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The number of pushes.
    pub pushes: u64,
    /// The number of chunks.
    pub chunks: usize,
    /// The number of pushes by status.
    pub counts: Counts,
    /// The number of devices that a run has left out so far.
    pub left_out: LeftOut,
    /// The final results, each with the number of its pushes.
    pub reasons: Vec<Reason>,
    /// Why it was probably sent with the wrong environment or topic; only once it has ended.
    pub suspect: Option<Suspect>,
    /// The number of pushes per second that recently got a final result.
    pub rate: u64,
    /// The time that the rest will take at this rate, if the total is known.
    pub eta: Option<Duration>,
    /// When the next sending window opens, if the batch waits for it.
    pub opens_at: Option<Timestamp>,
}

/// The number of pushes by status. Each push is counted once; `gone` is part of `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pushes that APNs accepted.
    pub accepted: u64,
    /// Pushes that APNs refused permanently.
    pub rejected: u64,
    /// Pushes that were given up, or whose result is unknown.
    pub failed: u64,
    /// Pushes that were left out because an earlier one has the same device and content.
    pub duplicate: u64,
    /// Pushes that were not sent because the batch was cancelled.
    pub cancelled: u64,
    /// Pushes that wait for another attempt.
    pub retrying: u64,
    /// Pushes that a runner has.
    pub in_flight: u64,
    /// Pushes that were not tried yet.
    pub waiting: u64,
    /// Pushes whose devices are gone: APNs answered 410.
    pub gone: u64,
}

/// A final result and the number of pushes that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The result.
    pub result: FinalResult,
    /// The number of pushes.
    pub count: u64,
}

impl Batch {
    /// Returns a snapshot of the batch.
    #[must_use]
    pub fn overview(&self, now: Timestamp) -> Overview {
        let pushes = self.pushes();
        let mut counts = Counts::default();
        for (result, count) in self.record.final_results.iter().zip(&self.counts) {
            match result.status() {
                Status::Accepted => counts.accepted += count,
                Status::Rejected => counts.rejected += count,
                Status::Failed | Status::Retrying => counts.failed += count,
                Status::Duplicate => counts.duplicate += count,
            }
            if result.verdict == Verdict::DropDevice {
                counts.gone += count;
            }
        }
        counts.in_flight = count(self.out.in_flight);
        counts.retrying = count(self.out.retrying);
        let ended = counts.accepted + counts.rejected + counts.failed + counts.duplicate;
        let left = pushes.saturating_sub(ended + counts.in_flight + counts.retrying);
        if self.record.state.has_ended() {
            counts.cancelled = left + counts.retrying;
            counts.retrying = 0;
        } else {
            counts.waiting = left;
        }
        let rate = self.rate(now);
        let unsettled = pushes.saturating_sub(ended);
        let has_ended = self.record.state.has_ended();
        let runs = !has_ended && !self.is_open() && rate > 0;
        let opens_at = self.record.terms.opens_at(now);
        Overview {
            pushes,
            chunks: self.chunks.len(),
            counts,
            left_out: self.left_out(),
            reasons: self.reasons(),
            suspect: self.suspect(),
            rate,
            eta: runs.then(|| Duration::from_secs(unsettled.div_ceil(rate.max(1)))),
            opens_at: opens_at.filter(|at| *at > now && !has_ended),
        }
    }

    /// Returns the number of its pushes.
    pub fn pushes(&self) -> u64 {
        // Chunks are consecutive, so the last one determines the total.
        let last = self.chunks.last().map(|chunk| chunk.size);
        last.map_or(0, |size| u64::from(size.first) + count(size.pushes))
    }

    /// Returns the number of pushes that are sent: all except duplicates.
    pub(super) fn sendable(&self) -> u64 {
        let counted = self.record.final_results.iter().zip(&self.counts);
        let left_out = counted.filter(|(result, _)| result.verdict == Verdict::Duplicate);
        self.pushes()
            .saturating_sub(left_out.map(|(_, count)| count).sum())
    }

    fn reasons(&self) -> Vec<Reason> {
        let counted = self.record.final_results.iter().zip(&self.counts);
        let mut reasons: Vec<Reason> = counted
            .filter(|(_, count)| **count > 0)
            .map(|(result, count)| Reason {
                result: result.clone(),
                count: *count,
            })
            .collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        reasons
    }

    /// Records the number of final results at this moment.
    pub(super) fn note_rate(&mut self, now: Timestamp) {
        let ended = self.breaker.ended();
        let is_new = self.recent.back().is_none_or(|(_, before)| *before != ended);
        let is_later = self.recent.back().is_none_or(|(at, _)| now.since(*at) >= SAMPLE);
        if is_new && is_later {
            self.recent.push_back((now, ended));
        }
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(at, _)| now.since(*at) > RECENT) {
            self.recent.pop_front();
        }
    }

    /// Returns the number of pushes per second that recently got a final result.
    pub(super) fn rate(&self, now: Timestamp) -> u64 {
        let Some((since, before)) = self.recent.front() else {
            return 0;
        };
        let time = now.since(*since).max(Duration::from_secs(1));
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.breaker.ended().saturating_sub(*before).saturating_mul(1000) / millis
    }
}

/// The period over which the rate is measured.
const RECENT: Duration = Duration::from_secs(10);

/// The interval between two measurements.
const SAMPLE: Duration = Duration::from_millis(250);
