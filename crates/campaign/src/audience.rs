//! A shard of an audience: devices of one app, in rows.
//!
//! An audience is cut into shards by a hash of the device token, a Durable Object each. In scope: the devices and what is
//! asked of them, and what APNs' word that a device is gone does to it. Out of scope: which audiences there are (the scheduler),
//! which devices are meant (`segment`), how a run goes through them (`walk`), and executing the statements (`shell`).
//!
//! Commands and replies are JSON text between versions of the Worker that may differ for the minutes of a deployment:
//! a field that is added needs a default.

mod count;
pub mod device;
mod epoch;
mod gone;
pub mod locale;
pub(super) mod rows;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::segment::Segment;
use super::walk::{Judge, Judged, Unaccepted, Walk};
use apns::time::Timestamp;
use delivery::sql::{self, BadRow, Query, Row, Statement};

pub use count::{CountFault, CountRequests, Counter};
pub use device::{Device, Member};
pub use epoch::{Admission, Epoch, Request};
pub use gone::Gone;

/// What a shard is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// These devices are as they are here. One that is known is replaced by its token; it keeps its time of registration if
    /// none is given, and is no longer suspect if a later one is.
    Upsert {
        /// The devices. Of a token that stands there twice, the last is it.
        devices: Vec<Device>,
    },
    /// Removes devices.
    Remove {
        /// Those with these tokens.
        tokens: Vec<String>,
        /// Those with these refs.
        refs: Vec<String>,
    },
    /// The devices after an id, in the order of their ids.
    Page {
        /// The id; 0 for the first page.
        after: u64,
        /// The most of them; fewer come if they are long.
        limit: u32,
    },
    /// The devices with these refs, in the order of their ids, at most [`MAX_FOUND`].
    Find {
        /// The refs.
        refs: Vec<String>,
    },
    /// How many devices there are; of a segment those of a page, see [`Counter`].
    Count {
        /// Of this segment; of all devices if there is none.
        segment: Option<Segment>,
        /// After this id.
        after: u64,
    },
    /// Whether a run would reach devices.
    Judge(Judge),
    /// The time zones that devices are in.
    Zones,
    /// APNs has refused these devices.
    Gone {
        /// Those that are gone (410).
        devices: Vec<Gone>,
        /// Those whose tokens it refused with 400.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suspects: Vec<Gone>,
        /// The answers came then or later: the beginning of the batch that they are of.
        answered_at: Timestamp,
    },
    /// A run has certainly not reached these devices: it counts for no cap of theirs.
    Unaccepted(Unaccepted),
}

/// What a shard answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The devices are there.
    Upserted {
        /// How many were not known.
        added: u64,
        /// How many of those that came were known, or came twice.
        updated: u64,
    },
    /// Devices are no more.
    Removed {
        /// How many.
        devices: u64,
    },
    /// Devices in the order of their ids.
    Page {
        /// The devices.
        members: Vec<Member>,
        /// Whether there are more after them.
        more: bool,
    },
    /// The devices with the refs.
    Found {
        /// The devices.
        members: Vec<Member>,
    },
    /// How many devices there are.
    Counted {
        /// In the segment.
        devices: u64,
        /// In all.
        of: u64,
        /// That are suspect; of a segment they are not counted.
        suspects: u64,
        /// The id after which the next page begins, if there is one.
        next: Option<u64>,
    },
    /// Which devices a run would not reach.
    Judged(Judged),
    /// The time zones that devices are in, in order; the empty one for devices without any.
    Zones {
        /// IANA names.
        names: Vec<String>,
    },
    /// What became of devices that are gone.
    Gone {
        /// How many were removed.
        removed: u64,
        /// How many were marked as suspect.
        suspected: u64,
    },
    /// A run counts no more for devices that it has not reached.
    Uncounted {
        /// How many rows of the run were changed.
        rows: u64,
    },
    /// Nothing was done, as the audience was deleted.
    Deleted,
}

impl Command {
    /// Whether it brings devices, so that a shard without any begins with it.
    #[must_use]
    pub const fn brings_devices(&self) -> bool {
        matches!(self, Self::Upsert { .. })
    }

    /// What a shard without devices replies.
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
        [rows::create(), Walk::schema()].concat()
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

/// The shard of a device: the first 8 bytes of the SHA-256 of its token's hex digits, modulo the number of shards.
///
/// Audiences outlive deploys: were it another, devices would be in two shards, and get what is sent twice.
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

/// The most devices that a shard finds by ref: more than a trial takes. All shards are asked, five at a time, and each device
/// may have 16 KB.
pub const MAX_FOUND: u32 = 201;

/// The most bytes of the texts of a page, unless one device alone has more. The page stands in the isolate's 128 MB several
/// times: as rows, as devices and as their JSON.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
