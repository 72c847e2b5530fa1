//! Messages that come twice or make no sense, and objects that lose their memory.

use apns_mock::Options;
use serde_json::{Value, json};

use super::{Batch, assert_shown_once, head, lines, number, requests, sale, shown, wide};
use crate::deployment::{Caller, SHOP};
use crate::stage::{Alone, Stage, until};
use crate::worker::Runner;

/// A stage with access to the queue and to the objects.
fn stage() -> Alone {
    Stage::evictable(Options::default(), &[("TRANSPORT", "fetch")])
}

fn message(batch: &Batch, chunk: u32) -> String {
    json!({ "batch": batch.0, "chunk": chunk }).to_string()
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_message_that_comes_again_finds_nothing_to_do() {
    let mut stage = stage();
    let devices = stage.devices(&SHOP, "batches, messages", 60);
    let batch = Batch::upload(&stage, &wide(&devices));
    assert!(number(&batch.status(&stage)["chunks"]) > 1);
    // Before, while and after the chunks are sent, and of one that there is not.
    for chunk in [1, 0, 1, 0, 2] {
        stage.queue(&message(&batch, chunk));
    }
    batch.once_accepted(&stage);
    for chunk in [1, 0, 99] {
        stage.queue(&message(&batch, chunk));
    }
    // One after the other: when the last batch is done, all of these have come.
    let last = stage.devices(&SHOP, "batches, messages, last", 1);
    Batch::upload(&stage, &sale(&last)).once_accepted(&stage);
    let sent = requests(&stage);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
    assert_eq!(batch.status(&stage)["counts"]["accepted"], 60);

    // Of a batch that was deleted, or never was, nothing comes back to life.
    let deleted = stage.call(Caller::Both, "DELETE", &batch.path(""), &[], b"");
    deleted.with_status(204);
    for batch in [&batch, &Batch("0".repeat(32))] {
        stage.queue(&message(batch, 0));
    }
    let last = stage.devices(&SHOP, "batches, messages, very last", 1);
    Batch::upload(&stage, &sale(&last)).once_accepted(&stage);
    stage.get(&batch.path("")).problem(404, "batch-not-found");
    let sent = requests(&stage);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn more_chunks_than_a_queue_takes_at_once_all_go_out() {
    let stage = Stage::alone(Options::default(), &[("TRANSPORT", "socket")]);
    let devices = stage.devices(&SHOP, "batches, many chunks", 150);
    // The lines of a chunk have at most 60,000 bytes: each of these is a chunk.
    let spaces = " ".repeat(40_000);
    let mut body = format!("{}\n", head(json!({})));
    for device in &devices {
        body.push_str(&format!("{{\"token\":{spaces}\"{device}\"}}\n"));
    }
    let batch = Batch::upload(&stage, &body);
    assert_eq!(number(&batch.status(&stage)["chunks"]), 150);
    batch.once_accepted(&stage);
    let sent = requests(&stage);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn chunks_are_spread_over_all_queues() {
    let settings = [("TRANSPORT", "socket"), ("QUEUES", "3")];
    let stage = Stage::with_queue(Runner::Dev, &settings, |queue| queue.shards = 3);
    let devices = stage.devices(&SHOP, "batches, queues", 3000);
    let batch = Batch::upload(&stage, &sale(&devices));
    assert_eq!(number(&batch.status(&stage)["chunks"]), 6);
    batch.once_accepted(&stage);
    let sent = requests(&stage);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
    assert_eq!(batch.receipts(&stage).len(), devices.len());
    for queue in ["apns-edge-pushes", "apns-edge-pushes-2", "apns-edge-pushes-3"] {
        until(&format!("two messages through {queue}"), || {
            acknowledged(&stage.worker.log(), queue) == 2
        });
    }
}

/// How many messages of a queue were acknowledged, as wrangler says after each delivery.
fn acknowledged(log: &str, queue: &str) -> u32 {
    let deliveries = log.lines().filter_map(|line| {
        let mut words = line.split("QUEUE ").nth(1)?.split_whitespace();
        let count = words.next().filter(|name| *name == queue).and(words.next())?;
        count.split('/').next()?.parse::<u32>().ok()
    });
    deliveries.sum()
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_message_that_the_platform_has_retried_in_vain_is_kept() {
    let mut stage = Stage::with_queue(Runner::Harness, &[], |queue| {
        queue.finds_batches = false;
        queue.retries = 1;
    });
    let message = message(&Batch("0".repeat(32)), 7);
    stage.queue(&message);
    let letter = the_dead_letter(&stage, |_| true);
    assert_eq!(letter["body"], *message, "{letter}");
    let problem = letter["problem"].as_str().unwrap();
    assert!(problem.contains("retried in vain"), "{letter}");
    assert_eq!(letter["queue"], "apns-edge-dead-letters");
    // Twice by the consumer of chunks, and once that it was put with the dead letters.
    let failed = |queue: &str| {
        let event = format!(r#""event":"message_failed","queue":"{queue}""#);
        stage.worker.log().matches(&event).count()
    };
    until("all of it in the log", || failed("apns-edge-dead-letters") == 1);
    assert_eq!(failed("apns-edge-pushes"), 2);

    // Sent again, it goes the same way.
    let path = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let replay = stage.call(Caller::Both, "POST", &path, &[], b"");
    assert!(matches!(replay.status, 200 | 202 | 204), "{}", replay.body);
    let again = the_dead_letter(&stage, |again| again["id"] != letter["id"]);
    assert_eq!(again["body"], *message);
    assert_eq!(failed("apns-edge-pushes"), 4);
}

/// The only dead letter, once there is one that fits.
fn the_dead_letter(stage: &Stage, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until("the dead letter", || {
        let letters = stage.get("/v1/dead-letters").with_status(200);
        let letters = letters["dead_letters"].as_array().unwrap();
        assert!(letters.len() <= 1, "{letters:?}");
        found = letters
            .first()
            .filter(|letter| fits(letter))
            .cloned()
            .unwrap_or_default();
        !found.is_null()
    });
    found
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_message_that_cannot_be_read_is_kept_and_can_be_sent_again_or_dropped() {
    let mut stage = stage();
    let listed = |stage: &Stage| {
        let letters = stage.get("/v1/dead-letters").with_status(200);
        letters["dead_letters"].as_array().unwrap().clone()
    };
    assert!(listed(&stage).is_empty());
    stage.queue("no message");
    until("the dead letter", || listed(&stage).len() == 1);
    let letter = listed(&stage).remove(0);
    assert_eq!(letter["body"], "no message", "{letter}");
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    for (method, path) in [
        ("GET", "/v1/dead-letters".to_owned()),
        ("POST", format!("{path}/replay")),
        ("DELETE", path.clone()),
    ] {
        let foreign = stage.call(Caller::Shop, method, &path, &[], b"");
        foreign.problem(403, "forbidden");
    }
    // Sent again, it cannot be read again.
    let replay = stage.call(Caller::Both, "POST", &format!("{path}/replay"), &[], b"");
    assert!(matches!(replay.status, 200 | 202 | 204), "{}", replay.body);
    until("the dead letter once more", || {
        let letters = listed(&stage);
        letters.len() == 1 && letters[0]["id"] != letter["id"]
    });
    let letter = listed(&stage).remove(0);
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    stage
        .call(Caller::Both, "DELETE", &path, &[], b"")
        .with_status(204);
    assert!(listed(&stage).is_empty());
}

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_batch_goes_on_when_its_object_and_its_gate_lose_their_memory() {
    let mut stage = stage();
    let devices = stage.devices(&SHOP, "batches, evicted", 120);
    let batch = Batch::upload(&stage, &lines(&head(json!({ "rate": 30 })), &devices));
    for count in [10, 60] {
        until("some pushes", || shown(&stage, &devices) > count);
        stage.evict_batch(&batch.0);
        stage.evict_gate(&SHOP);
    }
    batch.once_accepted(&stage);
    assert_shown_once(&stage, &devices);
    assert_eq!(batch.receipts(&stage).len(), devices.len());

    // Paused, it is as it was.
    let devices = stage.devices(&SHOP, "batches, evicted, paused", 60);
    let batch = Batch::upload(&stage, &lines(&head(json!({ "rate": 20 })), &devices));
    until("some pushes", || shown(&stage, &devices) > 10);
    batch.tell(&stage, "pause").with_status(200);
    stage.evict_batch(&batch.0);
    let document = batch.status(&stage);
    assert_eq!(
        (&document["state"], &document["paused"]["by"]),
        (&json!("paused"), &json!("caller"))
    );
    batch.tell(&stage, "resume").with_status(200);
    batch.once_accepted(&stage);
    assert_shown_once(&stage, &devices);
}
