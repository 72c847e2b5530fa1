//! The registry of a credential: a list of its batches, for listings and for pausing all of them.
//!
//! One Durable Object per credential. Each batch records itself here whenever its state changes, so the next
//! record replaces a lost one. The batch itself holds the truth. In scope: the table, and each command as one
//! statement. Out of scope: the batches, and executing the statements (the Worker).
//!
//! Commands and replies are JSON text. During a deployment they pass between two versions of the Worker, so a
//! new field needs a default.

mod cursor;
mod refusal_round;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;
use delivery::sql::{BadRow, MAX_INTEGER, Query, Row, Statement, Value};

pub use cursor::{BadCursor, Cursor};
pub use refusal_round::RefusalRound;

/// A command to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Records the current state of a batch. An ended batch is not changed, unless a later one has its id.
    Record(Entry),
    /// Removes a batch.
    Forget {
        /// Its id.
        batch: String,
    },
    /// Lists the matching batches, newest first.
    List(Filter),
    /// Returns the ids of all batches that have not ended, oldest first.
    Active,
    /// Removes batches that ended before a moment.
    Sweep {
        /// The moment.
        before: Timestamp,
    },
    /// Counts the batches by app and state.
    Count,
}

/// A reply of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The batches that match.
    Page(Page),
    /// The ids of the batches that have not ended.
    Active(Vec<String>),
    /// The numbers of batches.
    Counted(Vec<Counted>),
}

/// The number of an app's batches in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The app.
    pub app: String,
    /// The word for the state.
    pub state: String,
    /// The number of batches.
    pub batches: u64,
}

/// The registry's entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The batch's id.
    pub id: String,
    /// Its app.
    pub app: String,
    /// The word for its state.
    pub state: String,
    /// When its upload began.
    pub created_at: Timestamp,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The number of its pushes.
    pub pushes: u64,
    /// Its webhook, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// The filter of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Filters by app. `None` matches every app.
    pub apps: Option<Vec<String>>,
    /// Filters by state. `None` matches every state.
    pub state: Option<String>,
    /// Only batches created at or after this moment.
    pub since: Option<Timestamp>,
    /// Only batches created before this moment.
    pub until: Option<Timestamp>,
    /// The maximum number of batches.
    pub limit: u32,
    /// Continues after this row, where an earlier listing ended.
    pub cursor: Option<Cursor>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The batches, newest first.
    pub batches: Vec<Entry>,
    /// Where the next page begins; `None` if this is the last.
    pub cursor: Option<Cursor>,
}

impl Query for Command {
    type Reply = Reply;

    fn schema() -> Vec<Statement> {
        vec![
            Statement::new(
                "CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, app TEXT NOT NULL, state TEXT NOT NULL, \
                 created_at INTEGER NOT NULL, ended_at INTEGER, pushes INTEGER NOT NULL, webhook TEXT) STRICT",
            ),
            Statement::new("CREATE INDEX IF NOT EXISTS batches_by_time ON batches (created_at, id)"),
        ]
    }

    fn statements(&self, _now: Timestamp) -> Vec<Statement> {
        let statement = match self {
            Self::Record(entry) => Statement::new(RECORD)
                .bind(entry.id.as_str())
                .bind(entry.app.as_str())
                .bind(entry.state.as_str())
                .bind(entry.created_at)
                .bind(entry.ended_at)
                .bind(entry.pushes)
                .bind(entry.webhook.as_deref()),
            Self::Forget { batch } => Statement::new("DELETE FROM batches WHERE id = ?").bind(batch.as_str()),
            Self::List(filter) => filter.statement(),
            Self::Active => {
                Statement::new("SELECT id FROM batches WHERE ended_at IS NULL ORDER BY created_at, id")
            }
            Self::Sweep { before } => Statement::new("DELETE FROM batches WHERE ended_at < ?").bind(*before),
            Self::Count => Statement::new(
                "SELECT app, state, COUNT(*) FROM batches GROUP BY app, state ORDER BY app, state",
            ),
        };
        vec![statement]
    }

