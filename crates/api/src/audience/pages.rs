//! `GET /v1/audiences/{name}/devices`: which devices are read, and where the next page begins.

use std::fmt;
use std::str::FromStr;

use serde_json::json;

use super::documents::device_lines;
use crate::listing::parameters::Parameters;
use apns::fault::Faults;
use campaign::audience::{Command, StoredDevice};

/// The end of a page: a shard, and the last device read in it. To callers it is an opaque text.
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

/// The devices that a request reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRange {
    /// Only devices after this cursor.
    pub cursor: DeviceCursor,
    /// The most devices, or all of them if `None`.
    pub limit: Option<u32>,
}

impl DeviceRange {
    /// Parses the query string.
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

/// An export of an audience: one shard after the other, page by page.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    shards: u32,
    at: DeviceCursor,
    /// How many more devices may be returned. `None` means no limit.
    left: Option<u32>,
    /// How many more pages may be read.
    pages: u32,
    is_over: bool,
}

/// The next action of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this shard, and pass its page to [`Export::take`].
    Ask(u32, Command),
    /// Write this last line.
    End(String),
}

impl Export {
    /// Creates the export of a range of an audience with this number of shards.
    #[must_use]
    pub const fn new(range: DeviceRange, shards: u32) -> Self {
        Self {
            shards,
            at: range.cursor,
            left: range.limit,
            pages: MAX_PAGES,
            is_over: false,
        }
    }

    /// Returns the next action, or `None` at the end.
    pub fn turn(&mut self) -> Option<Next> {
        if self.is_over {
            return None;
        }
        let limit = self.left.map_or(PAGE, |left| left.min(PAGE));
        let is_out = self.at.shard >= self.shards;
        if is_out || limit == 0 || self.pages == 0 {
            self.is_over = true;
            return Some(Next::End(cursor_line((!is_out).then_some(self.at))));
        }
        self.pages -= 1;
        let after = self.at.after;
        Some(Next::Ask(self.at.shard, Command::Page { after, limit }))
    }

    /// Accepts the requested page and returns its lines. An empty page returns a line end, because an empty
    /// write would end the stream.
    pub fn take(&mut self, members: &[StoredDevice], more: bool) -> String {
        match members.last().filter(|_| more) {
            Some(last) => self.at.after = last.id,
            None => {
                self.at = DeviceCursor {
                    shard: self.at.shard + 1,
                    after: 0,
                }
            }
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u32::try_from(members.len()).unwrap_or(u32::MAX));
        }
        let lines = device_lines(members);
        if lines.is_empty() { "\n".to_owned() } else { lines }
    }
}

/// Returns the last line of a page: the cursor of the next one, or null.
#[must_use]
pub fn cursor_line(cursor: Option<DeviceCursor>) -> String {
    let cursor = cursor.map(|cursor| cursor.to_string());
    format!("{}\n", json!({ "cursor": cursor }))
}

/// The most devices of a page with a `limit`: some megabytes. Without one, as many devices as possible are
/// streamed.
const MAX_DEVICES: u32 = 10_000;

/// The number of devices per request to a shard.
const PAGE: u32 = 1000;

/// The most pages per export: half of the 10,000 requests that an invocation may make (Cloudflare's limits of
/// Workers). The last line has the cursor for the rest.
const MAX_PAGES: u32 = 5000;

#[cfg(test)]
mod tests {
    use super::*;
    use campaign::audience::Device;

    fn member(id: u64) -> StoredDevice {
        let device = Device::new(format!("{id:02x}"));
        StoredDevice { id, device }
    }

    /// Exports shards whose devices have these ids. Returns the text, and how many pages were requested.
    fn exported(mut export: Export, shards: &[&[u64]]) -> (String, u32) {
        let (mut text, mut pages) = (String::new(), 0);
        while let Some(next) = export.turn() {
            match next {
                Next::Ask(shard, Command::Page { after, limit }) => {
                    let ids = shards[shard as usize].iter().filter(|id| **id > after);
                    let mut members: Vec<StoredDevice> = ids.map(|id| member(*id)).collect();
                    // Long devices.
                    let limit = limit.min(2) as usize;
                    let more = members.len() > limit;
                    members.truncate(limit);
                    let lines = export.take(&members, more);
                    assert!(!lines.is_empty());
                    text.push_str(lines.trim_start_matches('\n'));
                    pages += 1;
                }
                Next::Ask(_, other) => panic!("{other:?}"),
                Next::End(line) => text.push_str(&line),
            }
        }
        (text, pages)
    }

    fn lines(ids: &[u64], cursor: &str) -> String {
        let members: Vec<StoredDevice> = ids.iter().map(|id| member(*id)).collect();
        format!("{}{{\"cursor\":{cursor}}}\n", device_lines(&members))
    }

    #[test]
    fn an_export_goes_through_all_shards_and_ends_with_a_cursor() {
        let shards: [&[u64]; 4] = [&[1, 2, 3], &[], &[7, 8], &[4]];
        let export = |query| Export::new(DeviceRange::parse(query).unwrap(), 4);
        assert_eq!(
            exported(export(""), &shards),
            (lines(&[1, 2, 3, 7, 8, 4], "null"), 5)
        );
        assert_eq!(exported(export("limit=1"), &shards).0, lines(&[1], "\"0.1\""));
        assert_eq!(
            exported(export("limit=3&cursor=0.2"), &shards).0,
            lines(&[3, 7, 8], "\"3.0\"")
        );
        assert_eq!(exported(export("cursor=3.4"), &shards).0, lines(&[], "null"));
        assert_eq!(exported(export("cursor=4.0"), &shards), (lines(&[], "null"), 0));
    }

    #[test]
    fn an_export_of_too_many_pages_says_where_the_next_goes_on() {
        let ids: Vec<u64> = (1..=2 * u64::from(MAX_PAGES) + 3).collect();
        let export = Export::new(DeviceRange::default(), 1);
        let (text, pages) = exported(export, &[&ids]);
        assert_eq!(pages, MAX_PAGES);
        let cursor = format!("{{\"cursor\":\"0.{}\"}}\n", 2 * MAX_PAGES);
        assert!(text.ends_with(&cursor));
        let range = DeviceRange::parse(&format!("cursor=0.{}", 2 * MAX_PAGES)).unwrap();
        let last = exported(Export::new(range, 1), &[&ids]).0;
        assert_eq!(last, lines(&ids[ids.len() - 3..], "null"));
    }
}
