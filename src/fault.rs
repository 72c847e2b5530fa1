//! What is wrong with an input, and where.
//!
//! Everything that comes from outside - a request body, a payload, the configuration - is read through this module,
//! so that each fault points at its field (RFC 6901) and names the limit and the value's size, never the value of a
//! secret. Reading goes on after a fault, so that a caller sees all of them at once.

mod json;
mod read;
mod synonyms;
mod warning;

use std::borrow::Cow;
use std::fmt;

pub use json::{Unique, is_table, json, not_json, without_mark};
pub use read::{
    array, boolean, digits, nearest, number, object, one_of, open_object, string, type_name, unsigned, whole,
    whole_number, wrong_type,
};
pub use warning::{MAX_KINDS, MAX_LINES, Warning, WarningCode, WarningKind, WarningSummary, Warnings};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, kind } = self;
        if pointer.is_empty() {
            write!(f, "the body {kind}")
        } else {
            write!(f, "{pointer}: {kind}")
        }
    }
}

impl std::error::Error for Fault {}

/// The kinds of fault, each with what the caller needs in order to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A field that must be there is not.
    #[error("is required")]
    Missing,
    /// The text is not JSON, and why.
    #[error("is not JSON: {0}")]
    NotJson(String),
    /// The name of the field occurs twice in its object.
    #[error("occurs twice in one object; keep one of them")]
    Duplicate,
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

impl FaultKind {
    /// The fault without what differs from one occurrence to the next, so that equal ones can be counted.
    #[must_use]
    pub fn summary(&self) -> Cow<'static, str> {
        match self {
            Self::NotJson(_) => Cow::Borrowed("is not JSON"),
            Self::TooLong { limit, unit, .. } => {
                Cow::Owned(format!("is longer than the limit of {limit} {unit}"))
            }
            Self::Missing
            | Self::Duplicate
            | Self::WrongType { .. }
            | Self::UnknownField { .. }
            | Self::Invalid(_)
            | Self::Conflict(_) => Cow::Owned(self.to_string()),
        }
    }
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

    /// Why the text is not JSON, if that is what is wrong.
    #[must_use]
    pub fn not_json(&self) -> Option<&str> {
        match self.listed.first().map(|fault| &fault.kind) {
            Some(FaultKind::NotJson(text)) => Some(text),
            _ => None,
        }
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

/// Faults that one answer lists; the rest are counted. A caller mends these first and asks again.
pub const MAX_LISTED: usize = 100;

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
        unsigned(&json!(true), &Pointer::Root, &mut faults);
        assert_eq!(faults.len(), 2);
        assert!(matches!(faults.listed()[0].kind, FaultKind::Invalid(_)));
        assert!(matches!(faults.listed()[1].kind, FaultKind::WrongType { .. }));
    }

    #[test]
    fn a_number_may_be_written_as_text_or_with_a_point() {
        for (text, expected) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("\" 10 \"", Some(10)),
            ("5.0", Some(5)),
            ("\"5.00\"", Some(5)),
            ("1e3", Some(1000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("5.5", None),
            ("\"\"", None),
            ("\"seven\"", None),
            ("\"-1\"", None),
            ("\"0x10\"", None),
            ("18446744073709551616", None),
            ("1e999", None),
            ("null", None),
        ] {
            let value = serde_json::from_str(text).unwrap();
            let mut faults = Faults::default();
            assert_eq!(unsigned(&value, &Pointer::Root, &mut faults), expected, "{text}");
            assert_eq!(faults.len(), usize::from(expected.is_none()), "{text}: {faults}");
        }
        // What a device gets is sent as it is written, so that there a text is not a number.
        let mut faults = Faults::default();
        assert_eq!(whole_number(&json!("7"), &Pointer::Root, &mut faults), None);
        assert_eq!(whole_number(&json!(7.0), &Pointer::Root, &mut faults), Some(7));
    }

    #[test]
    fn a_fault_of_the_whole_has_no_empty_pointer() {
        let mut faults = Faults::default();
        open_object(&json!([]), &Pointer::Root, &mut faults);
        assert_eq!(faults.to_string(), "the body must be an object, but is an array");
    }

    #[test]
    fn a_number_is_one_that_a_double_can_hold() {
        let mut faults = Faults::default();
        let too_large: serde_json::Value = serde_json::from_str("1e999").unwrap();
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
