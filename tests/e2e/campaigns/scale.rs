//! A large run, with a Worker that dies in its middle.

use std::time::Duration;

use apns_mock::Options;
use serde_json::json;

use super::{Audience, Campaign, lines, soon, strike_soon};
use crate::deployment::SHOP;
use crate::stage::{Stage, until, until_within};

#[test]
#[ignore = "needs the built Worker: run `cargo xtask test`"]
fn a_run_of_a_hundred_thousand_devices_outlives_a_kill_in_its_middle() {
    let mut stage = Stage::alone(Options::default(), &[("TRANSPORT", "socket")]);
    let audience = Audience::create(&stage, "large", 8);
    let devices = stage.devices(&SHOP, "campaigns, large", DEVICES);
    let answer = audience.import(&stage, &lines(&devices, |_| json!({})));
    assert_eq!(answer["added"], DEVICES);
    let campaign = Campaign::create(&stage, &soon(&audience, "Hello"));
    strike_soon(&stage);
    until("the middle of the run", || stage.apns.shown().devices > 20_000);
    stage.kill_and_restart();
    let mut run = json!(null);
    // A runner that died keeps its chunks until its claim ends.
    until_within(Duration::from_secs(400), "a run that is done", || {
        std::thread::sleep(Duration::from_secs(1));
        run = campaign.runs(&stage).remove(0);
        run["state"] == "done"
    });
    assert_eq!(
        (&run["pushes"], &run["counts"]["accepted"]),
        (&json!(DEVICES), &json!(DEVICES)),
        "{run}"
    );
    let shown = stage.apns.shown();
    assert_eq!(
        (shown.devices, shown.max_shown_on_one_device),
        (DEVICES as u64, 1)
    );
}

const DEVICES: usize = 100_000;
