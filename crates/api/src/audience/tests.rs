mod reading;

use serde_json::json;

use super::*;
use crate::fixture;
use apns::time::Timestamp;
use campaign::audience::{Command, Counter, Device, Reply, StoredDevice, shard_of};

const SHOP: AudienceView<'_> = AudienceView {
    name: "customers",
    app: "shop",
    shards: 8,
    created_at: fixture::NOW,
};

fn spec(name: &str, body: &str) -> Result<(String, u32), String> {
    let config = fixture::config();
    let caller = fixture::caller(&config, "backend");
    let spec = AudienceSpec::read(name, body.as_bytes(), caller, &config);
    spec.map(|spec| (spec.app.name.clone(), spec.shards))
        .map_err(|problem| problem.detail().to_owned())
}

#[test]
fn an_audience_has_an_app_and_shards() {
    let shop = |shards| Ok(("shop".to_owned(), shards));
    assert_eq!(spec("a", r#"{"app":"shop","shards":256}"#), shop(256));
    assert_eq!(spec("a", r#"{"app":"shop"}"#), shop(8));
    assert_eq!(spec("a", ""), shop(8));
    for (body, detail) in [
        (
            r#"{"shards":0}"#,
            "/shards: must be an integer from 1 to 256, but is 0",
        ),
        (
            r#"{"shards":257}"#,
            "/shards: must be an integer from 1 to 256, but is 257",
        ),
        (
            r#"{"shard":1}"#,
            "/shard: is not a known field; did you mean `shards`?",
        ),
        (
            r#"{"app":"news"}"#,
            "unknown app `news`; the key `backend` can send for: shop",
        ),
        ("[]", "the body must be an object, but is an array"),
    ] {
        assert_eq!(spec("a", body), Err(detail.to_owned()));
    }
}

#[test]
fn a_name_is_one_of_letters_digits_and_two_signs() {
    let long = "a".repeat(64);
    for name in ["a", "0", "a-b_c", &long] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "-a", "_a", "A", "a b", "ä", "a/b", &format!("{long}a")] {
        assert!(!is_name(name), "{name}");
    }
    assert!(
        spec("-", "{}")
            .unwrap_err()
            .starts_with("/name: an audience's name has 1 to 64 of")
    );
}

#[test]
fn a_count_is_of_a_segment_or_of_all() {
    assert_eq!(read_count(b"{}"), Ok(None));
    assert_eq!(read_count(b" "), Ok(None));
    assert!(read_count(br#"{"segment":{"exists":"ref"}}"#).unwrap().is_some());
    let problem = read_count(br#"{"segment":{"exists":"reff"}}"#).unwrap_err();
    assert_eq!(
        problem.detail(),
        "/segment/exists: is not a known field; did you mean `ref`?"
    );
    assert_eq!(read_count(b"{").unwrap_err().kind(), Kind::NotJson);
}

/// Reads an import in these pieces. Returns its batches for shards, and its tally.
fn taken(form: Form, shards: u32, pieces: &[&[u8]]) -> (Vec<ShardBatch>, Tally) {
    let config = fixture::config();
    let mut intake = Intake::new(&config.apps[0], shards, form);
    let mut batches = Vec::new();
    for piece in pieces {
        intake.feed(piece).unwrap();
        batches.extend(intake.take_ready());
    }
    let (last, tally) = intake.finish().unwrap();
    batches.extend(last);
    (batches, tally)
}

fn tokens(batches: &[ShardBatch]) -> Vec<(u32, String)> {
    let mut tokens = Vec::new();
    for ShardBatch { shard, command } in batches {
        let Command::Upsert { devices } = command else {
            panic!("{command:?}")
        };
        tokens.extend(devices.iter().map(|device| (*shard, device.token.clone())));
    }
    tokens.sort();
    tokens
}

#[test]
fn an_intake_sorts_devices_by_shard_and_leaves_bad_lines_out() {
    let body = b"{\"token\":\"aa\"}\r\n\n{\"token\":\"x\"}\n{\"token\":\"bb\"}\nnonsense\n{\"cursor\":null}\n{\"token\":\"cc\"}";
    let (batches, tally) = taken(Form::Lines, 4, &[&body[..20], &body[20..]]);
    let mut expected: Vec<(u32, String)> = ["aa", "bb", "cc"]
        .map(|token| (shard_of(token, 4), token.to_owned()))
        .to_vec();
    expected.sort();
    assert_eq!(tokens(&batches), expected);
    assert_eq!((tally.received, tally.invalid), (5, 2));
    let lines: Vec<String> = tally
        .invalid_lines
        .iter()
        .map(|line| format!("{} {}", line.line, line.detail))
        .collect();
    assert_eq!(
        lines,
        [
            "3 /token: has a character at position 0 that is not a hex digit",
            "5 is not JSON: it is neither an object nor a device token in hex digits"
        ]
    );
}

#[test]
fn a_table_and_lines_come_to_the_same() {
    let lines = b"{\"token\":\"aa\",\"tags\":[\"x\",\"y\"]}\n{\"token\":\"bb\",\"attributes\":{\"n\":7}}\n{\"token\":\"\"}\n";
    let table = b"token,tags,attributes.n:number\naa,x;y,\nbb,,7\nz,,\n";
    let (of_lines, tally) = taken(Form::Lines, 4, &[lines]);
    let (of_table, other) = taken(Form::Csv, 4, &[table]);
    assert_eq!(of_lines, of_table);
    assert_eq!((tally.received, tally.invalid), (other.received, other.invalid));
    assert_eq!((other.received, other.invalid_lines[0].line), (3, 4));
}

#[test]
fn a_hundred_bad_lines_are_listed_and_all_are_counted() {
    let body = format!("{}{{\"token\":\"aa\"}}\n", "{}\n".repeat(150));
    let (batches, tally) = taken(Form::Lines, 1, &[body.as_bytes()]);
    assert_eq!(
        (tally.received, tally.invalid, tally.invalid_lines.len()),
        (151, 150, 100)
    );
    assert_eq!(batches.len(), 1);
}

#[test]
fn an_import_of_which_nothing_can_be_read_is_refused() {
    let config = fixture::config();
    for (form, body) in [
        (Form::Lines, "{\"tokn\":\"aa\"}\n{}\n"),
        (Form::Csv, "token,ref\nxyz,a\n,b\n"),
    ] {
        let mut intake = Intake::new(&config.apps[0], 1, form);
        let fed = intake.feed(body.as_bytes());
        let problem = fed.and_then(|()| intake.finish().map(drop)).unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidRequest, "{body}");
    }
    let (_, tally) = taken(Form::Lines, 1, &[b"{\"token\":\"aa\"}\n{}\n"]);
    assert_eq!((tally.received, tally.invalid), (2, 1));
    assert_eq!(taken(Form::Lines, 1, &[b"\n"]).1.received, 0);
}

#[test]
fn what_is_left_out_of_a_device_is_counted_and_listed() {
    let line = "{\"token\":\"aa\",\"locale\":\"en_US@calendar=japanese\",\"time_zone\":\"Mars/Base\"}\n";
    let (batches, tally) = taken(Form::Lines, 1, &[line.repeat(60).as_bytes()]);
    assert_eq!(
        (
            tally.received,
            tally.invalid,
            tally.warnings,
            tally.warning_lines.len()
        ),
        (60, 0, 120, 100)
    );
    assert_eq!(tokens(&batches).len(), 60);
    let kinds: Vec<(u64, usize)> = tally
        .warning_kinds
        .iter()
        .map(|kind| (kind.count, kind.lines.len()))
        .collect();
    assert_eq!(kinds, [(60, 5), (60, 5)], "equal ones are summed up");
    let table = b"token,locale,attributes.plan,attributes.age:number,registered_at\n\
        aa,de_DE.UTF-8,NULL,old,2026-11-23 08:00\n";
    let (_, tally) = taken(Form::Csv, 1, &[table]);
    assert_eq!((tally.received, tally.invalid), (1, 0));
    let told: Vec<&str> = tally
        .warning_lines
        .iter()
        .map(|line| line.detail.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "/locale is read as `de-DE`: the rest is no language tag",
            "/attributes/plan is `NULL`, which is taken for an empty cell",
            "/attributes/age is left out: it must be a number, as its column says",
            "/registered_at is left out: it must be an RFC 3339 time such as `2026-11-23T08:00:00Z`, or epoch seconds",
        ]
    );
}

#[test]
fn a_removal_that_names_no_device_is_refused_with_the_form() {
    for body in ["", "\n", "{}\n", "{\"refs\":[\"a\"]}\n", "{\"devices\":[]}"] {
        let mut removal = Removal::new(1);
        let fed = removal.feed(body.as_bytes());
        let problem = fed.and_then(|()| removal.finish().map(drop)).unwrap_err();
        assert!(problem.detail().contains("ref"), "{body}: {}", problem.detail());
    }
}

#[test]
fn the_limit_of_a_line_is_exact() {
    let line = |size: usize| format!("{{\"token\":\"aa\"{}}}\n", " ".repeat(size - 14));
    let (_, tally) = taken(
        Form::Lines,
        1,
        &[line(MAX_LINE).as_bytes(), line(MAX_LINE + 1).as_bytes()],
    );
    assert_eq!((tally.received, tally.invalid), (2, 1));
    let expected = format!("is {} bytes long; the limit is {MAX_LINE}", MAX_LINE + 1);
    assert_eq!(tally.invalid_lines[0].detail, expected);
}

#[test]
fn a_bad_header_ends_the_intake_for_good() {
    let config = fixture::config();
    let mut intake = Intake::new(&config.apps[0], 1, Form::Csv);
    let problem = intake.feed(b"lokale\nde\n").unwrap_err();
    assert_eq!(intake.feed(b"x").unwrap_err(), problem);
    assert_eq!(intake.finish().unwrap_err(), problem);
    assert_eq!(problem.kind(), Kind::InvalidRequest);
}

#[test]
fn a_removal_tells_a_token_to_its_shard_and_a_ref_to_all() {
    let mut removal = Removal::new(3);
    removal
        .feed(b"{\"token\":\"AA\"}\n{\"ref\":\"x\"}\n{\"token\":\"aa\",\"ref\":\"x\"}\n{}\n{\"to")
        .unwrap();
    assert!(removal.take_ready().is_empty());
    removal.feed(b"ken\":\"zz\"}").unwrap();
    let (batches, mut tally) = removal.finish().unwrap();
    assert_eq!(batches.len(), 3);
    for ShardBatch { shard, command } in batches {
        let own = if shard == shard_of("aa", 3) {
            vec!["aa".to_owned()]
        } else {
            vec![]
        };
        let refs = vec!["x".to_owned()];
        assert_eq!(command, Command::Remove { tokens: own, refs });
        tally.add(&Reply::Removed { devices: 2 });
    }
    assert_eq!(
        removed("customers", &tally).body,
        r#"{"audience":"customers","received":5,"removed":6,"invalid":3,"invalid_lines":[{"line":3,"detail":"must have either `token` or `ref`, a line for each device"},{"line":4,"detail":"must have either `token` or `ref`, a line for each device"},{"line":5,"detail":"/token: has a character at position 0 that is not a hex digit"}],"invalid_kinds":[{"detail":"must have either `token` or `ref`, a line for each device","count":2,"lines":[3,4]},{"pointer":"/token","detail":"has a character at position 0 that is not a hex digit","count":1,"lines":[5]}]}"#
    );
}

#[test]
fn removals_go_off_by_five_hundred() {
    let lines = |field: &str, count: usize| -> String {
        (0..count)
            .map(|number| format!("{{\"{field}\":\"{number:04}\"}}\n"))
            .collect()
    };
    let mut removal = Removal::new(2);
    removal.feed(lines("ref", 499).as_bytes()).unwrap();
    assert!(removal.take_ready().is_empty());
    removal.feed(lines("ref", 1).as_bytes()).unwrap();
    assert_eq!(removal.take_ready().len(), 2);
    removal.feed(lines("token", 1000).as_bytes()).unwrap();
    let early = removal.take_ready().len();
    let (last, tally) = removal.finish().unwrap();
    assert!(early <= 2 && last.len() <= 2 && early + last.len() >= 2);
    assert_eq!((tally.received, tally.invalid), (1500, 0));
}

fn member(id: u64) -> StoredDevice {
    let device = Device {
        reference: Some("user-1".to_owned()),
        locale: Some("de-AT".to_owned()),
        time_zone: Some("Europe/Vienna".to_owned()),
        tags: vec!["vip".to_owned()],
        attributes: serde_json::from_str(r#"{"name":"Ada","score":1.50}"#).unwrap(),
        registered_at: Some(Timestamp::from_millis(1_795_420_800_123)),
        ..Device::new("abcd".to_owned())
    };
    StoredDevice { id, device }
}

#[test]
fn an_export_format_unchanged() {
    // Callers keep it, and import it again.
    let text = format!(
        "{}{}{}",
        device_lines(&[member(1)]),
        cursor_line(Some(DeviceCursor { shard: 3, after: 7 })),
        cursor_line(None)
    );
    assert_eq!(
        text,
        "{\"token\":\"abcd\",\"ref\":\"user-1\",\"locale\":\"de-AT\",\"time_zone\":\"Europe/Vienna\",\"tags\":[\"vip\"],\
         \"attributes\":{\"name\":\"Ada\",\"score\":1.50},\"registered_at\":\"2026-11-23T08:00:00.123Z\"}\n\
         {\"cursor\":\"3.7\"}\n{\"cursor\":null}\n"
    );
    let (batches, tally) = taken(Form::Lines, 1, &[text.as_bytes()]);
    assert_eq!((tally.received, tally.invalid), (1, 0));
    let devices = vec![member(1).device];
    assert!(batches[0].command == Command::Upsert { devices });
}

#[test]
fn the_documents_of_audiences_format_unchanged() {
    // Callers read them.
    let mut counter = Counter::default();
    for (of, next) in [(4, Some(7)), (6, None)] {
        counter.take(&Reply::Counted {
            devices: 1,
            of,
            suspects: 1,
            next,
        });
    }
    let mut totals = Totals::of(counter.and(counter));
    for names in [
        vec![String::new(), "UTC".to_owned()],
        vec!["UTC".to_owned(), "Asia/Tokyo".to_owned()],
    ] {
        totals.add(Reply::Zones { names });
    }
    let mut tally = taken(Form::Lines, 1, &[b"{\"token\":\"aa\"}\n{}\n"]).1;
    tally.add(&Reply::Upserted { added: 1, updated: 2 });
    let head = r#"{"name":"customers","app":"shop","shards":8,"created_at":"2026-11-23T08:00:00.000Z""#;
    for (answer, expected) in [
        (document(&SHOP, None), format!("{head}}}")),
        (document(&SHOP, Some(&totals)), format!(r#"{head},"devices":20,"suspects":4,"time_zones":2}}"#)),
        (list(&[SHOP]), format!(r#"{{"audiences":[{head}}}]}}"#)),
        (list(&[]), r#"{"audiences":[]}"#.to_owned()),
        (count("customers", &totals), r#"{"audience":"customers","devices":4,"of":20}"#.to_owned()),
        (
            imported("customers", &tally),
            r#"{"audience":"customers","received":2,"added":1,"updated":2,"invalid":1,"invalid_lines":[{"line":2,"detail":"/token: is required"}],"invalid_kinds":[{"pointer":"/token","detail":"is required","count":1,"lines":[2]}],"warnings":0,"warning_lines":[]}"#.to_owned(),
        ),
    ] {
        assert_eq!(answer.body, expected);
    }
    assert_eq!(totals.zones().collect::<Vec<_>>(), ["", "Asia/Tokyo", "UTC"]);
}

#[test]
fn a_range_of_devices_is_read_from_the_query() {
    let range = |cursor: (u32, u64), limit| DeviceRange {
        cursor: DeviceCursor {
            shard: cursor.0,
            after: cursor.1,
        },
        limit,
    };
    assert_eq!(DeviceRange::parse(""), Ok(range((0, 0), None)));
    assert_eq!(
        DeviceRange::parse("limit=5&cursor=3.77"),
        Ok(range((3, 77), Some(5)))
    );
    for query in [
        "limit=0",
        "limit=10001",
        "cursor=3",
        "cursor=a.b",
        "cursor=3.-1",
        "page=1",
    ] {
        assert!(DeviceRange::parse(query).is_err(), "{query}");
    }
}

#[test]
fn the_problems_of_audiences_say_what_is_in_the_way() {
    assert_eq!(not_found().answer().status, 404);
    assert_eq!(
        conflict(&SHOP).detail(),
        "it is of the app `shop` and has 8 shards, which cannot be changed"
    );
    assert_eq!(
        in_use("c1").detail(),
        "the campaign c1 is for it and has not ended"
    );
    assert_eq!(json!(conflict(&SHOP).answer().status), json!(409));
}
