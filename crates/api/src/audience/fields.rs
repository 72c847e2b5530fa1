//! The fields of a device and their rules.

use serde_json::Value;

use crate::config::App;
use crate::send_request::MAX_REF;
use apns::DeviceToken;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;
use campaign::audience::device::{MOMENT_RULE, moment};
use campaign::audience::locale;
use campaign::schedule::is_zone;

/// Returns the value, or adds the fault.
pub(super) fn note<T>(read: Result<T, FaultKind>, at: &Pointer<'_>, faults: &mut Faults) -> Option<T> {
    read.map_err(|kind| faults.add(at, kind)).ok()
}

/// Reads a device token in hex.
pub(super) fn token(text: &str) -> Result<String, FaultKind> {
    DeviceToken::parse(text)
        .map(|token| token.as_hex().to_owned())
        .map_err(|error| FaultKind::Invalid(error.to_string()))
}

/// Reads a `ref`.
pub(super) fn reference(text: String) -> Result<String, FaultKind> {
    within(&text, MAX_REF)?;
    Ok(text)
}

/// Reads the readable part of a locale. A bad locale is a warning and not a fault.
pub(super) fn tag_of_locale(text: &str, warnings: &mut Vec<String>) -> Option<String> {
    let read = locale::lenient(text);
    match &read {
        _ if text.trim().is_empty() => {}
        None => warnings.push(
            "/locale is left out: it must be a language tag such as `de`, `de-AT` or `zh-Hant-TW`".to_owned(),
        ),
        Some((tag, true)) => {
            warnings.push(format!("/locale is read as `{tag}`: the rest is no language tag"));
        }
        Some((_, false)) => {}
    }
    read.map(|(tag, _)| tag)
}

/// Reads a time zone. An unknown zone is a warning, and `None`.
pub(super) fn time_zone(text: &str, warnings: &mut Vec<String>) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let zone = is_zone(text)
        .then(|| text.to_owned())
        .or_else(|| known_zone(text));
    if zone.is_none() {
        let rule = "it must be the IANA name of a time zone, such as `Europe/Berlin`";
        warnings.push(format!("/time_zone is left out: {rule}"));
    }
    zone
}

/// Finds a zone whose name is written in another case, or with spaces.
fn known_zone(text: &str) -> Option<String> {
    let name = text.replace(' ', "_");
    let zone = jiff::tz::TimeZone::get(&name).ok()?;
    zone.iana_name().map(str::to_owned).filter(|name| is_zone(name))
}

/// The tags in one text, which `;` separates.
pub(super) fn tags_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|tag| !tag.is_empty())
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
        Value::String(text) if text.len() > MAX_ATTRIBUTE => {
            Err(too_long(text.len(), MAX_ATTRIBUTE, "bytes"))
        }
        Value::String(text) if text.contains('\0') => Err(invalid(NUL)),
        value => is_value(value),
    }
}

/// Whether an attribute can have a value of this kind.
pub(super) fn is_value(value: &Value) -> Result<(), FaultKind> {
    match value {
        Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) if number.as_f64().is_some_and(f64::is_finite) => Ok(()),
        Value::Number(_) => Err(invalid("is beyond the range of a double")),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(FaultKind::WrongType {
            expected: "a string, a number or a boolean",
            found: fault::type_name(value),
        }),
    }
}

/// Reads the registration time. A bad time is a warning, and `None`.
pub(super) fn registered_at(value: &Value, warnings: &mut Vec<String>) -> Option<Timestamp> {
    let read = moment(value);
    if read.is_none() {
        warnings.push(format!("/registered_at is left out: it {MOMENT_RULE}"));
    }
    read
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
    if name.trim().eq_ignore_ascii_case(environment.as_str()) {
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

/// Checks that a text is visible and within its limit.
fn within(text: &str, limit: usize) -> Result<(), FaultKind> {
    if text.is_empty() {
        return Err(invalid("is empty"));
    }
    if text.len() > limit {
        return Err(too_long(text.len(), limit, "bytes"));
    }
    // SQLite would end the text there.
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

/// The most tags of a device.
pub(super) const MAX_TAGS: usize = 64;

/// The longest tag in bytes.
pub(super) const MAX_TAG: usize = 64;

/// The most attributes of a device.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// The longest name of an attribute in bytes.
pub(super) const MAX_ATTRIBUTE_NAME: usize = 64;

/// The longest text attribute in bytes: a quarter of the largest payload.
pub(super) const MAX_ATTRIBUTE: usize = 1024;
