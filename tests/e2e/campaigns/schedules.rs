//! When a run starts, and when it sends.

use std::thread::sleep;
use std::time::Duration;

use apns_mock::Options;
use serde_json::json;

use super::{Audience, Campaign, due_in, fire_trigger, fire_trigger_soon, lines, shown, soon};
use crate::deployment::SHOP;
use crate::test_env::{TestEnv, until};

#[test]
fn a_trigger_that_comes_late_catches_up_within_the_grace_and_records_what_was_missed() {
    let env = TestEnv::isolated(Options::default(), &[("CAMPAIGN_GRACE", "1m")]);
    let audience = Audience::create(&env, "late", 1);
    let devices = env.devices(&SHOP, "campaigns, late", 5);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let missed = Campaign::create(&env, &soon(&audience, "Missed"));
    let within = Campaign::create(&env, &due_in(Duration::from_secs(30), &audience, "Caught up"));
    // The shortest grace. Nothing else takes this long here.
    sleep(Duration::from_secs(63));
    assert!(missed.runs(&env).is_empty() && within.runs(&env).is_empty());
    fire_trigger(&env);
    let run = missed.run_once(&env, "missed");
    assert_eq!(run["detail"], "its time had passed by more than the grace");
    assert!(
        run.get("batch").is_none() && run.get("started_at").is_none(),
        "{run}"
    );
    assert_eq!(missed.status(&env)["state"], "done");
    let run = within.done(&env);
    assert_eq!(run["pushes"], 5);
    for device in &devices {
        assert_eq!(shown(&env, device), "Caught up");
    }
}

#[test]
fn outside_of_its_window_a_run_sends_nothing() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "window", 2);
    let devices = env.devices(&SHOP, "campaigns, window", 20);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let window = |from: i64, to: i64| {
        let clock = |hours| {
            let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
            at.strftime("%H:%M").to_string()
        };
        json!({"from": clock(from), "to": clock(to)})
    };
    let [shut, open] = [(2, 4, "Shut"), (-2, 2, "Open")].map(|(from, to, text)| {
        let mut document = soon(&audience, text);
        document["window"] = window(from, to);
        Campaign::create(&env, &document)
    });
    fire_trigger_soon(&env);
    assert_eq!(open.done(&env)["pushes"], 20);
    shut.run_once(&env, "running");
    // As long as the other run took.
    sleep(Duration::from_secs(2));
    for device in &devices {
        assert_eq!(shown(&env, device), "Open");
    }
    // It waits for the window, and can be cancelled meanwhile.
    assert_eq!(shut.tell(&env, "cancel").with_status(200)["state"], "cancelled");
    let run = shut.run_once(&env, "cancelled");
    until("the counts of a run that was cancelled", || {
        shut.runs(&env)[0]["counts"]["accepted"] == 0
    });
    assert!(run["batch"].is_string());
}

#[test]
fn a_device_without_a_value_is_left_out_and_counted_and_its_name_is_not_logged() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "nameless", 1);
    let devices = env.devices(&SHOP, "campaigns, nameless", 10);
    let secrets = ["ada.lovelace@example.com", "Augusta Ada King of Lovelace"];
    for secret in secrets {
        env.add_secret(secret);
    }
    audience.import(
        &env,
        &lines(&devices, |place| match place {
            0..4 => json!({"ref": secrets[0], "attributes": {"other": secrets[1]}}),
            _ => json!({"ref": secrets[0], "attributes": {"first_name": secrets[1]}}),
        }),
    );
    let campaign = Campaign::create(&env, &soon(&audience, "Hello {{ first_name }}"));
    fire_trigger_soon(&env);
    let run = campaign.done(&env);
    assert_eq!(
        (&run["pushes"], &run["counts"]["accepted"]),
        (&json!(6), &json!(6)),
        "{run}"
    );
    let batch = env
        .get(&format!("/v1/batches/{}", run["batch"].as_str().unwrap()))
        .with_status(200);
    assert_eq!(
        (&batch["pushes"], &batch["invalid"]),
        (&json!(6), &json!(4)),
        "{batch}"
    );
    for (place, device) in devices.iter().enumerate() {
        assert_eq!(env.requests_to(device).len(), usize::from(place >= 4));
    }
    env.log_with("there is no `first_name`, and no default for it", 1);
}
