//! A durable batch: what of it is sent next, what an ending changes, when it is over.
//!
//! The batch's Durable Object is the truth, and the queue only wakes consumers: a message says that a chunk could be
//! claimed. A runner claims a chunk for a limited time, sends what is due of it and settles it; a message that comes
//! twice finds nothing to claim, one that is lost is sent again, and the claim of a runner that died ends by itself. In
//! scope: those decisions, with what must be stored ([`Record`], and a [`Progress`] a chunk). Out of scope: the chunks'
//! device lines, which stay in their rows, and storing, queueing and sending (`shell`).

mod command;
mod overview;
mod plan;
mod progress;
mod record;
mod results;
pub mod rows;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff;
use super::places::Places;
use super::verdict::{Again, Verdict};
use crate::time::Timestamp;

pub use command::{Assignment, Command, Message};
pub use overview::{Counts, Overview, Reason};
pub use progress::{Claim, Part, Progress, Waiting};
pub use record::{Pause, PausedBy, Record, State, Terms};
pub use results::{Detail, Ending, Found, GaveUp, MAX_ENDINGS, OPEN, Results, index, letter};

/// A batch whose upload has ended.
#[derive(Debug)]
pub struct Batch {
    record: Record,
    chunks: Vec<Chunk>,
    counts: Vec<u64>,
    plan: plan::Plan,
    /// What has changed since it was last stored.
    unsaved: BTreeSet<u32>,
    is_record_unsaved: bool,
    guard: Guard,
    notices: Vec<Notice>,
    /// How many pushes had ended at the last moments.
    recent: VecDeque<(Timestamp, u64)>,
}

/// A chunk, of which the device lines stay in their row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The position of its first push in the upload.
    pub first: u32,
    /// How many pushes it has.
    pub pushes: usize,
}

#[derive(Debug)]
struct Chunk {
    size: Size,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nobody has claimed it yet.
    Fresh,
    /// Some of its pushes have not ended.
    Open(Box<Progress>),
    /// All have; what there is to know lies in its row alone.
    Done,
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
    /// APNs refuses the credential: every batch of it is to be paused.
    CredentialRefused {
        /// APNs' reason.
        reason: String,
    },
    /// Its state is another one.
    StateChanged,
}

/// Watches over the first pushes.
#[derive(Debug, Default)]
struct Guard {
    /// Until a chunk was settled with answers, no more than [`GUARDED`] pushes are out.
    is_probing: bool,
    /// Whether the first [`GUARDED`] pushes have ended, or somebody has seen how they do.
    is_decided: bool,
    ended: u64,
    bad_tokens: u64,
}

impl Batch {
    /// A batch as it was stored: its record, its chunks in order, and how far those are that were ever claimed.
    #[must_use]
    pub fn load(record: Record, sizes: Vec<Size>, rows: Vec<(u32, Progress)>) -> Self {
        let mut chunks: Vec<Chunk> = sizes
            .into_iter()
            .map(|size| Chunk {
                size,
                stage: Stage::Fresh,
            })
            .collect();
        let mut counts = vec![0; record.endings.len()];
        let mut plan = plan::Plan::new(chunks.len());
        for (number, progress) in rows {
            let Some(chunk) = chunks.get_mut(at(number)) else {
                continue;
            };
            for index in progress.endings.chars().filter_map(index) {
                if let Some(count) = counts.get_mut(index) {
                    *count += 1;
                }
            }
            plan.enter(number, &progress, chunk.size.pushes);
            let is_done = progress.ended().len() >= chunk.size.pushes;
            chunk.stage = if is_done {
                Stage::Done
            } else {
                Stage::Open(Box::new(progress))
            };
        }
        let ended: u64 = counts.iter().sum();
        let mut batch = Self {
            record,
            chunks,
            counts,
            plan,
            unsaved: BTreeSet::new(),
            is_record_unsaved: false,
            guard: Guard {
                is_probing: ended == 0,
                is_decided: ended >= GUARDED,
                ended,
                bad_tokens: 0,
            },
            notices: Vec::new(),
            recent: VecDeque::new(),
        };
        batch.guard.bad_tokens = batch.bad_tokens();
        batch
    }

    /// A batch whose upload has just ended without a fault.
    #[must_use]
    pub fn seal(record: Record, sizes: Vec<Size>, now: Timestamp) -> Self {
        let mut batch = Self::load(record, sizes, Vec::new());
        batch.record.sealed_at = Some(now);
        batch.turn(State::Running, now);
        batch
    }

    /// Its row.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Hands a chunk to a runner, if there is something of it to send now.
    pub fn claim(&mut self, number: u32, now: Timestamp) -> Option<Work> {
        self.tick(now);
        let most = self.plan.take(number, self.record.terms.rate, now);
        if self.record.state != State::Running {
            return None;
        }
        let claim = Duration::from_millis(self.record.terms.claim_ms);
        let chunk = self.chunks.get_mut(at(number))?;
        let size = chunk.size;
        let progress = chunk.open()?;
        if progress.claim.is_some() {
            return None;
        }
        let until = now + claim;
        let places = progress.claim(size.pushes, most?, until, now);
        self.plan.enter(number, progress, size.pushes);
        if places.is_empty() {
            return None;
        }
        self.unsaved.insert(number);
        Some(Work { until, places, size })
    }

