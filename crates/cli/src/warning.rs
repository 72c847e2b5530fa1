//! The server's warnings about what it sent.

use documents::Warnings;
use documents::warning::WarningKind;

use crate::output::Output;

/// How a device is named to the user, given its line in the body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// By its number. The body has this many lines before the first device.
    Device(u64),
    /// By its line in a file. The body has this many more lines before it.
    Line(u64),
}

/// Reads the warnings of a document. Returns none if it has no such fields.
pub(crate) fn read(document: &str) -> Warnings {
    serde_json::from_str(document).unwrap_or_default()
}

/// Writes each kind of a document's warnings to standard error. With `--json` the document has them.
pub(crate) fn print(document: &str, output: Output, place: Place) {
    if output.is_json() {
        return;
    }
    for line in to_lines(&read(document), place) {
        output.warn(&line);
    }
}

/// Returns a line per kind.
pub(crate) fn to_lines(warnings: &Warnings, place: Place) -> Vec<String> {
    let mut lines: Vec<String> = warnings.kinds.iter().map(|kind| to_line(kind, place)).collect();
    if warnings.more > 0 {
        lines.push(format!("and {} more", warnings.more));
    }
    lines
}

fn to_line(kind: &WarningKind, place: Place) -> String {
    let WarningKind {
        code,
        pointer,
        detail,
        count,
        lines,
    } = kind;
    let mut text = format!("{pointer}: {detail} ({code})");
    if *count == 0 {
        return text;
    }
    let (word, in_front) = match place {
        Place::Device(in_front) => ("device", in_front),
        Place::Line(in_front) => ("line", in_front),
    };
    let plural = if lines.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = lines
        .iter()
        .map(|line| line.saturating_sub(in_front).to_string())
        .collect();
    text.push_str(&format!(" in {word}{plural} {}", numbers.join(", ")));
    let listed = lines.len() as u64;
    if *count > listed {
        text.push_str(&format!(" and {} more", count - listed));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_with_its_lines_as_the_user_counts_them() {
        let warnings = read(
            r#"{"id":"x","warnings":[
                {"code":"misspelled_key","pointer":"/notification/payload/aps/alrt","detail":"is odd"},
                {"code":"null_value","pointer":"/payload/k","detail":"is null","count":9,"lines":[2,3,4,5,6]},
                {"code":"null_value","pointer":"/payload/l","detail":"is null","count":1,"lines":[4]}],
                "more_warnings":7}"#,
        );
        assert_eq!(
            to_lines(&warnings, Place::Line(1)),
            [
                "/notification/payload/aps/alrt: is odd (misspelled_key)",
                "/payload/k: is null (null_value) in lines 1, 2, 3, 4, 5 and 4 more",
                "/payload/l: is null (null_value) in line 3",
                "and 7 more",
            ]
        );
        assert_eq!(
            to_lines(&warnings, Place::Device(0))[2],
            "/payload/l: is null (null_value) in device 4"
        );
        assert!(to_lines(&read("{}"), Place::Line(0)).is_empty());
    }
}
