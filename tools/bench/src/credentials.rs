//! Keys made for one start of one sender: a provider token that is newer than one of 20 minutes ago is refused, so no
//! two programs may sign with the same key.

use anyhow::Result;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

/// The team of all keys.
pub(crate) const TEAM_ID: &str = "TEAMBENCH1";

/// The app's topic.
pub(crate) const TOPIC: &str = "com.example.bench";

/// A signing key.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// Its id, 10 characters.
    pub(crate) key_id: String,
    /// The private key as PKCS #8 in PEM: the form of Apple's `.p8` files.
    pub(crate) private_pem: String,
    public_pem: String,
}

impl Credentials {
    /// A new key, the so-manieth of this run.
    pub(crate) fn generate(number: u32) -> Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self {
            key_id: format!("BENCH{number:05}"),
            private_pem: pair.serialize_pem(),
            public_pem: pair.public_key_pem(),
        })
    }

    /// What the APNs server must know of it.
    pub(crate) fn registration(&self) -> Value {
        json!({ "team_id": TEAM_ID, "key_id": self.key_id, "public_key_pem": self.public_pem })
    }
}
