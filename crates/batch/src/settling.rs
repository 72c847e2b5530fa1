//! Handles the results that runners report: what the batch records, and what it sends again.
//!
//! Final results are accepted from any runner, even after its claim has expired, because the push has been
//! sent. Only the runner whose claim is current decides about retries. A repeated report, in parts or as a
//! whole, changes nothing.

use std::time::Duration;

use super::chunk::Chunk;
use super::plan::expired;
use super::progress::AttemptGroup;
use super::results::{Detail, FinalResult, GaveUp, MAX_FINAL_RESULTS, ResultGroup, Results};
use super::{Batch, Notice, Pause, PausedBy, Progress, Refusal, Settled, State, at, count};
use crate::bit_set::BitSet;
use apns::time::Timestamp;
use delivery::backoff;
use delivery::verdict::{RetryCause, Verdict};

impl Batch {
    /// Records results that a runner reports. With `over` the runner has finished with the chunk.
    pub fn settle(
        &mut self,
        number: u32,
        claim: Timestamp,
        results: &Results,
        over: bool,
        now: Timestamp,
    ) -> Settled {
        self.tick(now);
        let is_current = self.has_claim(number, claim);
        let (repeatable, one_attempt) = (self.record.terms.repeatable, self.record.terms.one_attempt);
        let mut refused = None;
        for result_group in &results.groups {
            if result_group.result.is_final(repeatable) {
                self.end(
                    number,
                    result_group.indices,
                    &result_group.result,
                    &results.details,
                );
            } else if one_attempt && result_group.result.may_have_been_taken() {
                self.end(
                    number,
                    result_group.indices,
                    &given_up(&result_group.result),
                    &results.details,
                );
            } else if is_current && self.send_again(number, result_group, now) {
                refused = refused.or(Some(&result_group.result));
            }
        }
        if is_current && over {
            self.look_at(results, now);
            self.take_back(number, now);
        }
        if let Some(result) = refused.filter(|_| self.record.state == State::Running) {
            let reason = result.reason.clone().unwrap_or_default();
            let detail = format!("APNs refuses the credential: {reason}");
            // Stored together with the pause, so that a crash does not lose the notification of the other
            // batches.
            let unheard = None;
            self.record.refusal = Some(Refusal { reason, unheard });
            self.notices.push(Notice::CredentialRefused);
            let by = PausedBy::Credential;
            self.pause(Pause { by, detail }, now);
        }
        self.check_tokens(now);
        self.tick(now);
        Settled {
            stop: !is_current || self.record.state != State::Running || !self.record.terms.is_open_at(now),
        }
    }

    /// Records that the credential's other batches were notified of the refusal, except `unheard`.
    pub(super) fn refusal_reported(&mut self, unheard: Vec<String>) {
        if let Some(refusal) = &mut self.record.refusal {
            refusal.unheard = Some(unheard);
        }
        let all_heard = |refusal: &mut Refusal| refusal.unheard.as_ref().is_some_and(Vec::is_empty);
        self.record.refusal.take_if(all_heard);
        self.is_record_unsaved = true;
    }

    /// Updates what is known about APNs from a runner's results.
    fn look_at(&mut self, results: &Results, now: Timestamp) {
        if self.breaker.note(results) {
            // Chunks in the queue would be sent although there is trouble.
            self.forget_queue();
        }
        if results.groups.iter().all(|group| group.untried) {
            self.hold_until(now + IDLE_PAUSE);
        }
    }

    /// Returns a chunk's progress. Returns `None` if the chunk is done.
    pub(super) fn begun(&mut self, number: u32) -> Option<&mut Progress> {
        self.chunks.get_mut(at(number)).and_then(Chunk::open)
    }

    /// Whether this claim is current.
    pub(super) fn has_claim(&self, number: u32, claim: Timestamp) -> bool {
        let progress = self.progress(number);
        let runs = progress.and_then(|progress| progress.claim.as_ref());
        runs.is_some_and(|runs| runs.until == claim)
    }

    /// Ends a runner's claim. Pushes without a reported result are sent again.
    pub(super) fn take_back(&mut self, number: u32, now: Timestamp) {
        if let Some(progress) = self.begun(number) {
            for group in progress.take_claim() {
                progress.put_back(group, now, now);
            }
            self.unsaved.insert(number);
        }
        self.give_up_late(number, now);
        self.enter(number);
    }

    /// Ends pushes with one attempt whose first turn is too long ago.
    pub(super) fn give_up_late(&mut self, number: u32, now: Timestamp) {
        let terms = &self.record.terms;
        let Some(progress) = self.progress(number).filter(|_| terms.one_attempt) else {
            return;
        };
        let groups = progress.retries.iter().map(|retry| retry.group);
        let is_late = |group: &AttemptGroup| group.first_at.is_some_and(|at| terms.retries_end(at) <= now);
        let late: Vec<BitSet> = groups.filter(is_late).map(|group| group.indices).collect();
        for indices in late {
            self.end(number, indices, &expired(), &[]);
        }
    }

    /// Ends an expired claim. It is unknown what its runner has sent.
    pub(super) fn lapse(&mut self, number: u32, now: Timestamp) {
        let repeatable = self.record.terms.repeatable;
        let progress = self.begun(number);
        let groups = progress.map(Progress::take_claim).unwrap_or_default();
        for group in groups {
            if repeatable {
                if let Some(progress) = self.begun(number) {
                    progress.doubt(group.indices);
                }
                self.reschedule(number, group, &abandoned(), RetryCause::Network, None, now);
                continue;
            }
            // They may have been sent, and a push that is sent twice takes effect twice.
            if let Some(progress) = self.begun(number) {
                progress.put_back(group, now, now);
            }
            self.end(number, group.indices, &abandoned(), &[]);
        }
        self.unsaved.insert(number);
        self.enter(number);
    }

