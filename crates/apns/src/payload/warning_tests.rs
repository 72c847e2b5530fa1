//! Which payloads are sent with a warning, and which without.

use serde_json::{Value, json};

use super::{Payload, tests::payload};
use crate::fault::{Faults, MAX_KINDS, Pointer};
use crate::push_type::PushType;

/// The warnings of a payload that can be sent, as `code pointer: detail`.
fn warnings(push_type: PushType, value: Value) -> Vec<String> {
    let payload = payload(value);
    let mut faults = Faults::default();
    payload.check(push_type, &Pointer::Root, &mut faults);
    assert_eq!(faults, Faults::default(), "{push_type} {}", payload.to_json());
    let warnings = payload.warnings(push_type, &Pointer::Root);
    let told = warnings.listed().iter();
    told.map(|warning| format!("{} {}: {}", warning.code, warning.pointer, warning.detail))
        .collect()
}

/// Their codes and pointers.
fn kinds(push_type: PushType, value: Value) -> Vec<String> {
    let kind = |text: String| text.split(": ").next().unwrap_or_default().to_owned();
    warnings(push_type, value).into_iter().map(kind).collect()
}

fn of_alert(value: Value) -> Vec<String> {
    kinds(PushType::Alert, value)
}

fn of_activity(aps: Value) -> Vec<String> {
    kinds(PushType::LiveActivity, json!({ "aps": aps }))
}

/// 2026-11-23T08:00:00Z.
const NOW: u64 = 1_795_420_800;

#[test]
fn a_wrong_type_or_range_is_a_warning_at_its_key() {
    for (aps, warning) in [
        (
            json!({"alert": 1}),
            "wrong_type /aps/alert: should be a string or an object, but is a number",
        ),
        (
            json!({"alert": {"body": "b", "title": 1}}),
            "wrong_type /aps/alert/title: should be a string or an object, but is a number",
        ),
        (
            json!({"alert": {"body": "b", "subtitle": {}}}),
            "wrong_type /aps/alert/subtitle: should be a string, but is an object",
        ),
        (
            json!({"alert": {"loc-key": "k", "loc-args": ["a", 1]}}),
            "wrong_type /aps/alert/loc-args/1: should be a string, but is a number",
        ),
        (
            json!({"alert": {"loc-key": "k", "loc-args": "a"}}),
            "wrong_type /aps/alert/loc-args: should be an array of strings, but is a string",
        ),
        (
            json!({"badge": "1"}),
            "wrong_type /aps/badge: should be an integer, but is a string",
        ),
        (
            json!({"badge": -1}),
            "wrong_value /aps/badge: should be an integer from 0",
        ),
        (
            json!({"badge": 1.5}),
            "wrong_value /aps/badge: should be an integer from 0",
        ),
        (
            json!({"sound": {"critical": 1, "volume": 1.1}}),
            "wrong_value /aps/sound/volume: should be from 0 to 1",
        ),
        (
            json!({"sound": {"name": "s.caf"}}),
            "wrong_value /aps/sound: should be a string: a dictionary is for critical alerts, with `critical` 1",
        ),
        (
            json!({"content-available": 0}),
            "wrong_value /aps/content-available: should be 1, or be left out",
        ),
        (
            json!({"content-available": true}),
            "wrong_type /aps/content-available: should be the number 1, but is a boolean",
        ),
        (
            json!({"interruption-level": "timeSensitive"}),
            "wrong_value /aps/interruption-level: should be one of passive, active, time-sensitive, critical",
        ),
        (
            json!({"relevance-score": 100}),
            "wrong_value /aps/relevance-score: should be from 0 to 1, except for a Live Activity",
        ),
        (
            json!({"relevance-score": -5}),
            "wrong_value /aps/relevance-score: should be from 0 to 1, except for a Live Activity",
        ),
        (
            json!({"relevance-score": "1"}),
            "wrong_type /aps/relevance-score: should be a number, but is a string",
        ),
    ] {
        let mut aps = aps;
        let shown = aps.get("alert").is_none();
        if shown {
            aps["alert"] = json!("a");
        }
        let found = warnings(PushType::Alert, json!({ "aps": aps }));
        assert_eq!(found.first().map(String::as_str), Some(warning));
        assert!(found.len() == 1 || !shown, "{found:?}");
    }
}

