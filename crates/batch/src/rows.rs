//! The tables of a batch's object.
//!
//! A chunk has two rows: its device lines, written once when they arrive, and its progress, written with each
//! claim and each report. Details of single pushes are in a third row, which only grows and is not read when
//! a batch is loaded. The rest is stored as facts: JSON text by name. A batch that scans fill also has one
//! row per scan. It is written after the chunk of the scan's step, so the last scan row determines which
//! chunks exist.

use super::{Detail, Progress, Record, ScanProgress, Size, at};
use delivery::sql::{BadRow, Row, Statement};

/// Creates missing tables.
#[must_use]
pub fn create() -> [Statement; 4] {
    [
        Statement::new(
            "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
        ),
        // The lines are the last column, so that SQLite does not read them with the others.
        Statement::new(
            "CREATE TABLE IF NOT EXISTS chunks \
             (number INTEGER PRIMARY KEY, first INTEGER NOT NULL, pushes INTEGER NOT NULL, lines TEXT NOT NULL)",
        ),
        Statement::new(
            "CREATE TABLE IF NOT EXISTS progress (number INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        ),
        Statement::new("CREATE TABLE IF NOT EXISTS details (number INTEGER PRIMARY KEY, text TEXT NOT NULL)"),
    ]
}

/// Creates the table of scans, for a batch that is opened.
#[must_use]
pub fn create_scans() -> Statement {
    // `chunks`: the batch's number of chunks when the row was written.
    Statement::new(
        "CREATE TABLE IF NOT EXISTS scans \
         (scan INTEGER PRIMARY KEY, cursor TEXT NOT NULL, last INTEGER NOT NULL, chunks INTEGER NOT NULL, \
         left_out TEXT NOT NULL)",
    )
}

/// Reads which tables exist. Does not create any, so that a request for an unknown id stores nothing.
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

/// The table of scans.
pub const SCANS: &str = "scans";

/// The table of deliveries.
pub const DELIVERIES: &str = "deliveries";

/// What a batch stores apart from its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its [`Record`].
    Record,
    /// The first line of its upload: what all pushes share.
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

    /// Reads the fact: one row with its text, or none.
    #[must_use]
    pub fn read(self) -> Statement {
        Statement::new("SELECT text FROM facts WHERE name = ?").bind(self.name())
    }

    /// Writes the fact.
    #[must_use]
    pub fn write(self, text: String) -> Statement {
        Statement::new("INSERT OR REPLACE INTO facts (name, text) VALUES (?, ?)")
            .bind(self.name())
            .bind(text)
    }
}

/// Reads the scans, in order: number, cursor, last, chunks, left out.
#[must_use]
pub fn scans() -> Statement {
    Statement::new("SELECT scan, cursor, last, chunks, left_out FROM scans ORDER BY scan")
}

/// Parses the rows of [`scans`]. Returns the scans and the number of chunks that they have appended.
///
/// # Errors
/// Returns what is wrong with a row.
pub fn read_scans(rows: &[Row]) -> Result<(Vec<ScanProgress>, u32), String> {
    let bad = |error: BadRow| error.to_string();
    let (mut scans, mut chunks) = (Vec::new(), 0);
    for row in rows {
        scans.push(ScanProgress {
            cursor: row.text(1).map_err(bad)?.to_owned(),
            last: row.number(2).map_err(bad)? != 0,
            left_out: serde_json::from_str(row.text(4).map_err(bad)?)
                .map_err(|error| format!("what a scan has left out cannot be read: {error}"))?,
        });
        chunks = row.number(3).map_err(bad)?.max(chunks);
    }
    Ok((scans, u32::try_from(chunks).unwrap_or(u32::MAX)))
}

