//! Reads one device of an import: a line of JSON, or a row of a table.
//!
//! There are two readers of a line. The fast reader builds no tree of the whole line, accepts only devices
//! without faults, and gives up on the first thing that it does not know. The full reader accepts any JSON
//! and reports every fault. Whatever both accept, they read alike. Null is an absent field, because exports
//! of databases have many nulls.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::fields::{
    self, MAX_ATTRIBUTES, MAX_TAGS, are_few, is_app, is_attribute, is_environment, note, reference,
    registered_at, tag, tag_of_locale, time_zone, token,
};
use crate::config::App;
use crate::ndjson;
use crate::send_request::DEVICE;
use apns::fault::{self, FaultKind, Faults, Pointer, Unique, nearest};
use campaign::audience::Device;

/// Reads the device of a line. Returns `None` if the line is the last one of an export.
pub(super) fn read_line(
    text: &[u8],
    app: &App,
    warnings: &mut Vec<String>,
) -> Result<Option<Device>, Faults> {
    if let Ok(fast) = serde_json::from_slice::<FastDevice>(text)
        && let Ok(device) = fast.device(app, warnings)
    {
        return Ok(Some(device));
    }
    warnings.clear();
    let value = ndjson::value(text, &Pointer::Root)?;
    if is_cursor(text) {
        return Ok(None);
    }
    let mut faults = Faults::default();
    let device = read(&value, app, &mut faults, warnings);
    faults.or(device)
}

/// Whether a line is the last one of an export. Its cursor is null at the end of the audience.
fn is_cursor(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Last {
        #[serde(rename = "cursor")]
        _cursor: Value,
    }
    serde_json::from_slice::<Last>(text).is_ok()
}

/// A device as it is written, before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FastDevice {
    token: String,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    attributes: Option<Attributes>,
    #[serde(default)]
    registered_at: Option<Value>,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    environment: Option<String>,
}

impl FastDevice {
    fn device(self, app: &App, warnings: &mut Vec<String>) -> Result<Device, FaultKind> {
        let mut device = Device::new(token(&self.token)?);
        let is_stated = |text: &String| !text.trim().is_empty();
        if let Some(name) = self.app.filter(is_stated) {
            is_app(&name, app)?;
        }
        if let Some(name) = self.environment.filter(is_stated) {
            is_environment(&name, app)?;
        }
        if let Some(text) = self.reference.filter(is_stated) {
            device.reference = Some(reference(text)?);
        }
        if let Some(text) = &self.locale {
            device.locale = tag_of_locale(text, warnings);
        }
        if let Some(text) = &self.time_zone {
            device.time_zone = time_zone(text, warnings);
        }
        if let Some(tags) = self.tags {
            are_few(tags.len(), MAX_TAGS, "tags")?;
            device.tags = tags.into_iter().map(tag).collect::<Result<_, _>>()?;
        }
        if let Some(Attributes(attributes)) = self.attributes {
            are_few(attributes.len(), MAX_ATTRIBUTES, "attributes")?;
            for (name, value) in &attributes {
                is_attribute(name, value)?;
            }
            device.attributes = attributes;
        }
        if let Some(value) = &self.registered_at
            && value.as_str().is_none_or(|text| !text.trim().is_empty())
        {
            device.registered_at = registered_at(value, warnings);
        }
        Ok(device)
    }
}

/// Attributes by name, without duplicates and nulls.
struct Attributes(Map<String, Value>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unique::<false>::deserialize(deserializer)?.0 {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(D::Error::custom("no object")),
        }
    }
}

/// The full reader.
fn read(value: &Value, app: &App, faults: &mut Faults, warnings: &mut Vec<String>) -> Option<Device> {
    let root = Pointer::Root;
    if let Value::String(text) = value {
        return note(token(text), &root, faults).map(Device::new);
    }
    if !value.is_object() {
        fault::wrong_type(DEVICE, value, &root, faults);
        return None;
    }
    let map = fault::open_object(value, &root, faults)?;
    for name in map.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        let kind = match nearest(name, FIELDS) {
            None => FaultKind::Invalid(OWN_FIELD.to_owned()),
            nearest => FaultKind::UnknownField { nearest },
        };
        faults.add(&root.key(name), kind);
    }
    let is_blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
    // An empty field is absent, as in a table.
    let given = |name: &str| {
        let value = map.get(name).filter(|value| !value.is_null());
        value.filter(|value| name == "token" || !is_blank(value))
    };
    let mut device = Device::new(String::new());
    match given("token") {
        None => faults.add(&root.key("token"), FaultKind::Missing),
        Some(value) => {
            device.token = text(value, &root.key("token"), faults, |text| token(&text)).unwrap_or_default();
        }
    }
    device.reference = given("ref").and_then(|value| identifier(value, &root.key("ref"), faults, reference));
    let locale = readable("locale", given("locale"), warnings);
    device.locale = locale.and_then(|text| tag_of_locale(text, warnings));
    let zone = readable("time_zone", given("time_zone"), warnings);
    device.time_zone = zone.and_then(|text| time_zone(text, warnings));
    for (name, is_ours) in [
        ("app", is_app as fn(&str, &App) -> _),
        ("environment", is_environment),
    ] {
        if let Some(value) = given(name) {
            let at = root.key(name);
            let stated = fault::string(value, &at, faults);
            note(stated.map_or(Ok(()), |stated| is_ours(stated, app)), &at, faults);
        }
    }
    if let Some(value) = given("tags") {
        let at = root.key("tags");
        // A single text has its tags as a cell of a table has them.
        let split = value
            .as_str()
            .map(|text| fields::tags_of(text).map(Value::from).collect::<Vec<_>>());
        let values = match &split {
            Some(values) => values,
            None => fault::texts(value, &at, faults).unwrap_or_default(),
        };
        if note(are_few(values.len(), MAX_TAGS, "tags"), &at, faults).is_some() {
            let read = values.iter().enumerate();
            let is_given = |value: &Value| !value.is_null() && !is_blank(value);
            device.tags = read
                .filter(|(_, value)| is_given(value))
                .filter_map(|(place, value)| identifier(value, &at.index(place), faults, tag))
                .collect();
        }
    }
    if let Some(value) = given("attributes") {
        device.attributes = attributes(value, &root.key("attributes"), faults, warnings);
    }
    if let Some(value) = given("registered_at") {
        device.registered_at = registered_at(value, warnings);
    }
    Some(device)
}

