//! A deployment for this crate's tests: two apps with one key, and their callers.

use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::config::{API_KEYS, APPS, Caller, Config};
use apns::time::Timestamp;

/// The time of the tests' requests.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

/// The seed of the tests' apns-ids.
pub(super) const SEED: [u8; 16] = [0xab; 16];

/// Returns a configuration with the apps `shop` and `news`. Each caller's key is its name followed by `-key`:
/// `backend` has access to `shop`, `editor` to both, `intern` to none.
pub(super) fn config() -> Config {
    config_with(|_| None)
}

/// Returns the same configuration. Settings that `own` returns take precedence.
pub(super) fn config_with(own: impl Fn(&str) -> Option<String>) -> Config {
    Config::load(|name| own(name).or_else(|| setting(name))).unwrap()
}

/// Returns a configuration with a third app, `broken`, whose signing key is missing. The caller `editor` has
/// access to all.
pub(super) fn with_broken_app() -> Config {
    config_with(|name| {
        let mut value: serde_json::Value = serde_json::from_str(&setting(name)?).ok()?;
        match name {
            APPS => {
                value["broken"] =
                    json!({"team_id": "TEAM123456", "key_id": "NOKEY12345", "topic": "com.example.b"});
            }
            API_KEYS => value[1]["apps"] = json!("*"),
            _ => return None,
        }
        Some(value.to_string())
    })
}

/// Returns the caller with this name.
pub(super) fn caller<'c>(config: &'c Config, name: &str) -> &'c Caller {
    config
        .api_keys
        .iter()
        .map(crate::config::ApiKey::caller)
        .find(|caller| caller.name == name)
        .unwrap()
}

/// Returns the text of the `.p8` file of both apps.
pub(super) fn p8() -> String {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn setting(name: &str) -> Option<String> {
    match name {
        APPS => Some(
            json!({
                "shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"},
                "news": {
                    "team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.news",
                    "environment": "sandbox",
                },
            })
            .to_string(),
        ),
        API_KEYS => Some(
            json!([
                {"name": "backend", "sha256": sha256("backend-key"), "apps": ["shop"]},
                {"name": "editor", "sha256": sha256("editor-key"), "apps": ["shop", "news"]},
                {"name": "intern", "sha256": sha256("intern-key"), "apps": []},
            ])
            .to_string(),
        ),
        "APNS_KEY_KEY1234567" => Some(p8()),
        _ => None,
    }
}

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
