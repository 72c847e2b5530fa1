//! An app: a configured sender.

use std::fmt;

use serde_json::{Map, Value};

use super::text;
use super::transport::Transport;
use apns::Environment;
use apns::credential::{Credential, IdError, KeyId, SigningKey, TeamId};
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::topic::{self, BundleId};

/// A configured sender.
#[derive(Clone, Debug)]
pub struct App {
    /// The name that callers use.
    pub name: String,
    /// The credential that signs its provider tokens.
    pub credential: Credential,
    /// The bundle id: the topic without a push type's suffix.
    pub bundle_id: BundleId,
    /// The text of the credential's `.p8` file.
    pub signing_key: SigningKeyText,
    /// The transport of its pushes.
    pub transport: Transport,
    /// Settings that work but are probably mistakes.
    pub warnings: Faults,
}

/// An app whose settings have faults. It cannot send. Other apps are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenApp {
    /// The name that callers use.
    pub name: String,
    /// The faults, each at its variable.
    pub faults: Faults,
}

/// The text of a `.p8` file, as it is in the secret. Its `Debug` hides it.
#[derive(Clone)]
pub struct SigningKeyText(String);

impl SigningKeyText {
    /// Returns the text, for signing.
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

/// Returns the name of the secret with the `.p8` file of a key.
#[must_use]
pub(super) fn key_secret(key_id: &str) -> String {
    format!("APNS_KEY_{key_id}")
}

/// The apps of a deployment.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) apps: Vec<App>,
    pub(super) broken: Vec<BrokenApp>,
}

/// Reads the value of the variable `APPS`, or null if it is missing. `setting` finds the keys' secrets.
///
/// A fault of an app disables only that app. A fault of the whole variable is added to `fatal`.
pub(super) fn read_all(
    value: &Value,
    transport: Transport,
    setting: &impl Fn(&str) -> Option<String>,
    fatal: &mut Faults,
) -> Read {
    let root = Pointer::Root;
    let at = root.key(super::APPS);
    let mut all = Read::default();
    if value.is_null() {
        return all;
    }
    let Some(map) = fault::open_object(value, &at, fatal) else {
        return all;
    };
    if map.is_empty() {
        fatal.add(&at, FaultKind::Invalid("names no app".to_owned()));
    }
    for (name, value) in map {
        let mut faults = Faults::default();
        let at = at.key(name);
        if !is_name(name) {
            let text = format!("an app's name has 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`");
            faults.add(&at, FaultKind::Invalid(text));
        }
        match read(name, value, transport, setting, &at, &mut faults) {
            Some(app) if faults.is_empty() => all.apps.push(app),
            _ => all.broken.push(BrokenApp {
                name: name.clone(),
                faults,
            }),
        }
    }
    all
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
        BundleId::parse(text::unquoted(&text))
            .map_err(|error| invalid(&at.key("topic"), &error, faults))
            .ok()
    });
    let environment = word::<Environment>(map, "environment", Environment::Production, at, faults);
    let transport = word::<Transport>(map, "transport", transport, at, faults);
    let (team_id, key_id) = (team_id?, key_id?);
    let signing_key = signing_key(&team_id, &key_id, setting, at, faults);
    let bundle_id = bundle_id?;
    let warnings = warnings(&bundle_id, at);
    Some(App {
        name: name.to_owned(),
        credential: Credential {
            team_id,
            key_id,
            environment: environment?,
        },
        bundle_id,
        signing_key: signing_key?,
        transport: transport?,
        warnings,
    })
}

fn warnings(bundle_id: &BundleId, at: &Pointer<'_>) -> Faults {
    let mut warnings = Faults::default();
    if let Some((push_type, base)) = topic::suffixed(bundle_id.as_str()) {
        let suffix = push_type.rules().topic_suffix;
        let text = format!(
            "ends in `{suffix}`, which is added for pushes of type `{push_type}`. Unless the bundle id in Xcode \
             really ends so, write `{base}`"
        );
        warnings.add(&at.key("topic"), FaultKind::Invalid(text));
    }
    warnings
}

/// Reads a word with a default, ignoring case.
fn word<T: std::str::FromStr<Err: fmt::Display>>(
    map: &Map<String, Value>,
    field: &str,
    default: T,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<T> {
    let at = at.key(field);
    let Some(value) = map.get(field).filter(|value| !value.is_null()) else {
        return Some(default);
    };
    let text = fault::string(value, &at, faults)?;
    let word = text::unquoted(text).to_ascii_lowercase();
    word.parse().map_err(|error| invalid(&at, &error, faults)).ok()
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
    text::unquoted(&text)
        .parse()
        .map_err(|error| invalid(&at.key(field), &error, faults))
        .ok()
}

/// Reads a required text. An id with only digits may be written as a number.
fn required(map: &Map<String, Value>, field: &str, at: &Pointer<'_>, faults: &mut Faults) -> Option<String> {
    let at = at.key(field);
    match map.get(field) {
        None | Some(Value::Null) => {
            faults.add(&at, FaultKind::Missing);
            None
        }
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(value) => fault::string(value, &at, faults).map(str::to_owned),
    }
}

fn invalid(at: &Pointer<'_>, error: &impl fmt::Display, faults: &mut Faults) {
    faults.add(at, FaultKind::Invalid(error.to_string()));
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// The fields of an app.
const FIELDS: &[&str] = &["team_id", "key_id", "topic", "environment", "transport"];

/// The longest name of an app in bytes. It is part of metrics and of stored data.
const MAX_NAME: usize = 64;
