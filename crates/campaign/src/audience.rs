//! A shard of an audience: devices of one app, stored as rows.
//!
//! A hash of the device token divides an audience into shards. Each shard is one Durable Object. In scope:
//! storing the devices, queries about them, and what happens to a device that APNs reports as gone. Out of
//! scope: the list of audiences (the scheduler), filters (`segment`), scans (`scan`), and executing the
//! statements (the Worker).
//!
//! Commands and replies are JSON text. During a deployment, two versions of the Worker exchange them for some
//! minutes, so a field that is added needs a default.

mod count;
pub mod device;
mod epoch;
mod gone;
pub mod locale;
pub(super) mod rows;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::scan::{AudienceScan, Judge, Judged, Unaccepted};
use super::segment::Segment;
use apns::time::Timestamp;
use delivery::sql::{self, BadRow, Query, Row, Statement};

pub use count::{CountFault, CountRequests, Counter};
pub use device::{Device, StoredDevice};
pub use epoch::{Admission, Epoch, Request};
pub use gone::Gone;

/// A command to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Creates or replaces devices, by token. A device that is known keeps its registration time if none is
    /// given, and is no longer suspect if a later one is given.
    Upsert {
        /// The devices. If a token occurs twice, the last entry wins.
        devices: Vec<Device>,
    },
    /// Removes devices.
    Remove {
        /// Removes the devices with these tokens.
        tokens: Vec<String>,
        /// Removes the devices with these refs.
        refs: Vec<String>,
    },
    /// Reads the devices after an id, in the order of their ids.
    Page {
        /// The id; 0 for the first page.
        after: u64,
        /// The most devices to return. Fewer are returned if they are long.
        limit: u32,
    },
    /// Finds the devices with these refs, in the order of their ids, at most [`MAX_FOUND`].
    Find {
        /// The refs.
        refs: Vec<String>,
    },
    /// Counts devices: all of them, or one page of those in a segment (see [`Counter`]).
    Count {
        /// Counts the devices in this segment, or all if `None`.
        segment: Option<Segment>,
        /// Counts devices with a higher id.
        after: u64,
    },
    /// Asks which devices a run would reach.
    Judge(Judge),
    /// Lists the time zones of the devices.
    Zones,
    /// Reports devices that APNs refused.
    Gone {
        /// Devices that are gone (410).
        devices: Vec<Gone>,
        /// Devices whose tokens APNs refused with 400.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suspects: Vec<Gone>,
        /// A lower bound for the time of APNs' answers: when their batch began.
        answered_at: Timestamp,
    },
    /// Reports devices that a run has certainly not reached, so that it does not count for their caps.
    Unaccepted(Unaccepted),
}

/// A reply of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The devices are stored.
    Upserted {
        /// The number of new devices.
        added: u64,
        /// The number of devices that were known already, or occurred twice.
        updated: u64,
    },
    /// Devices were removed.
    Removed {
        /// The number of devices.
        devices: u64,
    },
    /// Devices in the order of their ids.
    Page {
        /// The devices.
        members: Vec<StoredDevice>,
        /// Whether more devices follow.
        more: bool,
    },
    /// The devices with the given refs.
    Found {
        /// The devices.
        members: Vec<StoredDevice>,
    },
    /// The number of devices.
    Counted {
        /// The number in the segment, or of all devices.
        devices: u64,
        /// The number of all devices.
        of: u64,
        /// The number of suspect devices. 0 for a segment, where they are not counted.
        suspects: u64,
        /// The id after which the next page begins, if there is one.
        next: Option<u64>,
    },
    /// Which devices a run would not reach.
    Judged(Judged),
    /// The time zones of the devices, sorted. The empty name stands for devices without a zone.
    Zones {
        /// IANA names.
        names: Vec<String>,
    },
    /// What happened to the devices that APNs refused.
    Gone {
        /// The number of removed devices.
        removed: u64,
        /// The number of devices that were marked as suspect.
        suspected: u64,
    },
    /// A run no longer counts for devices that it has not reached.
    Uncounted {
        /// The number of changed rows of the run.
        rows: u64,
    },
    /// Nothing was done, because the audience was deleted.
    Deleted,
}

impl Command {
    /// Whether the command adds devices. Such a command initializes an empty shard.
    #[must_use]
    pub const fn brings_devices(&self) -> bool {
        matches!(self, Self::Upsert { .. })
    }

