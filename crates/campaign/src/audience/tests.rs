use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use delivery::sql::fixture::Database;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(super) fn database() -> Database {
    Database::of::<Command>()
}

pub(super) fn ask(database: &Database, command: &Command, now: Timestamp) -> Reply {
    // As it travels.
    let text = serde_json::to_string(command).unwrap();
    let command: Command = serde_json::from_str(&text).unwrap();
    database.ask(&command, now).unwrap()
}

pub(super) fn device(token: &str) -> Device {
    Device::new(token.to_owned())
}

pub(super) fn registered(token: &str, registered_at: u64) -> Device {
    Device {
        registered_at: Some(at(registered_at)),
        ..device(token)
    }
}

pub(super) fn upsert(database: &Database, devices: &[Device], now: Timestamp) -> (u64, u64) {
    let devices = devices.to_vec();
    match ask(database, &Command::Upsert { devices }, now) {
        Reply::Upserted { added, updated } => (added, updated),
        other => panic!("{other:?}"),
    }
}

pub(super) fn members(database: &Database) -> Vec<StoredDevice> {
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

pub(super) fn tokens(database: &Database) -> String {
    let members = members(database);
    let tokens: Vec<&str> = members
        .iter()
        .map(|member| member.device.token.as_str())
        .collect();
    tokens.join(" ")
}

pub(super) fn full(token: &str) -> Device {
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
fn a_page_of_long_devices_has_fewer_of_them() {
    let database = database();
    let long = |number: usize, bytes: usize| Device {
        attributes: json!({"a": "x".repeat(bytes)}).as_object().unwrap().clone(),
        ..device(&format!("{number:02x}"))
    };
    let half = MAX_PAGE_BYTES / 2;
    let sizes = [half - 64, half - 64, half, 2 * half, 1];
    let devices: Vec<Device> = (0..)
        .zip(sizes)
        .map(|(number, bytes)| long(number, bytes))
        .collect();
    upsert(&database, &devices, NOW);
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let Reply::Page { members, more } = ask(&database, &Command::Page { after, limit: 9 }, NOW) else {
            panic!()
        };
        after = members.last().unwrap().id;
        pages.push(members.len());
        if !more {
            break;
        }
    }
    assert_eq!(pages, [2, 1, 1, 1]);
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

fn gone() -> Gone {
    Gone {
        token: "aa".to_owned(),
        since: Some(at(1)),
    }
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
            after: 7,
        },
        Command::Zones,
        Command::Gone {
            devices: vec![gone()],
            suspects: vec![Gone {
                since: None,
                ..gone()
            }],
            answered_at: at(2),
        },
        Command::Unaccepted(Unaccepted {
            run: "r".to_owned(),
            tokens: vec!["aa".to_owned()],
        }),
    ];
    let text = serde_json::to_string(&commands).unwrap();
    assert_eq!(
        text,
        r#"[{"upsert":{"devices":[{"token":"aa","registered_at":1000}]}},{"remove":{"tokens":["aa"],"refs":["x"]}},{"page":{"after":7,"limit":5}},{"find":{"refs":["x"]}},{"count":{"segment":{"eq":{"tags":"vip"}},"after":7}},"zones",{"gone":{"devices":[{"token":"aa","since":1000}],"suspects":[{"token":"aa"}],"answered_at":2000}},{"unaccepted":{"run":"r","tokens":["aa"]}}]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Command>>(&text).unwrap(), commands);
    let member = StoredDevice {
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
            next: Some(9),
        },
        Reply::Zones {
            names: vec![String::new()],
        },
        Reply::Gone {
            removed: 1,
            suspected: 2,
        },
        Reply::Uncounted { rows: 1 },
        Reply::Deleted,
    ];
    let text = serde_json::to_string(&replies).unwrap();
    assert_eq!(
        text,
        r#"[{"upserted":{"added":1,"updated":2}},{"removed":{"devices":1}},{"page":{"members":[{"id":7,"device":{"token":"aa","registered_at":1000}}],"more":true}},{"found":{"members":[{"id":7,"device":{"token":"aa","registered_at":1000}}]}},{"counted":{"devices":1,"of":2,"suspects":3,"next":9}},{"zones":{"names":[""]}},{"gone":{"removed":1,"suspected":2}},{"uncounted":{"rows":1}},"deleted"]"#
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
