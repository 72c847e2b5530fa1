//! The gate of a credential: grants its provider token and permits together, as leases.
//!
//! Every sender requests one lease per send request or chunk. All senders therefore use the same provider
//! token and stay under one limit together. The gate signs at most once per bucket and remembers what it
//! signed through evictions and restarts. In scope: the decisions. Out of scope: the Durable Object that
//! hosts it (`src/objects/gate.rs`), and the pushes (`fanout`).
//!
//! Commands and replies are JSON text. During a deployment they pass between two versions of the Worker, so a
//! new field needs a default.

mod refused;
mod tokens;

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dial::{Dial, DialLimiter};
use super::limiter::{FairShare, LeaseDecision, LeaseId, LeaseRequest, Limiter, Permits, Report};
use super::machine::{Loaded, Machine, Step, Ticket};

use super::pool::{self, ConnectionHealth, Pool, PoolConfig};
use apns::credential::Credential;
use apns::provider_token::ProviderToken;
use apns::time::Timestamp;
use tokens::{HandedOut, Tokens, Withheld};

pub use refused::CredentialRefusal;
pub use tokens::Refusal;

/// The state of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    tokens: Tokens,
    limiter: Limiter,
    #[serde(default)]
    pool: Pool,
    #[serde(default)]
    dial: DialLimiter,
}

/// The part of the configuration that the gate uses.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// The gate's credential.
    pub credential: &'c Credential,
    /// The text of its `.p8`, or why there is none. It is parsed only when a token is signed.
    pub key: Result<&'c str, &'c str>,
    /// The maximum number of pushes in flight; `limiter::DEFAULT_CEILING` by default.
    pub ceiling: u32,
    /// The size of the connection pool.
    pub pool_config: PoolConfig,
}

/// A command to a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Requests a provider token and permits.
    Lease {
        /// The number of pushes that the holder could have in flight.
        want: u32,
        /// How long it needs the permits, in milliseconds.
        ttl_ms: u64,
        /// How long it waits for permits, in milliseconds.
        wait_ms: u64,
        /// The token that APNs refused, if this is the reason for the request.
        refused: Option<Refusal>,
        /// Whether the pushes use a connection of the pool.
        #[serde(default)]
        pooled: bool,
        /// The share of the batch that sends the pushes; `None` for an immediate request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<FairShare>,
    },
    /// Returns the permits.
    Settle {
        /// The lease.
        lease: LeaseId,
        /// The results of its pushes.
        report: Report,
        /// The issue time of the provider token, if APNs has accepted the token.
        proven: Option<Timestamp>,
        /// If the connection could not be opened: how long the object will not try again, in milliseconds.
        #[serde(default)]
        unavailable_for_ms: Option<u64>,
        /// The last refusal of the credential under this lease.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<CredentialRefusal>,
    },
    /// Asks whether to dial.
    Dial,
    /// Reports the result of a dial that [`Dial::Allowed`] permitted.
    Dialed {
        /// Whether there is a connection now.
        succeeded: bool,
    },
    /// Requests the gate's state.
    Inspect,
}

/// A gate's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The pushes may be sent.
    Granted(Lease),
    /// No permits are free.
    Full {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// APNs refuses every token that the gate has. Nothing can be sent for now.
    Stopped {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
        /// What to check.
        problem: String,
    },
    /// No token can be signed until the deployment's settings are fixed.
    Unavailable {
        /// What is wrong.
        problem: String,
    },
    /// The lease is settled.
    Settled,
    /// The answer to a request to dial, or to the report of a failed one.
    Dial(Dial),
    /// The gate's state.
    Inspected(Inspection),
}

/// A provider token and permits, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The id to settle the lease with.
    pub id: LeaseId,
    /// The maximum number of pushes in flight.
    pub permits: u32,
    /// The provider token for the pushes.
    pub provider_token: ProviderToken,
    /// When to request another token, even if the lease has not expired.
    pub valid_until: Timestamp,
    /// Whether APNs has accepted the token before. If not, the first push is sent alone.
    pub proven: bool,
    /// The number of pushes that APNs has accepted with the token, as far as is known.
    #[serde(default)]
    pub accepted: u32,
    /// When the permits expire, settled or not.
    pub expires_at: Timestamp,
    /// The slot of the connection pool, if one was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// The share of the batch, to request the next lease with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<FairShare>,
}

