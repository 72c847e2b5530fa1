//! Kills a Worker at each step of a batch, as a power failure does, and restarts it with its stored data.
//!
//! The queue's messages are lost, unlike on the platform, and nobody requests the batch meanwhile, so only
//! its alarm wakes it. Each push must have one final result, and each device must show one notification.

use std::net::TcpListener;
use std::time::Duration;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::json;
use testbed::Queue;

use super::pieces::Pieces;
use super::webhooks::SECRET;
use super::webhooks::endpoint::{Endpoint, NEVER};
use super::{Batch, PATIENCE, assert_shown_once, head, lines, number, requests, sale, shown, upload, wide};
use crate::deployment::{self, Caller, SHOP};
use crate::shared::over_each_transport;
use crate::test_env::{Isolated, TestEnv, until, until_within};

over_each_transport! {
    after_the_claim_and_before_the_first_push,
    in_the_middle_of_a_chunk,
    before_the_receipt_of_a_chunk_of_which_all_but_one_have_ended,
    between_the_end_of_a_chunk_and_that_of_its_delivery,
    before_the_first_message,
}

/// Claims end soon, and attempts sooner: a runner has half a second to launch what it claimed.
const SETTINGS: [(&str, &str); 3] = [
    ("CHUNK_CLAIM_MS", "5000"),
    ("ATTEMPT_TIMEOUT_MS", "2500"),
    ("CHECKPOINT_PUSHES", "10"),
];

fn env(transport: &str) -> Isolated {
    let transport = [("TRANSPORT", transport)];
    TestEnv::isolated(Options::default(), &[&SETTINGS[..], &transport].concat())
}

/// Waits until the batch has ended without any request, and asserts that it is complete.
#[track_caller]
fn assert_whole(env: &TestEnv, batch: &Batch, devices: &[String]) {
    until_within(PATIENCE, "all on the screens", || {
        shown(env, devices) == devices.len()
    });
    batch.once_accepted(env);
    let receipts = batch.receipts(env);
    assert_eq!(receipts.len(), devices.len());
    for (place, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt["status"], "accepted", "{receipt}");
        assert_eq!(receipt["ref"], format!("user-{place}"));
    }
    assert_shown_once(env, devices);
}

fn after_the_claim_and_before_the_first_push(transport: &str) {
    // A server that accepts connections and never answers.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silence.local_addr().unwrap().port();
    let origins = deployment::origins_at(port, port);
    let more = [("TRANSPORT", transport), ("APNS_ORIGINS", &origins)];
    let mut env = TestEnv::isolated(Options::default(), &[&SETTINGS[..], &more].concat());
    let devices = env.devices(&SHOP, "crashes, claim", 30);
    let batch = Batch::upload(&env, &sale(&devices));
    let connection = silence.accept().unwrap();
    until("a claim", || {
        batch.status(&env)["counts"]["in_flight"] == devices.len()
    });
    env.kill();
    drop((connection, silence));
    env.set("APNS_ORIGINS", &deployment::origins(&env.apns));
    env.restart();
    assert_whole(&env, &batch, &devices);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

fn in_the_middle_of_a_chunk(transport: &str) {
    let mut env = env(transport);
    let devices = env.devices(&SHOP, "crashes, middle", 120);
    for device in &devices[60..] {
        let late = Fault {
            delay_ms: Some(2000),
            ..Fault::new(FaultKind::Stall).times(1)
        };
        env.apns.fault(late.for_token(device)).unwrap();
    }
    let batch = Batch::upload(&env, &sale(&devices));
    until("pushes that have ended and others in flight", || {
        shown(&env, &devices[..60]) == 60 && !env.requests_to(&devices[62]).is_empty()
    });
    env.kill();
    env.apns.clear_faults();
    let sent = requests(&env);
    let before = sent.values().flatten().count();
    env.restart();
    assert_whole(&env, &batch, &devices);
    if transport == "fetch" {
        // A push whose result a checkpoint reported is not sent again. Of sixty, at most two checkpoints and
        // the pushes in flight are.
        let repeated = requests(&env).values().flatten().count() - devices.len();
        assert!(before > 60 && repeated <= 10 + 10 + 6, "{repeated} of {before}");
    }
}

fn before_the_receipt_of_a_chunk_of_which_all_but_one_have_ended(transport: &str) {
    let mut env = env(transport);
    let devices = env.devices(&SHOP, "crashes, receipt", 15);
    let silence = Fault::new(FaultKind::Silence);
    env.apns.fault(silence.for_token(&devices[9])).unwrap();
    let batch = Batch::upload(&env, &sale(&devices));
    until("all pushes but one", || {
        shown(&env, &devices) == devices.len() - 1 && env.apns.state().in_flight == 1
    });
    env.kill();
    env.apns.clear_faults();
    env.restart();
    assert_whole(&env, &batch, &devices);
    let sent = requests(&env);
    let others = devices.iter().filter(|device| **device != devices[9]);
    assert!(others.into_iter().all(|device| sent[device].len() <= 2));
}

fn between_the_end_of_a_chunk_and_that_of_its_delivery(transport: &str) {
    let mut env = env(transport);
    env.kill();
    env.configure(Queue {
        delivery: 32,
        ..Queue::of_transport(Some(transport))
    });
    env.restart();
    let devices = env.devices(&SHOP, "crashes, delivery", 90);
    let silence = Fault::new(FaultKind::Silence);
    env.apns.fault(silence.for_token(&devices[89])).unwrap();
    let (batch, document) = Batch::accepted(upload(&env, &[], &wide(&devices)));
    assert!(number(&document["chunks"]) > 2, "{document}");
    let mut accepted = 0;
    until("chunks that have ended and one that has not", || {
        let counts = batch.status(&env)["counts"].clone();
        accepted = number(&counts["accepted"]);
        accepted >= 50 && counts["in_flight"] != 0 && shown(&env, &devices) == devices.len() - 1
    });
    env.kill();
    env.apns.clear_faults();
    env.restart();
    assert_whole(&env, &batch, &devices);
    let sent = requests(&env);
    let once = devices.iter().filter(|device| sent[*device].len() == 1).count();
    assert!(once as u64 >= accepted, "{once} of {accepted}");
}

fn before_the_first_message(transport: &str) {
    let mut env = env(transport);
    let queue = Queue::of_transport(Some(transport));
    env.kill();
    env.configure(Queue {
        takes: false,
        ..queue
    });
    env.restart();
    let devices = env.devices(&SHOP, "crashes, message", 20);
    let key = [("idempotency-key", "crashes, message")];
    let (batch, _) = Batch::accepted(upload(&env, &key, &sale(&devices)));
    env.log_with("the queue refused", 1);
    assert_eq!(batch.status(&env)["counts"]["waiting"], devices.len());
    env.kill();
    env.configure(queue);
    env.restart();
    assert_whole(&env, &batch, &devices);
    // Its idempotency key is still known.
    let again = upload(&env, &key, &sale(&devices));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(Batch::accepted(again).0, batch);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));
}

