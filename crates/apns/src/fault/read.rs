//! Reads JSON values and adds a fault for each wrong one.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::{Map, Number, Value};

use super::{FaultKind, Faults, Pointer, synonyms};

/// Returns the name of a value's JSON type, with its article.
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

/// Reads `value` as an object whose members must be in `known`. An unknown member is a fault with a
/// suggestion.
pub fn object<'v>(
    value: &'v Value,
    at: &Pointer<'_>,
    known: &[&'static str],
    faults: &mut Faults,
) -> Option<&'v Map<String, Value>> {
    let map = open_object(value, at, faults)?;
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        // A suggestion takes time, and faults past the list are only counted.
        let nearest = if faults.is_full() {
            None
        } else {
            nearest(key, known)
        };
        faults.add(&at.key(key), FaultKind::UnknownField { nearest });
    }
    Some(map)
}

/// Reads `value` as an object with any members.
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

/// Reads `value` as a text that identifies something. A number is read as its digits: many databases use
/// numbers as keys.
pub fn identifier<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Cow<'v, str>> {
    match value {
        Value::Number(number) => Some(Cow::Owned(written(number))),
        value => string(value, at, faults).map(Cow::Borrowed),
    }
}

/// The digits of a number, without a point if it is an integer.
fn written(number: &Number) -> String {
    whole(number).map_or_else(|| number.to_string(), |integer| integer.to_string())
}

/// Reads `value` as an array of texts. A single text is an array of one.
pub fn texts<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<&'v [Value]> {
    if value.is_string() || value.is_number() {
        return Some(std::slice::from_ref(value));
    }
    array(value, at, faults)
}

/// Reads `value` as an array.
pub fn array<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<&'v [Value]> {
    expect(value.as_array().map(Vec::as_slice), "an array", value, at, faults)
}

/// Reads `value` as a boolean, also if it is written as text: `"true"`.
pub fn boolean(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<bool> {
    let read = match value {
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        value => value.as_bool(),
    };
    expect(read, "a boolean", value, at, faults)
}

/// Reads `value` as an integer in `range`. Also accepts text and a decimal point: `"5"`, `5.0`.
pub fn within(
    value: &Value,
    range: RangeInclusive<u32>,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<u32> {
    let read = integer(value).and_then(|number| {
        let read = u32::try_from(number).ok().filter(|read| range.contains(read));
        read.ok_or_else(|| number.to_string())
    });
    let (least, most) = (range.start(), range.end());
    let refuse = |is: String| {
        let text = format!("must be an integer from {least} to {most}, but is {is}");
        faults.add(at, FaultKind::Invalid(text));
    };
    read.map_err(refuse).ok()
}

/// Reads `value` as a non-negative integer. Also accepts text and a decimal point: `"5"`, `5.0`.
///
/// # Errors
/// Returns what it is instead, in words.
pub fn integer(value: &Value) -> Result<u64, String> {
    let shown = |number: &Number| match number.to_string() {
        digits if digits.len() > MAX_SHOWN_NUMBER => format!("a number of {} characters", digits.len()),
        digits => digits,
    };
    match value {
        Value::Number(number) => whole(number).ok_or_else(|| shown(number)),
        Value::String(text) => match digits(text) {
            Some(number) => whole(&number).ok_or_else(|| shown(&number)),
            None => Err("a text that is not an integer".to_owned()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(type_name(value).to_owned()),
    }
}

/// Parses a text that consists of one number. Returns `None` for any other text.
#[must_use]
pub fn digits(text: &str) -> Option<Number> {
    text.trim().parse().ok()
}

/// Converts a number to an integer. A number with a point or an exponent is read as a double, which holds
/// integers up to 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bounds are checked"
)]
#[must_use]
pub fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        if number.is_i64() || number.is_u64() {
            return None;
        }
        let double = number.as_f64()?;
        let fits = double.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&double);
        fits.then_some(double as u64)
    })
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

/// Adds the fault that `value` does not have the type `expected`, which includes its article.
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

/// Returns the name in `known` that `name` most likely means: a synonym, or the most similar spelling.
#[must_use]
pub fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    if name.len() > MAX_SUGGESTED_LEN {
        return None;
    }
    let name = name.to_ascii_lowercase();
    if let Some(meant) = synonyms::meant(&name, known) {
        return Some(meant);
    }
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// 2^53: every integer up to here is exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The longest number that a fault repeats, in characters.
const MAX_SHOWN_NUMBER: usize = 40;

/// The longest name that gets a suggestion: the comparison is quadratic, and our names are all shorter.
const MAX_SUGGESTED_LEN: usize = 40;
