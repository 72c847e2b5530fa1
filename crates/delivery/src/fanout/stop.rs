//! What stops a fan-out, and what becomes of the pushes that are left.
//!
//! APNs' refusals of a provider token or a credential are no push's own fault: another token is asked for once, a refusal
//! that may be a mistake is tried once more, and then nothing more is sent.

use std::time::Duration;

use super::{Fanout, Launch, Next, PendingPush, receipt};
use crate::backoff;
use crate::receipt::Receipt;
use crate::verdict::{RetryCause, TokenRefusal, Verdict, judge};
use apns::Outcome;
use apns::time::Timestamp;

/// Why nothing is sent any more, and what to tell about the pushes that are left.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    outcome: Outcome,
    verdict: Verdict,
    retry_after: Option<Duration>,
}

impl Fanout {
    /// APNs has refused the credential, which stops everything. If it has accepted the same token many times, the answer
    /// may be a mistake: then the push is sent once more, alone and over another connection, and a second refusal counts.
    pub(super) fn credential_refused(
        &mut self,
        launch: &Launch,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Receipt> {
        let verdict = Verdict::FixCredentials;
        // What was sent before a doubt is of one event with it.
        let is_doubted = self.accepted >= TRUSTED || launch.doubts < self.doubts;
        if launch.refused || !is_doubted {
            self.stop(&outcome, verdict, None);
            return Some(receipt(launch, outcome, verdict, None, now));
        }
        if self.stopped.is_some() {
            let verdict = self.doubted_verdict();
            let advice = backoff::for_verdict(verdict, None);
            return Some(receipt(launch, outcome, verdict, advice, now));
        }
        if launch.doubts == self.doubts {
            self.doubts = self.doubts.saturating_add(1);
            self.accepted = 0;
            self.alone = true;
        }
        let (push, attempts, unsent_retries) = (launch.push, launch.attempt, launch.unsent_retries);
        // Before all others.
        self.wait(
            Timestamp::default(),
            PendingPush {
                push,
                attempts,
                unsent_retries,
                refused: true,
                last: outcome,
            },
        );
        None
    }

    /// What a refusal of the credential means that was doubted, once nothing is sent any more: nothing, unless a second one
    /// was the reason.
    fn doubted_verdict(&self) -> Verdict {
        let stop = self.stopped.as_ref().map(|stop| stop.verdict);
        if stop == Some(Verdict::FixCredentials) {
            Verdict::FixCredentials
        } else {
            Verdict::Retry(RetryCause::Connection)
        }
    }

    pub(super) fn token_refused(
        &mut self,
        launch: &Launch,
        outcome: Outcome,
        refusal: TokenRefusal,
        now: Timestamp,
    ) -> Option<Receipt> {
        if launch.token == self.token && self.token > 0 {
            // A second token is refused as well: asking for a third would be a loop.
            let verdict = Verdict::Retry(RetryCause::ProviderToken(refusal));
            self.stop(&outcome, verdict, None);
            return Some(receipt(launch, outcome, verdict, None, now));
        }
        if launch.token == self.token {
            self.renewing = Some(refusal);
        }
        // Not this push's fault: the attempt does not count, and it goes first.
        let (push, attempts, unsent_retries) = (launch.push, launch.attempt - 1, launch.unsent_retries);
        self.wait(
            now,
            PendingPush {
                push,
                attempts,
                unsent_retries,
                refused: launch.refused,
                last: outcome,
            },
        );
        None
    }

    pub(super) fn stop(&mut self, outcome: &Outcome, verdict: Verdict, retry_after: Option<Duration>) {
        let retry_after = retry_after.or_else(|| backoff::for_verdict(verdict, None));
        self.stopped.get_or_insert_with(|| Stop {
            outcome: outcome.without_ids(),
            verdict,
            retry_after,
        });
    }

    /// After a stop: the receipts of what is left, then the end of what is in flight.
    pub(super) fn hand_back(&mut self) -> Next {
        let Some(stop) = self.stopped.clone() else {
            return Next::Wait(None);
        };
        let one_attempt = self.plan.one_attempt;
        let unsent = |push| Receipt {
            push,
            outcome: stop.outcome,
            verdict: stop.verdict,
            retry_after: stop.retry_after,
            attempts: 0,
            latency: Duration::ZERO,
            one_attempt,
        };
        match self.waiting.pop_first() {
            Some((_, waiting)) if waiting.attempts == 0 => Next::Unsent(unsent(waiting.push)),
            Some((_, waiting)) => {
                let verdict = match judge(&waiting.last) {
                    Verdict::FixCredentials => self.doubted_verdict(),
                    verdict => verdict,
                };
                Next::Unsent(Receipt {
                    push: waiting.push,
                    retry_after: backoff::for_verdict(verdict, waiting.last.retry_after()),
                    outcome: waiting.last,
                    verdict,
                    attempts: waiting.attempts,
                    latency: Duration::ZERO,
                    one_attempt,
                })
            }
            None if self.fresh < self.plan.pushes => {
                self.fresh += 1;
                Next::Unsent(unsent(self.fresh - 1))
            }
            None if self.in_flight == 0 => Next::Done,
            None => Next::Wait(None),
        }
    }
}

/// Once APNs has accepted so many pushes with a provider token, one refusal of the credential may be a mistake. A key that
/// is revoked meanwhile costs one push more.
pub const TRUSTED: u32 = 100;
