//! Dead letters: queue messages that no consumer could process, stored for inspection and replay.
//!
//! One Durable Object per deployment stores them. A letter is deleted only after its replay was queued, so no
//! letter is lost in between. A chunk that is queued twice has no effect the second time. In scope: the
//! table, and each command as one statement. Out of scope: the queues, and executing the statements (the
//! Worker).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::registry::Cursor;
use apns::time::Timestamp;
use delivery::sql::{BadRow, MAX_INTEGER, Query, Row, Statement, Value};

/// A command to the dead-letter store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stores a dead message. The same message is stored only once.
    Add(DeadLetter),
    /// Lists the letters, newest first, each with the start of its body.
    List {
        /// The maximum number of letters.
        limit: u32,
        /// Continues after this row, where an earlier listing ended.
        cursor: Option<Cursor>,
    },
    /// Returns one letter with its whole body.
    Read {
        /// Its id.
        id: String,
    },
    /// Removes a letter.
    Drop {
        /// Its id.
        id: String,
    },
    /// Removes letters that arrived before a moment.
    Sweep {
        /// The moment.
        before: Timestamp,
    },
}

impl Command {
    /// Creates the command that removes the letters that have been kept long enough.
    #[must_use]
    pub fn sweep(now: Timestamp) -> Self {
        Self::Sweep { before: now - KEPT }
    }
}

/// A reply of the dead-letter store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// There is no such letter.
    Missing,
    /// The letter.
    DeadLetter(DeadLetter),
    /// The letters.
    Page(Page),
}

/// A dead message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The id that its queue gave it.
    pub id: String,
    /// The queue that it was sent to.
    pub queue: String,
    /// Its body; in a listing, only the start.
    pub body: String,
    /// The original size of the body in bytes.
    pub bytes: u64,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// Why it could not be processed, as far as is known.
    pub problem: String,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The letters, newest first.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` if this is the last.
    pub cursor: Option<Cursor>,
}

impl DeadLetter {
    /// Creates a letter that arrived at `now`. If the body is longer than any queue allows, only its start is
    /// kept.
    #[must_use]
    pub fn new(id: &str, queue: &str, body: &str, problem: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            queue: queue.to_owned(),
            body: start(body, MAX_BODY).to_owned(),
            bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
            received_at: now,
            problem: start(problem, MAX_PROBLEM).to_owned(),
        }
    }

    /// Whether the body is complete, so that it can be queued again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        u64::try_from(self.body.len()) == Ok(self.bytes)
    }
}

impl Query for Command {
    type Reply = Reply;

    fn schema() -> Vec<Statement> {
        vec![
            Statement::new(
                "CREATE TABLE IF NOT EXISTS letters (id TEXT PRIMARY KEY, queue TEXT NOT NULL, body TEXT NOT NULL, \
                 bytes INTEGER NOT NULL, received_at INTEGER NOT NULL, problem TEXT NOT NULL) STRICT",
            ),
            Statement::new("CREATE INDEX IF NOT EXISTS letters_by_time ON letters (received_at, id)"),
        ]
    }

    fn statements(&self, _now: Timestamp) -> Vec<Statement> {
        let statement = match self {
            Self::Add(letter) => Statement::new(ADD)
                .bind(letter.id.as_str())
                .bind(letter.queue.as_str())
                .bind(letter.body.as_str())
                .bind(letter.bytes)
                .bind(letter.received_at)
                .bind(letter.problem.as_str()),
            Self::List { limit, cursor } => {
                let cursor = cursor.as_ref();
                Statement::new(LIST)
                    .bind(SHOWN)
                    .bind(cursor.map_or(Value::Integer(MAX_INTEGER), |cursor| cursor.at.into()))
                    .bind(cursor.map_or("", |cursor| cursor.id.as_str()))
                    .bind(limit.saturating_add(1))
            }
            Self::Read { id } => Statement::new(
                "SELECT id, queue, body, bytes, received_at, problem FROM letters WHERE id = ?",
            )
            .bind(id.as_str()),
            Self::Drop { id } => {
                Statement::new("DELETE FROM letters WHERE id = ? RETURNING id").bind(id.as_str())
            }
            Self::Sweep { before } => {
                Statement::new("DELETE FROM letters WHERE received_at < ?").bind(*before)
            }
        };
        vec![statement]
    }

    fn reply(&self, rows: &[Vec<Row>]) -> Result<Reply, BadRow> {
        let rows = rows.first().map(Vec::as_slice).unwrap_or_default();
        let letters = || rows.iter().map(letter);
        match self {
            Self::Add(_) | Self::Sweep { .. } => Ok(Reply::Done),
            Self::List { limit, .. } => {
                let letters = letters().collect::<Result<_, BadRow>>()?;
                Ok(Reply::Page(Page::cut(letters, *limit)))
            }
            Self::Read { .. } => letters()
                .next()
                .map_or(Ok(Reply::Missing), |letter| letter.map(Reply::DeadLetter)),
            Self::Drop { .. } if rows.is_empty() => Ok(Reply::Missing),
            Self::Drop { .. } => Ok(Reply::Done),
        }
    }
}

impl Page {
    /// Creates a page of the first `limit` letters, with a cursor if there are more.
    fn cut(mut letters: Vec<DeadLetter>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = letters.len() > limit;
        letters.truncate(limit);
        let last = letters.last().filter(|_| more);
        let cursor = last.map(|letter| Cursor {
            at: letter.received_at,
            id: letter.id.clone(),
        });
        Self { letters, cursor }
    }
}

fn letter(row: &Row) -> Result<DeadLetter, BadRow> {
    Ok(DeadLetter {
        id: row.text(0)?.to_owned(),
        queue: row.text(1)?.to_owned(),
        body: row.text(2)?.to_owned(),
        bytes: row.number(3)?,
        received_at: row.moment(4)?,
        problem: row.text(5)?.to_owned(),
    })
}

/// Returns the start of a text, at most `limit` bytes.
fn start(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

const ADD: &str = "INSERT INTO letters (id, queue, body, bytes, received_at, problem) VALUES (?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO NOTHING";

const LIST: &str = "SELECT id, queue, substr(body, 1, ?1), bytes, received_at, problem FROM letters \
     WHERE (received_at, id) < (?2, ?3) ORDER BY received_at DESC, id DESC LIMIT ?4";

/// The platform's limit for a queue message.
pub const MAX_BODY: usize = 128 * 1024;

/// The number of characters of a body that a listing shows. Our messages have some fifty.
const SHOWN: u32 = 1000;

/// The maximum length of a stored problem, in bytes.
const MAX_PROBLEM: usize = 1000;

/// How long dead letters are kept: the longest life of the batch that they may belong to.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
