//! Devices, as they are registered at the server and read from it.

use serde::{Deserialize, Serialize};

use crate::devices::Standing;
use crate::environment::Environment;
use crate::screens::Screen;

/// The length of the device tokens of a [`DeviceRange`] in bytes: that of an app's tokens.
pub(crate) const RANGE_TOKEN_BYTES: usize = 32;

/// Devices to register, with the same properties. Their tokens are listed, generated, or both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Their environment.
    pub environment: Environment,
    /// Their topic with its suffix. Absent for any topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// Their state. Registered if absent.
    #[serde(default = "registered")]
    pub state: Standing,
    /// Since when they are gone, in milliseconds. The current time if absent.
    #[serde(default)]
    pub since: Option<i64>,
    /// Tokens in hex.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Tokens that the server generates.
    #[serde(default)]
    pub range: Option<DeviceRange>,
}

fn registered() -> Standing {
    Standing::Registered
}

impl Registration {
    /// Creates the registration of one device.
    pub fn device(environment: Environment, topic: &str, token: &str) -> Self {
        Self {
            environment,
            topic: Some(topic.to_owned()),
            state: Standing::Registered,
            since: None,
            tokens: vec![token.to_owned()],
            range: None,
        }
    }
}

/// Generated tokens: `prefix`, then a number in hex, padded with zeros to 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRange {
    /// The hex digits with which each token begins.
    #[serde(default)]
    pub prefix: String,
    /// The first number.
    #[serde(default)]
    pub first: u64,
    /// The number of tokens.
    pub count: u64,
}

impl DeviceRange {
    /// Returns the token of a number.
    pub fn token(&self, number: u64) -> String {
        let width = (RANGE_TOKEN_BYTES * 2).saturating_sub(self.prefix.len());
        format!("{}{number:0width$x}", self.prefix)
    }
}

/// A device as the server knows it, and what it shows.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceView {
    /// Its environment.
    pub environment: Environment,
    /// Its topic. Absent for any topic.
    pub topic: Option<String>,
    /// Its state.
    pub state: Standing,
    /// Since when it is gone, in milliseconds. 0 if it is registered.
    pub since: i64,
    /// What it shows.
    pub screen: Screen,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_makes_tokens_of_64_digits() {
        let range = DeviceRange {
            prefix: "abc".to_owned(),
            first: 0,
            count: 1,
        };
        assert_eq!(range.token(255), format!("abc{}ff", "0".repeat(59)));
    }
}
