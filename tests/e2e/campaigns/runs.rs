//! Runs: what a trigger starts, which devices it reaches, and what stops it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use apns_mock::{Options, Registration, Standing};
use serde_json::json;

use super::{Audience, Campaign, fire_trigger, fire_trigger_soon, hold_scans, lines, send, shown, soon};
use crate::batches::webhooks::endpoint::{Endpoint, NEVER};
use crate::deployment::{Caller, NEWS, SHOP, digest};
use crate::shared::Shared;
use crate::test_env::{TestEnv, until};

#[test]
fn a_trigger_that_comes_twice_starts_one_run_and_each_device_gets_its_own_words_once() {
    let env = Shared::by_socket();
    let audience = Audience::create(&env, "words", 4);
    let devices = env.devices(&SHOP, "campaigns, words", 1300);
    audience.import(
        &env,
        &lines(&devices, |place| {
            let locale = if place % 3 == 0 { "de-CH" } else { "en" };
            let tags = if place % 13 == 0 { json!([]) } else { json!(["news"]) };
            json!({"locale": locale, "tags": tags, "attributes": {"first_name": format!("\"U{place}\" {{{{ ref }}}}")}})
        }),
    );
    let mut document = soon(&audience, "Hello {{ first_name }}");
    document["segment"] = json!({"eq": {"tags": "news"}});
    document["variants"] = json!({"de": {"aps": {"alert": {"body": "Hallo {{ first_name }}"}}}});
    let campaign = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    fire_trigger(&env);
    let run = campaign.done(&env);
    let expected = (0..1300).filter(|place| place % 13 != 0).count();
    assert_eq!(
        (&run["pushes"], &run["counts"]["accepted"]),
        (&json!(expected), &json!(expected)),
        "{run}"
    );
    for (place, device) in devices.iter().enumerate().step_by(7) {
        if place % 13 == 0 {
            assert!(env.requests_to(device).is_empty());
        } else {
            let greeting = if place % 3 == 0 { "Hallo" } else { "Hello" };
            // An attribute's text stays text, whatever it looks like.
            assert_eq!(
                shown(&env, device),
                format!("{greeting} \"U{place}\" {{{{ ref }}}}")
            );
        }
    }
    assert_eq!(campaign.status(&env)["state"], "done");
    fire_trigger(&env);
    assert_eq!(campaign.runs(&env).len(), 1);
    // A run is a batch like any other.
    let batch = run["batch"].as_str().unwrap();
    let document = env.get(&format!("/v1/batches/{batch}")).with_status(200);
    assert_eq!(document["state"], "done");
    let receipts = env
        .get(&format!("/v1/batches/{batch}/receipts?limit=10000"))
        .with_status(200);
    let references: BTreeSet<String> = super::parse(receipts.as_str().unwrap())
        .iter()
        .filter_map(|line| line["ref"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(references.len(), expected);
}

#[test]
fn a_run_whose_endpoint_hangs_is_done_in_its_campaign_within_seconds() {
    let env = TestEnv::shared();
    let endpoint = Endpoint::start(&[NEVER; 9]);
    let audience = Audience::create(&env, "hanging", 1);
    let devices = env.devices(&SHOP, "campaigns, hanging", 10);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let mut document = soon(&audience, "Hello");
    document["webhook"] = json!(endpoint.url("/hook"));
    let campaign = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    until("an attempt that hangs", || !endpoint.messages().is_empty());
    let attempted = Instant::now();
    campaign.done(&env);
    // An attempt is given up after 20 s.
    assert!(
        attempted.elapsed() < Duration::from_secs(10),
        "{:?}",
        attempted.elapsed()
    );
    assert_eq!(campaign.status(&env)["state"], "done");
}

#[test]
fn devices_that_are_gone_leave_the_audience_and_bad_ones_are_suspect() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "leaving", 2);
    let devices = env.devices(&SHOP, "campaigns, leaving", 40);
    let gone = env.tokens("campaigns, gone", 2);
    env.register(Registration {
        tokens: gone.clone(),
        state: Standing::Unregistered,
        ..Registration::device(SHOP.environment, SHOP.topic, "")
    });
    let unknown = env.tokens("campaigns, unknown", 1);
    let all = [devices.clone(), gone.clone(), unknown.clone()].concat();
    audience.import(&env, &lines(&all, |_| json!({})));
    // This device was registered again after APNs had reported it as gone.
    let anew = format!(
        "{{\"token\":\"{}\",\"registered_at\":\"2099-01-01T00:00:00Z\"}}\n",
        gone[1]
    );
    audience.import(&env, &anew);
    let campaign = Campaign::create(&env, &soon(&audience, "Hello"));
    fire_trigger_soon(&env);
    let run = campaign.done(&env);
    assert_eq!(
        (&run["counts"]["accepted"], &run["counts"]["rejected"]),
        (&json!(40), &json!(3)),
        "{run}"
    );
    until("the device that left the audience", || {
        audience.status(&env)["devices"] == 42
    });
    // The bad token, and the device that was registered later than APNs' timestamp.
    until("the devices that are marked", || {
        audience.status(&env)["suspects"] == 2
    });
    let left: BTreeSet<String> = audience
        .devices(&env)
        .iter()
        .map(|line| line["token"].as_str().unwrap().to_owned())
        .collect();
    assert!(!left.contains(&gone[0]) && left.contains(&gone[1]) && left.contains(&unknown[0]));
}