/// The state of a gate, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// When the current provider token was issued, if there is one.
    pub issued_at: Option<Timestamp>,
    /// Whether APNs has accepted that token.
    pub proven: bool,
    /// Until when the gate grants no leases.
    pub stopped_until: Option<Timestamp>,
    /// The maximum number of permits that may be granted at once.
    pub limit: u32,
    /// The number of granted permits.
    pub in_use: u32,
    /// The number of leases.
    pub leases: usize,
    /// The number of requests that wait for permits.
    pub waiting: usize,
    /// The connections of the pool.
    #[serde(default)]
    pub connections: pool::PoolStats,
    /// APNs' last refusal of the credential. `None` if APNs has accepted a push since, or the key has
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<CredentialRefusal>,
}

impl Machine for Gate {
    type Command = Command;
    type Reply = Reply;
    type Context<'c> = Context<'c>;

    fn load(stored: Option<&str>, now: Timestamp) -> Loaded<Self> {
        let with = |tokens| Self {
            tokens,
            limiter: Limiter::new(now),
            pool: Pool::default(),
            dial: DialLimiter::default(),
        };
        match stored.map(serde_json::from_str) {
            None => Loaded {
                machine: with(Tokens::default()),
                fault: None,
            },
            Some(Ok(machine)) => Loaded { machine, fault: None },
            Some(Err(fault)) => Loaded {
                machine: with(Tokens::after_a_loss()),
                fault: Some(format!("the gate's stored state is lost: {}", location(&fault))),
            },
        }
    }

    fn store(&self) -> String {
        // A plain structure with text keys, which JSON can always hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn apply(&mut self, command: Command, context: &Context<'_>, now: Timestamp) -> Step<Reply> {
        self.limiter.set_ceiling(context.ceiling);
        match command {
            Command::Lease {
                want,
                ttl_ms,
                wait_ms,
                refused,
                pooled,
                share,
            } => {
                let request = LeaseRequest {
                    want,
                    ttl: Duration::from_millis(ttl_ms),
                    wait: Duration::from_millis(wait_ms),
                    pooled,
                    share,
                };
                self.lease(request, refused, context, now)
            }
            Command::Settle {
                lease,
                report,
                proven,
                unavailable_for_ms,
                refused,
            } => {
                if let Some(issued_at) = proven {
                    self.tokens.prove(issued_at, report.accepted, now);
                }
                if refused.is_some() || report.accepted > 0 {
                    self.tokens.last_refusal = refused;
                }
                self.limiter.settle(lease, &report, now);
                self.pool.release(lease, health(&report, unavailable_for_ms), now);
                Step::Answer(Reply::Settled)
            }
            Command::Dial => Step::Answer(Reply::Dial(self.dial.request(now))),
            Command::Dialed { succeeded: true } => {
                self.dial.succeeded();
                Step::Answer(Reply::Settled)
            }
            Command::Dialed { succeeded: false } => {
                let delay = self.dial.failed(now.as_millis(), now);
                Step::Answer(Reply::Dial(Dial::Refused(delay)))
            }
            Command::Inspect => Step::Answer(Reply::Inspected(self.inspect(context, now))),
        }
    }

    fn take_answers(&mut self, context: &Context<'_>, now: Timestamp) -> Vec<(Ticket, Reply)> {
        let mut answers = self.admit(context, now);
        // A request behind one that timed out may now find enough permits.
        while let Some((ticket, retry_after)) = self.limiter.lapse(now) {
            answers.push((ticket, full(retry_after)));
            answers.extend(self.admit(context, now));
        }
        answers
    }

