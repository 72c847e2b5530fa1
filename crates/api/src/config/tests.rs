mod api_keys;
mod pasted;

use std::collections::HashMap;

use super::*;

/// A key that was generated for these tests.
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
    assert_eq!(key.caller().name, "backend");
    assert!(key.caller().reaches("shop") && !key.caller().reaches("news"));
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
    assert_eq!(found, ["/API_KEYS: is not JSON: expected value at column 1"]);
}

#[test]
fn a_name_that_occurs_twice_in_a_setting_is_refused_and_null_is_absent() {
    let app = r#""team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop""#;
    let twice = format!(r#"{{"shop": {{{app}, "environment": "sandbox", "environment": "production"}}}}"#);
    assert_eq!(
        faults(&[(APPS, &twice)])[0],
        "/APPS/shop/environment: occurs twice in one object; keep one of them"
    );
    let absent = format!("\u{feff}{{\"shop\": {{{app}, \"environment\": null}}}}");
    let config = load(&[(APPS, &absent)]).unwrap();
    assert_eq!(config.apps[0].credential.environment, Environment::Production);
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
        (sockets.pool.capacity, sockets.pool.idle, sockets.fallback),
        (32, Duration::from_secs(1), false)
    );
}

#[test]
fn debug_output_shows_no_key() {
    let text = format!("{:?}", load(&[]).unwrap());
    assert!(!text.contains("BEGIN") && !text.contains("MIGH"), "{text}");
}

#[test]
fn batches_have_defaults() {
    let expected = Batches {
        queues: 1,
        claim: Duration::from_secs(120),
        retention: Duration::from_secs(7 * 24 * 60 * 60),
        bad_token_percent: 20,
        checkpoint: 100,
        webhook_secrets: Vec::new(),
    };
    assert_eq!(load(&[]).unwrap().batches, expected);
}

#[test]
fn the_batch_settings_are_held_to_their_ranges() {
    let ranges = [
        ("QUEUES", ["1", "8"], ["0", "9"]),
        ("CHUNK_CLAIM_MS", ["5000", "600000"], ["4999", "600001"]),
        ("BATCH_RETENTION", ["1h", "90d"], ["59m", "90d 1s"]),
        ("BATCH_RETENTION", ["PT36H", " 1d 12h "], ["-2d", "1 month"]),
        ("BAD_TOKEN_PAUSE_PERCENT", ["0", "100"], ["-1", "101"]),
        ("CHECKPOINT_PUSHES", ["1", "500"], ["0", "501"]),
    ];
    for (name, good, bad) in ranges {
        let short_attempts = ("ATTEMPT_TIMEOUT_MS", "100");
        for value in good {
            assert!(load(&[(name, value), short_attempts]).is_ok(), "{name} {value}");
        }
        for value in bad {
            let found = faults(&[(name, value), short_attempts]);
            assert_eq!(found.len(), 1, "{name} {value}");
            assert!(found[0].starts_with(&format!("/{name}: must be ")), "{found:?}");
        }
    }
}

#[test]
fn a_run_may_start_an_hour_late_or_as_much_as_the_deployment_says() {
    let grace = |text| load(&[("CAMPAIGN_GRACE", text)]).map(|config| config.campaigns.grace);
    assert_eq!(grace(""), Ok(Duration::from_secs(60 * 60)));
    assert_eq!(grace("1m"), Ok(Duration::from_secs(60)));
    assert_eq!(grace(" 1d "), Ok(Duration::from_secs(24 * 60 * 60)));
    let text = "/CAMPAIGN_GRACE: must be a duration from 1 minute to 24 hours, such as `1h` or `90m`";
    for bad in ["59s", "24h 1s", "-1h", "soon"] {
        assert_eq!(grace(bad), Err(vec![text.to_owned()]), "{bad}");
    }
}

#[test]
fn a_claim_is_longer_than_an_attempt_with_time_to_launch_and_to_settle() {
    // Of the default of ten seconds, and of one that is set.
    for (attempt, enough, less) in [(None, "12500", "12499"), (Some("60000"), "62500", "62499")] {
        let with = |claim| {
            let mut changes = vec![("CHUNK_CLAIM_MS", claim)];
            changes.extend(attempt.map(|attempt| ("ATTEMPT_TIMEOUT_MS", attempt)));
            changes
        };
        assert!(load(&with(enough)).is_ok());
        let text =
            "/CHUNK_CLAIM_MS: leaves no time to send: it must be at least ATTEMPT_TIMEOUT_MS and 2500 more";
        assert_eq!(faults(&with(less)), [text]);
    }
}

