//! The two environments of APNs. A device token, a key and a listener belong to one of them.

use serde::{Deserialize, Serialize};

/// Production or sandbox (Apple also says "development").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// `api.push.apple.com`.
    Production,
    /// `api.sandbox.push.apple.com`.
    Sandbox,
}

impl Environment {
    /// Both, in the order in which they are stored.
    pub const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    /// Returns the name that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

/// One value per environment.
#[derive(Debug, Default)]
pub(crate) struct PerEnvironment<T> {
    production: T,
    sandbox: T,
}

impl<T> PerEnvironment<T> {
    pub(crate) fn of(&self, environment: Environment) -> &T {
        match environment {
            Environment::Production => &self.production,
            Environment::Sandbox => &self.sandbox,
        }
    }
}
