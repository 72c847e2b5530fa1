//! The fan-out: which push is sent next, and what an outcome changes.
//!
//! A synchronous machine. Its driver calls [`Fanout::next`] until it returns a wait, sends each [`Launch`],
//! and passes its outcome to [`Fanout::settle`]. The driver reads a push from its source only when a permit
//! is free, so memory holds only the pushes in flight. Every push ends in exactly one [`Receipt`]. A
//! [`Launch`] is not `Clone`, so no attempt can be settled twice.

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
    /// The number of pushes.
    pub pushes: usize,
    /// The maximum in flight: the lease's permits or the transport's capacity, whichever is less. At least 1.
    pub window: usize,
    /// Whether APNs has accepted the provider token before. If not, the first push is sent alone.
    pub proven: bool,
    /// The number of pushes that APNs has accepted with the provider token, as far as is known.
    pub accepted: u32,
    /// No attempt starts after this moment. Pushes that are left are returned unsent.
    pub launch_until: Timestamp,
    /// No push is sent again after this moment.
    pub resend_until: Timestamp,
    /// Whether each push has one attempt: it is sent again only if APNs cannot have accepted it.
    pub one_attempt: bool,
}

/// One attempt that the driver makes now.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// The index of the push in the source.
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
    /// Whether APNs refused the credential when this push was sent before. Such a push is sent over another
    /// connection.
    #[must_use]
    pub const fn is_second_opinion(&self) -> bool {
        self.refused
    }

    /// Returns when the attempt started.
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
    /// This push is not sent any more.
    Unsent(Receipt),
    /// Wait for an attempt to end, or for this moment, whichever comes first.
    Wait(Option<Timestamp>),
    /// Every push has its receipt.
    Done,
}

/// The state of one fan-out.
#[derive(Debug)]
pub struct Fanout {
    plan: Plan,
    /// The first push that was never launched.
    fresh: usize,
    in_flight: usize,
    /// Pushes that will be sent again, by moment and sequence number.
    waiting: BTreeMap<(Timestamp, u64), PendingPush>,
    sequence: u64,
    alone: bool,
    /// Counts the provider tokens that this fan-out has used.
    token: u8,
    /// The number of pushes that APNs has accepted with this token since it last refused the credential.
    accepted: u32,
    /// The number of credential refusals that were considered a possible mistake.
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
    /// The number of attempts that certainly were not sent. They do not count as attempts.
    unsent_retries: u32,
    /// Whether APNs refused the credential when the push was last sent.
    refused: bool,
    last: Outcome,
}

impl Fanout {
    /// Creates a fan-out of `plan.pushes` pushes.
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

    /// Returns what to do now. Call it until it returns [`Next::Wait`] or [`Next::Done`].
    pub fn next(&mut self, now: Timestamp) -> Next {
        if self.stopped.is_some() {
            return self.hand_back();
        }
        if let Some(refusal) = self.renewing {
            // Pushes in flight end first. Their answers show whether a new token is needed at all.
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

    /// Records the end of an attempt. Returns the push's receipt, or `None` if the push is sent again.
    ///
    /// `repeatable` says whether a push that is sent twice takes effect once.
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
            // A push that was launched before the refusal does not disprove it.
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
            // The transport sends nothing more, so nothing more is launched.
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

    /// Records that the driver has another provider token; `proven` and `accepted` as in [`Plan`].
    pub const fn renewed(&mut self, proven: bool, accepted: u32) {
        self.renewing = None;
        self.token = self.token.saturating_add(1);
        self.alone = !proven;
        self.accepted = accepted;
        self.proved = false;
    }

    /// Records that the driver gets no other provider token before `retry_after` has passed.
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

    /// Stops launching. The pushes that are left are returned unsent.
    pub fn halt(&mut self) {
        self.stop(
            &Outcome::NotSent(TransportError::OutOfTime),
            Verdict::Retry(RetryCause::Connection),
            None,
        );
    }

    /// Returns the maximum number of pushes in flight.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.plan.window
    }

    /// Returns the number of pushes in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns the attempts since the last call, and whether APNs has accepted the provider token in use.
    /// Both are reported to the gate when the lease is returned.
    pub fn take_report(&mut self) -> (Report, bool) {
        (std::mem::take(&mut self.report), self.proved)
    }

    /// Returns APNs' last refusal of the credential since the last call, unless APNs has accepted a later
    /// push.
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
            // Certainly not sent: it does not count as an attempt. Only time limits how often this happens.
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

/// The number of resends inside one request: enough for a lost connection and a restarted server, few enough
/// not to delay the caller.
pub const MAX_RESENDS: u8 = 2;

/// How long a push with one attempt may wait for it, and be resent if APNs cannot have accepted it.
///
/// It is long enough for a permit and a new connection, and short enough that no outdated call is shown.
pub const ONE_ATTEMPT_TIME: Duration = Duration::from_secs(30);

/// The number of requests in one Worker invocation that may wait for response headers.
///
/// The platform queues a seventh, and its deadline would run before it is sent. Source: Cloudflare, Workers
/// limits, "simultaneous open connections".
pub const FETCH_WINDOW: usize = 6;

#[cfg(test)]
mod tests;
