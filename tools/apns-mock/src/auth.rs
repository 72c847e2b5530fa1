//! Verifies provider tokens, and what a connection is bound to by them.
//!
//! Source: Apple, "Establishing a token-based connection to APNs"; Apple engineers on the developer forums
//! for connections after `TooManyProviderTokenUpdates`. A token that is issued in the future is answered with
//! `InvalidProviderToken`: Apple documents no answer, so this is the server's choice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use crate::clock::Clock;
use crate::environment::Environment;
use crate::jwt::{Encoding, ProviderToken};
use crate::keys::{Key, Keys};
use crate::reason::Reason;

/// The lifetime of a provider token: an hour.
pub const TOKEN_LIFETIME_MS: i64 = 60 * 60 * 1000;

/// The shortest interval between two new provider tokens: 20 minutes.
pub const TOKEN_FLOOR_MS: i64 = 20 * 60 * 1000;

/// The tolerance of that interval: the server counts from the first use of a token, and the client from its
/// creation.
const FLOOR_SLACK_MS: i64 = 10 * 1000;

/// How far in the future, by the server's clock, a token may be issued.
const FUTURE_SLACK_MS: i64 = 5 * 60 * 1000;

/// The most verified tokens in the cache. When it is full, it is emptied, and tokens are verified again.
const CACHE_SIZE: usize = 4096;

/// How long requests may still arrive on a connection after its token was reported as expired: those in
/// flight.
const WEDGE_GRACE_MS: i64 = 2000;

/// A token with a verified signature.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) key: Arc<Key>,
    issued_at_ms: i64,
    /// A number that identifies the token.
    serial: u64,
}

/// A refusal, and whether it is caused by a fault of the client.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) violation: Option<String>,
}

impl Refusal {
    pub(crate) fn plain(reason: Reason) -> Self {
        Self {
            reason,
            violation: None,
        }
    }

    pub(crate) fn fault(reason: Reason, violation: impl Into<String>) -> Self {
        Self {
            reason,
            violation: Some(violation.into()),
        }
    }
}

/// The authentication state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The last header and its token, so that a repeated header costs one comparison.
    last: Option<(HeaderValue, Arc<Provider>)>,
    generation: u64,
    /// The key of the first accepted push.
    bound_to: Option<Arc<Key>>,
    /// The tokens used on this connection, by serial.
    tokens: Vec<u64>,
    last_new_token_ms: i64,
    /// When a token was found to be expired. From then on, every request gets this answer.
    wedged_at_ms: Option<i64>,
    /// Until when the connection is unusable after too many tokens.
    blocked_until_ms: i64,
}

impl Session {
    /// Binds the connection to the key of its first accepted push.
    pub(crate) fn bind(&mut self) {
        if self.bound_to.is_none() {
            self.bound_to = self.last.as_ref().map(|(_, provider)| Arc::clone(&provider.key));
        }
    }
}

/// The tokens of one (team, key).
#[derive(Debug, Default)]
struct History {
    serials: Vec<u64>,
    last_new_ms: i64,
}

#[derive(Debug, Default)]
struct Verified {
    /// The verified tokens, by the header's bytes after the scheme.
    tokens: HashMap<Box<str>, Arc<Provider>>,
    generation: u64,
    next_serial: u64,
    /// The serial by signature, so that a token keeps its serial when the cache is emptied.
    serials: HashMap<Box<str>, u64>,
    histories: HashMap<String, History>,
}

/// The keys and all tokens that were seen.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) keys: Keys,
    verified: Mutex<Verified>,
    global_floor: bool,
    encoding: Encoding,
}

impl Authority {
    pub(crate) fn new(global_floor: bool, any_base64: bool) -> Self {
        Self {
            keys: Keys::default(),
            verified: Mutex::default(),
            global_floor,
            encoding: if any_base64 {
                Encoding::Any
            } else {
                Encoding::Strict
            },
        }
    }

    /// Returns the number of different tokens with a valid signature.
    pub(crate) fn token_count(&self) -> u64 {
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_serial
    }

