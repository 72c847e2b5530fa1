//! Compares the builder with another sender's builder for the same calls.
//!
//! The vectors are the payload tests of sideshow/apns2 as data: a chain of Go calls and the resulting JSON.
//! They are expected beside the checkout; without them the test is skipped.

use serde_json::Value;

use super::{Event, InterruptionLevel, Payload, PayloadBuilder};
use crate::fault::{Faults, Pointer};
use crate::push_type::PushType;
use crate::time::Timestamp;

#[test]
fn the_builder_makes_what_another_senders_builder_makes() {
    let Ok(file) = std::fs::read_to_string(VECTORS) else {
        eprintln!("skipped: there are no vectors at {VECTORS}");
        return;
    };
    let file: Value = serde_json::from_str(&file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap();
        let built = replay(text("go_call")).build().unwrap();
        let expected: Value = serde_json::from_str(text("expected_json")).unwrap();
        assert_eq!(built.as_value(), &expected, "{}", text("name"));
        let sent: Value = serde_json::from_str(built.to_json()).unwrap();
        assert_eq!(sent, expected, "{}", text("name"));
    }
}

#[test]
fn what_another_sender_sends_is_sent_unless_a_live_activity_lacks_what_it_needs() {
    let Ok(file) = std::fs::read_to_string(VECTORS) else {
        eprintln!("skipped: there are no vectors at {VECTORS}");
        return;
    };
    let file: Value = serde_json::from_str(&file).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let value: Value = serde_json::from_str(vector["expected_json"].as_str().unwrap()).unwrap();
        let mut faults = Faults::default();
        let payload = Payload::parse(&value, &Pointer::Root, &mut faults).unwrap();
        let push_type = payload.suggested_push_type().unwrap();
        payload.check(push_type, &Pointer::Root, &mut faults);
        assert_eq!(
            !faults.is_empty(),
            push_type == PushType::LiveActivity,
            "{value}: {faults}"
        );
    }
}

#[test]
fn a_chain_of_go_calls_is_replayed_in_its_order() {
    let chain =
        r#"NewPayload().Alert("a (\"b\").c").Badge(2).Custom("k", map[string]interface{}{ "n": 1, })"#;
    assert_eq!(
        replay(chain).build().unwrap().to_json(),
        r#"{"aps":{"alert":"a (\"b\").c","badge":2},"k":{"n":1}}"#
    );
}

/// Makes the calls of the Go chain `go` on our builder.
fn replay(go: &str) -> PayloadBuilder {
    let mut rest = go.strip_prefix("NewPayload()").unwrap();
    let mut builder = Payload::builder();
    while let Some(call) = rest.strip_prefix('.') {
        let (method, after) = call.split_once('(').unwrap();
        let end = closing(after);
        builder = apply(builder, method, &arguments(&after[..end]));
        rest = &after[end + 1..];
    }
    assert_eq!(rest, "", "all of {go} is replayed");
    builder
}

fn apply(builder: PayloadBuilder, method: &str, arguments: &[Value]) -> PayloadBuilder {
    let value = || arguments[0].clone();
    let text = || arguments[0].as_str().unwrap();
    let number = || arguments[0].as_f64().unwrap();
    let moment = || Timestamp::from_secs(arguments[0].as_u64().unwrap());
    let strings = || {
        let strings = arguments[0].as_array().unwrap();
        strings.iter().map(|string| string.as_str().unwrap())
    };
    match method {
        "Alert" => builder.alert(text()),
        "AlertTitle" => builder.title(text()),
        "AlertTitleLocKey" => builder.localized_title(text(), NO_ARGS),
        "AlertTitleLocArgs" => builder.in_alert("title-loc-args", value()),
        "AlertSubtitle" => builder.subtitle(text()),
        "AlertSubtitleLocKey" => builder.localized_subtitle(text(), NO_ARGS),
        "AlertSubtitleLocArgs" => builder.in_alert("subtitle-loc-args", value()),
        "AlertBody" => builder.body(text()),
        "AlertLocKey" => builder.localized_body(text(), NO_ARGS),
        "AlertLocArgs" => builder.in_alert("loc-args", value()),
        "AlertLaunchImage" => builder.launch_image(text()),
        "AlertAction" => builder.in_alert("action", value()),
        "AlertActionLocKey" => builder.in_alert("action-loc-key", value()),
        "AlertSummaryArg" => builder.in_alert("summary-arg", value()),
        "AlertSummaryArgCount" => builder.in_alert("summary-arg-count", value()),
        "Badge" => builder.badge(arguments[0].as_u64().unwrap()),
        "ZeroBadge" => builder.badge(0),
        "UnsetBadge" => builder.without("badge"),
        "Sound" => match arguments[0].get("name") {
            Some(name) => {
                builder.critical_sound(name.as_str().unwrap(), arguments[0]["volume"].as_f64().unwrap())
            }
            None => builder.sound(text()),
        },
        "SoundName" => builder.critical_sound(text(), 1.0),
        "SoundVolume" => builder.critical_sound("default", number()),
        "ContentAvailable" => builder.content_available(),
        "MutableContent" => builder.mutable_content(),
        "Category" => builder.category(text()),
        "ThreadID" => builder.thread_id(text()),
        "URLArgs" => builder.url_args(strings()),
        "InterruptionLevel" => builder.interruption_level(InterruptionLevel::from_word(text()).unwrap()),
        "RelevanceScore" => builder.relevance_score(number()),
        "UnsetRelevanceScore" => builder.without("relevance-score"),
        "SetContentState" => builder.content_state(value()),
        "SetTimestamp" => builder.timestamp(moment()),
        "SetStaleDate" => builder.stale_date(moment()),
        "SetDismissalDate" => builder.dismissal_date(moment()),
        "SetEvent" => builder.event(Event::from_word(text()).unwrap()),
        "SetAttributesType" => builder.attributes_type(text()),
        "Mdm" => builder.mdm(text()),
        "Custom" => builder.custom(text(), &arguments[1]),
        unknown => panic!("the method {unknown} has no counterpart here"),
    }
}

/// Returns the position of the parenthesis that closes the one just before `text`.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (index, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return index,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    panic!("no parenthesis closes in {text}");
}

/// Converts Go's arguments to JSON.
fn arguments(go: &str) -> Vec<Value> {
    let mut json = go.replace("map[string]interface{}", "");
    if let Some(list) = json.strip_prefix("[]string{") {
        json = format!("[{}]", list.strip_suffix('}').unwrap());
    }
    json = json.replace(", }", "}");
    for (name, value) in GO_NAMES {
        if json == name {
            json = value.to_owned();
        }
    }
    serde_json::from_str(&format!("[{json}]")).unwrap()
}

/// The constants and variables of the Go tests.
const GO_NAMES: [(&str, &str); 8] = [
    ("timestamp", "1674821640"),
    ("attributesType", r#""AdventureAttributes""#),
    ("LiveActivityEventUpdate", r#""update""#),
    ("LiveActivityEventEnd", r#""end""#),
    ("InterruptionLevelPassive", r#""passive""#),
    ("InterruptionLevelActive", r#""active""#),
    ("InterruptionLevelTimeSensitive", r#""time-sensitive""#),
    ("InterruptionLevelCritical", r#""critical""#),
];

const NO_ARGS: [&str; 0] = [];

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/reference/payload_vectors.json"
);
