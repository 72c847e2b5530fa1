//! Durable batches: what is sent next, what a result changes, and when a batch is done.
//!
//! The batch's Durable Object holds the truth. The queue only wakes consumers: a message says that a chunk
//! could be claimed. A runner claims a chunk for a limited time, sends its due pushes and settles it. A
//! repeated message finds nothing to claim, a lost message is sent again, and the claim of a dead runner
//! expires. In scope: these decisions, and what must be stored ([`Record`], and one [`Progress`] per chunk).
//! Out of scope: the chunks' device lines, which stay in their rows, and storing, queueing and sending (the
//! Worker).

mod announcement;
mod background;
mod bad_tokens;
pub mod bit_set;
mod call_slot;
mod chunk;
mod circuit_breaker;
mod command;
pub mod dead_letter;
mod deadlines;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod left_out;
pub mod outbox;
mod overview;
mod plan;
mod progress;
mod rate_limiter;
mod record;
pub mod registry;
mod results;
pub mod rows;
mod run_report;
mod scans;
mod settling;
pub mod watchers;
pub mod webhook;
mod windows;

#[cfg(test)]
mod campaign_audience_tests;
#[cfg(test)]
mod campaign_figures_tests;
#[cfg(test)]
mod campaign_simulation_tests;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_time_tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::chunk::{Chunk, ChunkCounts, Stage};
use crate::bit_set::BitSet;
use apns::time::Timestamp;
use delivery::verdict::Verdict;

pub use announcement::Announcement;
pub use background::{BackgroundTasks, CALL_TIMEOUT, Call, Effect, Event, Outcome};
pub use bad_tokens::Suspect;
pub use chunk::Size;
pub use circuit_breaker::INITIAL_PUSHES;
pub use command::{Append, Appended, Assignment, BatchControl, BatchStatus, Command, Message};
pub use left_out::LeftOut;
pub use overview::{Counts, Overview, Reason};
pub use plan::LONGEST_LIFE;
pub use progress::{AttemptGroup, Claim, Progress, RetryGroup};
pub use record::{AudienceRef, CutOff, Pause, PausedBy, Record, Refusal, RunRef, State, Terms};
pub use results::{
    Detail, FinalResult, GaveUp, MAX_FINAL_RESULTS, NO_RESULT, ResultGroup, Results, result_code,
    result_index,
};
pub use run_report::{Report, ReportPage, ReportProgress, RunCounts, RunReport, report_page, whole_page};
pub use scans::{MAX_PUSHES, ScanProgress, Taken};

/// A batch whose upload is complete, or that scans fill while it is sent.
#[derive(Debug)]
pub struct Batch {
    record: Record,
    chunks: Vec<Chunk>,
    scans: scans::Scans,
    counts: Vec<u64>,
    plan: plan::Plan,
    /// The chunks that have changed since they were last stored.
    unsaved: BTreeSet<u32>,
    is_record_unsaved: bool,
    breaker: circuit_breaker::CircuitBreaker,
    /// The number of pushes that runners have, and of pushes that wait for a retry.
    out: ChunkCounts,
    /// When the last claim expires.
    last_until: Timestamp,
    notices: Vec<Notice>,
    /// The number of final results at recent moments.
    recent: VecDeque<(Timestamp, u64)>,
    reports: run_report::Reports,
}

/// A claimed chunk: what a runner sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The claim's id and the moment at which it expires.
    pub until: Timestamp,
    /// The indices of the pushes to send.
    pub indices: BitSet,
    /// The chunk's size.
    pub size: Size,
    /// When the runner stops sending, if this may be before the claim expires.
    pub launch_until: Option<Timestamp>,
}

/// The answer to a runner that settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Whether the runner must not start any more pushes.
    pub stop: bool,
}

/// A change that others must be notified of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// APNs refuses the credential. All its batches must be paused; [`Record::refusal`] has the details.
    CredentialRefused,
    /// The batch's state has changed.
    StateChanged,
}

impl Batch {
    /// Loads a batch from its stored rows: the record, the chunks' sizes in order, and the progress of
    /// claimed chunks.
    #[must_use]
    pub fn load(record: Record, sizes: Vec<Size>, rows: impl IntoIterator<Item = (u32, Progress)>) -> Self {
        let chunks: Vec<Chunk> = sizes.into_iter().map(Chunk::fresh).collect();
        let mut batch = Self {
            counts: vec![0; record.final_results.len()],
            plan: plan::Plan::new(chunks.len()),
            record,
            chunks,
            scans: scans::Scans::default(),
            unsaved: BTreeSet::new(),
            is_record_unsaved: false,
            breaker: circuit_breaker::CircuitBreaker::default(),
            out: ChunkCounts::default(),
            last_until: Timestamp::default(),
            notices: Vec::new(),
            recent: VecDeque::new(),
            reports: run_report::Reports::default(),
        };
        batch.take_rows(rows);
        batch
    }

