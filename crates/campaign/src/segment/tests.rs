use serde_json::json;

use super::*;
use crate::audience::{Command, Counter, Device};
use delivery::sql::fixture::Database;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

pub(super) fn segment(value: &Value) -> Segment {
    Segment::try_from(value.clone()).unwrap()
}

pub(super) fn faults(value: &Value) -> String {
    let mut faults = Faults::default();
    let root = Pointer::Root;
    let read = Segment::read(value, &root.key("segment"), &mut faults);
    assert_eq!(read.is_none(), !faults.is_empty());
    faults.to_string()
}

/// Creates a database with these devices, whose tokens are their indices.
pub(super) fn database(devices: &[Device]) -> Database {
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

pub(super) fn counted(database: &Database, value: &Value) -> u64 {
    let (segment, mut counter) = (segment(value), Counter::default());
    while let Some(command) = counter.next(Some(&segment)) {
        counter.take(&database.ask(&command, NOW).unwrap());
    }
    counter.devices
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
        (json!({"in": {"ref": ["user-1", 17]}}), 1),
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
            json!({"any": [{"eq": {"lokale": "de"}}, {"eq": {"ref": true}}]}),
            "/segment/any/0/eq/lokale: is not a known field; did you mean `locale`?; /segment/any/1/eq/ref: must be a \
             string, but is a boolean",
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

/// Returns nested conditions of this depth.
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

#[test]
fn a_word_of_other_services_leads_to_ours_and_a_bare_name_to_an_attribute() {
    for (value, fault) in [
        (
            json!({"and": []}),
            "/segment/and: is not a known field; did you mean `all`?",
        ),
        (
            json!({"or": []}),
            "/segment/or: is not a known field; did you mean `any`?",
        ),
        (
            json!({"eq": {"plan": "pro"}}),
            "/segment/eq/plan: is not a field of a device; an attribute is written `attributes.plan`",
        ),
        (
            json!({"in": {"attribute.plan": ["pro"]}}),
            "/segment/in/attribute.plan: is not a field of a device; an attribute is written `attributes.plan`",
        ),
        (
            json!({"exists": "tag"}),
            "/segment/exists: is not a known field; did you mean `tags`?",
        ),
        (
            json!({"eq": {"timezone": "UTC"}}),
            "/segment/eq/timezone: is not a known field; did you mean `time_zone`?",
        ),
    ] {
        assert!(faults(&value).contains(fault), "{}", faults(&value));
    }
}