#[test]
fn aps_of_another_type_is_sent() {
    assert_eq!(
        kinds(PushType::Voip, json!({"aps": [], "call": 1})),
        ["wrong_type /aps"]
    );
    assert_eq!(
        of_alert(json!({"aps": "x"})),
        ["wrong_type /aps", "nothing_to_show /aps"]
    );
}

#[test]
fn null_is_found_however_deep() {
    assert_eq!(
        of_alert(json!({
            "aps": {"alert": {"body": "b", "action-loc-key": null}, "badge": null},
            "a": null, "b": {"c": [1, {"d": null}], "attributes": {"e": null}}, "f": {},
        })),
        [
            "null_value /aps/alert/action-loc-key",
            "null_value /aps/badge",
            "null_value /a",
            "null_value /b/c/1/d",
            "null_value /b/attributes/e",
        ]
    );
    assert_eq!(kinds(PushType::Voip, json!({"aps": null})), ["null_value /aps"]);
}

#[test]
fn null_is_fine_in_what_an_app_decodes_itself() {
    let state = json!({"event": "update", "timestamp": NOW, "content-state": {"a": null, "b": [null]}});
    assert_eq!(of_activity(state), [""; 0]);
    assert_eq!(
        of_alert(json!({"aps": {"alert": "a", "attributes": null}})),
        ["null_value /aps/attributes"]
    );
}

#[test]
fn a_null_that_a_merge_leaves_is_found() {
    let base = json!({"aps": {"alert": "a"}, "k": {"x": null}});
    let merged = Payload::merge(&base, &json!({"k": {"y": [null]}, "z": null}));
    assert_eq!(of_alert(merged), ["null_value /k/x", "null_value /k/y/0"]);
}

#[test]
fn a_misspelled_key_is_kept_and_warned_of() {
    let value = json!({"aps": {
        "alrt": "a", "alert": {"body": "b", "tittle": "t", "loc_key": "k", "sound": {"critical": 1, "nam": "n"}},
        "interuption-level": "active", "content_available": 1, "threadId": "x",
    }});
    assert_eq!(payload(value.clone()).to_json(), value.to_string());
    assert_eq!(
        warnings(PushType::Alert, value),
        [
            "misspelled_key /aps/alrt: is none of Apple's keys; did you mean `alert`?",
            "misspelled_key /aps/interuption-level: is none of Apple's keys; did you mean `interruption-level`?",
            "misspelled_key /aps/content_available: is none of Apple's keys; did you mean `content-available`?",
            "misspelled_key /aps/threadId: is none of Apple's keys; did you mean `thread-id`?",
            "misspelled_key /aps/alert/tittle: is none of Apple's keys; did you mean `title`?",
            "misspelled_key /aps/alert/loc_key: is none of Apple's keys; did you mean `loc-key`?",
            "misspelled_key /aps/alert/sound/nam: is none of Apple's keys; did you mean `name`?",
            "ignored_key /aps/alert/sound: is read only with push type liveactivity, but this is alert",
        ]
    );
    assert_eq!(
        of_alert(json!({"APS": {"alert": "a"}})),
        ["misspelled_key /APS", "nothing_to_show /aps"]
    );
}

#[test]
fn a_key_in_the_wrong_dictionary_is_warned_of() {
    assert_eq!(
        warnings(
            PushType::Alert,
            json!({
                "aps": {"alert": {"body": "b", "badge": 1}, "title": "t", "url": "https://example.com"},
                "badge": 1, "category": "the app's own", "apns-collapse-id": "c", "apns-id": "i",
            })
        ),
        [
            "misplaced_key /badge: does nothing here; did you mean `aps.badge`?",
            "misplaced_key /apns-collapse-id: is a header and does nothing here; did you mean the notification's `collapse_id`?",
            "misplaced_key /apns-id: is a header and does nothing here; did you mean the notification's `apns_id`?",
            "misplaced_key /aps/title: does nothing here; did you mean `aps.alert.title`?",
            "custom_key_in_aps /aps/url: is none of Apple's keys, and the system ignores it: an app's own keys belong beside `aps`",
            "misplaced_key /aps/alert/badge: does nothing here; did you mean `aps.badge`?",
        ]
    );
    assert_eq!(
        of_alert(json!({"alert": "a"})),
        ["misplaced_key /alert", "nothing_to_show /aps"]
    );
    // An app reads these payloads itself, with keys of its own.
    assert_eq!(
        kinds(PushType::Voip, json!({"alert": "Ann", "badge": 1})),
        [""; 0]
    );
}

