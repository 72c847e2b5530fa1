//! Finds payloads that do not match the purpose of their push type.

use serde_json::Value;

use super::alert::AlertText;
use super::{Alert, Payload, shape};
use crate::fault::{Pointer, WarningCode, Warnings};
use crate::push_type::PushType;

/// Adds a warning for each key that a device ignores or misses with this push type.
pub(super) fn examine(payload: &Payload, push_type: PushType, at: &Pointer<'_>, warnings: &mut Warnings) {
    let rules = push_type.rules();
    let at_aps = at.key("aps");
    // Without the keys of a Live Activity the payload is refused.
    if push_type != PushType::LiveActivity {
        for pointer in rules.required.iter().filter(|pointer| !payload.has(pointer)) {
            let text = format!("is missing: push type {push_type} does nothing without it");
            warnings.add(&below(pointer, &at_aps, at), WarningCode::MissingKey, text);
        }
    }
    for pointer in rules.forbidden.iter().filter(|pointer| payload.has(pointer)) {
        let text = format!("is not for push type {push_type}: APNs may delay or drop the push");
        warnings.add(
            &below(pointer, &at_aps, at),
            WarningCode::BackgroundWithAlert,
            text,
        );
    }
    if push_type == PushType::Alert {
        examine_alert(payload, &at_aps, warnings);
    }
    examine_keys(payload, push_type, &at_aps, warnings);
    for key in root_texts(push_type) {
        if let Some(value) = payload.get(key) {
            shape::Shape::Text.examine(value, &at.key(key), warnings);
        }
    }
}

/// Returns the position of a pointer of the table. The pointer leads to a key of `aps` or of the root.
fn below<'p>(pointer: &'p str, at_aps: &'p Pointer<'p>, at: &'p Pointer<'p>) -> Pointer<'p> {
    match pointer.strip_prefix("/aps/") {
        Some(key) => at_aps.key(key),
        None => at.key(pointer.trim_start_matches('/')),
    }
}

/// Warns about an alert push that shows and plays nothing.
fn examine_alert(payload: &Payload, at_aps: &Pointer<'_>, warnings: &mut Warnings) {
    let aps = payload.aps();
    let alert = aps.alert();
    let has_text = alert.is_some_and(has_text);
    if !has_text && !payload.has("/aps/badge") && !payload.has("/aps/sound") {
        let text = if aps.content_available() {
            "has only content-available, which is for push type background"
        } else {
            "has no alert with a text, no badge and no sound: the device shows nothing"
        };
        warnings.add(at_aps, WarningCode::NothingToShow, text);
    } else if !has_text && alert.is_some() {
        let text = "has no text: the device shows no alert";
        warnings.add(&at_aps.key("alert"), WarningCode::NothingToShow, text);
    }
}

/// Whether the alert contains text that a device shows.
fn has_text(alert: Alert<'_>) -> bool {
    let is_shown = |text: AlertText<'_>| text.plain().is_none_or(|text| !text.trim().is_empty());
    let Some(dictionary) = alert.dictionary() else {
        return alert.body().is_some_and(is_shown);
    };
    let texts = [
        dictionary.title(),
        dictionary.body(),
        dictionary.subtitle().map(AlertText::Plain),
    ];
    texts.into_iter().flatten().any(is_shown)
        || ["title-loc-key", "subtitle-loc-key", "loc-key"]
            .into_iter()
            .any(|key| dictionary.get(key).is_some_and(Value::is_string))
}

/// Warns about keys that have no effect beside the others.
fn examine_keys(payload: &Payload, push_type: PushType, at_aps: &Pointer<'_>, warnings: &mut Warnings) {
    let aps = payload.aps();
    if aps.mutable_content() && aps.alert().is_none() {
        let text = "does nothing without an alert, which the service extension may change";
        warnings.add(
            &at_aps.key("mutable-content"),
            WarningCode::MutableWithoutAlert,
            text,
        );
    }
    let mut ignored = |at: &Pointer<'_>, text: &str| warnings.add(at, WarningCode::IgnoredKey, text);
    if aps.content_changed() && !matches!(push_type, PushType::Controls | PushType::Widgets) {
        let at = at_aps.key("content-changed");
        ignored(&at, "is read only with push types controls and widgets");
    }
    if aps.ptt_push_type().is_some() && push_type != PushType::PushToTalk {
        ignored(
            &at_aps.key("ptt-push-type"),
            "is read only with push type pushtotalk",
        );
    }
    let at_alert = at_aps.key("alert");
    for (args, key) in ARGUMENTS {
        let has = |key: &str| aps.alert().and_then(Alert::dictionary)?.get(key);
        if has(args).is_some() && has(key).is_none() {
            ignored(&at_alert.key(args), &format!("is read only beside `{key}`"));
        }
    }
    let sound = payload.at("/aps/sound");
    let is_critical = |sound: &Value| sound.get("critical").is_some_and(shape::is_on);
    if sound.is_some_and(|sound| sound.is_object() && !is_critical(sound)) {
        let text = "should be a string: a dictionary is for critical alerts, with `critical` 1";
        shape::wrong_value(text, &at_aps.key("sound"), warnings);
    }
    if push_type != PushType::LiveActivity
        && aps
            .relevance_score()
            .is_some_and(|score| !shape::is_fraction(score))
    {
        let text = "should be from 0 to 1, except for a Live Activity";
        shape::wrong_value(text, &at_aps.key("relevance-score"), warnings);
    }
}

/// Returns the keys beside `aps` that the system reads with this push type. All are strings.
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

/// The alert's argument keys, each with the key of the text that they fill.
const ARGUMENTS: [(&str, &str); 3] = [
    ("title-loc-args", "title-loc-key"),
    ("subtitle-loc-args", "subtitle-loc-key"),
    ("loc-args", "loc-key"),
];
