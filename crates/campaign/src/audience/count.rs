//! Counts the devices of a shard. A segment is counted page by page, one request per page, so that no request
//! blocks the shard for long and other requests are served in between.

use std::cell::Cell;

use super::{Command, Reply};
use crate::segment::Segment;
use delivery::sql::{BadRow, Row, Statement, only};

/// The count of a shard, built from the replies to its commands; or the sum of several counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The number of devices in the segment, or of all devices.
    pub devices: u64,
    /// The number of all devices.
    pub of: u64,
    /// The number of suspect devices. 0 for a segment, where they are not counted.
    pub suspects: u64,
    after: u64,
    is_over: bool,
}

impl Counter {
    /// Returns the next command, or `None` if everything is counted.
    #[must_use]
    pub fn next(&self, segment: Option<&Segment>) -> Option<Command> {
        let count = Command::Count {
            segment: segment.cloned(),
            after: self.after,
        };
        (!self.is_over).then_some(count)
    }

    /// Adds a reply. Any reply other than to a count ends the count.
    pub const fn take(&mut self, reply: &Reply) {
        self.is_over = true;
        if let Reply::Counted {
            devices,
            of,
            suspects,
            next,
        } = reply
        {
            self.devices = self.devices.saturating_add(*devices);
            self.of = self.of.saturating_add(*of);
            self.suspects = self.suspects.saturating_add(*suspects);
            if let Some(next) = next {
                (self.after, self.is_over) = (*next, false);
            }
        }
    }

    /// Returns the sum of both.
    #[must_use]
    pub const fn and(mut self, other: Self) -> Self {
        self.devices = self.devices.saturating_add(other.devices);
        self.of = self.of.saturating_add(other.of);
        self.suspects = self.suspects.saturating_add(other.suspects);
        self
    }
}

/// The number of requests that a count of all shards may still make.
#[derive(Debug)]
pub struct CountRequests(Cell<u32>);

impl CountRequests {
    /// Creates the budget of one count.
    #[must_use]
    pub const fn all() -> Self {
        Self(Cell::new(MAX_COUNT_REQUESTS))
    }

    /// Spends one request.
    ///
    /// # Errors
    /// No request is left.
    pub fn take(&self) -> Result<(), CountFault> {
        let left = self.0.get().checked_sub(1).ok_or(CountFault::TooManyRequests)?;
        self.0.set(left);
        Ok(())
    }
}

/// Why a count failed.
#[derive(Debug, thiserror::Error)]
pub enum CountFault {
    /// The count would exceed its number of requests.
    #[error(
        "counting this segment takes more than {MAX_COUNT_REQUESTS} pages of devices: use fewer or simpler conditions"
    )]
    TooManyRequests,
    /// A shard has failed.
    #[error("{0}")]
    Shard(String),
}

/// Without a segment: counts all devices, and the suspect ones, which have an index. With a segment: counts
/// the devices of one page, and those of them that are in the segment.
pub(super) fn statements(segment: Option<&Segment>, after: u64) -> Vec<Statement> {
    let Some(segment) = segment else {
        return vec![
            Statement::new("SELECT count(*) FROM devices"),
            Statement::new("SELECT count(*) FROM devices WHERE suspect IS NOT NULL"),
        ];
    };
    let (condition, value) = segment.condition(3);
    let text = format!(
        "SELECT count(*), coalesce(sum(is_in), 0), max(id) FROM \
         (SELECT id, {condition} AS is_in FROM devices WHERE id > ?1 ORDER BY id LIMIT ?2)"
    );
    let statement = Statement::composed(text).bind(after).bind(limit(segment));
    vec![value.into_iter().fold(statement, Statement::bind)]
}

/// Builds the reply from the rows of [`statements`].
pub(super) fn reply(segment: Option<&Segment>, rows: &[Vec<Row>]) -> Result<Reply, BadRow> {
    let row = |place: usize| only(rows.get(place).map(Vec::as_slice).unwrap_or_default());
    let Some(segment) = segment else {
        let devices = row(0)?.number(0)?;
        return Ok(Reply::Counted {
            devices,
            of: devices,
            suspects: row(1)?.number(0)?,
            next: None,
        });
    };
    let row = row(0)?;
    let of = row.number(0)?;
    Ok(Reply::Counted {
        devices: row.number(1)?,
        of,
        suspects: 0,
        next: row.maybe_number(2)?.filter(|_| of >= u64::from(limit(segment))),
    })
}

/// The most requests per count. An invocation may make 10,000 (Cloudflare's limits of Workers).
const MAX_COUNT_REQUESTS: u32 = 9000;

/// Returns how many devices one page reads: some tenths of a second.
fn limit(segment: &Segment) -> u32 {
    segment.devices_within(PAGE_COST)
}

/// The most that a page may cost, in the unit of [`Segment::devices_within`]. 500,000 devices of the largest
/// size take 80 pages with the most expensive segment.
const PAGE_COST: u32 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_makes_as_many_requests_as_documented_and_no_more() {
        let requests = CountRequests::all();
        for _ in 0..9000 {
            requests.take().unwrap();
        }
        for _ in 0..2 {
            let fault = requests.take().unwrap_err();
            assert!(matches!(fault, CountFault::TooManyRequests));
            assert!(fault.to_string().contains("more than 9000 pages"), "{fault}");
        }
    }
}
