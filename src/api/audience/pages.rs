//! `GET /v1/audiences/{name}/devices`: which devices are read, and where the next page goes on.

use std::fmt;
use std::str::FromStr;

use serde_json::json;

use crate::api::listing::parameters::Parameters;
use crate::fault::Faults;

/// Where a page ends: in which shard, and after which of its devices. To callers it is an opaque text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceCursor {
    /// The shard's number.
    pub shard: u32,
    /// The id of the last device; 0 before the first.
    pub after: u64,
}

impl fmt::Display for DeviceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.shard, self.after)
    }
}

impl FromStr for DeviceCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (shard, after) = text.split_once('.').ok_or(())?;
        Ok(Self {
            shard: shard.parse().map_err(|_| ())?,
            after: after.parse().map_err(|_| ())?,
        })
    }
}

/// Which devices are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRange {
    /// After these.
    pub cursor: DeviceCursor,
    /// The most of them; all if there is none.
    pub limit: Option<u32>,
}

impl DeviceRange {
    /// Reads the query string.
    ///
    /// # Errors
    /// All faults, each at its parameter.
    pub fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::read(query, &["cursor", "limit"]);
        let rule = "must be the `cursor` of an earlier answer";
        let cursor = parameters.value("cursor", rule, |text| text.parse().ok());
        let limit = parameters.text("limit").is_some();
        let range = Self {
            cursor: cursor.unwrap_or_default(),
            limit: limit.then(|| parameters.limit(MAX_DEVICES, MAX_DEVICES)),
        };
        parameters.or(range)
    }
}

/// The last line of a page: where the next begins, or that there is none.
#[must_use]
pub fn cursor_line(cursor: Option<DeviceCursor>) -> String {
    let cursor = cursor.map(|cursor| cursor.to_string());
    format!("{}\n", json!({ "cursor": cursor }))
}

/// The most devices of a page that has a limit: some megabytes. Without a limit all are streamed.
const MAX_DEVICES: u32 = 10_000;
