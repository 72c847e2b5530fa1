use super::*;

use crate::delivery::batch::CutOff;

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

fn document_of_an_upload() -> String {
    let batch = batch(5).0;
    document(batch.record(), &batch.overview(NOW), None)
}
