//! The send log: one row per chunk of a run, with the ids of its devices.
//!
//! Frequency caps count these rows. The key of a row is its run and the cursor at which its chunk begins. So
//! a chunk that is handed over again after a crash replaces the first. A device that was removed and added
//! again is a different device here.

use std::collections::HashMap;
use std::time::Duration;

use super::frequency::{CapScope, Frequency, MAX_PERIOD};
use apns::time::Timestamp;
use delivery::sql::{BadRow, Row, Statement};

/// Creates the table and its index if they do not exist. The index covers everything that decides whether a
/// row is read.
pub(super) fn create() -> Vec<Statement> {
    vec![
        Statement::new(
            "CREATE TABLE IF NOT EXISTS send_log (run TEXT NOT NULL, start TEXT NOT NULL, campaign TEXT NOT NULL, \
             at INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, devices TEXT NOT NULL, \
             PRIMARY KEY (run, start)) STRICT",
        ),
        Statement::new(
            "CREATE INDEX IF NOT EXISTS send_log_by_time ON send_log (at, first, last, campaign, run)",
        ),
    ]
}

/// The key and the campaign of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'w> {
    pub(super) run: &'w str,
    pub(super) campaign: &'w str,
    /// When the run was due.
    pub(super) at: Timestamp,
    /// The cursor at which the chunk begins.
    pub(super) start: &'w str,
}

/// Writes the devices of a chunk, by ascending ids. An empty chunk has no row.
pub(super) fn write(chunk: Chunk<'_>, ids: &[u64]) -> Statement {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return delete(chunk.run, chunk.start);
    };
    Statement::new(
        "INSERT OR REPLACE INTO send_log (run, start, campaign, at, first, last, devices) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(chunk.run)
    .bind(chunk.start)
    .bind(chunk.campaign)
    .bind(chunk.at)
    .bind(*first)
    .bind(*last)
    .bind(coded(ids))
}

/// Rewrites the devices of a chunk, by ascending ids. An empty chunk has no row.
pub(super) fn rewrite(run: &str, start: &str, ids: &[u64]) -> Statement {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return delete(run, start);
    };
    Statement::new("UPDATE send_log SET first = ?, last = ?, devices = ? WHERE run = ? AND start = ?")
        .bind(*first)
        .bind(*last)
        .bind(coded(ids))
        .bind(run)
        .bind(start)
}

fn delete(run: &str, start: &str) -> Statement {
    Statement::new("DELETE FROM send_log WHERE run = ? AND start = ?")
        .bind(run)
        .bind(start)
}

/// Reads the rows that count for the cap of a run that is due at `at` and that may include devices from
/// `first` to `last`.
pub(super) fn read(
    cap: &Frequency,
    run: &str,
    campaign: &str,
    at: Timestamp,
    (first, last): (u64, u64),
) -> Statement {
    let campaign = match cap.of {
        CapScope::Campaign => Some(campaign),
        CapScope::All => None,
    };
    // SQLite reads only the index by time until a row matches. The `+` keeps it from choosing the primary key
    // for its order.
    Statement::new(
        "SELECT run, first, devices FROM send_log WHERE at > ?1 AND first <= ?2 AND last >= ?3 AND run <> ?4 \
         AND (?5 IS NULL OR campaign = ?5) ORDER BY +run",
    )
    .bind(at - cap.period())
    .bind(last)
    .bind(first)
    .bind(run)
    .bind(campaign)
}

/// Counts the runs per device, from the rows of [`read`].
pub(super) fn counts(rows: &[Row]) -> Result<HashMap<u64, u32>, BadRow> {
    // Stores the last counted run per device, because two chunks of a run may include the same device. That
    // happens if the device's properties changed between two attempts at the first chunk.
    let mut counts: HashMap<u64, (u32, &str)> = HashMap::new();
    for row in rows {
        let run = row.text(0)?;
        for id in decoded(row.number(1)?, row.text(2)?) {
            let (count, last) = counts.entry(id).or_default();
            if *last != run {
                (*count, *last) = (count.saturating_add(1), run);
            }
        }
    }
    Ok(counts.into_iter().map(|(id, (count, _))| (id, count)).collect())
}

/// Deletes rows that no cap counts any more.
pub(super) fn sweep(now: Timestamp) -> Statement {
    Statement::new("DELETE FROM send_log WHERE at < ?").bind(now - KEPT)
}

/// Encodes the differences between consecutive ids. Most of them have one digit.
fn coded(ids: &[u64]) -> String {
    let mut text = String::with_capacity(ids.len() * 2);
    for pair in ids.windows(2) {
        let [before, id] = pair else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&id.saturating_sub(*before).to_string());
    }
    text
}

/// Decodes the ids that [`coded`] encoded. `first` is the first id.
pub(super) fn decoded(first: u64, text: &str) -> impl Iterator<Item = u64> {
    let distances = text
        .split(',')
        .filter_map(|distance| distance.parse::<u64>().ok());
    let following = distances.scan(first, |id, distance| {
        *id = id.saturating_add(distance);
        Some(*id)
    });
    std::iter::once(first).chain(following)
}

/// How long rows are kept: a day longer than the longest period of a cap, for late runs.
const KEPT: Duration = Duration::from_secs(MAX_PERIOD.as_secs() + 24 * 60 * 60);
