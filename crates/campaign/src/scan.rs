//! The scan of one shard for one run. It reads each device once, in ascending order of ids, and hands the
//! devices to the run's batch in chunks.
//!
//! To begin, the Worker executes [`AudienceScan::highest`], passes the rows to [`AudienceScan::begin`] and
//! stores the scan ([`AudienceScan::store`]). From then on [`ShardLoop`] drives all scans of a shard. It asks
//! the batch for the cursor that the batch has recorded. It makes a step ([`AudienceScan::step`]): it reads
//! the next devices, applies the cap, and records the devices in a row. It hands the step to the batch, and
//! moves to the cursor in the batch's answer. The cursor is not stored here: a row per chunk would cost as
//! much as the chunk's own. At the end it reports the last step to the batch, and deletes the scan.
//!
//! **Exactly once.** The batch is the truth. It accepts a chunk only if the chunk begins at the recorded
//! cursor, and records the chunk and its end together. The scan's own row stores where the scan began. So a
//! crash at any point repeats at most a chunk that was not accepted. Ids only grow and are never reused. A
//! device that is added during the scan, or removed and added again, has an id above `max_id` and is not part
//! of the scan. A device's properties may change at any time, including its time zone, so all zones of a run
//! are scanned at once. So no device is sent to twice, and a device that is in the audience and in the
//! segment all the time is sent to once.
//!
//! **Caps.** The row of [`AudienceScan::record`] is written before the chunk is handed over, so that every
//! push is counted. Its key is the run and the chunk's start: if the chunk is not accepted, the next attempt
//! replaces the row. The batch is asked for its cursor first. Otherwise a chunk that will be rejected could
//! replace the row of an accepted one. A run never counts itself, so a repeated chunk is not capped by its
//! first attempt. When the batch stops the scan, the row of the chunk that was not accepted is deleted
//! ([`AudienceScan::stop`]). When the run has ended, the batch reports the devices that it has certainly not
//! reached, and their rows are rewritten ([`Unaccepted`]).

mod cursor;
mod frequency;
mod judge;
mod remainder;
mod send_log;
mod shard_loop;
mod step;
mod unaccepted;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audience::{StoredDevice, rows};
use super::segment::Segment;
use apns::time::Timestamp;
use delivery::sql::{self, BadRow, Row, Statement};

pub use cursor::{BadCursor, Cursor};
pub use frequency::{CapScope, Frequency};
pub use judge::{Judge, Judged};
pub use remainder::Remainder;
pub use shard_loop::{Effect, Event, Notice, ShardLoop};
pub use step::{Rendered, Step};
pub use unaccepted::Unaccepted;

use send_log::Chunk;

/// A scan. Stored as a JSON row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceScan {
    /// The run's batch. Its id identifies the run here.
    pub batch: String,
    /// The campaign.
    pub campaign: String,
    /// When the run was due.
    pub at: Timestamp,
    /// The number of the shard, which identifies the scan within the batch.
    pub number: u32,
    /// The position of the scan.
    pub cursor: Cursor,
    /// The highest id when the scan began. 0 before.
    #[serde(default)]
    pub max_id: u64,
    /// Only devices in these time zones, where the empty one means none. `None` if all devices are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// Only devices in this segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// The frequency cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// What is sent. Its format is up to the renderer.
    #[serde(default)]
    pub document: Value,
    /// The progress of counting the devices that the scan has not reached, after its batch has stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remainder: Option<Remainder>,
}

/// The next devices of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The devices, in the order of their ids.
    pub members: Vec<StoredDevice>,
    /// The position after these devices, and after those before the bound that are not in the segment.
    pub end: Cursor,
}

impl Cursor {
    /// The position after this device.
    #[must_use]
    pub const fn after(member: &StoredDevice) -> Self {
        Self(member.id)
    }
}

impl AudienceScan {
    /// Creates the tables of scans and of the send log if they do not exist.
    pub(super) fn schema() -> Vec<Statement> {
        let scans = "CREATE TABLE IF NOT EXISTS scans (batch TEXT PRIMARY KEY, scan TEXT NOT NULL) STRICT";
        let mut statements = vec![Statement::new(scans)];
        statements.extend(send_log::create());
        statements
    }

    /// Reads the highest id of the shard, for [`AudienceScan::begin`].
    #[must_use]
    pub const fn highest() -> Statement {
        Statement::new("SELECT coalesce(max(id), 0) FROM devices")
    }

    /// Sets the `max_id` of a scan that begins.
    ///
    /// # Errors
    /// The row is malformed.
    pub fn begin(&mut self, highest: &[Row]) -> Result<(), BadRow> {
        self.max_id = sql::only(highest)?.number(0)?;
        Ok(())
    }

