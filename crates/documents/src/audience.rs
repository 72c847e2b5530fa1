//! `/v1/audiences`: audiences, and the reports about uploads of devices.

use serde::{Deserialize, Serialize};

use crate::{InvalidKind, InvalidLine};

/// The answer to `GET /v1/audiences`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audiences {
    /// The audiences. They have no numbers of devices.
    pub audiences: Vec<Audience>,
}

/// An audience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Its name.
    pub name: String,
    /// The app that its devices belong to.
    pub app: String,
    /// How many objects its devices are stored in.
    pub shards: u32,
    /// When it was created.
    pub created_at: String,
    /// How many devices it has. Absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// How many of them have a token that APNs has rejected once. Absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspects: Option<u64>,
    /// How many time zones its devices are in. Absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zones: Option<u64>,
}

/// The report about an import or a removal of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadReport {
    /// The audience's name.
    pub audience: String,
    /// How many lines there were, without blank ones.
    pub received: u64,
    /// How many devices are new. Absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// How many devices were known. Absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<u64>,
    /// How many devices were removed. Absent for an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// How many lines were left out.
    pub invalid: u64,
    /// The first of these lines, at most 100.
    #[serde(default)]
    pub invalid_lines: Vec<InvalidLine>,
    /// What is wrong with all of them, in sum. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_kinds: Vec<InvalidKind>,
    /// How often a part of a device was left out. Absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<u64>,
    /// The first of these parts, at most 100. Absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning_lines: Option<Vec<InvalidLine>>,
    /// All of them in sum. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warning_kinds: Vec<InvalidKind>,
}

/// The answer to `POST /v1/audiences/{name}/count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCount {
    /// The audience's name.
    pub audience: String,
    /// How many devices the segment has.
    pub devices: u64,
    /// How many devices the audience has.
    pub of: u64,
}
