//! `apns-edge key new`: an API key, and what the deployment is told of it.
//!
//! The deployment keeps the key's SHA-256 alone (`API_KEYS`), so that the key itself exists where it is printed and
//! nowhere else.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;

/// What can be done about API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    New(New),
}

/// Make a random API key, and its entry for the deployment's secret API_KEYS
#[derive(Debug, Args)]
pub(crate) struct New {
    /// What you call the caller that will have the key
    #[arg(long, value_name = "NAME", default_value = "backend")]
    name: String,
    /// An app that the key reaches; may be given several times [default: all]
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<String>,
}

impl Key {
    /// Runs the command.
    pub(crate) fn run(&self, screen: Screen) -> Result<Exit, Failure> {
        let Self::New(new) = self;
        let key = random_hex::<KEY_BYTES>()?;
        let entry = new.entry(&key);
        let document = json!({"key": key, "entry": entry}).to_string();
        screen.result(&document, || {
            format!(
                "The API key, shown this once; your backend sends it as `Authorization: Bearer`:\n\n{key}\n\n\
                 Its entry for the list in the deployment's secret API_KEYS (`npx wrangler secret put API_KEYS`):\n\n{entry}"
            )
        })?;
        Ok(Exit::Done)
    }
}

impl New {
    fn entry(&self, key: &str) -> Value {
        let apps = if self.apps.is_empty() {
            json!("*")
        } else {
            json!(self.apps)
        };
        json!({"name": self.name, "sha256": hex(&Sha256::digest(key.as_bytes())), "apps": apps})
    }
}

/// Random bytes of the operating system, in hex.
///
/// # Errors
/// The operating system has none.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Usage(format!("the operating system gives no random bytes: {error}")))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The size of an API key: 256 bits, so that its fast hash can be known to anyone.
const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_format_unchanged() {
        // Operators paste it into API_KEYS. The hash is that of FIPS 180-2, appendix B.1.
        let new = New {
            name: "backend".to_owned(),
            apps: vec!["shop".to_owned(), "news".to_owned()],
        };
        assert_eq!(
            new.entry("abc").to_string(),
            r#"{"name":"backend","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","apps":["shop","news"]}"#
        );
    }

    #[test]
    fn a_key_without_apps_reaches_all() {
        let new = New {
            name: "ops".to_owned(),
            apps: Vec::new(),
        };
        assert_eq!(new.entry("abc")["apps"], "*");
    }

    #[test]
    fn keys_are_of_full_length_and_not_alike() {
        let (one, other) = (
            random_hex::<KEY_BYTES>().unwrap(),
            random_hex::<KEY_BYTES>().unwrap(),
        );
        assert_eq!((one.len(), other.len()), (64, 64));
        assert_ne!(one, other);
    }
}
