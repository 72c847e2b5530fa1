//! The token that names one app on one device.
//!
//! Apple calls it opaque and asks not to assume its size, so any even number of hex digits up to [`MAX_HEX_LEN`] is
//! taken. What callers store in practice is cleaned first: the `<efc7492 bdbd8209>` form of old `NSData`
//! descriptions, upper case, spaces. The iOS 13 description form holds no token at all and is refused with advice.

use std::fmt;

/// A device token: lower-case hex digits.
///
/// It identifies a person's device, so that its `Debug` shows the [`hint`](Self::hint) alone and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeviceToken(Box<str>);

impl DeviceToken {
    /// Cleans and checks `text`.
    ///
    /// # Errors
    /// What keeps it from being a token, in words for the caller. The text itself is never quoted.
    pub fn parse(text: &str) -> Result<Self, BadDeviceToken> {
        if is_clean(text) {
            return Self::sized(text.into());
        }
        if text.trim_start().starts_with('{') && text.contains("bytes") {
            return Err(BadDeviceToken::Description);
        }
        let mut clean = String::with_capacity(text.len());
        for (position, character) in text.chars().enumerate() {
            match character {
                '<' | '>' => {}
                _ if character.is_whitespace() => {}
                _ if character.is_ascii_hexdigit() => clean.push(character.to_ascii_lowercase()),
                _ => return Err(BadDeviceToken::NotHex { position }),
            }
        }
        Self::sized(clean.into_boxed_str())
    }

    /// A token that no device has, for probes.
    pub(super) fn of_probe() -> Self {
        Self("0".repeat(64).into_boxed_str())
    }

    fn sized(hex: Box<str>) -> Result<Self, BadDeviceToken> {
        match hex.len() {
            0 => Err(BadDeviceToken::Empty),
            len if len > MAX_HEX_LEN => Err(BadDeviceToken::TooLong { len }),
            len if len % 2 != 0 => Err(BadDeviceToken::OddLength { len }),
            _ => Ok(Self(hex)),
        }
    }

    /// The hex digits, for the request's path and for storage; never for a log.
    #[must_use]
    pub fn as_hex(&self) -> &str {
        &self.0
    }

    /// The first and last four digits, enough to tell devices apart in an answer and too little to push with.
    #[must_use]
    pub fn hint(&self) -> String {
        match (
            self.0.get(..HINT_LEN),
            self.0.get(self.0.len().saturating_sub(HINT_LEN)..),
        ) {
            (Some(start), Some(end)) if self.0.len() >= 4 * HINT_LEN => format!("{start}…{end}"),
            _ => "…".to_owned(),
        }
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceToken({})", self.hint())
    }
}

fn is_clean(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Why a text is no device token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceToken {
    /// There are no digits.
    #[error("is empty")]
    Empty,
    /// Another character stands in it.
    #[error("has a character at position {position} that is not a hex digit")]
    NotHex {
        /// Where, counted in characters from 0.
        position: usize,
    },
    /// A digit is missing.
    #[error("has {len} hex digits, an odd number; it was cut off or mistyped")]
    OddLength {
        /// The number of digits.
        len: usize,
    },
    /// There are more digits than any token has.
    #[error("has {len} hex digits; the limit is {MAX_HEX_LEN}")]
    TooLong {
        /// The number of digits.
        len: usize,
    },
    /// It is what `Data.description` gives since iOS 13, which leaves the bytes out.
    #[error(
        "is a description of a `Data` value, not a token: since iOS 13 that text leaves bytes out. In the app, encode it: \
         `deviceToken.map {{ String(format: \"%02x\", $0) }}.joined()`"
    )]
    Description,
}

/// The most hex digits that a token may have. Tokens of 64 digits are usual and 160 are seen for Live Activities; the
/// cap keeps a path short of APNs' header list limit of 8000 bytes.
pub const MAX_HEX_LEN: usize = 256;

/// Digits shown from each end of a token.
const HINT_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn angle_brackets_spaces_and_upper_case_are_cleaned() {
        let token = DeviceToken::parse("<EFC7492 bdbd8209>").unwrap_err();
        assert_eq!(token, BadDeviceToken::OddLength { len: 15 });
        let token = DeviceToken::parse(" <EFC7492a bdbd8209>\n").unwrap();
        assert_eq!(token.as_hex(), "efc7492abdbd8209");
    }

    #[test]
    fn the_ios_13_description_is_refused_with_advice() {
        let error = DeviceToken::parse("{length=32,bytes=0xabcd1234...5678}").unwrap_err();
        assert_eq!(error, BadDeviceToken::Description);
        assert!(error.to_string().contains("%02x"));
    }

    #[test]
    fn the_limit_is_exact() {
        assert!(DeviceToken::parse(&"a".repeat(MAX_HEX_LEN)).is_ok());
        let over = MAX_HEX_LEN + 2;
        assert_eq!(
            DeviceToken::parse(&"a".repeat(over)),
            Err(BadDeviceToken::TooLong { len: over })
        );
    }

    #[test]
    fn an_empty_token_is_refused() {
        assert_eq!(DeviceToken::parse(" <> "), Err(BadDeviceToken::Empty));
        assert_eq!(DeviceToken::parse(""), Err(BadDeviceToken::Empty));
    }

    #[test]
    fn a_foreign_character_is_located() {
        assert_eq!(
            DeviceToken::parse("ab/../cd"),
            Err(BadDeviceToken::NotHex { position: 2 })
        );
        assert_eq!(
            DeviceToken::parse("abcé"),
            Err(BadDeviceToken::NotHex { position: 3 })
        );
    }

    #[test]
    fn debug_shows_the_hint_alone() {
        let token = DeviceToken::parse(&"0123456789abcdef".repeat(4)).unwrap();
        assert_eq!(format!("{token:?}"), "DeviceToken(0123…cdef)");
        assert_eq!(DeviceToken::parse("abcdef").unwrap().hint(), "…");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_yields_clean_hex(text in ".{0,300}") {
            if let Ok(token) = DeviceToken::parse(&text) {
                prop_assert!(is_clean(token.as_hex()));
                prop_assert_eq!(DeviceToken::parse(token.as_hex()), Ok(token));
            }
        }
    }
}
