//! One step of a scan: the next devices, whom of them the frequency cap allows, and their lines for the batch.
//!
//! In scope: the statements of a step and their order. They are executed one after the other with no wait in between, so that
//! the object's input gate keeps two scans from sending a device what only one of them may. Out of scope: what a line says
//! (the caller renders it), and handing the step over.

use super::{AudienceScan, Cursor, Page, Remainder};
use crate::audience::Member;
use batch::LeftOut;
use delivery::sql::{self, BadRow, Row, Statement};

/// A step of a scan, as the batch gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Where the scan is when the batch has taken the step.
    pub to: Cursor,
    /// A line for each push, ended by `\n`.
    pub lines: String,
    /// How many pushes there are.
    pub pushes: u32,
    /// How many devices are left out, and why.
    pub left_out: LeftOut,
    /// Whether the scan is over.
    pub last: bool,
    /// Why the scan cannot go on, if so: it is over then.
    pub fault: Option<String>,
    /// What is wrong with some of the devices that are left out, for the log.
    pub problems: Vec<String>,
    /// How far the count has come of the devices that the scan has not come to, if it was stopped.
    pub remainder: Option<Remainder>,
}

/// The lines of some devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// A line for each push, ended by `\n`.
    pub lines: String,
    /// How many pushes there are.
    pub pushes: u32,
    /// How many of the devices are left out, and why.
    pub left_out: LeftOut,
    /// What is wrong with some of those.
    pub problems: Vec<String>,
    /// Which of the devices the lines are for, by their indices.
    pub indices: Vec<usize>,
    /// How many of the devices are dealt with: a chunk may be full before the last.
    pub taken: usize,
}

impl Step {
    /// The last step of a scan that cannot go on from here.
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
    /// Makes the next step of at most `limit` devices, and records whom it is for. `rows` executes a statement, `render` makes
    /// the lines.
    ///
    /// # Errors
    /// A statement has failed, or a row is not as it must be. The step can be tried again.
    pub fn step(
        &self,
        limit: u32,
        mut rows: impl FnMut(Statement) -> Result<Vec<Row>, String>,
        render: impl FnOnce(&[Member]) -> Rendered,
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
        // A device that is left out is sent nothing, and counts for no cap.
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
