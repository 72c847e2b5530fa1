//! How urgent a push is.
//!
//! Source: Apple, "Sending notification requests to APNs", `apns-priority`.

use std::fmt;

/// What `apns-priority` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Immediately.
    Ten,
    /// With regard to the device's power.
    Five,
    /// The device's power comes first, and it is not woken.
    One,
}

impl Priority {
    /// The priority with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            10 => Some(Self::Ten),
            5 => Some(Self::Five),
            1 => Some(Self::One),
            _ => None,
        }
    }

    /// The header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ten => "10",
            Self::Five => "5",
            Self::One => "1",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_three_priorities() {
        let known: Vec<&str> = (0..=20)
            .filter_map(Priority::from_number)
            .map(Priority::as_str)
            .collect();
        assert_eq!(known, ["1", "5", "10"]);
    }
}
