//! The warnings of an upload, which become its batch's.

use super::*;
use crate::batch;
use ::batch::Batch;

/// Returns a device with a payload that has a badge of -1.
fn odd(index: usize) -> Value {
    let mut device = device(index);
    device["payload"] = json!({"aps": {"badge": -1}});
    device
}

#[test]
fn a_kind_of_warning_has_its_count_and_its_first_five_lines() {
    let mut head = head();
    head["notification"]["payload"]["badge"] = json!(1);
    let devices = (0..10).map(|index| if index == 3 { device(index) } else { odd(index) });
    let told = upload(&lines(&head, devices)).unwrap();
    let expected = json!({"warnings": [
        {
            "code": "misplaced_key", "pointer": "/notification/payload/badge",
            "detail": "does nothing here; did you mean `aps.badge`?",
        },
        {
            "code": "wrong_value", "pointer": "/payload/aps/badge", "detail": "should be an integer from 0",
            "count": 9, "lines": [2, 3, 4, 6, 7],
        },
    ]});
    assert_eq!(serde_json::to_value(&told.warnings).unwrap(), expected);
    assert_eq!((told.pushes, told.invalid), (10, 0));
    head["devices"] = (0..10).map(odd).collect();
    let told = upload_document(&head).unwrap();
    assert_eq!(told.warnings.kinds()[1].lines, [1, 2, 3, 4, 5]);
}

#[test]
fn in_a_strict_upload_such_a_line_is_at_fault() {
    let mut head = head();
    head["strict"] = json!(true);
    let fault = "/payload/aps/badge: should be an integer from 0 (warning `wrong_value`, refused by `\"strict\": true`)";
    let body = |head: &Value| lines(head, [device(0), odd(1)]);
    assert_eq!(faults(&body(&head)), [format!("3: /devices/1{fault}")]);
    head["on_invalid"] = json!("skip");
    let told = upload(&body(&head)).unwrap();
    assert_eq!((told.pushes, told.invalid), (1, 1));
    assert_eq!(told.invalid_lines[0].detail, fault);
    assert!(told.warnings.is_empty());
    head["notification"]["payload"]["badge"] = json!(1);
    assert_eq!(faults(&body(&head)).len(), 1, "nothing is left to send");
}

#[test]
fn a_batchs_status_has_the_warnings_of_its_upload() {
    let config = config();
    let body = lines(&head(), [odd(0)]);
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    upload.feed(body.as_bytes()).unwrap();
    let finished = upload.finish().unwrap();
    let record = batch::record("id", &finished, &config.batches, NOW);
    let stored = serde_json::to_string(&record).unwrap();
    let batch = Batch::load(serde_json::from_str(&stored).unwrap(), Vec::new(), Vec::new());
    let document = batch::document(batch.record(), &batch.overview(NOW), None);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["warnings"][0]["pointer"], "/payload/aps/badge");
    assert_eq!(document["warnings"][0]["count"], 1);
}
