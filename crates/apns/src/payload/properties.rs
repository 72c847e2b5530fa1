//! Properties that hold for every payload.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};
use unicode_segmentation::UnicodeSegmentation;

use super::{Payload, alert, aps, sound};
use crate::fault::{Faults, Pointer};
use crate::push_type::PushType;

proptest! {
    #[test]
    fn reading_and_checking_never_panic_on_any_json(value in prop_oneof![json(), apple_like()], limit in 0usize..200) {
        let mut faults = Faults::default();
        let payload = Payload::parse(&value, &Pointer::Root, &mut faults);
        prop_assert_eq!(payload.is_some(), faults.is_empty());
        if let Some(payload) = payload {
            for push_type in PushType::ALL {
                payload.check(push_type, &Pointer::Root, &mut faults);
                let _any_or_none = payload.warnings(push_type, &Pointer::Root);
            }
            payload.check_broadcast(&Pointer::Root, &mut faults);
            let _any_or_none = payload.suggested_push_type();
            let _fitted_or_too_large = payload.fit(limit);
        }
    }

    #[test]
    fn what_is_read_goes_out_as_it_came(custom in members(), aps in members(), alert in members()) {
        let unknown = |members: Map<String, Value>| -> Map<String, Value> {
            members.into_iter().map(|(key, value)| (format!("x-{key}"), value)).collect()
        };
        let mut aps = unknown(aps);
        aps.insert("alert".to_owned(), Value::Object(unknown(alert)));
        let mut root = unknown(custom);
        root.insert("aps".to_owned(), Value::Object(aps));
        let text = Value::Object(root).to_string();

        let read: Value = serde_json::from_str(&text).unwrap();
        let payload = Payload::parse(&read, &Pointer::Root, &mut Faults::default()).unwrap();
        prop_assert_eq!(payload.to_json(), text);
    }

    #[test]
    fn what_fits_is_the_longest_start_that_does(body in body(), title in ".{0,5}", limit in 30usize..200, plain: bool) {
        let alert = if plain { json!(body) } else { json!({"title": title, "body": body}) };
        let value = json!({"k": 1, "aps": {"alert": alert, "badge": 2}});
        let whole = Payload::parse(&value, &Pointer::Root, &mut Faults::default()).unwrap();
        let before = whole.size();
        match whole.clone().fit(limit) {
            Ok(fitted) if before <= limit => prop_assert_eq!(fitted, whole),
            Ok(fitted) => {
                prop_assert!(fitted.size() <= limit);
                let shown = text_of(&fitted);
                let kept = shown.strip_suffix('…').unwrap();
                let graphemes: Vec<&str> = body.graphemes(true).collect();
                let count = kept.graphemes(true).count();
                prop_assert_eq!(graphemes[..count].concat(), kept);
                let next = serde_json::to_string(graphemes[count]).unwrap().len() - 2;
                prop_assert!(fitted.size() + next > limit);
                prop_assert_eq!(fitted.clone().fit(limit).unwrap(), fitted);
            }
            Err(too_large) => {
                let escaped = serde_json::to_string(&body).unwrap().len() - 2;
                prop_assert_eq!((too_large.size, too_large.limit), (before, limit));
                prop_assert!(before - escaped + '…'.len_utf8() > limit);
            }
        }
    }
}

fn text_of(payload: &Payload) -> String {
    let body = payload.aps().alert().unwrap().body().unwrap();
    body.plain().unwrap().to_owned()
}

/// Texts in which bytes, characters and graphemes differ.
fn body() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{1,4}",
        1 => prop::char::any().prop_map(String::from),
        1 => prop::sample::select(vec![
            "\"", "\\", "\n", "\r\n", "\u{8}", "\u{c}", "\u{1}", "\u{7f}", "e\u{301}", "\u{200d}", "👨‍👩‍👧‍👦", "🇩🇪", "🇫🇷",
            "👍🏽", "क्षि", "한", "\u{1100}\u{1161}", "…", "\u{2028}",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

/// Any JSON.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?(e[+-]?[0-9]{1,4})?"
            .prop_map(|digits| Value::Number(digits.parse::<Number>().unwrap())),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn members() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((any::<String>(), json()), 0..5).prop_map(|members| members.into_iter().collect())
}

/// JSON with Apple's keys in Apple's places, sometimes with a valid value.
fn apple_like() -> impl Strategy<Value = Value> {
    let value = || {
        prop_oneof![
            json(),
            Just(json!(1)),
            Just(json!("update")),
            Just(json!({"loc-key": "k", "loc-args": ["a"]})),
        ]
    };
    let dictionary = move |keys: Vec<&'static str>| {
        prop::collection::vec((prop::sample::select(keys), value()), 0..6).prop_map(|members| {
            let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
            members.collect::<Map<String, Value>>()
        })
    };
    let keys = |members: super::shape::Members| members.iter().map(|(key, _)| *key).collect::<Vec<_>>();
    let parts = (
        dictionary(keys(aps::MEMBERS)),
        prop::option::of(dictionary(keys(alert::MEMBERS))),
        prop::option::of(dictionary(keys(sound::MEMBERS))),
        dictionary(vec!["mdm", "container-identifier", "domain", "badge"]),
    );
    parts.prop_map(|(mut aps, alert, sound, mut root)| {
        aps.extend(alert.map(|alert| ("alert".to_owned(), Value::Object(alert))));
        aps.extend(sound.map(|sound| ("sound".to_owned(), Value::Object(sound))));
        root.insert("aps".to_owned(), Value::Object(aps));
        Value::Object(root)
    })
}
