//! One device of an import: a line of JSON, or a row of a table.
//!
//! There are two ways to read a line. The plain way makes no tree of the whole, takes a device without faults alone, and
//! gives up on the first thing that it does not know; the careful way reads any JSON and says all that is wrong. What both
//! take, they read alike. Null is taken for a field that is not there: exports of databases are full of it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::lines;
use crate::api::order::MAX_REF;
use crate::apns::DeviceToken;
use crate::config::App;
use crate::delivery::audience::Device;
use crate::delivery::audience::device::{MOMENT_RULE, moment};
use crate::delivery::audience::locale;
use crate::delivery::schedule::is_zone;
use crate::fault::{self, FaultKind, Faults, Pointer};
use crate::time::Timestamp;

/// Reads the device in a line; none if the line is the last one of an export.
pub(super) fn read_line(text: &[u8], app: &App) -> Result<Option<Device>, Faults> {
    if let Ok(line) = std::str::from_utf8(text)
        && let Ok(plain) = serde_json::from_str::<Plain>(line)
        && let Ok(device) = plain.device(app)
    {
        return Ok(Some(device));
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| lines::not_json(&error))?;
    if value
        .as_object()
        .is_some_and(|map| map.len() == 1 && map.contains_key("cursor"))
    {
        return Ok(None);
    }
    let mut faults = Faults::default();
    let device = read(&value, app, &mut faults);
    faults.or(device)
}

/// A device as it is written, with nothing checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    token: String,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    attributes: Option<Map<String, Value>>,
    #[serde(default)]
    registered_at: Option<Value>,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    environment: Option<String>,
}

impl Plain {
    fn device(self, app: &App) -> Result<Device, FaultKind> {
        let mut device = Device::new(token(&self.token)?);
        if let Some(name) = &self.app {
            is_app(name, app)?;
        }
        if let Some(name) = &self.environment {
            is_environment(name, app)?;
        }
        if let Some(text) = self.reference {
            device.reference = Some(reference(text)?);
        }
        if let Some(text) = &self.locale {
            device.locale = Some(tag_of_locale(text)?);
        }
        if let Some(text) = self.time_zone {
            device.time_zone = Some(time_zone(text)?);
        }
        if let Some(tags) = self.tags {
            are_few(tags.len(), MAX_TAGS, "tags")?;
            device.tags = tags.into_iter().map(tag).collect::<Result<_, _>>()?;
        }
        if let Some(mut attributes) = self.attributes {
            attributes.retain(|_, value| !value.is_null());
            are_few(attributes.len(), MAX_ATTRIBUTES, "attributes")?;
            for (name, value) in &attributes {
                is_attribute(name, value)?;
            }
            device.attributes = attributes;
        }
        if let Some(value) = &self.registered_at {
            device.registered_at = Some(registered_at(value)?);
        }
        Ok(device)
    }
}

/// The careful way.
fn read(value: &Value, app: &App, faults: &mut Faults) -> Option<Device> {
    let root = Pointer::Root;
    let map = fault::object(value, &root, FIELDS, faults)?;
    let given = |name: &str| map.get(name).filter(|value| !value.is_null());
    let mut device = Device::new(String::new());
    match given("token") {
        None => faults.add(&root.key("token"), FaultKind::Missing),
        Some(value) => {
            device.token = text(value, &root.key("token"), faults, |text| token(&text)).unwrap_or_default();
        }
    }
    let mut optional = |name: &str, read: fn(String) -> Result<String, FaultKind>| {
        given(name).and_then(|value| text(value, &root.key(name), faults, read))
    };
    device.reference = optional("ref", reference);
    device.locale = optional("locale", |text| tag_of_locale(&text));
    device.time_zone = optional("time_zone", time_zone);
    for (name, is_ours) in [
        ("app", is_app as fn(&str, &App) -> _),
        ("environment", is_environment),
    ] {
        if let Some(value) = given(name) {
            let at = root.key(name);
            let stated = fault::string(value, &at, faults);
            note(stated.map_or(Ok(()), |stated| is_ours(stated, app)), &at, faults);
        }
    }
    if let Some(value) = given("tags") {
        let at = root.key("tags");
        let values = fault::array(value, &at, faults).unwrap_or_default();
        if note(are_few(values.len(), MAX_TAGS, "tags"), &at, faults).is_some() {
            let read = values.iter().enumerate();
            device.tags = read
                .filter_map(|(place, value)| text(value, &at.index(place), faults, tag))
                .collect();
        }
    }
    if let Some(value) = given("attributes") {
        device.attributes = attributes(value, &root.key("attributes"), faults);
    }
    if let Some(value) = given("registered_at") {
        device.registered_at = note(registered_at(value), &root.key("registered_at"), faults);
    }
    Some(device)
}

