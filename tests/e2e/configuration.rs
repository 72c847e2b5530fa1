//! A deployment whose configuration has faults.

use apns_mock::Options;
use serde_json::json;

use crate::caller;
use crate::stage::Stage;

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn all_faults_of_the_configuration_are_told_at_once_and_none_of_its_secrets() {
    let apps = json!({ "shop": { "team_id": "SHOPTEAM01", "key_id": "SHOPKEY001", "topic": "com.example.shop", "enviroment": "sandbox" } });
    let stage = Stage::alone(
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
        let answer = caller::call(method, &stage.worker.url(path), &[], b"");
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
    // It lives nevertheless.
    assert!(caller::is_ok(&stage.worker.url("/healthz")));
    let log = stage.log_with(r#""event":"misconfigured""#, 1);
    assert!(log.contains("/PERMITS"), "{log}");
    assert!(!log.contains("s3cr3t"));
}
