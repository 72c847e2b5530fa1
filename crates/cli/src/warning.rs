//! The server's warnings about what it sent.

use serde::Deserialize;

use crate::screen::Screen;

/// The warnings in a document of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Warnings {
    #[serde(rename = "warnings")]
    kinds: Vec<Kind>,
    #[serde(rename = "more_warnings")]
    more: u64,
}

#[derive(Debug, Deserialize)]
struct Kind {
    code: String,
    pointer: String,
    detail: String,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    lines: Vec<u64>,
}

/// How a device is named to the user, given its line in the body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// By its number. The body has this many lines before the first device.
    Device(u64),
    /// By its line in a file. The body has this many more lines before it.
    Line(u64),
}

impl Warnings {
    /// Reads the warnings of a document. Returns none if it has no such fields.
    pub(crate) fn read(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }

    /// Writes each kind to standard error. With `--json` the document has them.
    pub(crate) fn print(&self, screen: Screen, place: Place) {
        if screen.is_json() {
            return;
        }
        for line in self.to_lines(place) {
            screen.warn(&line);
        }
    }

    /// Returns a line per kind.
    pub(crate) fn to_lines(&self, place: Place) -> Vec<String> {
        let mut lines: Vec<String> = self.kinds.iter().map(|kind| kind.to_line(place)).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }
}

impl Kind {
    fn to_line(&self, place: Place) -> String {
        let Self {
            code,
            pointer,
            detail,
            count,
            lines,
        } = self;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_with_its_lines_as_the_user_counts_them() {
        let warnings = Warnings::read(
            r#"{"id":"x","warnings":[
                {"code":"misspelled_key","pointer":"/notification/payload/aps/alrt","detail":"is odd"},
                {"code":"null_value","pointer":"/payload/k","detail":"is null","count":9,"lines":[2,3,4,5,6]},
                {"code":"null_value","pointer":"/payload/l","detail":"is null","count":1,"lines":[4]}],
                "more_warnings":7}"#,
        );
        assert_eq!(
            warnings.to_lines(Place::Line(1)),
            [
                "/notification/payload/aps/alrt: is odd (misspelled_key)",
                "/payload/k: is null (null_value) in lines 1, 2, 3, 4, 5 and 4 more",
                "/payload/l: is null (null_value) in line 3",
                "and 7 more",
            ]
        );
        assert_eq!(
            warnings.to_lines(Place::Device(0))[2],
            "/payload/l: is null (null_value) in device 4"
        );
        assert!(Warnings::read("{}").to_lines(Place::Line(0)).is_empty());
    }
}
