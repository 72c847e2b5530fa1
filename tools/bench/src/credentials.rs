//! Signing keys, one per start of a sender. APNs refuses a provider token that is newer than another of the
//! last 20 minutes, so no two programs may sign with the same key.

use anyhow::Result;
use serde_json::Value;
use testbed::keys::SigningKey;
use testbed::settings::App;

use crate::order::APP;

/// The team of all keys.
pub(crate) const TEAM_ID: &str = "TEAMBENCH1";

/// The app's topic.
pub(crate) const TOPIC: &str = "com.example.bench";

/// A signing key.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// Its id, 10 characters.
    pub(crate) key_id: String,
    pub(crate) key: SigningKey,
}

impl Credentials {
    /// Generates the `number`-th key of this run.
    pub(crate) fn generate(number: u32) -> Result<Self> {
        Ok(Self {
            key_id: format!("BENCH{number:05}"),
            key: SigningKey::generate()?,
        })
    }

    /// Returns the app that sends with it.
    pub(crate) fn app(&self) -> App<'_> {
        App {
            name: APP,
            topic: TOPIC,
            environment: "production",
            team_id: TEAM_ID,
            key_id: &self.key_id,
        }
    }

    /// Returns its registration at the APNs server.
    pub(crate) fn registration(&self) -> Value {
        self.app().key_document(&self.key.public_pem)
    }
}
