//! The report about an upload, summed over its parts.

use documents::audience::UploadReport;
use documents::{InvalidKind, InvalidLine};
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::exit::Exit;
use crate::invalid;

/// The server's report about an upload: added and updated devices for an import, otherwise removed ones.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Report(UploadReport);

/// Adds the kinds of another part.
fn add_kinds(kinds: &mut Vec<InvalidKind>, others: Vec<InvalidKind>) {
    for other in others {
        let same = |kind: &&mut InvalidKind| kind.pointer == other.pointer && kind.detail == other.detail;
        if let Some(kind) = kinds.iter_mut().find(same) {
            kind.count = kind.count.saturating_add(other.count);
            kind.lines.extend(other.lines);
            kind.lines.sort_unstable();
            kind.lines.truncate(MAX_KIND_LINES);
        } else if kinds.len() < MAX_KINDS {
            kinds.push(other);
        }
    }
}

impl Report {
    /// Converts the server's line numbers to those of the file, and adds the lines that are too long for a
    /// request of `limit` bytes.
    pub(crate) fn of_file(mut self, part: &Part, limit: usize) -> Self {
        let warnings = self.0.warning_lines.iter_mut().flatten();
        for invalid in self.0.invalid_lines.iter_mut().chain(warnings) {
            invalid.line = part.line_of_file(invalid.line);
        }
        let kinds = self.0.invalid_kinds.iter_mut().chain(&mut self.0.warning_kinds);
        for line in kinds.flat_map(|kind| &mut kind.lines) {
            *line = part.line_of_file(*line);
        }
        self.leave_out(&part.too_long, limit);
        self
    }

    /// Adds the report about the next part.
    pub(crate) fn add(&mut self, next: Self) {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        self.0.received = self.0.received.saturating_add(next.0.received);
        self.0.added = sum(self.0.added, next.0.added);
        self.0.updated = sum(self.0.updated, next.0.updated);
        self.0.removed = sum(self.0.removed, next.0.removed);
        self.0.invalid = self.0.invalid.saturating_add(next.0.invalid);
        self.0.invalid_lines.extend(next.0.invalid_lines);
        self.0.invalid_lines.truncate(MAX_LISTED);
        add_kinds(&mut self.0.invalid_kinds, next.0.invalid_kinds);
        self.0.warnings = sum(self.0.warnings, next.0.warnings);
        if let (Some(lines), Some(more)) = (&mut self.0.warning_lines, next.0.warning_lines) {
            lines.extend(more);
            lines.truncate(MAX_LISTED);
        }
        add_kinds(&mut self.0.warning_kinds, next.0.warning_kinds);
    }

    /// Adds lines that are too long for a request of `limit` bytes.
    pub(crate) fn leave_out(&mut self, lines: &[u64], limit: usize) {
        self.0.received = self.0.received.saturating_add(lines.len() as u64);
        self.0.invalid = self.0.invalid.saturating_add(lines.len() as u64);
        self.0.invalid_lines.extend(lines.iter().map(|line| InvalidLine {
            line: *line,
            detail: format!("is longer than a request of {limit} bytes"),
        }));
        self.0.invalid_lines.sort_by_key(|invalid| invalid.line);
        self.0.invalid_lines.truncate(MAX_LISTED);
        // If the server sums up faults, these are summed up as well.
        if !lines.is_empty() && !self.0.invalid_kinds.is_empty() {
            let kind = InvalidKind {
                pointer: String::new(),
                detail: format!("is longer than a request of {limit} bytes"),
                count: lines.len() as u64,
                lines: lines.iter().copied().take(MAX_KIND_LINES).collect(),
            };
            add_kinds(&mut self.0.invalid_kinds, vec![kind]);
        }
    }

    /// Returns the exit code. A rejected line means a device that is missing, or that should not be there.
    pub(crate) const fn exit(&self) -> Exit {
        if self.0.invalid == 0 {
            Exit::Done
        } else {
            Exit::Undelivered
        }
    }

    /// Returns the report as text for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("audience {}: {} received", self.0.audience, self.0.received);
        let numbers = [
            (self.0.added, "added"),
            (self.0.updated, "updated"),
            (self.0.removed, "removed"),
            (Some(self.0.invalid), "invalid"),
        ];
        for (number, what) in numbers {
            if let Some(number) = number {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        let listed = if self.0.invalid_kinds.is_empty() {
            for invalid in &self.0.invalid_lines {
                text.push_str(&format!("\n  line {}: {}", invalid.line, invalid.detail));
            }
            self.0.invalid_lines.len() as u64
        } else {
            push_kinds(&mut text, &self.0.invalid_kinds);
            invalid::count(&self.0.invalid_kinds)
        };
        if self.0.invalid > listed {
            text.push_str(&format!("\n  and {} more", self.0.invalid - listed));
        }
        if let Some(warnings) = self.0.warnings.filter(|warnings| *warnings > 0) {
            text.push_str(&format!("\n  {warnings} warnings; the devices are kept"));
            push_kinds(&mut text, &self.0.warning_kinds);
        }
        text
    }
}

fn push_kinds(text: &mut String, kinds: &[InvalidKind]) {
    for line in invalid::to_lines(kinds, |line| line) {
        text.push('\n');
        text.push_str(&line);
    }
}

/// The most lines that are listed: the server's limit.
const MAX_LISTED: usize = 100;

/// The most kinds of faults, and the most lines per kind: the server's limit.
const MAX_KINDS: usize = 50;
const MAX_KIND_LINES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::part::Parts;