#[test]
fn the_batch_settings_are_what_the_deployment_says() {
    let changes = [
        ("QUEUES", "3"),
        ("ATTEMPT_TIMEOUT_MS", "1000"),
        ("CHUNK_CLAIM_MS", "5000"),
        ("BATCH_RETENTION", "1d 12h"),
        ("BAD_TOKEN_PAUSE_PERCENT", "100"),
        ("CHECKPOINT_PUSHES", "7"),
    ];
    let batches = load(&changes).unwrap().batches;
    assert_eq!(
        (batches.queues, batches.bad_token_percent, batches.checkpoint),
        (3, 100, 7)
    );
    assert_eq!(
        (batches.claim, batches.retention),
        (Duration::from_secs(5), Duration::from_secs(36 * 60 * 60))
    );
}

/// Secrets that were generated for these tests.
const SECRETS: [&str; 2] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
];

#[test]
fn several_webhook_secrets_have_spaces_between_them() {
    let [one, other] = SECRETS.map(|secret| {
        load(&[("WEBHOOK_SECRET", secret)])
            .unwrap()
            .batches
            .webhook_secrets
    });
    let both = load(&[("WEBHOOK_SECRET", &format!(" {} \n", SECRETS.join("  ")))]);
    assert_eq!(both.unwrap().batches.webhook_secrets, [one, other].concat());
}

#[test]
fn a_webhook_secret_at_fault_is_named_by_its_place_and_not_quoted() {
    let text = format!("{} hunter2 whsec_hunter2", SECRETS[0]);
    let found = faults(&[("WEBHOOK_SECRET", &text)]);
    assert_eq!(found.len(), 2);
    for (fault, place) in found.iter().zip(["/WEBHOOK_SECRET/1: ", "/WEBHOOK_SECRET/2: "]) {
        assert!(fault.starts_with(place) && !fault.contains("hunter2"), "{fault}");
    }
    assert_eq!(
        faults(&[("WEBHOOK_SECRET", " ")]),
        ["/WEBHOOK_SECRET: holds no secret"]
    );
}

#[test]
fn debug_output_shows_no_webhook_secret() {
    let text = format!("{:?}", load(&[("WEBHOOK_SECRET", SECRETS[0])]).unwrap());
    assert!(
        text.contains("WebhookSecret(…)") && !text.contains("MfKQ"),
        "{text}"
    );
}

#[test]
fn the_metrics_have_one_to_64_shards() {
    let shards = |text| load(&[("METRICS_SHARDS", text)]).map(|config| config.metrics_shards);
    assert_eq!(load(&[]).unwrap().metrics_shards, 4);
    assert_eq!((shards("1").unwrap(), shards("64").unwrap()), (1, 64));
    assert!(shards("0").is_err() && shards("65").is_err());
}

#[test]
fn a_credential_is_called_by_the_first_app_that_has_it() {
    let config = load(&[]).unwrap();
    for app in &config.apps {
        assert_eq!(config.first_app(&app.credential).unwrap().name, app.name);
    }
    let apps = r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"},
                   "shop-2": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#;
    let config = load(&[("APPS", apps)]).unwrap();
    assert_eq!(config.first_app(&config.apps[1].credential).unwrap().name, "shop");
}

#[test]
fn a_fault_of_one_app_stops_that_app_alone() {
    let apps = r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"},
                   "news": {"team_id": "TEAM123456", "key_id": "NOKEY12345", "topic": "com.example.news"},
                   "Bad Name": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.bad"},
                   "typo": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topc": "com.example.typo"},
                   "list": []}"#;
    let config = load(&[(APPS, apps)]).unwrap();
    let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["shop"]);
    let broken: Vec<&str> = config.broken_apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(broken, ["news", "Bad Name", "typo", "list"]);
    assert_eq!(
        config.find_app("news").unwrap_err().to_string(),
        "the settings of the app `news` have faults: /APNS_KEY_NOKEY12345: is required"
    );
    assert_eq!(
        config.find_app("none").unwrap_err().to_string(),
        "no app is called `none` any more"
    );
    // With no app left nothing can be sent: all faults are told.
    let found = faults(&[("APNS_KEY_KEY1234567", ""), (APPS, apps)]);
    assert!(found.len() >= 5, "{found:?}");
}

#[test]
fn a_bundle_id_that_ends_like_a_suffix_is_accepted_with_a_warning() {
    let apps = r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.acme.voip"},
                   "news": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.news"}}"#;
    let config = load(&[(APPS, apps)]).unwrap();
    assert!(config.app("news").unwrap().warnings.is_empty());
    let warning = config.app("shop").unwrap().warnings.to_string();
    assert!(
        warning.starts_with("/APPS/shop/topic: ends in `.voip`") && warning.contains("`com.acme`"),
        "{warning}"
    );
}
