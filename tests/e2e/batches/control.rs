//! Watching and controlling a batch.

use std::io::BufRead;
use std::thread::sleep;
use std::time::{Duration, Instant};

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use super::{Batch, all, head, lines, number, requests, sale, shown, upload_as};
use crate::caller;
use crate::deployment::{Caller, NEWS, SHOP};
use crate::shared::over_both_transports;
use crate::test_env::{TestEnv, until};

over_both_transports! {
    a_paused_batch_sends_nothing_until_it_is_resumed,
    a_cancelled_batch_sends_nothing_once_the_cancel_is_answered,
    a_cancel_that_meets_the_end_leaves_each_push_with_one_ending,
    the_events_of_a_batch_tell_its_progress_and_end_with_it,
    batches_are_listed_by_app_state_and_time,
}

/// Long enough for a push to arrive if one was going to be sent.
const A_MOMENT: Duration = Duration::from_millis(1500);

/// Creates an upload that takes some seconds: `pushes` pushes at `rate` per second.
fn slow(env: &TestEnv, name: &str, pushes: usize, rate: u32) -> (Batch, Vec<String>) {
    let name = format!("batches, {name}, {}", env.worker.authority());
    let devices = env.devices(&SHOP, &name, pushes);
    let body = lines(&head(json!({ "rate": rate })), &devices);
    (Batch::upload(env, &body), devices)
}

/// Returns how many pushes to these devices APNs received.
fn sent(env: &TestEnv, devices: &[String]) -> usize {
    let requests = requests(env);
    devices
        .iter()
        .filter_map(|device| requests.get(device))
        .flatten()
        .count()
}

fn a_paused_batch_sends_nothing_until_it_is_resumed(env: &TestEnv) {
    let (batch, devices) = slow(env, "pause", 40, 4);
    until("the first pushes", || shown(env, &devices) > 0);
    let paused = batch.tell(env, "pause").with_status(200);
    assert_eq!(
        (&paused["state"], &paused["paused"]["by"]),
        (&json!("paused"), &json!("caller"))
    );
    until("the end of what was in flight", || {
        batch.status(env)["counts"]["in_flight"] == 0
    });
    let before = sent(env, &devices);
    assert!(before < devices.len());
    sleep(A_MOMENT);
    assert_eq!(sent(env, &devices), before);
    let deleted = env.call(Caller::Both, "DELETE", &batch.path(""), &[], b"");
    deleted.problem(409, "batch-running");
    // Pausing again changes nothing.
    batch.tell(env, "pause").with_status(200);
    batch.tell(env, "resume").with_status(200);
    batch.once_accepted(env);
    assert_eq!(sent(env, &devices), devices.len());
    for action in ["cancel", "pause", "resume"] {
        batch.tell(env, action).problem(409, "batch-ended");
    }
}

fn a_cancelled_batch_sends_nothing_once_the_cancel_is_answered(env: &TestEnv) {
    let (batch, devices) = slow(env, "cancel", 600, 30);
    until("the first pushes", || shown(env, &devices) > 20);
    let cancelled = batch.tell(env, "cancel").with_status(200);
    let before = sent(env, &devices);
    assert_eq!(cancelled["state"], "cancelled");
    let counts = ["accepted", "cancelled"].map(|name| number(&cancelled["counts"][name]));
    assert_eq!(
        counts,
        [before as u64, (devices.len() - before) as u64],
        "{cancelled}"
    );
    assert!(counts[1] > 0);
    sleep(A_MOMENT);
    assert_eq!(sent(env, &devices), before);
    // The receipts have the results of pushes that were in flight.
    for (receipt, device) in batch.receipts(env).iter().zip(&devices) {
        let expected = match env.requests_to(device).len() {
            0 => ("cancelled", 0),
            1 => ("accepted", 1),
            count => panic!("{count} requests for a push"),
        };
        assert_eq!(receipt["status"], expected.0, "{receipt}");
        assert_eq!(receipt["attempts"], expected.1, "{receipt}");
    }
    batch.tell(env, "cancel").with_status(200);
    batch.tell(env, "resume").problem(409, "batch-ended");
    env.call(Caller::Both, "DELETE", &batch.path(""), &[], b"")
        .with_status(204);
    for rest in ["", "/receipts", "/gone", "/suspect", "/events", "/deliveries"] {
        env.get(&batch.path(rest)).problem(404, "batch-not-found");
    }
    batch.tell(env, "cancel").problem(404, "batch-not-found");
}

