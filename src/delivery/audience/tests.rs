use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::delivery::sql::fixture::Database;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);
const DAY: u64 = 24 * 60 * 60;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn database() -> Database {
    Database::of::<Command>()
}

fn ask(database: &Database, command: &Command, now: Timestamp) -> Reply {
    // As it travels.
    let text = serde_json::to_string(command).unwrap();
    let command: Command = serde_json::from_str(&text).unwrap();
    database.ask(&command, now).unwrap()
}

fn device(token: &str) -> Device {
    Device::new(token.to_owned())
}

fn registered(token: &str, registered_at: u64) -> Device {
    Device {
        registered_at: Some(at(registered_at)),
        ..device(token)
    }
}

fn upsert(database: &Database, devices: &[Device], now: Timestamp) -> (u64, u64) {
    let devices = devices.to_vec();
    match ask(database, &Command::Upsert { devices }, now) {
        Reply::Upserted { added, updated } => (added, updated),
        other => panic!("{other:?}"),
    }
}

fn members(database: &Database) -> Vec<Member> {
    match ask(
        database,
        &Command::Page {
            after: 0,
            limit: 10_000,
        },
        NOW,
    ) {
        Reply::Page { members, more: false } => members,
        other => panic!("{other:?}"),
    }
}

fn tokens(database: &Database) -> String {
    let members = members(database);
    let tokens: Vec<&str> = members
        .iter()
        .map(|member| member.device.token.as_str())
        .collect();
    tokens.join(" ")
}

fn full(token: &str) -> Device {
    Device {
        reference: Some("user \"1\" 😀".to_owned()),
        locale: Some("de-AT".to_owned()),
        time_zone: Some("Europe/Vienna".to_owned()),
        tags: vec!["vip".to_owned(), "a;b".to_owned()],
        attributes: json!({"name": "O'Brien \\ \u{1}", "score": -1.5e-7, "ok": false, "a.\"]$%": "x"})
            .as_object()
            .unwrap()
            .clone(),
        ..registered(token, 7)
    }
}

#[test]
fn a_device_is_read_as_it_was_written() {
    let database = database();
    assert_eq!(upsert(&database, &[full("aa"), device("bb")], NOW), (2, 0));
    let bare = Device {
        registered_at: Some(NOW),
        ..device("bb")
    };
    let devices: Vec<Device> = members(&database)
        .into_iter()
        .map(|member| member.device)
        .collect();
    assert!(devices == [full("aa"), bare]);
}

#[test]
fn an_upsert_replaces_a_device_and_keeps_its_id() {
    let database = database();
    upsert(&database, &[full("aa")], NOW);
    let id = members(&database)[0].id;
    assert_eq!(upsert(&database, &[device("aa"), device("bb")], NOW), (1, 1));
    let found = members(&database);
    let bare = registered("aa", 7);
    assert!(found[0].id == id && found[0].device == bare);
}

#[test]
fn a_token_that_comes_twice_at_once_is_the_last_and_is_added_once() {
    let database = database();
    let named = |name: &str| Device {
        reference: Some(name.to_owned()),
        ..device("aa")
    };
    assert_eq!(
        upsert(&database, &[registered("aa", 5), named("x"), named("y")], NOW),
        (1, 2)
    );
    let found = members(&database);
    let expected = Device {
        registered_at: Some(at(5)),
        ..named("y")
    };
    assert!(found.len() == 1 && found[0].device == expected);
}

#[test]
fn a_device_that_is_as_it_was_is_not_written_again() {
    let database = database();
    let devices: Vec<Device> = (0..100).map(|number| full(&format!("{number:02}"))).collect();
    upsert(&database, &devices, NOW);
    let changes = || {
        database.execute(&Statement::new("SELECT total_changes()"))[0]
            .number(0)
            .unwrap()
    };
    let before = changes();
    assert_eq!(upsert(&database, &devices, at(1)), (0, 100));
    assert_eq!(changes(), before);
    assert_eq!(upsert(&database, &[device("00")], at(1)), (0, 1));
    assert_eq!(changes(), before + 1);
}

