use std::fs;
use std::process::Stdio;

use crate::fake::{Fake, Reply, json, problem};
use crate::run::{Folder, ID, command, run};

fn lines(indices: std::ops::Range<u64>) -> String {
    let line = |index| format!("{{\"index\":{index},\"status\":\"accepted\",\"ref\":\"user-{index}\"}}\n");
    indices.map(line).collect()
}

fn page(indices: std::ops::Range<u64>, cursor: Option<&str>) -> String {
    let last = match cursor {
        Some(cursor) => format!("{{\"cursor\":\"{cursor}\",\"more\":true,\"state\":\"done\"}}\n"),
        None => "{\"cursor\":null,\"more\":false,\"state\":\"done\"}\n".to_owned(),
    };
    lines(indices) + &last
}

#[test]
fn all_pages_are_printed_and_nothing_else() {
    let fake = Fake::start(vec![
        json(200, page(0..3, Some("c 3"))),
        json(200, page(3..6, Some("c6"))),
        json(200, page(6..7, None)),
    ]);
    let output = run(&fake, &["receipts", ID, "--status", "rejected,failed"]).with_code(0);
    assert_eq!((output.out, output.err.as_str()), (lines(0..7), ""));
    assert_eq!(
        fake.lines(),
        [
            format!("GET /v1/batches/{ID}/receipts?limit=10000&status=rejected%2Cfailed"),
            format!("GET /v1/batches/{ID}/receipts?limit=10000&cursor=c%203&status=rejected%2Cfailed"),
            format!("GET /v1/batches/{ID}/receipts?limit=10000&cursor=c6&status=rejected%2Cfailed"),
        ]
    );
}

#[test]
fn a_page_that_breaks_is_asked_for_again_and_no_line_comes_twice() {
    let whole = page(3..6, None);
    let fake = Fake::start(vec![
        json(200, page(0..3, Some("c3"))),
        Reply::Broken(lines(3..5)),
        // In good order, and still not whole.
        json(200, lines(3..5)),
        problem(503, "unavailable"),
        json(200, whole),
    ]);
    let output = run(&fake, &["receipts", ID, "--json"]).with_code(0);
    assert_eq!((output.out, output.err.as_str()), (lines(0..6), ""));
    assert!(fake.lines()[1..].iter().all(|line| line.ends_with("&cursor=c3")));
}

#[test]
fn devices_that_are_gone_are_written_to_a_file_when_all_are_there() {
    let folder = Folder::new();
    let path = folder.path("gone.ndjson");
    let file = path.to_str().unwrap();
    let fake = Fake::start(vec![
        json(200, page(0..3, Some("c3"))),
        problem(404, "batch-not-found"),
        json(200, page(0..3, Some("c3"))),
        json(200, page(3..4, None)),
    ]);
    run(&fake, &["gone", ID, "--output", file]).with_code(3);
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0);
    let output = run(&fake, &["gone", ID, "--output", file]).with_code(0);
    assert_eq!(output.out, "");
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(0..4));
    assert_eq!(fake.lines()[0], format!("GET /v1/batches/{ID}/gone?limit=10000"));
    run(&fake, &["gone", ID, "--output", "/nowhere/file"]).with_code(2);
}

#[test]
fn suspect_devices_are_printed_as_gone_ones_are() {
    let fake = Fake::start(vec![json(200, page(0..3, None))]);
    let output = run(&fake, &["suspect", ID]).with_code(0);
    assert_eq!(output.out, lines(0..3));
    assert_eq!(
        fake.lines()[0],
        format!("GET /v1/batches/{ID}/suspect?limit=10000")
    );
}

#[test]
fn pages_that_lead_nowhere_do_not_go_on_for_ever() {
    let fake = Fake::start(vec![
        json(200, page(0..1, Some("c1"))),
        json(200, page(1..2, Some("c1"))),
    ]);
    run(&fake, &["receipts", ID]).with_code(4);
    fake.requests();
}

#[test]
fn receipts_of_a_batch_that_still_runs_are_told_to_be_so() {
    let running = lines(0..1) + "{\"cursor\":\"c1\",\"more\":false,\"state\":\"running\"}\n";
    let fake = Fake::start(vec![json(200, running)]);
    let output = run(&fake, &["receipts", ID]).with_code(0);
    assert_eq!(output.out, lines(0..1));
    assert!(output.err.contains("the batch is running"), "{}", output.err);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let fake = Fake::start(vec![
        json(200, page(0..3, Some("c3"))),
        json(200, page(3..6, None)),
    ]);
    let mut child = command(&fake, &["receipts", ID])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
