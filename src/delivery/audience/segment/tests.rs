use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::delivery::audience::device::moment;
use crate::delivery::audience::{Command, Device, Reply, locale};
use crate::delivery::sql::fixture::Database;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

fn segment(value: &Value) -> Segment {
    Segment::try_from(value.clone()).unwrap()
}

fn faults(value: &Value) -> String {
    let mut faults = Faults::default();
    let root = Pointer::Root;
    let read = Segment::read(value, &root.key("segment"), &mut faults);
    assert_eq!(read.is_none(), !faults.is_empty());
    faults.to_string()
}

/// A database with these devices, whose tokens are their places.
fn database(devices: &[Device]) -> Database {
    let database = Database::of::<Command>();
    let devices = devices.iter().enumerate();
    let devices = devices.map(|(place, device)| Device {
        token: format!("{place:04}"),
        ..device.clone()
    });
    let upsert = Command::Upsert {
        devices: devices.collect(),
    };
    database.ask(&upsert, NOW).unwrap();
    database
}

fn counted(database: &Database, value: &Value) -> u64 {
    let count = Command::Count {
        segment: Some(segment(value)),
    };
    match database.ask(&count, NOW).unwrap() {
        Reply::Counted { devices, .. } => devices,
        other => panic!("{other:?}"),
    }
}

fn with(attributes: &Value) -> Device {
    Device {
        attributes: attributes.as_object().unwrap().clone(),
        ..Device::new(String::new())
    }
}

fn sample() -> Device {
    Device {
        reference: Some("user-1".to_owned()),
        locale: Some("de-AT".to_owned()),
        time_zone: Some("Europe/Vienna".to_owned()),
        tags: vec!["vip".to_owned(), "beta".to_owned()],
        registered_at: Some(NOW),
        ..with(&json!({"name": "Ada", "score": 7, "ok": true, "since": "2026-01-31"}))
    }
}

#[test]
fn each_condition_means_what_it_says() {
    let database = database(&[sample(), Device::new(String::new())]);
    for (value, expected) in [
        (json!({"eq": {"ref": "user-1"}}), 1),
        (json!({"eq": {"locale": "DE_at"}}), 1),
        (json!({"eq": {"locale": "de"}}), 0),
        (json!({"eq": {"language": "de"}}), 1),
        (json!({"in": {"language": ["en", "de"]}}), 1),
        (json!({"in": {"language": []}}), 0),
        (json!({"eq": {"time_zone": "Europe/Vienna"}}), 1),
        (json!({"exists": "time_zone"}), 1),
        (json!({"not": {"exists": "time_zone"}}), 1),
        (json!({"eq": {"tags": "beta"}}), 1),
        (json!({"in": {"tags": ["x", "vip"]}}), 1),
        (json!({"not": {"eq": {"tags": "vip"}}}), 1),
        (json!({"exists": "tags"}), 1),
        (json!({"exists": "registered_at"}), 2),
        (json!({"before": {"registered_at": NOW.to_string()}}), 0),
        (json!({"before": {"registered_at": NOW.as_secs() + 1}}), 2),
        (json!({"after": {"registered_at": NOW.as_secs() - 1}}), 2),
        (json!({"exists": "attributes.name"}), 1),
        (json!({"eq": {"attributes.score": 7.0}}), 1),
        (json!({"eq": {"attributes.score": "7"}}), 0),
        (json!({"eq": {"attributes.ok": true}}), 1),
        (json!({"eq": {"attributes.ok": 1}}), 0),
        (json!({"in": {"attributes.score": [true, "7", 7]}}), 1),
        (json!({"in": {"attributes.name": []}}), 0),
        (json!({"before": {"attributes.since": "2026-02"}}), 1),
        (json!({"after": {"attributes.since": "2026-02"}}), 0),
        (json!({"before": {"attributes.since": 2027}}), 0),
        (json!({"after": {"attributes.score": 6.5}}), 1),
        (json!({"all": []}), 2),
        (json!({"any": []}), 0),
        (json!({"not": {"any": []}}), 2),
        (json!({"all": [{"exists": "ref"}, {"eq": {"tags": "vip"}}]}), 1),
        (json!({"any": [{"exists": "ref"}, {"not": {"exists": "ref"}}]}), 2),
    ] {
        assert_eq!(counted(&database, &value), expected, "{value}");
    }
}

