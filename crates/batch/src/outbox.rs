//! The outbox of one batch: what its endpoint is still to be told, and how telling it went.
//!
//! Kept by the batch's object, one row per delivery. An attempt is stored before it is made, with the time of the next as
//! if it failed, so that a crash in its middle costs an attempt and never makes a loop; the receiver recognizes a repeat
//! by its `webhook-id`. At most [`AT_ONCE`] deliveries are under way. In scope: when what is sent. Out of scope: the
//! bodies.
//!
//! Source: Standard Webhooks 1.0, "Operational considerations": the schedule, 2xx alone is a success, 410 disables.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::webhook::Event;
use apns::time::Timestamp;
use delivery::backoff;
use delivery::machine::Loaded;
use delivery::sql::{Row, Statement};

/// The outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    batch: String,
    /// By their numbers, in the order of their creation.
    deliveries: BTreeMap<u64, Delivery>,
    /// The numbers of the deliveries that are being sent, and until when the outcome of each is waited for.
    sending: BTreeMap<u64, Timestamp>,
    /// The numbers of what is to be stored or, if it is not there any more, removed.
    changed: BTreeSet<u64>,
}

/// One event on its way to the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The `webhook-id`, the same in each attempt.
    pub id: String,
    /// What it tells.
    pub event: Event,
    /// What is sent.
    pub body: Body,
    /// When the event happened, the `timestamp` in its body.
    pub created_at: Timestamp,
    /// What has become of it.
    pub state: State,
    /// The attempts, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// The body of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// This text.
    Text(String),
    /// The gone devices of these chunks, rendered from the receipts when it is sent: thousands of devices are stored
    /// once, and an attempt reads no other chunk.
    Gone {
        /// The chunks, each with at least one device that is gone.
        chunks: Vec<u32>,
    },
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is to be sent.
    Waiting {
        /// When.
        next_at: Timestamp,
    },
    /// The endpoint took it.
    Delivered,
    /// All attempts failed, or the endpoint is gone.
    Failed,
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An endpoint's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its HTTP status; a redirect is not followed.
    pub code: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Answered {
    /// Reads an answer that came at `now` with this status and `Retry-After`.
    #[must_use]
    pub fn read(code: u16, retry_after: Option<&str>, now: Timestamp) -> Self {
        Self {
            code,
            retry_after: retry_after.and_then(|value| apns::time::retry_after(value, now)),
        }
    }
}

impl Outbox {
    /// The outbox of a batch that has none yet.
    #[must_use]
    pub fn new(batch: &str) -> Self {
        Self {
            batch: batch.to_owned(),
            deliveries: BTreeMap::new(),
            sending: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The statement that makes the table, if it is not there.
    #[must_use]
    pub const fn schema() -> Statement {
        Statement::new(
            "CREATE TABLE IF NOT EXISTS deliveries (number INTEGER PRIMARY KEY, delivery TEXT NOT NULL)",
        )
    }

    /// The statement whose rows [`Outbox::load`] takes.
    #[must_use]
    pub const fn select() -> Statement {
        Statement::new("SELECT number, delivery FROM deliveries ORDER BY number")
    }

    /// The outbox as it was stored. A row that cannot be read is left out, and is the fault.
    #[must_use]
    pub fn load(batch: &str, rows: &[Row]) -> Loaded<Self> {
        let (mut outbox, mut fault) = (Self::new(batch), None);
        for row in rows {
            match read(row) {
                Ok((number, delivery)) => {
                    outbox.deliveries.insert(number, delivery);
                }
                Err(error) => fault = Some(error),
            }
        }
        Loaded {
            machine: outbox,
            fault,
        }
    }

    /// The statements that store what has changed since they were last taken.
    pub fn take_changes(&mut self) -> Vec<Statement> {
        let changed = std::mem::take(&mut self.changed);
        let statement = |number: u64| match self.deliveries.get(&number) {
            Some(delivery) => {
                Statement::new("INSERT OR REPLACE INTO deliveries (number, delivery) VALUES (?, ?)")
                    .bind(number)
                    .bind(serde_json::to_string(delivery).unwrap_or_default())
            }
            None => Statement::new("DELETE FROM deliveries WHERE number = ?").bind(number),
        };
        changed.into_iter().map(statement).collect()
    }

    /// Adds an event that is to be told at once; to an endpoint that is gone, never.
    pub fn add(&mut self, event: Event, body: Body, now: Timestamp) {
        let number = self.deliveries.last_key_value().map_or(0, |(last, _)| last + 1);
        let state = if self.deliveries.values().any(Delivery::found_gone) {
            State::Failed
        } else {
            State::Waiting { next_at: now }
        };
        let delivery = Delivery {
            // The batch's id may come again, when the first batch of that id has long been forgotten.
            id: format!("msg_{}_{}_{number}", self.batch, now.as_millis()),
            event,
            body,
            created_at: now,
            state,
            attempts: Vec::new(),
        };
        self.deliveries.insert(number, delivery);
        self.changed.insert(number);
        self.forget_old();
    }

    /// Returns the delivery to attempt now, the longest due first; the attempt counts from here. Returns `None` if none is
    /// due or [`AT_ONCE`] are under way. Its changes must be stored before it is sent, and its outcome goes to
    /// [`Outbox::attempted`].
    pub fn due(&mut self, now: Timestamp) -> Option<&Delivery> {
        self.sending.retain(|_, until| now < *until);
        if self.sending.len() >= AT_ONCE {
            return None;
        }
        let waiting = self.waiting().filter(|(next_at, _)| *next_at <= now);
        let (_, number) = waiting.min()?;
        let delivery = self.deliveries.get_mut(&number)?;
        delivery.attempts.push(Attempt {
            at: now,
            code: None,
            problem: Some(NO_OUTCOME.to_owned()),
        });
        delivery.put_off(number, None, now);
        self.sending.insert(number, now + OUTCOME_WAIT);
        self.changed.insert(number);
        Some(delivery)
    }

    /// Records how the attempt that [`Outbox::due`] returned ended: with an answer, or why there was none. Ignores an
    /// outcome that comes after its time is over.
    pub fn attempted(&mut self, id: &str, outcome: Result<Answered, &str>, now: Timestamp) {
        let Some(number) = self.sending.keys().copied().find(|number| self.is(*number, id)) else {
            return;
        };
        self.sending.remove(&number);
        let Some(delivery) = self.deliveries.get_mut(&number) else {
            return;
        };
        self.changed.insert(number);
        if let Some(attempt) = delivery.attempts.last_mut() {
            attempt.code = outcome.ok().map(|answered| answered.code);
            attempt.problem = outcome
                .err()
                .map(|problem| problem.chars().take(MAX_PROBLEM).collect());
        }
        match outcome {
            Ok(Answered { code: 200..=299, .. }) => delivery.state = State::Delivered,
            Ok(Answered { code: GONE, .. }) => self.disable(),
            // Another delivery has found the endpoint gone meanwhile.
            _ if delivery.state == State::Failed => {}
            Ok(Answered { retry_after, .. }) => delivery.put_off(number, retry_after, now),
            Err(_) => delivery.put_off(number, None, now),
        }
    }

    /// When [`Outbox::due`] is next to be called. Returns `None` if nothing waits and nothing is under way.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        let outcomes = self.sending.values().copied().min();
        let next = self.waiting().map(|(next_at, _)| next_at).min();
        match next {
            Some(next) if self.sending.len() < AT_ONCE => {
                Some(outcomes.map_or(next, |until| until.min(next)))
            }
            _ => outcomes,
        }
    }

    /// When the next attempt comes of a delivery that is under way, if the object forgets the one that it makes now.
    #[must_use]
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let under_way = self.sending.keys();
        let next = under_way.filter_map(|number| self.deliveries.get(number)?.next_at());
        next.filter(|next_at| *next_at > now).min()
    }

