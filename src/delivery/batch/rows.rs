//! The tables of a batch's object.
//!
//! A chunk is two rows: its device lines, written once as they arrive, and how far it is, written with each claim and
//! each settling. What else the batch knows are facts by name, as JSON text.

use super::{Progress, Record, Size};
use crate::delivery::sql::{BadRow, Row, Statement};

/// Makes the tables, if there are none.
#[must_use]
pub fn create() -> [Statement; 3] {
    [
        Statement::new(
            "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
        ),
        // The lines come last, so that SQLite does not read them with the rest.
        Statement::new(
            "CREATE TABLE IF NOT EXISTS chunks \
             (number INTEGER PRIMARY KEY, first INTEGER NOT NULL, pushes INTEGER NOT NULL, lines TEXT NOT NULL)",
        ),
        Statement::new(
            "CREATE TABLE IF NOT EXISTS progress (number INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        ),
    ]
}

/// Tells whether the tables are there: to look is not to make them, so that an id that nobody uploaded stores nothing.
#[must_use]
pub fn exist() -> Statement {
    Statement::new("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'facts'")
}

/// What a batch knows beside its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its [`Record`].
    Record,
    /// The first line of its upload: what every push has.
    Head,
    /// The SHA-256 of its upload's body, in hex.
    Fingerprint,
}

impl Fact {
    const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Head => "head",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// Reads it: one row with its text, or none.
    #[must_use]
    pub fn read(self) -> Statement {
        Statement::new("SELECT text FROM facts WHERE name = ?").bind(self.name())
    }

    /// Writes it.
    #[must_use]
    pub fn write(self, text: String) -> Statement {
        Statement::new("INSERT OR REPLACE INTO facts (name, text) VALUES (?, ?)")
            .bind(self.name())
            .bind(text)
    }
}

/// Writes a chunk's device lines.
#[must_use]
pub fn add_chunk(number: u32, first: u32, pushes: u32, lines: String) -> Statement {
    Statement::new("INSERT INTO chunks (number, first, pushes, lines) VALUES (?, ?, ?, ?)")
        .bind(number)
        .bind(first)
        .bind(pushes)
        .bind(lines)
}

/// Reads a chunk's device lines: one row with the text, or none.
#[must_use]
pub fn lines(number: u32) -> Statement {
    Statement::new("SELECT lines FROM chunks WHERE number = ?").bind(number)
}

/// Reads the sizes of all chunks, in order.
#[must_use]
pub fn sizes() -> Statement {
    Statement::new("SELECT first, pushes FROM chunks ORDER BY number")
}

/// A row of [`sizes`].
///
/// # Errors
/// The row is not as it must be.
pub fn size(row: &Row) -> Result<Size, BadRow> {
    Ok(Size {
        first: u32::try_from(row.number(0)?).unwrap_or(u32::MAX),
        pushes: usize::try_from(row.number(1)?).unwrap_or(usize::MAX),
    })
}

/// Reads how far all chunks are that were ever claimed.
#[must_use]
pub fn all_progress() -> Statement {
    Statement::new("SELECT number, text FROM progress ORDER BY number")
}

/// Reads the chunks that hold any of the pushes from one position to another: number, first push, pushes.
#[must_use]
pub fn chunks_between(first: u64, last: u64) -> Statement {
    Statement::new(
        "SELECT number, first, pushes FROM chunks WHERE first <= ? AND first + pushes > ? ORDER BY number",
    )
    .bind(last)
    .bind(first)
}

/// A row of [`chunks_between`]: the chunk's number and size.
///
/// # Errors
/// The row is not as it must be.
pub fn numbered_size(row: &Row) -> Result<(u32, Size), BadRow> {
    let number = u32::try_from(row.number(0)?).unwrap_or(u32::MAX);
    let size = Size {
        first: u32::try_from(row.number(1)?).unwrap_or(u32::MAX),
        pushes: usize::try_from(row.number(2)?).unwrap_or(usize::MAX),
    };
    Ok((number, size))
}

/// Reads how far one chunk is: one row, or none.
#[must_use]
pub fn one_progress(number: u32) -> Statement {
    Statement::new("SELECT number, text FROM progress WHERE number = ?").bind(number)
}

/// A row of [`all_progress`] and [`one_progress`].
///
/// # Errors
/// What is wrong with it.
pub fn progress(row: &Row) -> Result<(u32, Progress), String> {
    let number = row.number(0).map_err(|error| error.to_string())?;
    let text = row.text(1).map_err(|error| error.to_string())?;
    let progress = serde_json::from_str(text).map_err(|error| format!("progress cannot be read: {error}"))?;
    Ok((u32::try_from(number).unwrap_or(u32::MAX), progress))
}

/// Writes how far a chunk is.
#[must_use]
pub fn write_progress(number: u32, progress: &Progress) -> Statement {
    Statement::new("INSERT OR REPLACE INTO progress (number, text) VALUES (?, ?)")
        .bind(number)
        .bind(serde_json::to_string(progress).unwrap_or_default())
}

/// Writes the batch's own row.
#[must_use]
pub fn write_record(record: &Record) -> Statement {
    Fact::Record.write(serde_json::to_string(record).unwrap_or_default())
}
