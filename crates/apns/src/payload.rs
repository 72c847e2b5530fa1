//! The JSON that a device receives, in Apple's vocabulary.
//!
//! A payload is a document, not a set of fields. A parsed payload is sent with the same keys, in the same
//! order and with the same digits, including keys that Apple adds later. Getters provide typed access, and
//! the builder creates payloads in Rust.
//!
//! In scope: faults that prevent sending (`check`), and warnings about what devices handle badly
//! (`warnings`), by the shape of each key and the rules of each push type. Out of scope: the keys that an app
//! puts beside `aps`.
//!
//! Source: Apple, "Generating a remote notification".

mod alert;
mod aps;
mod builder;
mod check;
mod fit;
mod keys;
mod live_activity;
mod merge;
#[cfg(test)]
mod properties;
mod purpose;
mod shape;
mod sound;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod warning_tests;
mod warnings;

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

pub use alert::{Alert, AlertDictionary, AlertText, LocalizedText};
pub use aps::{Aps, InterruptionLevel, wants_number};
pub use builder::{BuildError, PayloadBuilder};
pub use fit::{MAX_PARTS, Part, TooLarge};
pub use live_activity::Event;
pub use sound::Sound;

use super::push_type::PushType;
use crate::fault::{self, Faults, Pointer};

/// A payload: any JSON object.
///
/// [`Payload::check`] decides whether it can be sent with a push type. [`Payload::warnings`] lists what
/// devices ignore.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// An object.
    root: Value,
    /// `root` as it is sent.
    body: Bytes,
}

impl Payload {
    /// Reads the payload in `value`, which is at `at`. Returns `None` and adds to `faults` if it is not an
    /// object.
    pub fn parse(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        fault::open_object(value, at, faults)?;
        Some(Self::from_root(value.clone()))
    }

    /// Returns a builder of an empty payload.
    pub fn builder() -> PayloadBuilder {
        PayloadBuilder::default()
    }

    /// Returns `aps`, the part that the system reads.
    #[must_use]
    pub fn aps(&self) -> Aps<'_> {
        Aps::read(&self.root)
    }

    /// Iterates over the keys beside `aps`, which the app reads, in their order.
    pub fn custom(&self) -> impl Iterator<Item = (&str, &Value)> {
        let root = self.root.as_object().into_iter().flat_map(Map::iter);
        root.map(|(key, value)| (key.as_str(), value))
            .filter(|(key, _)| *key != "aps")
    }

    /// Returns the value of the key `key` beside `aps`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.root.get(key)
    }

    /// Returns the document.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.root
    }

    /// Returns the JSON that is sent.
    #[must_use]
    pub fn to_json(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Returns the JSON as shared bytes, without copying.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// Returns the number of bytes that are sent.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.body.len()
    }

    /// Returns the push type that fits this payload, for a sender that names none.
    ///
    /// Returns `None` if several fit: widgets and controls both use `content-changed`.
    #[must_use]
    pub fn suggested_push_type(&self) -> Option<PushType> {
        let aps = self.aps();
        if aps.has("event") || aps.has("content-state") {
            Some(PushType::LiveActivity)
        } else if aps.ptt_push_type().is_some() {
            Some(PushType::PushToTalk)
        } else if aps.is_visible() {
            Some(PushType::Alert)
        } else if aps.content_changed() {
            None
        } else if aps.content_available() {
            Some(PushType::Background)
        } else if aps.is_empty() && self.has("/mdm") {
            Some(PushType::Mdm)
        } else if aps.is_empty() && self.has("/container-identifier") {
            Some(PushType::FileProvider)
        } else {
            Some(PushType::Alert)
        }
    }

    fn from_root(root: Value) -> Self {
        let body = Bytes::from(root.to_string());
        Self { root, body }
    }
}

impl fmt::Debug for Payload {
    /// Prints only the size: the content must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use serde_json::json;

    /// Creates the payload `value`.
    pub(super) fn payload(value: Value) -> Payload {
        let mut faults = Faults::default();
        let payload = Payload::parse(&value, &Pointer::Root, &mut faults);
        payload.unwrap_or_else(|| panic!("{faults}"))
    }

