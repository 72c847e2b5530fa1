//! The faults of a body's lines. There may be one for each line, so only some are listed, and equal ones are
//! summed up.

use std::borrow::Cow;
use std::fmt;

use apns::fault::{Fault, MAX_LINES, MAX_LISTED, within_device};
use documents::InvalidKind;

use crate::convert;

/// A fault of one line of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The line's number, from 1. For a device in a document, its number among the devices, from 1.
    pub line: u32,
    /// The fault.
    pub fault: Fault,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, fault } = self;
        if fault.pointer.is_empty() {
            write!(f, "line {line} {}", fault.kind)
        } else {
            write!(f, "line {line}: {fault}")
        }
    }
}

/// The faults of lines: the first hundred, the number of further ones, and the number per kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineFaults {
    pub(super) listed: Vec<LineFault>,
    unlisted: usize,
    /// The kinds in the order of their first lines, at most [`MAX_KINDS`]. Further kinds are not kept.
    kinds: Vec<LineFaultKind>,
}

/// Equal faults of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LineFaultKind {
    pointer: String,
    summary: Cow<'static, str>,
    first: LineFault,
    lines: Vec<u32>,
    count: usize,
}

impl LineFaultKind {
    fn view(&self) -> InvalidKind {
        let detail = match self.count {
            1 => self.first.fault.kind.to_string(),
            _ => self.summary.to_string(),
        };
        InvalidKind {
            pointer: shortened(self.pointer.clone()),
            detail: shortened(detail),
            count: convert::number(self.count),
            lines: self.lines.iter().copied().map(u64::from).collect(),
        }
    }
}

/// Shortens a text, because a pointer repeats the caller's own field names.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MAX_DETAIL {
        text.truncate(text.floor_char_boundary(MAX_DETAIL));
        text.push('…');
    }
    text
}

impl fmt::Display for LineFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 1 {
            return self.first.fmt(f);
        }
        let (count, line) = (grouped(self.count), self.first.line);
        match (self.summary.as_ref(), self.pointer.as_str()) {
            ("is not JSON", "") => write!(f, "{count} lines are not JSON, the first is line {line}"),
            (summary, "") => write!(f, "{count} lines: each {summary}; the first is line {line}"),
            (summary, pointer) => write!(f, "{count} lines: {pointer} {summary}; the first is line {line}"),
        }
    }
}

/// Formats a number with a comma between groups of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl LineFaults {
    /// Adds a fault. After [`MAX_LISTED`] faults it is only counted.
    pub fn push(&mut self, line: u32, fault: Fault) {
        self.add_to_kinds(line, &fault);
        if self.listed.len() < MAX_LISTED {
            self.listed.push(LineFault { line, fault });
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    fn add_to_kinds(&mut self, line: u32, fault: &Fault) {
        let (pointer, summary) = (within_device(&fault.pointer), fault.kind.summary());
        let known = self.kinds.iter_mut();
        let mut known = known.filter(|kind| kind.pointer == pointer && kind.summary == summary);
        if let Some(kind) = known.next() {
            kind.count += 1;
            if kind.lines.len() < MAX_LINES && kind.lines.last() != Some(&line) {
                kind.lines.push(line);
            }
        } else if self.kinds.len() < MAX_KINDS {
            self.kinds.push(LineFaultKind {
                pointer: pointer.to_owned(),
                summary,
                first: LineFault {
                    line,
                    fault: fault.clone(),
                },
                lines: vec![line],
                count: 1,
            });
        }
    }

    /// Returns the kinds of faults, at most [`MAX_KINDS`], in the order of their first lines.
    #[must_use]
    pub fn kinds(&self) -> Vec<InvalidKind> {
        self.kinds.iter().map(LineFaultKind::view).collect()
    }

    /// Returns short texts about all faults, with equal ones summed up.
    pub(super) fn summary(&self) -> (Vec<String>, usize) {
        let told = self.kinds.iter().take(MAX_TOLD_KINDS);
        let count = told.clone().map(|kind| kind.count).sum();
        (told.map(ToString::to_string).collect(), count)
    }

    /// Adds `count` faults that are only counted.
    pub const fn count(&mut self, count: usize) {
        self.unlisted = self.unlisted.saturating_add(count);
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of faults, listed or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.listed.len().saturating_add(self.unlisted)
    }

    /// Returns the listed faults.
    #[must_use]
    pub fn listed(&self) -> &[LineFault] {
        &self.listed
    }
}

/// The most kinds of faults that are counted separately.
const MAX_KINDS: usize = 50;

/// The longest text about a rejected line, in bytes. An answer has a hundred of them.
const MAX_DETAIL: usize = 1000;

/// The most kinds of faults that `detail` names.
const MAX_TOLD_KINDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use apns::fault::{FaultKind, Faults, Pointer};

    /// Returns faults of this many kinds, one per line.
    fn of_kinds(kinds: u32) -> LineFaults {
        let mut all = LineFaults::default();
        for line in 1..=kinds {
            let mut faults = Faults::default();
            let kind = FaultKind::Invalid("is wrong".to_owned());
            faults.add(&Pointer::Root.key(&format!("field{line}")), kind);
            all.push(line, faults.listed()[0].clone());
        }
        all
    }

    #[test]
    fn the_detail_names_five_kinds_of_fault_and_counts_fifty() {
        for (kinds, named) in [(5, 5), (6, 5)] {
            let (texts, count) = of_kinds(kinds).summary();
            assert_eq!((texts.len(), count), (named, named), "{kinds}");
        }
        for (kinds, apart) in [(50, 50), (51, 50)] {
            assert_eq!(of_kinds(kinds).kinds.len(), apart, "{kinds}");
        }
    }
}
