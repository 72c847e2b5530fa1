use proptest::prelude::*;

use super::*;
use crate::Problem;
use crate::config::{API_KEYS, APPS};
use crate::fixture::{caller, config, config_with};
use apns::time::Timestamp;

const NONE: Filter = Filter {
    apps: None,
    state: None,
    since: None,
    until: None,
    limit: BATCHES,
    cursor: None,
};

fn faults<T: std::fmt::Debug>(read: Result<T, Faults>) -> Vec<String> {
    let faults = read.unwrap_err();
    faults.listed().iter().map(ToString::to_string).collect()
}

#[test]
fn without_parameters_the_newest_hundred_of_all_batches_are_listed() {
    for query in ["", "app=&state=&since=&until=&limit=&cursor=", "&&"] {
        assert_eq!(batch_filter(query), Ok(NONE), "{query}");
    }
}

#[test]
fn all_parameters_of_the_batches_are_read() {
    let query = "app=shop&state=done&since=2026-11-23T08%3A00%3A00Z&until=2026-11-23T09:00:00.5%2B01:00&limit=7\
                 &cursor=1795420800123.00ff";
    let expected = Filter {
        apps: Some(vec!["shop".to_owned()]),
        state: Some("done".to_owned()),
        since: Some(Timestamp::from_secs(1_795_420_800)),
        until: Some(Timestamp::from_millis(1_795_420_800_500)),
        limit: 7,
        cursor: Some("1795420800123.00ff".parse().unwrap()),
    };
    assert_eq!(batch_filter(query), Ok(expected));
}

