//! Payload and headers without a device: what a caller writes once for many devices.
//!
//! The fields use Apple's vocabulary. A field that is left out gets the right default for the push type.
//!
//! Source: Apple, "Sending notification requests to APNs".

use std::sync::Arc;

use serde_json::{Map, Value};

use super::ApnsId;
use super::collapse_id::CollapseId;
use super::expiration::Expiration;
use super::payload::Payload;
use super::priority::Priority;
use super::push_type::{MergedBy, PushType};
use super::request::{Headers, is_state_update};
use super::topic::{BundleId, Topic, suffixed};
use crate::fault::{self, FaultKind, Faults, Pointer, WarningCode, Warnings};
use crate::time::Timestamp;

/// A notification for one app.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The headers that all its pushes share.
    pub headers: Arc<Headers>,
    /// The id that the caller chose. It can be used for one push only.
    pub apns_id: Option<ApnsId>,
    /// Warnings about the headers, from Apple's advice.
    pub warnings: Warnings,
    /// The payload as written. A device's own payload is merged over it.
    base: Value,
    truncate: bool,
}

impl Notification {
    /// Reads a notification for the app `bundle_id`. Adds the faults of all its fields.
    pub fn parse(
        value: &Value,
        at: &Pointer<'_>,
        bundle_id: &BundleId,
        now: Timestamp,
        faults: &mut Faults,
    ) -> Option<Self> {
        let map = fault::object(value, at, FIELDS, faults)?;
        let base = map
            .get("payload")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        let payload = Payload::parse(&base, &at.key("payload"), faults);
        let push_type = push_type(map, payload.as_ref(), at, faults);
        let truncate = map
            .get("truncate")
            .is_some_and(|value| fault::boolean(value, &at.key("truncate"), faults).unwrap_or_default());
        let expiration = optional(map, "expiration", at, faults, |value| {
            Expiration::parse(value, now)
        });
        let collapse_id = optional_text(map, "collapse_id", at, faults, CollapseId::parse);
        let apns_id = optional_text(map, "apns_id", at, faults, ApnsId::parse);
        let push_type = push_type?;
        let priority = priority(map, push_type, at, faults);
        let topic = topic(map, push_type, bundle_id, at, faults);
        let headers = Headers {
            push_type,
            topic: topic?,
            priority: priority?,
            expiration,
            collapse_id,
        };
        Some(Self {
            warnings: header_warnings(map, &headers, at),
            headers: Arc::new(headers),
            apns_id,
            base,
            truncate,
        })
    }

    /// Whether a push that is sent twice under one collapse id takes effect once. Applies to devices without
    /// a payload of their own.
    #[must_use]
    pub fn is_mergeable(&self) -> bool {
        match self.headers.push_type.rules().merged_by {
            _ if self.headers.is_one_attempt() => false,
            MergedBy::CollapseId => true,
            MergedBy::Timestamp => is_state_update(&self.base),
            MergedBy::Nothing => false,
        }
    }

    /// Returns the payload for devices without one of their own. Returns `None` if it cannot be sent.
    pub fn payload(&self, at: &Pointer<'_>, faults: &mut Faults) -> Option<Payload> {
        self.finish(&self.base, at, faults)
    }

