//! The eleven push types and the rules of each.
//!
//! One table, [`PushType::rules`], holds for each type the topic's suffix, the allowed priorities, the
//! payload limit, and the keys that it requires or refuses. Checks, defaults, previews and error texts all
//! read this table. Source: Apple, "Sending notification requests to APNs" and "Generating a remote
//! notification".

use std::fmt;
use std::str::FromStr;

use super::priority::Priority;

/// The value of `apns-push-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushType {
    /// An alert, a badge or a sound.
    Alert,
    /// A silent update in the background.
    Background,
    /// Data for a watch face's complication.
    Complication,
    /// A control reloads.
    Controls,
    /// A file provider's content changed.
    FileProvider,
    /// A Live Activity starts, changes or ends.
    LiveActivity,
    /// A request for the device's location.
    Location,
    /// A device management server calls its device.
    Mdm,
    /// Push to Talk.
    PushToTalk,
    /// An incoming call.
    Voip,
    /// A widget reloads.
    Widgets,
}

/// Apple's rules for a push type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The text after the bundle id in `apns-topic`.
    pub topic_suffix: &'static str,
    /// The priorities that APNs accepts with this type.
    pub priorities: &'static [Priority],
    /// The accepted priorities that Apple advises against.
    pub unusual_priorities: &'static [Priority],
    /// The priority that is sent if the caller names none.
    pub default_priority: Priority,
    /// How two pushes of one notification to one device are merged.
    pub merged_by: MergedBy,
    /// The payload's maximum size in bytes.
    pub max_payload: usize,
    /// Pointers to keys without which the push has no effect. A Live Activity without them is refused.
    pub required: &'static [&'static str],
    /// Pointers to keys that Apple does not allow with this type. APNs accepts them nevertheless.
    pub forbidden: &'static [&'static str],
}

/// What makes a push that is sent twice take effect once. A push whose answer was lost is resent only with
/// `CollapseId` or `Timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedBy {
    /// `apns-collapse-id`: the second notification replaces the first on the screen.
    CollapseId,
    /// The payload's `timestamp`: the second update sets the same state, unless a newer one is set already.
    /// The start of an activity and an update with an alert take effect twice.
    Timestamp,
    /// Nothing: the app, the extension or the system receives both.
    Nothing,
}

impl PushType {
    /// All push types, in Apple's alphabetical order.
    pub const ALL: [Self; 11] = [
        Self::Alert,
        Self::Background,
        Self::Complication,
        Self::Controls,
        Self::FileProvider,
        Self::LiveActivity,
        Self::Location,
        Self::Mdm,
        Self::PushToTalk,
        Self::Voip,
        Self::Widgets,
    ];

    /// Returns the header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

    /// Returns Apple's rules for this type, from the table.
    #[must_use]
    pub const fn rules(self) -> Rules {
        match self {
            Self::Alert => Rules {
                merged_by: MergedBy::CollapseId,
                ..PLAIN
            },
            Self::Background => Rules {
                priorities: &[Priority::Five, Priority::One],
                default_priority: Priority::Five,
                required: &["/aps/content-available"],
                forbidden: &["/aps/alert", "/aps/badge", "/aps/sound"],
                ..PLAIN
            },
            Self::Complication => Rules {
                topic_suffix: ".complication",
                ..PLAIN
            },
            Self::Controls => Rules {
                topic_suffix: ".push-type.controls",
                required: &["/aps/content-changed"],
                ..PLAIN
            },
            Self::FileProvider => Rules {
                topic_suffix: ".pushkit.fileprovider",
                required: &["/container-identifier"],
                ..PLAIN
            },
            Self::LiveActivity => Rules {
                topic_suffix: ".push-type.liveactivity",
                merged_by: MergedBy::Timestamp,
                unusual_priorities: &[Priority::One],
                required: &["/aps/event", "/aps/timestamp"],
                ..PLAIN
            },
            Self::Location => Rules {
                topic_suffix: ".location-query",
                ..PLAIN
            },
            Self::Mdm => Rules {
                required: &["/mdm"],
                ..PLAIN
            },
            Self::PushToTalk => Rules {
                topic_suffix: ".voip-ptt",
                unusual_priorities: &[Priority::Five, Priority::One],
                ..PLAIN
            },
            Self::Voip => Rules {
                topic_suffix: ".voip",
                max_payload: MAX_VOIP_PAYLOAD,
                ..PLAIN
            },
            Self::Widgets => Rules {
                topic_suffix: ".push-type.widgets",
                required: &["/aps/content-changed"],
                ..PLAIN
            },
        }
    }
}