#[test]
fn a_payload_that_is_a_whole_notification_is_warned_of() {
    let whole = json!({"payload": {"aps": {"alert": "a"}}, "priority": 5});
    assert_eq!(
        of_alert(whole),
        ["whole_notification /payload", "nothing_to_show /aps"]
    );
    assert_eq!(
        of_alert(json!({"aps": {"alert": "a"}, "payload": {"id": 1}})),
        [""; 0]
    );
}

#[test]
fn an_alert_that_shows_nothing_is_warned_of() {
    assert_eq!(
        warnings(PushType::Alert, json!({"aps": {"content-available": 1}})),
        ["nothing_to_show /aps: has only content-available, which is for push type background"]
    );
    for nothing in [
        json!({}),
        json!({"aps": {}}),
        json!({"aps": {"alert": ""}}),
        json!({"aps": {"alert": {"title": " "}}}),
    ] {
        assert_eq!(of_alert(nothing), ["nothing_to_show /aps"]);
    }
    assert_eq!(
        of_alert(json!({"aps": {"alert": {"body": ""}, "sound": "default"}})),
        ["nothing_to_show /aps/alert"]
    );
    for shown in [
        json!({"badge": 0}),
        json!({"sound": "default"}),
        json!({"alert": {"loc-key": "K"}}),
        json!({"alert": {"title": "", "body": "b"}}),
    ] {
        assert_eq!(of_alert(json!({ "aps": shown })), [""; 0]);
    }
}

#[test]
fn mutable_content_needs_an_alert() {
    assert_eq!(
        warnings(
            PushType::Alert,
            json!({"aps": {"badge": 1, "mutable-content": 1}})
        ),
        [
            "mutable_without_alert /aps/mutable-content: does nothing without an alert, which the service extension may change"
        ]
    );
    assert_eq!(
        of_alert(json!({"aps": {"sound": "default", "mutable-content": true}})),
        [
            "wrong_type /aps/mutable-content",
            "mutable_without_alert /aps/mutable-content"
        ]
    );
}

#[test]
fn a_background_push_has_content_available_and_nothing_to_show() {
    assert_eq!(
        warnings(
            PushType::Background,
            json!({"aps": {"alert": "a", "badge": 0, "sound": "s"}})
        ),
        [
            "missing_key /aps/content-available: is missing: push type background does nothing without it",
            "background_with_alert /aps/alert: is not for push type background: APNs may delay or drop the push",
            "background_with_alert /aps/badge: is not for push type background: APNs may delay or drop the push",
            "background_with_alert /aps/sound: is not for push type background: APNs may delay or drop the push",
        ]
    );
}

#[test]
fn what_a_push_type_needs_is_warned_of_if_it_is_missing() {
    for (push_type, missing) in [
        (PushType::Widgets, "missing_key /aps/content-changed"),
        (PushType::Controls, "missing_key /aps/content-changed"),
        (PushType::FileProvider, "missing_key /container-identifier"),
        (PushType::Mdm, "missing_key /mdm"),
    ] {
        assert_eq!(kinds(push_type, json!({"aps": {}})), [missing], "{push_type}");
    }
    assert_eq!(
        kinds(PushType::Widgets, json!({"aps": {"content-changed": 1}})),
        ["wrong_type /aps/content-changed"]
    );
}

#[test]
fn a_key_beside_aps_is_examined_only_where_the_system_reads_it() {
    let value = json!({"mdm": 1, "container-identifier": 2, "domain": 3});
    assert_eq!(kinds(PushType::Mdm, value.clone()), ["wrong_type /mdm"]);
    assert_eq!(
        kinds(PushType::FileProvider, value.clone()),
        ["wrong_type /container-identifier", "wrong_type /domain"]
    );
    assert_eq!(kinds(PushType::Voip, value), [""; 0]);
}

