use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::fixture;

fn read_text(text: &str) -> Result<Option<Device>, Faults> {
    let config = fixture::config();
    read_line(text.as_bytes(), &config.apps[0])
}

fn faults(value: &Value) -> String {
    read_text(&value.to_string()).unwrap_err().to_string()
}

#[test]
fn a_device_is_read_with_all_that_it_may_say() {
    let text = r#"{"token":"ABCD","ref":"user-1","locale":"de_at","time_zone":"Europe/Vienna","tags":["vip"],
        "attributes":{"name":"Ada","score":1.50,"ok":true,"none":null},"registered_at":1795420800,"app":"shop","environment":"production"}"#;
    let device = read_text(text).unwrap().unwrap();
    let expected = r#"{"token":"abcd","ref":"user-1","locale":"de-AT","time_zone":"Europe/Vienna","tags":["vip"],"attributes":{"name":"Ada","score":1.50,"ok":true},"registered_at":1795420800000}"#;
    assert_eq!(serde_json::to_string(&device).unwrap(), expected);
    let bare = json!({"token": "abcd", "ref": null, "tags": null, "attributes": null, "registered_at": null});
    assert!(read_text(&bare.to_string()).unwrap().unwrap() == Device::new("abcd".to_owned()));
}

#[test]
fn the_last_line_of_an_export_is_no_device() {
    assert!(read_text(r#"{"cursor":null}"#).unwrap().is_none());
    assert!(read_text(r#"{"cursor":"3.7"}"#).unwrap().is_none());
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (own, expected) in [
        (
            json!({"token": "x"}),
            "/token: has a character at position 0 that is not a hex digit",
        ),
        (json!({"token": null}), "/token: is required"),
        (
            json!({"app": "news"}),
            "/app: is not the audience's, which is `shop`",
        ),
        (
            json!({"environment": "sandbox"}),
            "/environment: is not the app's, which is production; APNs would call the token bad",
        ),
        (json!({"ref": ""}), "/ref: is empty"),
        (json!({"ref": "a\0"}), "/ref: has a NUL character"),
        (json!({"ref": 7}), "/ref: must be a string, but is a number"),
        (
            json!({"locale": "de AT"}),
            "/locale: must be a language tag such as `de`, `de-AT` or `zh-Hant-TW`",
        ),
        (
            json!({"time_zone": "Europe Berlin"}),
            "/time_zone: must be the IANA name of a time zone, such as `Europe/Berlin`",
        ),
        (json!({"tags": "vip"}), "/tags: must be an array, but is a string"),
        (json!({"tags": ["a", ""]}), "/tags/1: is empty"),
        (
            json!({"attributes": {"a": [1]}}),
            "/attributes/a: must be a string, a number or a boolean, but is an array",
        ),
        (json!({"attributes": {"": 1}}), "/attributes/: has no name"),
        (
            json!({"registered_at": "today"}),
            "/registered_at: must be an RFC 3339 time such as `2026-11-23T08:00:00Z`, or epoch seconds",
        ),
        (
            json!({"lokale": "de"}),
            "/lokale: is not a known field; did you mean `locale`?",
        ),
    ] {
        let mut device = json!({"token": "abcd"});
        device
            .as_object_mut()
            .unwrap()
            .extend(own.as_object().unwrap().clone());
        let found = read_text(&device.to_string());
        let found = found.map_or_else(|faults| faults.to_string(), |_| String::new());
        assert_eq!(found, expected, "{device}");
    }
    assert_eq!(faults(&json!([])), ": must be an object, but is an array");
    assert!(
        read_text("{")
            .unwrap_err()
            .to_string()
            .starts_with(": is not JSON: ")
    );
    let number = r#"{"token":"abcd","attributes":{"a":1e999}}"#;
    assert_eq!(
        read_text(number).unwrap_err().to_string(),
        "/attributes/a: is beyond the range of a double"
    );
}

#[test]
fn the_limits_are_exact() {
    let accepts = |own: Value| {
        let mut device = json!({"token": "abcd"});
        device
            .as_object_mut()
            .unwrap()
            .extend(own.as_object().unwrap().clone());
        read_text(&device.to_string()).is_ok()
    };
    let text = |length: usize| "a".repeat(length);
    let many = |count: usize| -> Map<String, Value> {
        (0..count).map(|number| (number.to_string(), json!(1))).collect()
    };
    for (limit, of) in [
        (
            MAX_REF,
            &(|length| json!({"ref": text(length)})) as &dyn Fn(usize) -> Value,
        ),
        (MAX_TAG, &|length| json!({"tags": [text(length)]})),
        (MAX_TAGS, &|count| json!({"tags": vec!["a"; count]})),
        (MAX_ATTRIBUTES, &|count| json!({"attributes": many(count)})),
        (
            MAX_ATTRIBUTE_NAME,
            &|length| json!({"attributes": {text(length): 1}}),
        ),
        (
            MAX_ATTRIBUTE,
            &|length| json!({"attributes": {"a": text(length)}}),
        ),
    ] {
        assert_eq!(
            (accepts(of(limit)), accepts(of(limit + 1))),
            (true, false),
            "{limit}"
        );
    }
}

fn values() -> impl Strategy<Value = Value> {
    let scalars = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "abcd",
            "de",
            "de_AT",
            "shop",
            "Europe/Berlin",
            "\0",
            "production",
            "2026-01-01T00:00:00Z"
        ])
        .prop_map(Value::from),
    ];
    scalars.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a\0]{0,2}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn both_ways_read_alike(given in prop::collection::btree_map(prop::sample::select(FIELDS), values(), 0..5), has_token: bool) {
        let mut value = json!(given);
        if has_token {
            value["token"] = json!("abcd");
        }
        let config = fixture::config();
        let app = &config.apps[0];
        let text = value.to_string();
        let plain = serde_json::from_str::<Plain>(&text).ok().and_then(|plain| plain.device(app).ok());
        let mut faults = Faults::default();
        let careful = read(&value, app, &mut faults).filter(|_| faults.is_empty());
        prop_assert!(plain == careful, "{}: {}", text, faults);
    }
}
