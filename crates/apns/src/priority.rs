//! How urgent a push is.
//!
//! Source: Apple, "Sending notification requests to APNs", `apns-priority`.

use std::fmt;

/// The value of `apns-priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Send immediately.
    Ten,
    /// Send with regard to the device's power.
    Five,
    /// Prefer the device's power, and do not wake it.
    One,
}

impl Priority {
    /// Returns the priority with this number. Returns `None` if there is none.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            10 => Some(Self::Ten),
            5 => Some(Self::Five),
            1 => Some(Self::One),
            _ => None,
        }
    }

    /// Returns the header's value.
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
