//! Makes a payload fit: shortens the alert's body until the payload is within the limit.
//!
//! A body is cut between characters as a reader sees them (Unicode's extended grapheme clusters, UAX #29) and
//! ends with an ellipsis. Nothing else is shortened: a cut would change the meaning of a title, an app's key
//! or a localized text.

use std::fmt;

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::Payload;
use crate::fault::Pointer;

impl Payload {
    /// Shortens the alert's body by just enough that the payload has at most `limit` bytes. Returns a payload
    /// that fits unchanged.
    ///
    /// # Errors
    /// Returns an error if the payload has no body, or is too large even with an ellipsis as its body.
    pub fn fit(mut self, limit: usize) -> Result<Self, TooLarge> {
        let size = self.size();
        if size <= limit {
            return Ok(self);
        }
        let shortened = self.body_text().and_then(|body| {
            let rest = size - escaped_len(body);
            let room = limit.checked_sub(rest)?.checked_sub(ELLIPSIS.len())?;
            Some(format!("{}{ELLIPSIS}", prefix(body, room)))
        });
        match (shortened, self.body_slot()) {
            (Some(shortened), Some(slot)) => {
                *slot = Value::String(shortened);
                Ok(Self::from_root(self.root))
            }
            _ => Err(self.too_large(limit)),
        }
    }

    fn too_large(&self, limit: usize) -> TooLarge {
        let mut parts: Vec<Part> = self
            .custom()
            .map(|(key, value)| Part {
                pointer: Pointer::Root.key(key).to_string(),
                bytes: member_len(key, value),
            })
            .collect();
        let body = self.body_text().map_or(0, escaped_len);
        if body > 0 {
            let pointer = self.body_pointer().to_owned();
            parts.push(Part { pointer, bytes: body });
        }
        if let Some(aps) = self.get("aps") {
            let bytes = member_len("aps", aps) - body;
            let pointer = APS.to_owned();
            parts.push(Part { pointer, bytes });
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        parts.truncate(MAX_PARTS);
        let size = self.size();
        TooLarge { size, limit, parts }
    }

    fn body_pointer(&self) -> &'static str {
        match self.at("/aps/alert") {
            Some(Value::String(_)) => "/aps/alert",
            _ => "/aps/alert/body",
        }
    }

    fn body_text(&self) -> Option<&str> {
        self.at(self.body_pointer())?.as_str()
    }

    fn body_slot(&mut self) -> Option<&mut Value> {
        let pointer = self.body_pointer();
        self.root.pointer_mut(pointer)
    }
}

/// The payload cannot be made to fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is {size} bytes long and cannot be shortened to {limit}; it has {}", listed(.parts))]
pub struct TooLarge {
    /// The payload's size.
    pub size: usize,
    /// The limit.
    pub limit: usize,
    /// The largest parts, largest first; at most [`MAX_PARTS`].
    pub parts: Vec<Part>,
}

/// A part of a payload and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The RFC 6901 pointer to the part. `/aps` stands for everything in it except the alert's body.
    pub pointer: String,
    /// Its size in the JSON, including the key.
    pub bytes: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.pointer == APS { "the rest of " } else { "" };
        write!(f, "{} bytes in {rest}{}", self.bytes, self.pointer)
    }
}

