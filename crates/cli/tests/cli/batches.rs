use crate::fake::{Fake, json, problem};
use crate::run::{ID, document, run};

#[test]
fn a_status_is_told_and_is_the_exit_code() {
    for (state, accepted, rejected, code) in [
        ("running", 1, 0, 0),
        ("done", 4, 0, 0),
        ("done", 3, 1, 1),
        ("paused", 1, 0, 5),
        ("cancelled", 1, 0, 5),
    ] {
        let text = document(state, 4, accepted, rejected);
        let fake = Fake::start(vec![json(200, text.clone()), json(200, text.clone())]);
        let output = run(&fake, &["batch", "status", ID]).with_code(code);
        assert!(
            output.out.starts_with(&format!("batch {ID} of shop: {state}\n")),
            "{}",
            output.out
        );
        let read = run(&fake, &["batch", "status", ID, "--json"]).with_code(code);
        assert_eq!(read.out, text + "\n");
        assert_eq!(
            fake.lines(),
            [format!("GET /v1/batches/{ID}"), format!("GET /v1/batches/{ID}")]
        );
    }
}

#[test]
fn what_only_reads_is_repeated() {
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        json(200, document("running", 4, 1, 0)),
    ]);
    run(&fake, &["batch", "status", ID]).with_code(0);
    fake.requests();
}

#[test]
fn a_batch_is_cancelled_paused_and_resumed() {
    for (what, status, state) in [
        ("cancel", 200, "cancelled"),
        ("cancel", 202, "cancelling"),
        ("pause", 200, "paused"),
        ("resume", 200, "running"),
    ] {
        let text = document(state, 4, 1, 0);
        let fake = Fake::start(vec![json(status, text.clone())]);
        let output = run(&fake, &["batch", what, ID, "--json"]).with_code(0);
        assert_eq!(output.out, text + "\n");
        assert_eq!(fake.only().line, format!("POST /v1/batches/{ID}/{what}"));
    }
}

#[test]
fn what_has_ended_cannot_be_paused() {
    let fake = Fake::start(vec![problem(409, "batch-ended")]);
    let output = run(&fake, &["batch", "pause", ID]).with_code(3);
    assert!(output.err.contains("It is batch-ended"), "{}", output.err);
    fake.only();
}

#[test]
fn a_batch_is_deleted_without_a_word_for_machines() {
    let fake = Fake::start(vec![json(204, ""), problem(409, "batch-running")]);
    let output = run(&fake, &["batch", "delete", ID, "--json"]).with_code(0);
    assert_eq!((output.out.as_str(), output.err.as_str()), ("", ""));
    run(&fake, &["batch", "delete", ID]).with_code(3);
    assert_eq!(fake.lines()[0], format!("DELETE /v1/batches/{ID}"));
}

#[test]
fn an_id_is_checked_before_anything_is_asked() {
    let fake = Fake::start(vec![]);
    for arguments in [
        ["batch", "delete", "../../v1/doctor"].as_slice(),
        &["batch", "watch", "0123"],
        &["receipts", ""],
        &["gone", "0123456789abcdef0123456789abcdeg"],
    ] {
        run(&fake, arguments).with_code(2);
    }
    assert!(fake.requests().is_empty());
}

fn entry(number: u64) -> String {
    format!(
        r#"{{"id":"{number:032x}","app":"shop","state":"done","created_at":"2026-11-23T08:00:00.000Z","pushes":{number}}}"#
    )
}

fn page(numbers: &[u64], cursor: &str) -> String {
    let entries: Vec<String> = numbers.iter().map(|number| entry(*number)).collect();
    format!(r#"{{"batches":[{}],"cursor":{cursor}}}"#, entries.join(","))
}

#[test]
fn batches_are_listed_page_after_page() {
    let fake = Fake::start(vec![
        json(200, page(&[3, 2], "\"a&b\"")),
        json(200, page(&[1], "null")),
    ]);
    let arguments = [
        "batch",
        "list",
        "--app",
        "my shop",
        "--state",
        "done",
        "--since",
        "2026-11-01T00:00:00+01:00",
    ];
    let output = run(&fake, &[&arguments, ["--json"].as_slice()].concat()).with_code(0);
    assert_eq!(output.out, format!("{}\n{}\n{}\n", entry(3), entry(2), entry(1)));
    let filters = "app=my%20shop&state=done&since=2026-11-01T00%3A00%3A00%2B01%3A00";
    assert_eq!(
        fake.lines(),
        [
            format!("GET /v1/batches?{filters}&limit=100"),
            format!("GET /v1/batches?{filters}&limit=98&cursor=a%26b")
        ]
    );
}

#[test]
fn no_more_batches_are_listed_than_asked_for() {
    let fake = Fake::start(vec![json(200, page(&[3, 2], "\"a\""))]);
    let output = run(&fake, &["batch", "list", "--limit", "2"]).with_code(0);
    assert_eq!(
        output.out,
        "00000000000000000000000000000003  2026-11-23T08:00:00.000Z  done                3 pushes  shop\n\
         00000000000000000000000000000002  2026-11-23T08:00:00.000Z  done                2 pushes  shop\n"
    );
    assert_eq!(fake.only().line, "GET /v1/batches?limit=2");
}