    /// Loads the progress of more chunks. Rows are read one page at a time, so they are never in memory all
    /// at once.
    pub fn take_rows(&mut self, rows: impl IntoIterator<Item = (u32, Progress)>) {
        for (number, progress) in rows {
            self.take_row(number, progress);
        }
        // Duplicates that were left out at the start say nothing about APNs.
        let counted = self.record.final_results.iter().zip(&self.counts);
        let sent = counted.filter(|(result, _)| result.verdict != Verdict::Duplicate);
        self.breaker = circuit_breaker::CircuitBreaker::of(sent.map(|(_, count)| count).sum());
    }

    fn take_row(&mut self, number: u32, progress: Progress) {
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        for index in progress.result_codes.chars().filter_map(result_index) {
            if let Some(count) = self.counts.get_mut(index) {
                *count += 1;
            }
        }
        if let Some(claim) = &progress.claim {
            self.last_until = self.last_until.max(claim.until);
        }
        chunk.stage = Stage::Open(Box::new(progress));
        self.enter(number);
        if let Some(chunk) = self.chunks.get_mut(at(number)) {
            chunk.forget_if_done();
        }
    }

    /// Creates a batch whose upload has just ended without a fault.
    #[must_use]
    pub fn seal(record: Record, sizes: Vec<Size>, now: Timestamp) -> Self {
        Self::load(record, sizes, Vec::new()).sealed(now)
    }

    /// Seals a batch that was loaded because some of its pushes may be left out.
    #[must_use]
    pub fn sealed(mut self, now: Timestamp) -> Self {
        self.record.sealed_at = Some(now);
        self.turn(State::Running, now);
        self.tick(now);
        self
    }

    /// Returns its record.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Returns its state.
    #[must_use]
    pub const fn status(&self) -> BatchStatus {
        BatchStatus {
            state: self.record.state,
        }
    }

    /// Returns a chunk's size.
    #[must_use]
    pub fn size(&self, number: u32) -> Option<Size> {
        self.chunks.get(at(number)).map(|chunk| chunk.size)
    }

    /// Returns the chunk that has the push at this position, or the number after the last chunk if there is
    /// no such push.
    #[must_use]
    pub fn chunk_at(&self, position: u64) -> u32 {
        let ends_before = |chunk: &Chunk| u64::from(chunk.size.first) + count(chunk.size.pushes) <= position;
        let index = self.chunks.partition_point(ends_before);
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Claims a chunk for a runner. Returns `None` if there is nothing to send now.
    pub fn claim(&mut self, number: u32, now: Timestamp) -> Option<Work> {
        self.tick(now);
        let most = self.admit(number, now)?;
        self.give_up_late(number, now);
        let indices = self.hand_out(number, most, now);
        self.handed_out(indices.len(), now);
        if indices.is_empty() {
            // Its last pushes may just have expired.
            self.tick(now);
            return None;
        }
        let one_attempt = self.record.terms.one_attempt;
        let turn_at = match self.begun(number) {
            Some(progress) if one_attempt => progress.note_turn(now),
            Some(_) | None => now,
        };
        Some(Work {
            until: self.last_until,
            indices,
            size: self.chunks.get(at(number))?.size,
            launch_until: self.record.terms.launch_until(turn_at, now),
        })
    }

    fn hand_out(&mut self, number: u32, most: usize, now: Timestamp) -> BitSet {
        // The moment at which a claim expires is also its id.
        let claim = Duration::from_millis(self.record.terms.claim_ms);
        let until = (now + claim).max(self.last_until + Duration::from_millis(1));
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return BitSet::NONE;
        };
        let pushes = chunk.size.pushes;
        let indices = match chunk.open() {
            Some(progress) if progress.claim.is_none() => progress.claim(pushes, most, until, now),
            Some(_) | None => BitSet::NONE,
        };
        if !indices.is_empty() {
            self.last_until = until;
            self.unsaved.insert(number);
        }
        self.enter(number);
        indices
    }

    /// Returns the claim of a runner that could not begin. Nothing was sent. This chunk and the batch's other
    /// chunks are retried after `after`.
    pub fn release(&mut self, number: u32, claim: Timestamp, after: Duration, now: Timestamp) {
        self.tick(now);
        if self.has_claim(number, claim) {
            self.take_back(number, now);
            self.hold_until(now + after);
        }
        self.tick(now);
    }

