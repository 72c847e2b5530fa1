use std::time::Duration;

use super::*;
use crate::audience::{Command, Device};
use batch::LeftOut;
use delivery::sql::fixture::Database;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn database(devices: &[Device]) -> Database {
    let database = Database::of::<Command>();
    upsert(&database, devices);
    database
}

pub(super) fn upsert(database: &Database, devices: &[Device]) {
    let devices = devices.to_vec();
    database.ask(&Command::Upsert { devices }, NOW).unwrap();
}

pub(super) fn remove(database: &Database, token: &str) {
    let remove = Command::Remove {
        tokens: vec![token.to_owned()],
        refs: Vec::new(),
    };
    database.ask(&remove, NOW).unwrap();
}

pub(super) fn device(token: &str, zone: &str, tag: &str) -> Device {
    Device {
        time_zone: (!zone.is_empty()).then(|| zone.to_owned()),
        tags: vec![tag.to_owned()],
        ..Device::new(token.to_owned())
    }
}

fn devices(count: usize) -> Vec<Device> {
    (0..count)
        .map(|number| device(&format!("{number:04}"), "", "in"))
        .collect()
}

pub(super) fn walk(batch: &str) -> Walk {
    Walk {
        batch: batch.to_owned(),
        campaign: "c".to_owned(),
        at: NOW,
        number: 3,
        cursor: Cursor::default(),
        ceiling: 0,
        zones: None,
        segment: None,
        frequency: None,
        document: Value::Null,
        remainder: None,
    }
}

pub(super) fn tagged() -> Option<Segment> {
    Some(Segment::try_from(json!({"eq": {"tags": "in"}})).unwrap())
}

pub(super) fn begun(database: &Database, mut walk: Walk) -> Walk {
    walk.begin(&database.execute(&Walk::highest())).unwrap();
    database.execute(&walk.store());
    walk
}

/// The next page, as the shell reads it, past at most `scanned` devices; and whom of it the cap allows.
pub(super) fn next(database: &Database, walk: &Walk, scanned: usize, limit: u32) -> Page {
    let reach = database.execute(&walk.reach_past(scanned));
    let found = database.execute(&walk.page(&reach, limit).unwrap());
    let mut page = walk.read(&reach, &found, limit).unwrap();
    if let Some(statement) = walk.sends(&page.members) {
        page.members = walk.allowed(page.members, &database.execute(&statement)).unwrap();
    }
    page
}

/// Walks to the end with nothing in between; whom it met.
pub(super) fn met(database: &Database, walk: Walk) -> Vec<String> {
    let mut walk = begun(database, walk);
    let (mut met, mut pages) = (Vec::new(), 0);
    while !walk.is_at_end() {
        let page = next(database, &walk, 7, 5);
        let ids: Vec<u64> = page.members.iter().map(|member| member.id).collect();
        database.execute(&walk.record(&ids));
        assert!(page.end > walk.cursor, "it goes on");
        walk.move_to(page.end);
        met.extend(page.members.into_iter().map(|member| member.device.token));
        pages += 1;
        assert!(pages < 1000);
    }
    database.execute(&Walk::delete(&walk.batch));
    met
}

#[test]
fn a_walk_meets_every_device_once_in_order() {
    let database = database(&devices(23));
    let expected: Vec<String> = devices(23).into_iter().map(|device| device.token).collect();
    assert_eq!(met(&database, walk("r")), expected);
    assert_eq!(met(&Database::of::<Command>(), walk("r")), Vec::<String>::new());
}

#[test]
fn a_walk_meets_the_segment_alone_and_passes_the_others_in_steps() {
    let mut all = devices(40);
    for device in &mut all[3..35] {
        device.tags.clear();
    }
    let database = database(&all);
    let of_segment = Walk {
        segment: tagged(),
        ..walk("r")
    };
    assert_eq!(
        met(&database, of_segment.clone()).join(" "),
        "0000 0001 0002 0035 0036 0037 0038 0039"
    );
    let begun = begun(&database, of_segment);
    let first = next(&database, &begun, 7, 5);
    assert_eq!((first.members.len(), first.end), (3, Cursor(8)));
}

