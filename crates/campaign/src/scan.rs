//! The scan of a shard for a run: it reads each device once, in ascending order of ids, and hands the devices to the run's batch in chunks.
//!
//! To begin, the shell executes [`AudienceScan::highest`], gives the rows to [`AudienceScan::begin`] and stores the scan ([`AudienceScan::store`]).
//! [`ShardLoop`] drives all scans of a shard from there: it asks the batch for the cursor that it has recorded, makes a step
//! ([`AudienceScan::step`]: the next devices, whom of them the cap allows, and the row that says so), hands the step to the batch, and
//! moves to the cursor that the batch answers. That cursor needs not be stored here: a row a chunk would cost as much as the
//! chunk's own. At the end it tells the batch so, and deletes the scan.
//!
//! **Exactly once.** The batch is the truth: it takes a chunk only if that begins at the cursor that it has recorded, and
//! records the chunk's end with it, in one step. The scan's own row says where it began. So a crash at any place
//! repeats at most a chunk that was not taken. Ids only ascend, and are never given twice. A device that is removed and
//! comes again, or comes anew, has an id above the scan's max_id, and is out. What a device is like may change at any time,
//! its time zone too, which is why all zones of a run are scanned at once and not one after the other. So no device is met
//! twice, and one that is there all along, and in the segment, is met once.
//!
//! **Caps.** The row of [`AudienceScan::record`] is there before the chunk is handed over, so that what was sent is counted. It is keyed by
//! the run and by the chunk's start: if the chunk is not taken, what is tried next from there takes the row's place. That the
//! batch is asked first keeps the row of a chunk that was taken from being replaced by one that will not be; it matters to
//! caps alone. A run never counts itself, so that a chunk that is repeated is not capped by its first attempt. When the batch
//! stops the scan, the row of the chunk that it has not taken goes ([`AudienceScan::stop`]). When the run has ended, the batch
//! reports the devices that it has certainly not reached, and their rows are written again ([`Unaccepted`]).

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

use super::audience::{Member, rows};
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

/// A scan. Stored as a row of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceScan {
    /// The batch that the run is; its id is the run's name in all of this.
    pub batch: String,
    /// The campaign.
    pub campaign: String,
    /// For when the run was due.
    pub at: Timestamp,
    /// Which of the batch's scans it is: the shard's number.
    pub number: u32,
    /// Past which device it is.
    pub cursor: Cursor,
    /// The highest id when it began. 0 until then.
    #[serde(default)]
    pub max_id: u64,
    /// Of the devices in these time zones, the empty one standing for none; of all, if there is nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// Of the devices in this segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// How often a device is sent something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// What is sent, in the words of whoever renders it.
    #[serde(default)]
    pub document: Value,
    /// How far the count of the devices has come that it will not come to, once its batch has stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remainder: Option<Remainder>,
}

/// Devices that a scan meets next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The devices, in the order of their ids.
    pub members: Vec<Member>,
    /// Where the scan is past all of them, and past those that are not in the segment.
    pub end: Cursor,
}

impl Cursor {
    /// Past this device.
    #[must_use]
    pub const fn after(member: &Member) -> Self {
        Self(member.id)
    }
}

impl AudienceScan {
    /// Makes the tables of scans and of who was sent what, if they are not there.
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

    /// Fixes the max_id of a scan that begins.
    ///
    /// # Errors
    /// The row is not as it must be.
    pub fn begin(&mut self, highest: &[Row]) -> Result<(), BadRow> {
        self.max_id = sql::only(highest)?.number(0)?;
        Ok(())
    }

