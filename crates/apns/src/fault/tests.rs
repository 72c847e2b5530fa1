use super::*;
use serde_json::json;

#[test]
fn a_pointer_escapes_as_rfc_6901_says() {
    let root = Pointer::Root;
    let key = root.key("a/b~c");
    assert_eq!(key.index(3).to_string(), "/a~1b~0c/3");
}

#[test]
fn an_unknown_field_suggests_the_nearest_known_one() {
    let mut faults = Faults::default();
    object(
        &json!({"colapse_id": 1, "zzz": 2}),
        &Pointer::Root,
        &["collapse_id", "topic"],
        &mut faults,
    );
    let texts: Vec<String> = faults.listed().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "/colapse_id: is not a known field; did you mean `collapse_id`?",
            "/zzz: is not a known field"
        ]
    );
}

#[test]
fn a_wrong_type_names_both_types() {
    let mut faults = Faults::default();
    assert_eq!(string(&json!(1), &Pointer::Root.key("topic"), &mut faults), None);
    assert_eq!(faults.to_string(), "/topic: must be a string, but is a number");
}

#[test]
fn a_boolean_may_be_written_as_text() {
    for (value, expected) in [
        (json!(true), Some(true)),
        (json!("true"), Some(true)),
        (json!(" False"), Some(false)),
        (json!("yes"), None),
        (json!(1), None),
        (json!(""), None),
    ] {
        let mut faults = Faults::default();
        assert_eq!(boolean(&value, &Pointer::Root, &mut faults), expected, "{value}");
        assert_eq!(faults.is_empty(), expected.is_some());
    }
}

#[test]
fn a_number_out_of_range_is_told_the_range_of_the_field_and_what_it_is() {
    for (value, is) in [
        (json!(-5), "-5"),
        (json!("-5"), "-5"),
        (json!(0), "0"),
        (json!(101), "101"),
        (json!("101"), "101"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(1.5), "1.5"),
        (json!(true), "a boolean"),
        (json!("many"), "a text that is not an integer"),
        (
            serde_json::from_str(&"9".repeat(60)).unwrap(),
            "a number of 60 characters",
        ),
    ] {
        let mut faults = Faults::default();
        assert_eq!(
            within(&value, 1..=100, &Pointer::Root.key("weight"), &mut faults),
            None
        );
        let expected = format!("/weight: must be an integer from 1 to 100, but is {is}");
        assert_eq!(faults.to_string(), expected);
    }
}

#[test]
fn a_number_may_be_written_as_text_or_with_a_point() {
    for (text, expected) in [
        ("7", Some(7)),
        ("\"7\"", Some(7)),
        ("\" 10 \"", Some(10)),
        ("5.0", Some(5)),
        ("\"5.00\"", Some(5)),
        ("1e3", Some(1000)),
        ("18446744073709551615", Some(u64::MAX)),
        ("5.5", None),
        ("\"\"", None),
        ("\"seven\"", None),
        ("\"-1\"", None),
        ("\"0x10\"", None),
        ("18446744073709551616", None),
        ("1e999", None),
        ("null", None),
    ] {
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(integer(&value).ok(), expected, "{text}");
    }
}

#[test]
fn equal_faults_of_devices_are_summed_up() {
    let mut faults = Faults::default();
    let (root, wrong) = (Pointer::Root, FaultKind::Invalid("is wrong".to_owned()));
    faults.add(&root.key("app"), wrong.clone());
    for index in 3..90 {
        let devices = root.key("devices");
        faults.add(&devices.index(index).key("token"), FaultKind::Missing);
    }
    faults.add(&root.key("devices").index(99), wrong);
    assert_eq!(
        faults.to_string(),
        "/app: is wrong; 87 devices: /token: is required, the first is /devices/3; /devices/99: is wrong"
    );
}

#[test]
fn a_fault_of_the_whole_has_no_empty_pointer() {
    let mut faults = Faults::default();
    open_object(&json!([]), &Pointer::Root, &mut faults);
    assert_eq!(faults.to_string(), "the body must be an object, but is an array");
}

#[test]
fn a_number_is_one_that_a_double_can_hold() {
    let mut faults = Faults::default();
    let too_large: serde_json::Value = serde_json::from_str("1e999").unwrap();
    assert_eq!(number(&json!(0.5), &Pointer::Root, &mut faults), Some(0.5));
    assert_eq!(number(&too_large, &Pointer::Root.key("score"), &mut faults), None);
    assert_eq!(faults.to_string(), "/score: is beyond the range of a double");
}

#[test]
fn a_word_that_is_not_allowed_is_answered_with_those_that_are() {
    let mut faults = Faults::default();
    let words = &["start", "end"];
    assert_eq!(
        one_of(&json!("end"), &Pointer::Root, words, &mut faults),
        Some("end")
    );
    assert_eq!(
        one_of(&json!("End"), &Pointer::Root.key("event"), words, &mut faults),
        None
    );
    assert_eq!(faults.to_string(), "/event: must be one of start, end");
}

#[test]
fn faults_past_the_limit_are_counted_and_not_listed() {
    let mut faults = Faults::default();
    for index in 0..MAX_LISTED + 5 {
        faults.add(&Pointer::Root.index(index), FaultKind::Missing);
        faults.add(&Pointer::Root.index(0), FaultKind::Missing);
    }
    assert_eq!(
        (faults.listed().len(), faults.len()),
        (MAX_LISTED, MAX_LISTED + 5)
    );
    assert!(faults.to_string().ends_with("; and 5 more"));
}
