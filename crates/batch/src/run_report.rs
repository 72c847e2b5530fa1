//! The reports of a run that has ended. The scheduler receives the run's result. The audience receives the
//! devices that APNs refused, and those for which APNs has certainly accepted nothing.
//!
//! A report is repeated until it succeeds. The progress is stored in the batch's row, and a report that is
//! repeated after a crash has the same content. The scheduler's report comes first, unless the scans still
//! count the devices that they did not reach. In scope: the content of reports, their pages, and when they
//! are complete. Out of scope: sending them (the Worker), and what the audience does with them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scans::COUNT_TIME;
use super::{AudienceRef, Batch, LeftOut, Progress, State, at, rows};
use crate::webhook::MAX_GONE;
use apns::time::Timestamp;
use delivery::backoff;

/// The reports made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportProgress {
    /// Whether the scheduler has the run's result.
    pub reported: bool,
    /// The first chunk that the audience may not have a report of.
    pub next: u32,
    /// Whether the audience has the reports of all chunks.
    pub over: bool,
}

/// The report that is due now.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// To the scheduler: the run's result. Then call [`Batch::end_reported`].
    Ended(Box<RunReport>),
    /// To the audience: the refused devices of the chunks from `from` on, and the devices without an accepted
    /// push, as many as [`report_page`] allows. Then call [`Batch::gone_reported`].
    Gone {
        /// The first chunk.
        from: u32,
        /// The audience.
        audience: AudienceRef,
        /// The earliest possible moment of any of APNs' answers.
        answered_at: Timestamp,
        /// Whether the report includes tokens that were refused with 400.
        suspects: bool,
    },
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The campaign.
    pub campaign: String,
    /// When the run was due.
    pub at: Timestamp,
    /// Whether it was cancelled before all its pushes were sent.
    pub is_cancelled: bool,
    /// The number of its pushes.
    pub pushes: u64,
    /// The number of pushes by result.
    pub counts: RunCounts,
    /// Why devices were left out, if some were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The number of devices that the scans found and left out.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
}

/// The number of a run's pushes by result. `gone` is part of `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// Pushes that APNs accepted.
    pub accepted: u64,
    /// Pushes that APNs refused permanently.
    pub rejected: u64,
    /// Pushes that failed.
    pub failed: u64,
    /// Pushes that were not sent because the run was cancelled.
    pub cancelled: u64,
    /// Pushes whose devices are gone, according to APNs.
    pub gone: u64,
}

/// The failures of reports. An object that lost its memory reports at once.
#[derive(Debug, Default)]
pub(super) struct Reports {
    failures: u32,
    retry_at: Timestamp,
}

impl ReportProgress {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Batch {
    /// Returns the report that is due now. Returns `None` while the batch has not ended, or for a while after
    /// a failure.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> Option<Report> {
        let run = self.record.run.as_ref()?;
        if self.report_at()? > now {
            return None;
        }
        if !self.record.run_report.reported && !self.awaits_scans(now) {
            let counts = self.overview(now).counts;
            return Some(Report::Ended(Box::new(RunReport {
                campaign: run.campaign.clone(),
                at: run.at,
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
        if self.record.run_report.over {
            return None;
        }
        Some(Report::Gone {
            from: self.record.run_report.next,
            audience: run.audience.clone(),
            answered_at: run.opened_at,
            suspects: self.believes_refusals(),
        })
    }

    /// Records that the scheduler has the result, or no longer knows the campaign.
    pub fn end_reported(&mut self) {
        self.record.run_report.reported = true;
        self.acknowledged();
    }

    /// Records that the audience has the reports of the chunks before `next`, or of all chunks if it is
    /// `None`.
    pub fn gone_reported(&mut self, next: Option<u32>) {
        match next {
            Some(next) => self.record.run_report.next = next,
            None => self.record.run_report.over = true,
        }
        self.acknowledged();
    }

    /// Records that a report failed. It is repeated after a delay that grows with each failure.
    ///
    /// After [`REPORT_TIME`] the report is given up, so that the batch is deleted eventually.
    pub fn report_failed(&mut self, now: Timestamp) {
        if self
            .record
            .ended_at
            .is_some_and(|ended_at| now >= ended_at + REPORT_TIME)
        {
            let run_report = &mut self.record.run_report;
            *run_report = ReportProgress {
                reported: true,
                over: run_report.reported,
                ..*run_report
            };
            self.acknowledged();
            return;
        }
        self.reports.failures = self.reports.failures.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.reports.failures.min(MAX_DOUBLINGS));
        let salt = u64::from(self.record.run_report.next);
        self.reports.retry_at = now + backoff::jittered(doubled.min(LONGEST_PAUSE), salt);
    }

    /// Whether a report of the batch's end is left.
    #[must_use]
    pub fn has_pending_reports(&self) -> bool {
        let run_report = self.record.run_report;
        self.record.state.has_ended()
            && self.record.run.is_some()
            && !(run_report.reported && run_report.over)
    }

    /// Returns when the next report is due.
    pub(super) fn report_at(&self) -> Option<Timestamp> {
        let retry_at = self.has_pending_reports().then_some(self.reports.retry_at)?;
        let counted_at = self.record.ended_at.map(|ended_at| ended_at + COUNT_TIME);
        let waits = self.record.run_report.over && self.awaits_scans(retry_at);
        Some(
            counted_at
                .filter(|_| waits)
                .map_or(retry_at, |at| at.max(retry_at)),
        )
    }

    fn acknowledged(&mut self) {
        self.is_record_unsaved = true;
        self.reports = Reports::default();
    }
}

/// Completes a page of chunks with the untouched chunks in between. `begun` is a page of begun chunks from
/// `from` on, `chunks` is the batch's number of chunks.
#[must_use]
pub fn whole_page(from: u32, chunks: u32, begun: Vec<(u32, Progress)>) -> Vec<(u32, Progress)> {
    let mut begun: BTreeMap<u32, Progress> = begun.into_iter().collect();
    let end = chunks.min(from.saturating_add(rows::PAGE));
    let numbers = from..end;
    numbers
        .map(|number| (number, begun.remove(&number).unwrap_or_default()))
        .collect()
}

/// The part of a page that one report to an audience covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportPage {
    /// The number of chunks in it.
    pub chunks: usize,
    /// The chunk at which the next report begins; `None` if this is the last.
    pub next: Option<u32>,
}

/// Returns how much of a page of chunks ([`whole_page`]) fits into one report to an audience with `shards`
/// shards. Each chunk comes with the number of its devices to report.
#[must_use]
pub fn report_page(chunks: &[(u32, usize)], shards: u32) -> ReportPage {
    let most = MAX_GONE * at(shards.clamp(1, MAX_SHARDS_AT_ONCE));
    let mut devices = 0;
    let fit = chunks.iter().take_while(|(_, gone)| {
        devices += gone;
        devices <= most
    });
    // No chunk has more devices than fit.
    let together = fit.count().max(1).min(chunks.len());
    let next = chunks.get(together).map(|(number, _)| *number);
    ReportPage {
        chunks: together,
        next: next.or_else(|| rows::next_page(chunks.iter().map(|(number, _)| *number))),
    }
}

/// How long after its end a batch's reports are repeated.
const REPORT_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The delay after the first failure; it then doubles. Most failures come from an object that is being moved.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest delay between two attempts: what fails for that long does not recover soon.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// 2^10 times the first delay exceeds the longest.
const MAX_DOUBLINGS: u32 = 10;

/// One report has as many devices as one request body holds per shard, for at most this many shards: 16,000
/// devices, 3 MB.
const MAX_SHARDS_AT_ONCE: u32 = 32;
