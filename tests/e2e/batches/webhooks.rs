//! The deliveries to a batch's webhook.

pub(crate) mod endpoint;

use apns_mock::{Options, Registration, Standing};
use ring::hmac;
use serde_json::{Value, json};

use self::endpoint::{Endpoint, Message, NEVER};
use super::{Batch, head, lines, upload};
use crate::deployment::{Caller, SHOP};
use crate::shared::Shared;
use crate::test_env::{TestEnv, until, until_within};

/// `WEBHOOK_SECRET`, and its bytes.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

#[test]
fn the_endpoint_is_told_of_the_end_and_of_gone_devices_until_it_has_taken_it() {
    let env = TestEnv::shared();
    // The first attempt of each delivery fails. Redirects are not followed.
    let endpoint = Endpoint::start(&[500, 302]);
    let devices = env.devices(&SHOP, "batches, webhooks", 6);
    env.register(Registration {
        tokens: devices[2..4].to_vec(),
        state: Standing::Unregistered,
        since: Some(1_795_420_800_000),
        ..Registration::device(SHOP.environment, SHOP.topic, "")
    });
    let url = endpoint.url("/a-path-that-nobody-else-knows");
    env.add_secret("a-path-that-nobody-else-knows");
    let batch = Batch::upload(&env, &lines(&head(json!({ "webhook": url })), &devices));
    let document = batch.once(&env, "done");
    assert_eq!(document["options"]["webhook"], url);
    let deliveries = || env.get(&batch.path("/deliveries")).with_status(200)["deliveries"].clone();
    until_within(super::PATIENCE, "both deliveries", || {
        let log = deliveries();
        let log = log.as_array().unwrap();
        log.len() == 2 && log.iter().all(|delivery| delivery["state"] == "delivered")
    });
    let messages = endpoint.messages();
    assert_eq!(messages.len(), 4);
    for message in &messages {
        assert_eq!(message.head[0], "POST /a-path-that-nobody-else-knows HTTP/1.1");
        assert_eq!(message.header("content-type"), "application/json");
        let user_agent = message.header("user-agent");
        assert_eq!(user_agent, concat!("apns-edge/", env!("CARGO_PKG_VERSION")));
        assert_signed(message);
    }
    let log = deliveries();
    for (event, field) in [("devices.gone", "devices"), ("batch.ended", "counts")] {
        let told: Vec<&Message> = messages
            .iter()
            .filter(|message| message.json()["type"] == event)
            .collect();
        // The failed and the successful attempt have the same message.
        assert_eq!(told.len(), 2, "{event}");
        assert_eq!(told[0].body, told[1].body);
        assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
        assert!(!told[0].json()["data"][field].is_null());
        let mut log = log.as_array().unwrap().iter();
        let delivery = log.find(|delivery| delivery["event"] == event).unwrap();
        assert_eq!(delivery["id"], *told[0].header("webhook-id"));
        let codes: Vec<&Value> = delivery["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| &attempt["code"])
            .collect();
        assert!(codes[0] == 500 || codes[0] == 302, "{delivery}");
        assert_eq!(codes[1..], [&json!(200)], "{delivery}");
    }
    let gone = messages
        .iter()
        .map(Message::json)
        .find(|json| json["type"] == "devices.gone");
    let gone = gone.unwrap()["data"].clone();
    assert_eq!((&gone["batch"], &gone["app"]), (&json!(batch.0), &json!("shop")));
    let expected: Vec<Value> = [2, 3]
        .map(|place: usize| {
            json!({
                "token": devices[place],
                "ref": format!("user-{place}"),
                "since": "2026-11-23T08:00:00.000Z",
                "reason": "Unregistered",
            })
        })
        .to_vec();
    assert_eq!(gone["devices"], json!(expected));
    let ended = messages
        .iter()
        .map(Message::json)
        .find(|json| json["type"] == "batch.ended");
    let ended = ended.unwrap()["data"].clone();
    for field in ["id", "state", "counts", "reasons", "ended_at"] {
        assert_eq!(ended[field], document[field], "{field}");
    }
}

/// Asserts that a message is signed with the secret, using an independent implementation.
#[track_caller]
fn assert_signed(message: &Message) {
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| message.header(name));
    let signature = signature.strip_prefix("v1,").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{}", message.body).as_bytes());
    assert_eq!(signature, base64(tag.as_ref()));
}

/// Encodes base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or_default());
        }
        for place in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            let is_padding = place > group.len();
            text.push(if is_padding { '=' } else { ALPHABET[index].into() });
        }
    }
    text
}

#[test]
fn base64_is_written_as_the_rfcs_examples() {
    for (plain, coded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
    ] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}

