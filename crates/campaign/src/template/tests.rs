use proptest::prelude::*;
use serde_json::json;

use super::*;

fn compile(payload: &Value, variants: &Value, defaults: &Value) -> Result<Templates, Vec<String>> {
    let mut faults = Faults::default();
    let templates = Templates::compile(
        (payload, &Pointer::Root.key("payload")),
        (variants.as_object().unwrap(), &Pointer::Root.key("variants")),
        defaults.as_object().unwrap(),
        &mut faults,
    );
    let told = |faults: Faults| faults.listed().iter().map(ToString::to_string).collect();
    faults.or(templates).map_err(told)
}

fn patch(
    templates: &Templates,
    locale: Option<&str>,
    attributes: &Value,
) -> Result<Option<Value>, Unrendered> {
    templates.patch(&Recipient {
        token: "00",
        reference: Some("user-1"),
        locale,
        time_zone: Some("Europe/Vienna"),
        attributes: attributes.as_object().unwrap(),
    })
}

#[test]
fn a_payload_without_templates_is_the_same_for_all() {
    let payload = json!({"aps": {"alert": "Hi {name}", "badge": 1}, "colour": "{#fff}", "end": "}}"});
    let templates = compile(&payload, &json!({}), &json!({})).unwrap();
    assert!(templates.is_plain());
    assert_eq!(patch(&templates, Some("de"), &json!({"name": "Ann"})), Ok(None));
}

#[test]
fn the_patch_is_the_smallest_part_with_all_templates() {
    let payload = json!({
        "aps": {"alert": {"title": "{{ name }}", "body": "all", "loc-args": ["a", "{{ n }}", {"k": 1, "l": null}]}, "badge": 1},
        "id": 7, "of": "{{ ref }} {{ locale }} {{ language }} {{ time_zone }}",
    });
    let templates = compile(&payload, &json!({}), &json!({})).unwrap();
    assert!(!templates.is_plain());
    let names: Vec<&str> = templates.variables().collect();
    assert_eq!(names, ["language", "locale", "n", "name", "ref", "time_zone"]);
    assert_eq!(
        patch(
            &templates,
            Some("de-AT"),
            &json!({"name": "Ann", "n": 1.50, "ref": "no"})
        ),
        Ok(Some(json!({
            "aps": {"alert": {"title": "Ann", "loc-args": ["a", "1.5", {"k": 1, "l": null}]}},
            "of": "user-1 de-AT de Europe/Vienna",
        })))
    );
}

