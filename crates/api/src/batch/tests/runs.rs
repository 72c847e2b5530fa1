use super::*;

use batch::{Append, CutOff, LeftOut};

#[test]
fn the_document_of_a_run_says_what_was_left_out_and_when_it_goes_on() {
    let opens_at = NOW + std::time::Duration::from_secs(60);
    let mut record = sample();
    record.terms.windows = vec![(opens_at, opens_at + std::time::Duration::from_secs(60))];
    record.cut_off = Some(CutOff::Full);
    let batch = Batch::open(record, 1, NOW);
    let text = document(batch.record(), &batch.overview(NOW), None);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["state"], "running");
    assert_eq!(document["sealed_at"], Value::Null);
    assert_eq!(document["cut_off"], "full");
    assert_eq!(document["opens_at"], opens_at.to_string());
    let text = document_of_an_upload();
    assert!(!text.contains("cut_off") && !text.contains("opens_at"));
}

#[test]
fn the_document_of_a_run_counts_the_devices_that_were_left_out_by_reason() {
    let mut left_out = LeftOut {
        frequency_cap: 2,
        outside_segment: 4,
        ..LeftOut::default()
    };
    left_out.add_missing("frist_name", 3);
    let mut batch = Batch::open(sample(), 1, NOW);
    let step = Append {
        scan: 0,
        from: String::new(),
        to: "9".to_owned(),
        pushes: 0,
        left_out,
        last: true,
        fault: None,
    };
    batch.append(&step, 0, NOW);
    let text = document(batch.record(), &batch.overview(NOW), None);
    let document: Value = serde_json::from_str(&text).unwrap();
    let expected =
        serde_json::json!({"missing": {"frist_name": 3}, "frequency_cap": 2, "outside_segment": 4});
    assert_eq!(
        (&document["state"], &document["left_out"]),
        (&"done".into(), &expected)
    );
    assert_eq!(
        (&document["pushes"], &document["invalid"]),
        (&0.into(), &3.into())
    );
    assert!(!document_of_an_upload().contains("left_out"));
}

fn document_of_an_upload() -> String {
    let batch = batch(5).0;
    document(batch.record(), &batch.overview(NOW), None)
}
