//! Repeated and invalid messages, and objects that are evicted.

use apns_mock::Options;
use serde_json::{Value, json};
use testbed::Runner;

use super::{Batch, assert_shown_once, head, lines, number, requests, sale, shown, wide};
use crate::deployment::{Caller, SHOP};
use crate::shared::Shared;
use crate::test_env::{Isolated, TestEnv, until};

/// Creates an environment with access to the queue and to the objects.
fn env() -> Isolated {
    TestEnv::evictable(Options::default(), &[("TRANSPORT", "fetch")])
}

fn message(batch: &Batch, chunk: u32) -> String {
    json!({ "batch": batch.0, "chunk": chunk }).to_string()
}

#[test]
fn a_message_that_comes_again_finds_nothing_to_do() {
    let mut env = env();
    let devices = env.devices(&SHOP, "batches, messages", 60);
    let batch = Batch::upload(&env, &wide(&devices));
    assert!(number(&batch.status(&env)["chunks"]) > 1);
    // Before, while and after the chunks are sent, and for a chunk that does not exist.
    for chunk in [1, 0, 1, 0, 2] {
        env.queue(&message(&batch, chunk));
    }
    batch.once_accepted(&env);
    for chunk in [1, 0, 99] {
        env.queue(&message(&batch, chunk));
    }
    // Messages are delivered in order: when the last batch is done, all of these were delivered.
    let last = env.devices(&SHOP, "batches, messages, last", 1);
    Batch::upload(&env, &sale(&last)).once_accepted(&env);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
    assert_eq!(batch.status(&env)["counts"]["accepted"], 60);

    // A message for a batch that was deleted, or never existed, recreates nothing.
    let deleted = env.call(Caller::Both, "DELETE", &batch.path(""), &[], b"");
    deleted.with_status(204);
    for batch in [&batch, &Batch("0".repeat(32))] {
        env.queue(&message(batch, 0));
    }
    let last = env.devices(&SHOP, "batches, messages, very last", 1);
    Batch::upload(&env, &sale(&last)).once_accepted(&env);
    env.get(&batch.path("")).problem(404, "batch-not-found");
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

#[test]
fn more_chunks_than_a_queue_takes_at_once_all_go_out() {
    let env = Shared::by_socket();
    let devices = env.devices(&SHOP, "batches, many chunks", 150);
    // A chunk has at most 60,000 bytes of lines, so each of these is a chunk.
    let spaces = " ".repeat(40_000);
    let mut body = format!("{}\n", head(json!({})));
    for device in &devices {
        body.push_str(&format!("{{\"token\":{spaces}\"{device}\"}}\n"));
    }
    let batch = Batch::upload(&env, &body);
    assert_eq!(number(&batch.status(&env)["chunks"]), 150);
    batch.once_accepted(&env);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

#[test]
fn chunks_are_spread_over_all_queues() {
    let settings = [("TRANSPORT", "socket"), ("QUEUES", "3")];
    let env = TestEnv::with_queue(Runner::Dev, &settings, |queue| queue.shards = 3);
    let devices = env.devices(&SHOP, "batches, queues", 3000);
    let batch = Batch::upload(&env, &sale(&devices));
    assert_eq!(number(&batch.status(&env)["chunks"]), 6);
    batch.once_accepted(&env);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
    assert_eq!(batch.receipts(&env).len(), devices.len());
    for queue in ["apns-edge-pushes", "apns-edge-pushes-2", "apns-edge-pushes-3"] {
        until(&format!("two messages through {queue}"), || {
            acknowledged(&env.worker.log(), queue) == 2
        });
    }
}

/// Returns how many messages of a queue were acknowledged, as wrangler logs after each delivery.
fn acknowledged(log: &str, queue: &str) -> u32 {
    let deliveries = log.lines().filter_map(|line| {
        let mut words = line.split("QUEUE ").nth(1)?.split_whitespace();
        let count = words.next().filter(|name| *name == queue).and(words.next())?;
        count.split('/').next()?.parse::<u32>().ok()
    });
    deliveries.sum()
}

#[test]
fn a_message_that_the_platform_has_retried_in_vain_is_kept() {
    let mut env = TestEnv::with_queue(Runner::Harness, &[], |queue| {
        queue.finds_batches = false;
        queue.retries = 1;
    });
    let message = message(&Batch("0".repeat(32)), 7);
    env.queue(&message);
    let letter = the_dead_letter(&env, |_| true);
    assert_eq!(letter["body"], *message, "{letter}");
    let problem = letter["problem"].as_str().unwrap();
    assert!(problem.contains("retried in vain"), "{letter}");
    assert_eq!(letter["queue"], "apns-edge-dead-letters");
    // Twice by the consumer of chunks, and once by the consumer of dead letters.
    let failed = |queue: &str| {
        let event = format!(r#""event":"message_failed","queue":"{queue}""#);
        env.worker.log().matches(&event).count()
    };
    until("all of it in the log", || failed("apns-edge-dead-letters") == 1);
    assert_eq!(failed("apns-edge-pushes"), 2);

    // Replayed, it becomes a dead letter again.
    let path = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let replay = env.call(Caller::Both, "POST", &path, &[], b"");
    assert!(matches!(replay.status, 200 | 202 | 204), "{}", replay.body);
    let again = the_dead_letter(&env, |again| again["id"] != letter["id"]);
    assert_eq!(again["body"], *message);
    assert_eq!(failed("apns-edge-pushes"), 4);
}

/// Waits for a matching dead letter, which must be the only one.
fn the_dead_letter(env: &TestEnv, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until("the dead letter", || {
        let letters = env.get("/v1/dead-letters").with_status(200);
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
fn a_message_that_cannot_be_read_is_kept_and_can_be_sent_again_or_dropped() {
    let mut env = env();
    let listed = |env: &TestEnv| {
        let letters = env.get("/v1/dead-letters").with_status(200);
        letters["dead_letters"].as_array().unwrap().clone()
    };
    assert!(listed(&env).is_empty());
    env.queue("no message");
    until("the dead letter", || listed(&env).len() == 1);
    let letter = listed(&env).remove(0);
    assert_eq!(letter["body"], "no message", "{letter}");
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    for (method, path) in [
        ("GET", "/v1/dead-letters".to_owned()),
        ("POST", format!("{path}/replay")),
        ("DELETE", path.clone()),
    ] {
        let foreign = env.call(Caller::Shop, method, &path, &[], b"");
        foreign.problem(403, "forbidden");
    }
    // A replayed message cannot be replayed again.
    let replay = env.call(Caller::Both, "POST", &format!("{path}/replay"), &[], b"");
    assert!(matches!(replay.status, 200 | 202 | 204), "{}", replay.body);
    until("the dead letter once more", || {
        let letters = listed(&env);
        letters.len() == 1 && letters[0]["id"] != letter["id"]
    });
    let letter = listed(&env).remove(0);
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    env.call(Caller::Both, "DELETE", &path, &[], b"").with_status(204);
    assert!(listed(&env).is_empty());
}

#[test]
fn a_batch_goes_on_when_its_object_and_its_gate_lose_their_memory() {
    let mut env = env();
    let devices = env.devices(&SHOP, "batches, evicted", 120);
    let batch = Batch::upload(&env, &lines(&head(json!({ "rate": 30 })), &devices));
    for count in [10, 60] {
        until("some pushes", || shown(&env, &devices) > count);
        env.evict_batch(&batch.0);
        env.evict_gate(&SHOP);
    }
    batch.once_accepted(&env);
    assert_shown_once(&env, &devices);
    assert_eq!(batch.receipts(&env).len(), devices.len());

    // A paused batch is unchanged after the eviction.
    let devices = env.devices(&SHOP, "batches, evicted, paused", 40);
    let batch = Batch::upload(&env, &lines(&head(json!({ "rate": 5 })), &devices));
    until("some pushes", || shown(&env, &devices) > 0);
    batch.tell(&env, "pause").with_status(200);
    env.evict_batch(&batch.0);
    let document = batch.status(&env);
    assert_eq!(
        (&document["state"], &document["paused"]["by"]),
        (&json!("paused"), &json!("caller"))
    );
    batch.tell(&env, "resume").with_status(200);
    batch.once_accepted(&env);
    assert_shown_once(&env, &devices);
}
