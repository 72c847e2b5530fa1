//! The token that identifies one app on one device.
//!
//! Apple calls device tokens opaque and asks senders not to assume their size. Any even number of hex digits
//! up to [`MAX_HEX_LEN`] is therefore accepted. Common forms are cleaned first: the `<efc7492 bdbd8209>` form
//! of old `NSData` descriptions, upper case, spaces, and `0x`. The description form of iOS 13 does not
//! contain the token. Tokens of other services and other encodings are recognized, and the error says what to
//! do.

use std::fmt;

/// A device token: lower-case hex digits.
///
/// A device token identifies a person's device. Its `Debug` shows only the [`hint`](Self::hint), and it has
/// no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeviceToken(Box<str>);

impl DeviceToken {
    /// Cleans and checks `text`.
    ///
    /// # Errors
    /// Returns the reason why the text is not a token, in words for the caller. Never quotes the text.
    pub fn parse(text: &str) -> Result<Self, BadDeviceToken> {
        if is_clean(text) {
            return Self::sized(text.into());
        }
        let text = text.trim_matches(|character| is_blank(character) || matches!(character, '"' | '\''));
        if let Some(foreign) = foreign(text) {
            return Err(foreign);
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let is_separated = is_separated(text);
        let mut clean = String::with_capacity(text.len());
        for (position, character) in digits.unwrap_or(text).chars().enumerate() {
            match character {
                '<' | '>' => {}
                _ if is_blank(character) => {}
                ':' | '-' if is_separated => {}
                _ if character.is_ascii_hexdigit() => clean.push(character.to_ascii_lowercase()),
                _ if is_base64(text) => return Err(BadDeviceToken::Base64),
                _ => return Err(BadDeviceToken::NotHex { position }),
            }
        }
        Self::sized(clean.into_boxed_str())
    }

    /// Returns a token that no device has, for probes.
    pub(super) fn of_probe() -> Self {
        Self("0".repeat(64).into_boxed_str())
    }

    fn sized(hex: Box<str>) -> Result<Self, BadDeviceToken> {
        match hex.len() {
            0 => Err(BadDeviceToken::Empty),
            len if len > MAX_HEX_LEN => Err(BadDeviceToken::TooLong { len }),
            len if len % 2 != 0 => Err(BadDeviceToken::OddLength { len }),
            len if len >= MIN_TWICE && is_hex_twice(&hex) => Err(BadDeviceToken::HexTwice { len }),
            _ => Ok(Self(hex)),
        }
    }

    /// Returns the hex digits, for the request's path and for storage. Never log them.
    #[must_use]
    pub fn as_hex(&self) -> &str {
        &self.0
    }

    /// Returns the first and last four digits: enough to tell devices apart in an answer, too few to push
    /// with.
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

/// Whether a character is white space, or an invisible character of copied text.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || INVISIBLE.contains(&character)
}

/// Whether a text is hex digits in groups of whole bytes: `74:0f:47` or `740f-4707`.
fn is_separated(text: &str) -> bool {
    let groups = text.split([':', '-']);
    groups.into_iter().all(|group| {
        group.len() >= 2 && group.len() % 2 == 0 && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn is_clean(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Recognizes tokens of other services, and texts that are not tokens. Returns `None` for anything else.
fn foreign(text: &str) -> Option<BadDeviceToken> {
    let starts = |prefix: &str| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if text.starts_with('{') && text.contains("bytes") {
        Some(BadDeviceToken::Description)
    } else if starts("ExponentPushToken[") || starts("ExpoPushToken[") {
        Some(BadDeviceToken::Expo)
    } else if starts("http:") || starts("https:") {
        Some(BadDeviceToken::Address)
    } else if text.contains(":APA91")
        || (text.contains(':') && text.len() >= MIN_FCM && text.is_ascii() && !is_separated(text))
    {
        Some(BadDeviceToken::Fcm)
    } else if is_uuid(text) {
        Some(BadDeviceToken::Uuid)
    } else {
        None
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a text can be the base64 of a token's bytes, in either alphabet.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let padding = text.len() - digits.len();
    let hex = digits.bytes().filter(u8::is_ascii_hexdigit).count();
    // About a third of the characters in random base64 are hex digits.
    hex * 4 < digits.len() * 3
        && digits.len() >= MIN_BASE64
        && digits.bytes().all(is_digit)
        && digits.len() % 4 != 1
        && (padding == 0 || text.len().is_multiple_of(4))
}

/// Whether hex digits are the character codes of a token written as text.
fn is_hex_twice(hex: &str) -> bool {
    let codes = hex.as_bytes().chunks(2);
    let mut characters = codes.map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    characters.all(|byte| byte.is_some_and(|byte| byte.is_ascii_hexdigit() || b"<> ".contains(&byte)))
}

/// Why a text is not a device token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceToken {
    /// It has no digits.
    #[error("is empty; leave the device out, or send its token")]
    Empty,
    /// It is base64.
    #[error("is base64, and APNs takes hex: decode it, and send two hex digits per byte")]
    Base64,
    /// It is hex of hex digits.
    #[error(
        "is hex of hex: its {len} digits are the codes of the characters of a token. Encode the token's bytes once, and not \
         its text"
    )]
    HexTwice {
        /// The number of digits.
        len: usize,
    },
    /// It is a Firebase token.
    #[error(
        "is an FCM registration token, which only Firebase can send to; send the device token that the app gets from APNs"
    )]
    Fcm,
    /// It is an Expo token.
    #[error(
        "is an Expo push token, which only Expo can send to; send the device token, as from `getDevicePushTokenAsync`"
    )]
    Expo,
    /// It is a UUID.
    #[error(
        "is a UUID, which names a device or an installation elsewhere; send the device token that the app gets from APNs"
    )]
    Uuid,
    /// It is a URL.
    #[error("is an address, as Web Push has; send the device token that the app gets from APNs")]
    Address,
    /// It contains another character.
    #[error("has a character at position {position} that is not a hex digit")]
    NotHex {
        /// The position of the character, counted in characters from 0.
        position: usize,
    },
    /// It has an odd number of digits.
    #[error("has {len} hex digits, an odd number; it was cut off or mistyped")]
    OddLength {
        /// The number of digits.
        len: usize,
    },
    /// It is longer than any token.
    #[error("has {len} hex digits; the limit is {MAX_HEX_LEN}")]
    TooLong {
        /// The number of digits.
        len: usize,
    },
    /// It is the output of `Data.description` since iOS 13, which omits bytes.
    #[error(
        "is a description of a `Data` value, not a token: since iOS 13 that text leaves bytes out. In the app, encode it: \
         `deviceToken.map {{ String(format: \"%02x\", $0) }}.joined()`"
    )]
    Description,
}