/// Writes a scan of a batch with `chunks` chunks.
#[must_use]
pub fn write_scan(number: u32, scan: &ScanProgress, chunks: u32) -> Statement {
    Statement::new(
        "INSERT OR REPLACE INTO scans (scan, cursor, last, chunks, left_out) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(number)
    .bind(scan.cursor.as_str())
    .bind(u32::from(scan.last))
    .bind(chunks)
    .bind(serde_json::to_string(&scan.left_out).unwrap_or_default())
}

/// Deletes the chunks from `from` on. They were written without their scan's row, whose write failed, and
/// will come again.
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

/// Parses a row of [`sizes`].
///
/// # Errors
/// Returns an error if the row does not have the stored form.
pub fn size(row: &Row) -> Result<Size, BadRow> {
    Ok(Size {
        first: u32::try_from(row.number(0)?).unwrap_or(u32::MAX),
        pushes: usize::try_from(row.number(1)?).unwrap_or(usize::MAX),
    })
}

/// Reads the progress of claimed chunks from `number` on, at most [`PAGE`] rows.
#[must_use]
pub fn progress_from(number: u32) -> Statement {
    Statement::new("SELECT number, text FROM progress WHERE number >= ? ORDER BY number LIMIT ?")
        .bind(number)
        .bind(PAGE)
}

/// Returns the chunk at which [`progress_from`] continues after this page. Returns `None` if this page is the
/// last.
#[must_use]
pub fn next_page(page: impl ExactSizeIterator<Item = u32>) -> Option<u32> {
    let is_full = page.len() >= at(PAGE);
    page.last().filter(|_| is_full).map(|last| last.saturating_add(1))
}

/// Reads the progress of one chunk: one row, or none.
#[must_use]
pub fn one_progress(number: u32) -> Statement {
    Statement::new("SELECT number, text FROM progress WHERE number = ?").bind(number)
}

/// Parses a row of [`progress_from`] or [`one_progress`].
///
/// # Errors
/// Returns what is wrong with it.
pub fn progress(row: &Row) -> Result<(u32, Progress), String> {
    let number = row.number(0).map_err(|error| error.to_string())?;
    let text = row.text(1).map_err(|error| error.to_string())?;
    let progress = serde_json::from_str(text).map_err(|error| format!("progress cannot be read: {error}"))?;
    Ok((u32::try_from(number).unwrap_or(u32::MAX), progress))
}

/// Writes the progress of a chunk.
#[must_use]
pub fn write_progress(number: u32, progress: &Progress) -> Statement {
    Statement::new("INSERT OR REPLACE INTO progress (number, text) VALUES (?, ?)")
        .bind(number)
        .bind(serde_json::to_string(progress).unwrap_or_default())
}

/// Adds details of a chunk's pushes as lines of JSON.
#[must_use]
pub fn add_details(number: u32, details: &[Detail]) -> Statement {
    let lines = details
        .iter()
        .filter_map(|detail| serde_json::to_string(detail).ok());
    let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
    Statement::new(
        "INSERT INTO details (number, text) VALUES (?, ?) \
         ON CONFLICT (number) DO UPDATE SET text = text || excluded.text",
    )
    .bind(number)
    .bind(text)
}

/// Reads a chunk's device lines and its details: one row, or none.
#[must_use]
pub fn contents(number: u32) -> Statement {
    Statement::new("SELECT lines, text FROM chunks LEFT JOIN details USING (number) WHERE number = ?")
        .bind(number)
}

/// What a chunk's receipts need in addition to its progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its device lines.
    pub lines: String,
    /// The details of single pushes.
    pub details: Vec<Detail>,
}

impl Contents {
    /// Parses the rows of [`contents`].
    ///
    /// # Errors
    /// Returns what is wrong with them.
    pub fn read(rows: &[Row]) -> Result<Self, String> {
        let Some(row) = rows.first() else {
            return Ok(Self::default());
        };
        let lines = row.text(0).map_err(|error| error.to_string())?;
        let details = row.maybe_text(1).map_err(|error| error.to_string())?;
        let details: Result<Vec<Detail>, _> = details
            .unwrap_or_default()
            .lines()
            .map(serde_json::from_str)
            .collect();
        Ok(Self {
            lines: lines.to_owned(),
            details: details.map_err(|error| format!("details cannot be read: {error}"))?,
        })
    }
}

/// Writes the batch's record.
#[must_use]
pub fn write_record(record: &Record) -> Statement {
    Fact::Record.write(serde_json::to_string(record).unwrap_or_default())
}

