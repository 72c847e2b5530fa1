use proptest::prelude::*;

use super::*;
use delivery::sql::fixture::Database;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

fn database() -> Database {
    Database::of::<Command>()
}

fn ask(database: &Database, command: &Command) -> Reply {
    database.ask(command, Timestamp::default()).unwrap()
}

fn batch(id: &str, app: &str, created_at: Timestamp) -> Entry {
    Entry {
        id: id.to_owned(),
        app: app.to_owned(),
        state: "running".to_owned(),
        created_at,
        ended_at: None,
        pushes: 7,
        webhook: None,
    }
}

fn ended(entry: &Entry, ended_at: Timestamp) -> Entry {
    Entry {
        state: "done".to_owned(),
        ended_at: Some(ended_at),
        ..entry.clone()
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

const ALL: Filter = Filter {
    apps: None,
    state: None,
    since: None,
    until: None,
    limit: 100,
    cursor: None,
};

fn list(database: &Database, filter: Filter) -> Page {
    match ask(database, &Command::List(filter)) {
        Reply::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn ids(page: &Page) -> Vec<&str> {
    page.batches.iter().map(|entry| entry.id.as_str()).collect()
}

fn recorded(entries: &[Entry]) -> Database {
    let database = database();
    for entry in entries {
        assert_eq!(ask(&database, &Command::Record(entry.clone())), Reply::Done);
    }
    database
}

#[test]
fn a_batch_is_listed_as_it_was_last_recorded() {
    let first = batch("a", "shop", NOW);
    let last = Entry {
        state: "paused".to_owned(),
        pushes: 1_000_000,
        webhook: Some("https://example.com/".to_owned()),
        ..first.clone()
    };
    let database = recorded(&[first, last.clone()]);
    assert_eq!(list(&database, ALL).batches, [last]);
}

#[test]
fn a_record_that_comes_late_does_not_wake_a_batch_that_has_ended() {
    let running = batch("a", "shop", NOW);
    let done = ended(&running, NOW);
    let database = recorded(&[running.clone(), done.clone(), running]);
    assert_eq!(list(&database, ALL).batches, [done]);
}

#[test]
fn a_later_batch_of_the_same_id_takes_the_place_of_the_first() {
    let done = ended(&batch("a", "shop", at(1)), at(2));
    let again = batch("a", "shop", at(3));
    let database = recorded(&[done, again.clone()]);
    assert_eq!(list(&database, ALL).batches, [again]);
}

#[test]
fn the_listing_is_filtered_by_app_state_and_time() {
    let database = recorded(&[
        batch("a", "shop", at(1)),
        ended(&batch("b", "shop", at(2)), at(9)),
        batch("c", "news", at(3)),
        batch("d", "it's", at(4)),
    ]);
    let apps = |names: &[&str]| Filter {
        apps: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..ALL
    };
    let time = |since: Option<u64>, until: Option<u64>| Filter {
        since: since.map(at),
        until: until.map(at),
        ..ALL
    };
    let done = Filter {
        state: Some("done".to_owned()),
        ..ALL
    };
    for (filter, expected) in [
        (ALL, vec!["d", "c", "b", "a"]),
        (apps(&["shop"]), vec!["b", "a"]),
        (apps(&["it's", "news"]), vec!["d", "c"]),
        (apps(&[]), vec![]),
        (done, vec!["b"]),
        (time(Some(2), None), vec!["d", "c", "b"]),
        (time(None, Some(3)), vec!["b", "a"]),
        (time(Some(2), Some(4)), vec!["c", "b"]),
    ] {
        assert_eq!(ids(&list(&database, filter.clone())), expected, "{filter:?}");
    }
}

#[test]
fn a_listing_ends_without_a_cursor_exactly_when_there_is_no_more() {
    let database = recorded(&[
        batch("a", "shop", at(1)),
        batch("b", "shop", at(1)),
        batch("c", "shop", at(1)),
    ]);
    for (limit, expected, cursor) in [
        (1, vec!["c"], Some("1000.c")),
        (2, vec!["c", "b"], Some("1000.b")),
        (3, vec!["c", "b", "a"], None),
        (4, vec!["c", "b", "a"], None),
    ] {
        let page = list(&database, Filter { limit, ..ALL });
        let found = page.cursor.as_ref().map(ToString::to_string);
        assert_eq!((ids(&page), found.as_deref()), (expected, cursor), "{limit}");
    }
}

#[test]
fn a_cursor_does_not_reach_past_until() {
    let database = recorded(&[batch("a", "shop", at(1)), batch("b", "shop", at(2))]);
    let filter = Filter {
        until: Some(at(2)),
        cursor: Some("9000.z".parse().unwrap()),
        ..ALL
    };
    assert_eq!(ids(&list(&database, filter)), ["a"]);
}

#[test]
fn batches_that_have_not_ended_are_active_the_oldest_first() {
    let database = recorded(&[
        batch("a", "shop", at(3)),
        ended(&batch("b", "shop", at(2)), at(9)),
        batch("c", "news", at(1)),
    ]);
    let active = Reply::Active(vec!["c".to_owned(), "a".to_owned()]);
    assert_eq!(ask(&database, &Command::Active), active);
}

#[test]
fn a_sweep_takes_what_ended_before_its_moment_and_nothing_that_runs() {
    let database = recorded(&[
        batch("a", "shop", at(1)),
        ended(&batch("b", "shop", at(1)), at(8)),
        ended(&batch("c", "shop", at(1)), at(9)),
    ]);
    assert_eq!(ask(&database, &Command::Sweep { before: at(9) }), Reply::Done);
    assert_eq!(ids(&list(&database, ALL)), ["c", "a"]);
}

fn counted(app: &str, state: &str, batches: u64) -> Counted {
    Counted {
        app: app.to_owned(),
        state: state.to_owned(),
        batches,
    }
}

#[test]
fn batches_are_counted_by_app_and_state() {
    let database = recorded(&[
        batch("a", "shop", at(1)),
        ended(&batch("b", "shop", at(2)), at(9)),
        batch("c", "news", at(1)),
        batch("d", "shop", at(3)),
    ]);
    let expected = vec![
        counted("news", "running", 1),
        counted("shop", "done", 1),
        counted("shop", "running", 2),
    ];
    assert_eq!(ask(&database, &Command::Count), Reply::Counted(expected));
    assert_eq!(ask(&recorded(&[]), &Command::Count), Reply::Counted(Vec::new()));
}

#[test]
fn a_batch_that_is_forgotten_is_not_listed() {
    let database = recorded(&[batch("a", "shop", at(1)), batch("b", "shop", at(1))]);
    for _ in 0..2 {
        let forget = Command::Forget {
            batch: "a".to_owned(),
        };
        assert_eq!(ask(&database, &forget), Reply::Done);
    }
    assert_eq!(ids(&list(&database, ALL)), ["b"]);
}

#[test]
fn a_listing_reads_the_index_in_order_and_sorts_nothing() {
    let plan = database().plan(&Command::List(ALL).statements(NOW)[0]);
    assert!(
        plan.contains("SEARCH batches USING INDEX batches_by_time")
            && !plan.contains("TEMP B-TREE FOR ORDER"),
        "{plan}"
    );
}

#[test]
fn commands_and_replies_format_unchanged() {
    // They pass between versions of the Worker.
    let entry = Entry {
        webhook: Some("https://example.com/".to_owned()),
        ..ended(&batch("a", "shop", at(1)), at(2))
    };
    let page = Page {
        batches: vec![batch("b", "shop", at(1))],
        cursor: Some("1000.b".parse().unwrap()),
    };
    let filter = Filter {
        apps: Some(vec!["shop".to_owned()]),
        ..ALL
    };
    let forget = Command::Forget {
        batch: "a".to_owned(),
    };
    let commands = [
        Command::Record(entry),
        Command::List(filter),
        forget,
        Command::Active,
        Command::Sweep { before: at(1) },
        Command::Count,
    ];
    let text = serde_json::to_string(&commands).unwrap();
    assert_eq!(
        text,
        r#"[{"record":{"id":"a","app":"shop","state":"done","created_at":1000,"ended_at":2000,"pushes":7,"webhook":"https://example.com/"}},{"list":{"apps":["shop"],"state":null,"since":null,"until":null,"limit":100,"cursor":null}},{"forget":{"batch":"a"}},"active",{"sweep":{"before":1000}},"count"]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Command>>(&text).unwrap(), commands);
    let replies = [
        Reply::Done,
        Reply::Active(vec!["a".to_owned()]),
        Reply::Page(page),
        Reply::Counted(vec![counted("shop", "done", 2)]),
    ];
    let text = serde_json::to_string(&replies).unwrap();
    assert_eq!(
        text,
        r#"["done",{"active":["a"]},{"page":{"batches":[{"id":"b","app":"shop","state":"running","created_at":1000,"pushes":7}],"cursor":"1000.b"}},{"counted":[{"app":"shop","state":"done","batches":2}]}]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Reply>>(&text).unwrap(), replies);
}

#[test]
fn a_stored_batch_format_unchanged() {
    // Registries are kept across deployments.
    let database = recorded(&[ended(&batch("a", "shop", at(1)), at(2))]);
    let rows = database.execute(&Statement::new(
        "SELECT id, app, state, created_at, ended_at, pushes, webhook FROM batches",
    ));
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = vec![
        text("a"),
        text("shop"),
        text("done"),
        Value::Integer(1000),
        Value::Integer(2000),
        Value::Integer(7),
        Value::Null,
    ];
    assert_eq!(rows, [Row(expected)]);
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (0..9_u64, prop_oneof![Just("shop"), Just("news")], any::<bool>());
    prop::collection::vec(one, 0..30).prop_map(|all| {
        let entry = |(index, (secs, app, has_ended)): (usize, (u64, &str, bool))| {
            let entry = batch(&format!("{index:032x}"), app, at(secs));
            if has_ended { ended(&entry, at(10)) } else { entry }
        };
        all.into_iter().enumerate().map(entry).collect()
    })
}

proptest! {
    #[test]
    fn pages_together_are_all_that_match_each_once_in_order(
        entries in entries(),
        limit in 1..8_u32,
        app in prop_oneof![Just(None), Just(Some("shop"))],
        state in prop_oneof![Just(None), Just(Some("done"))],
        since in 0..9_u64,
        until in 0..10_u64,
    ) {
        let database = recorded(&entries);
        let mut expected: Vec<Entry> = entries.into_iter().filter(|entry| {
            app.is_none_or(|app| entry.app == app)
                && state.is_none_or(|state| entry.state == state)
                && (at(since)..at(until)).contains(&entry.created_at)
        }).collect();
        expected.sort_by_key(|entry| std::cmp::Reverse((entry.created_at, entry.id.clone())));
        let mut filter = Filter {
            apps: app.map(|app| vec![app.to_owned()]),
            state: state.map(str::to_owned),
            since: Some(at(since)),
            until: Some(at(until)),
            limit,
            cursor: None,
        };
        let mut found = Vec::new();
        loop {
            let page = list(&database, filter.clone());
            prop_assert!(page.batches.len() <= limit as usize);
            found.extend(page.batches);
            filter.cursor = page.cursor;
            if filter.cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn registries_listed_together_are_as_one(entries in entries(), limit in 1..8_u32) {
        let of = |app: &str| {
            let own: Vec<Entry> = entries.iter().filter(|entry| entry.app == app).cloned().collect();
            recorded(&own)
        };
        let (one, parts) = (recorded(&entries), [of("shop"), of("news")]);
        let mut filter = Filter { limit, ..ALL };
        loop {
            let expected = list(&one, filter.clone());
            let pages = parts.iter().map(|part| list(part, filter.clone())).collect();
            let merged = Page::merge(pages, limit);
            prop_assert_eq!(&merged, &expected);
            filter.cursor = merged.cursor;
            if filter.cursor.is_none() {
                break;
            }
        }
    }
}
