//! The number of connections, who shares one, and how much is in flight on it.

use std::thread;
use std::time::Duration;

use apns_mock::{DEFAULT_STREAMS, Environment, Latency, Options};
use serde_json::{Value, json};

use crate::deployment::{App, NEWS, SHOP};
use crate::test_env::{TestEnv, until};

/// The most devices of a request over a socket.
const MOST_DEVICES: usize = 10_000;

/// Another app with the shop's credential and topic.
const OUTLET: App = App {
    name: "outlet",
    ..SHOP
};

/// An app of another team in the shop's environment.
const TOYS: App = App {
    name: "toys",
    topic: "com.example.toys",
    environment: Environment::Production,
    team_id: "TOYSTEAM01",
    key_id: "TOYSKEY001",
};

fn send_request(app: &App, tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": app.name, "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

#[test]
fn one_connection_carries_the_largest_orders_up_to_the_servers_limit_and_closes_when_idle() {
    let settings = [
        ("TRANSPORT", "socket"),
        ("MAX_CONNECTIONS", "1"),
        ("SOCKETS_PER_CONNECTION", "1"),
        ("CONNECTION_IDLE_MS", "1000"),
    ];
    let options = Options {
        latency: Latency::fixed(Duration::from_millis(500)),
        ..Options::default()
    };
    let env = TestEnv::isolated(options, &settings);
    let devices = env.devices(&SHOP, "pool", MOST_DEVICES + 1);
    let answer = env.push(&send_request(&SHOP, &devices[..MOST_DEVICES]));
    assert_eq!(answer["transport"], "socket");
    assert_eq!(answer["counts"]["accepted"], MOST_DEVICES);
    let state = env.apns.state();
    assert_eq!(state.peak_in_flight_on_one_connection, u64::from(DEFAULT_STREAMS));
    assert_eq!((state.streams_refused, state.accepted), (0, MOST_DEVICES as u64));

    // Two at once.
    thread::scope(|scope| {
        for part in devices[..1000].chunks(500) {
            let env = &env;
            scope.spawn(move || assert_eq!(env.push(&send_request(&SHOP, part))["counts"]["accepted"], 500));
        }
    });
    let state = env.apns.state();
    assert_eq!((state.connections_h2, state.connections_h1), (1, 0));

    until("the end of the idle connection", || {
        env.apns.state().connections_open == 0
    });
    env.push(&send_request(&SHOP, &devices[MOST_DEVICES..]));
    let state = env.apns.state();
    assert_eq!((state.connections_h2, state.provider_tokens), (2, 1));
    assert_eq!(state.peak_in_flight_on_one_connection, u64::from(DEFAULT_STREAMS));
}

#[test]
fn apps_of_one_credential_share_a_connection_and_no_two_credentials_do() {
    let all = [SHOP, NEWS, OUTLET, TOYS];
    let apps: serde_json::Map<String, Value> = all
        .iter()
        .map(|app| (app.name.to_owned(), app.setting()))
        .collect();
    let settings = [
        ("TRANSPORT", "socket"),
        ("APPS", &Value::from(apps).to_string()),
        (&format!("APNS_KEY_{}", TOYS.key_id), &TOYS.private_pem()),
    ];
    let env = TestEnv::isolated(Options::default(), &settings);
    env.apns.add_key(TOYS.key()).unwrap();
    let sent = all.map(|app| {
        let tokens = env.devices(&app, &format!("pool, {}", app.name), 30);
        (app, tokens)
    });
    thread::scope(|scope| {
        for (app, tokens) in &sent {
            let env = &env;
            scope.spawn(move || assert_eq!(env.push(&send_request(app, tokens))["counts"]["accepted"], 30));
        }
    });
    let [shop, news, outlet, toys] = sent.map(|(app, tokens)| {
        let requests = tokens.iter().flat_map(|token| env.requests_to(token));
        let mut connections: Vec<u64> = requests.map(|request| request.connection).collect();
        connections.dedup();
        assert_eq!(connections.len(), 1, "{}", app.name);
        connections[0]
    });
    assert_eq!(shop, outlet);
    assert!(shop != toys && shop != news && toys != news);
    // The check of the environment asserts that no connection had two teams.
    assert_eq!(env.apns.state().connections_h2, 3);
}

#[test]
fn a_connection_that_was_opened_for_an_order_at_fault_closes_when_idle_too() {
    let settings = [("TRANSPORT", "socket"), ("CONNECTION_IDLE_MS", "1000")];
    let env = TestEnv::isolated(Options::default(), &settings);
    let faulty = send_request(&SHOP, &["not a token".to_owned()]);
    env.post("/v1/push", &faulty).problem(422, "invalid-request");
    assert_eq!(env.apns.state().connections_h2, 1);
    until("the end of the idle connection", || {
        env.apns.state().connections_open == 0
    });
}