    /// A runner says how pushes ended; with `over` it has done what it could. Told twice, it changes nothing.
    ///
    /// An ending is taken from whoever tells it first, though his claim is over: it has happened. What is sent again is for
    /// the runner to say whose claim runs.
    pub fn settle(
        &mut self,
        number: u32,
        claim: Timestamp,
        results: &Results,
        over: bool,
        now: Timestamp,
    ) -> Settled {
        let terms = &self.record.terms;
        let (repeatable, retries_end) = (terms.repeatable, self.retries_end());
        let Some(size) = self.chunks.get(at(number)).map(|chunk| chunk.size) else {
            return Settled { stop: true };
        };
        let mut refused = None;
        for found in &results.found {
            let is_final = found.ending.is_final(repeatable);
            let progress = self.progress_of_claim(number, claim);
            let parts = progress
                .map(|progress| progress.withdraw(found.places))
                .unwrap_or_default();
            for part in parts {
                if is_final {
                    let attempts = part.attempts.saturating_add(found.ending.attempts);
                    let ending = Ending {
                        attempts,
                        ..found.ending.clone()
                    };
                    self.end(number, part.places, &ending, &results.details);
                    continue;
                }
                let (part, due_at) = next_round(part, found, number, now);
                if found.ending.verdict == Verdict::FixCredentials {
                    refused = refused.or_else(|| Some(found.ending.reason.clone().unwrap_or_default()));
                }
                let tried = part.rounds > 0 && !found.untried;
                if tried && due_at > retries_end && found.ending.verdict != Verdict::FixCredentials {
                    let ending = self.given_up(&found.ending, part.attempts, retries_end);
                    self.end(number, part.places, &ending, &[]);
                } else if let Some(progress) = self.progress_of_claim(number, claim) {
                    progress.put_back(part, due_at, now);
                }
            }
        }
        for found in results
            .found
            .iter()
            .filter(|found| found.ending.is_final(repeatable))
        {
            // Those that are not this runner's any more, or never were.
            self.end(number, found.places, &found.ending, &results.details);
        }
        self.unsaved.insert(number);
        let is_current = self.progress_of_claim(number, claim).is_some();
        if let Some(progress) = self.progress_of_claim(number, claim).filter(|_| over) {
            progress.end_claim(now, now);
        }
        self.after_change(number, size);
        if let Some(reason) = refused {
            self.credential_refused(reason, now);
        } else if !results.is_empty() {
            self.guard.is_probing &= results.found.iter().all(|found| found.ending.code == 0);
        }
        self.watch_bad_tokens(now);
        self.tick(now);
        Settled {
            stop: !is_current || self.record.state != State::Running,
        }
    }

