//! What an audience makes of APNs' refusals.

use apns_mock::{Environment, Options, Registration};
use serde_json::json;

use super::{Audience, Campaign, lines, soon, strike_soon};
use crate::deployment::SHOP;
use crate::stage::Stage;

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn an_audience_hears_of_one_voip_token_and_of_no_token_of_a_wrong_topic() {
    let stage = Stage::alone(Options::default(), &[]);
    let foreign = |name: &str, topic: &str, count| {
        let tokens = stage.tokens(name, count);
        stage.register(Registration {
            tokens: tokens.clone(),
            ..Registration::device(Environment::Production, topic, "")
        });
        tokens
    };
    let mut mixed = stage.devices(&SHOP, "campaigns, voip", 19);
    mixed.extend(foreign("campaigns, voip token", "com.example.shop.voip", 1));
    let one = Audience::create(&stage, "one-voip", 1);
    one.import(&stage, &lines(&mixed, |_| json!({})));
    let wrong = Audience::create(&stage, "wrong-topic", 1);
    let others = foreign("campaigns, wrong topic", "com.example.other", 80);
    wrong.import(&stage, &lines(&others, |_| json!({})));
    let campaigns = [&one, &wrong].map(|audience| Campaign::create(&stage, &soon(audience, "Hello")));
    strike_soon(&stage);
    let [first, second] = campaigns.map(|campaign| campaign.done(&stage));
    assert_eq!(
        (&first["counts"]["accepted"], &first["counts"]["rejected"]),
        (&json!(19), &json!(1)),
        "{first}"
    );
    let path = format!("/v1/batches/{}", second["batch"].as_str().unwrap());
    let document = stage.get(&path).with_status(200);
    assert_eq!(
        document["suspect"],
        json!({"reason": "DeviceTokenNotForTopic", "count": 80})
    );
    crate::stage::until("a device that is marked", || one.status(&stage)["suspects"] == 1);
    let status = wrong.status(&stage);
    assert_eq!((&status["devices"], &status["suspects"]), (&json!(80), &json!(0)));
}
