//! Warnings: what is sent as written although Apple or the device handles it badly.
//!
//! A fault refuses a request. A warning does so only if the caller says `"strict": true`. Each warning has a
//! stable code, so that programs can react to it, and a pointer to its field. In scope: the codes, the list
//! of one notification, and the summary of many. Out of scope: the rules, which belong to the payload and the
//! headers.

mod summary;

pub use summary::{MAX_KINDS, MAX_LINES, WarningKind, WarningSummary};

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fault, FaultKind, Faults, Pointer};

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The kind of mistake.
    pub code: WarningCode,
    /// The RFC 6901 pointer to the field.
    pub pointer: String,
    /// What is unusual about the field, and what to do.
    pub detail: String,
}

impl Warning {
    /// Whether both warnings have the same field and code.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.code == other.code && self.pointer == other.pointer
    }

    /// Converts the warning to a fault, for a strict request.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let Self {
            code,
            pointer,
            detail,
        } = self;
        Fault {
            pointer: pointer.clone(),
            kind: FaultKind::Invalid(format!(
                "{detail} (warning `{code}`, refused by `\"strict\": true`)"
            )),
        }
    }
}

/// The codes of warnings. They are stable: a code is never renamed and never gets another meaning.
///
/// docs/reference/warnings.md describes each one to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// A value is null.
    NullValue,
    /// A key is spelled almost like one of Apple's.
    MisspelledKey,
    /// One of Apple's keys is in the wrong dictionary.
    MisplacedKey,
    /// An app's own key is inside `aps`.
    CustomKeyInAps,
    /// The payload contains a whole notification.
    WholeNotification,
    /// A value has another JSON type than Apple documents.
    WrongType,
    /// A value is outside the range that Apple documents.
    WrongValue,
    /// A date is in milliseconds.
    Milliseconds,
    /// A Live Activity's timestamp is older than Live Activities.
    OldTimestamp,
    /// A Live Activity becomes stale before its state is valid.
    StaleBeforeTimestamp,
    /// A Live Activity is dismissed later than the system keeps it.
    LateDismissal,
    /// A Live Activity ends without a final state.
    EndWithoutState,
    /// A key that the push type requires is missing.
    MissingKey,
    /// A key has no effect beside the others, or with this push type.
    IgnoredKey,
    /// The device shows and plays nothing.
    NothingToShow,
    /// A background push has something to show.
    BackgroundWithAlert,
    /// The payload asks for the service extension, which needs an alert.
    MutableWithoutAlert,
    /// Apple advises against the priority for the push type.
    UnusualPriority,
    /// Apple advises against the expiration for the push type.
    UnusualExpiration,
    /// A template variable that some devices lack has no default.
    MissingVariable,
}

impl WarningCode {
    /// All codes.
    pub const ALL: [Self; 20] = [
        Self::NullValue,
        Self::MisspelledKey,
        Self::MisplacedKey,
        Self::CustomKeyInAps,
        Self::WholeNotification,
        Self::WrongType,
        Self::WrongValue,
        Self::Milliseconds,
        Self::OldTimestamp,
        Self::StaleBeforeTimestamp,
        Self::LateDismissal,
        Self::EndWithoutState,
        Self::MissingKey,
        Self::IgnoredKey,
        Self::NothingToShow,
        Self::BackgroundWithAlert,
        Self::MutableWithoutAlert,
        Self::UnusualPriority,
        Self::UnusualExpiration,
        Self::MissingVariable,
    ];

    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullValue => "null_value",
            Self::MisspelledKey => "misspelled_key",
            Self::MisplacedKey => "misplaced_key",
            Self::CustomKeyInAps => "custom_key_in_aps",
            Self::WholeNotification => "whole_notification",
            Self::WrongType => "wrong_type",
            Self::WrongValue => "wrong_value",
            Self::Milliseconds => "milliseconds",
            Self::OldTimestamp => "old_timestamp",
            Self::StaleBeforeTimestamp => "stale_before_timestamp",
            Self::LateDismissal => "late_dismissal",
            Self::EndWithoutState => "end_without_state",
            Self::MissingKey => "missing_key",
            Self::IgnoredKey => "ignored_key",
            Self::NothingToShow => "nothing_to_show",
            Self::BackgroundWithAlert => "background_with_alert",
            Self::MutableWithoutAlert => "mutable_without_alert",
            Self::UnusualPriority => "unusual_priority",
            Self::UnusualExpiration => "unusual_expiration",
            Self::MissingVariable => "missing_variable",
        }
    }
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The warnings of one notification, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    listed: Vec<Warning>,
    unlisted: usize,
}