    #[test]
    fn every_key_of_aps_is_read_with_its_type() {
        let payload = payload(json!({"aps": {
            "alert": "body", "badge": 3, "sound": "s.caf", "thread-id": "t", "category": "c",
            "content-available": 1, "mutable-content": 1, "target-content-id": "w",
            "interruption-level": "time-sensitive", "relevance-score": 0.25, "filter-criteria": "f",
            "event": "start", "timestamp": 1_795_420_800, "content-state": {"n": 1}, "stale-date": 2,
            "dismissal-date": 3, "attributes-type": "A", "attributes": {"m": 2}, "input-push-token": 1,
            "input-push-channel": "Y2g=", "content-changed": true, "ptt-push-type": "service-update",
            "url-args": ["a", "b"], "of-next-year": [1],
        }, "id": 7}));
        let aps = payload.aps();
        assert_eq!(aps.alert().unwrap().body().unwrap().plain(), Some("body"));
        assert_eq!(aps.badge(), Some(3));
        assert_eq!(aps.sound(), Some(Sound::Name("s.caf")));
        assert_eq!(aps.thread_id(), Some("t"));
        assert_eq!(aps.category(), Some("c"));
        assert!(aps.content_available() && aps.mutable_content());
        assert_eq!(aps.target_content_id(), Some("w"));
        assert_eq!(aps.interruption_level(), Some(InterruptionLevel::TimeSensitive));
        assert_eq!(aps.relevance_score(), Some(0.25));
        assert_eq!(aps.filter_criteria(), Some("f"));
        assert_eq!(aps.event(), Some(Event::Start));
        assert_eq!(aps.timestamp(), Some(Timestamp::from_secs(1_795_420_800)));
        assert_eq!(aps.content_state().unwrap()["n"], 1);
        assert_eq!(aps.stale_date(), Some(Timestamp::from_secs(2)));
        assert_eq!(aps.dismissal_date(), Some(Timestamp::from_secs(3)));
        assert_eq!(aps.attributes_type(), Some("A"));
        assert_eq!(aps.attributes().unwrap()["m"], 2);
        assert!(aps.input_push_token() && aps.content_changed());
        assert_eq!(aps.input_push_channel(), Some("Y2g="));
        assert_eq!(aps.ptt_push_type(), Some("service-update"));
        assert_eq!(aps.url_args().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(aps.get("of-next-year"), Some(&json!([1])));
        assert_eq!(payload.custom().collect::<Vec<_>>(), [("id", &json!(7))]);
    }

    #[test]
    fn every_key_of_the_alert_is_read_with_its_type() {
        let payload = payload(json!({"aps": {"alert": {
            "title": {"loc-key": "k", "loc-args": ["1"]}, "subtitle": "s", "body": "b", "launch-image": "l",
            "title-loc-key": "tk", "title-loc-args": ["2"], "subtitle-loc-key": "sk",
            "subtitle-loc-args": ["3"], "loc-key": "bk", "loc-args": ["4", "5"],
            "sound": {"critical": 1, "name": "n", "volume": 0.5}, "action": "a", "action-loc-key": "ak",
            "summary-arg": "sa", "summary-arg-count": 6,
        }}}));
        let alert = payload.aps().alert().unwrap().dictionary().unwrap();
        let Some(AlertText::Localized(title)) = alert.title() else {
            panic!("the title is localized in place");
        };
        assert_eq!(title.loc_key(), Some("k"));
        assert_eq!(title.loc_args().collect::<Vec<_>>(), ["1"]);
        assert_eq!(alert.subtitle(), Some("s"));
        assert_eq!(alert.body().unwrap().plain(), Some("b"));
        assert_eq!(alert.launch_image(), Some("l"));
        assert_eq!(alert.title_loc_key(), Some("tk"));
        assert_eq!(alert.title_loc_args().collect::<Vec<_>>(), ["2"]);
        assert_eq!(alert.subtitle_loc_key(), Some("sk"));
        assert_eq!(alert.subtitle_loc_args().collect::<Vec<_>>(), ["3"]);
        assert_eq!(alert.loc_key(), Some("bk"));
        assert_eq!(alert.loc_args().collect::<Vec<_>>(), ["4", "5"]);
        let sound = Sound::Dictionary {
            critical: true,
            name: Some("n"),
            volume: Some(0.5),
        };
        assert_eq!(alert.sound(), Some(sound));
        assert_eq!(alert.action(), Some("a"));
        assert_eq!(alert.action_loc_key(), Some("ak"));
        assert_eq!(alert.summary_arg(), Some("sa"));
        assert_eq!(alert.summary_arg_count(), Some(6));
    }

    #[test]
    fn a_payload_is_an_object() {
        let mut faults = Faults::default();
        assert_eq!(Payload::parse(&json!("x"), &Pointer::Root, &mut faults), None);
        assert_eq!(faults.to_string(), "the body must be an object, but is a string");
    }

    #[test]
    fn keys_order_and_digits_go_out_as_they_came() {
        let text = r#"{"z":1.10,"aps":{"sound":"d","of-next-year":{"b":null,"a":1e+2},"alert":{"x":12345678901234567890123,"body":"é\u0001\"/"}},"a":-0.0}"#;
        let payload = payload(serde_json::from_str(text).unwrap());
        assert_eq!(payload.to_json(), text);
        assert_eq!(payload.size(), text.len());
    }

    #[test]
    fn the_push_type_follows_from_the_payload() {
        for (value, expected) in [
            (json!({"aps": {"alert": "a"}}), Some(PushType::Alert)),
            (
                json!({"aps": {"badge": 0, "content-available": 1}}),
                Some(PushType::Alert),
            ),
            (
                json!({"aps": {"content-available": 1}}),
                Some(PushType::Background),
            ),
            (
                json!({"aps": {"event": "end", "timestamp": 1, "alert": "a"}}),
                Some(PushType::LiveActivity),
            ),
            (
                json!({"aps": {"content-state": {}}}),
                Some(PushType::LiveActivity),
            ),
            (json!({"mdm": "magic"}), Some(PushType::Mdm)),
            (
                json!({"aps": {"alert": "a"}, "mdm": "the app's own"}),
                Some(PushType::Alert),
            ),
            (
                json!({"aps": {"ptt-push-type": "service-update"}}),
                Some(PushType::PushToTalk),
            ),
            (json!({"container-identifier": "c"}), Some(PushType::FileProvider)),
            (json!({"aps": {"content-changed": true}}), None),
            (json!({"aps": {}}), Some(PushType::Alert)),
            (json!({}), Some(PushType::Alert)),
        ] {
            assert_eq!(payload(value.clone()).suggested_push_type(), expected, "{value}");
        }
    }

    #[test]
    fn a_debug_print_does_not_say_what_the_payload_says() {
        let payload = payload(json!({"aps": {"alert": "secret"}}));
        assert_eq!(format!("{payload:?}"), "Payload(26 bytes)");
    }
}
