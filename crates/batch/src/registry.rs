//! The registry of a credential: which batches it has, for the listing and for pausing all of them.
//!
//! One Durable Object a credential. Each batch records itself here whenever its state changes, so that a record which
//! was lost is made up for by the next; the batch itself stays the truth. In scope: the table, and each command as one
//! statement. Out of scope: the batches, and executing the statements (`shell`).
//!
//! Commands and replies are JSON text between versions of the Worker that may differ for the minutes of a deployment:
//! a field that is added needs a default.

mod cursor;
mod refusal_round;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;
use delivery::sql::{BadRow, MAX_INTEGER, Query, Row, Statement, Value};

pub use cursor::{BadCursor, Cursor};
pub use refusal_round::RefusalRound;

/// What a registry is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A batch as it is now. One that has ended stays as it ended, unless a later one has its id.
    Record(Entry),
    /// A batch is no more.
    Forget {
        /// Its id.
        batch: String,
    },
    /// The batches that match, the newest first.
    List(Filter),
    /// The ids of all batches that have not ended, the oldest first.
    Active,
    /// Forgets batches that have ended before a moment.
    Sweep {
        /// The moment.
        before: Timestamp,
    },
    /// How many batches there are, by app and state.
    Count,
}

/// What a registry answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The batches that match.
    Page(Page),
    /// The ids of the batches that have not ended.
    Active(Vec<String>),
    /// How many batches there are.
    Counted(Vec<Counted>),
}

/// How many batches of an app are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The app.
    pub app: String,
    /// The word for the state.
    pub state: String,
    /// How many.
    pub batches: u64,
}

/// What the registry knows of a batch.
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
    /// How many pushes it has.
    pub pushes: u64,
    /// Who is told about it, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// Which batches are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Of these apps alone; of all if there is nothing here.
    pub apps: Option<Vec<String>>,
    /// In this state.
    pub state: Option<String>,
    /// Created then or later.
    pub since: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
    /// The most of them.
    pub limit: u32,
    /// After the row where an earlier listing ended.
    pub cursor: Option<Cursor>,
}

/// Batches in the order of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The batches, the newest first.
    pub batches: Vec<Entry>,
    /// Where the listing goes on, if there are more.
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
        // No id comes before the empty one: all that was created at `until` lies behind this place.
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
    /// The first `limit` of the listings of several registries together, each of which was asked for as many.
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

    /// The first `limit` of `batches`, with the place where they go on.
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
