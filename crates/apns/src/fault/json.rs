//! Reads JSON from outside: strict about what is ambiguous, lenient about the rest.
//!
//! A name that occurs twice in an object is a fault, because a parser would silently drop one of the values.
//! In our own objects `null` means an absent field. It is kept where it has a meaning: in payloads, in the
//! patches of variants, and in the comparisons of a segment. A byte order mark is ignored.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::{FaultKind, Faults, Pointer};

/// Reads a JSON text, which is at `at`.
///
/// # Errors
/// Returns one fault if it is not JSON, else one fault for each name that occurs twice in its object.
pub fn json(text: &[u8], at: &Pointer<'_>) -> Result<Value, Faults> {
    let text = without_mark(text);
    let mut faults = Faults::default();
    let mut parser = serde_json::Deserializer::from_slice(text);
    let reader = Reader {
        at,
        nulls: Nulls::Dropped,
        faults: &mut faults,
    };
    let read = reader.deserialize(&mut parser).and_then(|value| {
        parser.end()?;
        Ok(value)
    });
    match read {
        Ok(value) => faults.or(value),
        Err(error) => Err(not_json(text, &error, at)),
    }
}

/// Creates the fault of a text that is not JSON.
#[must_use]
pub fn not_json(text: &[u8], error: &serde_json::Error, at: &Pointer<'_>) -> Faults {
    let mut faults = Faults::default();
    faults.add(at, FaultKind::NotJson(explanation(text, error)));
    faults
}

/// Returns the text without leading byte order marks. Joined files may have several, with white space between
/// them.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some(behind) = rest.trim_ascii_start().strip_prefix(MARK) {
        rest = behind;
    }
    rest
}

/// A value in which no object has a name twice. With `NULLS`, null members are kept.
///
/// Used by readers that build no tree of the whole text. The error does not say where the name is.
#[derive(Clone, Debug, PartialEq)]
pub struct Unique<const NULLS: bool>(pub Value);

impl<'de, const NULLS: bool> Deserialize<'de> for Unique<NULLS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut faults = Faults::default();
        let reader = Reader {
            at: &Pointer::Root,
            nulls: if NULLS { Nulls::Kept } else { Nulls::Dropped },
            faults: &mut faults,
        };
        let value = reader.deserialize(deserializer)?;
        if faults.is_empty() {
            Ok(Self(value))
        } else {
            Err(D::Error::custom(FaultKind::Duplicate))
        }
    }
}

/// How null members are treated.
#[derive(Clone, Copy)]
enum Nulls {
    Dropped,
    /// Dropped at this level, kept below.
    KeptBelow,
    Kept,
}

impl Nulls {
    /// Returns how nulls in the value of the member `name` are treated.
    fn of(self, name: &str) -> Self {
        match (self, name) {
            (Self::Kept | Self::KeptBelow, _) => Self::Kept,
            (Self::Dropped, "payload" | "eq" | "in" | "before" | "after") => Self::Kept,
            (Self::Dropped, "variants") => Self::KeptBelow,
            (Self::Dropped, _) => Self::Dropped,
        }
    }
}

/// Reads one value.
struct Reader<'r> {
    at: &'r Pointer<'r>,
    nulls: Nulls,
    faults: &'r mut Faults,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let at = self.at.index(values.len());
            let element = Reader {
                at: &at,
                nulls: self.nulls,
                faults: &mut *self.faults,
            };
            match elements.next_element_seed(element)? {
                Some(value) => values.push(value),
                None => return Ok(values.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (mut map, mut has_nulls) = (Map::new(), false);
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER {
                let digits: String = members.next_value()?;
                return Number::from_str(&digits)
                    .map(Value::Number)
                    .map_err(A::Error::custom);
            }
            let at = self.at.key(&name);
            let value = members.next_value_seed(Reader {
                at: &at,
                nulls: self.nulls.of(&name),
                faults: &mut *self.faults,
            })?;
            has_nulls |= value.is_null();
            match map.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(entry) => self.faults.add(&self.at.key(entry.key()), FaultKind::Duplicate),
            }
        }
        if has_nulls && !matches!(self.nulls, Nulls::Kept) {
            map.retain(|_, value| !value.is_null());
        }
        Ok(Value::Object(map))
    }
}

