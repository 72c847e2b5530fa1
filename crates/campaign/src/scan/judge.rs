//! Whether a run that is due now would reach certain devices: whether they are in its segment and within its
//! cap.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::frequency::Frequency;
use super::send_log;
use crate::segment::Segment;
use apns::time::Timestamp;
use delivery::sql::{BadRow, Row, Statement, Value};

/// A question about devices of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// The devices.
    pub ids: Vec<u64>,
    /// The campaign's segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// The campaign's cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// The campaign.
    pub campaign: String,
    /// When the run would be due.
    pub at: Timestamp,
}

/// The devices that would not be reached, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Devices that are not in the segment.
    pub outside: Vec<u64>,
    /// Devices that the cap excludes.
    pub capped: Vec<u64>,
}

impl Judge {
    /// Returns the statements for [`Judge::read`]: one for the segment and, with a cap, one per device.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        let mut text = "SELECT id FROM devices WHERE id IN (SELECT value FROM json_each(?1))".to_owned();
        let mut values: Vec<Value> = vec![json!(self.ids).to_string().into()];
        if let Some(segment) = &self.segment {
            let (condition, value) = segment.condition(values.len() + 1);
            values.extend(value);
            text.push_str(" AND ");
            text.push_str(&condition);
        }
        let within = values
            .into_iter()
            .fold(Statement::composed(text), Statement::bind);
        let caps = self.frequency.iter().flat_map(|cap| {
            let of = |id: &u64| send_log::read(cap, "", &self.campaign, self.at, (*id, *id));
            self.ids.iter().map(of)
        });
        std::iter::once(within).chain(caps).collect()
    }

    /// Reads the result from the rows.
    ///
    /// # Errors
    /// A row is malformed.
    pub fn read(&self, rows: &[Vec<Row>]) -> Result<Judged, BadRow> {
        let (within, caps) = rows.split_first().unwrap_or((const { &Vec::new() }, &[]));
        let within: Vec<u64> = within.iter().map(|row| row.number(0)).collect::<Result<_, _>>()?;
        let outside = self
            .ids
            .iter()
            .copied()
            .filter(|id| !within.contains(id))
            .collect();
        let mut capped = Vec::new();
        for (id, rows) in self.ids.iter().zip(caps) {
            let sent = send_log::counts(rows)?.get(id).copied().unwrap_or_default();
            if self.frequency.is_some_and(|cap| sent >= cap.max) {
                capped.push(*id);
            }
        }
        Ok(Judged { outside, capped })
    }
}
