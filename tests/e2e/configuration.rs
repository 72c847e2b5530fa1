//! A deployment whose configuration has faults.

use apns_mock::Options;
use serde_json::json;

use crate::caller;
use crate::deployment::{Caller, NEWS, SHOP};
use crate::test_env::TestEnv;

#[test]
fn all_faults_of_the_configuration_are_told_at_once_and_none_of_its_secrets() {
    let apps = json!({ "shop": { "team_id": "SHOPTEAM01", "key_id": "SHOPKEY001", "topic": "com.example.shop", "enviroment": "sandbox" } });
    let env = TestEnv::isolated(
        Options::default(),
        &[
            ("APPS", &apps.to_string()),
            (
                "API_KEYS",
                r#"[{"name": "backend", "sha256": "s3cr3t", "apps": ["shop", "none"]}]"#,
            ),
            ("APNS_ORIGINS", r#"{"production": "https://example.com"}"#),
            (
                "APNS_KEY_SHOPKEY001",
                "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----",
            ),
            ("ATTEMPT_TIMEOUT_MS", "soon"),
            ("PERMITS", "0"),
        ],
    );
    let pointers = [
        "/APPS/shop/enviroment",
        "/APNS_KEY_SHOPKEY001",
        "/API_KEYS/0/sha256",
        "/API_KEYS/0/apps/1",
        "/ATTEMPT_TIMEOUT_MS",
        "/PERMITS",
        "/APNS_ORIGINS/production",
    ];
    for (method, path) in [
        ("POST", "/v1/push"),
        ("POST", "/v1/preview"),
        ("GET", "/v1/doctor"),
    ] {
        let answer = caller::call(method, &env.worker.url(path), &[], b"");
        let problem = answer.problem(500, "misconfigured");
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<&str> = errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(named, pointers);
        assert!(
            errors[0]["detail"]
                .as_str()
                .unwrap()
                .contains("did you mean `environment`?")
        );
        assert!(!problem.to_string().contains("s3cr3t"));
    }
    let health = caller::call("GET", &env.worker.url("/healthz"), &[], b"");
    assert_eq!(health.with_status(503), json!({ "status": "unavailable" }));
    let log = env.log_with(r#""event":"misconfigured""#, 1);
    assert!(log.contains("/PERMITS"), "{log}");
    assert!(!log.contains("s3cr3t"));
}

#[test]
fn a_fault_of_one_app_stops_that_app_alone() {
    let apps = json!({
        SHOP.name: SHOP.setting(),
        NEWS.name: NEWS.setting(),
        "calls": { "team_id": "SHOPTEAM01", "key_id": "SHOPKEY001", "topic": "com.acme.voip" },
    });
    // The app `news` has no signing key.
    let env = TestEnv::isolated(
        Options::default(),
        &[("APPS", &apps.to_string()), ("APNS_KEY_NEWSKEY001", "")],
    );
    let health = caller::call("GET", &env.worker.url("/healthz"), &[], b"");
    assert_eq!(health.with_status(200), json!({ "status": "degraded" }));
    let [shop, other] = <[String; 2]>::try_from(env.devices(&SHOP, "configuration", 2)).unwrap();
    let send_request = |app: &str, token: &str| {
        let notification = json!({ "payload": { "aps": { "alert": "Sale" } } });
        json!({ "app": app, "notification": notification, "devices": [{ "token": token }] })
    };
    assert_eq!(env.push(&send_request(SHOP.name, &shop))["counts"]["accepted"], 1);
    let queued = [("prefer", "respond-async")];
    let body = send_request(SHOP.name, &other).to_string();
    let batch = env.call(Caller::Shop, "POST", "/v1/push", &queued, body.as_bytes());
    let id = batch.with_status(202)["id"].as_str().unwrap().to_owned();
    crate::test_env::until("the batch of the app that works ends", || {
        env.get(&format!("/v1/batches/{id}")).with_status(200)["state"] == "done"
    });
    assert_eq!(env.requests_to(&other).len(), 1);

    // Only a caller with access to the broken app learns what is missing.
    let body = send_request(NEWS.name, &shop).to_string();
    for headers in [&queued[..], &[]] {
        for caller in [Caller::Both, Caller::News] {
            let answer = env.call(caller, "POST", "/v1/push", headers, body.as_bytes());
            let problem = answer.problem(500, "misconfigured");
            assert_eq!(problem["pointer"], "/APNS_KEY_NEWSKEY001");
        }
        env.call(Caller::Shop, "POST", "/v1/push", headers, body.as_bytes())
            .problem(403, "forbidden");
    }
    let doctor = env.get("/v1/doctor").with_status(200);
    assert_eq!(doctor["healthy"], false);
    assert_eq!(doctor["broken_apps"][0]["name"], "news");
    assert_eq!(doctor["apps"][1]["warnings"][0]["pointer"], "/APPS/calls/topic");
    let doctor = env.call(Caller::Shop, "GET", "/v1/doctor", &[], b"");
    let doctor = doctor.with_status(200);
    assert_eq!(
        (&doctor["healthy"], doctor.get("broken_apps")),
        (&json!(true), None)
    );
}
