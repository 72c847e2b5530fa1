//! Which uploads become a batch, and what a rejected one leaves behind.

use apns::ApnsId;
use serde_json::{Value, json};

use super::pieces::Pieces;
use super::{Batch, LINES, all, assert_shown_once, head, lines, number, requests, sale, upload};
use crate::deployment::{Caller, SHOP};
use crate::shared::{Shared, over_both_transports};
use crate::test_env::{TestEnv, header, until};

over_both_transports! {
    repeats_collapse_unless_the_caller_says_otherwise,
    a_body_without_a_length_becomes_a_batch,
}

/// The most devices per chunk.
const CHUNK: usize = 500;

#[test]
fn by_fetch_lines_become_a_batch_with_receipts_in_their_order() {
    assert_receipts_in_order(&Shared::by_fetch(), 620);
}

#[test]
fn over_a_socket_lines_become_a_batch_with_receipts_in_their_order() {
    assert_receipts_in_order(&Shared::by_socket(), 2500);
}

#[track_caller]
fn assert_receipts_in_order(env: &TestEnv, pushes: usize) {
    let devices = env.devices(&SHOP, &format!("batches, lines, {pushes}"), pushes);
    let (batch, document) = Batch::accepted(upload(env, &[], &sale(&devices)));
    let told = ["app", "pushes", "chunks", "invalid"].map(|field| document[field].clone());
    assert_eq!(
        told,
        [
            json!("shop"),
            json!(pushes),
            json!(pushes.div_ceil(CHUNK)),
            json!(0)
        ]
    );
    batch.once_accepted(env);
    let pages = batch.pages(env, "receipts?", 400);
    let full = pages.iter().take_while(|page| page.len() == 400).count();
    assert_eq!((full, pages.len()), (pushes / 400, pushes.div_ceil(400)));

    let seed: Vec<u8> = (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&batch.0[at..at + 2], 16).unwrap())
        .collect();
    let requests = requests(env);
    for (place, receipt) in pages.concat().iter().enumerate() {
        let apns_id = ApnsId::derive(seed.clone().try_into().unwrap(), u32::try_from(place).unwrap());
        let expected = json!({
            "index": place,
            "ref": format!("user-{place}"),
            "token_hint": receipt["token_hint"],
            "status": "accepted",
            "apns_id": apns_id.to_string(),
            "code": 200,
            "verdict": "accepted",
            "attempts": 1,
        });
        assert_eq!(receipt, &expected);
        let [request] = &requests[&devices[place]][..] else {
            panic!("more than one request for push {place}");
        };
        assert_eq!(header(request, "apns-id"), Some(&*apns_id.to_string()));
        let collapse_id = format!("{}-{}", batch.0, place / CHUNK);
        assert_eq!(header(request, "apns-collapse-id"), Some(&*collapse_id));
    }
}

fn repeats_collapse_unless_the_caller_says_otherwise(env: &TestEnv) {
    let name = |case: &str| format!("batches, collapsing, {case}, {}", env.worker.authority());
    let plain = env.device(&name("not"));
    let own = env.device(&name("own"));
    let twice = env.device(&name("twice"));
    let mut with_own = head(json!({}));
    with_own["notification"]["collapse_id"] = json!("sale");
    let batches = [
        lines(
            &head(json!({ "collapse_repeats": false })),
            std::slice::from_ref(&plain),
        ),
        lines(&with_own, std::slice::from_ref(&own)),
        // Two different contents for a device are two notifications.
        format!(
            "{}{}\n",
            sale(std::slice::from_ref(&twice)),
            json!({ "token": twice, "payload": { "aps": { "alert": "It ends" } } })
        ),
    ]
    .map(|body| Batch::upload(env, &body));
    for batch in &batches {
        batch.once_accepted(env);
    }
    let collapse_id = |device: &str| {
        let requests = env.requests_to(device);
        header(&requests[0], "apns-collapse-id").map(str::to_owned)
    };
    assert_eq!(collapse_id(&plain), None);
    assert_eq!(collapse_id(&own).as_deref(), Some("sale"));
    assert_eq!(env.apns.device(&twice)[0].screen.count, 2);
}

fn a_body_without_a_length_becomes_a_batch(env: &TestEnv) {
    // This alone exceeds what both transports answer immediately.
    let filler = "x".repeat(3000);
    let devices = env.devices(
        &SHOP,
        &format!("batches, no length, {}", env.worker.authority()),
        60,
    );
    let mut body = format!("{}\n", head(json!({})));
    let padding = format!("{}\n", " ".repeat(32 * 1024 - 1)).repeat(32);
    for device in &devices {
        body.push_str(&format!(
            "{}\n",
            json!({ "token": device, "payload": { "filler": filler } })
        ));
    }
    let mut request = Pieces::send(env, &[("content-type", LINES)]);
    request.piece(body.as_bytes());
    for _ in 0..17 {
        request.piece(padding.as_bytes());
    }
    let (batch, document) = Batch::accepted(request.end());
    assert_eq!(document["pushes"], 60);
    // A chunk has at most 60 KB.
    assert!(number(&document["chunks"]) >= 3, "{document}");
    batch.once_accepted(env);
    assert_shown_once(env, &devices);
}

