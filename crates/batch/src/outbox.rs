//! The outbox of one batch: its webhook deliveries and their attempts.
//!
//! The batch's object stores one row per delivery. An attempt is stored before it is made, with the time of
//! the next attempt as if it had failed. A crash during an attempt therefore costs one attempt and never
//! causes a loop. The receiver recognizes a repeat by its `webhook-id`. At most [`AT_ONCE`] deliveries are in
//! progress. In scope: what is sent when. Out of scope: the bodies.
//!
//! Source: Standard Webhooks 1.0, "Operational considerations": the schedule; only 2xx is a success; 410
//! disables the endpoint.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::webhook::Event;
use apns::time::Timestamp;
use delivery::backoff;
use delivery::machine::Loaded;
use delivery::sql::{Row, Statement};

/// The deliveries of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    batch: String,
    /// The deliveries by number, in the order of their creation.
    deliveries: BTreeMap<u64, Delivery>,
    /// The numbers of the deliveries in progress, and how long the outcome of each is waited for.
    sending: BTreeMap<u64, Timestamp>,
    /// The numbers of the deliveries to store, or to delete if they no longer exist.
    changed: BTreeSet<u64>,
}

/// One event on its way to the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The `webhook-id`, the same in each attempt.
    pub id: String,
    /// The event that it reports.
    pub event: Event,
    /// The body that is sent.
    pub body: Body,
    /// When the event happened, the `timestamp` in its body.
    pub created_at: Timestamp,
    /// Its state.
    pub state: State,
    /// The attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// The body of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// This text.
    Text(String),
    /// The gone devices of these chunks, rendered from the receipts when the delivery is sent. Thousands of
    /// devices are thus stored once, and an attempt reads no other chunk.
    Gone {
        /// The chunks, each with at least one device that is gone.
        chunks: Vec<u32>,
    },
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its next attempt.
    Waiting {
        /// When the next attempt is due.
        next_at: Timestamp,
    },
    /// The endpoint accepted it.
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
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An endpoint's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its HTTP status. Redirects are not followed.
    pub code: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Answered {
    /// Reads an answer that arrived at `now` with this status and `Retry-After`.
    #[must_use]
    pub fn read(code: u16, retry_after: Option<&str>, now: Timestamp) -> Self {
        Self {
            code,
            retry_after: retry_after.and_then(|value| apns::time::retry_after(value, now)),
        }
    }
}

impl Outbox {
    /// Creates an empty outbox.
    #[must_use]
    pub fn new(batch: &str) -> Self {
        Self {
            batch: batch.to_owned(),
            deliveries: BTreeMap::new(),
            sending: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Returns the statement that creates the table if it does not exist.
    #[must_use]
    pub const fn schema() -> Statement {
        Statement::new(
            "CREATE TABLE IF NOT EXISTS deliveries (number INTEGER PRIMARY KEY, delivery TEXT NOT NULL)",
        )
    }

    /// Returns the statement whose rows [`Outbox::load`] takes.
    #[must_use]
    pub const fn select() -> Statement {
        Statement::new("SELECT number, delivery FROM deliveries ORDER BY number")
    }

    /// Loads a stored outbox. Skips a row that cannot be read and reports it as the fault.
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

    /// Returns the statements that store the changes since the last call.
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

    /// Adds an event that is delivered at once. If the endpoint is gone, it is never delivered.
    pub fn add(&mut self, event: Event, body: Body, now: Timestamp) {
        let number = self.deliveries.last_key_value().map_or(0, |(last, _)| last + 1);
        let state = if self.deliveries.values().any(Delivery::found_gone) {
            State::Failed
        } else {
            State::Waiting { next_at: now }
        };
        let delivery = Delivery {
            // The batch's id may be used again after the first batch with this id was deleted.
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

    /// Returns the delivery to attempt now, the longest due first, and counts the attempt.
    ///
    /// Returns `None` if none is due or [`AT_ONCE`] are in progress. Store its changes before it is sent, and
    /// report its outcome to [`Outbox::attempted`].
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

    /// Records the outcome of the attempt that [`Outbox::due`] returned: an answer, or why there was none.
    /// Ignores an outcome that arrives too late.
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
            // Another delivery has found the endpoint gone in the meantime.
            _ if delivery.state == State::Failed => {}
            Ok(Answered { retry_after, .. }) => delivery.put_off(number, retry_after, now),
            Err(_) => delivery.put_off(number, None, now),
        }
    }

    /// Returns when to call [`Outbox::due`] next. Returns `None` if no delivery waits or is in progress.
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

    /// Returns when the next attempt of a delivery in progress is due, if the object forgets the current one.
    #[must_use]
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let under_way = self.sending.keys();
        let next = under_way.filter_map(|number| self.deliveries.get(number)?.next_at());
        next.filter(|next_at| *next_at > now).min()
    }

    /// Returns when the deliveries that are not in progress are due, with their numbers.
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

    /// Iterates over the deliveries, newest first.
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

    /// Deletes old deliveries. Keeps the waiting ones, the newest ended ones, and those that found the endpoint
    /// gone.
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
    /// Returns when it is next attempted, if it waits.
    #[must_use]
    pub const fn next_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting { next_at } => Some(next_at),
            State::Delivered | State::Failed => None,
        }
    }

    /// After a failed attempt, schedules the next one or ends the delivery.
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

/// The time limit of one attempt; the specification says 15 to 30 s.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The delays after each attempt, from the specification's example: three days in total, longer than a
/// weekend.
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

/// The longest `Retry-After` that is obeyed: the longest of our own delays.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The number of deliveries to an endpoint that are in progress at once. A slow endpoint does not delay the
/// others for long, and a weak one is not overloaded.
pub const AT_ONCE: usize = 4;

/// How long an outcome is waited for: well past [`TIMEOUT`], so that it only ends abandoned attempts.
const OUTCOME_WAIT: Duration = Duration::from_secs(60);

/// The status with which an endpoint stops all deliveries.
const GONE: u16 = 410;

/// The problem of an attempt until its outcome is known.
const NO_OUTCOME: &str = "no outcome is known yet";

/// The maximum length of a stored problem, in characters.
const MAX_PROBLEM: usize = 200;

/// The number of ended deliveries that are kept for the log.
const MAX_ENDED: usize = 1000;

#[cfg(test)]
mod tests;
