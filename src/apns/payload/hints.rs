//! What is allowed in a payload, and yet hardly meant.
//!
//! Keys that nobody knows are kept, since Apple adds some every year; so a key that is misspelled travels to the device
//! and does nothing there. Hints say so, without standing in the way.

use super::{Event, Payload, alert, aps, shape, sound};
use crate::apns::push_type::PushType;
use crate::fault::{FaultKind, Faults, Pointer};

impl Payload {
    /// What the sender of this payload, which is found at `at`, may want to look at again.
    #[must_use]
    pub fn warnings(&self, push_type: PushType, at: &Pointer<'_>) -> Faults {
        let mut hints = Faults::default();
        self.hint_spelling(at, &mut hints);
        self.hint_place(at, &mut hints);
        self.hint_dates(at, &mut hints);
        self.hint_purpose(push_type, at, &mut hints);
        hints
    }

    fn hint_spelling(&self, at: &Pointer<'_>, hints: &mut Faults) {
        let at_aps = at.key("aps");
        let at_alert = at_aps.key("alert");
        for (pointer, members, at) in [
            ("/aps", aps::MEMBERS, at_aps),
            ("/aps/alert", alert::MEMBERS, at_alert),
            ("/aps/sound", sound::MEMBERS, at_aps.key("sound")),
            ("/aps/alert/sound", sound::MEMBERS, at_alert.key("sound")),
            ("/aps/alert/title", alert::LOCALIZED, at_alert.key("title")),
            ("/aps/alert/body", alert::LOCALIZED, at_alert.key("body")),
        ] {
            if let Some(map) = self.at(pointer).and_then(serde_json::Value::as_object) {
                shape::hint_members(map, members, &at, hints);
            }
        }
    }

    fn hint_place(&self, at: &Pointer<'_>, hints: &mut Faults) {
        for key in MISPLACED.into_iter().filter(|key| self.get(key).is_some()) {
            let text = format!("does nothing here; did you mean `aps.{key}`?");
            hints.add(&at.key(key), FaultKind::Invalid(text));
        }
    }

    fn hint_dates(&self, at: &Pointer<'_>, hints: &mut Faults) {
        for key in ["timestamp", "stale-date", "dismissal-date"] {
            let seconds = self.aps().get(key).and_then(serde_json::Value::as_u64);
            if seconds.is_some_and(|seconds| seconds >= FAR_SECONDS) {
                let text = "is seconds since 1970, but looks like milliseconds".to_owned();
                hints.add(&at.key("aps").key(key), FaultKind::Invalid(text));
            }
        }
    }

    fn hint_purpose(&self, push_type: PushType, at: &Pointer<'_>, hints: &mut Faults) {
        let aps = self.aps();
        let at_aps = at.key("aps");
        let mut hint = |at: &Pointer<'_>, text: &str| hints.add(at, FaultKind::Invalid(text.to_owned()));
        if push_type == PushType::Alert && !aps.is_visible() {
            if aps.content_available() {
                hint(
                    &at_aps,
                    "has only content-available, which is push type background",
                );
            } else {
                hint(
                    &at_aps,
                    "has no alert, badge or sound, so that the device shows nothing",
                );
            }
        }
        if push_type == PushType::LiveActivity
            && aps.event() == Some(Event::End)
            && aps.content_state().is_none()
        {
            hint(&at_aps, "ends the Live Activity without a final content-state");
        }
        if aps.input_push_token() && aps.input_push_channel().is_some() {
            hint(
                &at_aps.key("input-push-channel"),
                "stands beside input-push-token; a Live Activity is updated by one of them",
            );
        }
        if aps.content_changed() && !matches!(push_type, PushType::Controls | PushType::Widgets) {
            hint(
                &at_aps.key("content-changed"),
                "is read only with push types controls and widgets",
            );
        }
        if aps.ptt_push_type().is_some() && push_type != PushType::PushToTalk {
            hint(
                &at_aps.key("ptt-push-type"),
                "is read only with push type pushtotalk",
            );
        }
    }
}

/// Keys of `aps` that an app hardly uses for its own, so that beside `aps` they are in the wrong place.
const MISPLACED: [&str; 8] = [
    "alert",
    "badge",
    "sound",
    "content-available",
    "mutable-content",
    "interruption-level",
    "relevance-score",
    "thread-id",
];

/// A date with as many seconds as this is past the year 5000, and one with as many milliseconds was in 1973.
const FAR_SECONDS: u64 = 100_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::payload::tests::payload;
    use serde_json::{Value, json};

    fn hints(push_type: PushType, value: Value) -> Vec<String> {
        let hints = payload(value).warnings(push_type, &Pointer::Root);
        hints.listed().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelled_key_is_kept_and_hinted_at() {
        let value = json!({"aps": {
            "alert": {"tittle": "t", "loc_key": "k", "sound": {"nam": "n"}},
            "interuption-level": "active", "content_available": 1, "threadId": "x",
            "zzz-of-next-year": true,
        }});
        assert_eq!(payload(value.clone()).to_json(), value.to_string());
        assert_eq!(
            hints(PushType::Alert, value),
            [
                "/aps/interuption-level: is not a known field; did you mean `interruption-level`?",
                "/aps/content_available: is not a known field; did you mean `content-available`?",
                "/aps/threadId: is not a known field; did you mean `thread-id`?",
                "/aps/alert/tittle: is not a known field; did you mean `title`?",
                "/aps/alert/loc_key: is not a known field; did you mean `loc-key`?",
                "/aps/alert/sound/nam: is not a known field; did you mean `name`?",
            ]
        );
    }

    #[test]
    fn a_key_beside_aps_that_belongs_inside_is_hinted_at() {
        assert_eq!(
            hints(
                PushType::Alert,
                json!({"aps": {"alert": "a"}, "badge": 1, "category": "the app's own"})
            ),
            ["/badge: does nothing here; did you mean `aps.badge`?"]
        );
    }

    #[test]
    fn milliseconds_are_hinted_at() {
        let value = |stamp: u64| json!({"aps": {"event": "update", "timestamp": stamp, "content-state": {}}});
        assert_eq!(hints(PushType::LiveActivity, value(1_795_420_800)), [""; 0]);
        assert_eq!(
            hints(PushType::LiveActivity, value(1_795_420_800_000)),
            ["/aps/timestamp: is seconds since 1970, but looks like milliseconds"]
        );
    }

    #[test]
    fn an_alert_that_shows_nothing_is_hinted_at() {
        assert_eq!(
            hints(PushType::Alert, json!({"aps": {"content-available": 1}})),
            ["/aps: has only content-available, which is push type background"]
        );
        assert_eq!(
            hints(PushType::Alert, json!({})),
            ["/aps: has no alert, badge or sound, so that the device shows nothing"]
        );
        assert_eq!(
            hints(PushType::Background, json!({"aps": {"content-available": 1}})),
            [""; 0]
        );
    }

    #[test]
    fn keys_that_do_nothing_with_the_push_type_are_hinted_at() {
        let value = json!({"aps": {
            "badge": 0, "content-changed": true, "ptt-push-type": "service-update",
            "input-push-token": 1, "input-push-channel": "Y2g=",
        }});
        assert_eq!(hints(PushType::Alert, value.clone()).len(), 3);
        assert_eq!(hints(PushType::Widgets, value.clone()).len(), 2);
        assert_eq!(hints(PushType::PushToTalk, value).len(), 2);
        assert_eq!(
            hints(
                PushType::LiveActivity,
                json!({"aps": {"event": "end", "timestamp": 1}})
            ),
            ["/aps: ends the Live Activity without a final content-state"]
        );
    }
}