#[test]
fn what_is_absent_is_not_met_and_its_negation_is() {
    let database = database(&[Device::new(String::new())]);
    for condition in [
        json!({"eq": {"ref": "x"}}),
        json!({"in": {"locale": ["de", "en"]}}),
        json!({"eq": {"language": "de"}}),
        json!({"in": {"time_zone": ["UTC", "Asia/Tokyo"]}}),
        json!({"eq": {"tags": "x"}}),
        json!({"eq": {"attributes.x": 1}}),
        json!({"before": {"attributes.x": 1}}),
    ] {
        assert_eq!(counted(&database, &condition), 0, "{condition}");
        assert_eq!(counted(&database, &json!({"not": condition})), 1, "{condition}");
    }
}

#[test]
fn no_text_of_a_caller_leaves_its_place() {
    let hostile = [
        "'",
        "''",
        "\"",
        "\\",
        "\"]",
        "$",
        "$.a",
        "$[0]",
        "%",
        "_",
        "?1",
        "?999",
        ":x",
        "@x",
        "😀",
        "é",
        "\u{1}",
        "' OR 1=1 --",
        "\" OR \"\"=\"",
        "'); DROP TABLE devices; --",
        "a.b",
        "a\"b",
        "a]b",
        "[0]",
        "#",
        "[#-1]",
        "\\u0041",
        "\n",
        "null",
        "true",
        "0",
        "{}",
        "[]",
    ];
    let mut devices: Vec<Device> = Vec::new();
    for text in hostile {
        let attributes = [(text.to_owned(), json!(text))].into_iter().collect();
        devices.push(Device {
            reference: Some(text.to_owned()),
            tags: vec![text.to_owned()],
            attributes,
            ..Device::new(String::new())
        });
    }
    let database = database(&devices);
    for text in hostile {
        let name = format!("attributes.{text}");
        for value in [
            json!({"eq": {"ref": text}}),
            json!({"eq": {"tags": text}}),
            json!({"in": {"tags": [text, "no such"]}}),
            json!({"exists": name}),
            json!({"eq": {name.as_str(): text}}),
            json!({"in": {name.as_str(): [text, 1, true]}}),
        ] {
            assert_eq!(counted(&database, &value), 1, "{value}");
        }
        for value in [
            json!({"eq": {"locale": text}}),
            json!({"eq": {"time_zone": text}}),
            json!({"eq": {"attributes.x": text}}),
            json!({"after": {name.as_str(): text}}),
        ] {
            assert_eq!(counted(&database, &value), 0, "{value}");
        }
        let (condition, _) = segment(&json!({"eq": {name.as_str(): text}})).condition(1);
        let (plain, _) = segment(&json!({"eq": {"attributes.a": "a"}})).condition(1);
        assert_eq!(condition, plain);
    }
    let nul =
        json!({"any": [{"eq": {"ref": "a\0"}}, {"exists": "attributes.\0"}, {"eq": {"attributes.a": "\0"}}]});
    assert_eq!(faults(&nul).matches("has a NUL character").count(), 3);
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (value, expected) in [
        (json!([]), "/segment: must be an object, but is an array"),
        (
            json!({}),
            "/segment: must have exactly one of all, any, not, eq, in, exists, before, after",
        ),
        (
            json!({"eq": {"ref": "a"}, "not": {}}),
            "/segment: must have exactly one of all, any, not, eq, in, exists, before, after",
        ),
        (
            json!({"exist": "ref"}),
            "/segment/exist: is not a known field; did you mean `exists`?",
        ),
        (
            json!({"all": {}}),
            "/segment/all: must be an array, but is an object",
        ),
        (json!({"eq": {}}), "/segment/eq: must name exactly one field"),
        (
            json!({"any": [{"eq": {"lokale": "de"}}, {"eq": {"ref": 1}}]}),
            "/segment/any/0/eq/lokale: is not a known field; did you mean `locale`?; /segment/any/1/eq/ref: must be a \
             string, but is a number",
        ),
        (
            json!({"exists": "attributes."}),
            "/segment/exists: names no attribute",
        ),
        (
            json!({"eq": {"registered_at": 1}}),
            "/segment/eq/registered_at: is compared with `before` and `after` alone",
        ),
        (
            json!({"before": {"ref": "a"}}),
            "/segment/before/ref: has no order; only `registered_at` and attributes have one",
        ),
        (
            json!({"before": {"registered_at": "yesterday"}}),
            "/segment/before/registered_at: must be an RFC 3339 time such as `2026-11-23T08:00:00Z`, or epoch seconds",
        ),
        (
            json!({"after": {"attributes.a": true}}),
            "/segment/after/attributes.a: must be a number or a string, but is a boolean",
        ),
        (
            json!({"in": {"attributes.a": ["x", null]}}),
            "/segment/in/attributes.a/1: must be a string, a number or a boolean, but is null",
        ),
        (
            json!({"eq": {"tags": ""}}),
            "/segment/eq/tags: is empty, which no device has",
        ),
    ] {
        assert_eq!(faults(&value), expected, "{value}");
    }
}