#[test]
fn a_cancel_answers_before_a_push_that_stays_in_flight_has_ended() {
    // Longer than a cancel waits.
    const ANSWERED_AFTER_MS: u64 = 32_000;
    let settings = [("TRANSPORT", "socket"), ("ATTEMPT_TIMEOUT_MS", "40000")];
    let env = TestEnv::isolated(Options::default(), &settings);
    let devices = env.devices(&SHOP, "batches, long cancel", 300);
    let stall = Fault {
        delay_ms: Some(ANSWERED_AFTER_MS),
        ..Fault::new(FaultKind::Stall)
    };
    env.apns.fault(stall.for_token(&devices[5])).unwrap();
    let body = lines(&head(json!({ "rate": 20 })), &devices);
    let batch = Batch::upload(&env, &body);
    until("the push that waits for its answer", || {
        env.apns.state().in_flight == 1 && shown(&env, &devices) > 10
    });

    let asked = Instant::now();
    let cancelling = batch.tell(&env, "cancel").with_status(202);
    assert!(
        asked.elapsed() >= Duration::from_secs(24),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(cancelling["state"], "cancelling");
    assert!(number(&cancelling["counts"]["in_flight"]) > 0, "{cancelling}");
    let before = sent(&env, &devices);
    assert!(before < devices.len());

    // The receipts have its result nevertheless, and nothing more is sent.
    let cancelled = batch.once(&env, "cancelled");
    let counts = ["accepted", "cancelled"].map(|name| number(&cancelled["counts"][name]));
    assert_eq!(
        counts,
        [before as u64, (devices.len() - before) as u64],
        "{cancelled}"
    );
    assert_eq!(batch.receipts(&env)[5]["status"], "accepted");
    assert_eq!(sent(&env, &devices), before);
}

fn a_cancel_that_meets_the_end_leaves_each_push_with_one_ending(env: &TestEnv) {
    let name = format!("batches, race, {}", env.worker.authority());
    let devices = env.devices(&SHOP, &name, 12 * 10);
    for (turn, devices) in devices.chunks(12).enumerate() {
        let batch = Batch::upload(env, &sale(devices));
        until("so many pushes", || shown(env, devices) >= turn * 12 / 9);
        let answer = batch.tell(env, "cancel");
        let state = match answer.status {
            200 => answer.body["state"].as_str().unwrap().to_owned(),
            _ => {
                answer.problem(409, "batch-ended");
                "done".to_owned()
            }
        };
        let document = batch.status(env);
        assert_eq!(document["state"], *state);
        let accepted = sent(env, devices);
        let counts = ["accepted", "cancelled"].map(|name| number(&document["counts"][name]));
        assert_eq!(counts, [accepted as u64, (12 - accepted) as u64], "{document}");
    }
}

fn the_events_of_a_batch_tell_its_progress_and_end_with_it(env: &TestEnv) {
    let (batch, _) = slow(env, "events", 100, 25);
    let url = env.worker.url(&batch.path("/events"));
    let authorization = format!("Bearer {}", Caller::Both.key());
    let (content_type, lines) = caller::stream(&url, &[("authorization", &authorization)]);
    assert_eq!(content_type, "text/event-stream");
    let lines: Vec<String> = lines.lines().map(Result::unwrap).collect();
    let events: Vec<(&str, Value)> = lines
        .split(String::is_empty)
        .filter(|event| !event.is_empty() && !event[0].starts_with(':'))
        .map(|event| {
            let [name, data] = event else {
                panic!("no event: {event:?}");
            };
            let data = data.strip_prefix("data: ").unwrap();
            (
                name.strip_prefix("event: ").unwrap(),
                serde_json::from_str(data).unwrap(),
            )
        })
        .collect();
    let (end, progress) = events.split_last().unwrap();
    assert_eq!((end.0, &end.1["state"]), ("end", &json!("done")));
    assert_eq!(end.1["counts"]["accepted"], 100);
    let accepted: Vec<u64> = progress
        .iter()
        .map(|(name, document)| {
            assert_eq!(*name, "progress");
            number(&document["counts"]["accepted"])
        })
        .collect();
    assert!(accepted.is_sorted() && accepted.len() > 2, "{accepted:?}");
    // The stream of an ended batch has only its end.
    let (_, lines) = caller::stream(&url, &[("authorization", &authorization)]);
    let lines: Vec<String> = lines.lines().map(Result::unwrap).collect();
    assert_eq!((&*lines[0], lines.len()), ("event: end", 3));
}

fn batches_are_listed_by_app_state_and_time(env: &TestEnv) {
    let name = format!("batches, listing, {}", env.worker.authority());
    let devices = env.devices(&SHOP, &name, 3);
    let made: Vec<(Batch, Value)> = devices
        .chunks(1)
        .map(|device| {
            let batch = Batch::upload(env, &sale(device));
            let document = batch.once(env, "done");
            (batch, document)
        })
        .collect();
    let news = env.devices(&NEWS, &name, 1);
    let mut other = head(json!({}));
    other["app"] = json!("news");
    let (foreign, _) = Batch::accepted(upload_as(Caller::News, env, &[], &lines(&other, &news)));

    // `until` is exclusive.
    let since = made[0].1["created_at"].as_str().unwrap();
    let until_last = made[2].1["ended_at"].as_str().unwrap();
    let query = format!("app=shop&state=done&since={since}&until={until_last}");
    let list = |caller: Caller, query: &str| {
        let answer = env.call(caller, "GET", &format!("/v1/batches?{query}"), &[], b"");
        answer.with_status(200)
    };
    // Other tests create batches too. Of these three, the list has the newest first.
    until("all three in the list", || {
        let listed = list(Caller::Shop, &query);
        let entries = listed["batches"].as_array().unwrap();
        let own: Vec<&Value> = entries
            .iter()
            .filter(|entry| made.iter().any(|(batch, _)| entry["id"] == *batch.0))
            .collect();
        let ids: Vec<&str> = own.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
        ids == [&*made[2].0.0, &*made[1].0.0, &*made[0].0.0]
            && own
                .iter()
                .all(|entry| entry["pushes"] == 1 && entry["state"] == "done")
    });
    // Page by page.
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(Caller::Both, &format!("{query}&limit=1{cursor}"));
        ids.extend(
            all(page["batches"].as_array().unwrap(), "id")
                .iter()
                .map(|id| (*id).to_owned()),
        );
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (batch, _) in &made {
        assert_eq!(ids.iter().filter(|id| **id == batch.0).count(), 1);
    }
    for (caller, id, is_listed) in [
        (Caller::News, &made[0].0.0, false),
        (Caller::News, &foreign.0, true),
        (Caller::Shop, &foreign.0, false),
        (Caller::Both, &foreign.0, true),
    ] {
        let listed = list(caller, "limit=1000");
        let ids = all(listed["batches"].as_array().unwrap(), "id").contains(&&**id);
        assert_eq!(ids, is_listed, "{caller:?}");
    }
}
