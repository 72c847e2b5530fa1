//! The two APNs environments, which share nothing: a device token of one is a bad token in the other.
//!
//! Source: Apple, "Sending notification requests to APNs".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The APNs environment that a device token, a key and a connection belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Apps from the App Store, TestFlight and enterprise distribution.
    Production,
    /// Apps run from Xcode; Apple also calls it development.
    Sandbox,
}

impl Environment {
    /// Both environments.
    pub const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    /// Returns its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }

    /// Returns the host that accepts its pushes, on ports 443 and 2197.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Production => "api.push.apple.com",
            Self::Sandbox => "api.sandbox.push.apple.com",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of an environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `production` or `sandbox`")]
pub struct UnknownEnvironment;

impl FromStr for Environment {
    type Err = UnknownEnvironment;

    fn from_str(text: &str) -> Result<Self, UnknownEnvironment> {
        Self::ALL
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or(UnknownEnvironment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_are_apples() {
        assert_eq!(
            Environment::ALL.map(Environment::host),
            ["api.push.apple.com", "api.sandbox.push.apple.com"]
        );
    }

    #[test]
    fn an_environment_is_read_back_from_its_name() {
        for environment in Environment::ALL {
            assert_eq!(environment.as_str().parse(), Ok(environment));
        }
        assert_eq!("development".parse::<Environment>(), Err(UnknownEnvironment));
    }
}
