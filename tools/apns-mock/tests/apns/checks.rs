//! The checks of `/3/device`, one by one and in their order.

use apns_mock::{DeviceRate, Environment, Options, Registration, Standing, Unknown};
use http::Method;

use crate::support::{Client, Harness, ID, NOW, Push, Signer, TEAM, TOKEN, TOPIC};

#[tokio::test]
async fn a_good_push_is_accepted_with_its_id_and_no_body() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    let answer = client.push(&harness.push()).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("apns-id"), answer.body.len()),
        (200, Some(ID), 0)
    );
    assert_eq!(answer.header("apns-unique-id"), None);

    let made = client.push(&harness.push().without("apns-id")).await.unwrap();
    let id = made.header("apns-id").unwrap();
    assert_eq!((id.len(), id.to_uppercase().as_str()), (36, id));
    assert_eq!(harness.violations(), [""; 0]);
}

#[tokio::test]
async fn the_sandbox_adds_a_unique_id() {
    let harness = Harness::new().await;
    harness
        .server
        .register(&Registration::device(Environment::Sandbox, TOPIC, TOKEN))
        .unwrap();
    let client = Client::connect(&harness.server, Environment::Sandbox).await;
    let answer = client.push(&harness.push()).await.unwrap();
    assert_eq!(answer.header("apns-unique-id").map(str::len), Some(36));
}

/// A request that violates every rule is corrected step by step. Each answer is that of the first rule that
/// is still violated.
#[tokio::test]
async fn the_checks_come_in_their_order() {
    let harness = Harness::new().await;
    let server = &harness.server;
    let elsewhere = Signer::new(TEAM, "KEYSANDBOX");
    let mut spec = elsewhere.spec.clone();
    spec.environments = vec![Environment::Sandbox];
    server.add_key(spec).unwrap();
    let narrow = Signer::new(TEAM, "KEYNARROW1");
    let mut spec = narrow.spec.clone();
    spec.topics = Some(vec!["com.example.other".to_owned()]);
    server.add_key(spec).unwrap();
    let other = Registration::device(Environment::Production, "com.example.other", "bb");
    server.register(&other).unwrap();
    let gone = Registration {
        state: Standing::Unregistered,
        since: Some(77),
        ..other
    };
    server
        .register(&Registration {
            tokens: vec!["cc".to_owned()],
            ..gone
        })
        .unwrap();

    let mut push = Push {
        method: Method::PUT,
        path: "/3/devices".to_owned(),
        headers: Vec::new(),
        body: vec![b'x'; 9000].into(),
    }
    .set("apns-id", "nonsense")
    .set("apns-expiration", "tomorrow")
    .set("apns-priority", "7")
    .set("apns-collapse-id", &"c".repeat(65))
    .set("apns-push-type", "carrier-pigeon");
    push.headers.push(("apns-id".to_owned(), "nonsense".to_owned()));

    type Mend<'a> = Box<dyn Fn(Push) -> Push + 'a>;
    let set = |name: &'static str, value: &str| -> Mend<'_> {
        let value = value.to_owned();
        Box::new(move |push: Push| push.set(name, &value))
    };
    let path = |path: &'static str| -> Mend<'_> {
        Box::new(move |push: Push| Push {
            path: path.to_owned(),
            ..push
        })
    };
    let body = |body: &'static str| -> Mend<'_> { Box::new(move |push: Push| push.body(body)) };
    let steps: Vec<(&str, Mend<'_>)> = vec![
        ("405 MethodNotAllowed", Box::new(|push| push)),
        (
            "404 BadPath",
            Box::new(|push| Push {
                method: Method::POST,
                ..push
            }),
        ),
        ("400 MissingDeviceToken", path("/3/device/")),
        ("400 DuplicateHeaders", path("/3/device/zz")),
        ("403 MissingProviderToken", set("apns-id", "nonsense")),
        ("403 InvalidProviderToken", set("authorization", "bearer a.b.c")),
        (
            "403 BadEnvironmentKeyInToken",
            set("authorization", &elsewhere.bearer(NOW - 7200)),
        ),
        (
            "403 ExpiredProviderToken",
            set("authorization", &narrow.bearer(NOW - 3601)),
        ),
        ("400 BadMessageId", set("authorization", &narrow.bearer(NOW))),
        ("400 BadExpirationDate", set("apns-id", ID)),
        ("400 BadPriority", set("apns-expiration", "0")),
        ("400 BadCollapseId", set("apns-priority", "10")),
        ("400 InvalidPushType", set("apns-collapse-id", &"c".repeat(64))),
        ("400 MissingTopic", set("apns-push-type", "background")),
        ("400 BadTopic", set("apns-topic", "com example")),
        ("400 InvalidPushType", set("apns-topic", "com.example.app.voip")),
        ("400 TopicDisallowed", set("apns-topic", TOPIC)),
        ("413 PayloadTooLarge", set("apns-topic", "com.example.other")),
        ("400 PayloadEmpty", body("")),
        ("400 PayloadEmpty", body("{")),
        ("400 PayloadEmpty", body("[1]")),
        ("400 BadPriority", body("{}")),
        ("400 BadDeviceToken", set("apns-priority", "5")),
        ("400 BadDeviceToken", path("/3/device/dd")),
        (
            "400 DeviceTokenNotForTopic",
            path("/3/device/aa00000000000000000000000000000000000000000000000000000000000001"),
        ),
        ("410 Unregistered", path("/3/device/cc")),
        ("200", path("/3/device/bb")),
    ];
    for (expected, mend) in steps {
        push = mend(push);
        // A new connection each time: an expired token spoils its connection.
        assert_eq!(harness.client().await.reason(&push).await, expected);
    }
}

