//! Counts the devices of a shard: those of a segment page by page, each page one request, so that no request blocks the shard
//! for long and others are served in between.

use std::cell::Cell;

use super::{Command, Reply};
use crate::segment::Segment;
use delivery::sql::{BadRow, Row, Statement, only};

/// The count of a shard, from the replies to its commands; or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The devices of the segment, or all.
    pub devices: u64,
    /// All devices.
    pub of: u64,
    /// Those that are suspect; of a segment they are not counted.
    pub suspects: u64,
    after: u64,
    is_over: bool,
}

impl Counter {
    /// What is to be asked next; nothing when all is counted.
    #[must_use]
    pub fn next(&self, segment: Option<&Segment>) -> Option<Command> {
        let count = Command::Count {
            segment: segment.cloned(),
            after: self.after,
        };
        (!self.is_over).then_some(count)
    }

    /// Takes the reply; any other than to a count ends it.
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

    /// Both together.
    #[must_use]
    pub const fn and(mut self, other: Self) -> Self {
        self.devices = self.devices.saturating_add(other.devices);
        self.of = self.of.saturating_add(other.of);
        self.suspects = self.suspects.saturating_add(other.suspects);
        self
    }
}

/// The requests that a count of all shards may still make.
#[derive(Debug)]
pub struct CountRequests(Cell<u32>);

impl CountRequests {
    /// As many as a count may make.
    #[must_use]
    pub const fn all() -> Self {
        Self(Cell::new(MAX_COUNT_REQUESTS))
    }

    /// Takes one of them.
    ///
    /// # Errors
    /// None is left.
    pub fn take(&self) -> Result<(), CountFault> {
        let left = self.0.get().checked_sub(1).ok_or(CountFault::TooManyRequests)?;
        self.0.set(left);
        Ok(())
    }
}

/// Why devices could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountFault {
    /// The count would make more requests than it may.
    #[error(
        "counting this segment takes more than {MAX_COUNT_REQUESTS} pages of devices: use fewer or simpler conditions"
    )]
    TooManyRequests,
    /// A shard has failed.
    #[error("{0}")]
    Shard(String),
}

/// Counts all devices and those that are suspect, which are in an index; or the next devices, and those of them that are in the
/// segment.
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

/// The reply, from the rows of [`statements`].
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

/// The most requests of a count: an invocation may make 10,000 (Cloudflare's limits of Workers).
const MAX_COUNT_REQUESTS: u32 = 9000;

/// How many devices are looked at for a page: some tenths of a second.
fn limit(segment: &Segment) -> u32 {
    segment.devices_within(PAGE_COST)
}

/// What a page may cost, as [`Segment::devices_within`] counts it: 500,000 devices with all that they may have are 80 pages for a
/// segment with all that it may have.
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
