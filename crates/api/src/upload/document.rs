//! Reads an upload that is one JSON document, without building a tree of it.
//!
//! A tree takes many times the memory of its text. So the document is first validated as a whole, which keeps
//! nothing. Then the `devices` are cut out one after another, each to be read like a line, and the rest is
//! the header.
//!
//! `serde_json::value::RawValue` is not suitable for this. Its feature changes how every `Value` is parsed:
//! the text of a member with a certain name is parsed as JSON, each time with a new limit of depth. Any
//! caller could send such members until the stack overflows.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::MAX_HEAD;
use super::header::{self, Context};
use super::intake::Intake;
use crate::format;
use crate::problem::{Kind, Problem};
use crate::send_request::FIELDS;
use apns::fault::{self, FaultKind, Faults, Pointer};

/// Reads a document with its devices.
pub(super) fn read<'c>(body: &[u8], context: Context<'c>) -> Result<Intake<'c>, Problem> {
    let parts = split(body)?;
    if parts.head_size > MAX_HEAD {
        return Err(header::too_long(parts.head_size));
    }
    let (head, mut faults) = parts.read_head()?;
    let devices = list(parts.devices, &mut faults);
    let mut intake = header::read(&head, FIELDS, faults, context)?;
    for (device, number) in devices.into_iter().flatten().zip(1_u32..) {
        // In valid JSON, a line end is white space, because strings cannot contain one.
        let line: Cow<'_, str> = if device.contains(LINE_ENDS) {
            device.replace(LINE_ENDS, " ").into()
        } else {
            device.into()
        };
        intake.take(number, line.len(), Some(line.as_bytes()))?;
    }
    Ok(intake)
}

/// Splits a document into its header and the text of each device, so that an invalid device does not hide the
/// others.
///
/// # Errors
/// 400 if the document is not JSON, 422 with the faults of its members.
pub(crate) fn head_and_devices(body: &[u8]) -> Result<(Value, Vec<&str>), Problem> {
    let parts = split(body)?;
    let (head, mut faults) = parts.read_head()?;
    let devices = list(parts.devices, &mut faults).map(Iterator::collect);
    faults
        .or((head, devices.unwrap_or_default()))
        .map_err(Problem::invalid)
}

/// A valid JSON document, split into texts.
struct Parts<'t> {
    /// The text between its brackets.
    inside: &'t str,
    /// The text of its devices. `None` if the field is missing or `null`.
    devices: Option<&'t str>,
    /// The size of the document without its devices.
    head_size: usize,
    faults: Faults,
}

fn split(body: &[u8]) -> Result<Parts<'_>, Problem> {
    let body = fault::without_mark(body);
    serde_json::from_slice::<IgnoredAny>(body)
        .map_err(|error| format::problem(fault::not_json(body, &error, &Pointer::Root)))?;
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::new(Kind::NotJson, format!("the body is not UTF-8: {error}")))?;
    let mut faults = Faults::default();
    let Some(inside) = inside(text, '{', '}') else {
        fault::wrong_type("an object", &sample(text), &Pointer::Root, &mut faults);
        return Err(Problem::invalid(faults));
    };
    let mut devices = None;
    for (name, value) in parts(inside, b',').filter_map(member) {
        if name == DEVICES && devices.replace(value).is_some() {
            faults.add(&Pointer::Root.key(DEVICES), FaultKind::Duplicate);
        }
    }
    Ok(Parts {
        inside,
        devices: devices.filter(|text| *text != "null"),
        head_size: text.len() - devices.map_or(0, str::len),
        faults,
    })
}

impl Parts<'_> {
    /// Parses the document without its devices.
    ///
    /// # Errors
    /// 422 if a member is invalid or occurs twice.
    fn read_head(&self) -> Result<(Value, Faults), Problem> {
        let (mut head, mut faults) = (Map::new(), self.faults.clone());
        for (name, value) in parts(self.inside, b',').filter_map(member) {
            if name == DEVICES {
                continue;
            }
            let at = Pointer::Root.key(&name);
            // The value of an unknown field does not matter.
            let read = if FIELDS.contains(&&*name) {
                fault::json(value.as_bytes(), &at).unwrap_or_else(|own| {
                    faults.append(&own);
                    Value::Null
                })
            } else {
                Value::Null
            };
            match head.entry(name.as_ref()) {
                Entry::Occupied(_) => faults.add(&at, FaultKind::Duplicate),
                Entry::Vacant(entry) => drop(entry.insert(read)),
            }
        }
        faults.or(()).map_err(Problem::invalid)?;
        // Null is an absent field, and an unknown name is a fault.
        head.retain(|name, value| !value.is_null() || !FIELDS.contains(&name.as_str()));
        Ok((Value::Object(head), Faults::default()))
    }
}

/// Returns the texts of the devices.
fn list<'t>(
    devices: Option<&'t str>,
    faults: &mut Faults,
) -> Option<impl Iterator<Item = &'t str> + use<'t>> {
    let root = Pointer::Root;
    let at = root.key(DEVICES);
    let Some(text) = devices else {
        faults.add(&at, FaultKind::Missing);
        return None;
    };
    let inside = inside(text, '[', ']');
    if inside.is_none() {
        fault::wrong_type("an array", &sample(text), &at, faults);
    }
    inside.map(|inside| parts(inside, b','))
}

/// Returns the text between the brackets of a JSON text. Returns `None` if it has other brackets.
fn inside(text: &str, open: char, close: char) -> Option<&str> {
    text.trim_ascii().strip_prefix(open)?.strip_suffix(close)
}

/// Returns the name and the value of a member.
fn member(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut parts = parts(text, b':');
    let (name, value) = (parts.next()?, parts.next()?);
    // A name that is not valid text is unknown in any case.
    let read = serde_json::from_str::<String>(name).map_or(Cow::Borrowed(name), Cow::Owned);
    Some((read, value))
}

/// Splits at the separators that are not within brackets or strings. The text is valid JSON between brackets.
fn parts(text: &str, separator: u8) -> impl Iterator<Item = &str> + Clone {
    let mut rest = Some(text).filter(|text| !text.trim_ascii().is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let end = length(text, separator);
        rest = text.get(end + 1..);
        text.get(..end).map(str::trim_ascii)
    })
}

/// Returns the position of the first such separator, or the end.
fn length(text: &str, separator: u8) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ if byte == separator && depth == 0 => return place,
            _ => {}
        }
    }
    text.len()
}

/// Returns a value of the same type as a JSON text, to name the type in a fault.
fn sample(text: &str) -> Value {
    match text.trim_ascii().bytes().next() {
        Some(b'{') => Value::Object(Map::new()),
        Some(b'[') => Value::Array(Vec::new()),
        Some(b'"') => Value::String(String::new()),
        Some(b't' | b'f') => Value::Bool(true),
        Some(b'n') | None => Value::Null,
        Some(_) => Value::from(0),
    }
}

/// What a reader of lines accepts as a line end.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// The field that is not part of the header.
const DEVICES: &str = "devices";