#[test]
fn a_batch_whose_rows_could_not_be_read_for_a_while_goes_on_by_itself() {
    let mut env = env("socket");
    let queue = Queue::of_transport(Some("socket"));
    env.kill();
    env.configure(Queue {
        takes: false,
        ..queue
    });
    env.restart();
    let devices = env.devices(&SHOP, "crashes, rows", 20);
    let batch = Batch::upload(&env, &sale(&devices));
    env.log_with("the queue refused", 1);
    env.kill();
    env.change_batches("UPDATE facts SET text = text || '{' WHERE name = 'record'");
    env.configure(queue);
    env.restart();
    // Each alarm that finds the rows unchanged sets the next one.
    env.log_with("state_lost", 2);
    assert_eq!(shown(&env, &devices), 0);
    env.kill();
    env.change_batches("UPDATE facts SET text = rtrim(text, '{') WHERE name = 'record'");
    env.restart();
    assert_whole(&env, &batch, &devices);
}

#[test]
fn three_kills_while_chunks_are_sent_while_one_waits_for_a_retry_and_while_the_webhook_hangs() {
    let settings = [("TRANSPORT", "socket"), ("WEBHOOK_SECRET", SECRET)];
    let mut env = TestEnv::isolated(Options::default(), &[&SETTINGS[..], &settings].concat());
    env.add_secret(SECRET);
    let endpoint = Endpoint::start(&[NEVER]);
    let devices = env.devices(&SHOP, "crashes, three kills", 90);
    let (silent, away) = (&devices[0], &devices[89]);
    env.apns
        .fault(Fault::new(FaultKind::Silence).for_token(silent))
        .unwrap();
    env.apns
        .fault(Fault::answer(503, "Shutdown").for_token(away))
        .unwrap();
    let options = head(json!({ "webhook": endpoint.url("/hook") }));
    let batch = Batch::upload(&env, &lines(&options, &devices));
    until("pushes that have ended and one in flight", || {
        shown(&env, &devices) == devices.len() - 2 && env.apns.state().in_flight > 0
    });
    env.kill();

    // The pushes in flight end now. The push that APNs refuses temporarily waits for further rounds.
    env.apns.clear_faults();
    env.apns
        .fault(Fault::answer(503, "Shutdown").for_token(away))
        .unwrap();
    env.restart();
    until_within(PATIENCE, "a push that waits for a retry", || {
        let counts = batch.status(&env)["counts"].clone();
        shown(&env, &devices) == devices.len() - 1 && counts["retrying"] == 1
    });
    env.kill();
    assert!(endpoint.messages().is_empty());
    env.apns.clear_faults();
    env.restart();

    // The batch ends, and its webhook is being delivered when the Worker dies again.
    until_within(PATIENCE, "a webhook that hangs", || {
        !endpoint.messages().is_empty()
    });
    env.kill();
    env.restart();
    until_within(PATIENCE, "the same message again", || {
        endpoint.messages().len() > 1
    });
    let messages = endpoint.messages();
    assert!(messages.iter().all(|message| message.body == messages[0].body));
    assert_whole(&env, &batch, &devices);
}

#[test]
fn during_the_upload() {
    let mut env = env("socket");
    let devices = env.devices(&SHOP, "crashes, upload", 700);
    let body = sale(&devices);
    let key = ("idempotency-key", "crashes, upload");
    let request = Pieces::under_way(&env, key.1, &body[..body.len() * 5 / 6]);
    env.kill();
    drop(request);
    env.restart();
    let batch = Batch(super::keys::id(Caller::Both, key.1));
    env.get(&batch.path("")).problem(404, "batch-not-found");
    // None of its pushes is sent, and it does not block its idempotency key.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(shown(&env, &devices), 0);
    let (again, document) = Batch::accepted(upload(&env, &[key], &body));
    assert_eq!((&again, &document["pushes"]), (&batch, &json!(700)));
    assert_whole(&env, &batch, &devices);
}