#[test]
fn what_is_too_much_for_an_answer_or_asks_for_it_becomes_a_batch() {
    let env = Shared::by_fetch();
    let devices = env.devices(&SHOP, "batches, ways", 501);
    let send_request = |tokens: &[String]| {
        let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
        json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
    };
    let mut with_field = send_request(&devices[..1]);
    with_field["batch"] = json!({});
    let few = send_request(&devices[..1]);
    // In any formatting.
    let spread = serde_json::to_string_pretty(&few).unwrap().replace('\n', "\r\n");
    let headers = [("prefer", "respond-async")];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, spread.as_bytes());
    Batch::accepted(answer).0.once_accepted(&env);
    for (document, header) in [
        (send_request(&devices), None),
        (few.clone(), Some(("prefer", "respond-async, wait=5"))),
        (few, Some(("idempotency-key", "ways"))),
        (with_field, None),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let body = document.to_string();
        let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
        let (batch, told) = Batch::accepted(answer);
        assert_eq!(told["pushes"], document["devices"].as_array().unwrap().len());
        batch.once_accepted(&env);
    }
}

#[test]
fn a_line_at_fault_refuses_all_or_is_left_out_as_the_caller_says() {
    let env = Shared::by_socket();
    let devices = env.devices(&SHOP, "batches, faults", 700);
    let mut tokens = devices.clone();
    // The header is the first line.
    for line in [4, 602] {
        tokens[line - 2] = "no token".to_owned();
    }
    let key = [("idempotency-key", "batches, faults")];
    let refused = upload(&env, &key, &sale(&tokens));
    let problem = refused.problem(422, "invalid-request");
    let errors = problem["errors"].as_array().unwrap();
    let lines_at_fault: Vec<u64> = errors.iter().map(|error| number(&error["line"])).collect();
    assert_eq!(lines_at_fault, [4, 602], "{problem}");
    assert_eq!(all(errors, "pointer")[0], "/devices/2/token");

    // Nothing is left of it, so the key is free.
    let mut skipping = head(json!({}));
    skipping["on_invalid"] = json!("skip");
    let (batch, document) = Batch::accepted(upload(&env, &key, &lines(&skipping, &tokens)));
    let faults = document["invalid_lines"].as_array().unwrap();
    let skipped: Vec<u64> = faults.iter().map(|fault| number(&fault["line"])).collect();
    assert_eq!(
        (&document["pushes"], &document["invalid"], skipped),
        (&json!(698), &json!(2), vec![4, 602])
    );
    batch.once_accepted(&env);
    let sent = requests(&env);
    for (place, device) in devices.iter().enumerate() {
        let count = sent.get(device).map_or(0, Vec::len);
        assert_eq!(count, usize::from(tokens[place] == *device));
    }
    let references = batch.receipts(&env);
    assert_eq!(references[2]["ref"], "user-3");
}

#[test]
fn of_what_is_refused_or_breaks_off_nothing_is_left() {
    let env = Shared::by_socket();
    let devices = env.devices(&SHOP, "batches, broken off", 1200);
    let body = sale(&devices);
    let key = ("idempotency-key", "batches, broken off");
    for _ in 0..2 {
        // More than a chunk has arrived, and a line has begun.
        Pieces::under_way(&env, key.1, &body[..body.len() * 2 / 3]).break_off(&env, key.1);
    }
    let mut accepted = None;
    until("the end of the upload that broke off", || {
        let answer = upload(&env, &[key], &body);
        let is_accepted = answer.status == 202;
        if is_accepted {
            assert_eq!(answer.header("idempotent-replayed"), None);
            accepted = Some(Batch::accepted(answer).0);
        }
        is_accepted
    });
    accepted.unwrap().once_accepted(&env);
    let sent = requests(&env);
    assert!(devices.iter().all(|device| sent[device].len() == 1));

    // A rejected body and an incomplete one leave no batch behind.
    for (key, body) in [
        ("batches, refused", sale(&["no token".to_owned()])),
        ("batches, no JSON", "{\"app\":\"shop\"".to_owned()),
    ] {
        let answer = upload(&env, &[("idempotency-key", key)], &body);
        assert!(matches!(answer.status, 400 | 422), "{}", answer.body);
        let batch = Batch(super::keys::id(Caller::Both, key));
        env.get(&batch.path("")).problem(404, "batch-not-found");
    }
}

#[test]
fn a_document_has_its_limit_and_says_that_lines_have_none() {
    let env = Shared::by_fetch();
    let mut body = head(json!({})).to_string().into_bytes();
    body.resize(16 * 1024 * 1024 + 1, b' ');
    let headers = [("prefer", "respond-async")];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &headers, &body);
    let problem = answer.problem(413, "body-too-large");
    assert!(problem["detail"].as_str().unwrap().contains(LINES), "{problem}");
}
