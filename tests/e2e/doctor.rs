//! What the doctor reports about a healthy deployment. See `network` and `provider_tokens` for others.

use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP, digest};
use crate::test_env::TestEnv;

#[test]
fn the_doctor_says_what_is_set_and_probes_apns() {
    let env = TestEnv::shared();
    let token = env.device("doctor");
    let probes = env.apns.state().probes;
    env.push(&json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": [{ "token": token }] }));
    let doctor = env.get("/v1/doctor").with_status(200);
    assert_eq!(
        (&doctor["healthy"], &doctor["local_origins"]),
        (&json!(true), &json!(true))
    );
    let names: Vec<&Value> = doctor["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| &app["name"])
        .collect();
    assert_eq!(names, ["shop", "news"]);
    for probe in doctor["probes"].as_array().unwrap() {
        assert_eq!(
            (&probe["ok"], &probe["answer"]),
            (&json!(true), &json!("403 MissingProviderToken"))
        );
    }
    assert!(env.apns.state().probes >= probes + 2);
    let gate = &doctor["gates"][0];
    assert_eq!((&gate["app"], &gate["proven"]), (&json!("shop"), &json!(true)));
    assert!(gate["provider_token_age_s"].as_u64().unwrap() < 60 * 60, "{gate}");
}

#[test]
fn the_doctor_shows_a_caller_its_own_apps_and_no_value_of_a_secret() {
    let env = TestEnv::shared();
    let doctor = env
        .call(Caller::Shop, "GET", "/v1/doctor", &[], b"")
        .with_status(200);
    assert_eq!(
        doctor["apps"],
        json!([{ "name": "shop", "topic": SHOP.topic, "environment": "production", "transport": "fetch", "team_id": "set", "key_id": "set", "signing_key": "set" }])
    );
    let text = doctor.to_string();
    for hidden in [
        SHOP.team_id,
        SHOP.key_id,
        &digest(&Caller::Shop.key()),
        "news",
        "eyJ",
    ] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}
