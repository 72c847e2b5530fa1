//! Memory that does not grow with the size of a batch.

use apns_mock::{Options, Record, Unknown};
use serde_json::{Value, json};

use super::{Batch, head, upload};
use crate::deployment::digest;
use crate::test_env::TestEnv;

/// The number of lines of the upload: two hundred chunks.
const PUSHES: usize = 100_000;

/// How much the memory may grow from the tenth chunk to the last, because the allocator requests it in
/// pieces. Ninety thousand pushes that each leaked a hundred bytes would need more.
const SLACK_KB: u64 = 8 * 1024;

/// The limit of the isolate's memory at the end of the upload: its initial memory, a chunk, and the
/// allocator's pieces.
const AFTER_UPLOAD_KB: u64 = 24 * 1024;

#[test]
fn the_isolates_memory_does_not_grow_with_a_batch() {
    let options = Options {
        record: Record::Count,
        unknown: Unknown::Registered,
        ..Options::default()
    };
    let env = TestEnv::isolated(options, &[("TRANSPORT", "socket")]);
    let mut body = format!("{}\n", head(json!({})));
    for number in 0..PUSHES {
        body.push_str(&format!(
            "{}\n",
            json!({ "token": digest(&format!("batches, memory {number}")) })
        ));
    }
    let (batch, document) = Batch::accepted(upload(&env, &[], &body));
    assert_eq!(document["pushes"], PUSHES);
    batch.once_accepted(&env);
    let shown = env.apns.shown();
    assert_eq!((shown.devices, shown.shown), (PUSHES as u64, PUSHES as u64));

    let chunks = PUSHES / 500;
    let log = env.log_with(r#""event":"chunk_sent""#, chunks);
    let events = |name: &str| -> Vec<u64> {
        let wanted = log.lines().filter_map(|line| {
            let event: Value = serde_json::from_str(line[line.find('{')?..].trim_end()).ok()?;
            (event["event"] == name).then(|| event["memory_kb"].as_u64().unwrap())
        });
        wanted.collect()
    };
    let uploaded = events("batch_accepted");
    assert!(
        uploaded[0] < AFTER_UPLOAD_KB,
        "in KB after the upload: {uploaded:?}"
    );
    let sizes = events("chunk_sent");
    assert_eq!(sizes.len(), chunks);
    let growth = sizes[chunks - 1] - sizes[9];
    assert!(growth < SLACK_KB, "in KB after each chunk: {sizes:?}");
}
