//! The warnings of many devices: each kind once, with a count and the first lines.

use serde::{Deserialize, Serialize};

use super::{Warning, WarningCode, Warnings};

/// The warnings of a request, as answers show them and as a batch stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningSummary {
    /// The kinds, in the order in which they were found.
    #[serde(default, rename = "warnings", skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<WarningKind>,
    /// The number of warnings of further kinds.
    #[serde(default, rename = "more_warnings", skip_serializing_if = "is_zero")]
    more: u64,
}

/// All warnings with the same code and pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningKind {
    /// The code.
    pub code: WarningCode,
    /// The RFC 6901 pointer to the field: in the request, or in each device if there is a `count`.
    pub pointer: String,
    /// What is unusual about the first one, and what to do.
    pub detail: String,
    /// The number of devices with this warning; absent if it is about the request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
    /// The first lines with this warning, at most [`MAX_LINES`]. In one JSON document: positions in
    /// `devices`, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u32>,
}

impl WarningSummary {
    /// Whether there are no warnings.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Returns the kinds, at most [`MAX_KINDS`].
    #[must_use]
    pub fn kinds(&self) -> &[WarningKind] {
        &self.kinds
    }

    /// Returns the number of warnings of further kinds.
    #[must_use]
    pub const fn more(&self) -> u64 {
        self.more
    }

    /// Adds the warnings about the request as a whole, unless they are listed already.
    pub fn add_shared(&mut self, warnings: &Warnings) {
        for warning in warnings.listed() {
            self.kind(warning, |kind| kind.count == 0);
        }
        self.more = self.more.saturating_add(wide(warnings.unlisted()));
    }

    /// Adds the warnings about the device in line `line`.
    pub fn add_line(&mut self, line: u32, warnings: &Warnings) {
        for warning in warnings.listed() {
            let Some(kind) = self.kind(warning, |kind| kind.count > 0) else {
                continue;
            };
            kind.count = kind.count.saturating_add(1);
            if kind.lines.len() < MAX_LINES {
                kind.lines.push(line);
            }
        }
        self.more = self.more.saturating_add(wide(warnings.unlisted()));
    }

    /// Finds the kind of a warning among those for which `is_alike` holds. Adds it if it is new.
    fn kind(
        &mut self,
        warning: &Warning,
        is_alike: impl Fn(&WarningKind) -> bool,
    ) -> Option<&mut WarningKind> {
        let pointer = bounded(&warning.pointer);
        let known = self
            .kinds
            .iter()
            .position(|kind| kind.code == warning.code && kind.pointer == pointer && is_alike(kind));
        if let Some(known) = known {
            return self.kinds.get_mut(known);
        }
        if self.kinds.len() >= MAX_KINDS {
            self.more = self.more.saturating_add(1);
            return None;
        }
        self.kinds.push(WarningKind {
            code: warning.code,
            pointer,
            detail: warning.detail.clone(),
            count: 0,
            lines: Vec::new(),
        });
        self.kinds.last_mut()
    }
}

/// Shortens a pointer. It repeats the caller's keys and is stored, so its length must have a limit.
fn bounded(pointer: &str) -> String {
    if pointer.len() <= MAX_POINTER {
        return pointer.to_owned();
    }
    let end = pointer.floor_char_boundary(MAX_POINTER);
    format!("{}…", pointer.get(..end).unwrap_or_default())
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

// The lint goes by the size of a pointer, which is smaller on wasm32.
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The number of kinds that are listed. With texts of some 300 bytes, 15 KB are stored with a batch.
pub const MAX_KINDS: usize = 50;

/// The number of lines that are listed per kind: enough to look at, however many have it.
pub const MAX_LINES: usize = 5;

/// The longest pointer in bytes.
const MAX_POINTER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Pointer;

    fn warning(pointer: &str, code: WarningCode) -> Warnings {
        let mut warnings = Warnings::default();
        warnings.add(&Pointer::Root.key(pointer), code, "is so");
        warnings
    }

    #[test]
    fn a_kind_has_its_count_and_its_first_five_lines() {
        let mut summary = WarningSummary::default();
        for line in 2..=9 {
            summary.add_line(line, &warning("x", WarningCode::NullValue));
        }
        summary.add_line(4, &warning("x", WarningCode::WrongType));
        summary.add_shared(&warning("x", WarningCode::NullValue));
        summary.add_shared(&warning("x", WarningCode::NullValue));
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"warnings":[{"code":"null_value","pointer":"/x","detail":"is so","count":8,"lines":[2,3,4,5,6]},{"code":"wrong_type","pointer":"/x","detail":"is so","count":1,"lines":[4]},{"code":"null_value","pointer":"/x","detail":"is so"}]}"#
        );
    }

    #[test]
    fn kinds_past_the_fiftieth_are_counted() {
        let mut summary = WarningSummary::default();
        for index in 0..u32::try_from(MAX_KINDS).unwrap() + 2 {
            summary.add_line(index, &warning(&index.to_string(), WarningCode::NullValue));
        }
        summary.add_line(99, &warning("0", WarningCode::NullValue));
        assert_eq!((summary.kinds().len(), summary.more()), (MAX_KINDS, 2));
        assert_eq!(summary.kinds()[0].lines, [0, 99]);
    }

    #[test]
    fn a_long_pointer_is_cut_at_its_limit() {
        let mut summary = WarningSummary::default();
        summary.add_shared(&warning(&"é".repeat(MAX_POINTER), WarningCode::NullValue));
        let pointer = &summary.kinds()[0].pointer;
        assert!(pointer.ends_with('…') && pointer.len() <= MAX_POINTER + '…'.len_utf8());
        summary.add_shared(&warning(&"x".repeat(MAX_POINTER - 1), WarningCode::NullValue));
        assert_eq!(summary.kinds()[1].pointer.len(), MAX_POINTER);
    }

    #[test]
    fn a_summary_without_warnings_says_nothing() {
        let summary = WarningSummary::default();
        assert_eq!(serde_json::to_string(&summary).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<WarningSummary>("{}").unwrap(), summary);
    }
}