#[test]
fn numbers_keep_their_digits_and_booleans_are_words() {
    let templates = compile(&json!({"a": "{{ n }} {{ b }}"}), &json!({}), &json!({})).unwrap();
    let attributes = serde_json::from_str(r#"{"n": 12345678901234567890.10, "b": false}"#).unwrap();
    assert_eq!(
        patch(&templates, None, &attributes),
        Ok(Some(json!({"a": "12345678901234567890.10 false"})))
    );
}

#[test]
fn a_default_of_the_payload_comes_before_one_of_the_text() {
    let payload = json!({"a": r#"{{ name | default: "you" }} {{ town | default: "home" }}"#});
    let templates = compile(&payload, &json!({}), &json!({"name": "friend", "other": 1})).unwrap();
    let expected = |text: &str| Ok(Some(json!({"a": text})));
    assert_eq!(patch(&templates, None, &json!({})), expected("friend home"));
    assert_eq!(
        patch(&templates, None, &json!({"name": ""})),
        expected("friend home")
    );
}

#[test]
fn a_device_without_a_value_is_told_which() {
    let templates = compile(&json!({"a": "{{ ref }} {{ name }}"}), &json!({}), &json!({})).unwrap();
    let missing = Unrendered::Missing("name".to_owned());
    assert_eq!(
        patch(&templates, None, &json!({"name": null})),
        Err(missing.clone())
    );
    assert_eq!(missing.to_string(), "there is no `name`, and no default for it");
}

#[test]
fn the_variant_of_the_longest_prefix_is_laid_over_the_payload() {
    let payload = json!({"aps": {"alert": {"title": "{{ name }}", "body": "Hello"}, "sound": "a"}});
    let variants = json!({
        "de": {"aps": {"alert": {"body": "Hallo {{ town }}"}, "sound": null}},
        "de-AT": {"aps": {"alert": "Servus"}},
        "fr": {"aps": {"alert": {"title": "Salut"}}},
    });
    let templates = compile(&payload, &variants, &json!({})).unwrap();
    let of = |locale| {
        patch(&templates, locale, &json!({"name": "Ann", "town": "Graz"}))
            .unwrap()
            .unwrap()
    };
    let plain = json!({"aps": {"alert": {"title": "Ann"}}});
    assert_eq!((of(None), of(Some("it"))), (plain.clone(), plain));
    assert_eq!(
        of(Some("de-CH")),
        json!({"aps": {"alert": {"body": "Hallo Graz", "title": "Ann"}, "sound": null}})
    );
    assert_eq!(of(Some("de-at")), json!({"aps": {"alert": "Servus"}}));
    assert_eq!(of(Some("fr")), json!({"aps": {"alert": {"title": "Salut"}}}));
    for locale in [None, Some("de"), Some("de-AT"), Some("fr")] {
        let sent = Payload::merge(&payload, &of(locale)).to_string();
        assert!(!sent.contains("{{"), "{sent}");
    }
}

#[test]
fn a_fault_points_at_its_string_and_is_found_once() {
    let payload = json!({"aps": {"alert": {"loc-args": ["", "{{ a.b }}"]}}, "x": "{% if a %}"});
    let variants = json!({"de": {"y/z": "{{"}, "fr": {}});
    assert_eq!(
        compile(&payload, &variants, &json!({})).map(|_| ()).unwrap_err(),
        [
            "/payload/aps/alert/loc-args/1: cannot be read as a template: a variable is one name, without dots; an attribute is written `{{ first_name }}`",
            "/payload/x: has `{%`: a text has no blocks and no comments, only values, as in `{{ first_name }}`",
            "/variants/de/y~1z: cannot be read as a template: invalid syntax: expected token, found EOF",
        ]
    );
}

#[test]
fn a_template_that_is_written_in_another_dialect_is_told_what_to_write() {
    for (text, hint) in [
        ("{{ name | default: 'you' }}", "straight double quotes"),
        (
            "{{ name | default: \u{201c}you\u{201d} }}",
            "straight double quotes",
        ),
        ("{{ name | default(\"you\") }}", "a default follows a colon"),
        (
            "{{ attributes.name }}",
            "an attribute is written `{{ first_name }}`",
        ),
        ("{{ name | upper }}", "the only filter is `default`"),
        ("{{\u{a0}name }}", "no-break space"),
    ] {
        let faults = compile(&json!({"x": text}), &json!({}), &json!({}));
        let fault = faults.map(|_| ()).unwrap_err().concat();
        assert!(
            fault.contains(hint) && !fault.contains("render error"),
            "{text}: {fault}"
        );
    }
}

#[test]
fn each_variant_has_a_sample() {
    let payload = json!({"a": "{{ name }} {{ town }}"});
    let templates = compile(&payload, &json!({"de": {"a": "fest"}}), &json!({"town": "Graz"})).unwrap();
    let samples: Vec<_> = templates.samples().collect();
    assert_eq!(
        samples,
        [
            (None, Ok(Some(json!({"a": "x Graz"})))),
            (Some("de"), Ok(Some(json!({"a": "fest"}))))
        ]
    );
}

#[test]
fn what_is_filled_in_has_a_bound_over_all_texts() {
    let text = "{{ a }}".repeat(20);
    let templates = compile(&json!({"a": text, "b": [text]}), &json!({}), &json!({})).unwrap();
    let of = |length: usize| patch(&templates, None, &json!({"a": "a".repeat(length)}));
    assert!(of(MAX_RENDERED / 40).is_ok());
    assert_eq!(of(MAX_RENDERED / 40 + 1), Err(Unrendered::TooLong));
}

/// Values that could escape their string, or be read as a template.
const ATTACKS: [&str; 14] = [
    "\"",
    "\\",
    "\\\"",
    "\"},\"aps\":{\"badge\":99},\"x\":{\"y\":\"",
    "{{ ref }}",
    "{{ name }}",
    "{% include \"x\" %}",
    "{# x #}",
    "}}",
    "\n\r\t\u{2028}\u{2029}",
    "\u{0}\u{1}\u{7f}",
    "👨‍👩‍👧‍👦🇦🇹",
    "\u{202e}\u{200f}مرحبا\u{2066}",
    "| default: \"x\"",
];

/// Asserts that a device's name only changes its own string.
fn holds(name: &str) {
    let payload =
        json!({"aps": {"alert": {"title": "<{{ name }}>", "body": "b"}, "badge": 1}, "k": ["{{name}}", 2]});
    let templates = compile(&payload, &json!({}), &json!({})).unwrap();
    let patch = patch(&templates, None, &json!({"name": name})).unwrap().unwrap();
    // As a line of a chunk is written and read.
    let patch: Value = serde_json::from_str(&serde_json::to_string(&patch).unwrap()).unwrap();
    let sent = Payload::merge(&payload, &patch).to_string();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let title = format!("<{name}>");
    assert_eq!(
        sent,
        json!({"aps": {"alert": {"title": title, "body": "b"}, "badge": 1}, "k": [name, 2]})
    );
}

#[test]
fn no_value_leaves_its_string_and_none_is_read_as_a_template() {
    ATTACKS.iter().for_each(|attack| holds(attack));
    holds(&ATTACKS.concat());
}

proptest! {
    #[test]
    fn a_value_stands_in_its_string_as_it_is(
        name in prop_oneof![any::<String>(), "[\\\\\"{}%# a]{0,20}", prop::sample::select(&ATTACKS[..]).prop_map(str::to_owned)]
    ) {
        holds(&name);
    }

    #[test]
    fn a_variant_makes_what_the_merged_payload_would(
        base in tree(), patch in prop::collection::btree_map("[ab]", tree(), 0..3), name in "[a-z\"{]{0,5}"
    ) {
        let (base, patch) = (json!({"a": base, "b": "{{ name }}"}), json!(patch));
        let variants = json!({"de": patch});
        let templates = compile(&base, &variants, &json!({})).unwrap();
        let attributes = json!({"name": name});
        let own = super::tests::patch(&templates, Some("de"), &attributes).unwrap().unwrap();
        let merged = Payload::merge(&base, &patch);
        prop_assert_eq!(Payload::merge(&base, &own), filled(&merged, &name));
    }
}

/// Generates a JSON value with templates in some strings.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!("s")),
        Just(json!("<{{ name }}>")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

/// Returns the tree with the name in all its templates, computed in another way.
fn filled(value: &Value, name: &str) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace("{{ name }}", name)),
        Value::Array(items) => items.iter().map(|item| filled(item, name)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), filled(value, name)))
            .collect(),
        _ => value.clone(),
    }
}