#[test]
fn a_worker_that_is_killed_between_two_attempts_makes_the_next_one_when_it_is_back() {
    let mut env = TestEnv::isolated(Options::default(), &[("WEBHOOK_SECRET", SECRET)]);
    env.add_secret(SECRET);
    let endpoint = Endpoint::start(&[500]);
    let devices = env.devices(&SHOP, "batches, webhooks, killed", 2);
    let url = endpoint.url("/hook");
    let batch = Batch::upload(&env, &lines(&head(json!({ "webhook": url })), &devices));
    until("the first attempt", || {
        let deliveries = env.get(&batch.path("/deliveries")).with_status(200);
        deliveries["deliveries"][0]["attempts"][0]["code"] == 500
    });
    env.kill();
    assert_eq!(endpoint.messages().len(), 1);
    env.restart();
    until("the second attempt", || endpoint.messages().len() == 2);
    let [first, second] = &endpoint.messages()[..] else {
        panic!("more than two messages");
    };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert_signed(second);
}

#[test]
fn a_worker_that_is_killed_while_its_endpoint_hangs_delivers_when_it_is_back_and_nobody_asks() {
    let mut env = TestEnv::isolated(Options::default(), &[("WEBHOOK_SECRET", SECRET)]);
    env.add_secret(SECRET);
    let endpoint = Endpoint::start(&[NEVER; 2]);
    let devices = env.devices(&SHOP, "batches, webhooks, hanging", 2);
    env.register(Registration {
        tokens: devices[..1].to_vec(),
        state: Standing::Unregistered,
        since: Some(1_795_420_800_000),
        ..Registration::device(SHOP.environment, SHOP.topic, "")
    });
    let url = endpoint.url("/hook");
    Batch::upload(&env, &lines(&head(json!({ "webhook": url })), &devices));
    until("two attempts side by side", || endpoint.messages().len() == 2);
    env.kill();
    env.restart();
    until("both again", || endpoint.messages().len() >= 4);
    let messages = endpoint.messages();
    for first in &messages[..2] {
        let again = messages[2..].iter().filter(|message| message.body == first.body);
        assert_eq!(again.count(), 1, "{messages:?}");
    }
}

#[test]
fn a_batch_that_is_deleted_while_a_webhook_waits_goes_when_it_is_delivered() {
    let env = TestEnv::isolated(Options::default(), &[("WEBHOOK_SECRET", SECRET)]);
    env.add_secret(SECRET);
    let endpoint = Endpoint::start(&[500]);
    let devices = env.devices(&SHOP, "batches, webhooks, deleted", 1);
    let url = endpoint.url("/hook");
    let batch = Batch::upload(&env, &lines(&head(json!({ "webhook": url })), &devices));
    until("the first attempt", || endpoint.messages().len() == 1);
    let delete = || env.call(Caller::Both, "DELETE", &batch.path(""), &[], b"");
    assert_eq!(delete().with_status(202)["deleting"], true);
    until("the second attempt", || endpoint.messages().len() == 2);
    until("the end of the batch", || env.get(&batch.path("")).status == 404);
    delete().problem(404, "batch-not-found");
}

#[test]
fn a_delivery_that_cannot_be_signed_any_more_is_not_sent_and_says_why() {
    let mut env = TestEnv::isolated(Options::default(), &[("WEBHOOK_SECRET", SECRET)]);
    env.add_secret(SECRET);
    let endpoint = Endpoint::start(&[500]);
    let devices = env.devices(&SHOP, "batches, webhooks, no secret", 1);
    let url = endpoint.url("/hook");
    let batch = Batch::upload(&env, &lines(&head(json!({ "webhook": url })), &devices));
    until("the first attempt", || endpoint.messages().len() == 1);
    env.kill();
    env.unset("WEBHOOK_SECRET");
    env.restart();
    let mut problem = String::new();
    until("the second attempt", || {
        let log = env.get(&batch.path("/deliveries")).with_status(200);
        let said = log["deliveries"][0]["attempts"][1]["problem"].as_str();
        problem = said.unwrap_or_default().to_owned();
        !problem.is_empty()
    });
    assert!(problem.contains("WEBHOOK_SECRET"), "{problem}");
    assert_eq!(endpoint.messages().len(), 1);
}

#[test]
fn a_webhook_that_cannot_be_signed_is_refused() {
    // The shared Worker that uses `fetch` has a secret, so this uses the other one.
    let env = Shared::by_socket();
    let devices = env.devices(&SHOP, "batches, unsigned", 1);
    let body = lines(&head(json!({ "webhook": "https://example.com/hook" })), &devices);
    let problem = upload(&env, &[], &body).problem(422, "invalid-request");
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], "/batch/webhook", "{problem}");
    assert!(
        error["detail"].as_str().unwrap().contains("WEBHOOK_SECRET"),
        "{problem}"
    );
    assert!(env.requests_to(&devices[0]).is_empty());
}