/// Conditions in one another, so many deep.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({"exists": "ref"}), |inner, _| json!({"all": [inner]}))
}

#[test]
fn the_limits_are_exact() {
    assert_eq!(faults(&nested(MAX_DEPTH)), "");
    assert!(faults(&nested(MAX_DEPTH + 1)).ends_with("stands deeper than 8 conditions in one another"));
    assert!(faults(&nested(100)).ends_with("stands deeper than 8 conditions in one another"));
    let wide = |conditions: usize| json!({"any": vec![json!({"exists": "attributes.a"}); conditions - 1]});
    assert_eq!(faults(&wide(MAX_NODES)), "");
    assert_eq!(
        faults(&wide(MAX_NODES + 1)),
        "/segment: is 65 conditions long; the limit is 64"
    );
    let list = |values: usize| json!({"in": {"ref": vec!["a"; values]}});
    assert_eq!(faults(&list(MAX_VALUES)), "");
    assert_eq!(
        faults(&list(MAX_VALUES + 1)),
        "/segment/in/ref: is 1001 values long; the limit is 1000"
    );
    let long = |bytes: usize| json!({"eq": {"ref": "a".repeat(bytes)}});
    assert_eq!(faults(&long(MAX_VALUE)), "");
    assert_eq!(
        faults(&long(MAX_VALUE + 1)),
        "/segment/eq/ref: is 1025 bytes long; the limit is 1024"
    );
    assert!(faults(&json!({"in": {"ref": vec!["a".repeat(100); 900]}})).contains("the limit is 65536"));
}

#[test]
fn the_platform_takes_the_largest_segments() {
    let database = database(&[sample()]);
    let leaves = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|number| json!({"in": {format!("attributes.a{number}"): ["x", "y", 1, 2, true, false]}}))
            .collect()
    };
    assert_eq!(counted(&database, &json!({"any": leaves(MAX_NODES - 1)})), 0);
    let deep = (4..=MAX_DEPTH).fold(
        json!({"any": leaves(MAX_NODES - 8)}),
        |inner, _| json!({"not": inner}),
    );
    // Of five negations.
    assert_eq!(counted(&database, &json!({"all": [deep]})), 1);
    let words: Vec<String> = (0..MAX_VALUES).map(|number| format!("{number:036}")).collect();
    assert_eq!(counted(&database, &json!({"not": {"in": {"ref": words}}})), 1);
}

#[test]
fn a_segment_is_kept_as_it_was_written() {
    let text = r#"{"all":[{"in":{"attributes.n":[1.50,"x"]}},{"before":{"registered_at":"2026-01-01T00:00:00+01:00"}}]}"#;
    let segment: Segment = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&segment).unwrap(), text);
    assert!(serde_json::from_str::<Segment>(r#"{"eq":{"x":1}}"#).is_err());
}

/// What a segment means, without SQL.
fn is_met(node: &Node, device: &Device) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| is_met(node, device)),
        Node::Any(nodes) => nodes.iter().any(|node| is_met(node, device)),
        Node::Not(node) => !is_met(node, device),
        Node::In(field, scalars) => scalars.iter().any(|scalar| match (field, scalar) {
            (Field::Tags, Scalar::Text(text)) => device.tags.contains(text),
            (Field::Attribute(name), scalar) => {
                device
                    .attributes
                    .get(name)
                    .is_some_and(|value| match (scalar, value) {
                        (Scalar::Text(text), Value::String(value)) => text == value,
                        (Scalar::Number(number), Value::Number(value)) => number.as_f64() == value.as_f64(),
                        (Scalar::Boolean(boolean), Value::Bool(value)) => boolean == value,
                        _ => false,
                    })
            }
            (field, Scalar::Text(expected)) => text(field, device) == Some(expected.as_str()),
            _ => false,
        }),
        Node::Exists(Field::Tags) => !device.tags.is_empty(),
        Node::Exists(Field::RegisteredAt) => true,
        Node::Exists(Field::Attribute(name)) => device.attributes.contains_key(name),
        Node::Exists(field) => text(field, device).is_some(),
        Node::Beyond(field, side, bound) => {
            let order = match (field, bound) {
                (Field::RegisteredAt, Bound::Moment(moment)) => {
                    device.registered_at.unwrap_or(NOW).partial_cmp(moment)
                }
                (Field::Attribute(name), bound) => match (device.attributes.get(name), bound) {
                    (Some(Value::String(value)), Bound::Text(bound)) => value.partial_cmp(bound),
                    (Some(Value::Number(value)), Bound::Number(bound)) => {
                        value.as_f64().partial_cmp(&bound.as_f64())
                    }
                    _ => None,
                },
                _ => None,
            };
            order.is_some_and(|order| match side {
                Side::Before => order.is_lt(),
                Side::After => order.is_gt(),
            })
        }
    }
}

