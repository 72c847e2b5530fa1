//! Nothing is sent after a claim or a pause, also not what waits for a stream of a connection.

use std::thread::sleep;
use std::time::Duration;

use apns_mock::{Latency, Options};
use serde_json::json;

use super::{Batch, head, lines, requests, shown};
use crate::deployment::SHOP;
use crate::stage::{Alone, Stage, until};

/// APNs with connections that carry one push at a time, each for so long.
fn one_stream(ms: u64, settings: &[(&str, &str)]) -> Alone {
    let options = Options {
        max_concurrent_streams: 1,
        latency: Latency::fixed(Duration::from_millis(ms)),
        ..Options::default()
    };
    Stage::alone(options, &[settings, &[("TRANSPORT", "socket")]].concat())
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_push_that_waits_for_a_stream_is_not_sent_after_the_claim_has_ended() {
    // All devices together take longer than a claim, of which a runner launches for a second.
    let settings = [("CHUNK_CLAIM_MS", "5000"), ("ATTEMPT_TIMEOUT_MS", "2000")];
    let stage = one_stream(500, &settings);
    let devices = stage.devices(&SHOP, "once, claim", 16);
    let batch = Batch::upload(
        &stage,
        &lines(&head(json!({ "collapse_repeats": false })), &devices),
    );
    batch.once_accepted(&stage);
    let sent = requests(&stage);
    for device in &devices {
        assert_eq!(sent[device].len(), 1, "two runners have sent to one device");
    }
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_push_that_waits_for_a_stream_is_not_sent_after_a_pause() {
    let stage = one_stream(250, &[]);
    let devices = stage.devices(&SHOP, "once, pause", 60);
    let batch = Batch::upload(&stage, &lines(&head(json!({})), &devices));
    until("the first pushes", || shown(&stage, &devices) >= 2);
    batch.tell(&stage, "pause").with_status(200);
    // The runner asks every two seconds, and what has a stream is answered.
    sleep(Duration::from_secs(4));
    let before = requests(&stage).len();
    sleep(Duration::from_secs(2));
    assert!(before < 30, "{before}");
    assert_eq!(requests(&stage).len(), before);
    let counts = batch.status(&stage)["counts"].clone();
    assert_eq!((&counts["in_flight"], &counts["failed"]), (&json!(0), &json!(0)));
}
