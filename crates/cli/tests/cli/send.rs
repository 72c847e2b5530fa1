use std::fmt::Write as _;

use crate::fake::{Fake, Reply, events, json, problem, problem_text};
use crate::run::{Folder, ID, document, event, run};

const NOTIFICATION: &str = "{\n  \"payload\": {\"aps\": {\"alert\": \"Hi\"}}\n}\n";

/// Returns the answer to an accepted upload.
fn taken(pushes: u64) -> Reply {
    json(202, document("running", pushes, 0, 0))
}

/// Returns the stream of a batch that ends at once, with all pushes accepted.
fn ends(pushes: u64) -> Reply {
    events(event("end", &document("done", pushes, pushes, 0)))
}

/// Creates a folder with a notification and a file of two devices.
fn folder() -> (Folder, String, String) {
    let folder = Folder::new();
    let notification = folder.file("notification.json", NOTIFICATION);
    let devices = folder.file("devices", "0011\n{\"token\": \"2233\"}\n");
    (folder, notification, devices)
}

const BODY: &str = "{\"notification\":{\"payload\":{\"aps\":{\"alert\":\"Hi\"}}}}\n{\"token\":\"0011\"}\n{\"token\": \"2233\"}\n";

#[test]
fn devices_are_sent_behind_the_head_that_the_flags_make() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![taken(2), ends(2)]);
    let flags = "--app shop --rate 500 --weight 3 --on-invalid skip --retry-for 6h --webhook https://x.example/h --idempotency-key july";
    let mut arguments = vec!["batch", "send", &devices, "--notification", &notification];
    arguments.extend(flags.split(' '));
    let run = run(&fake, &arguments).with_code(0);
    assert_eq!(
        run.out,
        format!(
            "batch {ID}: 2 pushes in 1 chunks\nbatch {ID} of shop: done\n           2  pushes\n           2  accepted\n"
        )
    );
    assert!(run.err.contains("Idempotency-Key: july"), "{}", run.err);
    let requests = fake.requests();
    assert_eq!(requests[0].line, "POST /v1/push");
    assert_eq!(requests[0].header("content-type"), Some("application/x-ndjson"));
    assert_eq!(requests[0].header("prefer"), Some("respond-async"));
    assert_eq!(requests[0].header("idempotency-key"), Some("july"));
    assert_eq!(
        requests[0].text().lines().next().unwrap(),
        r#"{"app":"shop","notification":{"payload":{"aps":{"alert":"Hi"}}},"on_invalid":"skip","batch":{"rate":500,"weight":3,"retry_for":"6h","webhook":"https://x.example/h"}}"#
    );
    assert_eq!(requests[1].line, format!("GET /v1/batches/{ID}/events"));
    assert_eq!(requests[1].header("accept"), Some("text/event-stream"));
}

#[test]
fn a_file_with_its_own_head_goes_as_it_stands() {
    let folder = Folder::new();
    let text = "{\"app\": \"shop\", \"notification\": {}}\n{\"token\": \"0011\"}\n4455\n";
    let file = folder.file("order", text);
    let fake = Fake::start(vec![taken(2)]);
    run(&fake, &["batch", "send", &file, "--no-watch"]).with_code(0);
    let request = fake.only();
    assert_eq!(request.text(), text);
    let length = text.len().to_string();
    assert_eq!(request.header("content-length"), Some(length.as_str()));
    let key = request.header("idempotency-key").unwrap();
    assert!(
        key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{key}"
    );
}

#[test]
fn a_machine_gets_the_servers_documents_and_nothing_else() {
    let (_folder, notification, devices) = folder();
    let (staged, halfway, done) = (
        document("running", 2, 0, 0),
        document("running", 2, 1, 0),
        document("done", 2, 2, 0),
    );
    let stream = format!(
        ": alive\n\n{}{}",
        event("progress", &halfway),
        event("end", &done)
    );
    let fake = Fake::start(vec![json(202, staged.clone()), events(stream)]);
    let run = run(
        &fake,
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--json",
        ],
    )
    .with_code(0);
    assert_eq!(run.out, format!("{staged}\n{halfway}\n{done}\n"));
    assert_eq!(run.err, "");
}

