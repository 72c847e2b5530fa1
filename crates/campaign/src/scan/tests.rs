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

pub(super) fn scan_of(batch: &str) -> AudienceScan {
    AudienceScan {
        batch: batch.to_owned(),
        campaign: "c".to_owned(),
        at: NOW,
        number: 3,
        cursor: Cursor::default(),
        max_id: 0,
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

pub(super) fn begun(database: &Database, mut scan: AudienceScan) -> AudienceScan {
    scan.begin(&database.execute(&AudienceScan::highest())).unwrap();
    database.execute(&scan.store());
    scan
}

/// Reads the next page as the Worker does, past at most `scanned` devices, and applies the cap.
pub(super) fn next(database: &Database, scan: &AudienceScan, scanned: usize, limit: u32) -> Page {
    let bound = database.execute(&scan.scan_bound_past(scanned));
    let found = database.execute(&scan.page(&bound, limit).unwrap());
    let mut page = scan.read(&bound, &found, limit).unwrap();
    if let Some(statement) = scan.send_log(&page.members) {
        page.members = scan.allowed(page.members, &database.execute(&statement)).unwrap();
    }
    page
}

/// Scans to the end without interruption. Returns the tokens of the devices.
pub(super) fn met(database: &Database, scan: AudienceScan) -> Vec<String> {
    let mut scan = begun(database, scan);
    let (mut met, mut pages) = (Vec::new(), 0);
    while !scan.is_at_end() {
        let page = next(database, &scan, 7, 5);
        let ids: Vec<u64> = page.members.iter().map(|member| member.id).collect();
        database.execute(&scan.record(&ids));
        assert!(page.end > scan.cursor, "it goes on");
        scan.move_to(page.end);
        met.extend(page.members.into_iter().map(|member| member.device.token));
        pages += 1;
        assert!(pages < 1000);
    }
    database.execute(&AudienceScan::delete(&scan.batch));
    met
}

#[test]
fn a_scan_meets_every_device_once_in_order() {
    let database = database(&devices(23));
    let expected: Vec<String> = devices(23).into_iter().map(|device| device.token).collect();
    assert_eq!(met(&database, scan_of("r")), expected);
    assert_eq!(
        met(&Database::of::<Command>(), scan_of("r")),
        Vec::<String>::new()
    );
}

#[test]
fn a_scan_meets_the_segment_alone_and_passes_the_others_in_steps() {
    let mut all = devices(40);
    for device in &mut all[3..35] {
        device.tags.clear();
    }
    let database = database(&all);
    let of_segment = AudienceScan {
        segment: tagged(),
        ..scan_of("r")
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
fn a_scan_in_zones_meets_their_devices_in_the_order_of_ids() {
    let zones = ["Europe/Berlin", "", "Europe/Paris", "Asia/Tokyo"];
    let all: Vec<Device> = (0..12)
        .map(|number| device(&format!("{number:02}"), zones[number % 4], "in"))
        .collect();
    let database = database(&all);
    let in_zones = |zones: &[&str]| AudienceScan {
        zones: Some(zones.iter().map(|zone| (*zone).to_owned()).collect()),
        segment: tagged(),
        ..scan_of("r")
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
    let mut scan = begun(
        &database,
        AudienceScan {
            zones,
            ..scan_of("r")
        },
    );
    let first = next(&database, &scan, 7, 1);
    scan.move_to(first.end);
    upsert(&database, &[device("aa", "Europe/Rome", "in")]);
    let second = next(&database, &scan, 7, 5);
    let tokens = [first, second].map(|page| page.members[0].device.token.clone());
    assert_eq!(tokens, ["aa", "bb"]);
}

#[test]
fn no_page_reads_more_than_it_may() {
    let database = database(&devices(50));
    let plain = begun(&database, scan_of("r"));
    let of_segment = AudienceScan {
        segment: tagged(),
        ..plain.clone()
    };
    let in_zones = AudienceScan {
        zones: Some(vec![String::new(), "Europe/Berlin".to_owned()]),
        ..of_segment.clone()
    };
    for scan in [&plain, &of_segment] {
        let bound = database.execute(&scan.scan_bound());
        let plans = [
            database.plan(&scan.scan_bound()),
            database.plan(&scan.page(&bound, 5).unwrap()),
        ];
        let passed = scan.passed(Cursor(9)).map(|passed| database.plan(&passed));
        for plan in plans.into_iter().chain(passed) {
            let seeks = plan.contains("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)")
                || plan == "SCAN CONSTANT ROW";
            assert!(
                seeks && !plan.contains("SCAN devices") && !plan.contains("TEMP B-TREE FOR ORDER"),
                "{plan}"
            );
        }
    }
    let bound = database.execute(&in_zones.scan_bound());
    let plans = [
        database.plan(&in_zones.scan_bound()),
        database.plan(&in_zones.page(&bound, 5).unwrap()),
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

pub(super) fn cap(max: u32, of: CapScope) -> Option<Frequency> {
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
        let earlier = AudienceScan {
            at: NOW - before,
            ..scan_of("earlier")
        };
        assert_eq!(met(&database, earlier).len(), 1);
        let capped = AudienceScan {
            frequency: cap(1, CapScope::Campaign),
            ..scan_of("now")
        };
        assert_eq!(met(&database, capped).len(), allowed, "{before:?}");
    }
}

#[test]
fn a_cap_is_of_its_campaign_or_of_all() {
    let database = database(&devices(30));
    let other = AudienceScan {
        campaign: "other".to_owned(),
        ..scan_of("r1")
    };
    met(&database, other);
    let of = |batch: &str, max: u32, of: CapScope| AudienceScan {
        frequency: cap(max, of),
        ..scan_of(batch)
    };
    assert_eq!(met(&database, of("r2", 1, CapScope::All)).len(), 0);
    assert_eq!(met(&database, of("r3", 1, CapScope::Campaign)).len(), 30);
    assert_eq!(met(&database, of("r4", 2, CapScope::All)).len(), 0);
    assert_eq!(met(&database, of("r5", 3, CapScope::All)).len(), 30);
    assert_eq!(met(&database, of("r6", 3, CapScope::All)).len(), 0);
}

#[test]
fn a_run_does_not_count_itself() {
    let database = database(&devices(12));
    let capped = AudienceScan {
        frequency: cap(1, CapScope::All),
        ..scan_of("r")
    };
    assert_eq!(met(&database, capped.clone()).len(), 12);
    assert_eq!(met(&database, capped).len(), 12);
}

#[test]
fn a_chunk_that_is_tried_again_takes_the_place_of_the_first() {
    let database = database(&devices(12));
    let first = begun(&database, scan_of("r"));
    database.execute(&first.record(&[1, 2, 3, 9]));
    database.execute(&first.record(&[2, 3]));
    let capped = AudienceScan {
        frequency: cap(1, CapScope::All),
        ..scan_of("s")
    };
    assert_eq!(met(&database, capped.clone()).len(), 10);
    // For nobody, nothing is left of it.
    database.execute(&first.record(&[]));
    let capped = AudienceScan {
        frequency: cap(2, CapScope::All),
        ..capped
    };
    database.execute(&Statement::new("DELETE FROM send_log WHERE run = 's'"));
    assert_eq!(met(&database, capped).len(), 12);
}

#[test]
fn a_sweep_forgets_what_no_cap_counts() {
    let database = database(&devices(3));
    let days_ago = |days: u32| AudienceScan {
        at: NOW - days * DAY,
        ..scan_of(&format!("r{days}"))
    };
    for days in [30, 31, 32] {
        met(&database, days_ago(days));
    }
    database.execute(&AudienceScan::sweep(NOW));
    let rows = database.execute(&Statement::new("SELECT run FROM send_log ORDER BY at"));
    let runs: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(runs, ["r31", "r30"]);
}

#[test]
fn what_counts_for_a_cap_is_found_in_the_index() {
    let database = database(&devices(3));
    let capped = AudienceScan {
        frequency: cap(1, CapScope::Campaign),
        ..scan_of("r")
    };
    let page = next(&database, &begun(&database, capped.clone()), 7, 5);
    let plan = database.plan(&capped.send_log(&page.members).unwrap());
    assert!(
        plan.contains("SEARCH send_log USING INDEX send_log_by_time (at>?)"),
        "{plan}"
    );
}

/// Returns what all steps of a scan have sent and left out. A chunk has at most `cut` devices.
fn stepped(database: &Database, scan: AudienceScan, limit: u32, cut: usize) -> (u64, LeftOut) {
    let mut scan = begun(database, scan);
    let (mut pushes, mut left_out) = (0, LeftOut::default());
    while !scan.is_at_end() {
        let step = scan.step(
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
        assert!(step.to > scan.cursor, "a step that comes twice must be known");
        pushes += u64::from(step.pushes);
        left_out.add(&step.left_out);
        scan.move_to(step.to);
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
        database.execute(&scan_of("earlier").record(&[1, 2, 3, 14, 15]));
        let of = |batch: &str, segment, frequency| {
            let run = AudienceScan {
                segment,
                frequency,
                ..scan_of(batch)
            };
            let (pushes, left_out) = stepped(&database, run, limit, cut);
            (pushes, left_out.frequency_cap, left_out.outside_segment)
        };
        // Devices 9 to 13 are outside the segment.
        let name = format!("{limit} {cut}");
        assert_eq!(of("capped", None, cap(1, CapScope::All)), (15, 5, 0), "{name}");
        assert_eq!(of("of-segment", tagged(), None), (15, 0, 5), "{name}");
        assert_eq!(
            of("nobody", tagged(), cap(1, CapScope::All)),
            (0, 15, 5),
            "{name}"
        );
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
    let run = AudienceScan {
        zones: Some(vec!["Europe/Berlin".to_owned(), String::new()]),
        segment: tagged(),
        ..scan_of("r")
    };
    let (pushes, left_out) = stepped(&database, run, 2, 9);
    assert_eq!((pushes, left_out.outside_segment), (1, 2));
}

#[test]
fn a_stored_scan_format_unchanged() {
    // It outlives deploys.
    let full = AudienceScan {
        cursor: Cursor(7),
        max_id: 9,
        zones: Some(vec![String::new(), "Europe/Berlin".to_owned()]),
        segment: tagged(),
        frequency: cap(1, CapScope::All),
        document: json!({"name": "Monday"}),
        ..scan_of("r")
    };
    let database = database(&[]);
    database.execute(&scan_of("q").store());
    database.execute(&full.store());
    let rows = database.execute(&AudienceScan::all());
    assert_eq!(
        rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>(),
        [
            r#"{"batch":"q","campaign":"c","at":1795420800000,"number":3,"cursor":"","max_id":0,"document":null}"#,
            r#"{"batch":"r","campaign":"c","at":1795420800000,"number":3,"cursor":"7","max_id":9,"zones":["","Europe/Berlin"],"segment":{"eq":{"tags":"in"}},"frequency":{"max":1,"per":604800,"of":"all"},"document":{"name":"Monday"}}"#
        ]
    );
    assert_eq!(AudienceScan::load(&rows[1]), Ok(full));
    let other = Row(vec![sql::Value::Text("{}".to_owned())]);
    assert!(AudienceScan::load(&other).is_err());
}

#[test]
fn a_stored_chunk_format_unchanged() {
    // It is counted for a month.
    let database = database(&[]);
    database.execute(&scan_of("r").record(&[5, 6, 7, 20, 1020]));
    let rows = database.execute(&Statement::new(
        "SELECT run, start, campaign, at, first, last, devices FROM send_log",
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
        send_log::counts(&[Row(vec![text("r"), number(5), text("1,1,13,1000")])])
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
    let mut sent = scan_of("earlier");
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
        of: CapScope::Campaign,
    };
    assert_eq!(judge(None, None), (vec![], vec![]));
    assert_eq!(judge(tagged(), None), (vec![2], vec![]));
    assert_eq!(judge(tagged(), Some(cap(1))), (vec![2], vec![1, 2]));
    assert_eq!(judge(None, Some(cap(2))), (vec![], vec![]));
}
