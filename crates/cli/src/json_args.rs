//! Reads JSON objects from flags and files.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Returns an object of the fields that have a value.
pub(crate) fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter();
    let fields: Map<String, Value> = fields
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    Value::Object(fields)
}

/// Returns an optional text as JSON.
pub(crate) fn text(text: Option<&str>) -> Option<Value> {
    text.map(Value::from)
}

/// Reads an object from a flag: inline JSON, or the name of a file. `flag` is its name in errors.
///
/// # Errors
/// The file cannot be read or is too large, or there is no object.
pub(crate) fn inline(flag: &str, text: &str) -> Result<Value, Failure> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        object(flag, text)
    } else {
        read(Path::new(text))
    }
}

/// Reads a file with one JSON object. `-` is standard input.
///
/// # Errors
/// The file cannot be read, is too large, or does not contain an object.
pub(crate) fn read(path: &Path) -> Result<Value, Failure> {
    let at_fault = |fault| Failure::File {
        path: PathBuf::from(path),
        fault,
    };
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(at_fault)?)
    };
    let mut text = String::new();
    source
        .take(MAX_DOCUMENT + 1)
        .read_to_string(&mut text)
        .map_err(at_fault)?;
    let path = path.display();
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(Failure::Usage(format!(
            "{path}: has more than {MAX_DOCUMENT} bytes. Apple takes a payload of at most 4,096 bytes (5,120 for VoIP): link to \
             images and long texts instead of sending them"
        )));
    }
    object(&path.to_string(), &text)
}

/// Checks that `notification` is a notification and not only a payload.
///
/// # Errors
/// It is a payload.
pub(crate) fn check_notification(what: &str, notification: &Value) -> Result<(), Failure> {
    if notification.get("aps").is_some() && notification.get("payload").is_none() {
        return Err(Failure::Usage(format!(
            "{what}: holds a payload, with `aps` at the top. A notification has it inside: {{\"payload\": {{\"aps\": …}}}}"
        )));
    }
    if notification.get("notification").is_some() && notification.get("payload").is_none() {
        return Err(Failure::Usage(format!(
            "{what}: holds a whole request. Give what is inside `notification`, and the rest as flags"
        )));
    }
    Ok(())
}

fn object(what: &str, text: &str) -> Result<Value, Failure> {
    // Some editors write a byte order mark at the beginning of a file.
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let fault = |text: String| Err(Failure::Usage(format!("{what}: {text}")));
    if !text.starts_with('{') {
        return fault("must be a JSON object, which begins with `{`".to_owned());
    }
    match serde_json::from_str(text) {
        Ok(value) => match serde_json::from_str::<Unrepeated>(text) {
            Ok(Unrepeated) => Ok(value),
            // Without this check, the parser would silently drop the first of them.
            Err(error) => fault(format!("{error}; keep one of them")),
        },
        Err(error) => fault(format!("is not JSON: {error}")),
    }
}

/// A value without duplicate names in its objects.
struct Unrepeated;

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, Self)) = members.next_entry::<String, Self>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!("has `{name}` twice in one object,")));
            }
            names.insert(name);
        }
        Ok(self)
    }
}

/// The largest file with a document. Apple accepts payloads of 5 KB, and the server's error for a larger one
/// is more precise.
const MAX_DOCUMENT: u64 = 1024 * 1024;

#[test]
fn a_name_that_occurs_twice_in_a_file_is_refused() {
    let told = |text: &str| object("f", text).unwrap_err().to_string();
    assert_eq!(
        told(r#"{"audience": "a", "audience": "b"}"#),
        "f: has `audience` twice in one object, at line 1 column 34; keep one of them"
    );
    assert!(told("{\"n\": [1, 2.5, null, true, {\"aps\": 1,\n\"aps\": 2}]}").contains("has `aps` twice"));
    assert_eq!(
        told("token,ref\n"),
        "f: must be a JSON object, which begins with `{`"
    );
    let once = "\u{feff} {\"a\": {\"a\": [-1, 1, 1.5, null, true, \"x\"]}, \"b\": null}\n";
    assert_eq!(object("f", once).unwrap()["a"]["a"][4], Value::Bool(true));
}
