//! The topic of a push: the app's bundle id and the suffix of the push type.
//!
//! Source: Apple, "Sending notification requests to APNs", `apns-topic`.

use std::fmt;

use super::push_type::PushType;

/// An app's bundle id, without the suffix of any push type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BundleId(Box<str>);

impl BundleId {
    /// Checks the form of `text`.
    ///
    /// # Errors
    /// Returns the reason why the text is not a bundle id.
    pub fn parse(text: &str) -> Result<Self, BadTopic> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(BadTopic::Length { len: text.len() });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !text.bytes().all(allowed) || !text.contains('.') {
            return Err(BadTopic::Form);
        }
        Ok(Self(text.into()))
    }

    /// Returns the bundle id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the topic of a push of this type to this app.
    #[must_use]
    pub fn topic(&self, push_type: PushType) -> Topic {
        Topic(format!("{}{}", self.0, push_type.rules().topic_suffix).into_boxed_str())
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of `apns-topic`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic(Box<str>);

impl Topic {
    /// Returns a topic that no app has, for probes.
    pub(super) fn of_probe() -> Self {
        Self("com.example.probe".into())
    }

    /// Returns the header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the push type whose suffix `topic` ends in, and the text before the suffix.
#[must_use]
pub fn suffixed(topic: &str) -> Option<(PushType, &str)> {
    PushType::ALL
        .into_iter()
        .filter(|push_type| !push_type.rules().topic_suffix.is_empty())
        .find_map(|push_type| Some((push_type, topic.strip_suffix(push_type.rules().topic_suffix)?)))
}

/// Why a text is not a bundle id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopic {
    /// It is empty or too long.
    #[error("is {len} bytes long; a bundle id has 1 to {MAX_LEN}")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// It has characters that a bundle id cannot have.
    #[error(
        "is not a bundle id: letters, digits, `-` and `_` in parts joined by `.`, as in `com.example.app`"
    )]
    Form,
}

/// The maximum length of a bundle id in bytes; the limit of App Store Connect.
pub const MAX_LEN: usize = 155;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_push_type_gives_the_suffix() {
        let app = BundleId::parse("com.example.app").unwrap();
        assert_eq!(app.topic(PushType::Alert).as_str(), "com.example.app");
        assert_eq!(app.topic(PushType::Voip).as_str(), "com.example.app.voip");
    }

    #[test]
    fn a_bundle_id_that_ends_like_a_suffix_gets_suffixes_as_any_other() {
        let app = BundleId::parse("com.example.voip").unwrap();
        assert_eq!(app.topic(PushType::Alert).as_str(), "com.example.voip");
        assert_eq!(app.topic(PushType::Voip).as_str(), "com.example.voip.voip");
    }

    #[test]
    fn the_length_limit_is_exact() {
        let longest = format!("com.{}", "a".repeat(MAX_LEN - 4));
        assert!(BundleId::parse(&longest).is_ok());
        assert_eq!(
            BundleId::parse(&format!("{longest}a")),
            Err(BadTopic::Length { len: MAX_LEN + 1 })
        );
        assert_eq!(BundleId::parse(""), Err(BadTopic::Length { len: 0 }));
    }

    #[test]
    fn a_line_break_cannot_enter_a_header() {
        assert_eq!(BundleId::parse("com.example\r\nx: y"), Err(BadTopic::Form));
        assert_eq!(BundleId::parse("example"), Err(BadTopic::Form));
    }

    #[test]
    fn the_longer_of_two_suffixes_that_overlap_is_found() {
        assert_eq!(suffixed("a.b.voip-ptt"), Some((PushType::PushToTalk, "a.b")));
        assert_eq!(suffixed("a.b.voip"), Some((PushType::Voip, "a.b")));
        assert_eq!(suffixed("a.b"), None);
    }
}
