//! Devices as they are told to the server and asked of it.

use serde::{Deserialize, Serialize};

use crate::devices::Standing;
use crate::environment::Environment;
use crate::screens::Screen;

/// Bytes of the device tokens that [`DeviceRange`] makes: those of an app.
pub(crate) const RANGE_TOKEN_BYTES: usize = 32;

/// Devices to register, all alike. The tokens are listed or made or both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Where they belong.
    pub environment: Environment,
    /// Their topic with its suffix; absent for any topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// What became of them; registered if absent.
    #[serde(default = "registered")]
    pub state: Standing,
    /// Since when they are gone, in milliseconds; now if absent.
    #[serde(default)]
    pub since: Option<i64>,
    /// Tokens in hex.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Tokens made by the server.
    #[serde(default)]
    pub range: Option<DeviceRange>,
}

fn registered() -> Standing {
    Standing::Registered
}

impl Registration {
    /// One registered device.
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

/// Tokens made from a number: `prefix` and then the number in hex, padded with zeros to 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRange {
    /// Hex digits that each token starts with.
    #[serde(default)]
    pub prefix: String,
    /// The first number.
    #[serde(default)]
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl DeviceRange {
    /// The token of a number.
    pub fn token(&self, number: u64) -> String {
        let width = (RANGE_TOKEN_BYTES * 2).saturating_sub(self.prefix.len());
        format!("{}{number:0width$x}", self.prefix)
    }
}

/// A device as the server knows it, and what it shows.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceView {
    /// Where it belongs.
    pub environment: Environment,
    /// Its topic; absent for any.
    pub topic: Option<String>,
    /// What became of it.
    pub state: Standing,
    /// Since when it is gone, in milliseconds; 0 if it is registered.
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
