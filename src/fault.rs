//! What is wrong with an input, and where.
//!
//! Everything that comes from outside - a request body, a payload, the configuration - is read through this module,
//! so that each fault points at its field (RFC 6901) and names the limit and the value's size, never the value of a
//! secret. Reading goes on after a fault, so that a caller sees all of them at once.

use std::fmt;

use serde_json::{Map, Value};

/// A place in a JSON document, rendered only when a fault is found there.
#[derive(Clone, Copy, Debug)]
pub enum Pointer<'p> {
    /// The document itself.
    Root,
    /// A member of an object.
    Key(&'p Pointer<'p>, &'p str),
    /// An element of an array.
    Index(&'p Pointer<'p>, usize),
}

impl<'p> Pointer<'p> {
    /// The member `key` of the value at this place.
    #[must_use]
    pub const fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    /// The element `index` of the array at this place.
    #[must_use]
    pub const fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// One fault of an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {kind}")]
pub struct Fault {
    /// RFC 6901 pointer to the field; empty for the document itself.
    pub pointer: String,
    /// What is wrong with it.
    pub kind: FaultKind,
}

impl Fault {
    /// The fault `kind` of the field at `pointer`.
    #[must_use]
    pub fn at(pointer: &Pointer<'_>, kind: FaultKind) -> Self {
        Self {
            pointer: pointer.to_string(),
            kind,
        }
    }
}

/// The kinds of fault, each with what the caller needs in order to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A field that must be there is not.
    #[error("is required")]
    Missing,
    /// The value is of another JSON type.
    #[error("must be {expected}, but is {found}")]
    WrongType {
        /// The type that the field has, with its article: `a string`.
        expected: &'static str,
        /// The type that came, with its article.
        found: &'static str,
    },
    /// The field is not one we know.
    #[error("is not a known field{}", suggestion(*.nearest))]
    UnknownField {
        /// The known field that is spelled most like it.
        nearest: Option<&'static str>,
    },
    /// The value is longer than its limit.
    #[error("is {size} {unit} long; the limit is {limit}")]
    TooLong {
        /// Its size.
        size: usize,
        /// The most that is allowed.
        limit: usize,
        /// What is counted: `bytes`, `devices`.
        unit: &'static str,
    },
    /// The value is of the right type, but not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The value contradicts another field.
    #[error("{0}")]
    Conflict(String),
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The faults found so far, in the order of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    listed: Vec<Fault>,
    unlisted: usize,
}

impl Faults {
    /// Adds a fault that is not there yet; past [`MAX_LISTED`] it is only counted, so that a bad body cannot make a huge
    /// answer.
    pub fn push(&mut self, fault: Fault) {
        if self.listed.contains(&fault) {
            return;
        }
        if self.listed.len() < MAX_LISTED {
            self.listed.push(fault);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds the fault `kind` of the field at `pointer`.
    pub fn add(&mut self, pointer: &Pointer<'_>, kind: FaultKind) {
        self.push(Fault::at(pointer, kind));
    }

    /// Adds the fault `kind` of the field that `pointer`, itself RFC 6901, leads to from `at`.
    pub fn add_below(&mut self, at: &Pointer<'_>, pointer: &str, kind: FaultKind) {
        self.push(Fault {
            pointer: format!("{at}{pointer}"),
            kind,
        });
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether further faults are only counted.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.listed.len() >= MAX_LISTED
    }

    /// Adds all faults of `other`.
    pub fn append(&mut self, other: &Self) {
        other.listed.iter().for_each(|fault| self.push(fault.clone()));
        self.unlisted += other.unlisted;
    }

    /// How many there are, listed or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    /// The faults that are listed.
    #[must_use]
    pub fn listed(&self) -> &[Fault] {
        &self.listed
    }

    /// `value` if nothing is wrong, else the faults.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.listed.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        if self.unlisted > 0 {
            write!(f, "; and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

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

/// Faults that one answer lists; the rest are counted. A caller mends these first and asks again.
pub const MAX_LISTED: usize = 100;

/// A number that is written longer than this is not repeated in a fault.
const MAX_SHOWN_NUMBER: usize = 40;

/// A field name longer than this gets no suggestion: the comparison is quadratic, and ours are all shorter.
const MAX_SUGGESTED_LEN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pointer_escapes_as_rfc_6901_says() {
        let root = Pointer::Root;
        let key = root.key("a/b~c");
        assert_eq!(key.index(3).to_string(), "/a~1b~0c/3");
    }

    #[test]
    fn an_unknown_field_suggests_the_nearest_known_one() {
        let mut faults = Faults::default();
        object(
            &json!({"colapse_id": 1, "zzz": 2}),
            &Pointer::Root,
            &["collapse_id", "topic"],
            &mut faults,
        );
        let texts: Vec<String> = faults.listed().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "/colapse_id: is not a known field; did you mean `collapse_id`?",
                "/zzz: is not a known field"
            ]
        );
    }

    #[test]
    fn a_wrong_type_names_both_types() {
        let mut faults = Faults::default();
        assert_eq!(string(&json!(1), &Pointer::Root.key("topic"), &mut faults), None);
        assert_eq!(faults.to_string(), "/topic: must be a string, but is a number");
    }

    #[test]
    fn an_integer_out_of_range_is_told_apart_from_a_wrong_type() {
        let mut faults = Faults::default();
        unsigned(&json!(-1), &Pointer::Root, &mut faults);
        unsigned(&json!("1"), &Pointer::Root, &mut faults);
        assert_eq!(faults.len(), 2);
        assert!(matches!(faults.listed()[0].kind, FaultKind::Invalid(_)));
        assert!(matches!(faults.listed()[1].kind, FaultKind::WrongType { .. }));
    }

    #[test]
    fn a_number_is_one_that_a_double_can_hold() {
        let mut faults = Faults::default();
        let too_large: Value = serde_json::from_str("1e999").unwrap();
        assert_eq!(number(&json!(0.5), &Pointer::Root, &mut faults), Some(0.5));
        assert_eq!(number(&too_large, &Pointer::Root.key("score"), &mut faults), None);
        assert_eq!(faults.to_string(), "/score: is beyond the range of a double");
    }

    #[test]
    fn a_word_that_is_not_allowed_is_answered_with_those_that_are() {
        let mut faults = Faults::default();
        let words = &["start", "end"];
        assert_eq!(
            one_of(&json!("end"), &Pointer::Root, words, &mut faults),
            Some("end")
        );
        assert_eq!(
            one_of(&json!("End"), &Pointer::Root.key("event"), words, &mut faults),
            None
        );
        assert_eq!(faults.to_string(), "/event: must be one of start, end");
    }

    #[test]
    fn faults_past_the_limit_are_counted_and_not_listed() {
        let mut faults = Faults::default();
        for index in 0..MAX_LISTED + 5 {
            faults.add(&Pointer::Root.index(index), FaultKind::Missing);
            faults.add(&Pointer::Root.index(0), FaultKind::Missing);
        }
        assert_eq!(
            (faults.listed().len(), faults.len()),
            (MAX_LISTED, MAX_LISTED + 5)
        );
        assert!(faults.to_string().ends_with("; and 5 more"));
    }
}
