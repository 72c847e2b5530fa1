//! One step of a scan: the next devices, those of them that the frequency cap allows, and their lines for the
//! batch.
//!
//! In scope: the statements of a step and their order. They are executed without awaiting in between, so that
//! the object's input gate keeps two scans from both sending to a device at its cap. Out of scope: the
//! contents of a line (the caller renders it), and handing the step over.

use super::{AudienceScan, Cursor, Page, Remainder};
use crate::audience::StoredDevice;
use batch::LeftOut;
use delivery::sql::{self, BadRow, Row, Statement};

/// A step of a scan, as it is handed to the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The position of the scan once the batch has accepted the step.
    pub to: Cursor,
    /// One line per push, each ended by `\n`.
    pub lines: String,
    /// The number of pushes.
    pub pushes: u32,
    /// The number of devices that were left out, by reason.
    pub left_out: LeftOut,
    /// Whether the scan is over.
    pub last: bool,
    /// Why the scan cannot continue. It is then over.
    pub fault: Option<String>,
    /// The faults of some of the devices that were left out, for the log.
    pub problems: Vec<String>,
    /// For a stopped scan: the progress of counting the devices that it has not reached.
    pub remainder: Option<Remainder>,
}

/// The rendered lines of some devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// One line per push, each ended by `\n`.
    pub lines: String,
    /// The number of pushes.
    pub pushes: u32,
    /// The number of devices that were left out, by reason.
    pub left_out: LeftOut,
    /// The faults of some of those devices.
    pub problems: Vec<String>,
    /// The indices of the devices that have a line.
    pub indices: Vec<usize>,
    /// The number of devices that were handled. A chunk may be full before the last one.
    pub taken: usize,
}

impl Step {
    /// Creates the last step of a scan that cannot continue.
    #[must_use]
    pub fn fault(at: Cursor, fault: String) -> Self {
        Self {
            to: at,
            last: true,
            fault: Some(fault),
            ..Self::default()
        }
    }
}

impl AudienceScan {
    /// Makes the next step of at most `limit` devices, and records them. `rows` executes a statement,
    /// `render` renders the lines.
    ///
    /// # Errors
    /// A statement failed, or a row is malformed. The step can be retried.
    pub fn step(
        &self,
        limit: u32,
        mut rows: impl FnMut(Statement) -> Result<Vec<Row>, String>,
        render: impl FnOnce(&[StoredDevice]) -> Rendered,
    ) -> Result<Step, String> {
        if self.is_at_end() {
            return Ok(Step {
                to: self.cursor,
                last: true,
                ..Step::default()
            });
        }
        let bad = |error: BadRow| error.to_string();
        let bound = rows(self.scan_bound())?;
        let found = rows(self.page(&bound, limit).map_err(bad)?)?;
        let Page { members, end } = self.read(&bound, &found, limit).map_err(bad)?;
        let met: Vec<u64> = members.iter().map(|member| member.id).collect();
        let members = match self.send_log(&members) {
            Some(send_log) => {
                let send_log = rows(send_log)?;
                self.allowed(members, &send_log).map_err(bad)?
            }
            None => members,
        };
        let rendered = render(&members);
        // A device that is left out receives nothing, so the run does not count for its cap.
        let sent_to = rendered.indices.iter().filter_map(|index| members.get(*index));
        let ids: Vec<u64> = sent_to.map(|member| member.id).collect();
        rows(self.record(&ids))?;
        let taken = members.get(..rendered.taken).unwrap_or(&members);
        let is_used_up = rendered.taken >= members.len();
        let to = taken.last().filter(|_| !is_used_up).map_or(end, Cursor::after);
        let met = met.partition_point(|id| *id <= to.0);
        let mut left_out = rendered.left_out;
        left_out.frequency_cap = number(met.saturating_sub(taken.len()));
        if let Some(passed) = self.passed(to) {
            let passed = sql::only(&rows(passed)?)
                .and_then(|row| row.number(0))
                .map_err(bad)?;
            left_out.outside_segment = passed.saturating_sub(number(met));
        }
        Ok(Step {
            to,
            lines: rendered.lines,
            pushes: rendered.pushes,
            left_out,
            last: false,
            fault: None,
            problems: rendered.problems,
            remainder: None,
        })
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
