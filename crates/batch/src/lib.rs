//! A durable batch: what of it is sent next, what an ending changes, when it is over.
//!
//! The batch's Durable Object is the truth, and the queue only wakes consumers: a message says that a chunk could be
//! claimed. A runner claims a chunk for a limited time, sends what is due of it and settles it; a message that comes
//! twice finds nothing to claim, one that is lost is sent again, and the claim of a runner that died ends by itself. In
//! scope: those decisions, with what must be stored ([`Record`], and a [`Progress`] a chunk). Out of scope: the chunks'
//! device lines, which stay in their rows, and storing, queueing and sending (`shell`).

mod announcement;
mod background;
mod bad_tokens;
mod chunk;
mod command;
pub mod dead_letter;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod guard;
mod handover;
mod lane;
mod left_out;
mod moments;
pub mod outbox;
mod overview;
mod pace;
pub mod places;
mod plan;
mod progress;
mod record;
pub mod registry;
mod results;
pub mod rows;
mod scans;
mod settling;
pub mod watchers;
pub mod webhook;
mod windows;

#[cfg(test)]
mod campaign_audience;
#[cfg(test)]
mod campaign_figures;
#[cfg(test)]
mod campaign_simulation;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_time;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::chunk::{Chunk, Stage, Standing};
use crate::places::Places;
use apns::time::Timestamp;
use delivery::verdict::Verdict;

pub use announcement::Announcement;
pub use background::{BackgroundTasks, CALL_TIMEOUT, Call, Effect, Event, Outcome};
pub use bad_tokens::Suspect;
pub use chunk::Size;
pub use command::{Append, Appended, Assignment, Command, Message, Stands};
pub use guard::GUARDED;
pub use handover::{Handover, Portion, Report, RunCounts, RunReport, portion, whole_page};
pub use left_out::LeftOut;
pub use overview::{Counts, Overview, Reason};
pub use plan::LONGEST_LIFE;
pub use progress::{Claim, Part, Progress, Waiting};
pub use record::{AudienceRef, CutOff, Origin, Pause, PausedBy, Record, Refusal, State, Terms};
pub use results::{Detail, Ending, Found, GaveUp, MAX_ENDINGS, OPEN, Results, index, letter};
pub use scans::{MAX_PUSHES, ScanProgress, Taken};

/// A batch whose upload has ended, or that scans fill while it is sent.
#[derive(Debug)]
pub struct Batch {
    record: Record,
    chunks: Vec<Chunk>,
    scans: scans::Scans,
    counts: Vec<u64>,
    plan: plan::Plan,
    /// What has changed since it was last stored.
    unsaved: BTreeSet<u32>,
    is_record_unsaved: bool,
    guard: guard::Guard,
    /// How many pushes runners have, and how many wait for another round.
    out: Standing,
    /// When the last claim ends by itself.
    last_until: Timestamp,
    notices: Vec<Notice>,
    /// How many pushes had ended at the last moments.
    recent: VecDeque<(Timestamp, u64)>,
    reports: handover::Reports,
}

/// What a runner is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The name of its claim, and when it ends by itself.
    pub until: Timestamp,
    /// The places in the chunk to send.
    pub places: Places,
    /// The chunk's size.
    pub size: Size,
    /// When nothing more of it is to be sent, if that may come before the claim ends.
    pub launch_until: Option<Timestamp>,
}

/// What a runner is told when it settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Whether it is to start nothing more.
    pub stop: bool,
}

/// Something that others must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// APNs refuses the credential: every batch of it is to be paused, as [`Record::refusal`] says.
    CredentialRefused,
    /// Its state is another one.
    StateChanged,
}

impl Batch {
    /// A batch as it was stored: its record, its chunks in order, and how far those are that were ever claimed.
    #[must_use]
    pub fn load(record: Record, sizes: Vec<Size>, rows: impl IntoIterator<Item = (u32, Progress)>) -> Self {
        let chunks: Vec<Chunk> = sizes.into_iter().map(Chunk::fresh).collect();
        let mut batch = Self {
            counts: vec![0; record.endings.len()],
            plan: plan::Plan::new(chunks.len()),
            record,
            chunks,
            scans: scans::Scans::default(),
            unsaved: BTreeSet::new(),
            is_record_unsaved: false,
            guard: guard::Guard::default(),
            out: Standing::default(),
            last_until: Timestamp::default(),
            notices: Vec::new(),
            recent: VecDeque::new(),
            reports: handover::Reports::default(),
        };
        batch.take_rows(rows);
        batch
    }

    /// Takes in how far some more chunks are: rows that are read a page at a time are never in memory all at once.
    pub fn take_rows(&mut self, rows: impl IntoIterator<Item = (u32, Progress)>) {
        for (number, progress) in rows {
            self.take_row(number, progress);
        }
        // What was left out from the start says nothing of APNs.
        let counted = self.record.endings.iter().zip(&self.counts);
        let sent = counted.filter(|(ending, _)| ending.verdict != Verdict::Duplicate);
        self.guard = guard::Guard::of(sent.map(|(_, count)| count).sum());
    }

