//! An app: a configured sender.

use std::fmt;

use serde_json::{Map, Value};

use super::transport::Transport;
use crate::apns::Environment;
use crate::apns::credential::{Credential, IdError, KeyId, SigningKey, TeamId};
use crate::apns::topic::BundleId;
use crate::fault::{self, FaultKind, Faults, Pointer};

/// A configured sender.
#[derive(Clone, Debug)]
pub struct App {
    /// What callers call it.
    pub name: String,
    /// Whose provider token its pushes carry.
    pub credential: Credential,
    /// Its bundle id, the topic without a push type's suffix.
    pub bundle_id: BundleId,
    /// The text of the `.p8` file that the credential signs with.
    pub signing_key: SigningKeyText,
    /// How its pushes travel.
    pub transport: Transport,
}

/// The text of a `.p8` file, as the secret has it. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningKeyText(String);

impl SigningKeyText {
    /// The text, for the one place that signs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeyText(…)")
    }
}

/// The name of the secret that holds the `.p8` file of a key.
#[must_use]
pub(super) fn key_secret(key_id: &str) -> String {
    format!("APNS_KEY_{key_id}")
}

/// Reads the value of the variable `APPS`, null if it has none; `setting` finds the keys' secrets.
pub(super) fn read_all(
    value: &Value,
    transport: Transport,
    setting: &impl Fn(&str) -> Option<String>,
    faults: &mut Faults,
) -> Vec<App> {
    let root = Pointer::Root;
    let at = root.key(super::APPS);
    if value.is_null() {
        return Vec::new();
    }
    let Some(map) = fault::open_object(value, &at, faults) else {
        return Vec::new();
    };
    if map.is_empty() {
        faults.add(&at, FaultKind::Invalid("names no app".to_owned()));
    }
    let mut apps: Vec<App> = Vec::new();
    for (name, value) in map {
        let at = at.key(name);
        if !is_name(name) {
            let text = format!("an app's name has 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`");
            faults.add(&at, FaultKind::Invalid(text));
        }
        apps.extend(read(name, value, transport, setting, &at, faults));
    }
    apps
}

fn read(
    name: &str,
    value: &Value,
    transport: Transport,
    setting: &impl Fn(&str) -> Option<String>,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<App> {
    let map = fault::object(value, at, FIELDS, faults)?;
    let team_id = id::<TeamId>(map, "team_id", at, faults);
    let key_id = id::<KeyId>(map, "key_id", at, faults);
    let bundle_id = required(map, "topic", at, faults).and_then(|text| {
        BundleId::parse(text)
            .map_err(|error| invalid(&at.key("topic"), &error, faults))
            .ok()
    });
    let environment = match map.get("environment") {
        None => Some(Environment::Production),
        Some(value) => fault::string(value, &at.key("environment"), faults).and_then(|text| {
            text.parse()
                .map_err(|error| invalid(&at.key("environment"), &error, faults))
                .ok()
        }),
    };
    let transport = match map.get("transport") {
        None => Some(transport),
        Some(value) => fault::string(value, &at.key("transport"), faults).and_then(|text| {
            text.parse::<Transport>()
                .map_err(|error| invalid(&at.key("transport"), &error, faults))
                .ok()
        }),
    };
    let (team_id, key_id) = (team_id?, key_id?);
    let signing_key = signing_key(&team_id, &key_id, setting, at, faults);
    Some(App {
        name: name.to_owned(),
        credential: Credential {
            team_id,
            key_id,
            environment: environment?,
        },
        bundle_id: bundle_id?,
        signing_key: signing_key?,
        transport: transport?,
    })
}

fn signing_key(
    team_id: &TeamId,
    key_id: &KeyId,
    setting: &impl Fn(&str) -> Option<String>,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<SigningKeyText> {
    let secret = key_secret(key_id.as_str());
    let Some(text) = setting(&secret) else {
        if setting(&key_secret(team_id.as_str())).is_some() {
            let text = "seems to be the team id, and `team_id` the key id: there is a secret for the other one. Swap them";
            faults.add(&at.key("key_id"), FaultKind::Conflict(text.to_owned()));
        } else {
            faults.add(&Pointer::Root.key(&secret), FaultKind::Missing);
        }
        return None;
    };
    match text.parse::<SigningKey>() {
        Ok(_) => Some(SigningKeyText(text)),
        Err(error) => {
            invalid(&Pointer::Root.key(&secret), &error, faults);
            None
        }
    }
}

fn id<T: std::str::FromStr<Err = IdError>>(
    map: &Map<String, Value>,
    field: &str,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<T> {
    let text = required(map, field, at, faults)?;
    text.parse()
        .map_err(|error| invalid(&at.key(field), &error, faults))
        .ok()
}

fn required<'m>(
    map: &'m Map<String, Value>,
    field: &str,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<&'m str> {
    let at = at.key(field);
    let Some(value) = map.get(field) else {
        faults.add(&at, FaultKind::Missing);
        return None;
    };
    fault::string(value, &at, faults)
}

fn invalid(at: &Pointer<'_>, error: &impl fmt::Display, faults: &mut Faults) {
    faults.add(at, FaultKind::Invalid(error.to_string()));
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// What an app is configured with.
const FIELDS: &[&str] = &["team_id", "key_id", "topic", "environment", "transport"];

/// The longest name of an app; it stands in metrics and in storage.
const MAX_NAME: usize = 64;