/// Explains why a text is not JSON, in words for its author. Never quotes the text.
fn explanation(text: &[u8], error: &serde_json::Error) -> String {
    if let Some(form) = foreign(text) {
        return form.to_owned();
    }
    if let Err(error) = std::str::from_utf8(text) {
        return format!(
            "it is not UTF-8: the byte at position {} is wrong",
            error.valid_up_to()
        );
    }
    let (mut told, line, column) = (error.to_string(), error.line(), error.column());
    told.truncate(told.find(" at line ").unwrap_or(told.len()));
    if told.contains("hex escape") {
        LONE_SURROGATE.clone_into(&mut told);
    } else if told.contains("recursion limit") {
        told = format!("arrays and objects are nested more than {MAX_NESTING} deep");
    } else if error.is_eof() {
        told = format!("it is cut off ({told})");
    } else if told == "trailing characters" && line > 1 {
        "it is several JSON documents (send lines of JSON as `application/x-ndjson`), the next begins"
            .clone_into(&mut told);
    }
    if text.contains(&b'\n') {
        format!("{told} at line {line} column {column}")
    } else {
        format!("{told} at column {column}")
    }
}

/// Names the format of a text that is clearly not JSON. Returns `None` if no format is recognized.
fn foreign(text: &[u8]) -> Option<&'static str> {
    match text {
        [] => Some("it is empty"),
        [0x1f, 0x8b, ..] => Some("it is gzip; send the header `Content-Encoding: gzip` with it"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => Some("it is UTF-16; send UTF-8"),
        [b'P', b'K', 3, 4, ..] => Some("it is a ZIP file or a spreadsheet; send JSON, a device per line"),
        _ if is_table(text) || is_row(text) => Some(
            "it is CSV; send JSON, a device per line. Only an import to an audience takes CSV, as `text/csv`",
        ),
        _ => None,
    }
}

/// Whether a text begins with the column names of a table of devices.
#[must_use]
pub fn is_table(text: &[u8]) -> bool {
    let text = without_mark(text).trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let header = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    if matches!(header.first(), None | Some(b'{' | b'[')) || header.len() > MAX_HEADER {
        return false;
    }
    // A spreadsheet may say in a line of its own what separates the cells.
    let start = header.strip_prefix(b"\"").unwrap_or(header).get(..4);
    if start.is_some_and(|start| start.eq_ignore_ascii_case(b"sep=")) {
        return true;
    }
    let mut names = header.split(|byte| matches!(byte, b',' | b';' | b'\t'));
    names.any(|name| {
        name.trim_ascii()
            .trim_ascii_quotes()
            .eq_ignore_ascii_case(b"token")
    })
}

/// Whether a text begins with a table row that has a device token in its first cell.
#[must_use]
pub fn is_row(text: &[u8]) -> bool {
    let text = without_mark(text).trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, b',' | b';' | b'\t'));
    end.is_some_and(|end| text.get(..end).is_some_and(is_like_token))
}

/// Whether a cell clearly holds a device token.
#[must_use]
pub fn is_like_token(cell: &[u8]) -> bool {
    let cell = without_mark(cell).trim_ascii().trim_ascii_quotes();
    cell.len() >= MIN_TOKEN && cell.iter().all(u8::is_ascii_hexdigit)
}

/// Removes the quotes around a column name.
trait Quoted {
    fn trim_ascii_quotes(&self) -> &Self;
}

impl Quoted for [u8] {
    fn trim_ascii_quotes(&self) -> &Self {
        let inner = self.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        inner.unwrap_or(self)
    }
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The maximum nesting of arrays and objects; the parser stops there.
const MAX_NESTING: usize = 127;

/// The name under which the parser passes on a number with its digits.
const NUMBER: &str = "$serde_json::private::Number";

const LONE_SURROGATE: &str = "it has a lone surrogate, half of a character such as `\\ud83d` without its other half: \
     a text was cut inside an emoji,";

/// The minimum number of hex digits that are recognized as a device token in the wrong place.
const MIN_TOKEN: usize = 32;

/// The longest first line that is searched for column names.
const MAX_HEADER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    fn read(text: &str) -> Result<Value, String> {
        json(text.as_bytes(), &Pointer::Root).map_err(|faults| faults.to_string())
    }

