//! Counts the devices that a scan has not reached when its run is stopped. The run ends without them, and
//! reports their number.
//!
//! Each page is one step of the shard's loop, so that no count blocks the shard for long. The scan's row
//! stores the progress.

use serde::{Deserialize, Serialize};

use super::{AudienceScan, Cursor, Step};
use batch::LeftOut;
use delivery::sql::{self, BadRow, Row, Statement};

/// The progress of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remainder {
    /// The devices up to this position are counted.
    pub to: Cursor,
    /// The number of counted devices in the run's segment and time zones.
    pub devices: u64,
}

impl AudienceScan {
    /// Counts the next page of devices that the scan has not reached. The step has no pushes. The last step
    /// reports the count. `rows` executes a statement.
    ///
    /// Deletes the send log's row of the chunk at the cursor first, because the batch has not accepted that
    /// chunk.
    ///
    /// # Errors
    /// A statement failed, or a row is malformed. The count can be continued.
    pub fn count_remainder(
        &self,
        mut rows: impl FnMut(Statement) -> Result<Vec<Row>, String>,
    ) -> Result<Step, String> {
        let bad = |error: BadRow| error.to_string();
        if self.remainder.is_none() {
            rows(self.record(&[]))?;
        }
        let known = self.remainder.unwrap_or(Remainder {
            to: self.cursor,
            devices: 0,
        });
        let rest = Self {
            cursor: known.to,
            ..self.clone()
        };
        let bound = rows(rest.scan_bound_within(COUNT_COST, MAX_COUNTED))?;
        let bound = sql::only(&bound).and_then(|row| row.number(0)).map_err(bad)?;
        let page = rows(rest.count(bound))?;
        let page = sql::only(&page).and_then(|row| row.number(0)).map_err(bad)?;
        let remainder = Remainder {
            to: Cursor(bound),
            devices: known.devices.saturating_add(page),
        };
        let last = bound >= self.max_id;
        if !last {
            let counted = Self {
                remainder: Some(remainder),
                ..self.clone()
            };
            rows(counted.store())?;
        }
        Ok(Step {
            to: self.cursor,
            last,
            left_out: LeftOut {
                not_reached: if last { remainder.devices } else { 0 },
                ..LeftOut::default()
            },
            remainder: Some(remainder),
            ..Step::default()
        })
    }
}

/// The most that the conditions of a page may cost, in the unit of
/// [`Segment::devices_within`](crate::segment::Segment::devices_within): some tenths of a second.
const COUNT_COST: u32 = 500_000;

/// The most devices per page: those of a whole shard.
const MAX_COUNTED: u32 = 500_000;

#[cfg(test)]
mod tests {
    use super::super::tests::{begun, database, device, scan_of, tagged};
    use super::*;
    use crate::audience::Device;

    fn devices(count: usize) -> Vec<Device> {
        let zone = |number: usize| {
            if number.is_multiple_of(3) {
                "Asia/Tokyo"
            } else {
                ""
            }
        };
        let tag = |number: usize| if number.is_multiple_of(2) { "in" } else { "out" };
        (0..count)
            .map(|number| device(&format!("{number:04}"), zone(number), tag(number)))
            .collect()
    }

    #[test]
    fn the_remainder_of_a_scan_is_what_its_segment_and_its_zones_have_past_its_cursor() {
        let database = database(&devices(30));
        let zones = || Some(vec!["Asia/Tokyo".to_owned()]);
        for (segment, zones, expected) in [
            (None, None, 24),
            (tagged(), None, 12),
            (None, zones(), 8),
            (tagged(), zones(), 4),
        ] {
            let mut scan = begun(
                &database,
                AudienceScan {
                    segment,
                    zones,
                    ..scan_of("r")
                },
            );
            scan.move_to(Cursor(6));
            let step = scan.count_remainder(|statement| Ok(database.execute(&statement)));
            let step = step.unwrap();
            assert_eq!((step.to, step.last, step.pushes), (scan.cursor, true, 0));
            assert_eq!(step.left_out.not_reached, expected, "{scan:?}");
            // A device that comes now is none of the run's.
            assert_eq!(scan.max_id, 30);
        }
    }

    #[test]
    fn a_long_count_goes_on_from_the_scans_row() {
        let database = database(&devices(40));
        let mut scan = begun(&database, scan_of("r"));
        scan.move_to(Cursor(5));
        scan.remainder = Some(Remainder {
            to: Cursor(30),
            devices: 25,
        });
        database.execute(&scan.store());
        let scan = AudienceScan::load(&database.execute(&AudienceScan::all())[0]).unwrap();
        let step = scan.count_remainder(|statement| Ok(database.execute(&statement)));
        assert_eq!(step.unwrap().left_out.not_reached, 35);
    }

    #[test]
    fn a_count_of_many_devices_takes_some_pages() {
        let database = database(&devices(40));
        let scan = begun(&database, scan_of("r"));
        // As if a page had room for 15 devices alone.
        let rows = |statement: Statement| {
            let is_bound = statement.text.starts_with("SELECT CAST");
            let rows = database.execute(&statement);
            Ok(if is_bound {
                vec![Row(vec![15_u64.into()])]
            } else {
                rows
            })
        };
        let step = scan.count_remainder(rows).unwrap();
        assert_eq!((step.last, step.left_out.not_reached), (false, 0));
        let stored = AudienceScan::load(&database.execute(&AudienceScan::all())[0]).unwrap();
        let counted = Remainder {
            to: Cursor(15),
            devices: 15,
        };
        assert_eq!((stored.remainder, step.remainder), (Some(counted), Some(counted)));
        let step = stored.count_remainder(|statement| Ok(database.execute(&statement)));
        assert_eq!(step.unwrap().left_out.not_reached, 40);
    }
}