#[tokio::test]
async fn an_error_echoes_the_id_and_names_its_type() {
    let harness = Harness::new().await;
    let answer = harness
        .client()
        .await
        .push(&harness.push().to("ff"))
        .await
        .unwrap();
    assert_eq!(answer.reason(), "400 BadDeviceToken");
    assert_eq!(answer.header("apns-id"), Some(ID));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_payload_has_4096_bytes_at_most_and_5120_for_voip() {
    let harness = Harness::new().await;
    let voip = Registration::device(Environment::Production, "com.example.app.voip", "0123");
    harness.server.register(&voip).unwrap();
    let client = harness.client().await;
    let sized = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8));
    let alert = |length| harness.push().body(sized(length));
    let voip = |length| {
        let push = alert(length).to("0123");
        push.set("apns-push-type", "voip")
            .set("apns-topic", "com.example.app.voip")
    };
    assert_eq!(client.reason(&alert(4096)).await, "200");
    assert_eq!(client.reason(&alert(4097)).await, "413 PayloadTooLarge");
    assert_eq!(client.reason(&voip(5120)).await, "200");
    assert_eq!(client.reason(&voip(5121)).await, "413 PayloadTooLarge");
    assert_eq!(client.reason(&alert(60_000)).await, "413 PayloadTooLarge");
}

#[tokio::test]
async fn a_token_of_the_other_environment_is_bad() {
    let harness = Harness::new().await;
    let sandbox = Client::connect(&harness.server, Environment::Sandbox).await;
    assert_eq!(sandbox.reason(&harness.push()).await, "400 BadDeviceToken");
    assert_eq!(harness.violations(), [""; 0]);
}

#[tokio::test]
async fn a_voip_token_may_not_be_pushed_on_the_bare_topic() {
    let harness = Harness::new().await;
    let voip = Registration::device(Environment::Production, "com.example.app.voip", "0123");
    harness.server.register(&voip).unwrap();
    let reason = harness.client().await.reason(&harness.push().to("0123")).await;
    assert_eq!(reason, "400 TopicDisallowed");
}

