//! Provider tokens: what is verified, how long they last, and what a connection is bound to.

use apns_mock::{Environment, Options, Registration};
use base64::engine::general_purpose::STANDARD;

use crate::support::{Harness, NOW, Push, Signer, TEAM, TOPIC};

const MINUTE_MS: i64 = 60 * 1000;

#[tokio::test]
async fn a_token_must_be_well_formed_and_signed_by_its_key() {
    let harness = Harness::new().await;
    let good = &harness.signer;
    let impostor = Signer::new(TEAM, "KEY0000001");
    let stranger = Signer::new(TEAM, "STRANGER01");
    let header = r#"{"alg":"ES256","kid":"KEY0000001"}"#;
    let claims = format!(r#"{{"iss":"{TEAM}","iat":{NOW}}}"#);
    let tokens = [
        ("bearer", "bearer a.b".to_owned()),
        ("basic", good.bearer(NOW).replace("bearer", "basic")),
        ("forged", impostor.bearer(NOW)),
        ("unknown key", stranger.bearer(NOW)),
        (
            "other team",
            good.sign(header, &format!(r#"{{"iss":"TEAM000002","iat":{NOW}}}"#)),
        ),
        ("alg", good.sign(r#"{"alg":"HS256","kid":"KEY0000001"}"#, &claims)),
        ("no alg", good.sign(r#"{"kid":"KEY0000001"}"#, &claims)),
        (
            "iat as text",
            good.sign(header, &format!(r#"{{"iss":"{TEAM}","iat":"{NOW}"}}"#)),
        ),
        ("no iat", good.sign(header, &format!(r#"{{"iss":"{TEAM}"}}"#))),
        ("padded", format!("{}==", good.bearer(NOW))),
        ("from the future", good.bearer(NOW + 600)),
    ];
    let client = harness.client().await;
    for (what, token) in tokens {
        assert_eq!(
            client.reason(&Push::new(&token)).await,
            "403 InvalidProviderToken",
            "{what}"
        );
    }
    let with_type = good.sign(r#"{"alg":"ES256","kid":"KEY0000001","typ":"JWT"}"#, &claims);
    assert_eq!(
        client
            .reason(&Push::new(&with_type.replace("bearer", "Bearer")))
            .await,
        "200"
    );
}

#[tokio::test]
async fn an_empty_bearer_is_no_token() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    for header in ["", "bearer", "Bearer", "bearer ", "bearer  "] {
        assert_eq!(
            client.reason(&Push::new(header)).await,
            "403 MissingProviderToken",
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn padding_and_base64s_own_alphabet_are_taken_if_asked_for() {
    let harness = Harness::with(Options {
        any_base64: true,
        ..Options::default()
    })
    .await;
    let claims = format!(r#"{{"iss":"{TEAM}","iat":{NOW}}}"#);
    let header = r#"{"alg":"ES256","kid":"KEY0000001","x":"???"}"#;
    let token = harness.signer.sign_as(&STANDARD, header, &claims);
    assert!(token.contains('=') && token.contains('/'), "{token}");
    let client = harness.client().await;
    assert_eq!(client.reason(&Push::new(&token)).await, "200");
    assert_eq!(harness.violations(), [""; 0]);
}

#[tokio::test]
async fn a_token_lasts_an_hour_and_its_end_spoils_the_connection() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    let old = harness.push();
    assert_eq!(client.reason(&old).await, "200");
    harness.server.set_clock_offset_ms(60 * MINUTE_MS);
    assert_eq!(client.reason(&old).await, "200");
    harness.server.set_clock_offset_ms(60 * MINUTE_MS + 1000);
    assert_eq!(client.reason(&old).await, "403 ExpiredProviderToken");
    let fresh = Push::new(&harness.signer.bearer(NOW + 3600));
    assert_eq!(client.reason(&fresh).await, "403 ExpiredProviderToken");
    assert_eq!(harness.violations(), [""; 0]);
    assert_eq!(harness.client().await.reason(&fresh).await, "200");

    harness.server.set_clock_offset_ms(61 * MINUTE_MS);
    assert_eq!(client.reason(&fresh).await, "403 ExpiredProviderToken");
    assert_eq!(
        harness.violations(),
        ["went on using a connection whose token had expired"]
    );
}

#[tokio::test]
async fn a_connection_takes_a_new_token_every_20_minutes() {
    let harness = Harness::with(Options {
        global_token_floor: false,
        ..Options::default()
    })
    .await;
    let client = harness.client().await;
    let token = |issued_at| Push::new(&harness.signer.bearer(issued_at));
    assert_eq!(client.reason(&token(NOW)).await, "200");
    harness.server.set_clock_offset_ms(20 * MINUTE_MS);
    assert_eq!(client.reason(&token(NOW + 1200)).await, "200");
    assert_eq!(
        client.reason(&token(NOW)).await,
        "200",
        "the token before may still be on its way"
    );
    harness.server.set_clock_offset_ms(39 * MINUTE_MS);
    assert_eq!(
        client.reason(&token(NOW + 2340)).await,
        "429 TooManyProviderTokenUpdates"
    );
    assert_eq!(
        client.reason(&token(NOW + 1200)).await,
        "429 TooManyProviderTokenUpdates",
        "nothing goes now"
    );
    assert_eq!(
        harness.violations(),
        ["a connection got a second provider token within 20 minutes"]
    );
    harness.server.set_clock_offset_ms(40 * MINUTE_MS);
    assert_eq!(client.reason(&token(NOW + 2340)).await, "200");
}

#[tokio::test]
async fn a_key_takes_a_new_token_every_20_minutes_whatever_the_connection() {
    let harness = Harness::new().await;
    let token = |issued_at| Push::new(&harness.signer.bearer(issued_at));
    assert_eq!(harness.client().await.reason(&token(NOW)).await, "200");
    assert_eq!(harness.client().await.reason(&token(NOW)).await, "200");
    assert_eq!(
        harness.client().await.reason(&token(NOW - 1)).await,
        "429 TooManyProviderTokenUpdates"
    );
    assert_eq!(
        harness.violations(),
        ["a second provider token was made for one key within 20 minutes"]
    );
    harness.server.set_clock_offset_ms(20 * MINUTE_MS);
    assert_eq!(harness.client().await.reason(&token(NOW + 1200)).await, "200");
    assert_eq!(harness.server.state().provider_tokens, 3);
}

#[tokio::test]
async fn a_connection_belongs_to_one_team() {
    let harness = Harness::new().await;
    let other = Signer::new("TEAM000002", "KEY0000002");
    harness.server.add_key(other.spec.clone()).unwrap();
    let client = harness.client().await;
    assert_eq!(client.reason(&harness.push()).await, "200");
    assert_eq!(
        client.reason(&Push::new(&other.bearer(NOW))).await,
        "403 InvalidProviderToken"
    );
    assert_eq!(harness.violations(), ["one connection was used for two teams"]);
    assert_eq!(
        harness
            .client()
            .await
            .reason(&Push::new(&other.bearer(NOW)))
            .await,
        "200"
    );
}

#[tokio::test]
async fn a_topic_specific_key_shares_a_connection_with_its_related_key_alone() {
    let harness = Harness::new().await;
    let [one, two, three] = ["NARROW0001", "NARROW0002", "NARROW0003"].map(|id| Signer::new(TEAM, id));
    for (signer, related) in [(&one, None), (&two, Some("NARROW0001")), (&three, None)] {
        let mut spec = signer.spec.clone();
        spec.topics = Some(vec![TOPIC.to_owned()]);
        spec.related_key_id = related.map(str::to_owned);
        harness.server.add_key(spec).unwrap();
    }
    let client = harness.client().await;
    let with = |signer: &Signer| Push::new(&signer.bearer(NOW));
    assert_eq!(client.reason(&with(&one)).await, "200");
    assert_eq!(client.reason(&with(&three)).await, "403 UnrelatedKeyIdInToken");
    assert_eq!(client.reason(&harness.push()).await, "403 UnrelatedKeyIdInToken");
    harness.server.set_clock_offset_ms(20 * MINUTE_MS);
    assert_eq!(client.reason(&with(&two)).await, "200");
}

#[tokio::test]
async fn a_key_serves_its_environments_alone() {
    let harness = Harness::new().await;
    let signer = Signer::new(TEAM, "SANDBOXKEY");
    let mut spec = signer.spec.clone();
    spec.environments = vec![Environment::Sandbox];
    harness.server.add_key(spec).unwrap();
    let reason = harness
        .client()
        .await
        .reason(&Push::new(&signer.bearer(NOW)))
        .await;
    assert_eq!(reason, "403 BadEnvironmentKeyInToken");
    assert_eq!(
        harness.violations(),
        ["key SANDBOXKEY was used in the wrong environment, production"]
    );
}

#[tokio::test]
async fn the_documented_spelling_of_the_environment_reason_is_an_option() {
    let harness = Harness::with(Options {
        documented_environment_reason: true,
        ..Options::default()
    })
    .await;
    let mut spec = harness.signer.spec.clone();
    spec.environments = vec![Environment::Sandbox];
    harness.server.add_key(spec).unwrap();
    assert_eq!(
        harness.client().await.reason(&harness.push()).await,
        "403 BadEnvironmentKeyIdInToken"
    );
}

#[tokio::test]
async fn a_topic_specific_key_covers_the_suffixes_of_its_topics() {
    let harness = Harness::new().await;
    let mut spec = harness.signer.spec.clone();
    spec.topics = Some(vec![TOPIC.to_owned()]);
    harness.server.add_key(spec).unwrap();
    let activity = "com.example.app.push-type.liveactivity";
    harness
        .server
        .register(&Registration::device(Environment::Production, activity, "11"))
        .unwrap();
    let push = harness
        .push()
        .to("11")
        .set("apns-topic", activity)
        .set("apns-push-type", "liveactivity");
    assert_eq!(harness.client().await.reason(&push).await, "200");
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_open_connections_too() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    assert_eq!(client.reason(&harness.push()).await, "200");
    assert!(harness.server.remove_key("KEY0000001"));
    assert_eq!(client.reason(&harness.push()).await, "403 InvalidProviderToken");
}
