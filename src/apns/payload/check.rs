//! Whether a payload is one that its push type takes.
//!
//! The rules are those of [`PushType::rules`] and [`Event::required`]; here they meet the payload. What APNs would take,
//! but is hardly meant, is in [`super::hints`].

use serde_json::Value;

use super::{Event, Payload, live_activity, shape};
use crate::apns::push_type::{MAX_BROADCAST_PAYLOAD, PushType};
use crate::fault::{self, FaultKind, Faults, Pointer};

impl Payload {
    /// Adds a fault for each rule of `push_type` that this payload, which is found at `at`, does not keep.
    pub fn check(&self, push_type: PushType, at: &Pointer<'_>, faults: &mut Faults) {
        self.check_keys(push_type, at, faults);
        self.check_size(push_type.rules().max_payload, at, faults);
    }

    /// The same for a broadcast, which may update or end Live Activities, and may be larger.
    pub fn check_broadcast(&self, at: &Pointer<'_>, faults: &mut Faults) {
        self.check_keys(PushType::LiveActivity, at, faults);
        if self.aps().event() == Some(Event::Start) {
            let text = "must be update or end: a broadcast starts no Live Activity";
            faults.add_below(at, "/aps/event", FaultKind::Invalid(text.to_owned()));
        }
        self.check_size(MAX_BROADCAST_PAYLOAD, at, faults);
    }

    fn check_keys(&self, push_type: PushType, at: &Pointer<'_>, faults: &mut Faults) {
        let rules = push_type.rules();
        self.require(rules.required, at, faults);
        for pointer in rules.forbidden.iter().filter(|pointer| self.has(pointer)) {
            let text = format!("may not be there with push type {push_type}");
            faults.add_below(at, pointer, FaultKind::Conflict(text));
        }
        if self.aps().mutable_content() && self.aps().alert().is_none() {
            let text = "needs an alert, which the service extension may change";
            faults.add_below(at, "/aps/mutable-content", FaultKind::Conflict(text.to_owned()));
        }
        if push_type == PushType::LiveActivity {
            let required = self.aps().event().map_or(&[][..], Event::required);
            self.require(required, at, faults);
        } else {
            live_activity::refuse_keys(self, push_type, at, faults);
            self.check_score(at, faults);
        }
        for key in root_texts(push_type) {
            if let Some(value) = self.get(key) {
                fault::string(value, &at.key(key), faults);
            }
        }
    }

    fn require(&self, pointers: &[&str], at: &Pointer<'_>, faults: &mut Faults) {
        for pointer in pointers.iter().filter(|pointer| !self.has(pointer)) {
            faults.add_below(at, pointer, FaultKind::Missing);
        }
    }

    fn check_score(&self, at: &Pointer<'_>, faults: &mut Faults) {
        let score = self.aps().relevance_score();
        if score.is_some_and(|score| !shape::is_fraction(score)) {
            let text = "must be from 0 to 1, except of a Live Activity";
            faults.add_below(at, "/aps/relevance-score", FaultKind::Invalid(text.to_owned()));
        }
    }

    fn check_size(&self, limit: usize, at: &Pointer<'_>, faults: &mut Faults) {
        let size = self.size();
        if size > limit {
            let unit = "bytes";
            faults.add(at, FaultKind::TooLong { size, limit, unit });
        }
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.root.pointer(pointer)
    }

    pub(super) fn has(&self, pointer: &str) -> bool {
        self.at(pointer).is_some()
    }
}

/// The keys beside `aps` that the system reads with this push type; all are strings.
const fn root_texts(push_type: PushType) -> &'static [&'static str] {
    match push_type {
        PushType::FileProvider => &["container-identifier", "domain"],
        PushType::Mdm => &["mdm"],
        PushType::Alert
        | PushType::Background
        | PushType::Complication
        | PushType::Controls
        | PushType::LiveActivity
        | PushType::Location
        | PushType::PushToTalk
        | PushType::Voip
        | PushType::Widgets => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::payload::tests::payload;
    use serde_json::json;

    fn faults(push_type: PushType, value: Value) -> Vec<String> {
        let mut faults = Faults::default();
        payload(value).check(push_type, &Pointer::Root.key("payload"), &mut faults);
        faults.listed().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_push_types_usual_payload_is_taken() {
        let alert = json!({"aps": {"alert": "hi", "badge": 1, "sound": "default", "relevance-score": 1}});
        let start = json!({"aps": {
            "event": "start", "timestamp": 1, "attributes-type": "A", "attributes": {}, "content-state": {},
            "relevance-score": 75, "input-push-token": 1,
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
            assert_eq!(faults(push_type, value), [""; 0], "{push_type}");
        }
    }

    #[test]
    fn a_background_push_has_content_available_and_nothing_to_show() {
        assert_eq!(
            faults(
                PushType::Background,
                json!({"aps": {"alert": "a", "badge": 0, "sound": "s"}})
            ),
            [
                "/payload/aps/content-available: is required",
                "/payload/aps/alert: may not be there with push type background",
                "/payload/aps/badge: may not be there with push type background",
                "/payload/aps/sound: may not be there with push type background",
            ]
        );
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
            faults(
                PushType::LiveActivity,
                json!({"aps": {"event": "update", "timestamp": 1}})
            ),
            ["/payload/aps/content-state: is required"]
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
    fn what_only_a_live_activity_has_is_refused_elsewhere() {
        assert_eq!(
            faults(
                PushType::Alert,
                json!({"aps": {"alert": {"title": {"loc-key": "k"}, "body": "b"}, "stale-date": 1}})
            ),
            [
                "/payload/aps/stale-date: belongs to push type liveactivity, but this is alert",
                "/payload/aps/alert/title: as an object belongs to push type liveactivity, but this is alert",
            ]
        );
    }

    #[test]
    fn a_score_beyond_1_is_for_live_activities_alone() {
        let value = |score: Value| json!({"aps": {"alert": "a", "event": "end", "timestamp": 1, "relevance-score": score}});
        assert_eq!(faults(PushType::LiveActivity, value(json!(100))), [""; 0]);
        let refused = faults(PushType::Alert, value(json!(1.01)));
        assert!(
            refused.contains(
                &"/payload/aps/relevance-score: must be from 0 to 1, except of a Live Activity".to_owned()
            ),
            "{refused:?}"
        );
    }

    #[test]
    fn mutable_content_needs_an_alert() {
        assert_eq!(
            faults(
                PushType::Alert,
                json!({"aps": {"badge": 1, "mutable-content": 1}})
            ),
            ["/payload/aps/mutable-content: needs an alert, which the service extension may change"]
        );
    }

    #[test]
    fn a_key_beside_aps_is_checked_only_where_the_system_reads_it() {
        let value = json!({"mdm": 1, "container-identifier": 2, "domain": 3});
        assert_eq!(
            faults(PushType::Mdm, value.clone()),
            ["/payload/mdm: must be a string, but is a number"]
        );
        assert_eq!(faults(PushType::FileProvider, value.clone()).len(), 2);
        assert_eq!(faults(PushType::Voip, value), [""; 0]);
        assert_eq!(faults(PushType::Mdm, json!({})), ["/payload/mdm: is required"]);
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
