//! The table of a shard's devices.
//!
//! One row per device, with tags and attributes as JSON text. Ids are never reused (`AUTOINCREMENT`), which
//! scans rely on. `registered_at` is the time that the caller gave last; until there is one, `added_at` is
//! used in its place. With two columns, one statement can distinguish a device without a registration time
//! from a new one. The empty time zone means none, so that the same index finds devices without a zone.

use serde_json::{Value, json};

use super::device::{Device, StoredDevice};
use apns::time::Timestamp;
use delivery::sql::{BadRow, Row, Statement};

/// Creates the table and its indices if they do not exist.
pub(super) fn create() -> Vec<Statement> {
    vec![
        Statement::new(
            "CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, \
             ref TEXT, locale TEXT, time_zone TEXT NOT NULL, tags TEXT, attributes TEXT, registered_at INTEGER, \
             added_at INTEGER NOT NULL, suspect INTEGER) STRICT",
        ),
        Statement::new("CREATE INDEX IF NOT EXISTS devices_by_zone ON devices (time_zone)"),
        Statement::new("CREATE INDEX IF NOT EXISTS devices_by_ref ON devices (ref) WHERE ref IS NOT NULL"),
        Statement::new(
            "CREATE INDEX IF NOT EXISTS devices_by_suspect ON devices (suspect) WHERE suspect IS NOT NULL",
        ),
    ]
}

/// Counts the new devices, and writes all of them.
pub(super) fn upsert(devices: &[Device], now: Timestamp) -> Vec<Statement> {
    let rows: Vec<Value> = devices.iter().map(columns).collect();
    let rows = json!(rows).to_string();
    vec![
        Statement::new(COUNT_NEW).bind(rows.as_str()),
        Statement::new(UPSERT).bind(rows).bind(now),
    ]
}

/// Encodes a device as [`UPSERT`] reads it.
fn columns(device: &Device) -> Value {
    let tags = (!device.tags.is_empty()).then(|| json!(device.tags).to_string());
    let attributes = (!device.attributes.is_empty()).then(|| json!(device.attributes).to_string());
    json!([
        device.token,
        device.reference,
        device.locale,
        device.time_zone.as_deref().unwrap_or_default(),
        tags,
        attributes,
        device.registered_at,
    ])
}

/// Removes devices by token and by `ref`. Returns a row per removed device.
pub(super) fn remove(tokens: &[String], refs: &[String]) -> Statement {
    Statement::new(
        "DELETE FROM devices WHERE token IN (SELECT value FROM json_each(?)) \
         OR ref IN (SELECT value FROM json_each(?)) RETURNING id",
    )
    .bind(json!(tokens).to_string())
    .bind(json!(refs).to_string())
}

/// Reads the devices after an id, in the order of their ids.
pub(super) fn page(after: u64, limit: u32) -> Statement {
    Statement::composed(format!(
        "SELECT {COLUMNS} FROM devices WHERE id > ? ORDER BY id LIMIT ?"
    ))
    .bind(after)
    .bind(limit)
}

/// Reads the devices with any of these refs, in the order of their ids.
pub(super) fn find(refs: &[String], limit: u32) -> Statement {
    Statement::composed(format!(
        "SELECT {COLUMNS} FROM devices WHERE ref IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?"
    ))
    .bind(json!(refs).to_string())
    .bind(limit)
}

/// Reads the distinct time zones, sorted. It seeks from one zone to the next, so it reads one device per
/// zone.
pub(super) fn zones() -> Statement {
    Statement::new(
        "WITH RECURSIVE zones (name) AS (SELECT min(time_zone) FROM devices UNION ALL \
         SELECT (SELECT min(time_zone) FROM devices WHERE time_zone > name) FROM zones WHERE name IS NOT NULL) \
         SELECT name FROM zones WHERE name IS NOT NULL",
    )
}

/// Returns the first rows, at most `limit`, whose texts have at most `bytes` bytes together. Returns at least
/// one row if there is any.
pub(super) fn within(rows: &[Row], limit: usize, bytes: usize) -> &[Row] {
    let mut size = 0_usize;
    let fit = rows.iter().take(limit).take_while(|row| {
        size = size.saturating_add(row.size());
        size <= bytes
    });
    let fit = fit.count().max(1);
    rows.get(..fit).unwrap_or(rows)
}

/// Reads a device from a row with [`COLUMNS`].
pub(crate) fn member(row: &Row) -> Result<StoredDevice, BadRow> {
    let text = |column| Ok(row.maybe_text(column)?.map(str::to_owned));
    let zone = row.text(4)?;
    Ok(StoredDevice {
        id: row.number(0)?,
        device: Device {
            token: row.text(1)?.to_owned(),
            reference: text(2)?,
            locale: text(3)?,
            time_zone: (!zone.is_empty()).then(|| zone.to_owned()),
            tags: json_text(row, 5, "a JSON array of texts")?,
            attributes: json_text(row, 6, "a JSON object")?,
            registered_at: Some(row.moment(7)?),
        },
    })
}

/// Parses the JSON text in a column. Null is the default value.
fn json_text<T: serde::de::DeserializeOwned + Default>(
    row: &Row,
    column: usize,
    expected: &'static str,
) -> Result<T, BadRow> {
    let bad = |_| BadRow {
        column,
        expected,
        found: "another text",
    };
    row.maybe_text(column)?.map_or_else(
        || Ok(T::default()),
        |text| serde_json::from_str(text).map_err(bad),
    )
}

/// The columns that [`member`] reads.
pub(crate) const COLUMNS: &str =
    "id, token, ref, locale, time_zone, tags, attributes, coalesce(registered_at, added_at)";

const COUNT_NEW: &str = "SELECT count(DISTINCT value ->> 0) FROM json_each(?) \
     WHERE NOT EXISTS (SELECT 1 FROM devices WHERE token = value ->> 0)";

/// Does not write a device that has not changed. Writing a row costs as much as reading a thousand, and
/// callers upload all of their devices to change a few.
const UPSERT: &str = "INSERT INTO devices (token, ref, locale, time_zone, tags, attributes, registered_at, added_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, ?2 \
     FROM json_each(?1) WHERE true \
     ON CONFLICT (token) DO UPDATE SET ref = excluded.ref, locale = excluded.locale, time_zone = excluded.time_zone, \
     tags = excluded.tags, attributes = excluded.attributes, \
     registered_at = coalesce(excluded.registered_at, registered_at), \
     suspect = CASE WHEN excluded.registered_at > coalesce(registered_at, added_at) THEN NULL ELSE suspect END \
     WHERE (excluded.ref, excluded.locale, excluded.time_zone, excluded.tags, excluded.attributes) \
     IS NOT (ref, locale, time_zone, tags, attributes) \
     OR coalesce(excluded.registered_at, registered_at) IS NOT registered_at";
