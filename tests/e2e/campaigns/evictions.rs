//! Objects that are evicted in the middle of a run.

use apns_mock::Options;
use serde_json::json;

use super::{Audience, Campaign, PATIENCE, fire_trigger, fire_trigger_soon, lines, soon};
use crate::deployment::SHOP;
use crate::test_env::{Isolated, TestEnv, until_within};

#[test]
fn a_run_whose_shards_and_scheduler_are_evicted_reaches_each_device_once() {
    let mut env = TestEnv::evictable(Options::default(), &[]);
    let audience = Audience::create(&env, "evicted", SHARDS);
    let devices = env.devices(&SHOP, "campaigns, evicted", DEVICES);
    audience.import(&env, &lines(&devices, |_| json!({})));
    // The audience and the campaign are stored.
    evict(&mut env, &audience);
    // It takes at least three seconds, so that it is not over before anything is evicted.
    let mut document = soon(&audience, "Hello");
    document["rate"] = json!(800);
    let campaign = Campaign::create(&env, &document);
    evict(&mut env, &audience);
    fire_trigger_soon(&env);
    let (mut run, mut rounds) = (json!(null), 0);
    until_within(PATIENCE, "a run that is done", || {
        evict(&mut env, &audience);
        rounds += 1;
        run = campaign.runs(&env).pop().unwrap_or_default();
        run["state"] == "done"
    });
    assert!(rounds > 1, "it was over before anything was evicted");
    assert_eq!(
        (&run["pushes"], &run["counts"]["accepted"]),
        (&json!(DEVICES), &json!(DEVICES)),
        "{run}"
    );
    let shown = env.apns.shown();
    assert_eq!(
        (shown.devices, shown.max_shown_on_one_device),
        (DEVICES as u64, 1)
    );
    assert_eq!(campaign.status(&env)["state"], "done");
}

#[test]
fn three_kills_while_campaigns_are_started_lose_no_run_and_start_none_twice() {
    // The claim of a killed runner ends soon.
    let settings = [("CHUNK_CLAIM_MS", "5000"), ("ATTEMPT_TIMEOUT_MS", "2000")];
    let mut env = TestEnv::isolated(Options::default(), &settings);
    let devices = env.devices(&SHOP, "campaigns, killed while they start", 40);
    let audiences: Vec<Audience> = devices
        .chunks(5)
        .enumerate()
        .map(|(number, devices)| {
            let audience = Audience::create(&env, &format!("killed-{number}"), 8);
            audience.import(&env, &lines(devices, |_| json!({})));
            audience
        })
        .collect();
    // All are due at the same time, so that the first kill finds most of them not started.
    let campaigns: Vec<Campaign> = audiences
        .iter()
        .map(|audience| Campaign::create(&env, &soon(audience, "Hello")))
        .collect();
    fire_trigger_soon(&env);
    for kill in 1..=3 {
        // At least as many runs have begun as there were kills. The others are in progress.
        until_within(PATIENCE, "runs that begin", || {
            env.log().matches(r#""event":"run_started""#).count() >= kill
        });
        env.kill_at_once();
        if kill == 3 {
            // The alarms for work that a kill interrupted fire a minute later.
            env.away_for_a_minute();
        }
        env.restart();
        fire_trigger(&env);
    }
    for campaign in &campaigns {
        let run = campaign.done(&env);
        assert_eq!(
            (&run["pushes"], &run["counts"]["accepted"]),
            (&json!(5), &json!(5)),
            "{run}"
        );
    }
    let shown = env.apns.shown();
    assert_eq!((shown.devices, shown.max_shown_on_one_device), (40, 1));
}

/// Evicts the scheduler and all shards. Only objects in memory can be evicted, so it sends each a request
/// first.
#[track_caller]
fn evict(env: &mut Isolated, audience: &Audience) {
    assert_eq!(audience.status(env)["devices"], DEVICES);
    env.evict_scheduler();
    for shard in 0..SHARDS {
        env.evict_shard(&audience.0, shard);
    }
}

const SHARDS: u32 = 2;

/// Several chunks per shard.
const DEVICES: usize = 2500;
