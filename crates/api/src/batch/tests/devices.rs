use super::*;
use crate::batch::receipts::devices;

#[test]
fn gone_devices_are_listed_in_full() {
    let (batch, progress) = batch(6);
    let lines = lines(6);
    let chunk = Chunk {
        record: batch.record(),
        seed: seed(ID).unwrap(),
        size: Size { first: 0, pushes: 6 },
        lines: &lines,
        details: &details(),
        progress: &progress,
    };
    assert_eq!(
        (chunk.count(DeviceList::Gone), chunk.count(DeviceList::Suspect)),
        (1, 0)
    );
    let mut page = Page::new(10);
    page.add_devices(&chunk, DeviceList::Gone, 0);
    page.add_devices(&chunk, DeviceList::Suspect, 0);
    let text = String::from_utf8(page.text).unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"index\":2,\"ref\":\"user-2\",\"token\":\"{:064x}\",\"since\":\"2026-11-23T08:00:00.000Z\",\"reason\":\"Unregistered\"}}\n",
            2
        )
    );
    let gone = |first, last| devices(&chunk, DeviceList::Gone, first, last);
    assert_eq!(gone(0, 5).len(), 1);
    assert_eq!(gone(0, 5)[0].reference.as_deref(), Some("user-2"));
    assert_eq!(gone(3, 5), []);
    assert_eq!(devices(&chunk, DeviceList::Suspect, 0, 5), []);
}

#[test]
fn a_token_that_apns_refused_with_400_is_suspect_and_never_gone() {
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic", "TopicDisallowed"] {
        let ended = |verdict, code, reason, index| found(verdict, code, reason, &[index]);
        let mut batch = Batch::seal(sample(), vec![Size { first: 0, pushes: 8 }], NOW);
        let until = batch.claim(0, NOW).unwrap().until;
        let mut found: Vec<ResultGroup> = (0..6)
            .map(|index| ended(Verdict::CheckToken, 400, Some(reason), index))
            .collect();
        found.push(ended(Verdict::DropDevice, 410, None, 6));
        found.push(ended(Verdict::FixRequest, 400, Some("BadTopic"), 7));
        let results = Results {
            groups: found,
            details: Vec::new(),
        };
        batch.settle(0, until, &results, true, NOW);
        let (lines, progress) = (lines(8), batch.progress(0).unwrap());
        let chunk = Chunk {
            record: batch.record(),
            seed: seed(ID).unwrap(),
            size: Size { first: 0, pushes: 8 },
            lines: &lines,
            details: &[],
            progress,
        };
        assert_eq!(
            (chunk.count(DeviceList::Gone), chunk.count(DeviceList::Suspect)),
            (1, 6)
        );
        let mut page = Page::new(1);
        page.add_devices(&chunk, DeviceList::Suspect, 5);
        assert_eq!(
            String::from_utf8(page.text).unwrap(),
            format!(
                "{{\"index\":5,\"ref\":\"user-5\",\"token\":\"{:064x}\",\"reason\":\"{reason}\"}}\n",
                5
            )
        );
        let text = document(batch.record(), &batch.overview(NOW), None);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["counts"]["gone"], 1);
        assert_eq!(document["suspect"], json!({"reason": reason, "count": 6}));
    }
}
