//! Provider tokens that APNs refuses.

use std::time::{SystemTime, UNIX_EPOCH};

use apns_mock::{Fault, Options};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::shared::over_each_transport;
use crate::test_env::{Isolated, TestEnv, header, until};

/// The interval between the times of issue of two provider tokens.
const BUCKET_SECS: u64 = 30 * 60;

/// The age above which the Worker uses no provider token.
const USABLE_SECS: u64 = 57 * 60;

/// How long the gate grants no permits after APNs has refused all usable tokens.
const PAUSE_SECS: u64 = 5 * 60;

fn send_request(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

/// Returns the times of issue of the provider tokens of a device's pushes, in seconds.
fn issued_at(env: &TestEnv, device: &str) -> Vec<u64> {
    let requests = env.requests_to(device);
    requests
        .iter()
        .map(|request| {
            let claims = header(request, "authorization")
                .unwrap()
                .split('.')
                .nth(1)
                .unwrap();
            let claims: Value = serde_json::from_slice(&base64url(claims)).unwrap();
            claims["iat"].as_u64().unwrap()
        })
        .collect()
}

fn base64url(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for character in text.bytes() {
        let digit = alphabet.iter().position(|known| *known == character).unwrap();
        bits = (bits << 6) | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}

/// Makes one push to the device meet a refusal of its provider token, on a connection that then ends.
///
/// APNs judges a connection by the first token that it saw. The Worker closes its own connection. workerd
/// would reuse that of a `fetch` unless the server closes it, for which only HTTP/1.1 has a header.
fn refuse_once(env: &TestEnv, transport: &str, status: u16, reason: &str, device: &str) {
    let mut fault = Fault::answer(status, reason);
    if transport == "fetch" {
        fault.headers = vec![("connection".to_owned(), "close".to_owned())];
    }
    env.apns.fault(fault.times(1).for_token(device)).unwrap();
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asserts that the next request is refused as a whole, and that the doctor says why.
fn assert_paused(env: &Isolated, devices: &[String]) {
    let answer = env.post("/v1/push", &send_request(devices));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=PAUSE_SECS).contains(&wait), "{wait}");
    answer.problem(503, "provider-token-refused");
    let doctor = env.get("/v1/doctor").with_status(200);
    assert_eq!(doctor["healthy"], false);
    let problem = doctor["gates"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("APNs refuses the provider tokens"), "{problem}");
    for device in devices {
        assert!(env.requests_to(device).is_empty());
    }
}

over_each_transport! {
    one_provider_token_too_many_is_answered_with_the_one_before_it,
    a_provider_token_that_is_expired_by_apns_clock_stops_the_order_after_one_push,
    a_key_that_apns_does_not_take_stops_the_order_after_one_push_and_no_later_order,
}

fn one_provider_token_too_many_is_answered_with_the_one_before_it(transport: &str) {
    // How tokens of other connections count is not tested here.
    let options = Options {
        global_token_floor: false,
        ..Options::default()
    };
    let env = TestEnv::isolated(options, &[("TRANSPORT", transport)]);
    let devices = env.devices(&SHOP, "provider tokens, too many", 8);
    // One device per request, and so one connection at a time.
    let push = |place: usize| env.push(&send_request(&devices[place..=place]))["results"][0].clone();
    assert_eq!(push(0)["status"], "accepted");
    let newest = issued_at(&env, &devices[0])[0];
    assert_eq!(newest % BUCKET_SECS, 0);
    let before = newest - BUCKET_SECS;

    refuse_once(&env, transport, 429, "TooManyProviderTokenUpdates", &devices[1]);
    let age_of_before = now_secs() - before;
    let result = push(1);
    if age_of_before >= USABLE_SECS {
        // It has just become too old, so the push can only wait.
        assert_eq!(result["status"], "retrying", "{result}");
        assert_eq!(issued_at(&env, &devices[1]), [newest]);
        assert_paused(&env, &devices[2..3]);
        return;
    }
    assert_eq!(result["status"], "accepted", "{result}");
    // The refusal is not about the push, so the attempt is not counted.
    assert_eq!(result["attempts"], 1);
    assert_eq!(issued_at(&env, &devices[1]), [newest, before]);
    assert_eq!(push(2)["status"], "accepted");
    assert_eq!(issued_at(&env, &devices[2]), [before]);

    // That token expires: back to the newest one, once.
    refuse_once(&env, transport, 403, "ExpiredProviderToken", &devices[3]);
    assert_eq!(push(3)["status"], "accepted");
    assert_eq!(issued_at(&env, &devices[3]), [before, newest]);
    assert_eq!(push(4)["status"], "accepted");
    assert_eq!(issued_at(&env, &devices[4]), [newest]);

    // Now the newest one is refused again. There is no other, and no third one is signed.
    refuse_once(&env, transport, 403, "ExpiredProviderToken", &devices[5]);
    let result = push(5);
    assert_eq!(
        (&result["status"], &result["attempts"]),
        (&json!("retrying"), &json!(0))
    );
    let wait = result["retry_after"].as_u64().unwrap();
    assert!((1..=PAUSE_SECS).contains(&wait), "{result}");
    assert_eq!(issued_at(&env, &devices[5]), [newest]);
    assert_paused(&env, &devices[6..]);
    assert_eq!(env.apns.state().provider_tokens, 2);
}

fn a_provider_token_that_is_expired_by_apns_clock_stops_the_order_after_one_push(transport: &str) {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", transport)]);
    let devices = env.devices(&SHOP, "provider tokens, expired", 20);
    env.apns.set_clock_offset_ms(2 * 60 * 60 * 1000);
    let answer = env.push(&send_request(&devices[..19]));
    assert_eq!(answer["counts"]["retrying"], 19, "{answer}");
    assert_eq!(env.apns.state().requests, 1);
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(
            (&result["verdict"], &result["attempts"]),
            (&json!("retry"), &json!(0))
        );
        let wait = result["retry_after"].as_u64().unwrap();
        assert!((1..=PAUSE_SECS).contains(&wait), "{result}");
    }
    assert_paused(&env, &devices[19..]);
}