    /// Sets the position.
    pub const fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// Whether the scan has passed its last device.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.cursor.0 >= self.max_id
    }

    /// Finds the id up to which the next page reads: past at most [`MAX_SCANNED`] devices, so that a page
    /// takes bounded time however few devices match.
    ///
    /// Returns one row, for [`AudienceScan::page`] and [`AudienceScan::read`].
    #[must_use]
    pub fn scan_bound(&self) -> Statement {
        self.scan_bound_within(PAGE_COST, MAX_SCANNED)
    }

    /// Does the same for a page of at most `most` devices, or of fewer if the conditions would cost more than
    /// `cost`.
    fn scan_bound_within(&self, cost: u32, most: u32) -> Statement {
        let segment = self.segment.as_ref();
        let devices = segment.map_or(most, |segment| segment.devices_within(cost));
        self.scan_bound_past(usize::try_from(devices.min(most)).unwrap_or(usize::MAX))
    }

    /// Does the same for at most `scanned` devices, or one per zone.
    fn scan_bound_past(&self, scanned: usize) -> Statement {
        let scanned = u32::try_from(scanned).unwrap_or(u32::MAX);
        let statement = match (&self.zones, &self.segment) {
            (Some(zones), _) => {
                let zone_count = u32::try_from(zones.len()).unwrap_or(u32::MAX);
                let each = scanned.checked_div(zone_count).unwrap_or_default();
                Statement::new(REACH_IN_ZONES)
                    .bind(each)
                    .bind(json!(zones).to_string())
            }
            (None, Some(_)) => Statement::new(REACH).bind(scanned),
            (None, None) => return Statement::new("SELECT CAST(? AS INTEGER)").bind(self.max_id),
        };
        statement.bind(self.cursor.0).bind(self.max_id)
    }

    /// Reads the next devices, at most `limit`. `bound` is the row of [`AudienceScan::scan_bound`].
    ///
    /// # Errors
    /// The row is malformed.
    pub fn page(&self, bound: &[Row], limit: u32) -> Result<Statement, BadRow> {
        let bound = sql::only(bound)?.number(0)?;
        let (condition, mut values) = self.condition(bound);
        values.push(limit.into());
        let (columns, limit) = (rows::COLUMNS, values.len());
        let text = format!("SELECT {columns} FROM devices WHERE {condition} ORDER BY id LIMIT ?{limit}");
        let statement = Statement::composed(text);
        Ok(values.into_iter().fold(statement, Statement::bind))
    }

    /// Counts the run's devices after the cursor and up to `to`.
    fn count(&self, to: u64) -> Statement {
        let (condition, values) = self.condition(to);
        let statement = Statement::composed(format!("SELECT count(*) FROM devices WHERE {condition}"));
        values.into_iter().fold(statement, Statement::bind)
    }

    /// Returns the SQL condition for the run's devices after the cursor and up to `to`, and its values.
    fn condition(&self, to: u64) -> (String, Vec<sql::Value>) {
        let mut text = "id > ?1 AND id <= ?2".to_owned();
        let mut values: Vec<sql::Value> = vec![self.cursor.0.into(), to.into()];
        if let Some(zones) = &self.zones {
            values.push(json!(zones).to_string().into());
            text.push_str(IN_ZONES);
        }
        if let Some(segment) = &self.segment {
            let (condition, value) = segment.condition(values.len() + 1);
            values.extend(value);
            text.push_str(" AND ");
            text.push_str(&condition);
        }
        (text, values)
    }

    /// Builds the page from the rows of [`AudienceScan::scan_bound`] and [`AudienceScan::page`].
    ///
    /// # Errors
    /// A row is malformed.
    pub fn read(&self, bound: &[Row], found: &[Row], limit: u32) -> Result<Page, BadRow> {
        let bound = sql::only(bound)?.number(0)?;
        let members = found.iter().map(rows::member).collect::<Result<Vec<_>, _>>()?;
        let is_full = u32::try_from(members.len()).is_ok_and(|found| found >= limit);
        let end = members
            .last()
            .filter(|_| is_full)
            .map_or(Cursor(bound), Cursor::after);
        Ok(Page { members, end })
    }

    /// Counts the devices in the run's zones after the cursor and up to `to`, whether they are in the segment
    /// or not.
    ///
    /// Returns `None` if there is no segment. These are at most the devices before
    /// [`AudienceScan::scan_bound`].
    #[must_use]
    pub fn passed(&self, to: Cursor) -> Option<Statement> {
        self.segment.as_ref()?;
        let statement = match &self.zones {
            Some(zones) => Statement::new(PASSED_IN_ZONES).bind(json!(zones).to_string()),
            None => Statement::new(PASSED),
        };
        Some(statement.bind(self.cursor.0).bind(to.0))
    }

    /// Reads earlier sends to these devices, for [`AudienceScan::allowed`]. Returns `None` if there is no
    /// cap.
    #[must_use]
    pub fn send_log(&self, members: &[StoredDevice]) -> Option<Statement> {
        let cap = self.frequency.as_ref()?;
        let range = (members.first()?.id, members.last()?.id);
        Some(send_log::read(cap, &self.batch, &self.campaign, self.at, range))
    }

    /// Returns the devices that the cap allows, from the rows of [`AudienceScan::send_log`].
    ///
    /// # Errors
    /// A row is malformed.
    pub fn allowed(
        &self,
        mut members: Vec<StoredDevice>,
        send_log: &[Row],
    ) -> Result<Vec<StoredDevice>, BadRow> {
        let Some(cap) = &self.frequency else {
            return Ok(members);
        };
        let counts = send_log::counts(send_log)?;
        members.retain(|member| counts.get(&member.id).is_none_or(|count| *count < cap.max));
        Ok(members)
    }

    /// Records the devices of the chunk that begins at the cursor, by their ascending ids.
    ///
    /// Must be executed before the chunk is handed over, even if the chunk is empty: it deletes the row of an
    /// earlier attempt.
    #[must_use]
    pub fn record(&self, ids: &[u64]) -> Statement {
        let chunk = Chunk {
            run: &self.batch,
            campaign: &self.campaign,
            at: self.at,
            start: &self.cursor.to_string(),
        };
        send_log::write(chunk, ids)
    }

    /// Stores the scan.
    #[must_use]
    pub fn store(&self) -> Statement {
        Statement::new("INSERT OR REPLACE INTO scans (batch, scan) VALUES (?, ?)")
            .bind(self.batch.as_str())
            .bind(serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads the scans in progress, for [`AudienceScan::load`].
    #[must_use]
    pub const fn all() -> Statement {
        Statement::new("SELECT scan FROM scans ORDER BY batch")
    }

    /// Reads a scan from a row of [`AudienceScan::all`].
    ///
    /// # Errors
    /// The row is malformed.
    pub fn load(row: &Row) -> Result<Self, String> {
        let text = row.text(0).map_err(|error| error.to_string())?;
        serde_json::from_str(text).map_err(|error| format!("a scan cannot be read: {error}"))
    }

    /// Deletes a scan that its batch has stopped. Also deletes the send log's row of the chunk at the cursor,
    /// because the batch has not accepted that chunk.
    #[must_use]
    pub fn stop(&self) -> Vec<Statement> {
        vec![self.record(&[]), Self::delete(&self.batch)]
    }

    /// Deletes a scan that is done. Its rows in the send log stay.
    #[must_use]
    pub fn delete(batch: &str) -> Statement {
        Statement::new("DELETE FROM scans WHERE batch = ?").bind(batch)
    }

    /// Deletes rows of the send log that no cap counts any more.
    #[must_use]
    pub fn sweep(now: Timestamp) -> Statement {
        send_log::sweep(now)
    }
}

const REACH: &str = "SELECT coalesce((SELECT id FROM devices WHERE id > ?2 AND id <= ?3 ORDER BY id LIMIT 1 OFFSET ?1), \
     CAST(?3 AS INTEGER))";

/// Reads the same number of devices per zone. The index has the devices of a zone together, in the order of
/// their ids.
const REACH_IN_ZONES: &str = "SELECT coalesce(min((SELECT id FROM devices \
     WHERE time_zone = zone.value AND id > ?3 AND id <= ?4 ORDER BY id LIMIT 1 OFFSET ?1)), CAST(?4 AS INTEGER)) \
     FROM json_each(?2) AS zone";

const IN_ZONES: &str = " AND id IN (SELECT known.id FROM json_each(?3) AS zone CROSS JOIN devices AS known \
     ON known.time_zone = zone.value WHERE known.id > ?1 AND known.id <= ?2)";

const PASSED: &str = "SELECT count(*) FROM devices WHERE id > ?1 AND id <= ?2";

const PASSED_IN_ZONES: &str = "SELECT count(*) FROM json_each(?1) AS zone CROSS JOIN devices AS known \
     ON known.time_zone = zone.value WHERE known.id > ?2 AND known.id <= ?3";

/// The most devices that a page reads: some ten milliseconds with a simple segment.
const MAX_SCANNED: u32 = 10_000;

/// The most that the conditions of a page may cost, in the unit of [`Segment::devices_within`]: some
/// hundredths of a second.
const PAGE_COST: u32 = 100_000;

#[cfg(test)]
mod shard_loop_tests;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