#[test]
fn a_known_device_without_a_time_keeps_its_own_and_a_new_one_gets_now() {
    let database = database();
    let time = || members(&database)[0].device.registered_at.unwrap();
    upsert(&database, &[device("aa")], at(100));
    assert_eq!(time(), at(100));
    upsert(&database, &[device("aa")], at(200));
    assert_eq!(time(), at(100));
    upsert(&database, &[registered("aa", 50)], at(300));
    assert_eq!(time(), at(50));
    upsert(&database, &[device("aa")], at(400));
    assert_eq!(time(), at(50));
}

#[test]
fn devices_are_removed_by_token_and_by_ref() {
    let database = database();
    let named = |token: &str, name: &str| Device {
        reference: Some(name.to_owned()),
        ..device(token)
    };
    upsert(
        &database,
        &[device("aa"), named("bb", "x"), named("cc", "x"), named("dd", "y")],
        NOW,
    );
    let remove = |tokens: &[&str], refs: &[&str]| Command::Remove {
        tokens: tokens.iter().map(ToString::to_string).collect(),
        refs: refs.iter().map(ToString::to_string).collect(),
    };
    let removed = |devices| Reply::Removed { devices };
    assert_eq!(ask(&database, &remove(&["aa", "zz"], &["x"]), NOW), removed(3));
    assert_eq!(
        ask(&database, &remove(&["aa"], &["x", "' OR 1=1 --"]), NOW),
        removed(0)
    );
    assert_eq!(tokens(&database), "dd");
}

#[test]
fn a_device_that_comes_again_has_a_higher_id() {
    let database = database();
    upsert(&database, &[device("aa"), device("bb")], NOW);
    let highest = members(&database)[1].id;
    let remove = Command::Remove {
        tokens: vec!["bb".to_owned()],
        refs: Vec::new(),
    };
    ask(&database, &remove, NOW);
    upsert(&database, &[device("bb")], NOW);
    assert!(members(&database)[1].id > highest);
}