/// The attributes. One with a value that no attribute can have is left out.
fn attributes(
    value: &Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Map<String, Value> {
    let Some(map) = fault::open_object(value, at, faults) else {
        return Map::new();
    };
    let mut given = Map::new();
    for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        match fields::is_value(value) {
            Ok(()) => drop(given.insert(name.clone(), value.clone())),
            Err(kind) => warnings.push(format!("{} is left out: it {kind}", at.key(name))),
        }
    }
    if note(are_few(given.len(), MAX_ATTRIBUTES, "attributes"), at, faults).is_some() {
        for (name, value) in &given {
            note(is_attribute(name, value), &at.key(name), faults);
        }
    }
    given
}

/// Returns the text of an optional field. A value that is not text is left out, with a warning.
fn readable<'v>(name: &str, value: Option<&'v Value>, warnings: &mut Vec<String>) -> Option<&'v str> {
    let text = value?.as_str();
    if text.is_none() {
        let found = value.map_or("", fault::type_name);
        warnings.push(format!(
            "/{name} is left out: it must be a string, but is {found}"
        ));
    }
    text
}

/// Reads and validates a text.
fn text<T>(
    value: &Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
    read: impl Fn(String) -> Result<T, FaultKind>,
) -> Option<T> {
    let text = fault::string(value, at, faults)?.to_owned();
    note(read(text), at, faults)
}

/// Reads a text that passes, or a number as its digits.
fn identifier<T>(
    value: &Value,
    at: &Pointer<'_>,
    faults: &mut Faults,
    read: impl Fn(String) -> Result<T, FaultKind>,
) -> Option<T> {
    let text = fault::identifier(value, at, faults)?.into_owned();
    note(read(text), at, faults)
}

/// The fault of an unknown field that resembles no known one.
const OWN_FIELD: &str = "is not a known field; what is the app's own belongs in `attributes`";

