use std::fs;

use crate::fake::{Fake, Reply, json, problem};
use crate::run::{Folder, run, run_with};

const AUDIENCE: &str =
    r#"{"name":"customers","app":"shop","shards":8,"created_at":"2026-11-23T08:00:00.000Z"}"#;

#[test]
fn an_audience_is_created_and_creating_it_again_is_fine() {
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        json(201, AUDIENCE),
        json(200, AUDIENCE),
    ]);
    let create = ["audience", "create", "customers", "--app", "shop"];
    let output = run(&fake, &create).with_code(0);
    assert!(
        output
            .out
            .starts_with("audience customers of shop, created 2026-"),
        "{}",
        output.out
    );
    let read = run(
        &fake,
        &[&create, ["--shards", "64", "--json"].as_slice()].concat(),
    )
    .with_code(0);
    assert_eq!(read.out, format!("{AUDIENCE}\n"));
    let requests = fake.requests();
    assert_eq!(requests[1].line, "PUT /v1/audiences/customers");
    assert_eq!(requests[1].header("content-type"), Some("application/json"));
    assert_eq!(requests[1].text(), r#"{"app":"shop","shards":8}"#);
    assert_eq!(requests[2].text(), r#"{"app":"shop","shards":64}"#);
}

#[test]
fn audiences_are_listed_shown_and_deleted() {
    let full = AUDIENCE.replace('}', r#","devices":1000,"suspects":3,"time_zones":12}"#);
    let fake = Fake::start(vec![
        json(200, format!(r#"{{"audiences":[{AUDIENCE},{AUDIENCE}]}}"#)),
        json(200, full.clone()),
        json(204, ""),
        problem(409, "audience-in-use"),
    ]);
    let listed = run(&fake, &["audience", "list", "--json"]).with_code(0);
    assert_eq!(listed.out, format!("{AUDIENCE}\n{AUDIENCE}\n"));
    let shown = run(&fake, &["audience", "show", "customers"]).with_code(0);
    assert!(shown.out.contains("      1000  devices\n"), "{}", shown.out);
    let deleted = run(&fake, &["audience", "delete", "customers", "--json"]).with_code(0);
    assert_eq!((deleted.out.as_str(), deleted.err.as_str()), ("", ""));
    let refused = run(&fake, &["audience", "delete", "customers"]).with_code(3);
    assert!(refused.err.contains("It is audience-in-use"), "{}", refused.err);
    assert_eq!(
        fake.lines(),
        [
            "GET /v1/audiences",
            "GET /v1/audiences/customers",
            "DELETE /v1/audiences/customers",
            "DELETE /v1/audiences/customers"
        ]
    );
}

#[test]
fn what_is_no_list_of_audiences_is_told_so() {
    let fake = Fake::start(vec![json(200, r#"{"batches":[]}"#)]);
    let run = run(&fake, &["audience", "list"]).with_code(4);
    assert!(run.err.contains("there are no `audiences` in it"), "{}", run.err);
}

#[test]
fn devices_are_counted_with_a_segment_of_the_line_a_file_or_none() {
    let folder = Folder::new();
    let segment = r#"{"eq":{"locale":"de"}}"#;
    let file = folder.file("segment.json", segment);
    let answer = r#"{"audience":"customers","devices":12,"of":1000}"#;
    let fake = Fake::start(vec![
        json(200, answer),
        Reply::Broken("{".to_owned()),
        json(200, answer),
        json(200, answer),
        json(200, answer),
    ]);
    let count = ["audience", "count", "customers"];
    let output = run(&fake, &count).with_code(0);
    assert_eq!(output.out, "12 of 1000 devices\n");
    run(&fake, &[&count, ["--segment", segment].as_slice()].concat()).with_code(0);
    let read = run(
        &fake,
        &[&count, ["--segment", &file, "--json"].as_slice()].concat(),
    )
    .with_code(0);
    assert_eq!(read.out, format!("{answer}\n"));
    run_with(&fake, &[&count, ["--segment", "-"].as_slice()].concat(), segment).with_code(0);
    let requests = fake.requests();
    assert_eq!(requests[0].line, "POST /v1/audiences/customers/count");
    assert_eq!(requests[0].text(), "{}");
    for request in &requests[1..] {
        assert_eq!(request.text(), format!(r#"{{"segment":{segment}}}"#));
    }
}

#[test]
fn what_is_wrong_on_this_side_asks_nothing() {
    let folder = Folder::new();
    let file = folder.file("devices", "0011\n");
    let fake = Fake::start(vec![]);
    for arguments in [
        ["audience", "show", "../doctor"].as_slice(),
        &["audience", "show", "Customers"],
        &["audience", "create", "customers"],
        &["audience", "create", "customers", "--app", "a", "--shards", "0"],
        &["audience", "create", "customers", "--app", "a", "--shards", "257"],
        &["audience", "import", "customers"],
        &["audience", "import", "customers", "/nowhere"],
        &["audience", "import", "customers", &file, "--format", "xml"],
        &["audience", "import", "customers", &file, "--from-line", "0"],
        &["audience", "count", "customers", "--segment", "{"],
        &["audience", "count", "customers", "--segment", "/nowhere"],
        &["audience", "export", "customers", "--output"],
    ] {
        run(&fake, arguments).with_code(2);
    }
    assert!(fake.requests().is_empty());
}

const TOKEN: &str = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";

fn devices(numbers: std::ops::Range<u64>) -> String {
    let line = |number| format!("{{\"token\":\"{TOKEN}\",\"ref\":\"user-{number}\",\"tags\":[\"sale\"]}}\n");
    numbers.map(line).collect()
}

fn page(numbers: std::ops::Range<u64>, cursor: &str) -> String {
    devices(numbers) + &format!("{{\"cursor\":{cursor}}}\n")
}

#[test]
fn devices_are_exported_page_after_page_and_nothing_else() {
    let fake = Fake::start(vec![
        json(200, page(0..3, "\"3.c\"")),
        json(200, page(3..4, "null")),
    ]);
    let output = run(&fake, &["audience", "export", "customers"]).with_code(0);
    assert_eq!((output.out, output.err.as_str()), (devices(0..4), ""));
    assert_eq!(
        fake.lines(),
        [
            "GET /v1/audiences/customers/devices?limit=10000",
            "GET /v1/audiences/customers/devices?limit=10000&cursor=3.c"
        ]
    );
}

#[test]
fn a_page_of_devices_that_breaks_is_asked_for_again_and_its_tokens_are_not_told() {
    let fake = Fake::start(vec![
        json(200, page(0..3, "\"c3\"")),
        Reply::Broken(devices(3..5)),
        // In good order, and still not whole.
        json(200, devices(3..5)),
        json(200, page(3..6, "null")),
    ]);
    let output = run(&fake, &["audience", "export", "customers"]).with_code(0);
    assert_eq!(output.out, devices(0..6));
    assert!(
        output.err.contains("trying again") && !output.err.contains(TOKEN),
        "{}",
        output.err
    );
    assert!(fake.lines()[1..].iter().all(|line| line.ends_with("&cursor=c3")));
}

#[test]
fn an_export_is_written_to_a_file_when_all_of_it_is_there() {
    let folder = Folder::new();
    let path = folder.path("devices.ndjson");
    let file = path.to_str().unwrap();
    let fake = Fake::start(vec![
        json(200, page(0..3, "\"c3\"")),
        json(200, devices(3..4)),
        json(200, page(0..3, "\"c3\"")),
        json(200, page(3..4, "null")),
    ]);
    let export = ["audience", "export", "customers", "--output", file];
    let broken = run(&fake, &[&export, ["--attempts", "1"].as_slice()].concat()).with_code(4);
    assert!(!broken.err.contains(TOKEN), "{}", broken.err);
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0);
    let output = run(&fake, &export).with_code(0);
    assert_eq!((output.out.as_str(), output.err.as_str()), ("", ""));
    assert_eq!(fs::read_to_string(&path).unwrap(), devices(0..4));
    fake.requests();
}