fn text<'d>(field: &Field, device: &'d Device) -> Option<&'d str> {
    match field {
        Field::Reference => device.reference.as_deref(),
        Field::Locale => device.locale.as_deref(),
        Field::Language => device.locale.as_deref().map(locale::language),
        Field::TimeZone => device.time_zone.as_deref(),
        _ => None,
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "'", "\"]", "$", "%", "😀", "ä"]).prop_map(str::to_owned),
        1 => "[^\0]{1,3}",
    ]
}

fn locales() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["de", "de-AT", "en", "zh-Hant-TW"]).prop_map(str::to_owned)
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        word().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        prop::sample::select(vec![0.5, -1.5, 1e300, 2.0]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

prop_compose! {
    fn devices()(
        reference in prop::option::of(word()), locale in prop::option::of(locales()),
        time_zone in prop::option::of(word()), tags in prop::collection::vec(word(), 0..3),
        attributes in prop::collection::btree_map(word(), scalars(), 0..3), secs in prop::option::of(0..4_u64),
    ) -> Device {
        Device {
            reference, locale, time_zone, tags,
            attributes: attributes.into_iter().collect::<Map<_, _>>(),
            registered_at: secs.map(Timestamp::from_secs),
            ..Device::new(String::new())
        }
    }
}

fn leaves() -> impl Strategy<Value = Value> {
    let texts = prop::sample::select(vec!["ref", "time_zone", "tags"]);
    let attribute = || word().prop_map(|name| format!("attributes.{name}"));
    let any_field = prop_oneof![
        prop::sample::select(vec![
            "ref",
            "locale",
            "language",
            "time_zone",
            "tags",
            "registered_at"
        ])
        .prop_map(str::to_owned),
        attribute(),
    ];
    let order = prop::sample::select(vec!["before", "after"]);
    let ordered = scalars().prop_filter("has an order", |value| !value.is_boolean());
    prop_oneof![
        (texts, word()).prop_map(|(field, value)| json!({"eq": {field: value}})),
        (
            prop::sample::select(vec!["locale", "language"]),
            prop::collection::vec(locales(), 0..3)
        )
            .prop_map(|(field, values)| json!({"in": {field: values}})),
        (attribute(), scalars()).prop_map(|(field, value)| json!({"eq": {field: value}})),
        (attribute(), prop::collection::vec(scalars(), 0..4))
            .prop_map(|(field, values)| json!({"in": {field: values}})),
        any_field.prop_map(|field| json!({"exists": field})),
        (order.clone(), attribute(), ordered)
            .prop_map(|(order, field, value)| json!({order: {field: value}})),
        (order, 0..4_u64).prop_map(|(order, secs)| json!({order: {"registered_at": secs}})),
    ]
}

fn segments() -> impl Strategy<Value = Value> {
    leaves().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|nodes| json!({"all": nodes})),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|nodes| json!({"any": nodes})),
            inner.prop_map(|node| json!({"not": node})),
        ]
    })
}

proptest! {
    #[test]
    fn the_database_finds_what_the_segment_means(
        devices in prop::collection::vec(devices(), 1..20), values in prop::collection::vec(segments(), 1..8)
    ) {
        let database = database(&devices);
        for value in values {
            let segment = segment(&value);
            let expected = devices.iter().filter(|device| is_met(&segment.root, device)).count();
            prop_assert_eq!(counted(&database, &value), expected as u64, "{}", value);
        }
    }

    #[test]
    fn reading_never_panics(text in r#"[\[\]{}":,a-z0-9. ]{0,60}"#) {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = faults(&value);
            let _ = moment(&value);
        }
    }
}
