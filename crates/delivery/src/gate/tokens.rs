//! The provider tokens of a credential: which one its senders use.
//!
//! In scope: when the next token replaces this one, and what happens when APNs refuses one. Out of scope: how
//! a token is made (`apns::provider_token`).
//!
//! A token that APNs may have just seen for the first time is kept for [`REST`], if necessary past the end of
//! its bucket. One gate therefore never shows two new tokens within Apple's 20 minutes, however long it was
//! idle.
//!
//! Two deployments have gates of one credential that share no memory. They use the same tokens at the same
//! times while one of them is busy, or was before its state was lost. If both were idle, they may differ by
//! one bucket at its end, and no rule that each computes alone could prevent this. APNs may then refuse the
//! newer token, and [`Tokens::refuse`] handles the refusal.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Context, CredentialRefusal};
use apns::credential::SigningKey;
use apns::provider_token::{self, Bucket, CLOCK_SKEW, ProviderToken, REST};
use apns::time::Timestamp;

/// The tokens of one credential: the newest, and the previous one as a fallback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// A hash of the key's text, so that a corrected secret takes effect at once.
    key: String,
    newest: Option<Held>,
    previous: Option<Held>,
    pause: Option<Pause>,
    /// Whether the state of earlier tokens was lost.
    lost: bool,
    /// APNs' last refusal of the credential; `None` once APNs has accepted a push again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_refusal: Option<CredentialRefusal>,
}

/// A provider token that APNs has refused, as its holder reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// 403 `ExpiredProviderToken`.
    Expired {
        /// The refused token's time of issue.
        issued_at: Timestamp,
    },
    /// 429 `TooManyProviderTokenUpdates`.
    TooManyUpdates {
        /// The refused token's time of issue.
        issued_at: Timestamp,
    },
}

/// A token for the holder of a lease.
pub(super) struct HandedOut {
    pub(super) token: ProviderToken,
    pub(super) valid_until: Timestamp,
    pub(super) proven: bool,
    pub(super) accepted: u32,
}

/// Why no token is available.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Withheld {
    /// APNs refuses every token that the gate has.
    #[error("{}", why.advice())]
    Paused {
        /// When to try again.
        until: Timestamp,
        /// What to check.
        why: Cause,
    },
    /// No token can be signed.
    #[error("{0}")]
    Unsigned(String),
}

/// Why APNs refused a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    Expired,
    TooManyUpdates,
}

impl Tokens {
    /// Creates the state that replaces one that could not be read.
    pub(super) fn after_a_loss() -> Self {
        Self {
            lost: true,
            ..Self::default()
        }
    }

    /// Returns the token to send at `now`. Signs it if it is the first of its bucket.
    pub(super) fn hand_out(&mut self, context: &Context<'_>, now: Timestamp) -> Result<HandedOut, Withheld> {
        let held = self.pick(context, now)?;
        let usable_until = held.token.usable_until();
        let fell_back = self.fallback(now).is_some();
        Ok(HandedOut {
            valid_until: if fell_back {
                usable_until
            } else {
                held.rested_at().min(usable_until)
            },
            token: held.token,
            proven: held.proven,
            accepted: if held.proven { held.accepted } else { 0 },
        })
    }

