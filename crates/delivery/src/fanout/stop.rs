//! What stops a fan-out, and what happens to the pushes that are left.
//!
//! A refusal of the provider token or the credential is not the fault of one push. A refused token is
//! replaced once. A refusal that may be a mistake is retried once. After that nothing more is sent.

use std::time::Duration;

use super::{Fanout, Launch, Next, PendingPush, receipt};
use crate::backoff;
use crate::receipt::Receipt;
use crate::verdict::{RetryCause, TokenRefusal, Verdict, judge};
use apns::Outcome;
use apns::time::Timestamp;

/// Why the fan-out stopped, and the result of the pushes that are left.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    outcome: Outcome,
    verdict: Verdict,
    retry_after: Option<Duration>,
}

impl Fanout {
    /// Handles a refusal of the credential, which stops the fan-out.
    ///
    /// If APNs has accepted the same token many times, the answer may be a mistake. The push is then sent
    /// once more, alone and over another connection, and a second refusal stops the fan-out.
    pub(super) fn credential_refused(
        &mut self,
        launch: &Launch,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Receipt> {
        let verdict = Verdict::FixCredentials;
        // A push that was sent before a doubted refusal belongs to the same event.
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
        // It is sent before all others.
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

    /// Returns the verdict of a refusal that was considered a possible mistake, once the fan-out has stopped.
    /// It counts as a refusal only if a second one was the reason for the stop.
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
            // The second token is refused as well. Requesting a third could loop.
            let verdict = Verdict::Retry(RetryCause::ProviderToken(refusal));
            self.stop(&outcome, verdict, None);
            return Some(receipt(launch, outcome, verdict, None, now));
        }
        if launch.token == self.token {
            self.renewing = Some(refusal);
        }
        // This is not the push's fault: the attempt does not count, and the push is sent first.
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

    /// Returns the receipts of the pushes that are left, then waits for the pushes in flight.
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

/// After this many accepted pushes with a provider token, one refusal of the credential may be a mistake. If
/// the key was really revoked, this costs one more push.
pub const TRUSTED: u32 = 100;
