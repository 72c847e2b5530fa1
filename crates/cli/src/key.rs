//! `apns-edge key new`: creates an API key, and its entry for the deployment.
//!
//! The deployment stores only the key's SHA-256 (`API_KEYS`), so the key itself exists only where it is
//! printed. The name of a key is its identity and must be unique. If no name is given, it is made of the
//! key's apps and random digits.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// The commands about API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    New(New),
}

/// Create a random API key, and its entry for the deployment's secret API_KEYS
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The name of the caller; each key needs its own [default: the apps and six random digits]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
    /// An app that the key can use; can be repeated [default: all]
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<String>,
}

impl Key {
    /// Runs the command.
    pub(crate) fn run(&self, output: Output) -> Result<Exit, Failure> {
        let Self::New(new) = self;
        let (key, entry) = new.make()?;
        let document = json!({"key": key, "entry": entry}).to_string();
        output.result(&document, || {
            format!(
                "The API key, shown this once; your backend sends it as `Authorization: Bearer`:\n\n{key}\n\n\
                 Its entry for the list in the deployment's secret API_KEYS (`npx wrangler secret put API_KEYS`):\n\n{entry}"
            )
        })?;
        Ok(Exit::Done)
    }
}

/// Creates a key with access to one app, and its entry.
///
/// # Errors
/// The operating system returns no random bytes.
pub(crate) fn new_for(app: &str) -> Result<(String, Value), Failure> {
    let (name, apps) = (None, vec![app.to_owned()]);
    New { name, apps }.make()
}

impl New {
    fn make(&self) -> Result<(String, Value), Failure> {
        let key = random_hex::<KEY_BYTES>()?;
        let entry = self.entry(&key, &random_hex::<SUFFIX_BYTES>()?);
        Ok((key, entry))
    }

    fn entry(&self, key: &str, suffix: &str) -> Value {
        let apps = if self.apps.is_empty() {
            json!("*")
        } else {
            json!(self.apps)
        };
        json!({"name": self.name(suffix), "sha256": hex(&Sha256::digest(key.as_bytes())), "apps": apps})
    }

    /// Returns the name of the key. `suffix` makes generated names unique.
    fn name(&self, suffix: &str) -> String {
        match (&self.name, self.apps.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, []) => format!("all-{suffix}"),
            (None, [app]) => format!("{app}-{suffix}"),
            (None, [app, others @ ..]) => format!("{app}-and-{}-{suffix}", others.len()),
        }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a key's name is not blank".to_owned()),
        name if name.len() > MAX_NAME => Err(format!("a key's name has at most {MAX_NAME} bytes")),
        name => Ok(name.to_owned()),
    }
}

/// Returns random bytes of the operating system, in hex.
///
/// # Errors
/// The operating system returns none.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Usage(format!("the operating system gives no random bytes: {error}")))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The random bytes in a generated name: enough that the few keys of a deployment do not collide.
const SUFFIX_BYTES: usize = 3;

/// The longest name in bytes that a deployment accepts.
const MAX_NAME: usize = 256;

/// The size of an API key in bytes. With 256 random bits, its fast hash reveals nothing.
const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_format_unchanged() {
        // Operators paste it into API_KEYS. The hash is that of FIPS 180-2, appendix B.1.
        let new = New {
            name: Some("backend".to_owned()),
            apps: vec!["shop".to_owned(), "news".to_owned()],
        };
        assert_eq!(
            new.entry("abc", "0a1b2c").to_string(),
            r#"{"name":"backend","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","apps":["shop","news"]}"#
        );
    }

    #[test]
    fn a_key_without_apps_reaches_all() {
        let new = New {
            name: Some("ops".to_owned()),
            apps: Vec::new(),
        };
        assert_eq!(new.entry("abc", "0a1b2c")["apps"], "*");
    }

    #[test]
    fn a_name_that_nobody_chose_is_of_the_apps_and_random() {
        let name = |apps: &[&str]| {
            let apps = apps.iter().map(|app| (*app).to_owned()).collect();
            New { name: None, apps }.name("0a1b2c")
        };
        assert_eq!(name(&[]), "all-0a1b2c");
        assert_eq!(name(&["shop"]), "shop-0a1b2c");
        assert_eq!(name(&["shop", "news", "tv"]), "shop-and-2-0a1b2c");
        assert!(parse_name(" \n").is_err() && parse_name(&"n".repeat(257)).is_err());
        assert_eq!(parse_name(&"n".repeat(256)).unwrap().len(), 256);
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