    fn give_up(&mut self, ticket: Ticket, now: Timestamp) -> Reply {
        full(self.limiter.give_up(ticket, now))
    }

    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.limiter.next_event(now)
    }

    fn alarm(&mut self, now: Timestamp) {
        self.limiter.expire(now);
    }
}

impl Gate {
    fn lease(
        &mut self,
        request: LeaseRequest,
        refused: Option<Refusal>,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Step<Reply> {
        let noted = refused.map_or(Ok(()), |refusal| self.tokens.refuse(refusal, context, now));
        let token = match noted.and_then(|()| self.tokens.hand_out(context, now)) {
            Ok(token) => token,
            Err(withheld) => return Step::Answer(refusal_of(&withheld, now)),
        };
        match self.limiter.request(request, now) {
            LeaseDecision::Granted(permits) => Step::Answer(self.granted(token, permits, context, now)),
            LeaseDecision::Wait { ticket, until } => Step::Wait { ticket, until },
            LeaseDecision::Full { retry_after } => Step::Answer(full(retry_after)),
        }
    }

    fn admit(&mut self, context: &Context<'_>, now: Timestamp) -> Vec<(Ticket, Reply)> {
        let mut answers = Vec::new();
        while self.limiter.can_admit(now) {
            match self.tokens.hand_out(context, now) {
                Ok(token) => {
                    let admitted = self.limiter.admit(now);
                    if let Some((ticket, permits)) = admitted {
                        answers.push((ticket, self.granted(token, permits, context, now)));
                    }
                }
                Err(withheld) => {
                    let dismissed = self.limiter.dismiss(now);
                    answers.extend(dismissed.map(|ticket| (ticket, refusal_of(&withheld, now))));
                }
            }
        }
        answers
    }

    fn granted(
        &mut self,
        token: HandedOut,
        permits: Permits,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Reply {
        let Permits {
            lease,
            count,
            expires_at,
            pooled,
            share,
        } = permits;
        let connection = pooled.then(|| {
            self.pool
                .assign(lease, count, expires_at, &context.pool_config, now)
        });
        Reply::Granted(Lease {
            id: lease,
            permits: count,
            provider_token: token.token,
            valid_until: token.valid_until,
            proven: token.proven,
            accepted: token.accepted,
            expires_at,
            connection,
            share,
        })
    }

    fn inspect(&self, context: &Context<'_>, now: Timestamp) -> Inspection {
        let current = self.tokens.current(now);
        Inspection {
            issued_at: current.map(|(issued_at, _)| issued_at),
            proven: current.is_some_and(|(_, proven)| proven),
            stopped_until: self.tokens.paused_until(now),
            limit: self.limiter.limit(),
            in_use: self.limiter.in_use(now),
            leases: self.limiter.leases(now),
            waiting: self.limiter.waiting(),
            connections: self.pool.stats(&context.pool_config, now),
            last_refusal: self.tokens.last_refusal(context).cloned(),
        }
    }
}

fn full(retry_after: Duration) -> Reply {
    Reply::Full {
        retry_after_ms: millis(retry_after),
    }
}

/// Returns what a settled lease reports about its connection.
fn health(report: &Report, unavailable_for_ms: Option<u64>) -> ConnectionHealth {
    match unavailable_for_ms {
        Some(delay) => ConnectionHealth::Unavailable(Duration::from_millis(delay)),
        None if report.is_broken() => ConnectionHealth::Broken,
        None if report.answered > 0 => ConnectionHealth::Open,
        None => ConnectionHealth::Unused,
    }
}

fn refusal_of(withheld: &Withheld, now: Timestamp) -> Reply {
    let problem = withheld.to_string();
    match withheld {
        Withheld::Paused { until, .. } => Reply::Stopped {
            retry_after_ms: millis(until.since(now)),
            problem,
        },
        Withheld::Unsigned(_) => Reply::Unavailable { problem },
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the position of a fault in a stored text, without the text: it contains a provider token.
fn location(fault: &serde_json::Error) -> String {
    format!(
        "{:?} at line {}, column {}",
        fault.classify(),
        fault.line(),
        fault.column()
    )
}