    fn reply(&self, rows: &[Vec<Row>]) -> Result<Reply, BadRow> {
        let rows = rows.first().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Record(_) | Self::Forget { .. } | Self::Sweep { .. } => Ok(Reply::Done),
            Self::List(filter) => {
                let batches = rows.iter().map(entry).collect::<Result<_, BadRow>>()?;
                Ok(Reply::Page(Page::cut(batches, filter.limit)))
            }
            Self::Active => {
                let ids = rows.iter().map(|row| row.text(0).map(str::to_owned));
                Ok(Reply::Active(ids.collect::<Result<_, BadRow>>()?))
            }
            Self::Count => {
                let counted = rows.iter().map(counted);
                Ok(Reply::Counted(counted.collect::<Result<_, BadRow>>()?))
            }
        }
    }
}

impl Filter {
    fn statement(&self) -> Statement {
        let apps = self.apps.as_ref().map(|apps| serde_json::json!(apps).to_string());
        // The empty id sorts first, so everything created at `until` comes after this position.
        let end = self.until.map(|until| Cursor {
            at: until,
            id: String::new(),
        });
        let start = self.cursor.iter().chain(&end).min();
        Statement::new(LIST)
            .bind(apps)
            .bind(self.state.as_deref())
            .bind(self.since.unwrap_or_default())
            .bind(start.map_or(Value::Integer(MAX_INTEGER), |start| start.at.into()))
            .bind(start.map_or("", |start| start.id.as_str()))
            .bind(self.limit.saturating_add(1))
    }
}

impl Page {
    /// Merges the pages of several registries into one of `limit` batches. Each registry must have been asked
    /// for as many.
    #[must_use]
    pub fn merge(pages: Vec<Self>, limit: u32) -> Self {
        let more = pages.iter().any(|page| page.cursor.is_some());
        let mut batches: Vec<Entry> = pages.into_iter().flat_map(|page| page.batches).collect();
        batches.sort_by_key(|entry| std::cmp::Reverse(entry.place()));
        let mut page = Self::cut(batches, limit);
        if more {
            page.cursor = page.batches.last().map(Entry::place);
        }
        page
    }

    /// Creates a page of the first `limit` batches, with a cursor if there are more.
    fn cut(mut batches: Vec<Entry>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = batches.len() > limit;
        batches.truncate(limit);
        let cursor = batches.last().filter(|_| more).map(Entry::place);
        Self { batches, cursor }
    }
}

impl Entry {
    fn place(&self) -> Cursor {
        Cursor {
            at: self.created_at,
            id: self.id.clone(),
        }
    }
}

fn entry(row: &Row) -> Result<Entry, BadRow> {
    Ok(Entry {
        id: row.text(0)?.to_owned(),
        app: row.text(1)?.to_owned(),
        state: row.text(2)?.to_owned(),
        created_at: row.moment(3)?,
        ended_at: row.maybe_moment(4)?,
        pushes: row.number(5)?,
        webhook: row.maybe_text(6)?.map(str::to_owned),
    })
}

fn counted(row: &Row) -> Result<Counted, BadRow> {
    Ok(Counted {
        app: row.text(0)?.to_owned(),
        state: row.text(1)?.to_owned(),
        batches: row.number(2)?,
    })
}

const RECORD: &str = "INSERT INTO batches (id, app, state, created_at, ended_at, pushes, webhook) \
     VALUES (?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO UPDATE SET app = excluded.app, state = excluded.state, created_at = excluded.created_at, \
     ended_at = excluded.ended_at, pushes = excluded.pushes, webhook = excluded.webhook \
     WHERE batches.ended_at IS NULL OR excluded.created_at > batches.created_at";

const LIST: &str = "SELECT id, app, state, created_at, ended_at, pushes, webhook FROM batches \
     WHERE (?1 IS NULL OR app IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state = ?2) \
     AND created_at >= ?3 AND (created_at, id) < (?4, ?5) \
     ORDER BY created_at DESC, id DESC LIMIT ?6";

#[cfg(test)]
mod tests;
