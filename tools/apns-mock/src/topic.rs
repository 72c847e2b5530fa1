//! Push types and their topics.
//!
//! Source: Apple, "Sending notification requests to APNs" (eleven push types). Apple documents no reasons for
//! mismatches. Where answers of its servers have been observed, this server gives the same.

use crate::reason::Reason;

/// The longest topic: a bundle id of 155 characters, the limit of App Store Connect, and the longest suffix.
const MAX_TOPIC_LENGTH: usize = 155 + 24;

/// The value of `apns-push-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushType {
    Alert,
    Background,
    Complication,
    Controls,
    FileProvider,
    LiveActivity,
    Location,
    Mdm,
    PushToTalk,
    Voip,
    Widgets,
}

impl PushType {
    const SUFFIXED: [Self; 8] = [
        Self::Complication,
        Self::Controls,
        Self::FileProvider,
        Self::LiveActivity,
        Self::Location,
        Self::PushToTalk,
        Self::Voip,
        Self::Widgets,
    ];

    /// Parses a header's value.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        Some(match value {
            b"alert" => Self::Alert,
            b"background" => Self::Background,
            b"complication" => Self::Complication,
            b"controls" => Self::Controls,
            b"fileprovider" => Self::FileProvider,
            b"liveactivity" => Self::LiveActivity,
            b"location" => Self::Location,
            b"mdm" => Self::Mdm,
            b"pushtotalk" => Self::PushToTalk,
            b"voip" => Self::Voip,
            b"widgets" => Self::Widgets,
            _ => return None,
        })
    }

    /// Returns the header's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::Complication => "complication",
            Self::Controls => "controls",
            Self::FileProvider => "fileprovider",
            Self::LiveActivity => "liveactivity",
            Self::Location => "location",
            Self::Mdm => "mdm",
            Self::PushToTalk => "pushtotalk",
            Self::Voip => "voip",
            Self::Widgets => "widgets",
        }
    }

    /// Returns the suffix of its topics after the bundle id.
    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Alert | Self::Background | Self::Mdm => None,
            Self::Complication => Some(".complication"),
            Self::Controls => Some(".push-type.controls"),
            Self::FileProvider => Some(".pushkit.fileprovider"),
            Self::LiveActivity => Some(".push-type.liveactivity"),
            Self::Location => Some(".location-query"),
            Self::PushToTalk => Some(".voip-ptt"),
            Self::Voip => Some(".voip"),
            Self::Widgets => Some(".push-type.widgets"),
        }
    }

    /// Returns the largest payload in bytes.
    pub(crate) fn max_payload(push_type: Option<Self>) -> usize {
        match push_type {
            Some(Self::Voip) => 5120,
            _ => 4096,
        }
    }
}

/// Splits a topic into the bundle id and the push type of its suffix.
pub(crate) fn split(topic: &str) -> (&str, Option<PushType>) {
    for push_type in PushType::SUFFIXED {
        if let Some(bundle) = push_type.suffix().and_then(|suffix| topic.strip_suffix(suffix)) {
            return (bundle, Some(push_type));
        }
    }
    (topic, None)
}

/// Checks a topic against the push type. Returns the bundle id.
pub(crate) fn check(topic: &str, push_type: Option<PushType>) -> Result<&str, Reason> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if topic.is_empty() || topic.len() > MAX_TOPIC_LENGTH || !topic.bytes().all(allowed) {
        return Err(Reason::BadTopic);
    }
    let (bundle, suffix_of) = split(topic);
    if bundle.is_empty() {
        return Err(Reason::BadTopic);
    }
    match (push_type, suffix_of) {
        (None, _) => Ok(bundle),
        (Some(wanted), Some(found)) if wanted == found => Ok(bundle),
        (Some(_), Some(_)) => Err(Reason::InvalidPushType),
        (Some(wanted), None) if wanted.suffix().is_some() => Err(Reason::BadTopic),
        (Some(_), None) => Ok(bundle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_push_type_survives_its_own_spelling() {
        for name in [
            "alert",
            "background",
            "complication",
            "controls",
            "fileprovider",
            "liveactivity",
            "location",
            "mdm",
            "pushtotalk",
            "voip",
            "widgets",
        ] {
            assert_eq!(PushType::parse(name.as_bytes()).map(PushType::as_str), Some(name));
        }
        assert_eq!(PushType::parse(b"Alert"), None);
        assert_eq!(PushType::parse(b"pass"), None);
    }

    #[test]
    fn a_suffix_goes_with_its_push_type_alone() {
        assert_eq!(check("com.x.app", Some(PushType::Alert)), Ok("com.x.app"));
        assert_eq!(check("com.x.app.voip", Some(PushType::Voip)), Ok("com.x.app"));
        assert_eq!(
            check("com.x.app.voip-ptt", Some(PushType::PushToTalk)),
            Ok("com.x.app")
        );
        assert_eq!(
            check("com.x.app.voip", Some(PushType::Alert)),
            Err(Reason::InvalidPushType)
        );
        assert_eq!(
            check("com.x.app", Some(PushType::LiveActivity)),
            Err(Reason::BadTopic)
        );
        assert_eq!(check("com.x app", Some(PushType::Alert)), Err(Reason::BadTopic));
        assert_eq!(check(".voip", Some(PushType::Voip)), Err(Reason::BadTopic));
    }
}