fn a_key_that_apns_does_not_take_stops_the_order_after_one_push_and_no_later_order(transport: &str) {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", transport)]);
    env.apns.add_key(SHOP.wrong_key()).unwrap();
    let devices = env.devices(&SHOP, "provider tokens, wrong key", 51);
    let answer = env.push(&send_request(&devices[..50]));
    assert_eq!(
        answer["counts"],
        json!({ "devices": 50, "accepted": 0, "rejected": 1, "retrying": 0, "failed": 49, "duplicate": 0, "gone": 0 })
    );
    assert_eq!(env.apns.state().requests, 1);
    for (place, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&result["reason"], &result["verdict"]),
            (&json!("InvalidProviderToken"), &json!("fix_credentials"))
        );
        let sent = (place == 0, if place == 0 { 403 } else { 0 });
        assert_eq!((result["attempts"] == 1, result["code"].as_u64().unwrap()), sent);
    }
    let violations = env.take_violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("signature"), "{violations:?}");
    let batch = paused_batch(&env, &devices[50..]);
    env.take_violations();

    // The doctor reports Apple's reason, what to compare, and what waits for a person.
    until("the gate and the registry know", || {
        let doctor = env.get("/v1/doctor").with_status(200);
        let gate = &doctor["gates"][0];
        gate["last_refusal"]["reason"] == "InvalidProviderToken"
            && gate["problem"].as_str().unwrap().contains("team_id")
            && doctor["paused_batches"][0]["id"] == batch.as_str()
            && doctor["healthy"] == false
    });

    // Corrected at APNs, it works at once.
    env.apns.add_key(SHOP.key()).unwrap();
    assert_eq!(env.push(&send_request(&devices[50..]))["counts"]["accepted"], 1);
    until("the doctor is content", || {
        env.get("/v1/doctor").with_status(200)["healthy"] == true
    });
}

/// Creates a batch to these devices that is paused because APNs refuses the credential.
fn paused_batch(env: &Isolated, devices: &[String]) -> String {
    let body = send_request(devices).to_string();
    let queued = [("prefer", "respond-async")];
    let answer = env.call(Caller::Both, "POST", "/v1/push", &queued, body.as_bytes());
    let id = answer.with_status(202)["id"].as_str().unwrap().to_owned();
    until("the batch pauses", || {
        env.get(&format!("/v1/batches/{id}")).with_status(200)["state"] == "paused"
    });
    id
}