    /// Goes on from there.
    pub const fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// Whether it has met all that it can meet.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.cursor.0 >= self.max_id
    }

    /// Finds the id up to which the next page may reach, so that a page takes a bounded time however few devices match: past
    /// at most [`MAX_SCANNED`] devices. One row, for [`AudienceScan::page`] and [`AudienceScan::read`].
    #[must_use]
    pub fn scan_bound(&self) -> Statement {
        self.scan_bound_within(PAGE_COST, MAX_SCANNED)
    }

    /// The same, for a page that looks at `most` devices, or fewer if its conditions cost more than that.
    fn scan_bound_within(&self, cost: u32, most: u32) -> Statement {
        let segment = self.segment.as_ref();
        let devices = segment.map_or(most, |segment| segment.devices_within(cost));
        self.scan_bound_past(usize::try_from(devices.min(most)).unwrap_or(usize::MAX))
    }

    /// The same, past at most so many devices, or one of each zone.
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

    /// Reads the next devices, at most `limit`, from the row of [`AudienceScan::scan_bound`].
    ///
    /// # Errors
    /// The row is not as it must be.
    pub fn page(&self, bound: &[Row], limit: u32) -> Result<Statement, BadRow> {
        let bound = sql::only(bound)?.number(0)?;
        let (condition, mut values) = self.condition(bound);
        values.push(limit.into());
        let (columns, limit) = (rows::COLUMNS, values.len());
        let text = format!("SELECT {columns} FROM devices WHERE {condition} ORDER BY id LIMIT ?{limit}");
        let statement = Statement::composed(text);
        Ok(values.into_iter().fold(statement, Statement::bind))
    }

    /// Counts the devices that the run is for, from the cursor up to there.
    fn count(&self, to: u64) -> Statement {
        let (condition, values) = self.condition(to);
        let statement = Statement::composed(format!("SELECT count(*) FROM devices WHERE {condition}"));
        values.into_iter().fold(statement, Statement::bind)
    }

    /// The condition of devices that the run is for, from the cursor up to there, and its values.
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

    /// The page, from the rows of [`AudienceScan::scan_bound`] and of [`AudienceScan::page`].
    ///
    /// # Errors
    /// A row is not as it must be.
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

    /// Counts the devices of the run's zones from the cursor up to there, whether they are in the segment or not; nothing to
    /// count if there is no segment. As many as [`AudienceScan::scan_bound`] lets a page look at.
    #[must_use]
    pub fn passed(&self, to: Cursor) -> Option<Statement> {
        self.segment.as_ref()?;
        let statement = match &self.zones {
            Some(zones) => Statement::new(PASSED_IN_ZONES).bind(json!(zones).to_string()),
            None => Statement::new(PASSED),
        };
        Some(statement.bind(self.cursor.0).bind(to.0))
    }

    /// Reads what these devices may have been sent before, for [`AudienceScan::allowed`]; nothing to read if there is no cap.
    #[must_use]
    pub fn send_log(&self, members: &[Member]) -> Option<Statement> {
        let cap = self.frequency.as_ref()?;
        let range = (members.first()?.id, members.last()?.id);
        Some(send_log::read(cap, &self.batch, &self.campaign, self.at, range))
    }

    /// The devices that the cap allows, from the rows of [`AudienceScan::send_log`].
    ///
    /// # Errors
    /// A row is not as it must be.
    pub fn allowed(&self, mut members: Vec<Member>, send_log: &[Row]) -> Result<Vec<Member>, BadRow> {
        let Some(cap) = &self.frequency else {
            return Ok(members);
        };
        let counts = send_log::counts(send_log)?;
        members.retain(|member| counts.get(&member.id).is_none_or(|count| *count < cap.max));
        Ok(members)
    }

    /// Writes down whom the chunk that begins at the cursor is for, by their ids in ascending order. To be written before the
    /// chunk is handed over, also if it is for nobody.
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

    /// Reads the scans that are under way, for [`AudienceScan::load`].
    #[must_use]
    pub const fn all() -> Statement {
        Statement::new("SELECT scan FROM scans ORDER BY batch")
    }

    /// The scan in a row of [`AudienceScan::all`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(row: &Row) -> Result<Self, String> {
        let text = row.text(0).map_err(|error| error.to_string())?;
        serde_json::from_str(text).map_err(|error| format!("a scan cannot be read: {error}"))
    }

    /// Deletes a scan that its batch has stopped, and whom the chunk was for that begins at the cursor: the batch has not taken
    /// it.
    #[must_use]
    pub fn stop(&self) -> Vec<Statement> {
        vec![self.record(&[]), Self::delete(&self.batch)]
    }

    /// Deletes a scan that is done; whom it was for stays known.
    #[must_use]
    pub fn delete(batch: &str) -> Statement {
        Statement::new("DELETE FROM scans WHERE batch = ?").bind(batch)
    }

    /// Forgets who was sent what so long ago that no cap counts it.
    #[must_use]
    pub fn sweep(now: Timestamp) -> Statement {
        send_log::sweep(now)
    }
}

const REACH: &str = "SELECT coalesce((SELECT id FROM devices WHERE id > ?2 AND id <= ?3 ORDER BY id LIMIT 1 OFFSET ?1), \
     CAST(?3 AS INTEGER))";

/// The same number of devices of each zone: those of one zone are together in the index, in the order of their ids.
const REACH_IN_ZONES: &str = "SELECT coalesce(min((SELECT id FROM devices \
     WHERE time_zone = zone.value AND id > ?3 AND id <= ?4 ORDER BY id LIMIT 1 OFFSET ?1)), CAST(?4 AS INTEGER)) \
     FROM json_each(?2) AS zone";

const IN_ZONES: &str = " AND id IN (SELECT known.id FROM json_each(?3) AS zone CROSS JOIN devices AS known \
     ON known.time_zone = zone.value WHERE known.id > ?1 AND known.id <= ?2)";

const PASSED: &str = "SELECT count(*) FROM devices WHERE id > ?1 AND id <= ?2";

const PASSED_IN_ZONES: &str = "SELECT count(*) FROM json_each(?1) AS zone CROSS JOIN devices AS known \
     ON known.time_zone = zone.value WHERE known.id > ?2 AND known.id <= ?3";

/// The most devices that are looked at for a page: some ten milliseconds with a simple segment.
const MAX_SCANNED: u32 = 10_000;

/// What the conditions of a page may cost, as [`Segment::devices_within`] counts it: some hundredths of a second.
const PAGE_COST: u32 = 100_000;

#[cfg(test)]
mod shard_loop_tests;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
