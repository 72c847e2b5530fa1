//! The number of devices that a run has left out, by reason.
//!
//! With each step a scan counts the devices that it leaves out. The batch stores the sum in the scan's row,
//! beside the cursor, so a repeated step counts once. Devices are counted as the scan found them; devices
//! that were removed earlier are not counted. A scan that is stopped counts the devices that it has not
//! reached.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of devices left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Devices without a value for a variable that has no default, by the name of the first such variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, u64>,
    /// The same for all variables beyond the 20 (`MAX_NAMES`) that are counted by name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_others: u64,
    /// Devices that have reached their frequency cap.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub frequency_cap: u64,
    /// Devices whose push has a fault, for example a payload that is too large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invalid: u64,
    /// Devices outside the campaign's segment.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outside_segment: u64,
    /// Devices that the run did not reach because it was cut off or cancelled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_reached: u64,
}

impl LeftOut {
    /// Whether no device was left out.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the number of devices for which no push can be made.
    #[must_use]
    pub fn unsendable(&self) -> u64 {
        let missing = self
            .missing
            .values()
            .fold(0_u64, |sum, more| sum.saturating_add(*more));
        missing
            .saturating_add(self.missing_others)
            .saturating_add(self.invalid)
    }

    /// Adds devices that have no value for this variable.
    pub fn add_missing(&mut self, name: &str, devices: u64) {
        let is_full = self.missing.len() >= MAX_NAMES;
        let name: String = name.chars().take(MAX_NAME).collect();
        let count = match self.missing.get_mut(&name) {
            Some(count) => count,
            None if is_full => &mut self.missing_others,
            None => self.missing.entry(name).or_default(),
        };
        *count = count.saturating_add(devices);
    }

    /// Adds the devices left out by another part of the run.
    pub fn add(&mut self, other: &Self) {
        for (name, devices) in &other.missing {
            self.add_missing(name, *devices);
        }
        for (count, more) in [
            (&mut self.missing_others, other.missing_others),
            (&mut self.frequency_cap, other.frequency_cap),
            (&mut self.invalid, other.invalid),
            (&mut self.outside_segment, other.outside_segment),
            (&mut self.not_reached, other.not_reached),
        ] {
            *count = count.saturating_add(more);
        }
    }
}

// The lint depends on the size of a pointer, which is smaller on wasm32.
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The number of variables that are counted by name. Each scan's row contains them.
const MAX_NAMES: usize = 20;

/// The maximum length of a name, in characters; no attribute has a longer one.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_variables_are_counted_by_name_and_the_rest_together() {
        let mut left_out = LeftOut::default();
        for number in 0..MAX_NAMES + 2 {
            left_out.add_missing(&format!("name_{number:02}"), 1);
        }
        left_out.add_missing("name_00", 2);
        assert_eq!((left_out.missing.len(), left_out.missing_others), (MAX_NAMES, 2));
        assert_eq!(left_out.missing.get("name_00"), Some(&3));
        let mut sum = LeftOut::default();
        sum.add_missing("another", 1);
        sum.add(&left_out);
        assert_eq!((sum.missing.len(), sum.missing_others), (MAX_NAMES, 3));
        assert_eq!(sum.unsendable(), left_out.unsendable() + 1);
    }

    #[test]
    fn a_long_name_is_counted_by_its_beginning() {
        let mut left_out = LeftOut::default();
        left_out.add_missing(&"x".repeat(65), 1);
        left_out.add_missing(&"x".repeat(64), 1);
        assert_eq!(left_out.missing, BTreeMap::from([("x".repeat(64), 2)]));
    }

    #[test]
    fn only_devices_without_a_push_of_their_own_are_unsendable() {
        let left_out = LeftOut {
            missing: BTreeMap::from([("name".to_owned(), 1)]),
            missing_others: 2,
            frequency_cap: 10,
            invalid: 4,
            outside_segment: 20,
            not_reached: 30,
        };
        assert_eq!(left_out.unsendable(), 7);
        let text = r#"{"missing":{"name":1},"missing_others":2,"frequency_cap":10,"invalid":4,"outside_segment":20,"not_reached":30}"#;
        assert_eq!(serde_json::to_string(&left_out).unwrap(), text);
        assert_eq!(serde_json::from_str::<LeftOut>(text).unwrap(), left_out);
        assert_eq!(serde_json::to_string(&LeftOut::default()).unwrap(), "{}");
    }
}