    /// Records that APNs refused a token. If it is the current one, another token is used from now on, or
    /// none for a while. If it is not, the refusal was reported before.
    pub(super) fn refuse(
        &mut self,
        refusal: Refusal,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Result<(), Withheld> {
        let (issued_at, cause) = match refusal {
            Refusal::Expired { issued_at } => (issued_at, Cause::Expired),
            Refusal::TooManyUpdates { issued_at } => (issued_at, Cause::TooManyUpdates),
        };
        if self.pick(context, now)?.token.issued_at() != issued_at {
            return Ok(());
        }
        let fell_back = self.fallback(now).is_some();
        let way_out = match cause {
            Cause::Expired if fell_back => self.return_to_newest(),
            Cause::Expired => self.outgrow_newest(now),
            Cause::TooManyUpdates if fell_back => false,
            Cause::TooManyUpdates => self.fall_back(context, now)?,
        };
        if !way_out {
            self.pause = Some(Pause {
                until: now + PAUSE,
                why: cause,
            });
            for held in [&mut self.newest, &mut self.previous].into_iter().flatten() {
                held.proven = false;
            }
        }
        Ok(())
    }

    /// Records that APNs accepted the token issued at `issued_at`, and `accepted` pushes with it.
    pub(super) fn prove(&mut self, issued_at: Timestamp, accepted: u32, now: Timestamp) {
        for held in [&mut self.newest, &mut self.previous].into_iter().flatten() {
            if held.token.issued_at() != issued_at {
                continue;
            }
            if !held.proven {
                held.proven = true;
                held.introduced = held.introduced.map(|_| now);
                held.accepted = 0;
            }
            held.accepted = held.accepted.saturating_add(accepted);
        }
    }

    /// Returns the issue time of the current token and whether APNs has accepted it.
    pub(super) fn current(&self, now: Timestamp) -> Option<(Timestamp, bool)> {
        let held = self.fallback(now).or(self.newest.as_ref())?;
        Some((held.token.issued_at(), held.proven))
    }

    /// Returns APNs' last refusal of the credential with the current key.
    pub(super) fn last_refusal(&self, context: &Context<'_>) -> Option<&CredentialRefusal> {
        let is_same_key = context.key.is_ok_and(|pem| self.key == fingerprint(pem));
        self.last_refusal.as_ref().filter(|_| is_same_key)
    }

    /// Returns until when no token is handed out.
    pub(super) fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.pause.as_ref()?.until).filter(|until| *until > now)
    }

    fn pick(&mut self, context: &Context<'_>, now: Timestamp) -> Result<Held, Withheld> {
        let pem = context
            .key
            .map_err(|problem| Withheld::Unsigned(problem.to_owned()))?;
        self.forget_tokens_of_another_key(pem);
        self.check_pause(now)?;
        if self.fallback(now).is_none() {
            self.renew(pem, context, now)?;
        }
        self.fallback(now)
            .or(self.newest.as_ref())
            .cloned()
            .ok_or_else(|| Withheld::Unsigned("there is no provider token".to_owned()))
    }

    /// Returns the previous token if APNs refused the newest as one too many.
    fn fallback(&self, now: Timestamp) -> Option<&Held> {
        let newest = self.newest.as_ref()?;
        self.previous
            .as_ref()
            .filter(|previous| newest.refused == Some(Cause::TooManyUpdates) && previous.is_usable(now))
    }

    /// Makes sure that the newest token may be sent at `now`.
    fn renew(&mut self, pem: &str, context: &Context<'_>, now: Timestamp) -> Result<(), Withheld> {
        let due = Bucket::at(now);
        if let Some(newest) = &mut self.newest {
            if newest.refused == Some(Cause::TooManyUpdates) {
                newest.refused = None;
                newest.proven = false;
            }
            if now < newest.rested_at() && newest.is_usable(now) {
                return Ok(());
            }
        }
        let token = mint(pem, context, due)?;
        let introduced = Some(now).filter(|_| !self.lost);
        self.lost = false;
        self.previous = self
            .newest
            .replace(Held::new(token, introduced))
            .filter(|previous| previous.token.bucket() < due);
        Ok(())
    }

    fn fall_back(&mut self, context: &Context<'_>, now: Timestamp) -> Result<bool, Withheld> {
        let Some(newest) = &mut self.newest else {
            return Ok(false);
        };
        newest.proven = false;
        let before = newest.token.bucket().previous();
        let is_known = self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.token.bucket() == before);
        if !is_known {
            // This gate did not sign the previous bucket's token. APNs compares with that token, so another
            // deployment must have sent it.
            let pem = context
                .key
                .map_err(|problem| Withheld::Unsigned(problem.to_owned()))?;
            self.previous = Some(Held::new(mint(pem, context, before)?, None));
        }
        let is_usable = self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.is_usable(now));
        if let Some(newest) = self.newest.as_mut().filter(|_| is_usable) {
            newest.refused = Some(Cause::TooManyUpdates);
        }
        Ok(is_usable)
    }

    fn return_to_newest(&mut self) -> bool {
        if let Some(previous) = &mut self.previous {
            previous.refused = Some(Cause::Expired);
        }
        if let Some(newest) = &mut self.newest {
            newest.refused = None;
            newest.proven = false;
        }
        true
    }

    fn outgrow_newest(&mut self, now: Timestamp) -> bool {
        let Some(newest) = &mut self.newest else {
            return false;
        };
        let is_outgrown = newest.token.bucket() < Bucket::at(now);
        if is_outgrown {
            newest.refused = Some(Cause::Expired);
        }
        is_outgrown
    }

    fn check_pause(&mut self, now: Timestamp) -> Result<(), Withheld> {
        match &self.pause {
            Some(pause) if pause.until > now => Err(Withheld::Paused {
                until: pause.until,
                why: pause.why,
            }),
            Some(_) => {
                self.pause = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn forget_tokens_of_another_key(&mut self, pem: &str) {
        let key = fingerprint(pem);
        if self.key != key {
            *self = Self {
                key,
                lost: self.lost,
                ..Self::default()
            };
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    token: ProviderToken,
    /// The latest moment at which APNs can have seen it for the first time.
    ///
    /// This is when it was first handed out or, once APNs has accepted it, when that was reported. `None` if
    /// other senders showed it to APNs before.
    introduced: Option<Timestamp>,
    proven: bool,
    /// The number of pushes that APNs has accepted with it.
    #[serde(default)]
    accepted: u32,
    refused: Option<Cause>,
}

impl Held {
    const fn new(token: ProviderToken, introduced: Option<Timestamp>) -> Self {
        Self {
            token,
            introduced,
            proven: false,
            accepted: 0,
            refused: None,
        }
    }

    /// Returns when the next token may replace this one: its bucket is over, and APNs did not just see it for
    /// the first time.
    fn rested_at(&self) -> Timestamp {
        let ends_at = self.token.bucket().ends_at();
        self.introduced
            .map_or(ends_at, |introduced| ends_at.max(introduced + REST))
    }

    /// Whether it may be sent: it is not refused and has not expired, and the clock is not far before its time.
    fn is_usable(&self, now: Timestamp) -> bool {
        self.refused.is_none()
            && now < self.token.usable_until()
            && self.token.issued_at() <= now + CLOCK_SKEW * 2
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    until: Timestamp,
    why: Cause,
}

impl Cause {
    const fn advice(self) -> &'static str {
        match self {
            Self::Expired => "APNs says that the newest provider token has expired: is this clock right?",
            Self::TooManyUpdates => {
                "APNs says that provider tokens change too often: does another sender use this team's keys?"
            }
        }
    }
}

fn mint(pem: &str, context: &Context<'_>, bucket: Bucket) -> Result<ProviderToken, Withheld> {
    let key: SigningKey = pem
        .parse()
        .map_err(|fault| Withheld::Unsigned(format!("the signing key of {}: {fault}", context.credential)))?;
    provider_token::mint(context.credential, &key, bucket)
        .map_err(|fault| Withheld::Unsigned(fault.to_string()))
}

/// Returns the start of the key's SHA-256: enough to detect a change, too little to find the key.
fn fingerprint(pem: &str) -> String {
    Sha256::digest(pem)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// How long no token is handed out after APNs has refused the last available one.
///
/// Apple's 20 minutes began before we knew, so they may be over at any time. One refused push per five
/// minutes costs little; sending nothing for 20 minutes costs much.
pub(super) const PAUSE: Duration = Duration::from_mins(5);
