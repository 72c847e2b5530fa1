//! The shapes that the values of a payload's keys have.
//!
//! Each dictionary that Apple defines is a table of [`Members`]: the key and the shape of its value. Reading goes by
//! these tables, so that a key is described once, and a key that is in none of them is left as it came.

use serde_json::{Map, Value};

use super::{alert, sound};
use crate::fault::{self, FaultKind, Faults, Pointer};

/// The keys of one dictionary and the shape of each one's value.
pub(super) type Members = &'static [(&'static str, Shape)];

/// What a value has to look like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// An integer from zero on.
    Count,
    /// A date: whole seconds since the Unix epoch.
    Seconds,
    /// Any number that a double can hold.
    Number,
    /// A number from 0 to 1.
    Fraction,
    /// The number 1, Apple's way to switch something on.
    One,
    /// The number 0 or 1.
    ZeroOrOne,
    /// The boolean `true`.
    True,
    /// A dictionary of the app's own.
    Dictionary,
    /// A string, or the alert's dictionary.
    Alert,
    /// A string, or a Live Activity's `{loc-key, loc-args}`.
    AlertText,
    /// A string, or the dictionary of a critical alert's sound.
    Sound,
}

impl Shape {
    /// Adds a fault for everything in `value` that does not have this shape.
    pub(super) fn check(self, value: &Value, at: &Pointer<'_>, faults: &mut Faults) {
        match self {
            Self::Text => {
                fault::string(value, at, faults);
            }
            Self::Texts => {
                for (index, text) in fault::array(value, at, faults).into_iter().flatten().enumerate() {
                    fault::string(text, &at.index(index), faults);
                }
            }
            Self::Word(words) => {
                fault::one_of(value, at, words, faults);
            }
            Self::Count | Self::Seconds => {
                fault::whole_number(value, at, faults);
            }
            Self::Number => {
                fault::number(value, at, faults);
            }
            Self::Fraction => {
                let fraction = fault::number(value, at, faults);
                require(
                    fraction.is_none_or(is_fraction),
                    "must be from 0 to 1",
                    at,
                    faults,
                );
            }
            Self::One => {
                let number = fault::number(value, at, faults);
                let one = number.is_none() || value.as_u64() == Some(1);
                require(one, "must be 1, or be left out", at, faults);
            }
            Self::ZeroOrOne => {
                let number = fault::number(value, at, faults);
                let flag = number.is_none() || matches!(value.as_u64(), Some(0 | 1));
                require(flag, "must be 0 or 1", at, faults);
            }
            Self::True => {
                let on = fault::boolean(value, at, faults);
                require(on.is_none_or(|on| on), "must be true, or be left out", at, faults);
            }
            Self::Dictionary => {
                fault::open_object(value, at, faults);
            }
            Self::Alert => check_text_or(alert::MEMBERS, value, at, faults),
            Self::AlertText => check_text_or(alert::LOCALIZED, value, at, faults),
            Self::Sound => check_text_or(sound::MEMBERS, value, at, faults),
        }
    }
}

/// Checks each member of `map` that is in `members`; the others may be anything.
pub(super) fn check_members(
    map: &Map<String, Value>,
    members: Members,
    at: &Pointer<'_>,
    faults: &mut Faults,
) {
    for (key, value) in map {
        if let Some((key, shape)) = members.iter().find(|(known, _)| known == key) {
            shape.check(value, &at.key(key), faults);
        }
    }
}

/// Adds a hint for each key of `map` that is not in `members`, but spelled so much like one that it may be meant.
pub(super) fn hint_members(map: &Map<String, Value>, members: Members, at: &Pointer<'_>, hints: &mut Faults) {
    let known: Vec<&str> = members.iter().map(|(key, _)| *key).collect();
    let strangers = map.keys().filter(|key| !known.contains(&key.as_str()));
    for key in strangers.take(fault::MAX_LISTED) {
        if let Some(nearest) = fault::nearest(key, &known) {
            let nearest = Some(nearest);
            hints.add(&at.key(key), FaultKind::UnknownField { nearest });
        }
    }
}

/// Whether Apple takes `number` where it asks for a score or a volume.
pub(super) fn is_fraction(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

fn check_text_or(members: Members, value: &Value, at: &Pointer<'_>, faults: &mut Faults) {
    match value {
        Value::String(_) => {}
        Value::Object(map) => check_members(map, members, at, faults),
        other => fault::wrong_type("a string or an object", other, at, faults),
    }
}

fn require(holds: bool, text: &str, at: &Pointer<'_>, faults: &mut Faults) {
    if !holds {
        faults.add(at, FaultKind::Invalid(text.to_owned()));
    }
}
