//! Splits a body into lines, whatever pieces it arrives in.
//!
//! A line ends at `\n`, `\r\n` or `\r`. A line within one piece is not copied. Of a line that is too long,
//! only the length is kept. This module also parses a line as a JSON value, and words the faults of rejected
//! lines.

use serde_json::Value;

use super::problem::{LineFault, Problem, shortened};
use apns::DeviceToken;
use apns::device_token::BadDeviceToken;
use apns::fault::{self, Fault, FaultKind, Faults, Pointer};
use documents::InvalidLine;

/// The state of a body's reader: the line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The bytes of the line so far.
    partial: Vec<u8>,
    /// The length of the line so far, kept or not.
    size: usize,
    /// The number of complete lines.
    ended: u32,
    /// Whether `partial` is a line that was returned already.
    is_spent: bool,
    /// Whether the last line ended at `\r`, which `\n` may complete.
    after_return: bool,
}

/// Splits bytes into pieces. Each piece has at most one line end, at its own end.
pub(super) fn pieces_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r'))
}

/// Returns the lines of a complete body that are not blank, with their numbers from 1.
pub(super) fn whole(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let (mut number, mut after_return) = (0_u32, false);
    pieces_of(body).filter_map(move |piece| {
        if std::mem::take(&mut after_return) && piece == b"\n" {
            return None;
        }
        after_return = piece.ends_with(b"\r");
        number = number.saturating_add(1);
        let text = clean(piece);
        (!text.is_empty()).then_some((number, text))
    })
}

/// Returns a line without surrounding white space and byte order marks. Concatenated files have such marks
/// inside.
fn clean(line: &[u8]) -> &[u8] {
    fault::without_mark(line.trim_ascii()).trim_ascii()
}

/// Parses a line: JSON, or a text without quotes that can only be a device token.
///
/// # Errors
/// It is neither, or a name occurs twice in an object.
pub(super) fn value(line: &[u8], at: &Pointer<'_>) -> Result<Value, Faults> {
    match bare_token(line) {
        Some(token) => match DeviceToken::parse(token) {
            Err(BadDeviceToken::NotHex { .. }) => {
                let mut faults = Faults::default();
                let text = "it is neither an object nor a device token in hex digits";
                faults.add(at, FaultKind::NotJson(text.to_owned()));
                Err(faults)
            }
            // Any other fault is found when the device is read.
            Ok(_) | Err(_) => Ok(token.into()),
        },
        None => fault::json(line, at),
    }
}

/// Returns a line that is not a JSON object, array or string, if it has only characters that tokens are
/// written with.
pub(super) fn bare_token(line: &[u8]) -> Option<&str> {
    let may_be_token = |byte: &u8| byte.is_ascii_alphanumeric() || b" <>:;_+/=.-[]'".contains(byte);
    let is_json = matches!(line.first(), None | Some(b'{' | b'[' | b'"'));
    let is_bare = !is_json && line.iter().all(may_be_token);
    let is_description = line.starts_with(b"{length");
    std::str::from_utf8(line)
        .ok()
        .filter(|_| is_bare || is_description)
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// Its number, from 1.
    pub(super) number: u32,
    /// Its length in bytes.
    pub(super) size: usize,
    /// Its bytes without surrounding white space. `None` if it exceeds the limit.
    pub(super) text: Option<&'l [u8]>,
}

impl Lines {
    /// Reads the next piece of the body, as [`pieces_of`] returns it. Returns the line that ends there, of at
    /// most `limit` bytes.
    pub(super) fn take<'l>(&'l mut self, piece: &'l [u8], limit: usize) -> Option<Line<'l>> {
        self.forget();
        if std::mem::take(&mut self.after_return) && piece == b"\n" {
            return None;
        }
        let end = piece.strip_suffix(b"\n").or_else(|| piece.strip_suffix(b"\r"));
        self.after_return = piece.ends_with(b"\r");
        let is_whole = self.size == 0 && end.is_some();
        let piece = end.unwrap_or(piece);
        self.size = self.size.saturating_add(piece.len());
        if self.size > limit {
            self.partial = Vec::new();
        } else if !is_whole {
            self.partial.extend_from_slice(piece);
        }
        end?;
        self.is_spent = true;
        self.ended = self.ended.saturating_add(1);
        let text = if is_whole { piece } else { &self.partial };
        Some(Line {
            number: self.ended,
            size: self.size,
            text: (self.size <= limit).then(|| clean(text)),
        })
    }

    /// Returns the last line if it has no line end. Returns `None` if the body ends with a line end.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        self.forget();
        if self.size == 0 {
            return None;
        }
        // A line that was too long was not kept.
        let text = (self.size == self.partial.len()).then(|| clean(&self.partial));
        Some(Line {
            number: self.ended.saturating_add(1),
            size: self.size,
            text,
        })
    }

    fn forget(&mut self) {
        if self.is_spent {
            self.partial.clear();
            (self.size, self.is_spent) = (0, false);
        }
    }
}

