//! The dead letters: queue messages that no consumer could read or carry out, kept to be looked at and replayed.
//!
//! One Durable Object for the deployment. A letter stays until its replay has been queued and it is dropped, so that none
//! is lost in between; a chunk that is queued twice does nothing the second time. In scope: the table, and each command
//! as one statement. Out of scope: the queues, and executing the statements (`shell`).

use serde::{Deserialize, Serialize};

use super::registry::Cursor;
use apns::time::Timestamp;
use delivery::sql::{BadRow, MAX_INTEGER, Query, Row, Statement, Value};

/// What the keeper of dead letters is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A message that is dead; twice the same is kept once.
    Bury(Letter),
    /// The letters, the newest first, each with the start of its body.
    List {
        /// The most of them.
        limit: u32,
        /// After the row where an earlier listing ended.
        cursor: Option<Cursor>,
    },
    /// One letter with its whole body.
    Read {
        /// Its id.
        id: String,
    },
    /// Removes a letter.
    Drop {
        /// Its id.
        id: String,
    },
    /// Removes letters that came before a moment.
    Sweep {
        /// The moment.
        before: Timestamp,
    },
}

/// What the keeper of dead letters answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// There is no such letter.
    Missing,
    /// The letter.
    Letter(Letter),
    /// The letters.
    Page(Page),
}

/// A message that is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The id that its queue gave it.
    pub id: String,
    /// The queue that it is for.
    pub queue: String,
    /// Its body; in a listing, the start of it.
    pub body: String,
    /// How many bytes the body had when it came.
    pub bytes: u64,
    /// When it came here.
    pub received_at: Timestamp,
    /// Why it is dead, as far as that is known.
    pub problem: String,
}

/// Letters in the order of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The letters, the newest first.
    pub letters: Vec<Letter>,
    /// Where the listing goes on, if there are more.
    pub cursor: Option<Cursor>,
}

impl Letter {
    /// A letter that came at `now`. Of a body longer than any queue takes, the start is kept.
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

    /// Whether the body is there as it came, so that it can be queued again.
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
            Self::Bury(letter) => Statement::new(BURY)
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
            Self::Bury(_) | Self::Sweep { .. } => Ok(Reply::Done),
            Self::List { limit, .. } => {
                let letters = letters().collect::<Result<_, BadRow>>()?;
                Ok(Reply::Page(Page::cut(letters, *limit)))
            }
            Self::Read { .. } => letters()
                .next()
                .map_or(Ok(Reply::Missing), |letter| letter.map(Reply::Letter)),
            Self::Drop { .. } if rows.is_empty() => Ok(Reply::Missing),
            Self::Drop { .. } => Ok(Reply::Done),
        }
    }
}

impl Page {
    /// The first `limit` of `letters`, with the place where they go on.
    fn cut(mut letters: Vec<Letter>, limit: u32) -> Self {
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

fn letter(row: &Row) -> Result<Letter, BadRow> {
    Ok(Letter {
        id: row.text(0)?.to_owned(),
        queue: row.text(1)?.to_owned(),
        body: row.text(2)?.to_owned(),
        bytes: row.number(3)?,
        received_at: row.moment(4)?,
        problem: row.text(5)?.to_owned(),
    })
}

/// The start of a text, at most `limit` bytes of it.
fn start(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

const BURY: &str = "INSERT INTO letters (id, queue, body, bytes, received_at, problem) VALUES (?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO NOTHING";

const LIST: &str = "SELECT id, queue, substr(body, 1, ?1), bytes, received_at, problem FROM letters \
     WHERE (received_at, id) < (?2, ?3) ORDER BY received_at DESC, id DESC LIMIT ?4";

/// The platform's limit of a queue message.
pub const MAX_BODY: usize = 128 * 1024;

/// Characters of a body that a listing shows: a message of ours has some fifty.
const SHOWN: u32 = 1000;

/// Bytes of a problem that are kept.
const MAX_PROBLEM: usize = 1000;

#[cfg(test)]
mod tests;
