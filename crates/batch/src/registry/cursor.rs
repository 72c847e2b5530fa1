//! The position of a listing: after the last row that was shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;

/// The position of one row in an order by time and then by id. Callers must treat it as opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor {
    /// The row's time.
    pub at: Timestamp,
    /// The row's id.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.as_millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (millis, id) = text.split_once('.').ok_or(BadCursor)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.len() > MAX_ID || !id.bytes().all(allowed) {
            return Err(BadCursor);
        }
        Ok(Self {
            at: Timestamp::from_millis(millis.parse().map_err(|_| BadCursor)?),
            id: id.to_owned(),
        })
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = BadCursor;

    fn try_from(text: String) -> Result<Self, BadCursor> {
        text.parse()
    }
}

/// The text is not a cursor of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the `cursor` of an earlier answer")]
pub struct BadCursor;

/// The maximum length of an id; ours have 32 characters.
const MAX_ID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_format_unchanged() {
        // Callers keep cursors, and different versions of the Worker may answer consecutive requests.
        let cursor = Cursor {
            at: Timestamp::from_millis(1_795_420_800_123),
            id: "00ff".to_owned(),
        };
        assert_eq!(cursor.to_string(), "1795420800123.00ff");
        assert_eq!(serde_json::to_string(&cursor).unwrap(), "\"1795420800123.00ff\"");
        assert_eq!("1795420800123.00ff".parse(), Ok(cursor));
    }

    #[test]
    fn another_text_is_refused() {
        let long = format!("1.{}", "a".repeat(MAX_ID + 1));
        for text in [
            "", "1", ".a", "-1.a", "x.a", "1.a b", "1.a'", "1.a.b", "1.é", &long,
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor), "{text}");
        }
        assert!(long[..long.len() - 1].parse::<Cursor>().is_ok());
    }

    proptest! {
        #[test]
        fn a_cursor_reads_as_it_was_written(millis: u64, id in "[0-9a-f]{32}") {
            let cursor = Cursor { at: Timestamp::from_millis(millis), id };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
