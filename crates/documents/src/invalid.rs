//! Lines of a body that were left out, one by one and summed up.

use serde::{Deserialize, Serialize};

/// A line that was left out, or of which something was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidLine {
    /// Its number in the body, from 1. For a device of a JSON document, its position among the devices, from 1.
    pub line: u64,
    /// The first thing that is wrong with it, with its pointer.
    pub detail: String,
}

/// Equal faults of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidKind {
    /// The field within the device. Absent if the device or the line as a whole is at fault.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
    /// How many lines have the fault.
    pub count: u64,
    /// The first lines that have it, at most 5, counted as in [`InvalidLine::line`].
    pub lines: Vec<u64>,
}
