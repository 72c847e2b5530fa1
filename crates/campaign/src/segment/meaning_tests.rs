//! Compares the SQL of segments with an evaluation without SQL.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::tests::{NOW, counted, database, faults, segment};
use super::*;
use crate::audience::device::moment;
use crate::audience::{Device, locale};

/// Evaluates a segment without SQL.
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