    /// Handles pushes of the current claim that were not delivered. Returns whether APNs refused the
    /// credential.
    fn send_again(&mut self, number: u32, result_group: &ResultGroup, now: Timestamp) -> bool {
        let progress = self.begun(number);
        let groups = progress.map(|progress| {
            let groups = progress.withdraw(result_group.indices);
            if result_group.result.verdict == Verdict::Unknown {
                groups.iter().for_each(|group| progress.doubt(group.indices));
            }
            groups
        });
        let groups = groups.unwrap_or_default();
        let is_refused = result_group.result.verdict == Verdict::FixCredentials && !groups.is_empty();
        for group in groups {
            let cause = match result_group.result.verdict {
                Verdict::Retry(cause) if !result_group.untried => cause,
                Verdict::Retry(_) | Verdict::FixCredentials => {
                    // They are sent with the next claim, or when the batch is resumed.
                    self.keep(number, group, &result_group.result, now);
                    continue;
                }
                Verdict::Accepted
                | Verdict::DropDevice
                | Verdict::CheckToken
                | Verdict::FixRequest
                | Verdict::Unknown
                | Verdict::Duplicate => RetryCause::Network,
            };
            let asked = result_group.retry_after_ms.map(Duration::from_millis);
            self.reschedule(number, group, &result_group.result, cause, asked, now);
        }
        self.unsaved.insert(number);
        self.enter(number);
        is_refused
    }

    fn keep(&mut self, number: u32, group: AttemptGroup, last: &FinalResult, now: Timestamp) {
        let attempts = group.attempts.saturating_add(last.attempts);
        if let Some(progress) = self.begun(number) {
            progress.put_back(AttemptGroup { attempts, ..group }, now, now);
        }
    }

    /// Schedules a retry, or gives the pushes up if it would come too late.
    fn reschedule(
        &mut self,
        number: u32,
        group: AttemptGroup,
        last: &FinalResult,
        cause: RetryCause,
        asked: Option<Duration>,
        now: Timestamp,
    ) {
        let first_at = group.first_at.unwrap_or(now);
        let group = AttemptGroup {
            rounds: group.rounds.saturating_add(1),
            attempts: group.attempts.saturating_add(last.attempts),
            first_at: Some(first_at),
            ..group
        };
        let salt = u64::from(number) << 8 | u64::from(group.rounds);
        let due_at = now + backoff::round(cause, group.rounds, asked, salt);
        let retries_end = self.record.terms.retries_end(first_at);
        if due_at > retries_end {
            let terms = &self.record.terms;
            let expired = terms.one_attempt || terms.ends_at() == Some(retries_end);
            let result = FinalResult {
                attempts: group.attempts,
                gave_up: Some(if expired {
                    GaveUp::Expired
                } else {
                    GaveUp::OutOfRetries
                }),
                ..last.clone()
            };
            self.end(number, group.indices, &result, &[]);
        } else if let Some(progress) = self.begun(number) {
            progress.put_back(group, due_at, now);
        }
    }

    /// Sets the final result of pushes that have none yet, whichever runner has them. `last` is the result of
    /// their last attempt.
    pub(super) fn end(&mut self, number: u32, indices: BitSet, last: &FinalResult, details: &[Detail]) {
        let Some(chunk) = self.chunks.get_mut(at(number)) else {
            return;
        };
        let pushes = chunk.size.pushes;
        let groups = chunk.open().map(|progress| progress.take_out(indices, pushes));
        for group in groups.into_iter().flatten() {
            let attempts = group.attempts.saturating_add(last.attempts);
            let index = self.result_number(&FinalResult {
                attempts,
                ..last.clone()
            });
            if let Some(progress) = self.begun(number) {
                progress.end(group.indices, index, pushes);
                progress.keep_details(details, group.indices);
            }
            let ended = count(group.indices.len());
            if let Some(counted) = self.counts.get_mut(index) {
                *counted += ended;
            }
            self.breaker.count(ended);
            self.unsaved.insert(number);
        }
        self.enter(number);
    }

    /// Returns the number of a result; adds a new one.
    fn result_number(&mut self, result: &FinalResult) -> usize {
        let endings = &mut self.record.final_results;
        if let Some(index) = endings.iter().position(|known| known == result) {
            return index;
        }
        // There are few verdicts, so each keeps a result of its own even if there are too many reasons to
        // distinguish.
        let alike = |known: &FinalResult| known.verdict == result.verdict && known.gave_up == result.gave_up;
        if endings.len() >= MAX_FINAL_RESULTS
            && let Some(index) = endings.iter().position(alike)
        {
            return index;
        }
        endings.push(result.clone());
        self.counts.push(0);
        self.is_record_unsaved = true;
        endings.len() - 1
    }
}

/// Returns the result of a push with one attempt after `last`.
fn given_up(last: &FinalResult) -> FinalResult {
    FinalResult {
        gave_up: Some(GaveUp::Expired),
        ..last.clone()
    }
}

/// Returns the result of pushes whose runner stopped reporting.
fn abandoned() -> FinalResult {
    FinalResult {
        verdict: Verdict::Unknown,
        code: 0,
        reason: Some(RUNNER_LOST.to_owned()),
        attempts: 0,
        gave_up: None,
    }
}

/// The reason of a push that no runner finished in all its rounds.
pub(super) const RUNNER_LOST: &str = "RunnerLost";

/// How long nothing is sent after a runner tried nothing: the next one would not have more time or room.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
