//! The devices that a run left out, as the server counts them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The number of devices that were left out, by reason.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LeftOut {
    missing: BTreeMap<String, u64>,
    missing_others: u64,
    frequency_cap: u64,
    invalid: u64,
    outside_segment: u64,
    not_reached: u64,
}

impl LeftOut {
    /// Returns the number of devices per reason, with the reason as text. Reasons without devices are left
    /// out.
    pub(crate) fn to_parts(&self) -> Vec<(u64, String)> {
        let missing = self.missing.iter();
        let missing = missing.map(|(name, count)| (*count, format!("left out: they have no `{name}`")));
        let others = [
            (self.missing_others, "left out: they lack another variable"),
            (self.frequency_cap, "left out by the frequency cap"),
            (self.invalid, "left out: their push has a fault"),
            (self.outside_segment, "outside the segment"),
            (self.not_reached, "not reached before the run ended"),
        ];
        missing
            .chain(others.map(|(count, reason)| (count, reason.to_owned())))
            .filter(|(count, _)| *count > 0)
            .collect()
    }

    /// Whether devices received nothing because no push could be rendered for them.
    pub(crate) fn has_unsendable(&self) -> bool {
        self.missing_others > 0 || self.invalid > 0 || self.missing.values().any(|count| *count > 0)
    }
}
