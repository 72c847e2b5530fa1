//! Equal faults of lines, for a person.

use documents::InvalidKind;

/// Returns an indented line per kind. `place` converts the line numbers to those of the caller.
pub(crate) fn to_lines(kinds: &[InvalidKind], place: impl Fn(u64) -> u64) -> Vec<String> {
    kinds.iter().map(|kind| to_line(kind, &place)).collect()
}

/// Returns how many faults the kinds have in all.
pub(crate) fn count(kinds: &[InvalidKind]) -> u64 {
    kinds
        .iter()
        .fold(0, |sum: u64, kind| sum.saturating_add(kind.count))
}

fn to_line(kind: &InvalidKind, place: &impl Fn(u64) -> u64) -> String {
    let InvalidKind {
        pointer,
        detail,
        count,
        lines,
    } = kind;
    let pointer = if pointer.is_empty() {
        String::new()
    } else {
        format!("{pointer}: ")
    };
    let more = if *count > lines.len() as u64 { ", ..." } else { "" };
    let lines: Vec<String> = lines.iter().map(|line| place(*line).to_string()).collect();
    let lines = lines.join(", ");
    match *count {
        1 => format!("  line {lines}: {pointer}{detail}"),
        _ => format!("  {count} lines: {pointer}{detail} (lines {lines}{more})"),
    }
}
