//! The documents of campaigns: read, written back, deleted, and hidden from keys without access to their app.

use serde_json::{Value, json};

use super::{Audience, Campaign, fire_trigger_soon, lines, send, shown, soon};
use crate::deployment::{Caller, SHOP};
use crate::test_env::TestEnv;

/// Returns a campaign that is due in the far future.
fn later(audience: &Audience) -> Value {
    let mut document = soon(audience, "Hello");
    document["schedule"] = json!({"at": "2099-01-01T00:00:00Z"});
    document
}

#[test]
fn a_document_that_was_read_can_be_changed_and_put_back() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "documents", 2);
    let devices = env.devices(&SHOP, "campaigns, documents", 3);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let mut draft = later(&audience);
    draft["draft"] = json!(true);
    for (document, state) in [(later(&audience), "scheduled"), (draft, "draft")] {
        let campaign = Campaign::create(&env, &document);
        let mut read = campaign.status(&env);
        assert_eq!(read["state"], state);
        let put = send(&env, "PUT", &campaign.path(""), &read).with_status(200);
        assert_eq!(put, read, "as it was");
        read["notification"]["payload"]["aps"]["alert"]["body"] = json!("Mended");
        read["schedule"] = soon(&audience, "")["schedule"].clone();
        let put = send(&env, "PUT", &campaign.path(""), &read).with_status(200);
        assert_eq!((&put["state"], &put["id"]), (&json!(state), &json!(campaign.0)));
        fire_trigger_soon(&env);
        // A draft is not sent, however often it is written back.
        if state == "draft" {
            assert!(campaign.runs(&env).is_empty());
        } else {
            assert_eq!(campaign.done(&env)["pushes"], 3);
        }
        // Once per device.
        for device in &devices {
            assert_eq!(shown(&env, device), "Mended");
        }
    }
}

#[test]
fn a_campaign_that_has_ended_can_be_deleted() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "deleted", 1);
    let campaign = Campaign::create(&env, &later(&audience));
    let delete = || env.call(Caller::Both, "DELETE", &campaign.path(""), &[], b"");
    delete().problem(409, "campaign-state");
    campaign.tell(&env, "cancel").with_status(200);
    // A cancelled campaign stays cancelled, and cancelling it again succeeds.
    assert_eq!(
        campaign.tell(&env, "cancel").with_status(200)["state"],
        "cancelled"
    );
    delete().with_status(204);
    delete().problem(404, "campaign-not-found");
    env.get(&campaign.path("")).problem(404, "campaign-not-found");
    env.get(&campaign.path("/runs"))
        .problem(404, "campaign-not-found");
    let list = env.get("/v1/campaigns").with_status(200);
    let mut listed = list["campaigns"].as_array().unwrap().iter();
    assert!(listed.all(|other| other["id"] != campaign.0.as_str()));
}

#[test]
fn a_key_that_does_not_reach_the_app_finds_no_campaign_and_no_audience() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "hidden", 1);
    let campaign = Campaign::create(&env, &later(&audience));
    let body = later(&audience).to_string();
    let refs = br#"{"refs":["user-0"]}"#;
    for (method, below, body) in [
        ("GET", "", &b""[..]),
        ("PUT", "", body.as_bytes()),
        ("DELETE", "", b""),
        ("GET", "/runs", b""),
        ("POST", "/schedule", b""),
        ("POST", "/pause", b""),
        ("POST", "/resume", b""),
        ("POST", "/cancel", b""),
        ("POST", "/preview", refs),
        ("POST", "/test", refs),
    ] {
        let answer = env.call(Caller::News, method, &campaign.path(below), &[], body);
        answer.problem(404, "campaign-not-found");
    }
    for (method, below, body) in [
        ("GET", "", &b""[..]),
        ("DELETE", "", b""),
        ("GET", "/devices", b""),
        ("POST", "/devices", b""),
        ("DELETE", "/devices", b""),
        ("POST", "/count", b""),
    ] {
        let answer = env.call(Caller::News, method, &audience.path(below), &[], body);
        answer.problem(404, "audience-not-found");
    }
    // To this caller, another app's audience looks like a missing one.
    let told = |body: &str| {
        let answer = env.call(Caller::News, "POST", "/v1/campaigns", &[], body.as_bytes());
        answer.problem(422, "invalid-request").to_string()
    };
    assert_eq!(told(&body), told(&body.replace("hidden", "missing")));
    let taken = br#"{"app":"news","shards":1}"#;
    let conflict = env
        .call(Caller::News, "PUT", &audience.path(""), &[], taken)
        .problem(409, "audience-conflict");
    assert!(!conflict.to_string().contains("shop"), "{conflict}");
    let list = env
        .call(Caller::News, "GET", "/v1/campaigns", &[], b"")
        .with_status(200);
    let mut listed = list["campaigns"].as_array().unwrap().iter();
    assert!(listed.all(|other| other["app"] == "news"), "{list}");
    assert_eq!(campaign.status(&env)["state"], "scheduled");
}

#[test]
fn a_repeated_request_makes_one_campaign_which_starts_at_once_if_it_is_due_now() {
    let env = &TestEnv::shared();
    let audience = Audience::create(env, "repeated", 1);
    let devices = env.devices(&SHOP, "campaigns, repeated", 2);
    audience.import(env, &lines(&devices, |_| json!({"tags": ["in"]})));
    let mut document = later(&audience);
    document["schedule"] = json!({"at": "now"});
    document["notification"] =
        json!({"payload": {"aps": {"alert": {"body": "Hello {{ frist_name | default: \"you\" }}"}}}});
    let body = document.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "monday"),
    ];
    let post = |body: &str| env.call(Caller::Both, "POST", "/v1/campaigns", &headers, body.as_bytes());
    let first = post(&body).with_status(201);
    let again = post(&body).with_status(201);
    assert_eq!(first["id"], again["id"]);
    post(&body.replace("Hello", "Bye")).problem(409, "idempotency-conflict");
    let campaign = Campaign(first["id"].as_str().unwrap().to_owned());
    // No trigger was fired.
    assert_eq!(campaign.done(env)["pushes"], 2);
    assert_eq!(shown(env, &devices[0]), "Hello you");
    // The other way: an id that the caller chooses.
    let mut named = later(&audience);
    named["segment"] = json!({"eq": {"tags": "in"}});
    named["notification"] = json!({"payload": {"aps": {"alert": {"body": "{{ frist_name }}"}}}});
    let made = send(env, "PUT", "/v1/campaigns/monday-news", &named).with_status(201);
    assert_eq!(made["id"], "monday-news");
    assert_eq!(made["warnings"][0]["code"], "missing_variable", "{made}");
    let again = send(env, "PUT", "/v1/campaigns/monday-news", &named).with_status(200);
    assert_eq!(again["created_at"], made["created_at"]);
    let unknown = format!("/v1/campaigns/{}", "0".repeat(32));
    send(env, "PUT", &unknown, &named).problem(404, "campaign-not-found");
    let preview = env
        .post("/v1/campaigns/monday-news/preview", &json!({"refs": ["user-0"]}))
        .with_status(200);
    assert_eq!(preview["pushes"][0]["would_send"], false, "{preview}");
}
