//! What has become of an upload, part by part.

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::exit::Exit;

/// What the server says of an upload: of an import what was added and updated, else what was removed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    audience: String,
    received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    invalid: u64,
    #[serde(default)]
    invalid_lines: Vec<InvalidLine>,
}

#[derive(Debug, Deserialize, Serialize)]
struct InvalidLine {
    line: u64,
    detail: String,
}

impl Report {
    /// Tells the server's lines of a part as lines of the file, and of those that a request of `limit` bytes has no
    /// room for.
    pub(crate) fn of_file(mut self, part: &Part, limit: usize) -> Self {
        for invalid in &mut self.invalid_lines {
            invalid.line = part.line_of_file(invalid.line);
        }
        self.leave_out(&part.too_long, limit);
        self
    }

    /// Adds the report on the next part.
    pub(crate) fn add(&mut self, next: Self) {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        self.received = self.received.saturating_add(next.received);
        self.added = sum(self.added, next.added);
        self.updated = sum(self.updated, next.updated);
        self.removed = sum(self.removed, next.removed);
        self.invalid = self.invalid.saturating_add(next.invalid);
        self.invalid_lines.extend(next.invalid_lines);
        self.invalid_lines.truncate(MAX_LISTED);
    }

    /// Adds lines that a request of `limit` bytes has no room for.
    pub(crate) fn leave_out(&mut self, lines: &[u64], limit: usize) {
        self.received = self.received.saturating_add(lines.len() as u64);
        self.invalid = self.invalid.saturating_add(lines.len() as u64);
        self.invalid_lines.extend(lines.iter().map(|line| InvalidLine {
            line: *line,
            detail: format!("is longer than a request of {limit} bytes"),
        }));
        self.invalid_lines.sort_by_key(|invalid| invalid.line);
        self.invalid_lines.truncate(MAX_LISTED);
    }

    /// A line that was left out is a device that is missing, or there when it should not be.
    pub(crate) const fn exit(&self) -> Exit {
        if self.invalid == 0 {
            Exit::Done
        } else {
            Exit::Undelivered
        }
    }

    /// The report for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("audience {}: {} received", self.audience, self.received);
        let numbers = [
            (self.added, "added"),
            (self.updated, "updated"),
            (self.removed, "removed"),
            (Some(self.invalid), "invalid"),
        ];
        for (number, what) in numbers {
            if let Some(number) = number {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        for invalid in &self.invalid_lines {
            text.push_str(&format!("\n  line {}: {}", invalid.line, invalid.detail));
        }
        let listed = self.invalid_lines.len() as u64;
        if self.invalid > listed {
            text.push_str(&format!("\n  and {} more", self.invalid - listed));
        }
        text
    }
}

/// The most lines that are listed, as the server lists them.
const MAX_LISTED: usize = 100;

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
        report.invalid_lines.iter().map(|invalid| invalid.line).collect()
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
        assert_eq!(all.received, 102);
    }
}