/// The fields of a device.
pub(super) const FIELDS: &[&str] = &[
    "token",
    "ref",
    "locale",
    "time_zone",
    "tags",
    "attributes",
    "registered_at",
    "app",
    "environment",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::audience::fields::{MAX_ATTRIBUTE, MAX_ATTRIBUTE_NAME, MAX_TAG};
    use crate::fixture;
    use crate::send_request::MAX_REF;

    fn read_text(text: &str) -> Result<Option<Device>, Faults> {
        let config = fixture::config();
        read_line(text.as_bytes(), &config.apps[0], &mut Vec::new())
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
        let bare =
            json!({"token": "abcd", "ref": null, "tags": null, "attributes": null, "registered_at": null});
        assert!(read_text(&bare.to_string()).unwrap().unwrap() == Device::new("abcd".to_owned()));
    }

    #[test]
    fn a_device_with_a_strange_locale_or_zone_stays_with_what_can_be_read() {
        let config = fixture::config();
        for (own, locale, zone, warned) in [
            (
                json!({"locale": "en_US@calendar=japanese"}),
                Some("en-US"),
                None,
                "/locale is read as `en-US`",
            ),
            (
                json!({"locale": "ar_AE@numbers=latn"}),
                Some("ar-AE"),
                None,
                "/locale is read as `ar-AE`",
            ),
            (json!({"locale": "?"}), None, None, "/locale is left out"),
            (json!({"locale": "", "time_zone": ""}), None, None, ""),
            (
                json!({"time_zone": "europe/berlin"}),
                None,
                Some("Europe/Berlin"),
                "",
            ),
            (
                json!({"time_zone": "Mars/Base"}),
                None,
                Some("-"),
                "/time_zone is left out",
            ),
            (
                json!({"registered_at": "2026-11-23 08:00:00"}),
                None,
                None,
                "/registered_at is left out: it must be an RFC 3339 time",
            ),
            (
                json!({"locale": ["de"]}),
                None,
                None,
                "/locale is left out: it must be a string, but is an array",
            ),
            (
                json!({"time_zone": 120}),
                None,
                None,
                "/time_zone is left out: it must be a string, but is a number",
            ),
            (
                json!({"registered_at": true}),
                None,
                None,
                "/registered_at is left out",
            ),
        ] {
            let mut device = json!({"token": "abcd"});
            device
                .as_object_mut()
                .unwrap()
                .extend(own.as_object().unwrap().clone());
            let mut warnings = Vec::new();
            let text = device.to_string();
            let read = read_line(text.as_bytes(), &config.apps[0], &mut warnings)
                .unwrap()
                .unwrap();
            assert_eq!(read.locale.as_deref(), locale, "{device}");
            assert_eq!(
                read.time_zone.as_deref(),
                zone.filter(|zone| *zone != "-"),
                "{device}"
            );
            assert!(
                warnings.concat().starts_with(warned) && warnings.is_empty() == warned.is_empty(),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn a_blank_field_is_a_field_that_is_not_there_and_costs_no_device() {
        for blank in ["", " "] {
            let own = json!({
                "token": "abcd", "ref": blank, "locale": blank, "time_zone": blank, "registered_at": blank, "app": blank,
                "environment": blank,
            });
            // The second has what the fast path does not know.
            for text in [own.to_string(), own.to_string().replace('}', ",\"tags\":\"\"}")] {
                let read = read_text(&text).unwrap().unwrap();
                assert!(read == Device::new("abcd".to_owned()), "{text}");
            }
            assert_ne!(faults(&json!({"token": blank})), "");
        }
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
            (json!({"ref": "a\0"}), "/ref: has a NUL character"),
            (json!({"ref": true}), "/ref: must be a string, but is a boolean"),
            (json!({"tags": true}), "/tags: must be an array, but is a boolean"),
            (
                json!({"tags": ["a", []]}),
                "/tags/1: must be a string, but is an array",
            ),
            (json!({"attributes": {"": 1}}), "/attributes/: has no name"),
            (
                json!({"first_name": "Ann"}),
                "/first_name: is not a known field; what is the app's own belongs in `attributes`",
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
        assert_eq!(
            faults(&json!([])),
            "the body must be an object with a `token`, or a token in quotes, but is an array"
        );
        assert!(
            read_text("{")
                .unwrap_err()
                .to_string()
                .starts_with("the body is not JSON: ")
        );
    }

    #[test]
    fn a_number_for_a_ref_or_a_tag_is_its_digits_and_a_single_tag_needs_no_list() {
        for (own, reference, tags) in [
            (r#""ref":17"#, Some("17"), &[][..]),
            (r#""ref":17.0"#, Some("17"), &[]),
            (r#""ref":-3"#, Some("-3"), &[]),
            (r#""ref":1.50"#, Some("1.50"), &[]),
            (
                r#""ref":98765432109876543210987654321"#,
                Some("98765432109876543210987654321"),
                &[],
            ),
            (r#""tags":"vip""#, None, &["vip"]),
            (r#""tags":" vip ; beta;""#, None, &["vip", "beta"]),
            (r#""tags":7"#, None, &["7"]),
            (r#""tags":["vip",2026,"",null," "]"#, None, &["vip", "2026"]),
        ] {
            let device = read_text(&format!(r#"{{"token":"abcd",{own}}}"#))
                .unwrap()
                .unwrap();
            assert_eq!(device.reference.as_deref(), reference, "{own}");
            assert_eq!(device.tags, tags, "{own}");
        }
    }

    #[test]
    fn an_attribute_that_is_no_value_is_left_out_and_its_device_stays() {
        let config = fixture::config();
        let text = r#"{"token":"abcd","attributes":{"a":[1],"b":{"c":1},"d":1e999,"e":1}}"#;
        let mut warnings = Vec::new();
        let device = read_line(text.as_bytes(), &config.apps[0], &mut warnings)
            .unwrap()
            .unwrap();
        assert_eq!(Value::Object(device.attributes), json!({"e": 1}));
        let rule = "must be a string, a number or a boolean";
        assert_eq!(
            warnings,
            [
                format!("/attributes/a is left out: it {rule}, but is an array"),
                format!("/attributes/b is left out: it {rule}, but is an object"),
                "/attributes/d is left out: it is beyond the range of a double".to_owned(),
            ]
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
            let fast = serde_json::from_str::<FastDevice>(&text).ok().and_then(|fast| fast.device(app, &mut Vec::new()).ok());
            let mut faults = Faults::default();
            let full = read(&value, app, &mut faults, &mut Vec::new()).filter(|_| faults.is_empty());
            // What is written in an unusual way, or is left out, is for the full reader alone.
            prop_assert!(fast.is_none() || fast == full, "{}: {}", text, faults);
        }
    }
}