#[test]
fn a_campaign_that_was_cancelled_starts_nothing_and_a_paused_one_nothing_until_it_is_resumed() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "stopped", 2);
    let devices = env.devices(&SHOP, "campaigns, stopped", 20);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let cancelled = Campaign::create(&env, &soon(&audience, "Cancelled"));
    let paused = Campaign::create(&env, &soon(&audience, "Paused"));
    assert_eq!(
        cancelled.tell(&env, "cancel").with_status(200)["state"],
        "cancelled"
    );
    assert_eq!(paused.tell(&env, "pause").with_status(200)["state"], "paused");
    fire_trigger_soon(&env);
    assert!(cancelled.runs(&env).is_empty());
    assert!(paused.runs(&env).iter().all(|run| run["state"] == "missed"));
    cancelled.tell(&env, "resume").problem(409, "campaign-state");
    // A campaign can be corrected while it is paused.
    let mended = soon(&audience, "Mended");
    send(&env, "PUT", &paused.path(""), &mended).with_status(200);
    paused.tell(&env, "resume").with_status(200);
    fire_trigger_soon(&env);
    until("the run of a campaign that was resumed", || {
        paused.runs(&env).iter().any(|run| run["state"] == "done")
    });
    for device in &devices {
        assert_eq!(shown(&env, device), "Mended");
    }
}

#[test]
fn a_campaign_that_is_cancelled_in_the_middle_of_its_run_sends_nothing_more_and_leaves_the_rest_to_the_next()
{
    let env = TestEnv::isolated(Options::default(), &[]);
    let audience = Audience::create(&env, "middle", 2);
    let devices = env.devices(&SHOP, "campaigns, middle", 3000);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let mut document = soon(&audience, "Hello");
    // It would take 30 s.
    document["rate"] = json!(100);
    let campaign = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    until("the first pushes", || env.apns.state().requests > 100);
    campaign.tell(&env, "cancel").with_status(200);
    let run = campaign.run_once(&env, "cancelled");
    let sent = env.apns.state().requests;
    assert!(sent < 3000);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(env.apns.state().requests, sent);
    assert_eq!(run["counts"]["accepted"], sent, "{run}");
    // The run does not count for the caps of devices that it has not reached.
    let mut document = soon(&audience, "Corrected");
    document["frequency"] = json!({"max": 1, "per": "1d", "of": "all"});
    let corrected = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    assert_eq!(corrected.done(&env)["pushes"], 3000 - sent);
    let shown = env.apns.shown();
    assert_eq!((shown.devices, shown.max_shown_on_one_device), (3000, 1));
}

#[test]
fn a_run_says_whom_it_leaves_out_while_it_is_under_way() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "left-out", 2);
    let devices = env.devices(&SHOP, "campaigns, left out", 1000);
    let line = |place| match place {
        0..5 => json!({}),
        _ => json!({"attributes": {"first_name": "Ada"}}),
    };
    audience.import(&env, &lines(&devices, line));
    let mut document = soon(&audience, "Hello {{ first_name }}");
    // It takes 10 s.
    document["rate"] = json!(100);
    let campaign = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    until("a run that says whom it has left out", || {
        let run = &campaign.runs(&env)[0];
        run["state"] == "running" && run["left_out"]["missing"]["first_name"] == 5
    });
    campaign.tell(&env, "cancel").with_status(200);
    let run = campaign.run_once(&env, "cancelled");
    assert_eq!(run["left_out"]["missing"]["first_name"], 5, "{run}");
}

