//! Merges one payload into another with JSON Merge Patch.
//!
//! A notification has one payload for all its devices; a device may have a patch. Source: RFC 7396.

use serde_json::{Map, Value};

use super::Payload;

impl Payload {
    /// Merges `patch` into `base`: members of `patch` replace those of `base`, objects are merged, and null
    /// removes a member. Existing members keep their position, and new ones follow.
    #[must_use]
    pub fn merge(base: &Value, patch: &Value) -> Value {
        let mut merged = base.clone();
        apply(&mut merged, patch);
        merged
    }
}

fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    // All in one pass: removing members one by one would move all later ones each time.
    members.retain(|key, _| patch.get(key).is_none_or(|change| !change.is_null()));
    for (key, change) in patch.iter().filter(|(_, change)| !change.is_null()) {
        apply(members.entry(key.as_str()).or_insert(Value::Null), change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7396, appendix A: the original, the patch and the result.
    const APPENDIX_A: [[&str; 3]; 15] = [
        [r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
        [r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#],
        [r#"{"a":"b"}"#, r#"{"a":null}"#, r"{}"],
        [r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#],
        [r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
        [r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#],
        [
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ],
        [r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#],
        [r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#],
        [r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#],
        [r#"{"a":"foo"}"#, "null", "null"],
        [r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#],
        [r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#],
        ["[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#],
        ["{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#],
    ];

    #[test]
    fn the_examples_of_rfc_7396_hold() {
        for [original, patch, result] in APPENDIX_A {
            let read = |text| serde_json::from_str::<Value>(text).unwrap();
            let merged = Payload::merge(&read(original), &read(patch));
            assert_eq!(merged.to_string(), result, "{original} patched with {patch}");
        }
    }

    #[test]
    fn what_is_left_keeps_its_order_when_a_member_is_taken_away() {
        let base = serde_json::json!({"a": 1, "b": 2, "c": 3, "d": 4});
        let patch = serde_json::json!({"b": null, "c": {"x": 1}, "e": 5});
        assert_eq!(
            Payload::merge(&base, &patch).to_string(),
            r#"{"a":1,"c":{"x":1},"d":4,"e":5}"#
        );
    }
}
