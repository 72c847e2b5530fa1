//! Warnings: what is sent as written, although Apple or the device treats it badly.

use serde::{Deserialize, Serialize};

/// The warnings of a request, as a part of the document that answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings {
    /// The kinds in the order in which they were found, at most 50. Absent if there are none.
    #[serde(default, rename = "warnings", skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<WarningKind>,
    /// How many warnings are of further kinds. Absent if there are none.
    #[serde(default, rename = "more_warnings", skip_serializing_if = "crate::is_zero")]
    pub more: u64,
}

/// All warnings that have one code and one pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningKind {
    /// The stable code, such as `misspelled_key`.
    pub code: String,
    /// RFC 6901 pointer to the field: in the request, or with a `count` in each device.
    pub pointer: String,
    /// What is unusual about the first one, and what to do.
    pub detail: String,
    /// How many devices have it. Absent if it is about the request.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub count: u64,
    /// The first lines that have it, at most 5. In one JSON document, positions in `devices` from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u64>,
}