#[test]
fn pages_together_are_all_devices_in_order() {
    let database = database();
    let all: Vec<Device> = (0..25).map(|number| device(&format!("{number:02}"))).collect();
    upsert(&database, &all, NOW);
    let (mut found, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let Reply::Page { members, more } = ask(&database, &Command::Page { after, limit: 5 }, NOW) else {
            panic!();
        };
        after = members.last().unwrap().id;
        found.extend(members.into_iter().map(|member| member.device.token));
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!((found.len(), pages, found.is_sorted()), (25, 5, true));
}

#[test]
fn devices_are_found_by_ref_whatever_it_is() {
    let database = database();
    upsert(&database, &[full("aa"), device("bb")], NOW);
    let find = Command::Find {
        refs: vec!["user \"1\" 😀".to_owned(), "x".to_owned()],
    };
    let Reply::Found { members } = ask(&database, &find, NOW) else {
        panic!()
    };
    assert!(members.len() == 1 && members[0].device == full("aa"));
    let plan = database.plan(&find.statements(NOW)[0]);
    assert!(plan.contains("USING INDEX devices_by_ref (ref=?)"), "{plan}");
}

#[test]
fn zones_are_each_told_once_without_reading_all_devices() {
    let database = database();
    let zone = |number: usize| match number % 3 {
        0 => None,
        1 => Some("Europe/Berlin".to_owned()),
        _ => Some("Asia/Tokyo".to_owned()),
    };
    let devices: Vec<Device> = (0..30)
        .map(|number| Device {
            time_zone: zone(number),
            ..device(&format!("{number:02}"))
        })
        .collect();
    assert_eq!(
        ask(&database, &Command::Zones, NOW),
        Reply::Zones { names: vec![] }
    );
    upsert(&database, &devices, NOW);
    let names = ["", "Asia/Tokyo", "Europe/Berlin"].map(str::to_owned).to_vec();
    assert_eq!(ask(&database, &Command::Zones, NOW), Reply::Zones { names });
    let plan = database.plan(&rows::zones());
    assert!(
        !plan.contains("SCAN devices") && plan.contains("USING COVERING INDEX devices_by_zone (time_zone>?)"),
        "{plan}"
    );
}

fn gone(token: &str, reason: &str, since: Option<u64>) -> Gone {
    Gone {
        token: token.to_owned(),
        reason: reason.to_owned(),
        since: since.map(at),
    }
}

fn tell_gone(database: &Database, devices: &[Gone], now: Timestamp) -> (u64, u64) {
    let devices = devices.to_vec();
    match ask(database, &Command::Gone { devices }, now) {
        Reply::Gone { removed, suspected } => (removed, suspected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unregistered_device_is_removed_unless_it_was_registered_since() {
    for reason in ["Unregistered", "ExpiredToken"] {
        for (since, removed) in [(Some(99), 0), (Some(100), 0), (Some(101), 1), (None, 0)] {
            let database = database();
            upsert(&database, &[registered("aa", 100), registered("bb", 100)], NOW);
            assert_eq!(
                tell_gone(&database, &[gone("aa", reason, since)], NOW),
                (removed, 0)
            );
            assert_eq!(members(&database).len() as u64, 2 - removed);
        }
    }
    // Without a time of registration, it is registered since it came.
    let database = database();
    upsert(&database, &[device("aa")], at(100));
    assert_eq!(
        tell_gone(&database, &[gone("aa", "Unregistered", Some(100))], NOW),
        (0, 0)
    );
    assert_eq!(
        tell_gone(&database, &[gone("aa", "Unregistered", Some(101))], NOW),
        (1, 0)
    );
}

#[test]
fn a_bad_token_is_suspect_and_is_removed_on_another_day() {
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
        let database = database();
        upsert(&database, &[device("aa"), device("bb")], NOW);
        let bad = [gone("aa", reason, None), gone("aa", reason, None)];
        let last_of_day = at(10 * DAY + DAY - 1);
        assert_eq!(tell_gone(&database, &bad, at(10 * DAY)), (0, 1));
        assert_eq!(tell_gone(&database, &bad, last_of_day), (0, 0));
        let counted = ask(&database, &Command::Count { segment: None }, NOW);
        assert_eq!(
            counted,
            Reply::Counted {
                devices: 2,
                of: 2,
                suspects: 1
            }
        );
        assert_eq!(tell_gone(&database, &bad, at(11 * DAY)), (1, 0));
        assert_eq!(tokens(&database), "bb");
    }
}

#[test]
fn a_later_registration_clears_the_mark_and_nothing_else_does() {
    for (device, clears) in [
        (registered("aa", 101), true),
        (registered("aa", 100), false),
        (registered("aa", 99), false),
        (device("aa"), false),
        (
            Device {
                registered_at: None,
                ..full("aa")
            },
            false,
        ),
    ] {
        let database = database();
        upsert(&database, &[registered("aa", 100)], NOW);
        let bad = [gone("aa", "BadDeviceToken", None)];
        tell_gone(&database, &bad, NOW);
        upsert(&database, &[device], NOW);
        let expected = if clears { (0, 1) } else { (1, 0) };
        assert_eq!(
            tell_gone(&database, &bad, NOW + std::time::Duration::from_secs(DAY)),
            expected
        );
    }
}

#[test]
fn any_other_reason_and_any_other_token_changes_nothing() {
    let database = database();
    upsert(&database, &[device("aa")], at(1));
    let others = [
        gone("aa", "PayloadTooLarge", Some(9)),
        gone("aa", "unregistered", Some(9)),
        gone("zz", "Unregistered", Some(9)),
        gone("zz", "BadDeviceToken", None),
        gone("' OR 1=1 --", "BadDeviceToken", None),
    ];
    assert_eq!(tell_gone(&database, &others, NOW), (0, 0));
    assert_eq!(tokens(&database), "aa");
}

#[test]
fn the_shard_of_a_token_is_unchanged() {
    // Were it another, devices would be in two shards, and get what is sent twice.
    let tokens = ["aa", "bb", &"0123456789abcdef".repeat(4)];
    assert_eq!(tokens.map(|token| shard_of(token, 8)), [6, 3, 2]);
    assert_eq!(tokens.map(|token| shard_of(token, 1)), [0, 0, 0]);
    assert_eq!(shard_of("aa", 0), 0);
}

#[test]
fn shards_get_about_as_many_devices_each() {
    let mut counts = [0_u32; 64];
    for number in 0..64_000 {
        counts[shard_of(&format!("{number:064x}"), 64) as usize] += 1;
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 870 && *most < 1130, "{least} to {most}");
}

#[test]
fn commands_and_replies_format_unchanged() {
    // They travel between versions of the Worker.
    let segment = Segment::try_from(json!({"eq": {"tags": "vip"}})).unwrap();
    let commands = [
        Command::Upsert {
            devices: vec![registered("aa", 1)],
        },
        Command::Remove {
            tokens: vec!["aa".to_owned()],
            refs: vec!["x".to_owned()],
        },
        Command::Page { after: 7, limit: 5 },
        Command::Find {
            refs: vec!["x".to_owned()],
        },
        Command::Count {
            segment: Some(segment),
        },
        Command::Zones,
        Command::Gone {
            devices: vec![gone("aa", "Unregistered", Some(1))],
        },
    ];
    let text = serde_json::to_string(&commands).unwrap();
    assert_eq!(
        text,
        r#"[{"upsert":{"devices":[{"token":"aa","registered_at":1000}]}},{"remove":{"tokens":["aa"],"refs":["x"]}},{"page":{"after":7,"limit":5}},{"find":{"refs":["x"]}},{"count":{"segment":{"eq":{"tags":"vip"}}}},"zones",{"gone":{"devices":[{"token":"aa","reason":"Unregistered","since":1000}]}}]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Command>>(&text).unwrap(), commands);
    let member = Member {
        id: 7,
        device: registered("aa", 1),
    };
    let replies = [
        Reply::Upserted { added: 1, updated: 2 },
        Reply::Removed { devices: 1 },
        Reply::Page {
            members: vec![member.clone()],
            more: true,
        },
        Reply::Found {
            members: vec![member],
        },
        Reply::Counted {
            devices: 1,
            of: 2,
            suspects: 3,
        },
        Reply::Zones {
            names: vec![String::new()],
        },
        Reply::Gone {
            removed: 1,
            suspected: 2,
        },
    ];
    let text = serde_json::to_string(&replies).unwrap();
    assert_eq!(
        text,
        r#"[{"upserted":{"added":1,"updated":2}},{"removed":{"devices":1}},{"page":{"members":[{"id":7,"device":{"token":"aa","registered_at":1000}}],"more":true}},{"found":{"members":[{"id":7,"device":{"token":"aa","registered_at":1000}}]}},{"counted":{"devices":1,"of":2,"suspects":3}},{"zones":{"names":[""]}},{"gone":{"removed":1,"suspected":2}}]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Reply>>(&text).unwrap(), replies);
}

#[test]
fn a_stored_device_format_unchanged() {
    // Shards outlive deploys.
    let database = database();
    upsert(&database, &[full("aa")], NOW);
    let rows = database.execute(&Statement::new("SELECT * FROM devices"));
    let text = |text: &str| sql::Value::Text(text.to_owned());
    let expected = vec![
        sql::Value::Integer(1),
        text("aa"),
        text("user \"1\" 😀"),
        text("de-AT"),
        text("Europe/Vienna"),
        text(r#"["vip","a;b"]"#),
        text(r#"{"name":"O'Brien \\ \u0001","score":-1.5e-7,"ok":false,"a.\"]$%":"x"}"#),
        sql::Value::Integer(7000),
        sql::Value::Integer(NOW.as_millis().try_into().unwrap()),
        sql::Value::Null,
    ];
    assert_eq!(rows, [Row(expected)]);
}

proptest! {
    #[test]
    fn texts_come_back_as_they_went(
        reference in "[^\0]{0,20}", tags in prop::collection::vec("[^\0]{1,9}", 0..4),
        attributes in prop::collection::btree_map("[^\0]{1,9}", "[^\0]{0,9}", 0..4),
    ) {
        let attributes: Map<String, Value> =
            attributes.into_iter().map(|(name, text)| (name, json!(text))).collect();
        let written = Device { reference: Some(reference), tags, attributes, ..registered("aa", 1) };
        let database = database();
        upsert(&database, std::slice::from_ref(&written), NOW);
        prop_assert!(members(&database)[0].device == written);
    }
}