#[test]
fn keys_that_do_nothing_with_the_push_type_are_warned_of() {
    let value = json!({"aps": {
        "badge": 0, "content-changed": true, "ptt-push-type": "service-update", "stale-date": NOW,
        "alert": {"title": {"loc-key": "k"}, "body": "b", "loc-args": ["x"]},
    }});
    assert_eq!(
        of_alert(value.clone()),
        [
            "ignored_key /aps/content-changed",
            "ignored_key /aps/ptt-push-type",
            "ignored_key /aps/alert/loc-args",
            "ignored_key /aps/stale-date",
            "ignored_key /aps/alert/title",
        ]
    );
    let of = |push_type| kinds(push_type, value.clone());
    assert!(!of(PushType::Widgets).contains(&"ignored_key /aps/content-changed".to_owned()));
    assert!(!of(PushType::PushToTalk).contains(&"ignored_key /aps/ptt-push-type".to_owned()));
}

#[test]
fn dates_of_a_live_activity_are_seconds_in_their_order() {
    let update = |key: &str, date: Value| {
        let mut aps = json!({"event": "end", "timestamp": NOW, "content-state": {}});
        aps[key] = date;
        of_activity(aps)
    };
    for key in ["timestamp", "stale-date", "dismissal-date"] {
        assert_eq!(
            update(key, json!(NOW * 1000)),
            [format!("milliseconds /aps/{key}")]
        );
        assert_eq!(
            update(key, json!(NOW as f64 * 1000.0 + 0.5)),
            [format!("milliseconds /aps/{key}")]
        );
        assert_eq!(
            update(key, json!(NOW as f64 + 0.5)),
            [format!("wrong_value /aps/{key}")]
        );
        assert_eq!(update(key, json!(NOW)), [""; 0]);
    }
    assert_eq!(
        update("stale-date", json!(NOW - 1)),
        ["stale_before_timestamp /aps/stale-date"]
    );
    assert_eq!(update("dismissal-date", json!(0)), [""; 0]);
    assert_eq!(update("dismissal-date", json!(NOW + 4 * 3600)), [""; 0]);
    assert_eq!(
        update("dismissal-date", json!(NOW + 4 * 3600 + 1)),
        ["late_dismissal /aps/dismissal-date"]
    );
    // Seconds since 2001, as Swift writes a date.
    assert_eq!(
        update("timestamp", json!(817_113_600)),
        ["old_timestamp /aps/timestamp"]
    );
    assert_eq!(
        update("stale-date", json!("soon")),
        ["wrong_type /aps/stale-date"]
    );
}

#[test]
fn what_an_event_of_a_live_activity_does_not_read_is_warned_of() {
    assert_eq!(
        of_activity(json!({"event": "end", "timestamp": NOW})),
        ["end_without_state /aps/content-state"]
    );
    assert_eq!(
        of_activity(json!({
            "event": "update", "timestamp": NOW, "content-state": {}, "attributes": {}, "dismissal-date": NOW,
            "alert": "a", "sound": "default", "relevance-score": 100,
        })),
        [
            "ignored_key /aps/attributes",
            "ignored_key /aps/dismissal-date",
            "wrong_type /aps/alert",
            "misplaced_key /aps/sound",
        ]
    );
    assert_eq!(
        of_activity(json!({
            "event": "start", "timestamp": NOW, "content-state": {}, "attributes": {}, "attributes-type": "A",
            "alert": {"title": "t", "body": "b"}, "input-push-token": 1, "input-push-channel": "Y2g=",
        })),
        ["ignored_key /aps/input-push-channel"]
    );
}

#[test]
fn warnings_are_bounded() {
    let nulls: Vec<Value> = vec![Value::Null; 500];
    let warnings =
        payload(json!({"aps": {"alert": "a"}, "k": nulls})).warnings(PushType::Alert, &Pointer::Root);
    assert_eq!(
        (warnings.listed().len(), warnings.unlisted()),
        (MAX_KINDS, 500 - MAX_KINDS)
    );
}
