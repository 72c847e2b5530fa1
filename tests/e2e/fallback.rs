//! A server to which no socket can be opened.

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::deployment::{NEWS, SHOP};
use crate::test_env::{Isolated, TestEnv, until};

/// An app with the same credential that sends with `fetch`, so that its connection can be used again.
const BY_FETCH: &str = "shop-by-fetch";

/// Creates an environment that sends over the sockets of `objects` objects, with this setting for the
/// fallback.
fn env(fallback: &str, objects: &str) -> Isolated {
    let mut by_fetch = SHOP.setting();
    by_fetch["transport"] = json!("fetch");
    let apps =
        json!({ SHOP.name: SHOP.setting(), NEWS.name: NEWS.setting(), BY_FETCH: by_fetch }).to_string();
    let settings = [
        ("APPS", apps.as_str()),
        ("TRANSPORT", "socket"),
        ("SOCKET_FALLBACK", fallback),
        ("MAX_CONNECTIONS", objects),
    ];
    TestEnv::isolated(Options::default(), &settings)
}

fn send_request(app: &str, token: &str) -> Value {
    json!({ "app": app, "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": [{ "token": token }] })
}

/// Sets whether the server closes new connections at once.
fn refuse_connections(env: &TestEnv, refuse: bool) {
    let fault = Fault {
        delay_ms: Some(if refuse { 600_000 } else { 0 }),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    env.apns.fault(fault).unwrap();
}

/// Repeats `send` until a request falls into the delay after a failure, and so does not try to connect.
fn until_an_order_does_not_connect(env: &TestEnv, send: impl Fn()) {
    until("an order that does not try to connect", || {
        let before = env.worker.log().matches(CONNECT_FAILED).count();
        let refused = env.apns.state().connections_refused;
        send();
        let after = env.worker.log().matches(CONNECT_FAILED).count();
        (before, refused) == (after, env.apns.state().connections_refused)
    });
}

const CONNECT_FAILED: &str = r#""event":"connect_failed""#;
const FELL_BACK: &str = r#""event":"fell_back""#;

#[test]
fn an_order_for_which_no_socket_opens_goes_by_fetch_and_later_ones_over_a_socket_again() {
    let env = env("fetch", "1");
    let token = env.device("fallback");
    // This opens a connection that `fetch` keeps, because no new one will be accepted.
    assert_eq!(env.push(&send_request(BY_FETCH, &token))["transport"], "fetch");
    refuse_connections(&env, true);
    let push = || {
        let answer = env.push(&send_request("shop", &token));
        assert_eq!(answer["counts"]["accepted"], 1, "{answer}");
        answer["transport"].as_str().unwrap().to_owned()
    };
    assert_eq!(push(), "fetch");
    let log = env.log_with(FELL_BACK, 1);
    assert_eq!(log.matches(FELL_BACK).count(), 1, "{log}");
    assert_eq!(log.matches(CONNECT_FAILED).count(), 1, "{log}");
    assert!(
        log.contains(r#""event":"fell_back","app":"shop","devices":1"#),
        "{log}"
    );
    until_an_order_does_not_connect(&env, || assert_eq!(push(), "fetch"));

    refuse_connections(&env, false);
    until("an order over a socket", || push() == "socket");
    assert_eq!(push(), "socket");
    assert_eq!(env.apns.state().connections_h2, 1);
    assert_eq!(env.apns.state().provider_tokens, 1);
}

#[test]
fn without_a_fallback_an_order_for_which_no_socket_opens_is_turned_away_unsent() {
    let env = env("none", "1");
    let token = env.device("fallback, none");
    let turned_away = || {
        let answer = env.post("/v1/push", &send_request("shop", &token));
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let problem = answer.problem(503, "unavailable");
        assert!(
            problem["detail"].as_str().unwrap().contains("nothing was sent"),
            "{problem}"
        );
    };
    refuse_connections(&env, true);
    turned_away();
    until_an_order_does_not_connect(&env, turned_away);
    assert_eq!(env.apns.state().requests, 0);

    refuse_connections(&env, false);
    until("an order over a socket", || {
        let answer = env.post("/v1/push", &send_request("shop", &token));
        answer.status == 200 && answer.body["transport"] == "socket"
    });
    assert_eq!(env.apns.device(&token)[0].screen.count, 1);

    // Nobody listens any more. The open connection has ended, which the request discovers.
    env.apns.stop();
    turned_away();
    assert_eq!(env.apns.device(&token)[0].screen.count, 1);
    let log = env.log_with(CONNECT_FAILED, 1);
    assert_eq!(log.matches(FELL_BACK).count(), 0, "{log}");
}

#[test]
fn the_failures_of_a_credential_back_off_together_though_it_may_have_several_connections() {
    let env = env("none", "4");
    let token = env.device("fallback, together");
    refuse_connections(&env, true);
    until("the fourth failure", || {
        let send_request = send_request("shop", &token);
        env.post("/v1/push", &send_request).problem(503, "unavailable");
        env.worker.log().matches(CONNECT_FAILED).count() >= 4
    });
    let log = env.worker.log();
    let delays = log.split(r#""retry_in_ms":"#).skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap();
        rest[..end].parse::<u64>().unwrap()
    });
    let delays: Vec<u64> = delays.collect();
    // With an object of its own, the delay would have begun at a second again.
    for (delay, full) in delays.iter().zip([1000, 2000, 4000, 8000]) {
        assert!((full / 2..=full).contains(delay), "{delays:?}");
    }
    assert!(delays.len() >= 4, "{log}");

    refuse_connections(&env, false);
    until("an order over a socket", || {
        env.post("/v1/push", &send_request("shop", &token)).status == 200
    });
    assert_eq!(env.apns.state().connections_h2, 1);
}