#[test]
fn a_walk_in_zones_meets_their_devices_in_the_order_of_ids() {
    let zones = ["Europe/Berlin", "", "Europe/Paris", "Asia/Tokyo"];
    let all: Vec<Device> = (0..12)
        .map(|number| device(&format!("{number:02}"), zones[number % 4], "in"))
        .collect();
    let database = database(&all);
    let in_zones = |zones: &[&str]| Walk {
        zones: Some(zones.iter().map(|zone| (*zone).to_owned()).collect()),
        segment: tagged(),
        ..walk("r")
    };
    let both = met(
        &database,
        in_zones(&["Europe/Paris", "Europe/Berlin", "Europe/Paris"]),
    );
    assert_eq!(both.join(" "), "00 02 04 06 08 10");
    assert_eq!(met(&database, in_zones(&[""])).join(" "), "01 05 09");
    assert_eq!(met(&database, in_zones(&["Europe/Rome"])), Vec::<String>::new());
    assert_eq!(met(&database, in_zones(&[])), Vec::<String>::new());
    assert_eq!(met(&database, in_zones(&["' OR 1=1 --"])), Vec::<String>::new());
}

#[test]
fn a_device_that_changes_its_zone_is_not_met_again() {
    let database = database(&[
        device("aa", "Europe/Berlin", "in"),
        device("bb", "Europe/Rome", "in"),
    ]);
    let zones = Some(vec!["Europe/Berlin".to_owned(), "Europe/Rome".to_owned()]);
    let mut walk = begun(&database, Walk { zones, ..walk("r") });
    let first = next(&database, &walk, 7, 1);
    walk.move_to(first.end);
    upsert(&database, &[device("aa", "Europe/Rome", "in")]);
    let second = next(&database, &walk, 7, 5);
    let tokens = [first, second].map(|page| page.members[0].device.token.clone());
    assert_eq!(tokens, ["aa", "bb"]);
}

#[test]
fn no_page_reads_more_than_it_may() {
    let database = database(&devices(50));
    let plain = begun(&database, walk("r"));
    let of_segment = Walk {
        segment: tagged(),
        ..plain.clone()
    };
    let in_zones = Walk {
        zones: Some(vec![String::new(), "Europe/Berlin".to_owned()]),
        ..of_segment.clone()
    };
    for walk in [&plain, &of_segment] {
        let reach = database.execute(&walk.reach());
        let plans = [
            database.plan(&walk.reach()),
            database.plan(&walk.page(&reach, 5).unwrap()),
        ];
        let passed = walk.passed(Cursor(9)).map(|passed| database.plan(&passed));
        for plan in plans.into_iter().chain(passed) {
            let seeks = plan.contains("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)")
                || plan == "SCAN CONSTANT ROW";
            assert!(
                seeks && !plan.contains("SCAN devices") && !plan.contains("TEMP B-TREE FOR ORDER"),
                "{plan}"
            );
        }
    }
    let reach = database.execute(&in_zones.reach());
    let plans = [
        database.plan(&in_zones.reach()),
        database.plan(&in_zones.page(&reach, 5).unwrap()),
        database.plan(&in_zones.passed(Cursor(9)).unwrap()),
    ];
    for plan in plans {
        let seeks =
            plan.contains("USING COVERING INDEX devices_by_zone (time_zone=? AND rowid>? AND rowid<?)");
        assert!(
            seeks && !plan.contains("SCAN devices") && !plan.contains("TEMP B-TREE FOR ORDER"),
            "{plan}"
        );
    }
}

pub(super) fn cap(max: u32, of: Of) -> Option<Frequency> {
    let per = 7 * DAY.as_secs();
    Some(Frequency { max, per, of })
}

#[test]
fn a_cap_counts_the_runs_of_less_than_a_period_ago() {
    for (before, allowed) in [
        (7 * DAY, 1),
        (7 * DAY - Duration::from_millis(1), 0),
        (Duration::ZERO, 0),
        (8 * DAY, 1),
    ] {
        let database = database(&devices(1));
        let earlier = Walk {
            at: NOW - before,
            ..walk("earlier")
        };
        assert_eq!(met(&database, earlier).len(), 1);
        let capped = Walk {
            frequency: cap(1, Of::Campaign),
            ..walk("now")
        };
        assert_eq!(met(&database, capped).len(), allowed, "{before:?}");
    }
}

