//! How an audience handles APNs' refusals.

use apns_mock::{Environment, Registration};
use serde_json::json;

use super::{Audience, Campaign, fire_trigger_soon, lines, soon};
use crate::deployment::SHOP;
use crate::test_env::TestEnv;

#[test]
fn an_audience_hears_of_one_voip_token_and_of_no_token_of_a_wrong_topic() {
    let env = TestEnv::shared();
    let foreign = |name: &str, topic: &str, count| {
        let tokens = env.tokens(name, count);
        env.register(Registration {
            tokens: tokens.clone(),
            ..Registration::device(Environment::Production, topic, "")
        });
        tokens
    };
    let mut mixed = env.devices(&SHOP, "campaigns, voip", 19);
    mixed.extend(foreign("campaigns, voip token", "com.example.shop.voip", 1));
    let one = Audience::create(&env, "one-voip", 1);
    one.import(&env, &lines(&mixed, |_| json!({})));
    let wrong = Audience::create(&env, "wrong-topic", 1);
    let others = foreign("campaigns, wrong topic", "com.example.other", 80);
    wrong.import(&env, &lines(&others, |_| json!({})));
    let campaigns = [&one, &wrong].map(|audience| Campaign::create(&env, &soon(audience, "Hello")));
    fire_trigger_soon(&env);
    let [first, second] = campaigns.map(|campaign| campaign.done(&env));
    assert_eq!(
        (&first["counts"]["accepted"], &first["counts"]["rejected"]),
        (&json!(19), &json!(1)),
        "{first}"
    );
    let path = format!("/v1/batches/{}", second["batch"].as_str().unwrap());
    let document = env.get(&path).with_status(200);
    assert_eq!(
        document["suspect"],
        json!({"reason": "DeviceTokenNotForTopic", "count": 80})
    );
    crate::test_env::until("a device that is marked", || one.status(&env)["suspects"] == 1);
    let status = wrong.status(&env);
    assert_eq!((&status["devices"], &status["suspects"]), (&json!(80), &json!(0)));
}