    /// Returns the payload for a device whose own payload is merged over the notification's (RFC 7396).
    pub fn merged_payload(&self, patch: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Payload> {
        fault::open_object(patch, at, faults)?;
        self.finish(&Payload::merge(&self.base, patch), at, faults)
    }

    /// Returns the warnings about one of these payloads, which is at `at` in the request.
    #[must_use]
    pub fn payload_warnings(&self, payload: &Payload, at: &Pointer<'_>) -> Warnings {
        payload.warnings(self.headers.push_type, at)
    }

    /// Returns the warnings about the notification's payload alone, even if it cannot be sent without a
    /// device's part.
    #[must_use]
    pub fn base_warnings(&self) -> Warnings {
        let payload = Payload::parse(&self.base, &Pointer::Root, &mut Faults::default());
        let warnings = payload.map(|payload| self.payload_warnings(&payload, &Pointer::Root));
        warnings.unwrap_or_default()
    }

    fn finish(&self, value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Payload> {
        let push_type = self.headers.push_type;
        let mut payload = Payload::parse(value, at, faults)?;
        if self.truncate {
            match payload.fit(push_type.rules().max_payload) {
                Ok(fitted) => payload = fitted,
                Err(error) => {
                    faults.add(at, FaultKind::Invalid(error.to_string()));
                    return None;
                }
            }
        }
        let before = faults.len();
        payload.check(push_type, at, faults);
        (faults.len() == before).then_some(payload)
    }
}

/// Returns the warnings about the headers that the caller chose.
fn header_warnings(map: &Map<String, Value>, headers: &Headers, at: &Pointer<'_>) -> Warnings {
    let mut warnings = Warnings::default();
    let push_type = headers.push_type;
    if push_type.rules().unusual_priorities.contains(&headers.priority) {
        let text = format!(
            "is {}, which Apple advises against for push type {push_type}",
            headers.priority.as_str()
        );
        warnings.add(&at.key("priority"), WarningCode::UnusualPriority, text);
    }
    let is_stored = headers
        .expiration
        .is_some_and(|expiration| expiration != Expiration::AT_ONCE);
    if push_type == PushType::PushToTalk && map.contains_key("expiration") && is_stored {
        let text =
            "should be 0 for push type pushtotalk: a device that was out of reach would play what is over";
        warnings.add(&at.key("expiration"), WarningCode::UnusualExpiration, text);
    }
    warnings
}

fn push_type(
    map: &Map<String, Value>,
    payload: Option<&Payload>,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<PushType> {
    if map.contains_key("push_type") {
        return optional_text(map, "push_type", at, faults, str::parse);
    }
    let suggested = payload?.suggested_push_type();
    if suggested.is_none() {
        let text = "is required: the payload does not tell whether it is for `controls` or `widgets`";
        faults.add(&at.key("push_type"), FaultKind::Invalid(text.to_owned()));
    }
    suggested
}

fn priority(
    map: &Map<String, Value>,
    push_type: PushType,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<Priority> {
    let rules = push_type.rules();
    let Some(value) = map.get("priority") else {
        return Some(rules.default_priority);
    };
    let at = at.key("priority");
    if value.as_str().is_some_and(|text| fault::digits(text).is_none()) {
        let text = "must be 10, 5 or 1, and is a word: 10 for `high`, 5 for `normal`";
        faults.add(&at, FaultKind::Invalid(text.to_owned()));
        return None;
    }
    let refuse = |is: String| {
        faults.add(
            &at,
            FaultKind::Invalid(format!("must be 10, 5 or 1, but is {is}")),
        );
    };
    let number = fault::integer(value).map_err(refuse).ok()?;
    let priority = Priority::from_number(number);
    match priority {
        Some(priority) if rules.priorities.contains(&priority) => return Some(priority),
        Some(_) => {
            let allowed: Vec<&str> = rules
                .priorities
                .iter()
                .map(|priority| priority.as_str())
                .collect();
            let text = format!(
                "is {number}, but APNs takes {} with push type `{push_type}`",
                allowed.join(" or ")
            );
            faults.add(&at, FaultKind::Conflict(text));
        }
        None => faults.add(
            &at,
            FaultKind::Invalid(format!("must be 10, 5 or 1, but is {number}")),
        ),
    }
    None
}

fn topic(
    map: &Map<String, Value>,
    push_type: PushType,
    bundle_id: &BundleId,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<Topic> {
    let right = bundle_id.topic(push_type);
    let Some(value) = map.get("topic") else {
        return Some(right);
    };
    let at = at.key("topic");
    let text = fault::string(value, &at, faults)?;
    if text == right.as_str() || text == bundle_id.as_str() {
        return Some(right);
    }
    let kind = match suffixed(text) {
        Some((other, base)) if base == bundle_id.as_str() => FaultKind::Conflict(format!(
            "ends in the suffix of push type `{other}`, but the push type is `{push_type}`: its topic is `{}`",
            right.as_str()
        )),
        _ => FaultKind::Conflict(format!(
            "is not the app's: it sends to `{}`. Another bundle id is another app in the configuration",
            right.as_str()
        )),
    };
    faults.add(&at, kind);
    None
}

fn optional<T, E: std::fmt::Display>(
    map: &Map<String, Value>,
    field: &str,
    at: &Pointer<'_>,
    faults: &mut Faults,
    parse: impl FnOnce(&Value) -> Result<T, E>,
) -> Option<T> {
    let parsed = parse(map.get(field)?);
    parsed
        .map_err(|error| faults.add(&at.key(field), FaultKind::Invalid(error.to_string())))
        .ok()
}

fn optional_text<T, E: std::fmt::Display>(
    map: &Map<String, Value>,
    field: &str,
    at: &Pointer<'_>,
    faults: &mut Faults,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = fault::identifier(map.get(field)?, &at.key(field), faults)?;
    parse(&text)
        .map_err(|error| faults.add(&at.key(field), FaultKind::Invalid(error.to_string())))
        .ok()
}

/// The fields of a notification.
const FIELDS: &[&str] = &[
    "payload",
    "push_type",
    "priority",
    "expiration",
    "collapse_id",
    "topic",
    "apns_id",
    "truncate",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

    fn parse(value: &Value) -> Result<Notification, Vec<String>> {
        let mut faults = Faults::default();
        let app = BundleId::parse("com.example.shop").unwrap();
        let notification = Notification::parse(value, &Pointer::Root, &app, NOW, &mut faults);
        faults
            .or(())
            .map_err(|faults| faults.listed().iter().map(ToString::to_string).collect())
            .map(|()| notification.expect("no faults, so a notification"))
    }

    fn body(notification: &Notification) -> Result<String, Vec<String>> {
        let mut faults = Faults::default();
        let payload = notification.payload(&Pointer::Root.key("payload"), &mut faults);
        faults
            .or(())
            .map_err(|faults| faults.listed().iter().map(ToString::to_string).collect())
            .map(|()| payload.expect("a payload").to_json().to_owned())
    }

    #[test]
    fn the_payload_alone_is_enough() {
        let notification = parse(&json!({"payload": {"aps": {"alert": "Hi"}}})).unwrap();
        let list = notification.headers.list();
        assert_eq!(
            list,
            [
                ("apns-push-type", "alert".to_owned()),
                ("apns-topic", "com.example.shop".to_owned()),
                ("apns-priority", "10".to_owned()),
            ]
        );
        assert_eq!(body(&notification).unwrap(), r#"{"aps":{"alert":"Hi"}}"#);
    }

    #[test]
    fn a_silent_payload_defaults_to_background_with_priority_5() {
        let notification = parse(&json!({"payload": {"aps": {"content-available": 1}}})).unwrap();
        assert_eq!(notification.headers.push_type, PushType::Background);
        assert_eq!(notification.headers.priority, Priority::Five);
    }

    #[test]
    fn background_with_priority_10_is_a_conflict() {
        let faults = parse(
            &json!({"payload": {"aps": {"content-available": 1}}, "push_type": "background", "priority": 10}),
        )
        .unwrap_err();
        assert_eq!(
            faults,
            ["/priority: is 10, but APNs takes 5 or 1 with push type `background`"]
        );
    }

    #[test]
    fn headers_that_apple_advises_against_are_sent_with_a_warning() {
        let warnings = |value: Value| {
            let notification = parse(&value).unwrap();
            let listed = notification.warnings.listed().iter();
            let kinds: Vec<String> = listed
                .map(|warning| format!("{} {}", warning.code, warning.pointer))
                .collect();
            (notification.headers.priority, kinds)
        };
        let activity = json!({"payload": {}, "push_type": "liveactivity", "priority": 1});
        assert_eq!(
            warnings(activity),
            (Priority::One, vec!["unusual_priority /priority".to_owned()])
        );
        let talk = json!({"payload": {}, "push_type": "pushtotalk", "priority": 5, "expiration": "1h"});
        let both = ["unusual_priority /priority", "unusual_expiration /expiration"].map(str::to_owned);
        assert_eq!(warnings(talk), (Priority::Five, both.to_vec()));
        for usual in [
            json!({"payload": {}, "push_type": "pushtotalk"}),
            json!({"payload": {}, "push_type": "pushtotalk", "expiration": 0}),
            json!({"payload": {}, "push_type": "background", "priority": 1}),
        ] {
            assert_eq!(warnings(usual).1, [""; 0]);
        }
    }

    #[test]
    fn a_topic_may_have_its_suffix_or_not() {
        for topic in ["com.example.shop", "com.example.shop.voip"] {
            let notification = parse(&json!({"payload": {}, "push_type": "voip", "topic": topic})).unwrap();
            assert_eq!(notification.headers.topic.as_str(), "com.example.shop.voip");
        }
    }

    #[test]
    fn another_types_suffix_and_another_apps_topic_are_conflicts() {
        let faults = parse(&json!({"payload": {}, "push_type": "alert", "topic": "com.example.shop.voip"}))
            .unwrap_err();
        assert!(faults[0].contains("suffix of push type `voip`"), "{faults:?}");
        let faults =
            parse(&json!({"payload": {}, "push_type": "alert", "topic": "com.example.bank"})).unwrap_err();
        assert!(faults[0].contains("is not the app's"), "{faults:?}");
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = parse(&json!({
            "payload": [1], "push_type": "alarm", "priority": 7, "expiration": "soon",
            "collapse_id": "x".repeat(65), "apns_id": "1", "colour": "red"
        }))
        .unwrap_err();
        let pointers: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(": ").next())
            .collect();
        assert_eq!(
            pointers,
            [
                "/colour",
                "/payload",
                "/push_type",
                "/expiration",
                "/collapse_id",
                "/apns_id"
            ]
        );
    }

    #[test]
    fn a_devices_payload_is_merged_over_the_notifications() {
        let notification =
            parse(&json!({"payload": {"aps": {"alert": {"title": "Hi"}, "badge": 1}}})).unwrap();
        let mut faults = Faults::default();
        let patch = json!({"aps": {"badge": null, "alert": {"body": "Ann"}}, "id": 7});
        let payload = notification
            .merged_payload(&patch, &Pointer::Root, &mut faults)
            .unwrap();
        assert_eq!(
            payload.to_json(),
            r#"{"aps":{"alert":{"title":"Hi","body":"Ann"}},"id":7}"#
        );
    }

    #[test]
    fn the_payload_limit_is_exact_and_truncate_shortens() {
        let of_size = |size: usize| {
            let frame = r#"{"aps":{"alert":{"title":"T","body":""}}}"#.len();
            json!({"aps": {"alert": {"title": "T", "body": "a".repeat(size - frame)}}})
        };
        let notification = parse(&json!({"payload": of_size(4096)})).unwrap();
        assert_eq!(body(&notification).unwrap().len(), 4096);
        let notification = parse(&json!({"payload": of_size(4097)})).unwrap();
        assert_eq!(
            body(&notification).unwrap_err(),
            ["/payload: is 4097 bytes long; the limit is 4096"]
        );
        let notification = parse(&json!({"payload": of_size(4097), "truncate": true})).unwrap();
        assert!(body(&notification).unwrap().len() <= 4096);
    }
}
