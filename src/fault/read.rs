//! Reading JSON values, with a fault for what is not as it must be.

use serde_json::{Map, Value};

use super::{FaultKind, Faults, Pointer};

/// The name of a value's JSON type, with its article.
#[must_use]
pub const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Reads `value` as an object of which every member is one of `known`; an unknown one is a fault with a suggestion.
pub fn object<'v>(
    value: &'v Value,
    at: &Pointer<'_>,
    known: &[&'static str],
    faults: &mut Faults,
) -> Option<&'v Map<String, Value>> {
    let map = open_object(value, at, faults)?;
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        // A suggestion costs time, and the faults past the list are only counted.
        let nearest = if faults.is_full() {
            None
        } else {
            nearest(key, known)
        };
        faults.add(&at.key(key), FaultKind::UnknownField { nearest });
    }
    Some(map)
}

/// Reads `value` as an object that may have any members.
pub fn open_object<'v>(
    value: &'v Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<&'v Map<String, Value>> {
    let map = value.as_object();
    expect(map, "an object", value, at, faults)
}

/// Reads `value` as a string.
pub fn string<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<&'v str> {
    expect(value.as_str(), "a string", value, at, faults)
}

/// Reads `value` as an array.
pub fn array<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<&'v [Value]> {
    expect(value.as_array().map(Vec::as_slice), "an array", value, at, faults)
}

/// Reads `value` as a boolean.
pub fn boolean(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<bool> {
    expect(value.as_bool(), "a boolean", value, at, faults)
}

/// Reads `value` as an integer that is not negative.
pub fn unsigned(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<u64> {
    if value.is_number() && value.as_u64().is_none() {
        let mut digits = value.to_string();
        if digits.len() > MAX_SHOWN_NUMBER {
            digits = format!("a number of {} characters", digits.len());
        }
        let text = format!("must be an integer from 0 to {}, but is {digits}", u64::MAX);
        faults.add(at, FaultKind::Invalid(text));
        return None;
    }
    expect(value.as_u64(), "an integer", value, at, faults)
}

/// Reads `value` as a number that a double can hold.
pub fn number(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<f64> {
    let read = value.as_f64();
    if value.is_number() && read.is_none() {
        faults.add(
            at,
            FaultKind::Invalid("is beyond the range of a double".to_owned()),
        );
        return None;
    }
    expect(read, "a number", value, at, faults)
}

/// Reads `value` as one of the strings `allowed`.
pub fn one_of(
    value: &Value,
    at: &Pointer<'_>,
    allowed: &'static [&'static str],
    faults: &mut Faults,
) -> Option<&'static str> {
    let text = string(value, at, faults)?;
    let found = allowed.iter().find(|word| **word == text).copied();
    if found.is_none() {
        faults.add(
            at,
            FaultKind::Invalid(format!("must be one of {}", allowed.join(", "))),
        );
    }
    found
}

/// Adds the fault that `value` is not of the type `expected`, which is named with its article.
pub fn wrong_type(expected: &'static str, value: &Value, at: &Pointer<'_>, faults: &mut Faults) {
    faults.add(
        at,
        FaultKind::WrongType {
            expected,
            found: type_name(value),
        },
    );
}

fn expect<T>(
    read: Option<T>,
    expected: &'static str,
    value: &Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<T> {
    if read.is_none() {
        wrong_type(expected, value, at, faults);
    }
    read
}

/// The name in `known` that is spelled most like `name`, if any is near enough to be meant.
#[must_use]
pub fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    if name.len() > MAX_SUGGESTED_LEN {
        return None;
    }
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A number that is written longer than this is not repeated in a fault.
const MAX_SHOWN_NUMBER: usize = 40;

/// A field name longer than this gets no suggestion: the comparison is quadratic, and ours are all shorter.
const MAX_SUGGESTED_LEN: usize = 40;
