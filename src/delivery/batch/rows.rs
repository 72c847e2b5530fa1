//! The tables of a batch's object.
//!
//! A chunk is two rows: its device lines, written once as they arrive, and how far it is, written with each claim and
//! each settling. What else the batch knows are facts by name, as JSON text. One that walks fill has a row for each of
//! them, written after the chunk that it brought: what that says last is what there is.

use super::{Progress, Record, Size, Walk, at};
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

/// Makes the table of walks as well, for a batch that is opened.
#[must_use]
pub fn create_walks() -> Statement {
    // `chunks`: how many the batch had when the row was written.
    Statement::new(
        "CREATE TABLE IF NOT EXISTS walks \
         (walk INTEGER PRIMARY KEY, cursor TEXT NOT NULL, last INTEGER NOT NULL, chunks INTEGER NOT NULL)",
    )
}

/// Reads which tables exist. Reading creates none, so that an id that nobody uploaded stores nothing.
#[must_use]
pub fn exist() -> Statement {
    Statement::new("SELECT name FROM sqlite_master WHERE type = 'table'")
}

/// Whether a table is among the rows of [`exist`].
#[must_use]
pub fn have(rows: &[Row], table: &str) -> bool {
    rows.iter().any(|row| row.text(0) == Ok(table))
}

/// The table of facts, which every batch has.
pub const FACTS: &str = "facts";

/// The table of walks.
pub const WALKS: &str = "walks";

/// The table of deliveries.
pub const DELIVERIES: &str = "deliveries";

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

/// Reads the walks, in order: number, cursor, last, chunks.
#[must_use]
pub fn walks() -> Statement {
    Statement::new("SELECT walk, cursor, last, chunks FROM walks ORDER BY walk")
}

/// The rows of [`walks`], and how many chunks they have brought.
///
/// # Errors
/// A row is not as it must be.
pub fn read_walks(rows: &[Row]) -> Result<(Vec<Walk>, u32), BadRow> {
    let (mut walks, mut chunks) = (Vec::new(), 0);
    for row in rows {
        walks.push(Walk {
            cursor: row.text(1)?.to_owned(),
            last: row.number(2)? != 0,
        });
        chunks = row.number(3)?.max(chunks);
    }
    Ok((walks, u32::try_from(chunks).unwrap_or(u32::MAX)))
}

/// Writes a walk, of a batch with so many chunks.
#[must_use]
pub fn write_walk(number: u32, walk: &Walk, chunks: u32) -> Statement {
    Statement::new("INSERT OR REPLACE INTO walks (walk, cursor, last, chunks) VALUES (?, ?, ?, ?)")
        .bind(number)
        .bind(walk.cursor.as_str())
        .bind(u32::from(walk.last))
        .bind(chunks)
}

/// Deletes the chunks from one on: those that were written without their walk's row, which failed, and come again.
#[must_use]
pub fn drop_chunks(from: u32) -> Statement {
    Statement::new("DELETE FROM chunks WHERE number >= ?").bind(from)
}

/// Writes a chunk's device lines.
#[must_use]
pub fn add_chunk(number: u32, first: u32, pushes: u32, lines: String) -> Statement {
    Statement::new("INSERT OR REPLACE INTO chunks (number, first, pushes, lines) VALUES (?, ?, ?, ?)")
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

/// Reads how far those chunks are that were ever claimed, from one on: [`PAGE`] rows at the most.
#[must_use]
pub fn progress_from(number: u32) -> Statement {
    Statement::new("SELECT number, text FROM progress WHERE number >= ? ORDER BY number LIMIT ?")
        .bind(number)
        .bind(PAGE)
}

/// The chunk from which [`progress_from`] gives the page after this one; none if this is the last.
#[must_use]
pub fn next_page(page: impl ExactSizeIterator<Item = u32>) -> Option<u32> {
    let is_full = page.len() >= at(PAGE);
    page.last().filter(|_| is_full).map(|last| last.saturating_add(1))
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

/// A row of [`progress_from`] and [`one_progress`].
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

/// How many rows are read at once: half a megabyte of chunks with 500 letters each.
pub const PAGE: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::fixture::Database;

    fn with_tables() -> Database {
        let database = Database::new();
        for statement in create() {
            database.execute(&statement);
        }
        database
    }

    #[test]
    fn a_batch_that_was_uploaded_has_no_walks() {
        let database = Database::new();
        assert!(database.execute(&exist()).is_empty());
        let database = with_tables();
        let has_walks = |database: &Database| have(&database.execute(&exist()), WALKS);
        assert!(!has_walks(&database));
        database.execute(&create_walks());
        assert!(has_walks(&database));
    }

    #[test]
    fn walks_are_read_as_they_were_written() {
        let database = with_tables();
        database.execute(&create_walks());
        let walk = |cursor: &str, last| Walk {
            cursor: cursor.to_owned(),
            last,
        };
        let rows = [
            (0, walk("", false), 0),
            (1, walk("", false), 0),
            (1, walk("3.7", true), 5),
            (2, walk("0.9", false), 4),
        ];
        for (number, walk, chunks) in &rows {
            database.execute(&write_walk(*number, walk, *chunks));
        }
        let walks_read = read_walks(&database.execute(&walks())).unwrap();
        let written = vec![walk("", false), walk("3.7", true), walk("0.9", false)];
        assert_eq!(walks_read, (written, 5));
    }

    #[test]
    fn a_chunk_without_its_walks_row_is_not_there() {
        let database = with_tables();
        for number in 0..3 {
            database.execute(&add_chunk(number, number * 2, 2, "a\nb\n".to_owned()));
        }
        database.execute(&drop_chunks(2));
        let sizes: Vec<Size> = database.execute(&sizes()).iter().flat_map(size).collect();
        assert_eq!(sizes.iter().map(|size| size.first).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn progress_is_read_a_page_at_a_time_in_the_order_of_its_chunks() {
        let database = with_tables();
        for number in (0..2 * PAGE + 1).rev() {
            database.execute(&write_progress(number, &Progress::default()));
        }
        let (mut from, mut pages, mut read): (u32, Vec<usize>, Vec<u32>) = (0, Vec::new(), Vec::new());
        loop {
            let rows = database.execute(&progress_from(from));
            pages.push(rows.len());
            let numbers: Vec<u32> = rows.iter().map(|row| progress(row).unwrap().0).collect();
            read.extend(&numbers);
            match next_page(numbers.iter().copied()) {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!(pages, [1000, 1000, 1]);
        assert_eq!(read, (0..2 * PAGE + 1).collect::<Vec<_>>());
    }
}
