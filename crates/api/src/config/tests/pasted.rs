use super::*;

#[test]
fn a_value_is_read_whatever_was_pasted_around_it() {
    let apps = r#"{"shop": {"team_id": " TEAM123456\n", "key_id": "\ufeffKEY1234567", "topic": "\"com.example.shop\"",
                           "environment": "Sandbox ", "transport": "SOCKET"}}"#;
    let keys = format!(r#"[{{"name": "backend", "sha256": " {HASH}  -\n", "apps": "shop"}}]"#);
    let bent = |text: &str| {
        let string = serde_json::to_string(text).unwrap();
        [
            text.to_owned(),
            format!("\u{feff}{text}\r\n"),
            format!("'{text}'\n"),
            string,
        ]
    };
    for (apps, keys) in bent(apps).iter().zip(&bent(&keys)) {
        let config = load(&[
            (APPS, apps),
            (API_KEYS, keys),
            (PERMITS, "\u{feff}\"7\"\n"),
            ("SOCKET_FALLBACK", " 'NONE'\r\n"),
            ("BATCH_RETENTION", "\"36h\"\n"),
            ("WEBHOOK_SECRET", &format!("\u{feff}\"{}\"\r\n", SECRETS[0])),
        ])
        .unwrap();
        let app = config.app("shop").unwrap();
        assert_eq!(app.credential.to_string(), "TEAM123456/KEY1234567/sandbox");
        assert_eq!(
            (app.bundle_id.as_str(), app.transport),
            ("com.example.shop", Transport::Socket)
        );
        assert!(config.api_keys[0].matches("secret") && config.api_keys[0].caller().reaches("shop"));
        assert_eq!((config.permits, config.sockets.fallback), (7, false));
        assert_eq!(config.batches.retention, Duration::from_hours(36));
        assert_eq!(config.batches.webhook_secrets.len(), 1);
    }
}

#[test]
fn a_blank_variable_is_as_none() {
    let config = load(&[
        (PERMITS, " \n"),
        ("TRANSPORT", "\u{feff}"),
        ("BATCH_RETENTION", " "),
    ])
    .unwrap();
    assert_eq!(config.permits, 3000);
    assert_eq!(faults(&[(APPS, " \n")])[0], "/APPS: is required");
}

#[test]
fn an_id_of_digits_may_be_a_number() {
    let apps = r#"{"shop": {"team_id": 1234567890, "key_id": "KEY1234567", "topic": "com.example.shop"}}"#;
    let config = load(&[(APPS, apps)]).unwrap();
    assert_eq!(config.apps[0].credential.team_id.as_str(), "1234567890");
}
