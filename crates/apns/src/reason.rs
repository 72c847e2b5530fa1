//! Apple's word for why a push was refused.
//!
//! The set is open: Apple adds reasons without notice. An unknown reason reaches the caller unchanged.
//! Source: Apple, "Handling notification responses from APNs".

use std::borrow::Cow;
use std::fmt;

/// The `reason` of an error answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reason(Cow<'static, str>);

macro_rules! reasons {
    ($($name:ident = $text:literal),+ $(,)?) => {
        #[expect(missing_docs, reason = "the meaning of each is Apple's; what follows from it stands in the verdict table")]
        impl Reason {
            $(pub const $name: Self = Self(Cow::Borrowed($text));)+

            /// The reasons that Apple documents for `/3/device`, and one alternative spelling that its
            /// servers use.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

reasons! {
    BAD_CERTIFICATE = "BadCertificate",
    BAD_CERTIFICATE_ENVIRONMENT = "BadCertificateEnvironment",
    BAD_COLLAPSE_ID = "BadCollapseId",
    BAD_DEVICE_TOKEN = "BadDeviceToken",
    BAD_ENVIRONMENT_KEY_ID_IN_TOKEN = "BadEnvironmentKeyIdInToken",
    BAD_ENVIRONMENT_KEY_IN_TOKEN = "BadEnvironmentKeyInToken",
    BAD_EXPIRATION_DATE = "BadExpirationDate",
    BAD_MESSAGE_ID = "BadMessageId",
    BAD_PATH = "BadPath",
    BAD_PRIORITY = "BadPriority",
    BAD_TOPIC = "BadTopic",
    DEVICE_TOKEN_NOT_FOR_TOPIC = "DeviceTokenNotForTopic",
    DUPLICATE_HEADERS = "DuplicateHeaders",
    EXPIRED_PROVIDER_TOKEN = "ExpiredProviderToken",
    EXPIRED_TOKEN = "ExpiredToken",
    FORBIDDEN = "Forbidden",
    IDLE_TIMEOUT = "IdleTimeout",
    INTERNAL_SERVER_ERROR = "InternalServerError",
    INVALID_PROVIDER_TOKEN = "InvalidProviderToken",
    INVALID_PUSH_TYPE = "InvalidPushType",
    METHOD_NOT_ALLOWED = "MethodNotAllowed",
    MISSING_DEVICE_TOKEN = "MissingDeviceToken",
    MISSING_PROVIDER_TOKEN = "MissingProviderToken",
    MISSING_TOPIC = "MissingTopic",
    PAYLOAD_EMPTY = "PayloadEmpty",
    PAYLOAD_TOO_LARGE = "PayloadTooLarge",
    SERVICE_UNAVAILABLE = "ServiceUnavailable",
    SHUTDOWN = "Shutdown",
    TOO_MANY_PROVIDER_TOKEN_UPDATES = "TooManyProviderTokenUpdates",
    TOO_MANY_REQUESTS = "TooManyRequests",
    TOPIC_DISALLOWED = "TopicDisallowed",
    UNREGISTERED = "Unregistered",
    UNRELATED_KEY_ID_IN_TOKEN = "UnrelatedKeyIdInToken",
}

impl Reason {
    /// Returns the reason with this text. Known texts are not copied.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let known = Self::KNOWN.iter().find(|reason| reason.as_str() == text);
        known
            .cloned()
            .unwrap_or_else(|| Self(Cow::Owned(text.chars().take(MAX_LEN).collect())))
    }

    /// Returns Apple's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({})", self.0)
    }
}

/// The maximum length of an unknown reason. Apple's longest has 27 characters.
const MAX_LEN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_we_do_not_know_is_kept() {
        assert_eq!(Reason::new("BadMood").as_str(), "BadMood");
        assert_eq!(Reason::new(&"x".repeat(5000)).as_str().len(), MAX_LEN);
    }

    #[test]
    fn a_reason_that_we_know_equals_its_constant() {
        for known in Reason::KNOWN {
            assert_eq!(&Reason::new(known.as_str()), known);
        }
    }
}
