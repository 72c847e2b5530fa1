//! What is told of a run that has ended: to the scheduler, how it ended, and to the audience, which devices APNs refused, and
//! which it has certainly not accepted a push for.
//!
//! Told until it is heard, and never forgotten before: how far it has come is kept in the batch's row. Both are told again
//! after a crash, and say the same then. The scheduler is told first, but when the run's scans still count the devices that they
//! have not come to. In scope: what is told, in which portions, and when it is over. Out of scope:
//! telling (`shell`), and what the audience makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scans::COUNT_TIME;
use super::{AudienceRef, Batch, LeftOut, Progress, State, at, rows};
use crate::webhook::MAX_GONE;
use apns::time::Timestamp;
use delivery::backoff;

/// What was told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Whether the scheduler knows how the run ended.
    pub told: bool,
    /// The first chunk of whose gone devices the audience may not know.
    pub next: u32,
    /// Whether it knows of all.
    pub over: bool,
}

/// What is to be told now.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// To the scheduler: this. Then [`Batch::told_end`].
    Ended(Box<RunReport>),
    /// To the audience: the refused devices of the chunks from this one on, and those that no push was accepted for, as many as
    /// [`portion`] says. Then [`Batch::told_gone`].
    Gone {
        /// The first chunk.
        from: u32,
        /// The audience.
        audience: AudienceRef,
        /// When the first of APNs' answers can have come.
        answered_at: Timestamp,
        /// Whether it also hears of tokens that were refused with 400.
        suspects: bool,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The campaign.
    pub campaign: String,
    /// When the run was due.
    pub at: Timestamp,
    /// Whether it was cancelled before all of its pushes were sent.
    pub is_cancelled: bool,
    /// How many pushes it had.
    pub pushes: u64,
    /// The results of its pushes.
    pub counts: RunCounts,
    /// Why devices were left out, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How many of the devices that the scans met were left out.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
}

/// The results of a run's pushes; `gone` are part of `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// APNs accepted them.
    pub accepted: u64,
    /// APNs refused them for good.
    pub rejected: u64,
    /// They were given up.
    pub failed: u64,
    /// The run was cancelled before they went out.
    pub cancelled: u64,
    /// APNs says that their devices are gone.
    pub gone: u64,
}

/// How telling goes; an object that forgot it tells at once.
#[derive(Debug, Default)]
pub(super) struct Reports {
    failures: u32,
    again_at: Timestamp,
}

impl Handover {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Batch {
    /// What is to be told now; nothing while it has not ended, or after a failure for a while.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> Option<Report> {
        let origin = self.record.origin.as_ref()?;
        if self.report_at()? > now {
            return None;
        }
        if !self.record.handover.told && !self.awaits_scans(now) {
            let counts = self.overview(now).counts;
            return Some(Report::Ended(Box::new(RunReport {
                campaign: origin.campaign.clone(),
                at: origin.at,
                is_cancelled: self.record.state == State::Cancelled,
                pushes: self.pushes(),
                detail: self.record.cut_off_text(),
                left_out: self.left_out(),
                counts: RunCounts {
                    accepted: counts.accepted,
                    rejected: counts.rejected,
                    failed: counts.failed,
                    cancelled: counts.cancelled,
                    gone: counts.gone,
                },
            })));
        }
        if self.record.handover.over {
            return None;
        }
        Some(Report::Gone {
            from: self.record.handover.next,
            audience: origin.audience.clone(),
            answered_at: origin.opened_at,
            suspects: self.believes_refusals(),
        })
    }

    /// The scheduler knows, or knows the campaign no more.
    pub fn told_end(&mut self) {
        self.record.handover.told = true;
        self.went_well();
    }

    /// The audience knows of the gone devices of the chunks before `next`; of all if there is none here.
    pub fn told_gone(&mut self, next: Option<u32>) {
        match next {
            Some(next) => self.record.handover.next = next,
            None => self.record.handover.over = true,
        }
        self.went_well();
    }

    /// Nobody has heard it: it is told again a little later, and each time later.
    ///
    /// After [`REPORT_TIME`] it is given up, so that a batch is deleted some day whatever is broken.
    pub fn not_told(&mut self, now: Timestamp) {
        if self
            .record
            .ended_at
            .is_some_and(|ended_at| now >= ended_at + REPORT_TIME)
        {
            let handover = &mut self.record.handover;
            *handover = Handover {
                told: true,
                over: handover.told,
                ..*handover
            };
            self.went_well();
            return;
        }
        self.reports.failures = self.reports.failures.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.reports.failures.min(MAX_DOUBLINGS));
        let salt = u64::from(self.record.handover.next);
        self.reports.again_at = now + backoff::jittered(doubled.min(LONGEST_PAUSE), salt);
    }

    /// Whether somebody is still to be told of its end.
    #[must_use]
    pub fn owes_reports(&self) -> bool {
        let handover = self.record.handover;
        self.record.state.has_ended() && self.record.origin.is_some() && !(handover.told && handover.over)
    }

    /// When the next report is due.
    pub(super) fn report_at(&self) -> Option<Timestamp> {
        let again_at = self.owes_reports().then_some(self.reports.again_at)?;
        let counted_at = self.record.ended_at.map(|ended_at| ended_at + COUNT_TIME);
        let waits = self.record.handover.over && self.awaits_scans(again_at);
        Some(
            counted_at
                .filter(|_| waits)
                .map_or(again_at, |at| at.max(again_at)),
        )
    }

    fn went_well(&mut self) {
        self.is_record_unsaved = true;
        self.reports = Reports::default();
    }
}

/// The chunks of a page, of which some have begun: those that nobody touched are there as well. `begun` is a page of the chunks that have
/// begun from `from` on, `chunks` is how many the batch has.
#[must_use]
pub fn whole_page(from: u32, chunks: u32, begun: Vec<(u32, Progress)>) -> Vec<(u32, Progress)> {
    let mut begun: BTreeMap<u32, Progress> = begun.into_iter().collect();
    let end = chunks.min(from.saturating_add(rows::PAGE));
    let numbers = from..end;
    numbers
        .map(|number| (number, begun.remove(&number).unwrap_or_default()))
        .collect()
}

/// What an audience is told of together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// How many of the chunks.
    pub chunks: usize,
    /// The chunk at which the next portion begins; none if this is the last.
    pub next: Option<u32>,
}

/// What an audience of so many shards is told of together: of a page of chunks ([`whole_page`]), each with how many devices there
/// are to tell of.
#[must_use]
pub fn portion(chunks: &[(u32, usize)], shards: u32) -> Portion {
    let most = MAX_GONE * at(shards.clamp(1, MAX_SHARDS_AT_ONCE));
    let mut told = 0;
    let fit = chunks.iter().take_while(|(_, gone)| {
        told += gone;
        told <= most
    });
    // No chunk has more than fit.
    let together = fit.count().max(1).min(chunks.len());
    let next = chunks.get(together).map(|(number, _)| *number);
    Portion {
        chunks: together,
        next: next.or_else(|| rows::next_page(chunks.iter().map(|(number, _)| *number))),
    }
}

/// How long after its end others are told of a batch.
const REPORT_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long after a failure it is told again, before that doubles: most failures are of an object that moves.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time between two attempts: what fails for so long is not over soon.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Past 2^10 the longest time is long reached.
const MAX_DOUBLINGS: u32 = 10;

/// Devices are told in portions of as many as one body holds for each shard, up to so many shards: 16,000 devices, 3 MB.
const MAX_SHARDS_AT_ONCE: u32 = 32;