    /// A runner could not begin: nothing was sent, and it should be tried again after `after`, with this batch's other
    /// chunks as well.
    pub fn release(&mut self, number: u32, claim: Timestamp, after: Duration, now: Timestamp) {
        if let Some(progress) = self.progress_of_claim(number, claim) {
            progress.end_claim(now, now);
            self.unsaved.insert(number);
            self.plan.hold_until(now + after);
            if let Some(size) = self.chunks.get(at(number)).map(|chunk| chunk.size) {
                self.after_change(number, size);
            }
        }
        self.tick(now);
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
        }
    }

    /// It goes on where it stopped: first with few pushes, as whatever paused it may not be over.
    pub fn resume(&mut self, now: Timestamp) {
        if self.record.state == State::Paused {
            self.record.paused = None;
            self.guard.is_probing = true;
            // Who resumes a batch has seen the bad tokens and wants it sent.
            self.guard.is_decided = true;
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

    /// The rows were stored: what is done is not kept in memory.
    pub fn saved(&mut self, chunks: &[u32]) {
        for number in chunks {
            if let Some(chunk) = self.chunks.get_mut(at(*number)) {
                chunk.forget_if_done();
            }
        }
    }

    /// What others must be told since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn progress_of_claim(&mut self, number: u32, claim: Timestamp) -> Option<&mut Progress> {
        match &mut self.chunks.get_mut(at(number))?.stage {
            Stage::Open(progress) if progress.claim.as_ref().is_some_and(|own| own.until == claim) => {
                Some(progress)
            }
            Stage::Fresh | Stage::Open(_) | Stage::Done => None,
        }
    }

    fn end(&mut self, number: u32, places: Places, ending: &Ending, details: &[Detail]) {
        let index = self.ending(ending);
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        let pushes = chunk.size.pushes;
        let Some(progress) = chunk.open() else { return };
        let ended = progress.end(places, index, pushes);
        progress.keep_details(details, ended);
        let count = u64::try_from(ended.len()).unwrap_or_default();
        if let Some(counted) = self.counts.get_mut(index) {
            *counted += count;
        }
        self.guard.ended += count;
        if is_bad_token(ending) {
            self.guard.bad_tokens += count;
        }
        self.unsaved.insert(number);
    }

    /// The number of an ending; a new one is added.
    fn ending(&mut self, ending: &Ending) -> usize {
        let endings = &mut self.record.endings;
        if let Some(index) = endings.iter().position(|known| known == ending) {
            return index;
        }
        if endings.len() >= MAX_ENDINGS {
            let alike = |known: &Ending| known.status() == ending.status();
            return endings.iter().position(alike).unwrap_or_default();
        }
        endings.push(ending.clone());
        self.counts.push(0);
        self.is_record_unsaved = true;
        endings.len() - 1
    }

    fn given_up(&self, last: &Ending, attempts: u8, retries_end: Timestamp) -> Ending {
        let expired = self.record.terms.expires_at == Some(retries_end);
        let gave_up = if expired {
            GaveUp::Expired
        } else {
            GaveUp::OutOfRetries
        };
        Ending {
            attempts,
            gave_up: Some(gave_up),
            ..last.clone()
        }
    }

    fn retries_end(&self) -> Timestamp {
        let sealed_at = self.record.sealed_at.unwrap_or(self.record.created_at);
        self.record.terms.retries_end(sealed_at)
    }

    fn after_change(&mut self, number: u32, size: Size) {
        if let Some(Stage::Open(progress)) = self.chunks.get(at(number)).map(|chunk| &chunk.stage) {
            self.plan.enter(number, progress, size.pushes);
        }
    }

    fn credential_refused(&mut self, reason: String, now: Timestamp) {
        if self.record.state == State::Running {
            let detail = format!("APNs refuses the credential: {reason}");
            self.notices.push(Notice::CredentialRefused { reason });
            let by = PausedBy::Credential;
            self.pause(Pause { by, detail }, now);
        }
    }

    fn watch_bad_tokens(&mut self, now: Timestamp) {
        let allowed = GUARDED * u64::from(self.record.terms.bad_token_percent) / 100;
        if self.guard.is_decided {
            return;
        }
        self.guard.is_decided = self.guard.ended >= GUARDED;
        if self.guard.bad_tokens > allowed {
            let (bad, ended) = (self.guard.bad_tokens, self.guard.ended);
            let detail = format!(
                "APNs calls {bad} of the first {ended} device tokens bad: they are likely of the other environment"
            );
            let by = PausedBy::BadDeviceTokens;
            self.pause(Pause { by, detail }, now);
        }
    }

    fn bad_tokens(&self) -> u64 {
        let counted = self.record.endings.iter().zip(&self.counts);
        counted
            .filter(|(ending, _)| is_bad_token(ending))
            .map(|(_, count)| count)
            .sum()
    }

    fn turn(&mut self, state: State, now: Timestamp) {
        if self.record.state == state {
            return;
        }
        self.record.state = state;
        if state.has_ended() {
            self.record.ended_at = Some(now);
        }
        if state != State::Paused {
            self.record.paused = None;
        }
        self.is_record_unsaved = true;
        self.notices.push(Notice::StateChanged);
    }
}

impl Chunk {
    /// How far it is; none if it is done.
    fn open(&mut self) -> Option<&mut Progress> {
        if matches!(self.stage, Stage::Fresh) {
            self.stage = Stage::Open(Box::default());
        }
        match &mut self.stage {
            Stage::Open(progress) => Some(progress),
            Stage::Fresh | Stage::Done => None,
        }
    }

    fn is_done(&self) -> bool {
        match &self.stage {
            Stage::Fresh => self.size.pushes == 0,
            Stage::Open(progress) => progress.ended().len() >= self.size.pushes,
            Stage::Done => true,
        }
    }

    fn forget_if_done(&mut self) {
        if self.is_done() {
            self.stage = Stage::Done;
        }
    }
}

/// What pushes that were not delivered have behind them now, and when they are sent again.
fn next_round(part: Part, found: &Found, chunk: u32, now: Timestamp) -> (Part, Timestamp) {
    let attempts = part.attempts.saturating_add(found.ending.attempts);
    let again = match found.ending.verdict {
        _ if found.untried => return (Part { attempts, ..part }, now),
        // They go out when the batch is resumed.
        Verdict::FixCredentials => return (part, now),
        Verdict::Retry(again) => again,
        Verdict::Accepted | Verdict::DropDevice | Verdict::FixRequest | Verdict::Unknown => Again::Network,
    };
    let rounds = part.rounds.saturating_add(1);
    let asked = found.retry_after_ms.map(Duration::from_millis);
    let salt = u64::from(chunk) << 8 | u64::from(rounds);
    let part = Part {
        rounds,
        attempts,
        ..part
    };
    (part, now + backoff::round(again, rounds, asked, salt))
}

fn is_bad_token(ending: &Ending) -> bool {
    ending.reason.as_deref() == Some("BadDeviceToken")
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The pushes at the start of a batch that tell whether its device tokens are of the right environment.
pub const GUARDED: u64 = 500;
