//! Which bodies of devices are accepted, and which are rejected because of their form.

use super::*;

#[test]
fn a_mark_is_ignored_and_the_first_device_is_kept() {
    let token = "00ff".repeat(16);
    for (form, body) in [
        (Form::Lines, format!("\u{feff}{{\"token\":\"{token}\"}}\r\n")),
        (Form::Csv, format!("\u{feff}token\r{token}\r")),
        (Form::Csv, format!("\u{feff}\"token\",\"ref\"\n{token},a\n")),
        (Form::Unstated, format!("\u{feff}\n{token}")),
        (Form::Unstated, format!("\u{feff}ref,token\n,{token}")),
    ] {
        for size in [1, 7, 1000] {
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let (batches, tally) = taken(form, 1, &pieces);
            assert_eq!(tokens(&batches), [(0, token.clone())], "{body}");
            assert_eq!((tally.received, tally.invalid), (1, 0), "{body}");
        }
    }
}

#[test]
fn as_many_warnings_are_listed_as_documented_and_all_are_counted() {
    for (warned, listed) in [(100_u64, 100), (101, 100)] {
        let lines: String = (0..warned)
            .map(|number| format!("{{\"token\":\"{number:064x}\",\"locale\":\"?\"}}\n"))
            .collect();
        let (_, tally) = taken(Form::Lines, 1, &[lines.as_bytes()]);
        assert_eq!((tally.warnings, tally.warning_lines.len()), (warned, listed));
        assert_eq!((tally.received, tally.invalid), (warned, 0));
    }
}

#[test]
fn a_body_without_a_type_is_read_as_what_it_is() {
    for (content_type, form) in [
        (None, Form::Unstated),
        (Some("application/x-www-form-urlencoded"), Form::Unstated),
        (Some("application/json"), Form::Unstated),
        (Some("text/plain"), Form::Unstated),
        (Some("application/csv"), Form::Csv),
        (Some("application/vnd.ms-excel"), Form::Csv),
        (Some("text/csv; charset=utf-8"), Form::Csv),
        (Some("application/jsonl"), Form::Lines),
    ] {
        assert_eq!(Form::of(content_type), form, "{content_type:?}");
    }
    let (batches, _) = taken(Form::Unstated, 1, &[b"tok", b"en,ref\naa,x\n"]);
    assert_eq!(tokens(&batches), [(0, "aa".to_owned())]);
    let (batches, tally) = taken(Form::Unstated, 1, &[b"{\"token\":\"aa\"}\nbb\n\"cc\"\n0xdd"]);
    assert_eq!((tokens(&batches).len(), tally.invalid), (4, 0));
    assert_eq!(taken(Form::Unstated, 1, &[]).1.received, 0);
}

#[test]
fn a_body_that_is_evidently_something_else_is_refused_for_what_it_is() {
    let config = fixture::config();
    let refused = |form: Form, body: &[u8]| {
        let mut intake = Intake::new(&config.apps[0], 1, form);
        let fed = intake.feed(body);
        let problem = fed.and_then(|()| intake.finish().map(|_| ())).unwrap_err();
        assert_eq!(problem.kind().status(), 422);
        problem.detail().to_owned()
    };
    for (form, body, expected) in [
        (
            Form::Lines,
            &b"[{\"token\":\"aa\"}]"[..],
            "the body is one JSON array",
        ),
        (
            Form::Unstated,
            b"[\n{\"token\":\"aa\"}\n]",
            "the body is one JSON array",
        ),
        (
            Form::Unstated,
            b"{\n \"token\": \"aa\"\n}",
            "one JSON document over several lines",
        ),
        (
            Form::Csv,
            b"{\"token\":\"aa\"}\n",
            "has lines of JSON, and Content-Type says CSV",
        ),
        (
            Form::Lines,
            b"token,ref\naa,b\n",
            "is CSV, and Content-Type says lines",
        ),
        (Form::Unstated, b"\x1f\x8b\x08\0", "is gzip"),
        (Form::Csv, b"\xff\xfet\0o\0", "is UTF-16"),
    ] {
        let told = refused(form, body);
        assert!(told.contains(expected), "{told}");
    }
    let mut removal = Removal::new(1);
    let problem = removal.feed(b"[{\"token\":\"aa\"}]\n").unwrap_err();
    assert!(
        problem.detail().contains("one JSON array"),
        "{}",
        problem.detail()
    );
    let mut removal = Removal::new(1);
    removal.feed(b"token,ref").unwrap();
    assert!(removal.finish().unwrap_err().detail().contains("is CSV"));
}

#[test]
fn a_name_that_occurs_twice_in_a_device_is_refused() {
    let twice = "occurs twice in one object; keep one of them";
    let body = br#"{"token":"aa","token":"bb"}
{"token":"aa","attributes":{"n":1,"n":2}}
{"token":"aa","attributes":{"n":null}}"#;
    let (batches, tally) = taken(Form::Lines, 1, &[body]);
    let told: Vec<&str> = tally
        .invalid_lines
        .iter()
        .map(|line| line.detail.as_str())
        .collect();
    assert_eq!(
        told,
        [format!("/token: {twice}"), format!("/attributes/n: {twice}")]
    );
    assert_eq!(tokens(&batches).len(), 1);
}

#[test]
fn a_removal_takes_bare_tokens_as_an_import_does() {
    let mut removal = Removal::new(1);
    removal
        .feed("\u{feff}AA\r\"bb\"\n<cc>\n{\"token\":\"dd\",\"ref\":null}\nnonsense".as_bytes())
        .unwrap();
    let (batches, tally) = removal.finish().unwrap();
    let Command::Remove { tokens, refs } = &batches[0].command else {
        panic!("{batches:?}")
    };
    assert_eq!(
        (tokens.as_slice(), refs.len()),
        (&["aa", "bb", "cc", "dd"].map(str::to_owned)[..], 0)
    );
    assert_eq!((tally.received, tally.invalid), (5, 1));
}
