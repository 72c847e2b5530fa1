//! The answers about audiences and their devices.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Answer, convert};
use apns::time::Timestamp;
use campaign::audience::{Counter, Reply, StoredDevice};
use documents::audience::{Audience, Audiences, DeviceCount, UploadReport};
use documents::{InvalidKind, InvalidLine};

/// The description of an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudienceView<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of the app.
    pub app: &'a str,
    /// The number of shards.
    pub shards: u32,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The contents of an audience, or of a segment of it, summed over its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of devices in the segment, or of all devices.
    pub devices: u64,
    /// The number of all devices.
    pub of: u64,
    /// The number of suspect devices.
    pub suspects: u64,
    zones: BTreeSet<String>,
}

impl Totals {
    /// Creates the totals from the counts of all shards.
    #[must_use]
    pub fn of(counted: Counter) -> Self {
        Self {
            devices: counted.devices,
            of: counted.of,
            suspects: counted.suspects,
            ..Self::default()
        }
    }

    /// Adds a shard's reply to `Zones`. Ignores any other.
    pub fn add(&mut self, reply: Reply) {
        match reply {
            Reply::Zones { names } => self.zones.extend(names),
            Reply::Judged(_)
            | Reply::Upserted { .. }
            | Reply::Removed { .. }
            | Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Counted { .. }
            | Reply::Gone { .. }
            | Reply::Uncounted { .. }
            | Reply::Deleted => {}
        }
    }

    /// Returns the time zones of the devices, sorted. The empty one means none.
    pub fn zones(&self) -> impl Iterator<Item = &str> {
        self.zones.iter().map(String::as_str)
    }
}

/// The results of an import or a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of lines, without blank ones.
    pub received: u64,
    /// The number of new devices.
    pub added: u64,
    /// The number of devices that were known already.
    pub updated: u64,
    /// The number of removed devices.
    pub removed: u64,
    /// The number of rejected lines.
    pub invalid: u64,
    /// The first hundred rejected lines.
    pub invalid_lines: Vec<InvalidLine>,
    /// The faults of all rejected lines, summed up.
    pub invalid_kinds: Vec<InvalidKind>,
    /// The number of values that were left out of accepted devices.
    pub warnings: u64,
    /// The first hundred lines with such values.
    pub warning_lines: Vec<InvalidLine>,
    /// All warnings, summed up.
    pub warning_kinds: Vec<InvalidKind>,
}

impl Tally {
    /// Returns the tally with the shards' results.
    #[must_use]
    pub const fn with(mut self, delivered: &Self) -> Self {
        self.added = self.added.saturating_add(delivered.added);
        self.updated = self.updated.saturating_add(delivered.updated);
        self.removed = self.removed.saturating_add(delivered.removed);
        self
    }

    /// Adds a shard's reply. Ignores replies to other commands.
    pub const fn add(&mut self, reply: &Reply) {
        match reply {
            Reply::Upserted { added, updated } => {
                self.added = self.added.saturating_add(*added);
                self.updated = self.updated.saturating_add(*updated);
            }
            Reply::Removed { devices } => self.removed = self.removed.saturating_add(*devices),
            Reply::Counted { .. }
            | Reply::Judged(_)
            | Reply::Zones { .. }
            | Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Gone { .. }
            | Reply::Uncounted { .. }
            | Reply::Deleted => {}
        }
    }
}

/// Returns the document of an audience, with its contents if `totals` is given.
#[must_use]
pub fn document(audience: &AudienceView<'_>, totals: Option<&Totals>) -> Answer {
    json(&Audience {
        devices: totals.map(|totals| totals.of),
        suspects: totals.map(|totals| totals.suspects),
        time_zones: totals
            .map(|totals| convert::number(totals.zones().filter(|zone| !zone.is_empty()).count())),
        ..uncounted(audience)
    })
}

/// Answers `GET /v1/audiences`.
#[must_use]
pub fn list(audiences: &[AudienceView<'_>]) -> Answer {
    json(&Audiences {
        audiences: audiences.iter().map(uncounted).collect(),
    })
}

/// Answers `POST /v1/audiences/{name}/devices`.
#[must_use]
pub fn imported(audience: &str, tally: &Tally) -> Answer {
    json(&UploadReport {
        audience: audience.to_owned(),
        received: tally.received,
        added: Some(tally.added),
        updated: Some(tally.updated),
        removed: None,
        invalid: tally.invalid,
        invalid_lines: tally.invalid_lines.clone(),
        invalid_kinds: tally.invalid_kinds.clone(),
        warnings: Some(tally.warnings),
        warning_lines: Some(tally.warning_lines.clone()),
        warning_kinds: tally.warning_kinds.clone(),
    })
}

/// Answers `DELETE /v1/audiences/{name}/devices`.
#[must_use]
pub fn removed(audience: &str, tally: &Tally) -> Answer {
    json(&UploadReport {
        audience: audience.to_owned(),
        received: tally.received,
        added: None,
        updated: None,
        removed: Some(tally.removed),
        invalid: tally.invalid,
        invalid_lines: tally.invalid_lines.clone(),
        invalid_kinds: tally.invalid_kinds.clone(),
        warnings: None,
        warning_lines: None,
        warning_kinds: Vec::new(),
    })
}

/// Answers `POST /v1/audiences/{name}/count`.
#[must_use]
pub fn count(audience: &str, totals: &Totals) -> Answer {
    json(&DeviceCount {
        audience: audience.to_owned(),
        devices: totals.devices,
        of: totals.of,
    })
}

/// Renders devices as lines that can be imported.
#[must_use]
pub fn device_lines(members: &[StoredDevice]) -> String {
    let mut text = String::new();
    for member in members {
        text.push_str(&serde_json::to_string(&line(member)).unwrap_or_default());
        text.push('\n');
    }
    text
}

fn json(document: &impl Serialize) -> Answer {
    Answer::json(serde_json::to_string(document).unwrap_or_default())
}

fn uncounted(audience: &AudienceView<'_>) -> Audience {
    Audience {
        name: audience.name.to_owned(),
        app: audience.app.to_owned(),
        shards: audience.shards,
        created_at: audience.created_at.to_string(),
        devices: None,
        suspects: None,
        time_zones: None,
    }
}

#[derive(Serialize)]
struct DeviceLine<'m> {
    token: &'m str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'m str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'m [String],
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: &'m Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<String>,
}

fn line(member: &StoredDevice) -> DeviceLine<'_> {
    let device = &member.device;
    DeviceLine {
        token: &device.token,
        reference: device.reference.as_deref(),
        locale: device.locale.as_deref(),
        time_zone: device.time_zone.as_deref(),
        tags: &device.tags,
        attributes: &device.attributes,
        registered_at: device.registered_at.map(|moment| moment.to_string()),
    }
}
