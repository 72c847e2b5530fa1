//! Finds keys that are misspelled or in the wrong dictionary.

use serde_json::{Map, Value};

use super::shape::Members;
use super::{Payload, alert, aps, sound};
use crate::fault::{Pointer, WarningCode, Warnings, nearest};
use crate::push_type::PushType;

/// Adds a warning for each key of `payload` that devices do not read at its position.
pub(super) fn examine(payload: &Payload, push_type: PushType, at: &Pointer<'_>, warnings: &mut Warnings) {
    let Some(root) = payload.as_value().as_object() else {
        return;
    };
    examine_root(root, push_type, at, warnings);
    let at_aps = at.key("aps");
    let at_alert = at_aps.key("alert");
    let mut within = |pointer: &str, members: Members, at: &Pointer<'_>, other: &OtherKey<'_>| {
        for key in payload
            .at(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
        {
            if members.iter().any(|(known, _)| known == key) {
                continue;
            }
            if let Some((code, text)) = other(key).or_else(|| misspelled(key, members)) {
                warnings.add(&at.key(key), code, text);
            } else if pointer == "/aps" {
                let text = "is none of Apple's keys, and the system ignores it: an app's own keys belong beside `aps`";
                warnings.add(&at.key(key), WarningCode::CustomKeyInAps, text);
            }
        }
    };
    within("/aps", aps::MEMBERS, &at_aps, &|key| {
        misplaced(key, alert::MEMBERS, "aps.alert")
    });
    within("/aps/alert", alert::MEMBERS, &at_alert, &|key| {
        misplaced(key, aps::MEMBERS, "aps")
    });
    let sound_dictionaries = [("/aps/sound", at_aps), ("/aps/alert/sound", at_alert)];
    for (pointer, at) in sound_dictionaries {
        within(pointer, sound::MEMBERS, &at.key("sound"), &|_| None);
    }
    for (pointer, key) in [("/aps/alert/title", "title"), ("/aps/alert/body", "body")] {
        within(pointer, alert::LOCALIZED, &at_alert.key(key), &|_| None);
    }
}

/// Explains an unknown key that is not a misspelling.
type OtherKey<'k> = dyn Fn(&str) -> Option<(WarningCode, String)> + 'k;

fn examine_root(root: &Map<String, Value>, push_type: PushType, at: &Pointer<'_>, warnings: &mut Warnings) {
    let has_aps = root.contains_key("aps");
    for (key, value) in root {
        let at = at.key(key);
        if let Some(header) = key.strip_prefix("apns-") {
            let field = if header == "id" {
                "apns_id".to_owned()
            } else {
                header.replace('-', "_")
            };
            let text =
                format!("is a header and does nothing here; did you mean the notification's `{field}`?");
            warnings.add(&at, WarningCode::MisplacedKey, text);
        } else if reads_aps(push_type) && BELONG_IN_APS.contains(&key.as_str()) {
            let text = format!("does nothing here; did you mean `aps.{key}`?");
            warnings.add(&at, WarningCode::MisplacedKey, text);
        } else if !has_aps && key == "payload" && value.is_object() {
            let text = "is a payload inside of the payload: devices look for `aps` one level up";
            warnings.add(&at, WarningCode::WholeNotification, text);
        } else if !has_aps && MISSPELLED_APS.iter().any(|word| key.eq_ignore_ascii_case(word)) {
            warnings.add(
                &at,
                WarningCode::MisspelledKey,
                "does nothing here; did you mean `aps`?",
            );
        }
    }
}

/// Whether the system reads `aps` with this push type. With the others, the app reads the payload itself.
const fn reads_aps(push_type: PushType) -> bool {
    match push_type {
        PushType::Alert
        | PushType::Background
        | PushType::Controls
        | PushType::LiveActivity
        | PushType::Widgets => true,
        PushType::Complication
        | PushType::FileProvider
        | PushType::Location
        | PushType::Mdm
        | PushType::PushToTalk
        | PushType::Voip => false,
    }
}

fn misplaced(key: &str, members: Members, place: &str) -> Option<(WarningCode, String)> {
    let text = || format!("does nothing here; did you mean `{place}.{key}`?");
    members
        .iter()
        .any(|(known, _)| *known == key)
        .then(|| (WarningCode::MisplacedKey, text()))
}

fn misspelled(key: &str, members: Members) -> Option<(WarningCode, String)> {
    let known: Vec<&str> = members.iter().map(|(known, _)| *known).collect();
    let meant = nearest(key, &known)?;
    let text = format!("is none of Apple's keys; did you mean `{meant}`?");
    Some((WarningCode::MisspelledKey, text))
}

/// Keys of `aps` that an app is unlikely to use as its own. Beside `aps` they are most likely misplaced.
const BELONG_IN_APS: [&str; 18] = [
    "alert",
    "badge",
    "sound",
    "thread-id",
    "content-available",
    "mutable-content",
    "target-content-id",
    "interruption-level",
    "relevance-score",
    "filter-criteria",
    "content-state",
    "stale-date",
    "dismissal-date",
    "attributes-type",
    "input-push-token",
    "input-push-channel",
    "content-changed",
    "url-args",
];

/// Other spellings of `aps`, compared without case.
const MISSPELLED_APS: [&str; 2] = ["aps", "apns"];