#[test]
fn an_upload_that_breaks_is_repeated_under_the_same_key() {
    let (_folder, notification, devices) = folder();
    let no_batches = || json(200, r#"{"batches":[],"cursor":null}"#);
    let fake = Fake::start(vec![
        Reply::Cut(10),
        no_batches(),
        problem(503, "busy"),
        problem(409, "upload-in-progress"),
        taken(2),
    ]);
    let run = run(
        &fake,
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--no-watch",
        ],
    )
    .with_code(0);
    assert!(run.err.contains("trying again"), "{}", run.err);
    let requests = fake.requests();
    // A server that refuses early may have closed the connection: it is asked.
    assert_eq!(requests[1].line, "GET /v1/batches?limit=1");
    let key = requests[0].header("idempotency-key").unwrap();
    for again in &requests[2..] {
        assert_eq!(again.header("idempotency-key"), Some(key));
        assert_eq!(again.text(), BODY);
    }
}

#[test]
fn an_upload_whose_answer_is_lost_is_repeated_and_joins_the_batch() {
    let (_folder, notification, devices) = folder();
    let replayed = Reply::Answer {
        status: 202,
        headers: vec![("idempotent-replayed", "true")],
        body: document("running", 2, 0, 0),
    };
    let fake = Fake::start(vec![
        Reply::Broken("{\"id\":".to_owned()),
        json(200, "{}"),
        replayed,
    ]);
    let run = run(
        &fake,
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--no-watch",
        ],
    )
    .with_code(0);
    assert!(run.err.contains("has taken this upload before"), "{}", run.err);
    fake.requests();
}

#[test]
fn an_upload_is_given_up_after_its_attempts_and_says_how_to_repeat_it() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![problem(503, "busy"), problem(503, "busy")]);
    let arguments = [
        "batch",
        "send",
        &devices,
        "--notification",
        &notification,
        "--attempts",
        "2",
        "--json",
    ];
    let run = run(&fake, &arguments).with_code(4);
    let key = fake.requests()[1].header("idempotency-key").unwrap().to_owned();
    assert!(
        run.err.contains(&format!("--idempotency-key {key}")),
        "{}",
        run.err
    );
    assert_eq!(run.out, problem_text(503, "busy") + "\n");
}

#[test]
fn what_the_server_refuses_is_not_repeated() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![problem(409, "idempotency-conflict")]);
    let run = run(
        &fake,
        &["batch", "send", &devices, "--notification", &notification],
    )
    .with_code(3);
    assert!(run.err.contains("It is idempotency-conflict"), "{}", run.err);
    fake.only();
}

#[test]
fn a_refusal_that_was_lost_with_the_connection_is_asked_for() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![Reply::Cut(10), problem(401, "unauthenticated")]);
    let run = run(
        &fake,
        &["batch", "send", &devices, "--notification", &notification],
    )
    .with_code(3);
    assert!(run.err.contains("It is unauthenticated"), "{}", run.err);
    fake.requests();
}

#[test]
fn what_else_the_question_brings_is_not_taken_for_a_refusal() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![Reply::Cut(10), problem(404, "not-found"), taken(2)]);
    let arguments = [
        "batch",
        "send",
        &devices,
        "--notification",
        &notification,
        "--no-watch",
    ];
    run(&fake, &arguments).with_code(0);
    fake.requests();
}

#[test]
fn faults_are_told_by_the_lines_of_the_file() {
    let (_folder, notification, devices) = folder();
    let body = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"x","errors":[{"line":3,"pointer":"/devices/1/token","detail":"is required"}],"more_errors":4}"#;
    let fake = Fake::start(vec![json(422, body), json(422, body)]);
    let with_head = run(
        &fake,
        &["batch", "send", &devices, "--notification", &notification],
    )
    .with_code(3);
    assert!(
        with_head
            .err
            .contains("line 2: /devices/1/token: is required\n  and 4 more"),
        "{}",
        with_head.err
    );
    let as_it_stands = run(&fake, &["batch", "send", &devices]).with_code(3);
    assert!(as_it_stands.err.contains("line 3: "), "{}", as_it_stands.err);
    fake.requests();
}