    /// When the deliveries that nobody sends are due, with their numbers.
    fn waiting(&self) -> impl Iterator<Item = (Timestamp, u64)> {
        let idle = self
            .deliveries
            .iter()
            .filter(|(number, _)| !self.sending.contains_key(number));
        idle.filter_map(|(number, delivery)| Some((delivery.next_at()?, *number)))
    }

    fn is(&self, number: u64, id: &str) -> bool {
        let delivery = self.deliveries.get(&number);
        delivery.is_some_and(|delivery| delivery.id == id)
    }

    /// The deliveries, the newest first.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values().rev()
    }

    fn disable(&mut self) {
        for (number, delivery) in &mut self.deliveries {
            if delivery.next_at().is_some() {
                delivery.state = State::Failed;
                self.changed.insert(*number);
            }
        }
    }

    /// Keeps what waits, what says that the endpoint is gone, and the newest of what has ended.
    fn forget_old(&mut self) {
        let ended = self.deliveries.iter().filter(|(_, delivery)| {
            let has_ended = delivery.next_at().is_none();
            has_ended && !delivery.found_gone()
        });
        let numbers: Vec<u64> = ended.map(|(number, _)| *number).collect();
        for number in numbers.iter().rev().skip(MAX_ENDED) {
            self.deliveries.remove(number);
            self.changed.insert(*number);
        }
    }
}

impl Delivery {
    /// When it is next attempted, if it is.
    #[must_use]
    pub const fn next_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting { next_at } => Some(next_at),
            State::Delivered | State::Failed => None,
        }
    }

    /// After an attempt that failed: another later, or the end.
    fn put_off(&mut self, number: u64, retry_after: Option<Duration>, now: Timestamp) {
        let attempts = self.attempts.len();
        self.state = match SCHEDULE.get(attempts.saturating_sub(1)) {
            Some(delay) => {
                let attempts = u64::try_from(attempts).unwrap_or_default();
                let salt = self.created_at.as_millis() ^ (number << 44) ^ (attempts << 40);
                let own = backoff::jittered(*delay, salt);
                let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                State::Waiting {
                    next_at: now + own.max(asked),
                }
            }
            None => State::Failed,
        };
    }

    fn found_gone(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.code == Some(GONE))
    }
}

fn read(row: &Row) -> Result<(u64, Delivery), String> {
    let number = row.number(0).map_err(|error| error.to_string())?;
    let text = row.text(1).map_err(|error| error.to_string())?;
    let delivery = serde_json::from_str(text).map_err(|error| format!("delivery {number}: {error}"))?;
    Ok((number, delivery))
}

/// How long one attempt may take: the specification says 15 to 30 s.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The delays after the attempts, from the specification's example: three days in all, longer than a weekend.
const SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// An endpoint that asks for more than the longest of our own delays is tried then all the same.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// How many deliveries to an endpoint are under way at once: a slow endpoint does not hold up the others for long, and a
/// weak one is not overrun.
pub const AT_ONCE: usize = 4;

/// How long an outcome is waited for: well past [`TIMEOUT`], so that it only ends attempts that nobody makes any more.
const OUTCOME_WAIT: Duration = Duration::from_secs(60);

/// The status with which an endpoint ends all deliveries.
const GONE: u16 = 410;

/// What stands in an attempt until its outcome is known.
const NO_OUTCOME: &str = "no outcome is known yet";

/// Characters of a problem that are kept.
const MAX_PROBLEM: usize = 200;

/// Deliveries that are kept after their end, for the log.
const MAX_ENDED: usize = 1000;

#[cfg(test)]
mod tests;
