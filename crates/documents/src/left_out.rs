//! How many devices of a campaign's run were left out, by reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many devices were left out. A reason without a device is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Devices without a value for a variable that has no default, by the first such variable. At most 20 are named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, u64>,
    /// The same for variables that are not named.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub missing_others: u64,
    /// The frequency cap does not allow another push to them.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub frequency_cap: u64,
    /// Their push has a fault: its payload is too large, for example.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub invalid: u64,
    /// They are not in the campaign's segment.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub outside_segment: u64,
    /// The run ended before their turn came: it was cut off or cancelled.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub not_reached: u64,
}

impl LeftOut {
    /// Returns whether no device was left out.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether devices were left out because no push could be made for them.
    #[must_use]
    pub fn has_unsendable(&self) -> bool {
        self.missing_others > 0 || self.invalid > 0 || self.missing.values().any(|count| *count > 0)
    }
}
