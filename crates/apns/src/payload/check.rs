//! Whether a payload can be sent with its push type.
//!
//! APNs checks only the size of a payload. Live Activities are the one exception here: without the keys that
//! Apple requires, the push has no effect. All other mistakes are in [`super::warnings`].

use serde_json::Value;

use super::{Event, Payload};
use crate::fault::{self, FaultKind, Faults, Pointer};
use crate::push_type::{MAX_BROADCAST_PAYLOAD, PushType};

impl Payload {
    /// Adds a fault for each reason why this payload, which is at `at`, cannot be sent with `push_type`.
    pub fn check(&self, push_type: PushType, at: &Pointer<'_>, faults: &mut Faults) {
        if push_type == PushType::LiveActivity {
            self.check_live_activity(at, faults);
        }
        self.check_size(push_type.rules().max_payload, at, faults);
    }

    /// Checks a broadcast. It may update or end a Live Activity, and has a larger limit.
    pub fn check_broadcast(&self, at: &Pointer<'_>, faults: &mut Faults) {
        self.check_live_activity(at, faults);
        if self.aps().event() == Some(Event::Start) {
            let text = "must be update or end: a broadcast starts no Live Activity";
            faults.add_below(at, "/aps/event", FaultKind::Invalid(text.to_owned()));
        }
        self.check_size(MAX_BROADCAST_PAYLOAD, at, faults);
    }

    fn check_live_activity(&self, at: &Pointer<'_>, faults: &mut Faults) {
        let of_type = PushType::LiveActivity.rules().required;
        let of_event = self.aps().event().map_or(&[][..], Event::required);
        for pointer in of_type.iter().chain(of_event) {
            if let Some(kind) = required_fault(pointer, self.at(pointer)) {
                faults.add_below(at, pointer, kind);
            }
        }
    }

    fn check_size(&self, limit: usize, at: &Pointer<'_>, faults: &mut Faults) {
        let size = self.size();
        if size > limit {
            let unit = "bytes";
            faults.add(at, FaultKind::TooLong { size, limit, unit });
        }
    }

    /// Returns the value at `pointer`, whose keys need no escapes. `Value::pointer` would allocate twice per
    /// key.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        let mut keys = pointer.split('/').skip(1);
        keys.try_fold(&self.root, |value, key| value.get(key))
    }

    /// Whether there is a value other than null at `pointer`.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.at(pointer).is_some_and(|value| !value.is_null())
    }
}

