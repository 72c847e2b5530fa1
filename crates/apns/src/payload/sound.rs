//! The value of `sound`.
//!
//! Source: Apple, "Generating a remote notification", sound dictionary keys.

use serde_json::Value;

use super::shape::{Members, Shape};

/// What the device plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sound<'p> {
    /// A file of the app, or `default`.
    Name(&'p str),
    /// The dictionary form, for critical alerts.
    Dictionary {
        /// Whether the sound plays even when the device is silent.
        critical: bool,
        /// A file of the app, or `default`.
        name: Option<&'p str>,
        /// The volume, from 0 (silent) to 1 (full).
        volume: Option<f64>,
    },
}

impl<'p> Sound<'p> {
    /// Reads a value of [`Shape::Sound`].
    pub(super) fn read(value: &'p Value) -> Self {
        match value.as_str() {
            Some(name) => Self::Name(name),
            None => Self::Dictionary {
                critical: value.get("critical").and_then(Value::as_u64) == Some(1),
                name: value.get("name").and_then(Value::as_str),
                volume: value.get("volume").and_then(Value::as_f64),
            },
        }
    }
}

/// The keys of the dictionary.
pub(super) const MEMBERS: Members = &[
    ("critical", Shape::ZeroOrOne),
    ("name", Shape::Text),
    ("volume", Shape::Fraction),
];