/// The number of rows that are read at once. A row has some 600 bytes, or 60 KB if each of its 500 pushes
/// waits for a different moment. A page is therefore 150 KB, and at most 15 MB.
pub const PAGE: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bit_set::BitSet;
    use crate::{AttemptGroup, LeftOut};
    use apns::time::Timestamp;
    use delivery::sql::fixture::Database;

    fn with_tables() -> Database {
        let database = Database::new();
        for statement in create() {
            database.execute(&statement);
        }
        database
    }

    #[test]
    fn a_batch_that_was_uploaded_has_no_scans() {
        let database = Database::new();
        assert!(database.execute(&exist()).is_empty());
        let database = with_tables();
        let has_scans = |database: &Database| have(&database.execute(&exist()), SCANS);
        assert!(!has_scans(&database));
        database.execute(&create_scans());
        assert!(has_scans(&database));
    }

    #[test]
    fn scans_are_read_as_they_were_written() {
        let database = with_tables();
        database.execute(&create_scans());
        let scan = |cursor: &str, last| ScanProgress {
            cursor: cursor.to_owned(),
            last,
            left_out: LeftOut {
                frequency_cap: u64::from(last),
                ..LeftOut::default()
            },
        };
        let rows = [
            (0, scan("", false), 0),
            (1, scan("", false), 0),
            (1, scan("3.7", true), 5),
            (2, scan("0.9", false), 4),
        ];
        for (number, scan, chunks) in &rows {
            database.execute(&write_scan(*number, scan, *chunks));
        }
        let scans_read = read_scans(&database.execute(&scans())).unwrap();
        let written = vec![scan("", false), scan("3.7", true), scan("0.9", false)];
        assert_eq!(scans_read, (written, 5));
    }

    #[test]
    fn a_chunk_without_its_scans_row_is_not_there() {
        let database = with_tables();
        for number in 0..3 {
            database.execute(&add_chunk(number, number * 2, 2, "a\nb\n".to_owned()));
        }
        database.execute(&drop_chunks(2));
        let sizes: Vec<Size> = database.execute(&sizes()).iter().flat_map(size).collect();
        assert_eq!(sizes.iter().map(|size| size.first).collect::<Vec<_>>(), [0, 2]);
    }

    /// Creates a page of chunks of 500 pushes sent in the sandbox, where each push has an id. `progress`
    /// creates each chunk's progress.
    fn page_of(progress: impl Fn() -> Progress) -> (Database, usize) {
        let database = with_tables();
        let details: Vec<Detail> = (0..500)
            .map(|index| Detail {
                index,
                since: None,
                unique_id: Some("6f9a2f1c-7a0e-8a44-9f0e-0f3f0f9c2c55".to_owned()),
            })
            .collect();
        for number in 0..PAGE {
            database.execute(&write_progress(number, &progress()));
            database.execute(&add_details(number, &details));
        }
        let rows = database.execute(&progress_from(0));
        assert_eq!(rows.len(), at(PAGE));
        let bytes = rows.iter().map(|row| row.text(1).unwrap().len()).sum();
        (database, bytes)
    }

    #[test]
    fn a_page_of_progress_is_small_in_the_sandbox_too() {
        let all_ended = || {
            let mut progress = Progress::default();
            progress.end(BitSet::first(500), 0, 500);
            progress
        };
        let (database, bytes) = page_of(all_ended);
        assert!(bytes < 150_000, "{bytes}");
        let details = database.execute(&Statement::new("SELECT text FROM details WHERE number = 0"));
        assert!(
            details[0].text(0).unwrap().len() > 30_000,
            "that is what loading does not read"
        );
    }

    #[test]
    fn a_page_of_progress_in_which_each_push_waits_for_a_moment_of_its_own_is_bounded() {
        let all_wait = || {
            let mut progress = Progress::default();
            for index in 0..500_u64 {
                let group = AttemptGroup {
                    rounds: 99,
                    attempts: 255,
                    first_at: Some(Timestamp::from_millis(1_795_420_800_000 + index)),
                    indices: std::iter::once(usize::try_from(index).unwrap()).collect(),
                };
                progress.put_back(
                    group,
                    Timestamp::from_millis(1_795_420_900_000 + index),
                    Timestamp::default(),
                );
            }
            progress
        };
        let (_, bytes) = page_of(all_wait);
        assert!(bytes < 15_000_000, "{bytes}");
    }

    #[test]
    fn details_of_a_chunk_are_added_to_those_that_it_has() {
        let database = with_tables();
        let detail = |index| Detail {
            index,
            since: Some(Timestamp::from_millis(7)),
            unique_id: None,
        };
        let read = || Contents::read(&database.execute(&contents(3))).unwrap();
        assert_eq!(read(), Contents::default());
        database.execute(&add_chunk(3, 0, 2, "a\nb\n".to_owned()));
        assert_eq!(read().details, []);
        database.execute(&add_details(3, &[detail(0)]));
        database.execute(&add_details(3, &[detail(1), detail(2)]));
        assert_eq!(read().details, [detail(0), detail(1), detail(2)]);
        assert_eq!(read().lines, "a\nb\n");
    }

    #[test]
    fn details_format_unchanged() {
        // Receipts are rendered from this format.
        let database = with_tables();
        let detail = Detail {
            index: 1,
            since: Some(Timestamp::from_millis(1_700_000_000_000)),
            unique_id: Some("u".to_owned()),
        };
        database.execute(&add_details(0, &[detail]));
        let rows = database.execute(&Statement::new("SELECT text FROM details"));
        let expected = "{\"index\":1,\"since\":1700000000000,\"unique_id\":\"u\"}\n";
        assert_eq!(rows[0].text(0), Ok(expected));
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
        assert_eq!(pages, [250, 250, 1]);
        assert_eq!(read, (0..2 * PAGE + 1).collect::<Vec<_>>());
    }
}