/// Returns a fault if `value` is not what Apple requires at `pointer` of a Live Activity.
fn required_fault(pointer: &str, value: Option<&Value>) -> Option<FaultKind> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Some(FaultKind::Missing);
    };
    let (expected, fits) = match pointer {
        "/aps/event" => ("a string", value.is_string()),
        "/aps/timestamp" => ("a number", value.is_number()),
        "/aps/attributes-type" => ("a string", value.is_string()),
        "/aps/attributes" | "/aps/content-state" => ("an object", value.is_object()),
        _ => ("a string or an object", value.is_string() || value.is_object()),
    };
    if !fits {
        let found = fault::type_name(value);
        return Some(FaultKind::WrongType { expected, found });
    }
    let is_unknown_event = pointer == "/aps/event" && value.as_str().and_then(Event::from_word).is_none();
    is_unknown_event.then(|| {
        let words = Event::ALL.map(Event::as_str).join(", ");
        FaultKind::Invalid(format!("must be one of {words}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Warnings;
    use crate::payload::tests::payload;
    use serde_json::json;

    fn faults(push_type: PushType, value: Value) -> Vec<String> {
        let mut faults = Faults::default();
        payload(value).check(push_type, &Pointer::Root.key("payload"), &mut faults);
        faults.listed().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_push_types_usual_payload_is_sent_without_a_warning() {
        let alert = json!({"aps": {"alert": "hi", "badge": 1, "sound": "default", "relevance-score": 1}});
        let start = json!({"aps": {
            "event": "start", "timestamp": 1_795_420_800, "attributes-type": "A", "attributes": {},
            "content-state": {"optional": null}, "relevance-score": 75, "input-push-token": 1,
            "alert": {"title": {"loc-key": "T"}, "body": "B", "sound": "default"},
        }});
        let changed = json!({"aps": {"content-changed": true}});
        for (push_type, value) in [
            (PushType::Alert, alert.clone()),
            (
                PushType::Background,
                json!({"aps": {"content-available": 1}, "id": 7}),
            ),
            (PushType::Complication, json!({"temperature": 21})),
            (PushType::Controls, changed.clone()),
            (
                PushType::FileProvider,
                json!({"container-identifier": "root", "domain": "d"}),
            ),
            (PushType::LiveActivity, start),
            (PushType::Location, json!({})),
            (PushType::Mdm, json!({"mdm": "magic"})),
            (PushType::PushToTalk, json!({"aps": {}, "activeSpeaker": "Ann"})),
            (PushType::Voip, alert),
            (PushType::Widgets, changed),
        ] {
            let warnings = payload(value.clone()).warnings(push_type, &Pointer::Root);
            assert_eq!(warnings, Warnings::default(), "{push_type}");
            assert_eq!(faults(push_type, value), [""; 0], "{push_type}");
        }
    }

    #[test]
    fn each_event_of_a_live_activity_brings_its_own_required_keys() {
        assert_eq!(
            faults(PushType::LiveActivity, json!({"aps": {}})),
            [
                "/payload/aps/event: is required",
                "/payload/aps/timestamp: is required"
            ]
        );
        assert_eq!(
            faults(PushType::LiveActivity, json!({"aps": {"event": "update"}})),
            [
                "/payload/aps/timestamp: is required",
                "/payload/aps/content-state: is required"
            ]
        );
        assert_eq!(
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "end", "timestamp": 1}})
            ),
            [""; 0]
        );
        assert_eq!(
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "start", "timestamp": 1, "alert": "a text is not enough"}})
            ),
            [
                "/payload/aps/attributes-type: is required",
                "/payload/aps/attributes: is required",
                "/payload/aps/content-state: is required",
                "/payload/aps/alert/title: is required",
                "/payload/aps/alert/body: is required",
            ]
        );
    }

    #[test]
    fn what_a_live_activity_requires_has_the_right_type() {
        assert_eq!(
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "stop", "timestamp": "1795420800"}})
            ),
            [
                "/payload/aps/event: must be one of start, update, end",
                "/payload/aps/timestamp: must be a number, but is a string",
            ]
        );
        assert_eq!(
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "update", "timestamp": 1, "content-state": []}})
            ),
            ["/payload/aps/content-state: must be an object, but is an array"]
        );
        assert_eq!(
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "update", "timestamp": 1.5, "content-state": null}})
            ),
            ["/payload/aps/content-state: is required"]
        );
    }

    #[test]
    fn the_last_byte_that_fits_is_the_limits() {
        let sized = |size: usize| {
            let empty = payload(json!({"aps": {}, "k": ""})).size();
            json!({"aps": {}, "k": "x".repeat(size - empty)})
        };
        for (push_type, limit) in [(PushType::Alert, 4096), (PushType::Voip, 5120)] {
            assert_eq!(faults(push_type, sized(limit)), [""; 0]);
            assert_eq!(
                faults(push_type, sized(limit + 1)),
                [format!(
                    "/payload: is {} bytes long; the limit is {limit}",
                    limit + 1
                )]
            );
        }
    }

    #[test]
    fn a_payload_is_measured_as_it_is_sent_however_it_was_escaped() {
        let empty = payload(json!({"aps": {"alert": ""}})).size();
        let room = 4096 - empty;
        let (emojis, filler) = (room / 4, room % 4);
        let text = |filler: usize| {
            let (escaped, filler) = ("\\ud83d\\ude00".repeat(emojis), "x".repeat(filler));
            let text = format!(r#"{{"aps":{{"alert":"{escaped}{filler}"}}}}"#);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert_eq!(payload(text(filler)).size(), 4096);
        assert_eq!(faults(PushType::Alert, text(filler)), [""; 0]);
        assert_eq!(
            faults(PushType::Alert, text(filler + 1)),
            ["/payload: is 4097 bytes long; the limit is 4096"]
        );
    }

    #[test]
    fn a_broadcast_starts_nothing_and_may_have_5120_bytes() {
        let broadcast = |event: &str, filler: usize| {
            let state = json!({"k": "x".repeat(filler)});
            let value = json!({"aps": {
                "event": event, "timestamp": 1, "content-state": state,
                "attributes": {}, "attributes-type": "A", "alert": {"title": "t", "body": "b"},
            }});
            let mut faults = Faults::default();
            payload(value).check_broadcast(&Pointer::Root, &mut faults);
            faults.to_string()
        };
        assert_eq!(broadcast("update", 4096), "");
        assert_eq!(
            broadcast("start", 0),
            "/aps/event: must be update or end: a broadcast starts no Live Activity"
        );
        assert!(broadcast("end", 5120).ends_with("the limit is 5120"));
    }
}
