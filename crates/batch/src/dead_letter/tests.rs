use super::*;
use delivery::sql::fixture::Database;

fn database() -> Database {
    Database::of::<Command>()
}

fn ask(database: &Database, command: &Command) -> Reply {
    database.ask(command, Timestamp::default()).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn letter(id: &str, secs: u64) -> DeadLetter {
    DeadLetter::new(
        id,
        "PUSHES",
        r#"{"batch":"b","chunk":7}"#,
        "is not ours",
        at(secs),
    )
}

fn stored(letters: &[DeadLetter]) -> Database {
    let database = database();
    for letter in letters {
        assert_eq!(ask(&database, &Command::Add(letter.clone())), Reply::Done);
    }
    database
}

fn list(database: &Database, limit: u32, cursor: Option<Cursor>) -> Page {
    match ask(database, &Command::List { limit, cursor }) {
        Reply::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn read(id: &str) -> Command {
    Command::Read { id: id.to_owned() }
}

fn drop(id: &str) -> Command {
    Command::Drop { id: id.to_owned() }
}

#[test]
fn a_letter_is_kept_until_it_is_dropped_also_when_it_is_read() {
    let database = stored(&[letter("a", 1)]);
    for _ in 0..2 {
        assert_eq!(ask(&database, &read("a")), Reply::DeadLetter(letter("a", 1)));
    }
    assert_eq!(ask(&database, &drop("a")), Reply::Done);
    assert_eq!(ask(&database, &drop("a")), Reply::Missing);
    assert_eq!(ask(&database, &read("a")), Reply::Missing);
}

#[test]
fn a_letter_that_comes_twice_is_kept_as_it_came_first() {
    let database = stored(&[letter("a", 1), letter("a", 2)]);
    assert_eq!(ask(&database, &read("a")), Reply::DeadLetter(letter("a", 1)));
}

#[test]
fn letters_are_listed_page_by_page_the_newest_first() {
    let letters = [letter("a", 1), letter("b", 2), letter("c", 2), letter("d", 3)];
    let database = stored(&letters);
    let (mut found, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = list(&database, 2, cursor);
        found.extend(page.letters.into_iter().map(|letter| letter.id));
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((found.join(""), pages), ("dcba".to_owned(), 2));
}

#[test]
fn a_listing_shows_the_start_of_a_body_and_reading_all_of_it() {
    let long = DeadLetter {
        body: "é".repeat(5000),
        bytes: 10_000,
        ..letter("a", 1)
    };
    let database = stored(std::slice::from_ref(&long));
    let shown = &list(&database, 1, None).letters[0];
    assert_eq!((&*shown.body, shown.bytes), (&*"é".repeat(1000), 10_000));
    assert!(!shown.is_whole() && long.is_whole());
    assert_eq!(ask(&database, &read("a")), Reply::DeadLetter(long));
}

#[test]
fn a_body_at_the_limit_is_kept_and_one_above_is_cut_and_says_so() {
    let of = |body: &str| DeadLetter::new("a", "PUSHES", body, "", at(1));
    assert!(of(&"a".repeat(MAX_BODY)).is_whole());
    let over = of(&"a".repeat(MAX_BODY + 1));
    assert_eq!((over.body.len(), over.is_whole()), (MAX_BODY, false));
    // The cut falls between two characters.
    let over = of(&format!("a{}", "é".repeat(MAX_BODY / 2)));
    assert_eq!((over.body.len(), over.is_whole()), (MAX_BODY - 1, false));
    let long = DeadLetter::new("a", "PUSHES", "", &"é".repeat(MAX_PROBLEM), at(1));
    assert_eq!(long.problem.len(), MAX_PROBLEM);
}

#[test]
fn a_sweep_takes_what_came_before_its_moment() {
    let database = stored(&[letter("a", 1), letter("b", 2)]);
    ask(&database, &Command::Sweep { before: at(2) });
    assert_eq!(ask(&database, &read("a")), Reply::Missing);
    assert_eq!(ask(&database, &read("b")), Reply::DeadLetter(letter("b", 2)));
}

#[test]
fn a_letter_is_kept_for_as_long_as_documented_and_no_longer() {
    let sweep_after = |age: Duration| {
        let database = stored(&[letter("a", 1)]);
        ask(&database, &Command::sweep(at(1) + age));
        ask(&database, &read("a")) != Reply::Missing
    };
    assert!(sweep_after(Duration::from_hours(30 * 24)));
    assert!(!sweep_after(
        Duration::from_hours(30 * 24) + Duration::from_millis(1)
    ));
}

#[test]
fn a_listing_reads_the_index_in_order_and_sorts_nothing() {
    let list = Command::List {
        limit: 1,
        cursor: None,
    };
    let plan = database().plan(&list.statements(at(1))[0]);
    assert_eq!(
        plan,
        "SEARCH letters USING INDEX letters_by_time ((received_at,id)<(?,?))"
    );
}

#[test]
fn commands_and_replies_format_unchanged() {
    // They pass between versions of the Worker.
    let commands = [
        Command::Add(letter("a", 1)),
        Command::List {
            limit: 1,
            cursor: None,
        },
        read("a"),
        drop("a"),
        Command::Sweep { before: at(1) },
    ];
    let text = serde_json::to_string(&commands).unwrap();
    assert_eq!(
        text,
        r#"[{"add":{"id":"a","queue":"PUSHES","body":"{\"batch\":\"b\",\"chunk\":7}","bytes":23,"received_at":1000,"problem":"is not ours"}},{"list":{"limit":1,"cursor":null}},{"read":{"id":"a"}},{"drop":{"id":"a"}},{"sweep":{"before":1000}}]"#
    );
    assert_eq!(serde_json::from_str::<Vec<Command>>(&text).unwrap(), commands);
    let page = Page {
        letters: vec![letter("a", 1)],
        cursor: Some("1000.a".parse().unwrap()),
    };
    let replies = [
        Reply::Done,
        Reply::Missing,
        Reply::DeadLetter(letter("a", 1)),
        Reply::Page(page),
    ];
    let text = serde_json::to_string(&replies).unwrap();
    let one = r#"{"id":"a","queue":"PUSHES","body":"{\"batch\":\"b\",\"chunk\":7}","bytes":23,"received_at":1000,"problem":"is not ours"}"#;
    assert_eq!(
        text,
        format!(
            r#"["done","missing",{{"dead_letter":{one}}},{{"page":{{"letters":[{one}],"cursor":"1000.a"}}}}]"#
        )
    );
    assert_eq!(serde_json::from_str::<Vec<Reply>>(&text).unwrap(), replies);
}