    fn not_json_text(text: &[u8]) -> String {
        json(text, &Pointer::Root).unwrap_err().to_string()
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused_where_it_is() {
        assert_eq!(
            read(r#"{"a": {"b/c": [{"x": 1, "x": 1}]}, "a": 2, "n": null, "n": 1}"#).unwrap_err(),
            "/a/b~1c/0/x: occurs twice in one object; keep one of them; /a: occurs twice in one object; \
             keep one of them; /n: occurs twice in one object; keep one of them"
        );
        assert!(serde_json::from_str::<Unique<false>>(r#"{"a": [{"b": 1, "b": 2}]}"#).is_err());
        assert!(serde_json::from_str::<Unique<true>>(r#"{"a": null, "a": null}"#).is_err());
    }

    #[test]
    fn null_is_an_absent_field_but_in_payloads_patches_and_comparisons() {
        assert_eq!(
            read(
                r#"{"ref": null, "batch": {"rate": null}, "devices": [null, {"ref": null, "payload": {"a": null}}],
                    "payload": null, "variants": {"de": null, "fr": {"aps": null}},
                    "segment": {"all": [{"eq": {"plan": null}}], "any": null}}"#
            ),
            Ok(value!({
                "batch": {}, "devices": [null, {"payload": {"a": null}}], "variants": {"fr": {"aps": null}},
                "segment": {"all": [{"eq": {"plan": null}}]},
            }))
        );
    }

    #[test]
    fn numbers_keep_their_digits_and_names_their_order() {
        let text = r#"{"z":1.50,"a":-0,"b":123456789012345678901234567890,"c":1e+999,"d":[true,"\u00e9"]}"#;
        let text = text.replace("\\u00e9", "é");
        assert_eq!(read(&text).unwrap().to_string(), text);
        let unique: Unique<false> = serde_json::from_str(&text).unwrap();
        assert_eq!(unique.0.to_string(), text);
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        for text in ["\u{feff}{}", "\u{feff}\u{feff}{}", " \n\u{feff} {}"] {
            assert_eq!(read(text), Ok(value!({})), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_named_for_what_it_is() {
        for (text, expected) in [
            (&b""[..], "it is empty"),
            (b"\xff\xfe{\0}\0", "it is UTF-16; send UTF-8"),
            (b"\0{\0}", "it is UTF-16; send UTF-8"),
            (b"{\0}\0", "it is UTF-16; send UTF-8"),
            (b"\x1f\x8b\x08", "it is gzip"),
            (b"token,ref\n00ff,a\n", "it is CSV"),
            (b"740f4707bebcf74f9b7c25d48e335894,a\n", "it is CSV"),
            (b"sep=,\r\ntoken,ref\r\n", "it is CSV"),
            (b"PK\x03\x04\x14", "it is a ZIP file or a spreadsheet"),
            (b"\xef\xbb\xbf\"ref\";\"Token\"\r\n", "it is CSV"),
            (
                b"{\"a\": \"\xe9\"}",
                "it is not UTF-8: the byte at position 7 is wrong",
            ),
            (br#"{"a": "\ud83d"}"#, "lone surrogate"),
            (br#"{"a": "\ude00"}"#, "lone surrogate"),
            (br#"{"a": "\ud83d\u0041"}"#, "lone surrogate"),
            (
                br#"{"a": 1"#,
                "it is cut off (EOF while parsing an object) at column 7",
            ),
            (br#"{"a": 1,}"#, "trailing comma at column 9"),
            (b"{\"a\": 1}\n{\"b\": 1}", "several JSON documents"),
            (b"{\n\"app\": }", "expected value at line 2 column 8"),
        ] {
            let told = not_json_text(text);
            assert!(told.starts_with("the body is not JSON: "), "{told}");
            assert!(told.contains(expected), "{told} has not {expected}");
        }
    }

    #[test]
    fn json_nested_too_deep_is_told_how_deep_it_may_be_and_where() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(json(nested(MAX_NESTING).as_bytes(), &Pointer::Root).is_ok());
        assert_eq!(
            not_json_text(nested(MAX_NESTING + 1).as_bytes()),
            "the body is not JSON: arrays and objects are nested more than 127 deep at column 128"
        );
    }
}
