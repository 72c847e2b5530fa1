//! How a batch stands, for those who watch it.

use std::time::Duration;

use super::{Batch, Ending, LeftOut, Suspect, count};
use apns::time::Timestamp;
use delivery::receipt::Status;
use delivery::verdict::Verdict;

/// How a batch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// How many pushes it has.
    pub pushes: u64,
    /// How many chunks.
    pub chunks: usize,
    /// What has become of them.
    pub counts: Counts,
    /// How many devices a run has left out so far.
    pub left_out: LeftOut,
    /// The ways in which they ended, each with how many did.
    pub reasons: Vec<Reason>,
    /// Why it was likely sent with the wrong environment or topic, once it has ended.
    pub suspect: Option<Suspect>,
    /// How many a second have ended of late.
    pub rate: u64,
    /// How long the rest will take at that rate, if it is known how many there are.
    pub eta: Option<Duration>,
    /// When the next window opens, while it waits for that.
    pub opens_at: Option<Timestamp>,
}

/// What has become of pushes; each is counted once, and `gone` are part of `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// APNs took them.
    pub accepted: u64,
    /// APNs refused them for good.
    pub rejected: u64,
    /// They were given up, or nobody knows whether they arrived.
    pub failed: u64,
    /// They were left out, since an earlier push takes the same content to the device.
    pub duplicate: u64,
    /// The batch was cancelled before they went out.
    pub cancelled: u64,
    /// They wait for another attempt.
    pub retrying: u64,
    /// A runner has them.
    pub in_flight: u64,
    /// They were not tried yet.
    pub waiting: u64,
    /// APNs says with 410 that their devices are gone.
    pub gone: u64,
}

/// A way to end, and how many pushes ended so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// How.
    pub ending: Ending,
    /// How many.
    pub count: u64,
}

impl Batch {
    /// How it stands.
    #[must_use]
    pub fn overview(&self, now: Timestamp) -> Overview {
        let pushes = self.pushes();
        let mut counts = Counts::default();
        for (ending, count) in self.record.endings.iter().zip(&self.counts) {
            match ending.status() {
                Status::Accepted => counts.accepted += count,
                Status::Rejected => counts.rejected += count,
                Status::Failed | Status::Retrying => counts.failed += count,
                Status::Duplicate => counts.duplicate += count,
            }
            if ending.verdict == Verdict::DropDevice {
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

    /// How many pushes it has.
    pub fn pushes(&self) -> u64 {
        // Chunks follow one another, so that the last one tells.
        let last = self.chunks.last().map(|chunk| chunk.size);
        last.map_or(0, |size| u64::from(size.first) + count(size.pushes))
    }

    /// How many of them are sent: all but those that repeat another.
    pub(super) fn sendable(&self) -> u64 {
        let counted = self.record.endings.iter().zip(&self.counts);
        let left_out = counted.filter(|(ending, _)| ending.verdict == Verdict::Duplicate);
        self.pushes()
            .saturating_sub(left_out.map(|(_, count)| count).sum())
    }

    fn reasons(&self) -> Vec<Reason> {
        let counted = self.record.endings.iter().zip(&self.counts);
        let mut reasons: Vec<Reason> = counted
            .filter(|(_, count)| **count > 0)
            .map(|(ending, count)| Reason {
                ending: ending.clone(),
                count: *count,
            })
            .collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        reasons
    }

    /// Remembers how many have ended by now.
    pub(super) fn note_rate(&mut self, now: Timestamp) {
        let ended = self.guard.ended();
        let is_new = self.recent.back().is_none_or(|(_, before)| *before != ended);
        let is_later = self.recent.back().is_none_or(|(at, _)| now.since(*at) >= SAMPLE);
        if is_new && is_later {
            self.recent.push_back((now, ended));
        }
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(at, _)| now.since(*at) > RECENT) {
            self.recent.pop_front();
        }
    }

    /// How many pushes a second have ended of late.
    pub(super) fn rate(&self, now: Timestamp) -> u64 {
        let Some((since, before)) = self.recent.front() else {
            return 0;
        };
        let time = now.since(*since).max(Duration::from_secs(1));
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.guard.ended().saturating_sub(*before).saturating_mul(1000) / millis
    }
}

/// How far back the rate looks.
const RECENT: Duration = Duration::from_secs(10);

/// How often it is remembered how many have ended.
const SAMPLE: Duration = Duration::from_millis(250);