#[tokio::test]
async fn a_dead_device_is_410_with_the_time_of_its_death() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    for (state, reason) in [
        (Standing::Unregistered, "Unregistered"),
        (Standing::Expired, "ExpiredToken"),
    ] {
        let device = Registration::device(Environment::Production, TOPIC, TOKEN);
        let dead = Registration {
            state,
            since: Some(1_700_000_000_123),
            ..device
        };
        harness.server.register(&dead).unwrap();
        let answer = client.push(&harness.push()).await.unwrap();
        assert_eq!(answer.status, 410);
        assert_eq!(
            &answer.body[..],
            format!(r#"{{"reason":"{reason}","timestamp":1700000000123}}"#).as_bytes()
        );
    }
    assert_eq!(harness.violations(), [""; 0]);
}

#[tokio::test]
async fn a_device_pushed_again_after_410_is_a_violation_if_watched() {
    let harness = Harness::with(Options {
        watch_gone: true,
        ..Options::default()
    })
    .await;
    let device = Registration::device(Environment::Production, TOPIC, TOKEN);
    harness
        .server
        .register(&Registration {
            state: Standing::Unregistered,
            ..device
        })
        .unwrap();
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    assert_eq!(harness.violations(), [""; 0]);
    client.push(&harness.push()).await.unwrap();
    assert_eq!(
        harness.violations(),
        ["a device was pushed again after it was answered 410"]
    );
}

#[tokio::test]
async fn a_device_has_its_rate_if_one_is_set() {
    let rate = DeviceRate {
        max: 2,
        window: std::time::Duration::from_secs(1),
    };
    let harness = Harness::with(Options {
        device_rate: Some(rate),
        ..Options::default()
    })
    .await;
    let client = harness.client().await;
    let mut reasons = Vec::new();
    for offset_ms in [0, 0, 0, 999, 1000] {
        harness.server.set_clock_offset_ms(offset_ms);
        reasons.push(client.reason(&harness.push()).await);
    }
    assert_eq!(
        reasons,
        ["200", "200", "429 TooManyRequests", "429 TooManyRequests", "200"]
    );
}

#[tokio::test]
async fn unknown_devices_are_good_for_any_topic_if_wanted() {
    let harness = Harness::with(Options {
        unknown: Unknown::Registered,
        ..Options::default()
    })
    .await;
    let client = harness.client().await;
    for topic in ["com.example.one", "com.example.two"] {
        assert_eq!(
            client
                .reason(&harness.push().to("1234").set("apns-topic", topic))
                .await,
            "200"
        );
    }
    assert_eq!(harness.server.device("1234")[0].screen.count, 2);
}

#[tokio::test]
async fn malformed_requests_are_violations_and_probes_are_not() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    client
        .push(&harness.push().without("authorization"))
        .await
        .unwrap();
    assert_eq!(
        (harness.server.state().probes, harness.violations().len()),
        (1, 0)
    );
    client
        .push(&harness.push().set("apns-priority", "9"))
        .await
        .unwrap();
    client
        .push(&harness.push().without("apns-push-type"))
        .await
        .unwrap();
    client
        .push(&harness.push().set("apns-id", &ID.to_uppercase()))
        .await
        .unwrap();
    client
        .push(&harness.push().set("content-encoding", "gzip"))
        .await
        .unwrap();
    client
        .push(&harness.push().set("apns-expiration", "1767225600000"))
        .await
        .unwrap();
    client
        .push(&harness.push().set("apns-collapse-id", "sale "))
        .await
        .unwrap();
    let violations = harness.violations();
    let starts = [
        "BadPriority: apns-priority was \"9\"",
        "apns-push-type is missing",
        "apns-id is not in lower case",
        "the body is said to be compressed",
        "apns-expiration looks like milliseconds",
        "apns-collapse-id begins or ends with a space",
    ];
    assert_eq!(violations.len(), starts.len(), "{violations:?}");
    for (violation, start) in violations.iter().zip(starts) {
        assert!(violation.starts_with(start), "{violation}");
    }
}
