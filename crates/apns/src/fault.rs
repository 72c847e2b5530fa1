//! What is wrong with an input, and where.
//!
//! All outside input is read through this module: request bodies, payloads and the configuration. Each fault
//! points at its field (RFC 6901) and names the limit and the value's size. It never contains the value of a
//! secret. Reading continues after a fault, so a caller sees all faults at once.

mod json;
mod read;
mod synonyms;
mod warning;

use std::borrow::Cow;
use std::fmt;

pub use json::{Unique, is_like_token, is_row, is_table, json, not_json, without_mark};
pub use read::{
    array, boolean, digits, identifier, integer, nearest, number, object, one_of, open_object, string, texts,
    type_name, whole, within, wrong_type,
};
pub use warning::{MAX_KINDS, MAX_LINES, Warning, WarningCode, WarningKind, WarningSummary, Warnings};

/// A position in a JSON document. It is rendered only when a fault is found there.
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
    /// Returns the pointer to the member `key` of this value.
    #[must_use]
    pub const fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    /// Returns the pointer to the element `index` of this array.
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
    /// The RFC 6901 pointer to the field; empty for the document itself.
    pub pointer: String,
    /// What is wrong with the field.
    pub kind: FaultKind,
}

impl Fault {
    /// Creates the fault `kind` of the field at `pointer`.
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

/// The kinds of fault, each with what the caller needs to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A required field is missing.
    #[error("is required")]
    Missing,
    /// The text is not JSON. Holds the parser's reason.
    #[error("is not JSON: {0}")]
    NotJson(String),
    /// The name of the field occurs twice in its object.
    #[error("occurs twice in one object; keep one of them")]
    Duplicate,
    /// The value has another JSON type.
    #[error("must be {expected}, but is {found}")]
    WrongType {
        /// The expected type, with its article: `a string`.
        expected: &'static str,
        /// The type that was found, with its article.
        found: &'static str,
    },
    /// The field is unknown.
    #[error("is not a known field{}", suggestion(*.nearest))]
    UnknownField {
        /// The known field with the most similar spelling.
        nearest: Option<&'static str>,
    },
    /// The value is longer than its limit.
    #[error("is {size} {unit} long; the limit is {limit}")]
    TooLong {
        /// Its size.
        size: usize,
        /// The maximum size.
        limit: usize,
        /// The unit of both sizes: `bytes`, `devices`.
        unit: &'static str,
    },
    /// The value has the right type but is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The value contradicts another field.
    #[error("{0}")]
    Conflict(String),
}

impl FaultKind {
    /// Returns the fault without the details of one occurrence, so that equal faults can be counted.
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
    /// Adds a fault unless it is listed already. Past [`MAX_LISTED`] faults are only counted, so that a bad
    /// body cannot cause a huge answer.
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

    /// Adds the fault `kind` of the field that `pointer`, an RFC 6901 pointer relative to `at`, leads to.
    pub fn add_below(&mut self, at: &Pointer<'_>, pointer: &str, kind: FaultKind) {
        self.push(Fault {
            pointer: format!("{at}{pointer}"),
            kind,
        });
    }

    /// Whether no fault was found.
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

    /// Returns the number of faults, listed or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    /// Returns the parser's reason if the text is not JSON.
    #[must_use]
    pub fn not_json(&self) -> Option<&str> {
        match self.listed.first().map(|fault| &fault.kind) {
            Some(FaultKind::NotJson(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the listed faults.
    #[must_use]
    pub fn listed(&self) -> &[Fault] {
        &self.listed
    }

    /// Returns the listed faults, each with the number of devices that have an equal fault.
    fn kinds(&self) -> Vec<(&Fault, usize)> {
        let mut kinds: Vec<(&Fault, usize)> = Vec::new();
        for fault in &self.listed {
            let pointer = within_device(&fault.pointer);
            let is_of_device = pointer.len() < fault.pointer.len();
            let equal = kinds.iter_mut().find(|(first, _)| {
                is_of_device
                    && within_device(&first.pointer) == pointer
                    && first.pointer.len() > pointer.len()
                    && first.kind.summary() == fault.kind.summary()
            });
            match equal {
                Some((_, count)) => *count += 1,
                None => kinds.push((fault, 1)),
            }
        }
        kinds
    }

    /// Returns `value` if there are no faults.
    ///
    /// # Errors
    /// Returns the faults if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

/// Returns the pointer relative to its device.
#[must_use]
pub fn within_device(pointer: &str) -> &str {
    let Some(rest) = pointer.strip_prefix("/devices/") else {
        return pointer;
    };
    rest.find('/')
        .map_or("", |place| rest.get(place..).unwrap_or_default())
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, count)) in self.kinds().into_iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            f.write_str(separator)?;
            if count == 1 {
                write!(f, "{first}")?;
            } else {
                let (pointer, summary) = (within_device(&first.pointer), first.kind.summary());
                let colon = if pointer.is_empty() { "" } else { ": " };
                let place = first.pointer.strip_suffix(pointer).unwrap_or_default();
                write!(
                    f,
                    "{count} devices: {pointer}{colon}{summary}, the first is {place}"
                )?;
            }
        }
        if self.unlisted > 0 {
            write!(f, "; and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

/// The number of faults that one answer lists. The rest are counted; a caller fixes these first and tries
/// again.
pub const MAX_LISTED: usize = 100;

#[cfg(test)]
mod tests;