/// The maximum number of hex digits. Most tokens have 64 digits; 160 have been seen for Live Activities. The
/// limit keeps the path well below APNs' header list limit of 8000 bytes.
pub const MAX_HEX_LEN: usize = 256;

/// Invisible characters that occur in copied text: zero width space and byte order mark.
const INVISIBLE: [char; 2] = ['\u{200b}', '\u{feff}'];

/// The number of digits from which a token may be hex of hex: a token of 32 bytes.
const MIN_TWICE: usize = 128;

/// The minimum length, without padding, of a text that is reported as base64: longer than a typed word.
const MIN_BASE64: usize = 32;

/// The minimum length of a Firebase token. Real ones have over 140 characters, including a colon.
const MIN_FCM: usize = 100;

/// The number of digits that a hint shows from each end.
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
    fn quotes_around_a_token_are_taken_away() {
        for text in ["'abcd'", "\"abcd\"", " '<abcd>' "] {
            assert_eq!(DeviceToken::parse(text).unwrap().as_hex(), "abcd", "{text}");
        }
    }

    #[test]
    fn the_ios_13_description_is_refused_with_advice() {
        let error = DeviceToken::parse("{length=32,bytes=0xabcd1234...5678}").unwrap_err();
        assert_eq!(error, BadDeviceToken::Description);
        assert!(error.to_string().contains("%02x"));
    }

    #[test]
    fn a_token_is_named_for_what_it_is() {
        let token = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";
        let of_bytes = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let twice = of_bytes(token.as_bytes());
        let described = format!("<{} {}>", &token[..32], &token[32..]);
        let grouped = |size: usize, separator: &str| -> String {
            let groups: Vec<&str> = (0..64 / size)
                .map(|group| &token[group * size..(group + 1) * size])
                .collect();
            groups.join(separator)
        };
        let mistyped = token.replace('0', "O");
        let fcm = format!("dXk3:APA91b{}", "aB_-".repeat(35));
        for (text, expected) in [
            (
                "dA9HB7689037fCXUjjNYlF9qoB2l3bOHRix+r2G7eK0=",
                BadDeviceToken::Base64,
            ),
            (
                "dA9HB7689037fCXUjjNYlF9qoB2l3bOHRix-r2G7eK0",
                BadDeviceToken::Base64,
            ),
            (&twice, BadDeviceToken::HexTwice { len: 128 }),
            (&twice.to_uppercase(), BadDeviceToken::HexTwice { len: 128 }),
            (
                &of_bytes(described.as_bytes()),
                BadDeviceToken::HexTwice { len: 134 },
            ),
            (&fcm, BadDeviceToken::Fcm),
            ("ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", BadDeviceToken::Expo),
            ("ExpoPushToken[a]", BadDeviceToken::Expo),
            ("8C2F4A6B-1111-4222-8333-123456789abc", BadDeviceToken::Uuid),
            ("https://web.push.apple.com/QGuQ", BadDeviceToken::Address),
            ("0x", BadDeviceToken::Empty),
            // Nearly hex is no base64.
            (&mistyped, BadDeviceToken::NotHex { position: 2 }),
        ] {
            assert_eq!(DeviceToken::parse(text), Err(expected), "{text}");
        }
        for text in [
            &described,
            &format!("0x{token}"),
            &format!("0X{}", token.to_uppercase()),
            &grouped(2, ":"),
            &grouped(8, "-"),
            &format!("\u{feff}{token}\u{200b}"),
        ] {
            assert_eq!(DeviceToken::parse(text).unwrap().as_hex(), token, "{text}");
        }
        // A token of a Live Activity is as long as hex of hex, and none.
        assert!(DeviceToken::parse(&"80f1".repeat(40)).is_ok());
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