#[test]
fn a_cap_is_of_its_campaign_or_of_all() {
    let database = database(&devices(30));
    let other = Walk {
        campaign: "other".to_owned(),
        ..walk("r1")
    };
    met(&database, other);
    let of = |batch: &str, max: u32, of: Of| Walk {
        frequency: cap(max, of),
        ..walk(batch)
    };
    assert_eq!(met(&database, of("r2", 1, Of::All)).len(), 0);
    assert_eq!(met(&database, of("r3", 1, Of::Campaign)).len(), 30);
    assert_eq!(met(&database, of("r4", 2, Of::All)).len(), 0);
    assert_eq!(met(&database, of("r5", 3, Of::All)).len(), 30);
    assert_eq!(met(&database, of("r6", 3, Of::All)).len(), 0);
}

#[test]
fn a_run_does_not_count_itself() {
    let database = database(&devices(12));
    let capped = Walk {
        frequency: cap(1, Of::All),
        ..walk("r")
    };
    assert_eq!(met(&database, capped.clone()).len(), 12);
    assert_eq!(met(&database, capped).len(), 12);
}

#[test]
fn a_chunk_that_is_tried_again_takes_the_place_of_the_first() {
    let database = database(&devices(12));
    let first = begun(&database, walk("r"));
    database.execute(&first.record(&[1, 2, 3, 9]));
    database.execute(&first.record(&[2, 3]));
    let capped = Walk {
        frequency: cap(1, Of::All),
        ..walk("s")
    };
    assert_eq!(met(&database, capped.clone()).len(), 10);
    // For nobody, nothing is left of it.
    database.execute(&first.record(&[]));
    let capped = Walk {
        frequency: cap(2, Of::All),
        ..capped
    };
    database.execute(&Statement::new("DELETE FROM sends WHERE run = 's'"));
    assert_eq!(met(&database, capped).len(), 12);
}

#[test]
fn a_sweep_forgets_what_no_cap_counts() {
    let database = database(&devices(3));
    let days_ago = |days: u32| Walk {
        at: NOW - days * DAY,
        ..walk(&format!("r{days}"))
    };
    for days in [30, 31, 32] {
        met(&database, days_ago(days));
    }
    database.execute(&Walk::sweep(NOW));
    let rows = database.execute(&Statement::new("SELECT run FROM sends ORDER BY at"));
    let runs: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(runs, ["r31", "r30"]);
}

#[test]
fn what_counts_for_a_cap_is_found_in_the_index() {
    let database = database(&devices(3));
    let capped = Walk {
        frequency: cap(1, Of::Campaign),
        ..walk("r")
    };
    let page = next(&database, &begun(&database, capped.clone()), 7, 5);
    let plan = database.plan(&capped.sends(&page.members).unwrap());
    assert!(
        plan.contains("SEARCH sends USING INDEX sends_by_time (at>?)"),
        "{plan}"
    );
}

/// What all steps of a walk together have sent and left out. A chunk has `cut` devices at most.
fn stepped(database: &Database, walk: Walk, limit: u32, cut: usize) -> (u64, LeftOut) {
    let mut walk = begun(database, walk);
    let (mut pushes, mut left_out) = (0, LeftOut::default());
    while !walk.is_at_end() {
        let step = walk.step(
            limit,
            |statement| Ok(database.execute(&statement)),
            |members| {
                let taken = cut.min(members.len());
                Rendered {
                    pushes: u32::try_from(taken).unwrap(),
                    indices: (0..taken).collect(),
                    taken,
                    ..Rendered::default()
                }
            },
        );
        let step = step.unwrap();
        assert!(step.to > walk.cursor, "a step that comes twice must be known");
        pushes += u64::from(step.pushes);
        left_out.add(&step.left_out);
        walk.move_to(step.to);
    }
    (pushes, left_out)
}

#[test]
fn a_run_counts_whom_its_cap_and_its_segment_leave_out_however_its_steps_are_cut() {
    for (limit, cut) in [(1, 1), (3, 2), (4, 3), (5, 1), (7, 7), (100, 100)] {
        let mut all = devices(20);
        for device in &mut all[15..] {
            device.tags = vec!["out".to_owned()];
        }
        all.rotate_left(7);
        let database = database(&all);
        database.execute(&walk("earlier").record(&[1, 2, 3, 14, 15]));
        let of = |batch: &str, segment, frequency| {
            let run = Walk {
                segment,
                frequency,
                ..walk(batch)
            };
            let (pushes, left_out) = stepped(&database, run, limit, cut);
            (pushes, left_out.frequency_cap, left_out.outside_segment)
        };
        // Devices 9 to 13 are outside the segment.
        let name = format!("{limit} {cut}");
        assert_eq!(of("capped", None, cap(1, Of::All)), (15, 5, 0), "{name}");
        assert_eq!(of("of-segment", tagged(), None), (15, 0, 5), "{name}");
        assert_eq!(of("nobody", tagged(), cap(1, Of::All)), (0, 15, 5), "{name}");
        assert_eq!(of("plain", None, None), (20, 0, 0), "{name}");
    }
}

