//! JSON objects that flags and files describe.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::failure::Failure;

/// An object of the fields that there are.
pub(crate) fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter();
    let fields: Map<String, Value> = fields
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    Value::Object(fields)
}

/// A text that may be missing, as JSON.
pub(crate) fn text(text: Option<&str>) -> Option<Value> {
    text.map(Value::from)
}

/// An object as a flag gives it: written out, or in a file. `flag` is what errors call it.
///
/// # Errors
/// The file cannot be read or is too large, or there is something else in its place.
pub(crate) fn inline(flag: &str, text: &str) -> Result<Value, Failure> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        object(flag, text)
    } else {
        read(Path::new(text))
    }
}

/// Reads a file that holds one JSON object; - is standard input.
///
/// # Errors
/// It cannot be read, is too large to be one document, or holds something else.
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

/// Checks that `notification` is one and no payload alone.
///
/// # Errors
/// It is Apple's JSON.
pub(crate) fn check_notification(what: &str, notification: &Value) -> Result<(), Failure> {
    if notification.get("aps").is_some() && notification.get("payload").is_none() {
        return Err(Failure::Usage(format!(
            "{what}: holds a payload, with `aps` at the top. A notification has it inside: {{\"payload\": {{\"aps\": …}}}}"
        )));
    }
    if notification.get("notification").is_some() && notification.get("payload").is_none() {
        return Err(Failure::Usage(format!(
            "{what}: holds a whole order. Give what is inside `notification`, and the rest as flags"
        )));
    }
    Ok(())
}

fn object(what: &str, text: &str) -> Result<Value, Failure> {
    // Some editors begin each file with a byte order mark.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::Usage(format!("{what}: must be a JSON object"))),
        Err(error) => Err(Failure::Usage(format!("{what}: is not JSON: {error}"))),
    }
}

/// The largest file with a document: Apple takes notifications of 5 KB, and the server says what is too large better
/// than we.
const MAX_DOCUMENT: u64 = 1024 * 1024;
