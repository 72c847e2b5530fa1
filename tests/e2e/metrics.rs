//! The metrics: what each way of sending adds, and who may read them.

use std::cell::Cell;
use std::collections::BTreeMap;

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::caller;
use crate::deployment::{Caller, NEWS, SHOP};
use crate::test_env::{TestEnv, until};

/// An app with the shop's credential that sends with `fetch`.
const BY_FETCH: &str = "shop-by-fetch";

/// The samples of an answer, by name and labels.
#[derive(Debug)]
struct Samples(BTreeMap<String, f64>);

impl Samples {
    #[track_caller]
    fn read(env: &TestEnv) -> Self {
        let answer = env.get("/metrics");
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(content_type));
        let body = answer.with_status(200);
        let text = body.as_str().unwrap();
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .map(|line| {
                    let (name, value) = line.rsplit_once(' ').unwrap();
                    let name = name.trim_start_matches("apns_edge_").to_owned();
                    (name, value.parse().unwrap())
                })
                .collect(),
        )
    }

    /// Returns a sample's value, or 0 if it does not exist.
    fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Waits until these samples have these values, because they are added after the answer.
#[track_caller]
fn until_counted(env: &TestEnv, expected: &[(&str, f64)]) -> Samples {
    let found = Cell::new(None);
    until(&format!("{expected:?}"), || {
        let samples = Samples::read(env);
        let all = expected.iter().all(|(name, value)| samples.of(name) == *value);
        found.set(Some(samples));
        all
    });
    found.take().unwrap()
}

