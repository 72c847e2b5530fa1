//! Devices that a run has certainly not reached, so that the run does not count for their caps.
//!
//! A row of [`super::send_log`] counts from the hand-over on. When the run has ended, the batch reports the
//! devices for which APNs has certainly not accepted a push. Only rows with such a device are rewritten, so a
//! run without failures costs nothing more. A repeated report changes nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::send_log;
use delivery::sql::{BadRow, Row, Statement};

/// Devices of a shard that a run has not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unaccepted {
    /// The run's batch.
    pub run: String,
    /// Their device tokens.
    pub tokens: Vec<String>,
}

impl Unaccepted {
    /// Reads the devices' ids, and the rows of the run that may include them.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        let tokens = json!(self.tokens).to_string();
        vec![
            Statement::new(IDS).bind(tokens.as_str()),
            Statement::new(ROWS).bind(tokens.as_str()).bind(self.run.as_str()),
        ]
    }

    /// Returns the statements that rewrite the rows with such a device, from the rows of
    /// [`Unaccepted::statements`].
    ///
    /// # Errors
    /// A row is malformed.
    pub fn changes(&self, rows: &[Vec<Row>]) -> Result<Vec<Statement>, BadRow> {
        let (ids, send_log) = match rows {
            [ids, send_log] => (ids.as_slice(), send_log.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let ids: BTreeSet<u64> = ids.iter().map(|row| row.number(0)).collect::<Result<_, _>>()?;
        let mut changes = Vec::new();
        for row in send_log {
            let start = row.text(0)?;
            let counted: Vec<u64> = send_log::decoded(row.number(1)?, row.text(2)?).collect();
            let left: Vec<u64> = counted.iter().copied().filter(|id| !ids.contains(id)).collect();
            if left.len() < counted.len() {
                changes.push(send_log::rewrite(&self.run, start, &left));
            }
        }
        Ok(changes)
    }
}

const IDS: &str =
    "SELECT known.id FROM json_each(?1) AS token CROSS JOIN devices AS known ON known.token = token.value";

/// The devices of one chunk have ids close together, so this reads only rows between the lowest and the
/// highest id.
const ROWS: &str = "SELECT start, first, devices FROM send_log WHERE run = ?2 \
     AND first <= (SELECT max(known.id) FROM json_each(?1) AS token CROSS JOIN devices AS known ON known.token = token.value) \
     AND last >= (SELECT min(known.id) FROM json_each(?1) AS token CROSS JOIN devices AS known ON known.token = token.value)";