impl Warnings {
    /// Adds a warning. Past [`MAX_KINDS`] warnings are only counted.
    pub fn add(&mut self, at: &Pointer<'_>, code: WarningCode, detail: impl Into<String>) {
        if self.listed.len() >= MAX_KINDS {
            self.unlisted += 1;
            return;
        }
        self.listed.push(Warning {
            code,
            pointer: at.to_string(),
            detail: detail.into(),
        });
    }

    /// Whether there are no warnings.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Returns the listed warnings.
    #[must_use]
    pub fn listed(&self) -> &[Warning] {
        &self.listed
    }

    /// Returns the number of warnings that are counted but not listed.
    #[must_use]
    pub const fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Splits into the warnings for which `holds` is true and the others. Warnings that are only counted go
    /// to the second part.
    #[must_use]
    pub fn split(self, holds: impl Fn(&Warning) -> bool) -> (Self, Self) {
        let (first, second) = self.listed.into_iter().partition(holds);
        let first = Self {
            listed: first,
            unlisted: 0,
        };
        let second = Self {
            listed: second,
            unlisted: self.unlisted,
        };
        (first, second)
    }

    /// Moves the warnings below `pointer`, where their document is.
    #[must_use]
    pub fn below(mut self, pointer: &str) -> Self {
        for warning in &mut self.listed {
            warning.pointer.insert_str(0, pointer);
        }
        self
    }

    /// Adds all warnings of `other`.
    pub fn append(&mut self, other: &Self) {
        for warning in &other.listed {
            if self.listed.len() >= MAX_KINDS {
                self.unlisted += 1;
            } else {
                self.listed.push(warning.clone());
            }
        }
        self.unlisted += other.unlisted;
    }

    /// Adds each warning to `faults`, for a strict request.
    pub fn add_to(&self, faults: &mut Faults) {
        for warning in &self.listed {
            faults.push(warning.to_fault());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_stored_as_it_is_answered() {
        for code in WarningCode::ALL {
            let text = serde_json::to_string(&code).unwrap();
            assert_eq!(text, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<WarningCode>(&text).unwrap(), code);
        }
    }

    #[test]
    fn every_code_is_documented_once() {
        let page = include_str!("../../../../docs/reference/warnings.md");
        for code in WarningCode::ALL {
            assert_eq!(page.matches(&format!("| `{code}` |")).count(), 1, "{code}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), WarningCode::ALL.len(), "a row is of no code");
    }

    #[test]
    fn warnings_past_the_limit_are_counted() {
        let mut warnings = Warnings::default();
        for index in 0..MAX_KINDS + 3 {
            warnings.add(&Pointer::Root.index(index), WarningCode::NullValue, "is null");
        }
        assert_eq!((warnings.listed().len(), warnings.unlisted()), (MAX_KINDS, 3));
    }

    #[test]
    fn a_strict_request_says_why_a_warning_refuses_it() {
        let mut warnings = Warnings::default();
        warnings.add(&Pointer::Root.key("x"), WarningCode::NullValue, "is null");
        let mut faults = Faults::default();
        warnings.add_to(&mut faults);
        assert_eq!(
            faults.to_string(),
            "/x: is null (warning `null_value`, refused by `\"strict\": true`)"
        );
    }
}
