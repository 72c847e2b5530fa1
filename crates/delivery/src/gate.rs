//! The gate of a credential: its provider token and its permits, handed out together as leases.
//!
//! Every sender asks it once a chunk, so that all of them send the same token and together stay under one limit. The
//! gate signs at most once a bucket and remembers what it signed, through evictions and restarts. In scope: the
//! decisions. Out of scope: the Durable Object that hosts it (`shell`), and the pushes (`fanout`).
//!
//! Commands and replies are JSON text between versions of the Worker that may differ for the minutes of a deployment:
//! a field that is added needs a default.

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

/// The gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    tokens: Tokens,
    limiter: Limiter,
    #[serde(default)]
    pool: Pool,
    #[serde(default)]
    dial: DialLimiter,
}

/// What the deployment lends the gate.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// Whose gate it is.
    pub credential: &'c Credential,
    /// The text of its `.p8`, or why there is none. It is parsed only when a token is signed.
    pub key: Result<&'c str, &'c str>,
    /// The most pushes in flight; `limiter::DEFAULT_CEILING` unless the deployment says otherwise.
    pub ceiling: u32,
    /// How large the pool of connections may be.
    pub pool_config: PoolConfig,
}

/// What a gate is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A provider token, and permits.
    Lease {
        /// How many pushes the holder could have in flight.
        want: u32,
        /// How long it will need the permits, in milliseconds.
        ttl_ms: u64,
        /// How long it would wait for them, in milliseconds.
        wait_ms: u64,
        /// The token that APNs has refused to the holder, if that is why it asks.
        refused: Option<Refusal>,
        /// Whether the pushes go over a connection of the pool.
        #[serde(default)]
        pooled: bool,
        /// The share of the batch that they are for; `None` for an immediate request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<FairShare>,
    },
    /// The permits go back.
    Settle {
        /// The lease.
        lease: LeaseId,
        /// How its pushes went.
        report: Report,
        /// The time of issue of the provider token, if APNs answered a push with anything but a fault of the token.
        proven: Option<Timestamp>,
        /// If its connection could not be opened: how long it will not be, in milliseconds.
        #[serde(default)]
        unavailable_for_ms: Option<u64>,
        /// The last refusal of the credential, if there was one under the lease.
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
    /// How it stands.
    Inspect,
}

/// What a gate answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Send.
    Granted(Lease),
    /// No permits are free.
    Full {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// APNs refuses every token that there is: nothing can be sent for now.
    Stopped {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
        /// What to look into.
        problem: String,
    },
    /// No token can be signed until the deployment is mended.
    Unavailable {
        /// What is wrong.
        problem: String,
    },
    /// The lease is settled.
    Settled,
    /// The answer to a request to dial, or to the report of a failed one.
    Dial(Dial),
    /// How the gate stands.
    Inspected(Inspection),
}

/// A provider token and permits, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What to settle.
    pub id: LeaseId,
    /// How many pushes may be in flight.
    pub permits: u32,
    /// What to send them with.
    pub provider_token: ProviderToken,
    /// When to ask for another token, though the lease still runs.
    pub valid_until: Timestamp,
    /// Whether APNs has accepted the token before. If not, the first push goes alone.
    pub proven: bool,
    /// How many pushes APNs has accepted with the token, as far as is known.
    #[serde(default)]
    pub accepted: u32,
    /// When the permits go back, settled or not.
    pub expires_at: Timestamp,
    /// Which connection of the pool to use, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// The batch that it is for, to ask again with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<FairShare>,
}

/// How a gate stands. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// When the provider token that it hands out was issued, if it has one.
    pub issued_at: Option<Timestamp>,
    /// Whether APNs has accepted that token.
    pub proven: bool,
    /// Until when it hands out none.
    pub stopped_until: Option<Timestamp>,
    /// The most permits that may be out.
    pub limit: u32,
    /// The permits that are out.
    pub in_use: u32,
    /// The leases that are out.
    pub leases: usize,
    /// How many wait for permits.
    pub waiting: usize,
    /// The connections of the pool.
    #[serde(default)]
    pub connections: pool::PoolStats,
    /// APNs' last refusal of the credential, if it has accepted nothing since and the key is still the same.
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
        // A plain structure with text for keys: there is nothing in it that JSON could not hold.
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
        // Who was behind one whose wait is over may find enough.
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

/// What a settled lease reports about its connection.
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

/// Where a stored text is broken, without the text, since it holds a provider token.
fn location(fault: &serde_json::Error) -> String {
    format!(
        "{:?} at line {}, column {}",
        fault.classify(),
        fault.line(),
        fault.column()
    )
}