#[test]
fn a_default_stands_for_an_attribute_that_is_blank() {
    let payload = json!({"aps": {"alert": "Hi {{ name }}"}});
    let templates = compile(&payload, &json!({}), &json!({"name": "you"})).unwrap();
    for attributes in [
        json!({}),
        json!({"name": ""}),
        json!({"name": " "}),
        json!({"name": "\u{a0}"}),
    ] {
        let expected = json!({"aps": {"alert": "Hi you"}});
        assert_eq!(
            patch(&templates, None, &attributes),
            Ok(Some(expected)),
            "{attributes}"
        );
    }
    // Without one it is what the caller said.
    let templates = compile(&payload, &json!({}), &json!({})).unwrap();
    assert_eq!(
        patch(&templates, None, &json!({"name": ""})),
        Ok(Some(json!({"aps": {"alert": "Hi "}})))
    );
}

#[test]
fn a_key_that_wants_a_number_gets_one_from_one_expression() {
    let payload = json!({
        "aps": {"badge": "{{ unread }}", "relevance-score": " {{ score | default: 0.5 }}", "sound": {"name": "a", "volume": "{{ score | default: 1 }}"}},
        "count": "{{ unread }}", "text": "{{ unread }} new",
    });
    let variants = json!({"de": {"aps": {"badge": "{{ ungelesen | default: unread }}"}}});
    let templates = compile(&payload, &variants, &json!({})).unwrap();
    let filled =
        |locale, attributes: &Value| patch(&templates, locale, attributes).map(|patch| patch.unwrap());
    assert_eq!(
        filled(None, &json!({"unread": 7})).unwrap(),
        json!({"aps":{"badge":7,"relevance-score":0.5,"sound":{"volume":1}},"count":"7","text":"7 new"})
    );
    assert_eq!(
        filled(Some("de"), &json!({"unread": "12", "score": "0.25"})).unwrap(),
        json!({"aps":{"badge":12,"relevance-score":0.25,"sound":{"volume":0.25}},"count":"12","text":"12 new"})
    );
    for bad in [
        json!("many"),
        json!(""),
        json!("0x1"),
        json!("1 2"),
        json!(true),
        json!("01"),
        json!("NaN"),
    ] {
        let error = filled(None, &json!({"unread": bad})).unwrap_err();
        assert_eq!(error, Unrendered::NoNumber("/aps/badge".to_owned()), "{bad}");
    }
    // Where there is no device, a number stands for it.
    let samples: Vec<Value> = templates
        .samples()
        .map(|(_, sample)| sample.unwrap().unwrap())
        .collect();
    assert!(samples.iter().all(|sample| sample["aps"]["badge"] == 1));
}
