use std::collections::HashMap;

use super::*;

/// A key that was made for these tests.
const TEST_P8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9gUv1zIuWW4SbwzW
CjhH5i9yIEvqApJl71xn0ameHnmhRANCAAS4xlRawWuOmVdTD12TYHfgP/nGCpzy
TPguJu66MCpm9rrn+1zhMSsg+jWxrbpWeU0N1pidyW//3PLER2ZNCl/V
-----END PRIVATE KEY-----";

/// SHA-256 of `secret`.
const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

fn settings(changes: &[(&str, &str)]) -> HashMap<String, String> {
    let apps = r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"},
                   "news": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.news", "environment": "sandbox"}}"#;
    let keys = format!(r#"[{{"name": "backend", "sha256": "{HASH}", "apps": ["shop"]}}]"#);
    let mut settings: HashMap<String, String> = [
        (APPS.to_owned(), apps.to_owned()),
        (API_KEYS.to_owned(), keys),
        ("APNS_KEY_KEY1234567".to_owned(), TEST_P8.to_owned()),
    ]
    .into();
    for (name, value) in changes {
        settings.remove(*name);
        if !value.is_empty() {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
    }
    settings
}

fn load(changes: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let settings = settings(changes);
    Config::load(|name| settings.get(name).cloned())
        .map_err(|faults| faults.listed().iter().map(ToString::to_string).collect())
}

fn faults(changes: &[(&str, &str)]) -> Vec<String> {
    load(changes).expect_err("faults")
}

#[test]
fn a_whole_configuration_is_read() {
    let config = load(&[]).unwrap();
    let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["shop", "news"]);
    assert_eq!(
        config.app("news").unwrap().credential.environment,
        Environment::Sandbox
    );
    assert_eq!(
        config.app("shop").unwrap().credential.environment,
        Environment::Production
    );
    assert_eq!(
        config.origin(Environment::Production),
        "https://api.push.apple.com"
    );
    assert_eq!(config.attempt_timeout, Duration::from_secs(10));
}

#[test]
fn a_key_is_known_by_its_hash_and_reaches_its_apps_alone() {
    let config = load(&[]).unwrap();
    let key = &config.api_keys[0];
    assert!(key.matches("secret") && !key.matches("Secret") && !key.matches(HASH));
    assert!(key.reaches("shop") && !key.reaches("news"));
}

#[test]
fn all_faults_are_reported_at_once_by_variable() {
    let apps = r#"{"shop": {"team_id": "short", "key_id": "KEY1234567", "topic": "shop", "env": "sandbox"}}"#;
    let found = faults(&[
        (APPS, apps),
        (API_KEYS, "[{\"name\": 1}]"),
        (PERMITS, "0"),
        (ATTEMPT_TIMEOUT_MS, "soon"),
    ]);
    let pointers: Vec<&str> = found
        .iter()
        .filter_map(|fault| fault.split(": ").next())
        .collect();
    assert_eq!(
        pointers,
        [
            "/APPS/shop/env",
            "/APPS/shop/team_id",
            "/APPS/shop/topic",
            "/API_KEYS/0/sha256",
            "/API_KEYS/0/apps",
            "/API_KEYS/0/name",
            "/ATTEMPT_TIMEOUT_MS",
            "/PERMITS",
        ]
    );
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(faults(&[(APPS, "")])[0], "/APPS: is required");
    assert_eq!(faults(&[(API_KEYS, "")]), ["/API_KEYS: is required"]);
    assert_eq!(
        faults(&[("APNS_KEY_KEY1234567", "")]),
        ["/APNS_KEY_KEY1234567: is required"]
    );
}

#[test]
fn swapped_ids_are_named_as_such() {
    let apps = r#"{"shop": {"team_id": "KEY1234567", "key_id": "TEAM123456", "topic": "com.example.shop"}}"#;
    let found = faults(&[(APPS, apps)]);
    assert!(
        found[0].starts_with("/APPS/shop/key_id: ") && found[0].contains("Swap"),
        "{found:?}"
    );
}

#[test]
fn a_key_itself_in_place_of_its_hash_is_refused_and_not_quoted() {
    let keys = r#"[{"name": "backend", "sha256": "my-plain-key", "apps": "*"}]"#;
    let found = faults(&[(API_KEYS, keys)]);
    assert!(found[0].starts_with("/API_KEYS/0/sha256: "), "{found:?}");
    assert!(!found[0].contains("my-plain-key"));
}

#[test]
fn a_secret_that_is_not_json_is_located_and_not_quoted() {
    let found = faults(&[(API_KEYS, "sk_live_abcdef")]);
    assert_eq!(found, ["/API_KEYS: is not JSON: line 1, column 1"]);
}

#[test]
fn a_key_for_an_app_that_is_not_there_is_a_fault() {
    let keys = format!(r#"[{{"name": "backend", "sha256": "{HASH}", "apps": ["shp"]}}]"#);
    assert_eq!(
        faults(&[(API_KEYS, &keys)]),
        ["/API_KEYS/0/apps/0: is not one of the apps in APPS"]
    );
}

#[test]
fn only_this_machine_can_stand_in_for_apple() {
    let config = load(&[(APNS_ORIGINS, r#"{"production": "https://localhost:8443"}"#)]).unwrap();
    assert_eq!(config.origin(Environment::Production), "https://localhost:8443");
    assert_eq!(
        config.origin(Environment::Sandbox),
        "https://api.sandbox.push.apple.com"
    );
    for origin in [
        "https://evil.example:443",
        "https://localhost:8443/x",
        "https://localhost@evil.example:1",
        "localhost:1",
    ] {
        let found = faults(&[(APNS_ORIGINS, &format!(r#"{{"production": "{origin}"}}"#))]);
        assert!(found[0].starts_with("/APNS_ORIGINS/production: "), "{origin}");
    }
}

#[test]
fn the_transport_is_the_deployments_unless_an_app_has_its_own() {
    let apps = r#"{"a": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.a"},
                   "b": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.b", "transport": "fetch"}}"#;
    let keys = format!(r#"[{{"name": "backend", "sha256": "{HASH}", "apps": "*"}}]"#);
    let config = load(&[(APPS, apps), (API_KEYS, &keys), ("TRANSPORT", "socket")]).unwrap();
    assert_eq!(config.app("a").unwrap().transport, Transport::Socket);
    assert_eq!(config.app("b").unwrap().transport, Transport::Fetch);
    assert_eq!(
        load(&[]).unwrap().app("shop").unwrap().transport,
        Transport::Fetch
    );
    assert_eq!(
        faults(&[("TRANSPORT", "carrier")]),
        ["/TRANSPORT: must be one of: fetch, socket"]
    );
}

#[test]
fn a_socket_goes_to_apples_host_or_to_this_machine() {
    let config = load(&[("APNS_PORT", "2197")]).unwrap();
    let apple = Address {
        host: "api.push.apple.com".to_owned(),
        port: 2197,
        tls: true,
    };
    assert_eq!(config.address(Environment::Production), apple);
    let config = load(&[(APNS_ORIGINS, r#"{"sandbox": "http://127.0.0.1:9000"}"#)]).unwrap();
    let local = Address {
        host: "127.0.0.1".to_owned(),
        port: 9000,
        tls: false,
    };
    assert_eq!(config.address(Environment::Sandbox), local);
}

#[test]
fn the_socket_settings_are_held_to_their_ranges() {
    let changes = [
        ("MAX_CONNECTIONS", "33"),
        ("SOCKETS_PER_CONNECTION", "3"),
        ("CONNECTION_IDLE_MS", "999"),
        ("APNS_PORT", "80"),
        ("SOCKET_FALLBACK", "x"),
    ];
    assert_eq!(faults(&changes).len(), changes.len());
    let changes = [
        ("MAX_CONNECTIONS", "32"),
        ("CONNECTION_IDLE_MS", "1000"),
        ("SOCKET_FALLBACK", "none"),
    ];
    let sockets = load(&changes).unwrap().sockets;
    assert_eq!(
        (sockets.shape.capacity, sockets.shape.idle, sockets.fallback),
        (32, Duration::from_secs(1), false)
    );
}

#[test]
fn debug_output_shows_no_key() {
    let text = format!("{:?}", load(&[]).unwrap());
    assert!(!text.contains("BEGIN") && !text.contains("MIGH"), "{text}");
}