#[test]
fn lines_that_are_left_out_are_told_and_count_as_not_delivered() {
    let (_folder, notification, devices) = folder();
    let staged = document("running", 1, 0, 0).replace(
        "\"invalid\":0",
        r#""invalid":1,"invalid_lines":[{"line":3,"detail":"/token: is required"}]"#,
    );
    let done = document("done", 1, 1, 0).replace("\"invalid\":0", "\"invalid\":1");
    let fake = Fake::start(vec![json(202, staged), events(event("end", &done))]);
    let arguments = [
        "batch",
        "send",
        &devices,
        "--notification",
        &notification,
        "--on-invalid",
        "skip",
    ];
    let run = run(&fake, &arguments).with_code(1);
    assert!(
        run.out
            .contains("1 lines are at fault and left out\n  line 2: /token: is required\n"),
        "{}",
        run.out
    );
    fake.requests();
}

#[test]
fn warnings_are_told_by_the_lines_of_the_file() {
    let (_folder, notification, devices) = folder();
    let staged = document("running", 1, 0, 0).replace(
        "\"invalid\":0",
        r#""invalid":0,"warnings":[{"code":"null_value","pointer":"/payload/k","detail":"is null","count":6,"lines":[2,3,4,5,6]}]"#,
    );
    let fake = Fake::start(vec![json(202, staged.clone()), json(202, staged)]);
    let arguments = [
        "batch",
        "send",
        &devices,
        "--no-watch",
        "--notification",
        &notification,
        "--strict",
    ];
    let output = run(&fake, &arguments).with_code(0);
    let expected = "warning: /payload/k: is null (null_value) in lines 1, 2, 3, 4, 5 and 1 more\n";
    assert!(output.err.contains(expected), "{}", output.err);
    let as_it_stands = run(&fake, &["batch", "send", &devices, "--no-watch"]).with_code(0);
    assert!(
        as_it_stands.err.contains(" in lines 2, 3, 4, 5, 6 and 1 more\n"),
        "{}",
        as_it_stands.err
    );
    assert!(fake.requests()[0].text().contains(r#""strict":true"#));
}

#[test]
fn two_hundred_thousand_lines_arrive_as_they_were() {
    let folder = Folder::new();
    let notification = folder.file("notification.json", NOTIFICATION);
    let (mut file, mut expected) = (String::new(), BODY.lines().next().unwrap().to_owned() + "\n");
    for number in 0..200_000 {
        writeln!(file, "{number:064x}").unwrap();
        writeln!(expected, "{{\"token\":\"{number:064x}\"}}").unwrap();
    }
    let devices = folder.file("devices", file);
    let fake = Fake::start(vec![taken(200_000)]);
    run(
        &fake,
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--no-watch",
        ],
    )
    .with_code(0);
    let request = fake.only();
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    // Not with assert_eq: it would print both.
    assert!(request.body == expected.as_bytes());
}

#[test]
fn a_large_upload_that_is_cut_off_is_repeated_from_its_beginning() {
    let folder = Folder::new();
    let text = format!(
        "{{\"notification\":{{}}}}\n{}",
        "{\"token\":\"0011\"}\n".repeat(500_000)
    );
    let file = folder.file("order", &text);
    let fake = Fake::start(vec![Reply::Cut(1_000_000), json(200, "{}"), taken(500_000)]);
    run(&fake, &["batch", "send", &file, "--no-watch"]).with_code(0);
    let requests = fake.requests();
    assert!(requests[0].body == text.as_bytes()[..1_000_000]);
    assert!(requests[2].body == text.as_bytes());
}

#[test]
fn a_deployment_that_knows_no_batches_is_told_so() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![json(200, r#"{"counts":{},"results":[]}"#)]);
    let arguments = ["batch", "send", &devices, "--notification", &notification];
    let run = run(&fake, &arguments).with_code(4);
    assert!(
        run.err.contains("does the deployment know batches?"),
        "{}",
        run.err
    );
    fake.only();
}

#[test]
fn what_is_wrong_on_this_side_sends_nothing() {
    let (_folder, notification, devices) = folder();
    let fake = Fake::start(vec![]);
    for arguments in [
        ["batch", "send", "/nowhere", "--notification", &notification].as_slice(),
        &["batch", "send", &devices, "--notification", "/nowhere"],
        &["batch", "send", &devices, "--notification", &devices],
        &["batch", "send", &devices, "--rate", "5"],
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--rate",
            "0",
        ],
        &[
            "batch",
            "send",
            &devices,
            "--notification",
            &notification,
            "--on-invalid",
            "stop",
        ],
        &["batch", "send", &devices, "--idempotency-key", "two words"],
        &["batch", "send"],
    ] {
        run(&fake, arguments).with_code(2);
    }
    assert!(fake.requests().is_empty());
}
