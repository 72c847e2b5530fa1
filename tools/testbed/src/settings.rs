//! The settings of a Worker: apps, signing keys, API keys.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use crate::keys::sha256_hex;

/// The variables and secrets of a Worker.
pub type Settings = BTreeMap<String, String>;

/// An app with its own team and signing key.
#[derive(Debug, Clone, Copy)]
pub struct App<'a> {
    /// Its name at the Worker.
    pub name: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// `production` or `sandbox`.
    pub environment: &'a str,
    /// The team of its signing key.
    pub team_id: &'a str,
    /// The id of its signing key.
    pub key_id: &'a str,
}

impl App<'_> {
    /// Returns the app as it is in the variable `APPS`.
    pub fn document(&self) -> Value {
        json!({
            "team_id": self.team_id,
            "key_id": self.key_id,
            "topic": self.topic,
            "environment": self.environment,
        })
    }

    /// Returns the registration of the app's key at apns-mock.
    pub fn key_document(&self, public_pem: &str) -> Value {
        json!({ "team_id": self.team_id, "key_id": self.key_id, "public_key_pem": public_pem })
    }
}

/// A caller of the Worker.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its name at the Worker.
    pub name: String,
    /// Its API key.
    pub key: String,
    /// The names of the apps to which it has access, or `"*"`.
    pub apps: Value,
}

/// Returns the settings of a Worker: its apps with their private keys, its callers, and the origins of APNs.
pub fn settings(apps: &[(App<'_>, String)], callers: &[Caller], origins: String) -> Settings {
    let documents = apps.iter().map(|(app, _)| (app.name.to_owned(), app.document()));
    let callers = callers
        .iter()
        .map(|Caller { name, key, apps }| json!({ "name": name, "sha256": sha256_hex(key), "apps": apps }));
    let mut settings = BTreeMap::from([
        (
            "APPS".to_owned(),
            Value::from(documents.collect::<Map<_, _>>()).to_string(),
        ),
        (
            "API_KEYS".to_owned(),
            Value::from(callers.collect::<Vec<_>>()).to_string(),
        ),
        ("APNS_ORIGINS".to_owned(), origins),
    ]);
    for (app, private_pem) in apps {
        settings.insert(format!("APNS_KEY_{}", app.key_id), private_pem.clone());
    }
    settings
}

/// Returns the origins of an APNs server on this machine. They have a host name, because the mock's
/// certificate is for `localhost`.
pub fn origins(production: u16, sandbox: u16) -> String {
    json!({
        "production": format!("https://localhost:{production}"),
        "sandbox": format!("https://localhost:{sandbox}"),
    })
    .to_string()
}

/// Returns the settings in the format that wrangler reads. Returns an error if the format cannot represent a
/// value.
pub(crate) fn env_file(settings: &Settings) -> Result<String> {
    let mut file = String::new();
    for (name, value) in settings {
        ensure!(
            !value.contains(['\'', '$']),
            "the value of {name} holds a character that has a meaning in the file of settings"
        );
        file += &format!("{name}='{value}'\n");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::env_file;
    use std::collections::BTreeMap;

    #[test]
    fn settings_are_quoted_and_keep_their_lines() {
        let file = |name: &str, value: &str| env_file(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(file("A", "{\"b\":1}").unwrap(), "A='{\"b\":1}'\n");
        assert_eq!(file("P", "x\ny\n").unwrap(), "P='x\ny\n'\n");
        assert!(file("A", "it's").is_err());
        assert!(file("A", "$HOME").is_err());
    }
}
