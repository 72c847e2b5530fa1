//! Refusals of single devices, and mistaken refusals of the credential.

use apns_mock::{Environment, Fault, KeySpec, Options, Registration};
use serde_json::{Value, json};

use super::{Batch, all, head, lines, number, sale};
use crate::deployment::SHOP;
use crate::shared::over_each_transport;
use crate::test_env::{TestEnv, until};

over_each_transport! {
    a_device_registered_for_voip_is_one_rejection_and_stops_nothing_of_its_credential,
    one_refusal_of_the_credential_after_hundreds_of_acceptances_stops_nothing,
}

/// The topic of another app with the shop's credential.
const OUTLET: &str = "com.example.outlet";

fn a_device_registered_for_voip_is_one_rejection_and_stops_nothing_of_its_credential(transport: &str) {
    let mut outlet = SHOP.setting();
    outlet["topic"] = json!(OUTLET);
    let apps = json!({ "shop": SHOP.setting(), "outlet": outlet }).to_string();
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", transport), ("APPS", &apps)]);
    let topics = vec![SHOP.topic.to_owned(), OUTLET.to_owned()];
    let key = KeySpec {
        topics: Some(topics),
        ..SHOP.key()
    };
    env.apns.add_key(key).unwrap();
    let waiting = env.tokens("refusals, waiting", 2);
    env.register(Registration {
        tokens: waiting.clone(),
        ..Registration::device(Environment::Production, OUTLET, "")
    });
    for device in &waiting {
        let later = Fault {
            headers: vec![("retry-after".to_owned(), "600".to_owned())],
            ..Fault::answer(429, "TooManyRequests").times(1)
        };
        env.apns.fault(later.for_token(device)).unwrap();
    }
    let mut outlets = head(json!({}));
    outlets["app"] = json!("outlet");
    let other = Batch::upload(&env, &lines(&outlets, &waiting));
    until("a batch that waits", || {
        other.status(&env)["counts"]["retrying"] == 2
    });
    let voip = env.tokens("refusals, voip", 1);
    env.register(Registration {
        tokens: voip.clone(),
        ..Registration::device(Environment::Production, "com.example.shop.voip", "")
    });
    let mut devices = env.devices(&SHOP, "refusals, alerts", 19);
    devices.insert(3, voip[0].clone());

    let send_request: Vec<Value> = devices.iter().map(|token| json!({ "token": token })).collect();
    let answer = env.push(&json!({
        "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": send_request,
    }));
    let counts = ["accepted", "rejected", "gone"].map(|name| number(&answer["counts"][name]));
    assert_eq!(counts, [19, 1, 0], "{answer}");
    let result = &answer["results"][3];
    assert_eq!(
        (&result["reason"], &result["verdict"]),
        (&json!("TopicDisallowed"), &json!("check_token"))
    );

    let batch = Batch::upload(&env, &sale(&devices));
    let document = batch.once(&env, "done");
    let counts = ["accepted", "rejected", "gone"].map(|name| number(&document["counts"][name]));
    assert_eq!(counts, [19, 1, 0], "{document}");
    assert_eq!(document["suspect"], Value::Null);
    let suspects = batch.pages(&env, "suspect?", 10).concat();
    assert_eq!(all(&suspects, "token"), [&*voip[0]]);
    let document = other.status(&env);
    assert_eq!(
        (&document["state"], &document["counts"]["retrying"]),
        (&json!("running"), &json!(2)),
        "{document}"
    );
}

fn one_refusal_of_the_credential_after_hundreds_of_acceptances_stops_nothing(transport: &str) {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", transport)]);
    let devices = env.devices(&SHOP, "refusals, mistake", 700);
    let refuse_once = |device: &str| {
        let refusal = Fault::answer(403, "InvalidProviderToken").times(1);
        env.apns.fault(refusal.for_token(device)).unwrap();
    };
    refuse_once(&devices[650]);
    let batch = Batch::upload(&env, &sale(&devices));
    batch.once_accepted(&env);
    let attempts = |place: usize| batch.receipts(&env)[place]["attempts"].clone();
    assert_eq!((attempts(650), attempts(649)), (json!(2), json!(1)));

    let send_request = |tokens: &[String]| {
        let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
        env.push(&json!({
            "app": "shop", "notification": { "payload": { "aps": { "badge": 1 } } }, "devices": devices,
        }))
    };
    refuse_once(&devices[1]);
    let answer = send_request(&devices[..4]);
    assert_eq!(answer["counts"]["accepted"], 4, "{answer}");
    if transport == "socket" {
        assert!(env.apns.state().connections_h2 >= 3, "each time over another");
    }

    // A second refusal counts.
    let refusal = Fault::answer(403, "InvalidProviderToken").times(2);
    env.apns.fault(refusal.for_token(&devices[9])).unwrap();
    let answer = send_request(&devices[8..16]);
    let result = &answer["results"][1];
    assert_eq!(
        (&result["verdict"], &result["attempts"]),
        (&json!("fix_credentials"), &json!(2)),
        "{answer}"
    );
}
