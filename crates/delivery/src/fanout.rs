//! The fan-out: which push is sent next, and what an outcome changes.
//!
//! A synchronous machine. Its driver asks [`Fanout::next`] until it says to wait, sends what it launches, and hands
//! each end to [`Fanout::settle`]. The backlog stays with the driver's source: a push is asked for only when a permit
//! is free, so that memory holds what is in flight and no more. Every push ends in exactly one [`Receipt`]; a
//! [`Launch`] is not `Clone`, so that no attempt can be settled twice.

mod stop;

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff;
use super::gate::CredentialRefusal;
use super::limiter::Report;
use super::receipt::Receipt;
use super::verdict::{self, RetryCause, TokenRefusal, Verdict, cannot_have_been_taken, judge};
use apns::time::Timestamp;
use apns::{Outcome, TransportError};
use stop::Stop;

pub use stop::TRUSTED;

/// The bounds of one fan-out.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many pushes there are.
    pub pushes: usize,
    /// The most in flight: the lease's permits, or what the transport carries if that is less. At least 1.
    pub window: usize,
    /// Whether APNs has accepted the provider token before; if not, the first push goes alone.
    pub proven: bool,
    /// How many pushes APNs has accepted with it, as far as is known.
    pub accepted: u32,
    /// No attempt starts after this; what is left is handed back.
    pub launch_until: Timestamp,
    /// No push is sent again after this.
    pub resend_until: Timestamp,
    /// Whether each push has one attempt: it is sent again only if APNs cannot have taken it.
    pub one_attempt: bool,
}

/// One attempt that the driver makes now.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// The push's place in the source.
    pub push: usize,
    attempt: u8,
    unsent_retries: u32,
    token: u8,
    doubts: u8,
    refused: bool,
    one_attempt: bool,
    at: Timestamp,
}

impl Launch {
    /// Whether APNs refused the credential when this push was sent before. It is sent over another connection now.
    #[must_use]
    pub const fn is_second_opinion(&self) -> bool {
        self.refused
    }

    /// When the attempt began.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// What the driver does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this push.
    Launch(Launch),
    /// Get another provider token, since APNs refused this one; then call [`Fanout::renewed`].
    Renew(TokenRefusal),
    /// A push that is not sent any more.
    Unsent(Receipt),
    /// Wait for an attempt to end, or for this moment, whichever comes first.
    Wait(Option<Timestamp>),
    /// Every push has its receipt.
    Done,
}

/// The machine.
#[derive(Debug)]
pub struct Fanout {
    plan: Plan,
    /// The first push that was never launched.
    fresh: usize,
    in_flight: usize,
    /// Pushes that are sent again, by moment and order.
    waiting: BTreeMap<(Timestamp, u64), PendingPush>,
    sequence: u64,
    alone: bool,
    /// Counts the provider tokens that this fan-out has used.
    token: u8,
    /// How many pushes APNs has accepted with that token, since it last refused the credential.
    accepted: u32,
    /// Counts the refusals of the credential that were doubted.
    doubts: u8,
    renewing: Option<TokenRefusal>,
    stopped: Option<Stop>,
    report: Report,
    proved: bool,
    refused: Option<CredentialRefusal>,
}

#[derive(Debug)]
struct PendingPush {
    push: usize,
    attempts: u8,
    /// How often an attempt ended surely unsent, which does not count as an attempt.
    unsent_retries: u32,
    /// Whether APNs refused the credential when it was sent.
    refused: bool,
    last: Outcome,
}

