//! The shapes of the values of a payload's keys.
//!
//! Each dictionary that Apple defines is a table of [`Members`]: the key and the shape of its value. APNs
//! does not check the shapes, so a value of another shape is a warning: devices ignore it, or the whole
//! notification. Keys that are in no table are left unchanged.

use serde_json::{Map, Value};

use super::{alert, sound};
use crate::fault::{Pointer, WarningCode, Warnings, type_name, whole};

/// The keys of one dictionary, each with the shape of its value.
pub(super) type Members = &'static [(&'static str, Shape)];

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A non-negative integer.
    Count,
    /// A date: whole seconds since the Unix epoch.
    Seconds,
    /// Any number that a double can hold.
    Number,
    /// A number from 0 to 1.
    Fraction,
    /// The number 1, Apple's way to enable something.
    One,
    /// The number 0 or 1.
    ZeroOrOne,
    /// The boolean `true`.
    True,
    /// A dictionary that the app defines.
    Dictionary,
    /// A string, or the alert's dictionary.
    Alert,
    /// A string, or a Live Activity's `{loc-key, loc-args}`.
    AlertText,
    /// A string, or the dictionary of a critical alert's sound.
    Sound,
}

impl Shape {
    /// Adds a warning for everything in `value` that does not have this shape.
    pub(super) fn examine(self, value: &Value, at: &Pointer<'_>, warnings: &mut Warnings) {
        if value.is_null() {
            // `warnings` reports nulls separately.
            return;
        }
        let number = value.as_f64();
        match self {
            Self::Text => expect(value.is_string(), "a string", value, at, warnings),
            Self::Texts => match value.as_array() {
                Some(texts) => {
                    for (index, text) in texts.iter().enumerate() {
                        Self::Text.examine(text, &at.index(index), warnings);
                    }
                }
                None => wrong_type("an array of strings", value, at, warnings),
            },
            Self::Word(words) => match value.as_str() {
                Some(word) if words.contains(&word) => {}
                Some(_) => wrong_value(&format!("should be one of {}", words.join(", ")), at, warnings),
                None => wrong_type("a string", value, at, warnings),
            },
            Self::Count => match number {
                Some(_) if value.as_number().and_then(whole).is_some() => {}
                Some(_) => wrong_value("should be an integer from 0", at, warnings),
                None => wrong_type("an integer", value, at, warnings),
            },
            Self::Seconds => match number {
                Some(seconds) if seconds.abs() >= FAR_SECONDS => {
                    let text = "should be seconds since 1970, but looks like milliseconds";
                    warnings.add(at, WarningCode::Milliseconds, text);
                }
                Some(_) if value.as_number().and_then(whole).is_some() => {}
                Some(_) => wrong_value("should be whole seconds since 1970", at, warnings),
                None => wrong_type("an integer", value, at, warnings),
            },
            Self::Number => expect(number.is_some(), "a number", value, at, warnings),
            Self::Fraction => match number {
                Some(number) if is_fraction(number) => {}
                Some(_) => wrong_value("should be from 0 to 1", at, warnings),
                None => wrong_type("a number", value, at, warnings),
            },
            Self::One => match number {
                Some(1.0) => {}
                Some(_) => wrong_value("should be 1, or be left out", at, warnings),
                None => wrong_type("the number 1", value, at, warnings),
            },
            Self::ZeroOrOne => match number {
                Some(0.0 | 1.0) => {}
                Some(_) => wrong_value("should be 0 or 1", at, warnings),
                None => wrong_type("the number 0 or 1", value, at, warnings),
            },
            Self::True => match value.as_bool() {
                Some(true) => {}
                Some(false) => wrong_value("should be true, or be left out", at, warnings),
                None => wrong_type("the boolean true", value, at, warnings),
            },
            Self::Dictionary => expect(value.is_object(), "an object", value, at, warnings),
            Self::Alert => examine_text_or(alert::MEMBERS, value, at, warnings),
            Self::AlertText => examine_text_or(alert::LOCALIZED, value, at, warnings),
            Self::Sound => examine_text_or(sound::MEMBERS, value, at, warnings),
        }
    }
}

/// Examines each member of `map` that is in `members`. Others may have any shape.
pub(super) fn examine_members(
    map: &Map<String, Value>,
    members: Members,
    at: &Pointer<'_>,
    warnings: &mut Warnings,
) {
    for (key, value) in map {
        if let Some((key, shape)) = members.iter().find(|(known, _)| known == key) {
            shape.examine(value, &at.key(key), warnings);
        }
    }
}

/// Whether `number` is valid as a score or a volume.
pub(super) fn is_fraction(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

/// Whether `value` enables something: the number 1, or a value that devices read as 1.
pub(super) fn is_on(value: &Value) -> bool {
    value.as_bool().unwrap_or_default() || value.as_f64() == Some(1.0)
}

fn examine_text_or(members: Members, value: &Value, at: &Pointer<'_>, warnings: &mut Warnings) {
    match value {
        Value::String(_) => {}
        Value::Object(map) => examine_members(map, members, at, warnings),
        other => wrong_type("a string or an object", other, at, warnings),
    }
}

fn expect(holds: bool, expected: &str, value: &Value, at: &Pointer<'_>, warnings: &mut Warnings) {
    if !holds {
        wrong_type(expected, value, at, warnings);
    }
}

/// Adds the warning that `value` does not have the type `expected`, which includes its article.
pub(super) fn wrong_type(expected: &str, value: &Value, at: &Pointer<'_>, warnings: &mut Warnings) {
    let text = format!("should be {expected}, but is {}", type_name(value));
    warnings.add(at, WarningCode::WrongType, text);
}

/// Adds the warning that Apple does not document the value.
pub(super) fn wrong_value(text: &str, at: &Pointer<'_>, warnings: &mut Warnings) {
    warnings.add(at, WarningCode::WrongValue, text);
}

/// A date this large is past the year 5000 if it is in seconds, and in 1973 if it is in milliseconds.
pub(super) const FAR_SECONDS: f64 = 100_000_000_000.0;