#[test]
fn a_run_that_is_cancelled_counts_the_devices_that_it_has_not_come_to() {
    let mut env = TestEnv::isolated(Options::default(), &[]);
    env.kill_at_once();
    // A step has 500 devices.
    hold_scans(&mut env, 1);
    let audience = Audience::create(&env, "not-reached", 1);
    let devices = env.devices(&SHOP, "campaigns, not reached", 1200);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let campaign = Campaign::create(&env, &soon(&audience, "Hello"));
    fire_trigger_soon(&env);
    env.log_with("held a step", 1);
    let cancelled = campaign.tell(&env, "cancel");
    assert!(matches!(cancelled.status, 200 | 202), "{}", cancelled.body);
    until("the count of the devices that were not reached", || {
        campaign.runs(&env)[0]["left_out"]["not_reached"] == 700
    });
    let run = campaign.run_once(&env, "cancelled");
    assert_eq!(run["pushes"], 500, "{run}");
}

#[test]
fn a_run_whose_app_is_gone_can_be_cancelled_and_its_scans_end() {
    let mut env = TestEnv::isolated(Options::default(), &[]);
    env.kill_at_once();
    hold_scans(&mut env, 0);
    let audience = Audience::create(&env, "orphan", 1);
    let devices = env.devices(&SHOP, "campaigns, orphan", 20);
    audience.import(&env, &lines(&devices, |_| json!({})));
    let campaign = Campaign::create(&env, &soon(&audience, "Hello {{ ref }}"));
    fire_trigger_soon(&env);
    // The scan is not over when the Worker dies, even on a fast machine.
    env.log_with("held a step", 1);
    env.kill_at_once();
    let key = json!([{"name": "Both", "sha256": digest(&Caller::Both.key()), "apps": "*"}]);
    env.set("API_KEYS", &key.to_string());
    env.set("APPS", &json!({NEWS.name: NEWS.setting()}).to_string());
    // A killed scan continues with the alarm that was set a minute ahead when it began.
    env.away_for_a_minute();
    env.restart();
    let gone = "no app is called `shop` any more";
    env.log_with(gone, 1);
    let cancelled = campaign.tell(&env, "cancel");
    assert!(matches!(cancelled.status, 200 | 202), "{}", cancelled.body);
    campaign.run_once(&env, "cancelled");
    // A failed scan is retried after five seconds.
    let failed = env.log().matches(gone).count();
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(env.log().matches(gone).count(), failed);
}

#[test]
fn no_device_gets_more_of_a_campaign_than_its_frequency_allows() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "often", 2);
    let devices = env.devices(&SHOP, "campaigns, often", 30);
    audience.import(&env, &lines(&devices[..20], |_| json!({})));
    let first = Campaign::create(&env, &soon(&audience, "First"));
    fire_trigger_soon(&env);
    first.done(&env);
    audience.import(&env, &lines(&devices[20..], |_| json!({})));
    let mut document = soon(&audience, "Second");
    document["frequency"] = json!({"max": 1, "per": "1d", "of": "all"});
    let second = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    assert_eq!(second.done(&env)["pushes"], 10);
    for (place, device) in devices.iter().enumerate() {
        assert_eq!(shown(&env, device), if place < 20 { "First" } else { "Second" });
    }
}

#[test]
fn a_campaign_in_the_devices_own_time_reaches_each_zone_when_its_clock_strikes() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "own-time", 2);
    let devices = env.devices(&SHOP, "campaigns, own time", 9);
    audience.import(
        &env,
        &lines(&devices, |place| match place % 3 {
            0 => json!({"time_zone": "Asia/Tokyo"}),
            1 => json!({"time_zone": "America/New_York"}),
            _ => json!({}),
        }),
    );
    // In Tokyo the time comes in a moment, in all other zones later.
    let soon_in_tokyo = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
    let at = (soon_in_tokyo + super::SOON)
        .datetime()
        .strftime("%Y-%m-%dT%H:%M:%S")
        .to_string();
    let mut document = soon(&audience, "Hello");
    document["schedule"] = json!({"at": at, "time_zone": "device", "default_time_zone": "Europe/Berlin"});
    let campaign = Campaign::create(&env, &document);
    fire_trigger_soon(&env);
    let run = campaign.done(&env);
    assert_eq!(run["pushes"], 3, "{run}");
    assert!(
        run["time_zones"]
            .as_array()
            .unwrap()
            .contains(&json!("Asia/Tokyo"))
    );
    for (place, device) in devices.iter().enumerate() {
        assert_eq!(env.requests_to(device).len(), usize::from(place % 3 == 0));
    }
    assert_ne!(campaign.status(&env)["state"], "done");
}