fn attributes(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Map<String, Value> {
    let Some(map) = fault::open_object(value, at, faults) else {
        return Map::new();
    };
    let given = map.iter().filter(|(_, value)| !value.is_null());
    let given: Map<String, Value> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    if note(are_few(given.len(), MAX_ATTRIBUTES, "attributes"), at, faults).is_some() {
        for (name, value) in &given {
            note(is_attribute(name, value), &at.key(name), faults);
        }
    }
    given
}

/// Reads a text that passes.
fn text<T>(
    value: &Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
    read: impl Fn(String) -> Result<T, FaultKind>,
) -> Option<T> {
    let text = fault::string(value, at, faults)?.to_owned();
    note(read(text), at, faults)
}

/// What was read, or nothing and a fault.
pub(super) fn note<T>(read: Result<T, FaultKind>, at: &Pointer<'_>, faults: &mut Faults) -> Option<T> {
    read.map_err(|kind| faults.add(at, kind)).ok()
}

/// A device token in hex.
pub(super) fn token(text: &str) -> Result<String, FaultKind> {
    DeviceToken::parse(text)
        .map(|token| token.as_hex().to_owned())
        .map_err(|error| FaultKind::Invalid(error.to_string()))
}

/// A `ref`.
pub(super) fn reference(text: String) -> Result<String, FaultKind> {
    within(&text, MAX_REF)?;
    Ok(text)
}

pub(super) fn tag_of_locale(text: &str) -> Result<String, FaultKind> {
    locale::canonical(text)
        .ok_or_else(|| invalid("must be a language tag such as `de`, `de-AT` or `zh-Hant-TW`"))
}

pub(super) fn time_zone(text: String) -> Result<String, FaultKind> {
    if is_zone(&text) {
        return Ok(text);
    }
    Err(invalid(
        "must be the IANA name of a time zone, such as `Europe/Berlin`",
    ))
}

pub(super) fn tag(text: String) -> Result<String, FaultKind> {
    within(&text, MAX_TAG)?;
    Ok(text)
}

pub(super) fn is_attribute(name: &str, value: &Value) -> Result<(), FaultKind> {
    if name.is_empty() {
        return Err(invalid("has no name"));
    }
    if name.len() > MAX_ATTRIBUTE_NAME {
        return Err(too_long(name.len(), MAX_ATTRIBUTE_NAME, "bytes of its name"));
    }
    if name.contains('\0') {
        return Err(invalid(NUL));
    }
    match value {
        Value::Bool(_) => Ok(()),
        Value::Number(number) if number.as_f64().is_some_and(f64::is_finite) => Ok(()),
        Value::Number(_) => Err(invalid("is beyond the range of a double")),
        Value::String(text) if text.len() > MAX_ATTRIBUTE => {
            Err(too_long(text.len(), MAX_ATTRIBUTE, "bytes"))
        }
        Value::String(text) if text.contains('\0') => Err(invalid(NUL)),
        Value::String(_) => Ok(()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(FaultKind::WrongType {
            expected: "a string, a number or a boolean",
            found: fault::type_name(value),
        }),
    }
}

pub(super) fn registered_at(value: &Value) -> Result<Timestamp, FaultKind> {
    moment(value).ok_or_else(|| invalid(MOMENT_RULE))
}

pub(super) fn is_app(name: &str, app: &App) -> Result<(), FaultKind> {
    if name == app.name {
        return Ok(());
    }
    Err(FaultKind::Conflict(format!(
        "is not the audience's, which is `{}`",
        app.name
    )))
}

pub(super) fn is_environment(name: &str, app: &App) -> Result<(), FaultKind> {
    let environment = app.credential.environment;
    if name == environment.as_str() {
        return Ok(());
    }
    let text = format!("is not the app's, which is {environment}; APNs would call the token bad");
    Err(FaultKind::Conflict(text))
}

pub(super) const fn are_few(count: usize, limit: usize, unit: &'static str) -> Result<(), FaultKind> {
    if count > limit {
        return Err(too_long(count, limit, unit));
    }
    Ok(())
}

/// A text that says something, within its limit.
fn within(text: &str, limit: usize) -> Result<(), FaultKind> {
    if text.is_empty() {
        return Err(invalid("is empty"));
    }
    if text.len() > limit {
        return Err(too_long(text.len(), limit, "bytes"));
    }
    // The database would end the text there.
    if text.contains('\0') {
        return Err(invalid(NUL));
    }
    Ok(())
}

fn invalid(text: &str) -> FaultKind {
    FaultKind::Invalid(text.to_owned())
}

const fn too_long(size: usize, limit: usize, unit: &'static str) -> FaultKind {
    FaultKind::TooLong { size, limit, unit }
}

const NUL: &str = "has a NUL character";

/// What a device may say.
pub(super) const FIELDS: &[&str] = &[
    "token",
    "ref",
    "locale",
    "time_zone",
    "tags",
    "attributes",
    "registered_at",
    "app",
    "environment",
];

/// The most tags of a device.
pub(super) const MAX_TAGS: usize = 64;

/// The longest tag in bytes.
const MAX_TAG: usize = 64;

/// The most attributes of a device.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// The longest name of an attribute in bytes.
const MAX_ATTRIBUTE_NAME: usize = 64;

/// The longest text among a device's attributes, in bytes: a quarter of what a payload may have.
const MAX_ATTRIBUTE: usize = 1024;

#[cfg(test)]
mod tests;