    /// Returns the reply of a shard without devices.
    #[must_use]
    pub const fn nothing(&self) -> Reply {
        match self {
            Self::Upsert { .. } => Reply::Upserted { added: 0, updated: 0 },
            Self::Remove { .. } => Reply::Removed { devices: 0 },
            Self::Page { .. } => Reply::Page {
                members: Vec::new(),
                more: false,
            },
            Self::Find { .. } => Reply::Found { members: Vec::new() },
            Self::Count { .. } => Reply::Counted {
                devices: 0,
                of: 0,
                suspects: 0,
                next: None,
            },
            Self::Judge(_) => Reply::Judged(Judged {
                outside: Vec::new(),
                capped: Vec::new(),
            }),
            Self::Zones => Reply::Zones { names: Vec::new() },
            Self::Gone { .. } => Reply::Gone {
                removed: 0,
                suspected: 0,
            },
            Self::Unaccepted(_) => Reply::Uncounted { rows: 0 },
        }
    }
}

impl Query for Command {
    type Reply = Reply;

    fn schema() -> Vec<Statement> {
        [rows::create(), AudienceScan::schema()].concat()
    }

    fn statements(&self, now: Timestamp) -> Vec<Statement> {
        match self {
            Self::Upsert { devices } => rows::upsert(devices, now),
            Self::Remove { tokens, refs } => vec![rows::remove(tokens, refs)],
            Self::Page { after, limit } => vec![rows::page(*after, limit.saturating_add(1))],
            Self::Find { refs } => vec![rows::find(refs, MAX_FOUND)],
            Self::Count { segment, after } => count::statements(segment.as_ref(), *after),
            Self::Judge(judge) => judge.statements(),
            Self::Zones => vec![rows::zones()],
            Self::Gone {
                devices,
                suspects,
                answered_at,
            } => gone::statements(devices, suspects, *answered_at),
            Self::Unaccepted(unaccepted) => unaccepted.statements(),
        }
    }

    fn changes(&self, rows: &[Vec<Row>]) -> Result<Vec<Statement>, BadRow> {
        match self {
            Self::Unaccepted(unaccepted) => unaccepted.changes(rows),
            Self::Upsert { .. }
            | Self::Remove { .. }
            | Self::Page { .. }
            | Self::Find { .. }
            | Self::Count { .. }
            | Self::Judge(_)
            | Self::Zones
            | Self::Gone { .. } => Ok(Vec::new()),
        }
    }

    fn reply(&self, rows: &[Vec<Row>]) -> Result<Reply, BadRow> {
        let first = rows.first().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Upsert { devices } => {
                let added = sql::only(first)?.number(0)?;
                Ok(Reply::Upserted {
                    added,
                    updated: length(devices.len()).saturating_sub(added),
                })
            }
            Self::Remove { .. } => Ok(Reply::Removed {
                devices: length(first.len()),
            }),
            Self::Page { limit, .. } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let page = rows::within(first, limit, MAX_PAGE_BYTES);
                let members = page.iter().map(rows::member).collect::<Result<_, _>>()?;
                let more = page.len() < first.len();
                Ok(Reply::Page { members, more })
            }
            Self::Find { .. } => {
                let members = first.iter().map(rows::member).collect::<Result<_, _>>()?;
                Ok(Reply::Found { members })
            }
            Self::Count { segment, .. } => count::reply(segment.as_ref(), rows),
            Self::Judge(judge) => judge.read(rows).map(Reply::Judged),
            Self::Zones => {
                let names = first.iter().map(|row| row.text(0).map(str::to_owned));
                Ok(Reply::Zones {
                    names: names.collect::<Result<_, _>>()?,
                })
            }
            Self::Gone { .. } => {
                let (removed, suspected) = gone::counts(rows);
                Ok(Reply::Gone { removed, suspected })
            }
            Self::Unaccepted(unaccepted) => Ok(Reply::Uncounted {
                rows: length(unaccepted.changes(rows)?.len()),
            }),
        }
    }
}

/// Returns the shard of a device: the first 8 bytes of the SHA-256 of its token's hex digits, modulo the
/// number of shards.
///
/// Must not change: audiences outlive deployments, so a different function would put a device into two
/// shards, and it would receive notifications twice.
#[must_use]
pub fn shard_of(token: &str, shards: u32) -> u32 {
    let hash: [u8; 32] = Sha256::digest(token).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    u32::try_from(number.checked_rem(u64::from(shards)).unwrap_or_default()).unwrap_or_default()
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The most devices that a shard finds by ref, which is more than a test send accepts. All shards are asked,
/// five at a time, and each device may have 16 KB.
pub const MAX_FOUND: u32 = 201;

/// The most bytes of text per page, unless one device alone has more. The isolate's 128 MB hold a page
/// several times: as rows, as devices and as JSON.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