    fn take_row(&mut self, number: u32, progress: Progress) {
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        for index in progress.endings.chars().filter_map(index) {
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

    /// A batch whose upload has just ended without a fault.
    #[must_use]
    pub fn seal(record: Record, sizes: Vec<Size>, now: Timestamp) -> Self {
        Self::load(record, sizes, Vec::new()).sealed(now)
    }

    /// The same for one that was loaded, as it may have pushes that are left out.
    #[must_use]
    pub fn sealed(mut self, now: Timestamp) -> Self {
        self.record.sealed_at = Some(now);
        self.turn(State::Running, now);
        self.tick(now);
        self
    }

    /// Its row.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// How it stands, in a word.
    #[must_use]
    pub const fn stands(&self) -> Stands {
        Stands {
            state: self.record.state,
        }
    }

    /// A chunk's size.
    #[must_use]
    pub fn size(&self, number: u32) -> Option<Size> {
        self.chunks.get(at(number)).map(|chunk| chunk.size)
    }

    /// The chunk that has the push at a position; past the last chunk if the batch has no such push.
    #[must_use]
    pub fn chunk_at(&self, position: u64) -> u32 {
        let ends_before = |chunk: &Chunk| u64::from(chunk.size.first) + count(chunk.size.pushes) <= position;
        let index = self.chunks.partition_point(ends_before);
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Hands a chunk to a runner, if there is something of it to send now.
    pub fn claim(&mut self, number: u32, now: Timestamp) -> Option<Work> {
        self.tick(now);
        let most = self.admit(number, now)?;
        self.give_up_late(number, now);
        let places = self.hand_out(number, most, now);
        self.handed_out(places.len(), now);
        if places.is_empty() {
            // Its last pushes may have been given up.
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
            places,
            size: self.chunks.get(at(number))?.size,
            launch_until: self.record.terms.launch_until(turn_at, now),
        })
    }

    fn hand_out(&mut self, number: u32, most: usize, now: Timestamp) -> Places {
        // The end of a claim is its name too.
        let claim = Duration::from_millis(self.record.terms.claim_ms);
        let until = (now + claim).max(self.last_until + Duration::from_millis(1));
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return Places::NONE;
        };
        let pushes = chunk.size.pushes;
        let places = match chunk.open() {
            Some(progress) if progress.claim.is_none() => progress.claim(pushes, most, until, now),
            Some(_) | None => Places::NONE,
        };
        if !places.is_empty() {
            self.last_until = until;
            self.unsaved.insert(number);
        }
        self.enter(number);
        places
    }

    /// A runner could not begin: nothing was sent, and it should be tried again after `after`, with this batch's other
    /// chunks as well.
    pub fn release(&mut self, number: u32, claim: Timestamp, after: Duration, now: Timestamp) {
        self.tick(now);
        if self.has_claim(number, claim) {
            self.take_back(number, now);
            self.hold_until(now + after);
        }
        self.tick(now);
    }

    /// A chunk cannot be sent as the deployment is now, as `detail` says: nothing of it was sent, and the batch pauses.
    pub fn halt(&mut self, number: u32, claim: Timestamp, detail: String, now: Timestamp) {
        self.release(number, claim, Duration::ZERO, now);
        let by = PausedBy::Problem;
        self.pause(Pause { by, detail }, now);
    }

    /// Another batch has found that APNs refuses the credential.
    pub fn credential_refused(&mut self, reason: &str, now: Timestamp) {
        let by = PausedBy::Credential;
        let detail = format!("APNs refuses the credential: {reason}, as another batch has found");
        self.pause(Pause { by, detail }, now);
    }

    /// Nothing is sent any more, once the claims that run have ended.
    pub fn cancel(&mut self, now: Timestamp) {
        if !self.record.state.has_ended() {
            self.turn(State::Cancelling, now);
            self.tick(now);
        }
    }

    /// Nothing is started any more until it is resumed.
    pub fn pause(&mut self, pause: Pause, now: Timestamp) {
        if self.record.state == State::Running {
            self.record.paused = Some(pause);
            self.turn(State::Paused, now);
            // Messages that come after it is resumed are looked at anew.
            self.forget_queue();
        }
    }

    /// It goes on where it stopped: first with few pushes, as whatever paused it may not be over.
    pub fn resume(&mut self, now: Timestamp) {
        if self.record.state == State::Paused {
            let paused = self.record.paused.take();
            if paused.is_some_and(|pause| pause.by == PausedBy::BadDeviceTokens) {
                // Who resumes it has seen the refusals and wants the rest sent.
                self.record.ignores_bad_tokens = true;
            }
            self.guard.probe();
            self.turn(State::Running, now);
            self.tick(now);
        }
    }

    /// The rows that have changed since the last call: the chunks', and whether the batch's own has.
    pub fn take_unsaved(&mut self) -> (Vec<u32>, bool) {
        let chunks = std::mem::take(&mut self.unsaved).into_iter().collect();
        (chunks, std::mem::take(&mut self.is_record_unsaved))
    }

    /// How far a chunk is, of those that [`Batch::take_unsaved`] names; it is stored before the next call.
    #[must_use]
    pub fn progress(&self, number: u32) -> Option<&Progress> {
        match &self.chunks.get(at(number))?.stage {
            Stage::Open(progress) => Some(progress),
            Stage::Fresh | Stage::Done => None,
        }
    }

    /// The rows were stored: what is done, or in rows of its own, is not kept in memory.
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

    /// What others must be told since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes in how far a chunk is, after each change of it.
    fn enter(&mut self, number: u32) {
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        let Stage::Open(progress) = &mut chunk.stage else {
            return;
        };
        progress.close_claim();
        let before = std::mem::replace(&mut chunk.out, Standing::of(progress));
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
            // Somebody has resumed it: the credential is mended, or is refused anew.
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
