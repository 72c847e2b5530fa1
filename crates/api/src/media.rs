//! Detects the form of a body by its media type and by its first bytes.
//!
//! Media types are read liberally, because each form has several names and programs often guess a file's type
//! from its name. Out of scope: the contents of the body.

use apns::fault;

/// The form that a header `Content-Type` or `Accept` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// One JSON document.
    Json,
    /// Lines of JSON.
    Lines,
    /// A CSV table.
    Csv,
    /// No form, or an unsupported one.
    Other,
}

impl Media {
    /// Returns the form that a media type names, ignoring its parameters.
    #[must_use]
    pub fn of(value: &str) -> Self {
        let name = value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let Some((_, subtype)) = name.split_once('/') else {
            return Self::Other;
        };
        let subtype = subtype.strip_prefix("x-").unwrap_or(subtype);
        let subtype = subtype.rsplit('+').next().unwrap_or(subtype);
        match subtype {
            "json" => Self::Json,
            "ndjson" | "jsonl" | "jsonlines" | "json-lines" | "ldjson" | "json-l" | "nd-json" => Self::Lines,
            "csv" | "comma-separated-values" | "vnd.ms-excel" | "excel" | "msexcel" => Self::Csv,
            _ => Self::Other,
        }
    }

    /// Returns the form that a header names, or `Other` without a header.
    #[must_use]
    pub fn of_header(value: Option<&str>) -> Self {
        value.map_or(Self::Other, Self::of)
    }
}

/// The form that is detected from the first bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evident {
    /// A JSON array.
    Array,
    /// A JSON document over several lines.
    Document,
    /// A line with a JSON object.
    Object,
    /// A CSV table.
    Table,
    /// Rows of a table without a header.
    Rows,
    /// gzip without the header `Content-Encoding`.
    Gzip,
    /// A ZIP file, for example a spreadsheet.
    Zip,
    /// Text in another encoding.
    Utf16,
}

impl Evident {
    /// Detects the form of a body that begins with `start`, which has at least the first line unless that is
    /// very long.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => return Some(Self::Gzip),
            [b'P', b'K', 3, 4, ..] => return Some(Self::Zip),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => return Some(Self::Utf16),
            _ => {}
        }
        let text = fault::without_mark(start).trim_ascii_start();
        let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let line = text
            .get(..end.unwrap_or(text.len()))
            .unwrap_or_default()
            .trim_ascii_end();
        match line {
            [b'[', ..] => Some(Self::Array),
            b"{" => Some(Self::Document),
            [b'{', ..] => Some(Self::Object),
            _ if fault::is_table(line) => Some(Self::Table),
            _ => fault::is_row(line).then_some(Self::Rows),
        }
    }

    /// Returns the fault where lines of JSON are expected, or `None` if the body has them.
    pub(super) const fn instead_of_lines(self) -> Option<&'static str> {
        match self {
            Self::Object => None,
            Self::Array => Some("is one JSON array; send a device per line, as `jq -c '.[]'` writes them"),
            Self::Document => Some(
                "is one JSON document over several lines; send a device per line, as `jq -c` writes them",
            ),
            Self::Table => Some("is CSV; send lines of JSON"),
            Self::Rows => {
                Some("is CSV without a first line that names its columns; begin with one such as `token,ref`")
            }
            Self::Zip => Some("is a ZIP file or a spreadsheet; export it as CSV or as lines of JSON"),
            Self::Gzip => Some("is gzip; send the header `Content-Encoding: gzip` with it"),
            Self::Utf16 => Some("is UTF-16; send UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_each_of_its_names() {
        for (value, media) in [
            ("application/json; charset=utf-8", Media::Json),
            ("text/json", Media::Json),
            ("application/vnd.acme+json", Media::Json),
            ("application/x-ndjson", Media::Lines),
            ("application/x-ndjson; charset=utf-8", Media::Lines),
            ("Application/NDJSON", Media::Lines),
            ("application/jsonl", Media::Lines),
            ("application/x-jsonlines", Media::Lines),
            ("text/x-ndjson;q=0.9", Media::Lines),
            ("text/csv", Media::Csv),
            ("text/csv; header=present", Media::Csv),
            ("application/csv", Media::Csv),
            ("application/vnd.ms-excel", Media::Csv),
            ("text/comma-separated-values", Media::Csv),
            ("text/plain", Media::Other),
            ("application/x-www-form-urlencoded", Media::Other),
            ("*/*", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(Media::of(value), media, "{value}");
        }
        assert_eq!(Media::of_header(None), Media::Other);
    }

    #[test]
    fn a_body_is_known_by_its_first_line() {
        for (start, evident) in [
            (&b"{\"token\":\"00\"}\n"[..], Some(Evident::Object)),
            (b"\xef\xbb\xbf\r\n {\"token\":\"00\"}", Some(Evident::Object)),
            (b"[{\"token\":", Some(Evident::Array)),
            (b"{\n  \"devices\"", Some(Evident::Document)),
            (b"token,ref\n", Some(Evident::Table)),
            (b"\"ref\";\"token\"\r", Some(Evident::Table)),
            (b"740f4707bebcf74f9b7c25d48e335894,a\n", Some(Evident::Rows)),
            (b"PK\x03\x04\x14\0", Some(Evident::Zip)),
            (b"\x1f\x8b\x08", Some(Evident::Gzip)),
            (b"\xff\xfe{\0", Some(Evident::Utf16)),
            (b"00ff\n00fe", None),
            (b"\"00ff\"\n", None),
            (b"", None),
        ] {
            assert_eq!(Evident::of(start), evident, "{start:?}");
        }
    }
}