impl From<&LineFault> for InvalidLine {
    fn from(fault: &LineFault) -> Self {
        Self {
            line: fault.line.into(),
            detail: described(&fault.fault),
        }
    }
}

/// Returns a fault as text of limited length, because a pointer repeats the caller's own field names.
pub(super) fn described(fault: &Fault) -> String {
    shortened(if fault.pointer.is_empty() {
        fault.kind.to_string()
    } else {
        fault.to_string()
    })
}

/// Returns the fault of a line that is longer than its limit.
pub(super) fn too_long(size: usize, limit: usize) -> Faults {
    let unit = "bytes";
    of_line(FaultKind::TooLong { size, limit, unit })
}

/// Returns the problem of a body that does not contain lines of devices.
pub(super) fn refused(text: &str) -> Problem {
    Problem::invalid(of_line(FaultKind::Invalid(text.to_owned())))
}

/// Returns a fault of a line as a whole.
pub(super) fn of_line(kind: FaultKind) -> Faults {
    let mut faults = Faults::default();
    faults.add(&Pointer::Root, kind);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the lines of a body that arrives in these pieces: number, size, text.
    fn lines(pieces: &[&[u8]], limit: usize) -> Vec<(u32, usize, Option<String>)> {
        let described = |line: Line<'_>| {
            let text = line.text.map(|text| String::from_utf8(text.to_vec()).unwrap());
            (line.number, line.size, text)
        };
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            found.extend(pieces_of(piece).filter_map(|piece| lines.take(piece, limit).map(described)));
        }
        found.extend(lines.last().map(described));
        found
    }

    #[test]
    fn a_line_ends_at_a_line_feed_and_at_the_end_of_the_body() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines(&[b"a\r\n\n b \nc"], 9),
            [
                (1, 1, text("a")),
                (2, 0, text("")),
                (3, 3, text("b")),
                (4, 1, text("c"))
            ]
        );
        assert_eq!(lines(&[b"a\n"], 9), [(1, 1, text("a"))]);
        assert_eq!(lines(&[b""], 9), []);
        assert_eq!(
            lines(&[b"a\rb\r", b"\n\rc"], 9),
            [
                (1, 1, text("a")),
                (2, 1, text("b")),
                (3, 0, text("")),
                (4, 1, text("c"))
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_before_any_line_is_ignored() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines(&["\u{feff}a\n\u{feff}\n \u{feff} b".as_bytes()], 9),
            [(1, 4, text("a")), (2, 3, text("")), (3, 6, text("b"))]
        );
    }

    #[test]
    fn a_line_is_json_or_a_bare_token() {
        let read = |line: &str| value(line.as_bytes(), &Pointer::Root).map_err(|faults| faults.to_string());
        for token in [
            "00ff",
            "<740f4707 bebcf74f>",
            "0x00ff",
            "'00ff'",
            "12",
            "ExponentPushToken[a-b]",
            "{length = 32, bytes = 0xab}",
        ] {
            assert_eq!(read(token), Ok(token.into()));
        }
        assert_eq!(read(r#""00ff""#), Ok("00ff".into()));
        assert_eq!(read("{}"), Ok(serde_json::json!({})));
        for line in [
            "a,b",
            "{\"token\":",
            "token\":\"00ff\"}",
            "nonsense",
            "null",
            "true",
        ] {
            assert!(read(line).unwrap_err().contains("is not JSON"), "{line}");
        }
    }

    #[test]
    fn the_limit_is_exact_and_what_is_longer_is_not_kept() {
        let mut long = Lines::default();
        assert_eq!(long.take(b"abc", 3), None);
        assert_eq!(long.partial, b"abc");
        assert_eq!(long.take(b"d", 3), None);
        assert_eq!(long.take(&[b'e'; 100], 3), None);
        assert_eq!(long.partial.capacity(), 0);
        let line = long.take(b"f\n", 3).unwrap();
        assert_eq!((line.number, line.size, line.text), (1, 105, None));
        let line = long.take(b"abc\n", 3).unwrap();
        assert_eq!((line.number, line.size, line.text), (2, 3, Some(&b"abc"[..])));
        assert_eq!(long.take(b"x", 3), None);
        assert_eq!(long.last().unwrap().text, Some(&b"x"[..]));
    }

    proptest! {
        #[test]
        fn a_whole_body_has_the_same_lines(body in "[a\n\r \u{feff}]{0,60}") {
            let of_pieces = lines(&[body.as_bytes()], 100).into_iter();
            let of_pieces: Vec<(u32, String)> = of_pieces
                .filter_map(|(number, _, text)| Some((number, text?)))
                .filter(|(_, text)| !text.is_empty())
                .collect();
            let whole: Vec<(u32, String)> = whole(body.as_bytes())
                .map(|(number, text)| (number, String::from_utf8(text.to_vec()).unwrap()))
                .collect();
            prop_assert_eq!(whole, of_pieces);
        }

        #[test]
        fn the_pieces_do_not_matter(
            body in "[a\n\r ]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), limit in 0..9_usize
        ) {
            let body = body.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            places.extend([0, body.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&pieces, limit), lines(&[body], limit));
        }
    }
}
