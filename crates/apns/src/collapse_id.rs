//! Notifications with one collapse id replace one another on the device.
//!
//! Source: Apple, "Sending notification requests to APNs", `apns-collapse-id`.

/// The value of `apns-collapse-id`: 1 to [`MAX_LEN`] bytes, all of which a header carries unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CollapseId(Box<str>);

impl CollapseId {
    /// Checks `text`.
    ///
    /// # Errors
    /// Returns an error if it is empty or too long, or if a header would not carry it unchanged.
    pub fn parse(text: &str) -> Result<Self, BadCollapseId> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(BadCollapseId::Length { len: text.len() });
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(BadCollapseId::OuterSpace);
        }
        if text.chars().any(char::is_control) {
            return Err(BadCollapseId::Control);
        }
        if !text.is_ascii() {
            return Err(BadCollapseId::NotAscii);
        }
        Ok(Self(text.into()))
    }

    /// Returns the header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a collapse id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCollapseId {
    /// It is empty or too long.
    #[error("is {len} bytes long; a collapse id has 1 to {MAX_LEN} bytes (not characters)")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// It begins or ends with a space. In HTTP, outer spaces are not part of a value: some senders remove
    /// them, and HTTP/2 treats such a value as malformed. Source: RFC 9113 section 8.2.1.
    #[error("begins or ends with a space, which no header carries unchanged; remove it")]
    OuterSpace,
    /// It has a control character.
    #[error("has a control character, which no header can carry")]
    Control,
    /// It has a character outside ASCII. The platform's header API changes the bytes of such characters.
    #[error("has a character outside ASCII, which does not pass a header unchanged")]
    NotAscii,
}

/// Apple's limit, in bytes. APNs answers a longer one with `BadCollapseId`.
pub const MAX_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_bytes() {
        assert!(CollapseId::parse(&"a".repeat(MAX_LEN)).is_ok());
        assert_eq!(
            CollapseId::parse(&"a".repeat(MAX_LEN + 1)),
            Err(BadCollapseId::Length { len: 65 })
        );
        assert_eq!(
            CollapseId::parse(&"é".repeat(33)),
            Err(BadCollapseId::Length { len: 66 })
        );
        assert_eq!(CollapseId::parse(""), Err(BadCollapseId::Length { len: 0 }));
    }

    #[test]
    fn what_a_header_cannot_carry_is_refused() {
        assert_eq!(CollapseId::parse("a\r\nb"), Err(BadCollapseId::Control));
        assert_eq!(CollapseId::parse("é"), Err(BadCollapseId::NotAscii));
        for text in ["a\tb", "\ta", "a\t", "a\u{7f}", "\0"] {
            assert_eq!(CollapseId::parse(text), Err(BadCollapseId::Control), "{text:?}");
        }
    }

    #[test]
    fn a_space_at_an_end_is_refused_and_one_inside_is_not() {
        for text in ["sale ", " sale", " ", "  "] {
            assert_eq!(
                CollapseId::parse(text),
                Err(BadCollapseId::OuterSpace),
                "{text:?}"
            );
        }
        assert_eq!(CollapseId::parse("a sale").unwrap().as_str(), "a sale");
    }
}