fn listed(parts: &[Part]) -> String {
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

/// Returns the longest prefix of `text` that ends with a whole grapheme and has at most `room` bytes in JSON.
fn prefix(text: &str, room: usize) -> &str {
    let mut end = 0;
    let mut size = 0;
    for (start, grapheme) in text.grapheme_indices(true) {
        size += escaped_len(grapheme);
        if size > room {
            break;
        }
        end = start + grapheme.len();
    }
    text.get(..end).unwrap_or_default()
}

/// Returns the length of `text` in JSON, without its quotes.
///
/// Only quotes, backslashes and control characters are escaped: the common ones with a letter, the others as
/// `\u00..`.
fn escaped_len(text: &str) -> usize {
    let byte_len = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(byte_len).sum()
}

/// Returns the length of the member `key` in JSON: `"key":value`.
fn member_len(key: &str, value: &Value) -> usize {
    escaped_len(key) + r#""":"#.len() + value.to_string().len()
}

/// Ends a shortened body. It has three bytes, and JSON does not escape it.
const ELLIPSIS: &str = "…";

/// The number of parts that an error names: enough to see what to shorten, however many keys the app has.
pub const MAX_PARTS: usize = 8;

const APS: &str = "/aps";

#[cfg(test)]
mod tests {
    use crate::payload::tests::payload;
    use serde_json::json;

    /// Fits an alert with `body` into as many bytes as leave room for `room` bytes of body.
    fn fitted(body: &str, room: usize) -> String {
        let empty = payload(json!({"aps": {"alert": {"title": "t", "body": ""}}, "k": 1})).size();
        let whole = payload(json!({"aps": {"alert": {"title": "t", "body": body}}, "k": 1}));
        let fitted = whole.fit(empty + room).unwrap();
        assert!(fitted.size() <= empty + room);
        let alert = fitted.aps().alert().unwrap();
        alert.body().unwrap().plain().unwrap().to_owned()
    }

    #[test]
    fn a_body_that_fits_to_the_byte_is_not_touched() {
        assert_eq!(fitted("hello", 5), "hello");
        assert_eq!(fitted("hello", 4), "h…");
        assert_eq!(fitted("hello world", 10), "hello w…");
    }

    #[test]
    fn an_alert_that_is_a_string_is_shortened_too() {
        let whole = payload(json!({"aps": {"alert": "hello world"}}));
        let limit = whole.size() - 1;
        assert_eq!(
            whole.fit(limit).unwrap().to_json(),
            r#"{"aps":{"alert":"hello w…"}}"#
        );
    }

    #[test]
    fn what_a_reader_sees_as_one_character_is_not_cut() {
        let family = "👨‍👩‍👧‍👦";
        let flags = "🇩🇪🇫🇷";
        let accented = "e\u{301}\u{323}";
        assert_eq!(fitted(&format!("a{family}b"), 1 + family.len()), "a…");
        assert_eq!(
            fitted(&format!("a{family}bcde"), 1 + family.len() + 3),
            format!("a{family}…")
        );
        assert_eq!(fitted(flags, 14), "🇩🇪…");
        assert_eq!(
            fitted(&format!("{accented}{accented}{accented}"), 12),
            format!("{accented}…")
        );
        assert_eq!(fitted("a\r\nb c d", 7), "a…");
    }

    #[test]
    fn escapes_count_with_all_their_bytes() {
        assert_eq!(fitted(r#"""""""#, 7), r#"""…"#);
        assert_eq!(fitted("\u{1}\u{1}\u{1}", 14), "\u{1}…");
        assert_eq!(fitted("\\\\\\\\", 7), "\\\\…");
        assert_eq!(fitted("😀😀😀", 11), "😀😀…");
    }

    #[test]
    fn the_ellipsis_alone_is_the_least_that_a_body_becomes() {
        assert_eq!(fitted("hello", 3), "…");
        let whole = payload(json!({"aps": {"alert": "hello"}}));
        let limit = whole.size() - 3;
        let too_large = whole.fit(limit).unwrap_err();
        assert_eq!((too_large.size, too_large.limit), (limit + 3, limit));
    }

    #[test]
    fn a_localized_body_is_not_shortened() {
        let whole = payload(json!({"aps": {"alert": {"body": {"loc-key": "k", "loc-args": ["long"]}}}}));
        let limit = whole.size() - 1;
        assert!(whole.fit(limit).is_err());
    }

    #[test]
    fn the_error_names_what_takes_the_space_largest_first() {
        let whole = payload(json!({
            "a/b": "x".repeat(300),
            "aps": {"alert": {"title": "t".repeat(100), "body": "b".repeat(200)}},
            "c": 1,
        }));
        let size = whole.size();
        let too_large = whole.fit(400).unwrap_err();
        assert_eq!(
            too_large.to_string(),
            format!(
                "is {size} bytes long and cannot be shortened to 400; it has 308 bytes in /a~1b, 200 bytes in \
                 /aps/alert/body, 138 bytes in the rest of /aps, 5 bytes in /c"
            )
        );
        let inside: usize = too_large.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(inside + "{,,}".len(), size);
    }

    #[test]
    fn a_megabyte_of_body_is_cut_at_the_limit_of_the_push_type() {
        let fitted = payload(json!({"aps": {"alert": "é".repeat(500_000)}}))
            .fit(4096)
            .unwrap();
        assert!((4095..=4096).contains(&fitted.size()), "{}", fitted.size());
    }
}