    fn report(numbers: &str, lines: impl IntoIterator<Item = u64>) -> Report {
        let lines: Vec<String> = lines
            .into_iter()
            .map(|line| format!(r#"{{"line":{line},"detail":"is odd"}}"#))
            .collect();
        let lines = lines.join(",");
        serde_json::from_str(&format!(
            r#"{{"audience":"a",{numbers},"invalid_lines":[{lines}]}}"#
        ))
        .unwrap()
    }

    fn listed(report: &Report) -> Vec<u64> {
        report
            .0
            .invalid_lines
            .iter()
            .map(|invalid| invalid.line)
            .collect()
    }

    #[test]
    fn counts_add_up_and_the_document_keeps_its_form() {
        let mut import = report(r#""received":4,"added":1,"updated":2,"invalid":1"#, [3]);
        import.add(report(
            r#""received":40,"added":10,"updated":20,"invalid":10"#,
            [7],
        ));
        assert_eq!(
            serde_json::to_string(&import).unwrap(),
            r#"{"audience":"a","received":44,"added":11,"updated":22,"invalid":11,"invalid_lines":[{"line":3,"detail":"is odd"},{"line":7,"detail":"is odd"}]}"#
        );
        let mut removal = report(r#""received":3,"removed":3,"invalid":0"#, []);
        removal.add(report(r#""received":1,"removed":1,"invalid":0"#, []));
        assert_eq!(removal.to_text(), "audience a: 4 received, 4 removed, 0 invalid");
    }

    #[test]
    fn equal_faults_and_warnings_of_all_parts_are_summed_up() {
        let part = |first: u64| {
            format!(
                r#"{{"audience":"a","received":9,"added":1,"updated":0,"invalid":4,"invalid_lines":[],
                "invalid_kinds":[{{"pointer":"/token","detail":"is required","count":3,"lines":[{first},{},{}]}},
                    {{"detail":"is not JSON","count":1,"lines":[{}]}}],
                "warnings":1,"warning_kinds":[{{"detail":"/locale is dropped","count":1,"lines":[{}]}}]}}"#,
                first + 1,
                first + 2,
                first + 3,
                first + 4,
            )
        };
        let mut sum: Report = serde_json::from_str(&part(1)).unwrap();
        sum.add(serde_json::from_str(&part(10)).unwrap());
        assert_eq!(
            sum.to_text(),
            "audience a: 18 received, 2 added, 0 updated, 8 invalid\n\
             \x20 6 lines: /token: is required (lines 1, 2, 3, 10, 11, ...)\n\
             \x20 2 lines: is not JSON (lines 4, 13)\n\
             \x20 2 warnings; the devices are kept\n\
             \x20 2 lines: /locale is dropped (lines 5, 14)"
        );
    }

    #[test]
    fn lines_that_had_no_room_are_among_the_invalid_in_their_order() {
        let text = "123456\n1\n2\n123456\n";
        let part = Parts::lines(text.as_bytes(), 5, 1).cut().unwrap().unwrap();
        let report = report(r#""received":2,"added":1,"updated":0,"invalid":1"#, [2]).of_file(&part, 5);
        assert_eq!(
            report.to_text(),
            "audience a: 4 received, 1 added, 0 updated, 3 invalid\n\
             \x20 line 1: is longer than a request of 5 bytes\n\
             \x20 line 3: is odd\n\
             \x20 line 4: is longer than a request of 5 bytes"
        );
    }

    #[test]
    fn the_first_hundred_lines_are_listed() {
        let most = MAX_LISTED as u64;
        let mut all = report(r#""received":99,"removed":0,"invalid":99"#, 1..most);
        all.add(report(
            r#""received":2,"removed":0,"invalid":2"#,
            [most, most + 1],
        ));
        assert_eq!(listed(&all), Vec::from_iter(1..=most));
        all.leave_out(&[most + 2], 5);
        assert_eq!(listed(&all), Vec::from_iter(1..=most));
        assert!(all.to_text().ends_with("\n  and 2 more"));
        assert_eq!(all.0.received, 102);
    }
}