impl fmt::Display for PushType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a push type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of alert, background, complication, controls, fileprovider, liveactivity, location, mdm, pushtotalk, voip, widgets"
)]
pub struct UnknownPushType;

impl FromStr for PushType {
    type Err = UnknownPushType;

    fn from_str(text: &str) -> Result<Self, UnknownPushType> {
        Self::ALL
            .into_iter()
            .find(|push_type| push_type.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or(UnknownPushType)
    }
}

/// Apple's limit for every payload on `/3/device` except VoIP. APNs answers a larger one with 413.
pub const MAX_PAYLOAD: usize = 4096;

/// Apple's limit for VoIP payloads.
pub const MAX_VOIP_PAYLOAD: usize = 5120;

/// Apple's limit for payloads that are broadcast over a channel.
pub const MAX_BROADCAST_PAYLOAD: usize = 5120;

/// The rules of a type without special rules.
const PLAIN: Rules = Rules {
    topic_suffix: "",
    priorities: &[Priority::Ten, Priority::Five, Priority::One],
    unusual_priorities: &[],
    default_priority: Priority::Ten,
    merged_by: MergedBy::Nothing,
    max_payload: MAX_PAYLOAD,
    required: &[],
    forbidden: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_back_from_its_header_value() {
        for push_type in PushType::ALL {
            assert_eq!(push_type.as_str().parse(), Ok(push_type));
        }
        assert_eq!(" Alert".parse(), Ok(PushType::Alert));
        assert_eq!("alerts".parse::<PushType>(), Err(UnknownPushType));
    }

    #[test]
    fn every_default_priority_is_an_allowed_one() {
        for push_type in PushType::ALL {
            let rules = push_type.rules();
            assert!(rules.priorities.contains(&rules.default_priority), "{push_type}");
        }
    }

    #[test]
    fn the_error_names_every_type() {
        let text = UnknownPushType.to_string();
        for push_type in PushType::ALL {
            assert!(text.contains(push_type.as_str()), "{push_type}");
        }
    }

    #[test]
    fn only_alerts_and_live_activities_are_merged_when_they_are_sent_twice() {
        for push_type in PushType::ALL {
            let expected = match push_type {
                PushType::Alert => MergedBy::CollapseId,
                PushType::LiveActivity => MergedBy::Timestamp,
                _ => MergedBy::Nothing,
            };
            assert_eq!(push_type.rules().merged_by, expected, "{push_type}");
        }
    }

    #[test]
    fn only_voip_may_be_larger() {
        for push_type in PushType::ALL {
            let expected = if push_type == PushType::Voip { 5120 } else { 4096 };
            assert_eq!(push_type.rules().max_payload, expected, "{push_type}");
        }
    }

    #[test]
    fn the_topic_suffixes_are_apples() {
        let suffixes = PushType::ALL.map(|push_type| push_type.rules().topic_suffix);
        assert_eq!(
            suffixes,
            [
                "",
                "",
                ".complication",
                ".push-type.controls",
                ".pushkit.fileprovider",
                ".push-type.liveactivity",
                ".location-query",
                "",
                ".voip-ptt",
                ".voip",
                ".push-type.widgets",
            ]
        );
    }
}