    /// Forgets all tokens and their times.
    pub(crate) fn forget_tokens(&self) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Verified::default();
    }

    /// Checks a request's `authorization`, in this order: present, signature, team, environment, related key,
    /// age, interval.
    pub(crate) fn authenticate(
        &self,
        session: &mut Session,
        header: Option<&HeaderValue>,
        environment: Environment,
        clock: &Clock,
    ) -> Result<Arc<Provider>, Refusal> {
        let header = header
            .filter(|value| !is_blank(value))
            .ok_or_else(|| Refusal::plain(Reason::MissingProviderToken))?;
        let now_ms = clock.now_ms();
        if let Some(since_ms) = session.wedged_at_ms {
            return Err(if now_ms - since_ms > WEDGE_GRACE_MS {
                Refusal::fault(
                    Reason::ExpiredProviderToken,
                    "went on using a connection whose token had expired",
                )
            } else {
                Refusal::plain(Reason::ExpiredProviderToken)
            });
        }
        if now_ms < session.blocked_until_ms {
            return Err(Refusal::plain(Reason::TooManyProviderTokenUpdates));
        }
        let provider = self.verify_for(session, header)?;
        check_binding(session.bound_to.as_deref(), &provider.key, environment)?;
        let age_ms = now_ms - provider.issued_at_ms;
        if age_ms > TOKEN_LIFETIME_MS {
            session.wedged_at_ms = Some(now_ms);
            return Err(Refusal::plain(Reason::ExpiredProviderToken));
        }
        if age_ms < -FUTURE_SLACK_MS {
            return Err(Refusal::fault(
                Reason::InvalidProviderToken,
                format!("a provider token was issued {} s in the future", -age_ms / 1000),
            ));
        }
        if session.tokens.last() != Some(&provider.serial) {
            self.check_change(session, &provider, now_ms)?;
        }
        Ok(provider)
    }

    /// Returns the provider token of a header: the connection's last one, a known one, or a newly verified
    /// one.
    fn verify_for(&self, session: &mut Session, header: &HeaderValue) -> Result<Arc<Provider>, Refusal> {
        let generation = self.keys.generation();
        if let Some((last, provider)) = &session.last
            && last == header
            && session.generation == generation
        {
            return Ok(Arc::clone(provider));
        }
        let provider = self.verify(header, generation)?;
        session.last = Some((header.clone(), Arc::clone(&provider)));
        session.generation = generation;
        Ok(provider)
    }

    fn verify(&self, header: &HeaderValue, generation: u64) -> Result<Arc<Provider>, Refusal> {
        let malformed = |what: &str| {
            Refusal::fault(
                Reason::InvalidProviderToken,
                format!("a malformed provider token: {what}"),
            )
        };
        let text = header.to_str().map_err(|_| malformed("it is not ASCII"))?;
        let (scheme, token) = text
            .split_once(' ')
            .ok_or_else(|| malformed("the header is not 'bearer <token>'"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed("the scheme is not bearer"));
        }
        let token = token.trim_ascii();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.generation != generation || verified.tokens.len() >= CACHE_SIZE {
            verified.tokens.clear();
            verified.generation = generation;
        }
        if let Some(provider) = verified.tokens.get(token) {
            return Ok(Arc::clone(provider));
        }
        let parsed = ProviderToken::parse(token, self.encoding).map_err(malformed)?;
        let key = self
            .keys
            .find(&parsed.key_id)
            .ok_or_else(|| Refusal::plain(Reason::InvalidProviderToken))?;
        if key.spec.team_id != parsed.team_id {
            return Err(Refusal::plain(Reason::InvalidProviderToken));
        }
        if !parsed.is_signed_by(&key.point) {
            return Err(malformed("its signature does not verify"));
        }
        let serial = verified.serial_of(token);
        let issued_at_ms = parsed.issued_at.saturating_mul(1000);
        let provider = Arc::new(Provider {
            key,
            issued_at_ms,
            serial,
        });
        verified.tokens.insert(token.into(), Arc::clone(&provider));
        Ok(provider)
    }

    /// Checks the 20-minute interval of this connection and of the (team, key).
    fn check_change(&self, session: &mut Session, provider: &Provider, now_ms: i64) -> Result<(), Refusal> {
        if session.tokens.contains(&provider.serial) {
            return Ok(());
        }
        let floor_ms = TOKEN_FLOOR_MS - FLOOR_SLACK_MS;
        let too_soon = |last_ms: i64| now_ms - last_ms < floor_ms;
        if !session.tokens.is_empty() && too_soon(session.last_new_token_ms) {
            session.blocked_until_ms = session.last_new_token_ms + floor_ms;
            return Err(Refusal::fault(
                Reason::TooManyProviderTokenUpdates,
                "a connection got a second provider token within 20 minutes",
            ));
        }
        if self.global_floor {
            let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{}/{}", provider.key.spec.team_id, provider.key.spec.key_id);
            let history = verified.histories.entry(name).or_default();
            if !history.serials.contains(&provider.serial) {
                if !history.serials.is_empty() && too_soon(history.last_new_ms) {
                    session.blocked_until_ms = history.last_new_ms + floor_ms;
                    return Err(Refusal::fault(
                        Reason::TooManyProviderTokenUpdates,
                        "a second provider token was made for one key within 20 minutes",
                    ));
                }
                history.serials.push(provider.serial);
                history.last_new_ms = now_ms;
            }
        }
        session.tokens.push(provider.serial);
        session.last_new_token_ms = now_ms;
        Ok(())
    }
}

impl Verified {
    fn serial_of(&mut self, token: &str) -> u64 {
        if let Some(serial) = self.serials.get(token) {
            return *serial;
        }
        self.next_serial += 1;
        self.serials.insert(token.into(), self.next_serial);
        self.next_serial
    }
}

/// Whether a header has no token: it is empty, or there is nothing after `bearer`.
fn is_blank(header: &HeaderValue) -> bool {
    let value = header.as_bytes().trim_ascii();
    value.is_empty() || value.eq_ignore_ascii_case(b"bearer")
}

fn check_binding(bound_to: Option<&Key>, key: &Key, environment: Environment) -> Result<(), Refusal> {
    if bound_to.is_some_and(|bound| bound.spec.team_id != key.spec.team_id) {
        return Err(Refusal::fault(
            Reason::InvalidProviderToken,
            "one connection was used for two teams",
        ));
    }
    if !key.is_for(environment) {
        return Err(Refusal::fault(
            Reason::BadEnvironmentKey,
            format!(
                "key {} was used in the wrong environment, {}",
                key.spec.key_id,
                environment.as_str()
            ),
        ));
    }
    if bound_to.is_some_and(|bound| !bound.is_related_to(key)) {
        return Err(Refusal::fault(
            Reason::UnrelatedKeyIdInToken,
            "one connection was used with unrelated keys",
        ));
    }
    Ok(())
}