fn send_request(app: &str, tokens: &[&str]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": app, "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

#[test]
fn every_way_of_sending_is_counted_once() {
    let mut by_fetch = SHOP.setting();
    by_fetch["transport"] = json!("fetch");
    let apps =
        json!({ SHOP.name: SHOP.setting(), NEWS.name: NEWS.setting(), BY_FETCH: by_fetch }).to_string();
    let settings = [
        ("APPS", apps.as_str()),
        ("TRANSPORT", "socket"),
        ("MAX_CONNECTIONS", "1"),
        ("METRICS_SHARDS", "3"),
    ];
    let env = TestEnv::isolated(Options::default(), &settings);
    let known = env.device("metrics");
    let unknown = env.tokens("metrics, unknown", 1).remove(0);

    // With `fetch`: a request that is sent, and one with a fault.
    let answer = env.push(&send_request(BY_FETCH, &[&known, &unknown]));
    assert_eq!(answer["counts"]["accepted"], 1, "{answer}");
    env.post("/v1/push", &send_request(BY_FETCH, &["not a token"]))
        .problem(422, "invalid-request");
    let samples = until_counted(
        &env,
        &[
            (
                r#"pushes_total{app="shop-by-fetch",push_type="alert",verdict="accepted",reason="none"}"#,
                1.0,
            ),
            (
                r#"pushes_total{app="shop-by-fetch",push_type="alert",verdict="check_token",reason="BadDeviceToken"}"#,
                1.0,
            ),
            (r#"push_seconds_count{transport="fetch"}"#, 2.0),
            (r#"push_seconds_bucket{le="+Inf",transport="fetch"}"#, 2.0),
            (r#"requests_total{app="shop-by-fetch",code="200"}"#, 1.0),
            (r#"requests_total{app="shop-by-fetch",code="422"}"#, 1.0),
            (r#"leases_total{app="shop-by-fetch",outcome="granted"}"#, 1.0),
            (r#"provider_tokens_total{credential="shop"}"#, 1.0),
            (r#"permits_in_use{credential="shop"}"#, 0.0),
        ],
    );
    assert!(
        samples.of(r#"permits_limit{credential="shop"}"#) > 0.0,
        "{samples:?}"
    );
    // The credential is listed once, although two apps have it.
    assert!(
        !samples
            .0
            .contains_key(r#"permits_limit{credential="shop-by-fetch"}"#)
    );

    // No socket can be opened, so the request is sent with `fetch` on an open connection.
    let refuse_connections_for = |millis| Fault {
        delay_ms: Some(millis),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    env.apns.fault(refuse_connections_for(600_000)).unwrap();
    assert_eq!(
        env.push(&send_request(SHOP.name, &[&known]))["transport"],
        "fetch"
    );
    until_counted(
        &env,
        &[
            (r#"fallbacks_total{app="shop"}"#, 1.0),
            (r#"requests_total{app="shop",code="200"}"#, 1.0),
            (r#"push_seconds_count{transport="fetch"}"#, 3.0),
            // One for the socket, and one for `fetch`.
            (r#"leases_total{app="shop",outcome="granted"}"#, 2.0),
            (
                r#"connection_openings_total{credential="shop",outcome="failed"}"#,
                1.0,
            ),
        ],
    );

    // Over a socket, as soon as one can be opened. Until then `fetch` is the fallback.
    env.apns.fault(refuse_connections_for(0)).unwrap();
    let fallbacks = Cell::new(1.0);
    until("an order over a socket", || {
        let transport = env.push(&send_request(SHOP.name, &[&known]))["transport"].clone();
        if transport == "fetch" {
            fallbacks.set(fallbacks.get() + 1.0);
        }
        transport == "socket"
    });
    let send_requests = fallbacks.get() + 1.0;
    until_counted(
        &env,
        &[
            (r#"fallbacks_total{app="shop"}"#, fallbacks.get()),
            (r#"requests_total{app="shop",code="200"}"#, send_requests),
            (
                r#"pushes_total{app="shop",push_type="alert",verdict="accepted",reason="none"}"#,
                send_requests,
            ),
            (r#"push_seconds_count{transport="socket"}"#, 1.0),
            (
                r#"connection_openings_total{credential="shop",outcome="opened"}"#,
                1.0,
            ),
            (r#"connections{credential="shop",state="open"}"#, 1.0),
        ],
    );

    // A batch, whose only chunk is sent over the socket.
    let batch = env.devices(&SHOP, "metrics, batch", 3);
    let tokens: Vec<&str> = batch.iter().map(String::as_str).collect();
    let body = send_request(SHOP.name, &tokens).to_string();
    let headers = [("prefer", "respond-async")];
    let accepted = env.call(Caller::Both, "POST", "/v1/push", &headers, body.as_bytes());
    accepted.with_status(202);
    until_counted(
        &env,
        &[
            (r#"requests_total{app="shop",code="202"}"#, 1.0),
            (r#"chunks_total{app="shop",transport="socket"}"#, 1.0),
            ("queue_seconds_count", 1.0),
            (
                r#"pushes_total{app="shop",push_type="alert",verdict="accepted",reason="none"}"#,
                send_requests + 3.0,
            ),
            (r#"push_seconds_count{transport="socket"}"#, 4.0),
            (r#"batches{app="shop",state="done"}"#, 1.0),
            (r#"batches{app="shop",state="running"}"#, 0.0),
            (r#"permits_in_use{credential="shop"}"#, 0.0),
            (r#"provider_tokens_total{credential="shop"}"#, 1.0),
        ],
    );

    // None of it is secret, and the ids of teams and keys are not included.
    let text = env.get("/metrics").with_status(200).to_string();
    for hidden in [&known, &unknown, SHOP.team_id, SHOP.key_id, "eyJ", "Sale"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!(env.worker.log().matches(r#""event":"metrics_lost""#).count(), 0);
}

#[test]
fn campaigns_are_counted_by_app_and_state() {
    let env = TestEnv::isolated(Options::default(), &[]);
    let audience = json!({ "app": SHOP.name, "shards": 1 }).to_string();
    env.call(Caller::Both, "PUT", "/v1/audiences/all", &[], audience.as_bytes())
        .with_status(201);
    let notification = json!({ "payload": { "aps": { "alert": "Sale" } } });
    let draft = json!({ "name": "Sale", "audience": "all", "notification": notification });
    let mut scheduled = draft.clone();
    scheduled["schedule"] = json!({ "at": "2099-01-01T00:00:00Z" });
    let [_, id, _] = [draft, scheduled.clone(), scheduled].map(|document| {
        let made = env.post("/v1/campaigns", &document).with_status(201);
        made["id"].as_str().unwrap().to_owned()
    });
    let counted = |draft, scheduled, cancelled| {
        until_counted(
            &env,
            &[
                (r#"campaigns{app="shop",state="draft"}"#, draft),
                (r#"campaigns{app="shop",state="scheduled"}"#, scheduled),
                (r#"campaigns{app="shop",state="cancelled"}"#, cancelled),
            ],
        )
    };
    counted(1.0, 2.0, 0.0);
    env.post(&format!("/v1/campaigns/{id}/cancel"), &json!({}))
        .with_status(200);
    counted(1.0, 1.0, 1.0);
    env.call(Caller::Both, "DELETE", &format!("/v1/campaigns/{id}"), &[], b"")
        .with_status(204);
    counted(1.0, 1.0, 0.0);
}

#[test]
fn only_a_key_that_reaches_all_apps_reads_the_metrics() {
    let env = TestEnv::shared();
    let samples = Samples::read(&env);
    assert!(
        samples.0.contains_key(r#"permits_limit{credential="news"}"#),
        "{samples:?}"
    );
    for caller in [Caller::Shop, Caller::News] {
        let answer = env.call(caller, "GET", "/metrics", &[], b"");
        answer.problem(403, "forbidden");
    }
    let url = env.worker.url("/metrics");
    for headers in [vec![], vec![("authorization", "Bearer none")]] {
        let answer = caller::call("GET", &url, &headers, b"");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        answer.problem(401, "unauthenticated");
    }
    let answer = env.call(Caller::Both, "POST", "/metrics", &[], b"");
    answer.problem(405, "method-not-allowed");
}