    /// Pauses the batch because a chunk cannot be sent with the deployment's current settings; `detail` says
    /// why. Nothing of it was sent.
    pub fn halt(&mut self, number: u32, claim: Timestamp, detail: String, now: Timestamp) {
        self.release(number, claim, Duration::ZERO, now);
        let by = PausedBy::Problem;
        self.pause(Pause { by, detail }, now);
    }

    /// Pauses the batch because another batch has found that APNs refuses the credential.
    pub fn credential_refused(&mut self, reason: &str, now: Timestamp) {
        let by = PausedBy::Credential;
        let detail = format!("APNs refuses the credential: {reason}, as another batch has found");
        self.pause(Pause { by, detail }, now);
    }

    /// Cancels the batch. Nothing more is sent once the current claims have ended.
    pub fn cancel(&mut self, now: Timestamp) {
        if !self.record.state.has_ended() {
            self.turn(State::Cancelling, now);
            self.tick(now);
        }
    }

    /// Applies a control of the campaign whose run this is. Does nothing if a control was applied that the
    /// scheduler requested later: a request can be delayed on its way and arrive after a newer one.
    pub fn control(&mut self, control: BatchControl, issued_at: Timestamp, now: Timestamp) -> BatchStatus {
        if issued_at >= self.record.controlled_at {
            self.record.controlled_at = issued_at;
            self.is_record_unsaved = true;
            match control {
                BatchControl::Pause => {
                    let (by, detail) = (PausedBy::Caller, "its campaign is paused".to_owned());
                    self.pause(Pause { by, detail }, now);
                }
                BatchControl::Resume => self.resume(now),
                BatchControl::Cancel => self.cancel(now),
            }
        }
        self.status()
    }

    /// Pauses the batch. No chunk is started until it is resumed.
    pub fn pause(&mut self, pause: Pause, now: Timestamp) {
        if self.record.state == State::Running {
            self.record.paused = Some(pause);
            self.turn(State::Paused, now);
            // Messages that arrive after the resume are checked again.
            self.forget_queue();
        }
    }

    /// Resumes a paused batch. It starts with few pushes, because the reason for the pause may not be over.
    pub fn resume(&mut self, now: Timestamp) {
        if self.record.state == State::Paused {
            let paused = self.record.paused.take();
            if paused.is_some_and(|pause| pause.by == PausedBy::BadDeviceTokens) {
                // The caller has seen the refusals and wants the rest sent.
                self.record.ignores_bad_tokens = true;
            }
            self.breaker.half_open();
            self.turn(State::Running, now);
            self.tick(now);
        }
    }

    /// Returns the chunks whose rows have changed since the last call, and whether the batch's own row has
    /// changed.
    pub fn take_unsaved(&mut self) -> (Vec<u32>, bool) {
        let chunks = std::mem::take(&mut self.unsaved).into_iter().collect();
        (chunks, std::mem::take(&mut self.is_record_unsaved))
    }

    /// Returns the progress of a chunk that [`Batch::take_unsaved`] named. It must be stored before the next
    /// call.
    #[must_use]
    pub fn progress(&self, number: u32) -> Option<&Progress> {
        match &self.chunks.get(at(number))?.stage {
            Stage::Open(progress) => Some(progress),
            Stage::Fresh | Stage::Done => None,
        }
    }

    /// Records that rows were stored. What is done, or has its own rows, is removed from memory.
    pub fn saved(&mut self, chunks: &[u32]) {
        for number in chunks {
            if let Some(chunk) = self.chunks.get_mut(at(*number)) {
                if let Stage::Open(progress) = &mut chunk.stage {
                    progress.details = Vec::new();
                }
                chunk.forget_if_done();
            }
        }
    }

    /// Returns the notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Updates the plan after a change of a chunk's progress.
    fn enter(&mut self, number: u32) {
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        let Stage::Open(progress) = &mut chunk.stage else {
            return;
        };
        progress.close_claim();
        let before = std::mem::replace(&mut chunk.out, ChunkCounts::of(progress));
        self.out.in_flight = self.out.in_flight + chunk.out.in_flight - before.in_flight;
        self.out.retrying = self.out.retrying + chunk.out.retrying - before.retrying;
        self.plan.enter(number, progress, chunk.size.pushes);
    }

    fn turn(&mut self, state: State, now: Timestamp) {
        if self.record.state == state {
            return;
        }
        self.record.state = state;
        if state.has_ended() {
            self.record.ended_at = Some(now);
        }
        if state == State::Cancelling {
            self.stop_scans();
        }
        if state != State::Paused {
            self.record.paused = None;
        }
        if state == State::Running {
            // A caller has resumed it: the credential is fixed, or will be refused again.
            self.record.refusal = None;
        }
        self.is_record_unsaved = true;
        self.notices.push(Notice::StateChanged);
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