impl Fanout {
    /// A fan-out of `plan.pushes` pushes.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            fresh: 0,
            in_flight: 0,
            waiting: BTreeMap::new(),
            sequence: 0,
            alone: !plan.proven,
            token: 0,
            accepted: plan.accepted,
            doubts: 0,
            renewing: None,
            stopped: None,
            report: Report::default(),
            proved: false,
            refused: None,
        }
    }

    /// What to do now. Called until it says to wait or that all is done.
    pub fn next(&mut self, now: Timestamp) -> Next {
        if self.stopped.is_some() {
            return self.hand_back();
        }
        if let Some(refusal) = self.renewing {
            // What is in flight ends first: its answers tell whether the new token is needed at all.
            return if self.in_flight > 0 {
                Next::Wait(None)
            } else {
                Next::Renew(refusal)
            };
        }
        if self.in_flight >= self.window() {
            return Next::Wait(None);
        }
        if now >= self.plan.launch_until && self.has_backlog() {
            self.halt();
            return self.hand_back();
        }
        let due = self.waiting.first_key_value().map(|((at, _), _)| *at);
        if due.is_some_and(|at| at <= now)
            && let Some((_, waiting)) = self.waiting.pop_first()
        {
            return self.launch(&waiting, now);
        }
        if self.fresh < self.plan.pushes {
            self.fresh += 1;
            let fresh = PendingPush {
                push: self.fresh - 1,
                attempts: 0,
                unsent_retries: 0,
                refused: false,
                last: Outcome::NotSent(TransportError::OutOfTime),
            };
            return self.launch(&fresh, now);
        }
        match (self.in_flight, due) {
            (0, None) => Next::Done,
            _ => Next::Wait(due),
        }
    }

    /// Takes the end of an attempt; gives the push's receipt, unless it is sent again.
    ///
    /// `repeatable` says whether the push takes effect once though it is sent twice.
    pub fn settle(
        &mut self,
        launch: Launch,
        outcome: Outcome,
        repeatable: bool,
        now: Timestamp,
    ) -> Option<Receipt> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let verdict = judge(&outcome);
        self.report.count(&outcome, verdict);
        if let Some(refusal) = CredentialRefusal::of(&outcome, verdict, now) {
            self.refused = Some(refusal);
        } else if verdict == Verdict::Accepted {
            // What was launched before the refusal does not answer it.
            self.refused.take_if(|refusal| refusal.at <= launch.at);
        }
        if (launch.token, launch.doubts) == (self.token, self.doubts) {
            self.accepted += u32::from(verdict == Verdict::Accepted);
            if verdict::proves_token(&outcome, verdict) {
                self.alone = false;
                self.proved = true;
            }
        }
        if matches!(outcome, Outcome::NotSent(TransportError::OutOfTime)) {
            // The transport sends nothing more, so that nothing more is launched.
            self.halt();
        }
        match verdict {
            Verdict::Retry(_) if self.plan.one_attempt && !cannot_have_been_taken(&outcome, verdict) => {
                let advice = backoff::for_verdict(verdict, outcome.retry_after());
                Some(receipt(&launch, outcome, verdict, advice, now))
            }
            Verdict::Retry(RetryCause::ProviderToken(refusal)) => {
                self.token_refused(&launch, outcome, refusal, now)
            }
            Verdict::Retry(cause) => self.retry(&launch, outcome, verdict, cause, now),
            Verdict::Unknown if repeatable && !self.plan.one_attempt => {
                self.retry(&launch, outcome, verdict, RetryCause::Network, now)
            }
            Verdict::FixCredentials => self.credential_refused(&launch, outcome, now),
            Verdict::Accepted
            | Verdict::DropDevice
            | Verdict::CheckToken
            | Verdict::FixRequest
            | Verdict::Unknown
            | Verdict::Duplicate => Some(receipt(&launch, outcome, verdict, None, now)),
        }
    }

    /// The driver has another provider token; `proven` and `accepted` as in [`Plan`].
    pub const fn renewed(&mut self, proven: bool, accepted: u32) {
        self.renewing = None;
        self.token = self.token.saturating_add(1);
        self.alone = !proven;
        self.accepted = accepted;
        self.proved = false;
    }

    /// The driver cannot have another provider token before `retry_after` has passed.
    pub fn not_renewed(&mut self, retry_after: Option<Duration>) {
        if let Some(refusal) = self.renewing.take() {
            let verdict = Verdict::Retry(RetryCause::ProviderToken(refusal));
            self.stop(
                &Outcome::NotSent(TransportError::TokenRefused),
                verdict,
                retry_after,
            );
        }
    }

    /// Nothing more is launched; what is left is handed back untried.
    pub fn halt(&mut self) {
        self.stop(
            &Outcome::NotSent(TransportError::OutOfTime),
            Verdict::Retry(RetryCause::Connection),
            None,
        );
    }

    /// The most that are in flight at once.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.plan.window
    }

    /// How many pushes are in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How the attempts went since the last call, and whether APNs has accepted the provider token in use: what the gate
    /// wants to know with a lease that goes back.
    pub fn take_report(&mut self) -> (Report, bool) {
        (std::mem::take(&mut self.report), self.proved)
    }

    /// What APNs said against the credential since the last call, if it has accepted nothing sent later.
    pub const fn take_refusal(&mut self) -> Option<CredentialRefusal> {
        self.refused.take()
    }

    const fn window(&self) -> usize {
        if self.alone || self.plan.window == 0 {
            1
        } else {
            self.plan.window
        }
    }

    fn has_backlog(&self) -> bool {
        self.fresh < self.plan.pushes || !self.waiting.is_empty()
    }

    const fn launch(&mut self, waiting: &PendingPush, now: Timestamp) -> Next {
        self.in_flight += 1;
        Next::Launch(Launch {
            push: waiting.push,
            attempt: waiting.attempts.saturating_add(1),
            unsent_retries: waiting.unsent_retries,
            token: self.token,
            doubts: self.doubts,
            refused: waiting.refused,
            one_attempt: self.plan.one_attempt,
            at: now,
        })
    }

    fn retry(
        &mut self,
        launch: &Launch,
        outcome: Outcome,
        verdict: Verdict,
        cause: RetryCause,
        now: Timestamp,
    ) -> Option<Receipt> {
        let retry_after = outcome.retry_after();
        let (again_at, attempts, unsent_retries) = match &outcome {
            // Surely unsent: it counts as no attempt, and only the time bounds how often that happens.
            Outcome::NotSent(error) => {
                let unsent_retries = launch.unsent_retries.saturating_add(1);
                (
                    now + backoff::unsent(*error, unsent_retries, salt(launch)),
                    launch.attempt - 1,
                    unsent_retries,
                )
            }
            Outcome::Answered(_) | Outcome::Lost(_) => {
                let delay = backoff::quick(cause, u32::from(launch.attempt), retry_after, salt(launch));
                (now + delay, launch.attempt, launch.unsent_retries)
            }
        };
        if self.stopped.is_some() || attempts > MAX_RESENDS || again_at > self.plan.resend_until {
            let receipt = receipt(
                launch,
                outcome,
                verdict,
                backoff::for_verdict(verdict, retry_after),
                now,
            );
            return Some(Receipt { attempts, ..receipt });
        }
        self.wait(
            again_at,
            PendingPush {
                push: launch.push,
                attempts,
                unsent_retries,
                refused: launch.refused,
                last: outcome,
            },
        );
        None
    }

    fn wait(&mut self, at: Timestamp, waiting: PendingPush) {
        self.sequence += 1;
        self.waiting.insert((at, self.sequence), waiting);
    }
}

fn receipt(
    launch: &Launch,
    outcome: Outcome,
    verdict: Verdict,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Receipt {
    Receipt {
        push: launch.push,
        outcome,
        verdict,
        retry_after,
        attempts: launch.attempt,
        latency: now.since(launch.at),
        one_attempt: launch.one_attempt,
    }
}

const fn salt(launch: &Launch) -> u64 {
    (launch.push as u64) << 8 | launch.attempt as u64
}

/// How often a push is sent again inside one request: enough for a connection that went away and a server that was
/// restarted, too few to hold the caller up.
pub const MAX_RESENDS: u8 = 2;

/// How long a push with one attempt may wait for it once its turn has come, and be sent again that APNs cannot have taken.
///
/// It is long enough for a permit and a new connection, and too short for anybody to be surprised by an old call.
pub const ONE_ATTEMPT_TIME: Duration = Duration::from_secs(30);

/// Requests that a Worker's invocation may have waiting for response headers.
///
/// The platform queues a seventh, whose deadline would run while it is not sent. Source: Cloudflare, Workers limits,
/// "simultaneous open connections".
pub const FETCH_WINDOW: usize = 6;

#[cfg(test)]
mod tests;
