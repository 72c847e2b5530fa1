//! A batch for which no socket can be opened.

use std::time::Duration;

use apns_mock::{Fault, FaultKind, Latency, Options};
use serde_json::{Value, json};

use super::{Batch, assert_shown_once, number, requests, wide};
use crate::deployment::{NEWS, SHOP};
use crate::test_env::TestEnv;

/// An app with the same credential that sends with `fetch`.
const BY_FETCH: &str = "shop-by-fetch";

/// The most requests that an invocation has in flight with `fetch`, and so the most connections.
const AT_ONCE: usize = 6;

#[test]
fn a_batch_for_which_no_socket_opens_goes_by_fetch() {
    let mut by_fetch = SHOP.setting();
    by_fetch["transport"] = json!("fetch");
    let apps =
        json!({ SHOP.name: SHOP.setting(), NEWS.name: NEWS.setting(), BY_FETCH: by_fetch }).to_string();
    let options = Options {
        latency: Latency::fixed(Duration::from_millis(20)),
        ..Options::default()
    };
    let settings = [
        ("APPS", apps.as_str()),
        ("TRANSPORT", "socket"),
        ("MAX_CONNECTIONS", "1"),
    ];
    let env = TestEnv::isolated(options, &settings);

    // These open the connections that `fetch` keeps. From then on no new connection is accepted.
    let others = env.devices(&SHOP, "batches, fallback, others", 4 * AT_ONCE);
    let others: Vec<Value> = others.iter().map(|token| json!({ "token": token })).collect();
    let answer = env.push(&json!({
        "app": BY_FETCH, "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": others,
    }));
    assert_eq!(answer["counts"]["accepted"], others.len(), "{answer}");
    let refuse = Fault {
        delay_ms: Some(600_000),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    env.apns.fault(refuse).unwrap();

    let devices = env.devices(&SHOP, "batches, fallback", 60);
    let batch = Batch::upload(&env, &wide(&devices));
    let chunks = number(&batch.status(&env)["chunks"]);
    assert!(chunks > 1);
    batch.once_accepted(&env);
    assert_shown_once(&env, &devices);
    let sent = requests(&env);
    for device in &devices {
        let protocols: Vec<&str> = sent[device].iter().map(|request| request.protocol).collect();
        assert_eq!(protocols, ["h1"]);
    }
    let receipts = batch.receipts(&env);
    assert!(receipts.iter().all(|receipt| receipt["status"] == "accepted"));
    // A chunk whose connection was refused reports it. Later chunks are sent with `fetch` directly.
    let log = env.log_with(r#""event":"chunk_sent""#, usize::try_from(chunks).unwrap());
    let fell_back = log.matches(r#""event":"fell_back","app":"shop""#).count();
    assert!(
        (1..=usize::try_from(chunks).unwrap()).contains(&fell_back),
        "{log}"
    );
    assert_eq!(env.apns.state().connections_h2, 0);
}