#[test]
fn devices_of_other_zones_are_outside_no_segment() {
    let database = database(&[
        device("00", "Europe/Berlin", "in"),
        device("01", "Asia/Tokyo", "out"),
        device("02", "Europe/Berlin", "out"),
        device("03", "", "out"),
    ]);
    let run = Walk {
        zones: Some(vec!["Europe/Berlin".to_owned(), String::new()]),
        segment: tagged(),
        ..walk("r")
    };
    let (pushes, left_out) = stepped(&database, run, 2, 9);
    assert_eq!((pushes, left_out.outside_segment), (1, 2));
}

#[test]
fn a_stored_walk_format_unchanged() {
    // It outlives deploys.
    let full = Walk {
        cursor: Cursor(7),
        ceiling: 9,
        zones: Some(vec![String::new(), "Europe/Berlin".to_owned()]),
        segment: tagged(),
        frequency: cap(1, Of::All),
        document: json!({"name": "Monday"}),
        ..walk("r")
    };
    let database = database(&[]);
    database.execute(&walk("q").store());
    database.execute(&full.store());
    let rows = database.execute(&Walk::all());
    assert_eq!(
        rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>(),
        [
            r#"{"batch":"q","campaign":"c","at":1795420800000,"number":3,"cursor":"","ceiling":0,"document":null}"#,
            r#"{"batch":"r","campaign":"c","at":1795420800000,"number":3,"cursor":"7","ceiling":9,"zones":["","Europe/Berlin"],"segment":{"eq":{"tags":"in"}},"frequency":{"max":1,"per":604800,"of":"all"},"document":{"name":"Monday"}}"#
        ]
    );
    assert_eq!(Walk::load(&rows[1]), Ok(full));
    let other = Row(vec![sql::Value::Text("{}".to_owned())]);
    assert!(Walk::load(&other).is_err());
}

#[test]
fn a_stored_chunk_format_unchanged() {
    // It is counted for a month.
    let database = database(&[]);
    database.execute(&walk("r").record(&[5, 6, 7, 20, 1020]));
    let rows = database.execute(&Statement::new(
        "SELECT run, start, campaign, at, first, last, devices FROM sends",
    ));
    let text = |text: &str| sql::Value::Text(text.to_owned());
    let number = sql::Value::Integer;
    let at = number(1_795_420_800_000);
    assert_eq!(
        rows,
        [Row(vec![
            text("r"),
            text(""),
            text("c"),
            at,
            number(5),
            number(1020),
            text("1,1,13,1000")
        ])]
    );
    assert_eq!(
        sends::counts(&[Row(vec![text("r"), number(5), text("1,1,13,1000")])])
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn a_shard_says_which_devices_a_run_would_not_reach() {
    let database = database(&[
        device("00", "", "in"),
        device("01", "", "out"),
        device("02", "", "in"),
    ]);
    let mut sent = walk("earlier");
    sent.at = NOW - DAY;
    database.execute(&sent.record(&[1, 2]));
    let judge = |segment, frequency| {
        let judge = Command::Judge(Judge {
            ids: vec![1, 2, 3],
            segment,
            frequency,
            campaign: "c".to_owned(),
            at: NOW,
        });
        match database.ask(&judge, NOW).unwrap() {
            crate::audience::Reply::Judged(judged) => (judged.outside, judged.capped),
            other => panic!("{other:?}"),
        }
    };
    let cap = |max| Frequency {
        max,
        per: 2 * 24 * 60 * 60,
        of: Of::Campaign,
    };
    assert_eq!(judge(None, None), (vec![], vec![]));
    assert_eq!(judge(tagged(), None), (vec![2], vec![]));
    assert_eq!(judge(tagged(), Some(cap(1))), (vec![2], vec![1, 2]));
    assert_eq!(judge(None, Some(cap(2))), (vec![], vec![]));
}