#[test]
fn each_fault_is_told_at_its_parameter() {
    let query =
        "stat=done&state=ended&since=yesterday&until=2026-11-23T08:00:00+01:00&limit=0&limit=5&cursor=x&zzz=";
    assert_eq!(
        faults(batch_filter(query)),
        [
            "?stat: is not a known field; did you mean `state`?",
            "?limit: is given twice",
            "?zzz: is not a known field",
            "?state: must be one of staging, running, paused, cancelling, cancelled, done",
            "?since: must be an RFC 3339 time such as `2026-11-23T08:00:00Z`; a `+` is written `%2B` in a query string",
            "?until: must be an RFC 3339 time such as `2026-11-23T08:00:00Z`; a `+` is written `%2B` in a query string",
            "?limit: must be an integer from 1 to 1000",
            "?cursor: must be the `cursor` of an earlier answer",
        ]
    );
    let problem = Problem::invalid(batch_filter("limit=0").unwrap_err()).answer();
    assert!(problem.body.contains(r#""pointer":"?limit""#), "{}", problem.body);
}

#[test]
fn a_time_that_no_batch_can_have_is_refused() {
    for query in [
        "since=1969-12-31T23:59:59Z",
        "since=2026-11-23",
        "since=1795420800",
    ] {
        assert_eq!(faults(batch_filter(query)).len(), 1, "{query}");
    }
    let query = "since=2026-11-23T08:00:01Z&until=2026-11-23T08:00:00Z";
    assert_eq!(faults(batch_filter(query)), ["?until: lies before `since`"]);
    assert!(batch_filter("since=2026-11-23T08:00:00Z&until=2026-11-23T08:00:00Z").is_ok());
}

#[test]
fn the_limits_are_exact() {
    for (limit, batches, letters, receipts) in [
        ("1", true, true, true),
        ("1000", true, true, true),
        ("1001", false, false, true),
        ("10000", false, false, true),
        ("10001", false, false, false),
        ("0", false, false, false),
        ("-1", false, false, false),
        ("x", false, false, false),
        ("99999999999999999999", false, false, false),
    ] {
        let query = format!("limit={limit}");
        assert_eq!(batch_filter(&query).is_ok(), batches, "{limit}");
        assert_eq!(letter_range(&query).is_ok(), letters, "{limit}");
        assert_eq!(ReceiptRange::parse(&query).is_ok(), receipts, "{limit}");
        assert_eq!(ReceiptRange::of_devices(&query).is_ok(), receipts, "{limit}");
    }
}

#[test]
fn receipts_are_read_from_the_cursor_on_and_by_status() {
    let first = ReceiptRange {
        from: 0,
        limit: 1000,
        statuses: Vec::new(),
    };
    assert_eq!(ReceiptRange::parse(""), Ok(first.clone()));
    assert_eq!(ReceiptRange::of_devices(""), Ok(first));
    let some = ReceiptRange {
        from: 1_000_000,
        limit: 10,
        statuses: vec!["failed", "in_flight"],
    };
    let read = ReceiptRange::parse("cursor=1000000&limit=10&status=failed,%20in_flight");
    assert_eq!(read, Ok(some));
    for status in STATUSES {
        let read = ReceiptRange::parse(&format!("status={status}")).unwrap();
        assert_eq!(read.statuses, [status]);
    }
}

#[test]
fn what_no_receipt_can_be_is_refused() {
    let rule = "must be of accepted, rejected, failed, duplicate, cancelled, retrying, in_flight, waiting, with commas between";
    for status in ["sent", "accepted,", ",", "accepted;failed", "Accepted"] {
        let read = ReceiptRange::parse(&format!("status={status}"));
        assert_eq!(faults(read), [format!("?status: {rule}")], "{status}");
    }
    for cursor in ["-1", "x", "1.5"] {
        let read = ReceiptRange::parse(&format!("cursor={cursor}"));
        assert_eq!(
            faults(read),
            ["?cursor: must be the `cursor` of an earlier answer"]
        );
    }
    assert_eq!(
        faults(ReceiptRange::of_devices("status=failed")),
        ["?status: is not a known field"]
    );
}

#[test]
fn letters_are_read_from_the_cursor_on() {
    assert_eq!(letter_range(""), Ok((100, None)));
    let cursor = "1795420800123.00ff".parse().unwrap();
    assert_eq!(
        letter_range("limit=5&cursor=1795420800123.00ff"),
        Ok((5, Some(cursor)))
    );
}

#[test]
fn a_caller_sees_the_batches_of_the_apps_that_its_key_reaches() {
    let config = config();
    let seen = |name: &str, app: Option<&str>| {
        let filter = Filter {
            apps: app.map(|app| vec![app.to_owned()]),
            ..NONE
        };
        let filters = by_credential(&filter, caller(&config, name), &config);
        let apps = filters.into_iter().flat_map(|(_, filter)| filter.apps.unwrap());
        apps.collect::<Vec<_>>().join(" ")
    };
    for (name, app, expected) in [
        ("editor", None, "shop news"),
        ("editor", Some("news"), "news"),
        ("backend", None, "shop"),
        ("backend", Some("shop"), "shop"),
        ("backend", Some("news"), ""),
        ("backend", Some("none"), ""),
        ("intern", None, ""),
    ] {
        assert_eq!(seen(name, app), expected, "{name} {app:?}");
    }
}

#[test]
fn a_registry_is_asked_once_for_all_apps_of_its_credential() {
    let app = |topic: &str, environment: &str| {
        format!(
            r#"{{"team_id":"TEAM123456","key_id":"KEY1234567","topic":"com.example.{topic}","environment":"{environment}"}}"#
        )
    };
    let apps = format!(
        r#"{{"a":{},"b":{},"c":{}}}"#,
        app("a", "production"),
        app("b", "sandbox"),
        app("c", "production")
    );
    let keys = format!(r#"[{{"name":"all","sha256":"{}","apps":"*"}}]"#, "00".repeat(32));
    let config = config_with(|name| match name {
        APPS => Some(apps.clone()),
        API_KEYS => Some(keys.clone()),
        _ => None,
    });
    let filter = Filter { limit: 7, ..NONE };
    let asked: Vec<(&Credential, Vec<String>, u32)> = by_credential(&filter, caller(&config, "all"), &config)
        .into_iter()
        .map(|(credential, filter)| (credential, filter.apps.unwrap(), filter.limit))
        .collect();
    let of = |name: &str| &config.app(name).unwrap().credential;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        asked,
        [(of("a"), names(&["a", "c"]), 7), (of("b"), names(&["b"]), 7)]
    );
}

#[test]
fn a_listing_of_batches_format_unchanged() {
    // Callers read it.
    let running = Entry {
        id: "0f".to_owned(),
        app: "shop".to_owned(),
        state: "running".to_owned(),
        created_at: Timestamp::from_millis(1_795_420_800_123),
        ended_at: None,
        pushes: 1_000_000,
        webhook: None,
    };
    let done = Entry {
        id: "0e".to_owned(),
        state: "done".to_owned(),
        ended_at: Some(Timestamp::from_millis(1_795_420_801_000)),
        webhook: Some("https://example.com/".to_owned()),
        ..running.clone()
    };
    let page = Page {
        batches: vec![running, done],
        cursor: Some("1795420800123.0e".parse().unwrap()),
    };
    assert_eq!(
        batches(&page).body,
        r#"{"batches":[{"id":"0f","app":"shop","state":"running","created_at":"2026-11-23T08:00:00.123Z","pushes":1000000},{"id":"0e","app":"shop","state":"done","created_at":"2026-11-23T08:00:00.123Z","ended_at":"2026-11-23T08:00:01.000Z","pushes":1000000,"webhook":"https://example.com/"}],"cursor":"1795420800123.0e"}"#
    );
    assert_eq!(batches(&Page::default()).body, r#"{"batches":[],"cursor":null}"#);
}

#[test]
fn a_listing_of_dead_letters_format_unchanged() {
    // Callers read it.
    let now = Timestamp::from_millis(1_795_420_800_123);
    let page = dead_letter::Page {
        letters: vec![DeadLetter::new(
            "a1",
            "PUSHES_2",
            r#"{"x":1}"#,
            "is not ours",
            now,
        )],
        cursor: None,
    };
    assert_eq!(
        dead_letters(&page).body,
        r#"{"dead_letters":[{"id":"a1","queue":"PUSHES_2","received_at":"2026-11-23T08:00:00.123Z","problem":"is not ours","bytes":7,"body":"{\"x\":1}"}],"cursor":null}"#
    );
}

proptest! {
    #[test]
    fn reading_a_query_string_never_panics(query in "((app|state|since|until|limit|cursor|status)=.{0,20}&){0,6}|.{0,60}") {
        let _ = batch_filter(&query);
        let _ = letter_range(&query);
        let _ = ReceiptRange::parse(&query);
        let _ = ReceiptRange::of_devices(&query);
    }

    #[test]
    fn what_a_listing_ends_with_is_where_the_next_begins(millis: u64, id in "[0-9a-f]{32}") {
        let cursor = Cursor { at: Timestamp::from_millis(millis), id };
        let read = batch_filter(&format!("cursor={cursor}")).unwrap();
        prop_assert_eq!(read.cursor, Some(cursor));
    }
}
