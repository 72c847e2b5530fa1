use super::*;
use crate::config::APNS_ORIGINS;
use crate::fixture::{NOW, caller, config, config_with, p8, with_broken_app};
use apns::{Reply, TransportError};
use std::time::Duration;

const IDLE: Inspection = Inspection {
    issued_at: None,
    proven: false,
    stopped_until: None,
    limit: 100,
    in_use: 0,
    leases: 0,
    waiting: 0,
    connections: delivery::pool::PoolStats {
        open: 0,
        idle: 0,
        unavailable: 0,
    },
    last_refusal: None,
};

fn probe(environment: Environment, outcome: Outcome) -> Probe {
    Probe {
        environment,
        transport: Transport::Fetch,
        target: format!("https://{}", environment.host()),
        in_use: true,
        outcome,
        ms: 12,
        streams: None,
    }
}

fn reply(status: u16, body: &str) -> Outcome {
    Outcome::Answered(Reply::read(
        status,
        |_| None,
        body.as_bytes(),
        Timestamp::default(),
    ))
}

fn missing_token() -> Outcome {
    reply(403, r#"{"reason":"MissingProviderToken"}"#)
}

fn is_healthy(gate: Result<Inspection, String>, outcome: Outcome) -> bool {
    let config = config();
    let app = &config.apps[0];
    let checks = [CredentialCheck { app, gate }];
    let answer = answer(
        &config,
        caller(&config, "editor"),
        &[app],
        &checks,
        Ok(&Page::default()),
        &[probe(Environment::Production, outcome)],
        NOW,
    );
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    document["healthy"].as_bool().unwrap()
}

#[test]
fn a_doctors_answer_format_unchanged() {
    // Monitors read `healthy`; operators read the rest.
    let config = config();
    let apps: Vec<&App> = config.apps.iter().collect();
    let checks = [
        CredentialCheck {
            app: apps[0],
            gate: Ok(Inspection {
                issued_at: Some(NOW - Duration::from_secs(125)),
                proven: true,
                stopped_until: Some(NOW + Duration::from_secs(60)),
                limit: 3000,
                in_use: 6,
                leases: 1,
                waiting: 2,
                ..IDLE
            }),
        },
        CredentialCheck {
            app: apps[1],
            gate: Err("the gate is away".to_owned()),
        },
    ];
    let probes = [
        probe(Environment::Production, missing_token()),
        probe(
            Environment::Sandbox,
            Outcome::NotSent(TransportError::Unreachable),
        ),
        Probe {
            transport: Transport::Socket,
            target: "api.sandbox.push.apple.com:2197".to_owned(),
            in_use: false,
            ms: 9,
            streams: Some(1),
            ..probe(Environment::Sandbox, Outcome::Lost(TransportError::Deadline))
        },
    ];
    let answer = answer(
        &config,
        caller(&config, "editor"),
        &apps,
        &checks,
        Ok(&Page::default()),
        &probes,
        NOW,
    );
    assert_eq!((answer.status, answer.content_type), (200, "application/json"));
    let apps = [
        r#"{"name":"shop","topic":"com.example.shop","environment":"production","transport":"fetch","team_id":"set","key_id":"set","signing_key":"set"}"#,
        r#"{"name":"news","topic":"com.example.news","environment":"sandbox","transport":"fetch","team_id":"set","key_id":"set","signing_key":"set"}"#,
    ];
    let gates = [
        r#"{"app":"shop","provider_token_age_s":125,"proven":true,"limit":3000,"in_use":6,"waiting":2,"problem":"APNs refuses the provider tokens; the next attempt is at 2026-11-23T08:01:00.000Z"}"#,
        r#"{"app":"news","proven":false,"limit":0,"in_use":0,"waiting":0,"problem":"the gate is away"}"#,
    ];
    let probes = [
        r#"{"environment":"production","transport":"fetch","target":"https://api.push.apple.com","in_use":true,"ok":true,"answer":"403 MissingProviderToken","ms":12}"#,
        r#"{"environment":"sandbox","transport":"fetch","target":"https://api.sandbox.push.apple.com","in_use":true,"ok":false,"answer":"Unreachable","ms":12}"#,
        r#"{"environment":"sandbox","transport":"socket","target":"api.sandbox.push.apple.com:2197","in_use":false,"ok":false,"answer":"DeadlinePassed","ms":9,"streams":1}"#,
    ];
    assert_eq!(
        answer.body,
        format!(
            r#"{{"healthy":false,"apps":[{}],"attempt_timeout_ms":10000,"permits":3000,"local_origins":false,"gates":[{}],"probes":[{}]}}"#,
            apps.join(","),
            gates.join(","),
            probes.join(",")
        )
    );
}

#[test]
fn only_apns_own_refusal_proves_that_it_was_reached() {
    assert!(is_healthy(Ok(IDLE), missing_token()));
    for outcome in [
        reply(403, "<html>a proxy's page</html>"),
        reply(403, r#"{"reason":"InvalidProviderToken"}"#),
        reply(200, r#"{"reason":"MissingProviderToken"}"#),
        reply(502, ""),
        Outcome::Lost(TransportError::Deadline),
        Outcome::NotSent(TransportError::Unreachable),
    ] {
        assert!(!is_healthy(Ok(IDLE), outcome.clone()), "{outcome:?}");
    }
}

#[test]
fn a_way_that_no_app_sends_by_makes_nobody_ill() {
    let config = config();
    let unused = Probe {
        in_use: false,
        ..probe(Environment::Production, Outcome::Lost(TransportError::Deadline))
    };
    let answer = answer(
        &config,
        caller(&config, "editor"),
        &[],
        &[],
        Ok(&Page::default()),
        &[unused],
        NOW,
    );
    assert!(answer.body.starts_with(r#"{"healthy":true"#), "{}", answer.body);
}

#[test]
fn a_broken_app_is_shown_to_callers_that_reach_it_and_its_faults_are_named() {
    let config = with_broken_app();
    let told = |name| {
        answer(
            &config,
            caller(&config, name),
            &[],
            &[],
            Ok(&Page::default()),
            &[],
            NOW,
        )
        .body
    };
    let all = told("editor");
    let broken = r#""broken_apps":[{"name":"broken","faults":[{"pointer":"/APNS_KEY_NOKEY12345","detail":"is required"}]}]"#;
    assert!(
        all.starts_with(r#"{"healthy":false"#) && all.contains(broken),
        "{all}"
    );
    let shop = told("backend");
    assert!(
        shop.starts_with(r#"{"healthy":true"#) && !shop.contains("broken"),
        "{shop}"
    );
}

#[test]
fn a_gate_is_ill_while_it_is_stopped_and_if_it_does_not_answer() {
    let stopped = |until| {
        Ok(Inspection {
            stopped_until: Some(until),
            ..IDLE
        })
    };
    let second = Duration::from_secs(1);
    assert!(!is_healthy(stopped(NOW + second), missing_token()));
    assert!(is_healthy(stopped(NOW), missing_token()));
    assert!(is_healthy(stopped(NOW - second), missing_token()));
    assert!(!is_healthy(Err("away".to_owned()), missing_token()));
}

#[test]
fn no_secret_and_no_id_is_told() {
    let config = config_with(|name| {
        (name == APNS_ORIGINS).then(|| r#"{"production": "https://localhost:8443"}"#.to_owned())
    });
    let apps: Vec<&App> = config.apps.iter().collect();
    let answer = answer(
        &config,
        caller(&config, "editor"),
        &apps,
        &[],
        Ok(&Page::default()),
        &[],
        NOW,
    )
    .body;
    assert!(answer.contains(r#""local_origins":true"#), "{answer}");
    let key = p8();
    let lines = key.lines().filter(|line| !line.starts_with('-'));
    for secret in lines.chain(["TEAM123456", "KEY1234567", "PRIVATE", "backend", "sha256"]) {
        assert!(!answer.contains(secret), "{secret}");
    }
}

#[test]
fn the_last_refusal_of_a_credential_is_told_with_what_to_compare() {
    let config = config();
    let app = &config.apps[1];
    let refused = Inspection {
        last_refusal: Some(CredentialRefusal {
            reason: "InvalidProviderToken".to_owned(),
            at: NOW,
        }),
        ..IDLE
    };
    let checks = [CredentialCheck {
        app,
        gate: Ok(refused),
    }];
    let page = Page::default();
    let answer = answer(
        &config,
        caller(&config, "editor"),
        &[app],
        &checks,
        Ok(&page),
        &[],
        NOW,
    );
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["healthy"], false);
    let gate = &document["gates"][0];
    assert_eq!(gate["last_refusal"]["reason"], "InvalidProviderToken");
    assert_eq!(gate["last_refusal"]["at"], "2026-11-23T08:00:00.000Z");
    let problem = gate["problem"].as_str().unwrap();
    for part in ["`InvalidProviderToken`", "key_id", "team_id", "`sandbox`"] {
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn paused_batches_are_listed_and_make_nobody_ill() {
    let config = config();
    let page = Page {
        batches: vec![Entry {
            id: "00112233445566778899aabbccddeeff".to_owned(),
            app: "shop".to_owned(),
            state: "paused".to_owned(),
            created_at: NOW,
            ended_at: None,
            pushes: 7,
            webhook: None,
        }],
        cursor: None,
    };
    let told = |paused| answer(&config, caller(&config, "editor"), &[], &[], paused, &[], NOW).body;
    let body = told(Ok(&page));
    let listed = r#""paused_batches":[{"id":"00112233445566778899aabbccddeeff","app":"shop","created_at":"2026-11-23T08:00:00.000Z","pushes":7}]"#;
    assert!(
        body.starts_with(r#"{"healthy":true"#) && body.contains(listed),
        "{body}"
    );
    let body = told(Err("the registry did not answer".to_owned()));
    assert!(body.starts_with(r#"{"healthy":false"#), "{body}");
    assert!(
        body.contains(r#""batches_problem":"the registry did not answer""#),
        "{body}"
    );
}
