use crate::fake::{Fake, Reply, json, problem, problem_text};
use crate::run::{Folder, ID, Run, bare, document, run};

const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn answer(accepted: u64, rejected: u64, results: &str) -> String {
    let devices = accepted + rejected;
    format!(
        r#"{{"app":"shop","transport":"fetch","counts":{{"devices":{devices},"accepted":{accepted},"rejected":{rejected},"retrying":0,"failed":0,"gone":{rejected}}},"results":[{results}]}}"#
    )
}

const ACCEPTED: &str = r#"{"ref":"user-1","token_hint":"0011…eeff","status":"accepted","apns_id":"6f1c","code":200,"verdict":"accepted","attempts":1,"ms":61}"#;
const GONE: &str = r#"{"token_hint":"2233…ccdd","status":"rejected","apns_id":"6f1d","code":410,"reason":"Unregistered","verdict":"drop_device","since":"2026-01-01T00:00:00.000Z","attempts":1,"ms":58}"#;

/// Runs a push to one device.
fn push(fake: &Fake, more: &[&str]) -> Run {
    let device = format!("{TOKEN}=user-1");
    let arguments = [
        "push", "--app", "shop", "--title", "Hi", "--body", "there", "--device", &device,
    ];
    run(fake, &[&arguments, more].concat())
}

#[test]
fn each_device_is_a_line_and_then_come_the_counts() {
    let fake = Fake::start(vec![json(200, answer(1, 1, &format!("{ACCEPTED},{GONE}")))]);
    let run = push(
        &fake,
        &["--device", "2233", "--collapse-id", "c", "--on-invalid", "skip"],
    )
    .with_code(0);
    assert_eq!(
        run.out,
        "accepted  0011…eeff  user-1  6f1c\n\
         rejected  2233…ccdd  410  Unregistered  since 2026-01-01T00:00:00.000Z  (drop_device)  6f1d\n\
         2 devices: 1 accepted, 1 rejected, 1 gone\n"
    );
    let request = fake.only();
    assert_eq!(request.line, "POST /v1/push");
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    // Without either it is an immediate push.
    assert_eq!(
        (request.header("prefer"), request.header("idempotency-key")),
        (None, None)
    );
    assert_eq!(
        request.text(),
        [
            r#"{"app":"shop","notification":{"payload":{"aps":{"alert":{"title":"Hi","body":"there"}}},"collapse_id":"c"},"on_invalid":"skip"}"#,
            &format!(r#"{{"token":"{TOKEN}","ref":"user-1"}}"#),
            r#"{"token":"2233"}"#,
            ""
        ]
        .join("\n")
    );
}

#[test]
fn when_all_are_accepted_it_ends_well() {
    let fake = Fake::start(vec![json(200, answer(1, 0, ACCEPTED))]);
    let run = push(&fake, &[]).with_code(0);
    assert!(run.out.ends_with("1 device: 1 accepted\n"), "{}", run.out);
    assert_eq!(run.err, "");
}

#[test]
fn a_machine_gets_the_servers_document_on_one_line() {
    let spaced = answer(1, 0, ACCEPTED).replace(",\"", ",\n  \"");
    let fake = Fake::start(vec![json(200, spaced)]);
    let run = push(&fake, &["--json"]).with_code(0);
    assert_eq!(run.out, answer(1, 0, ACCEPTED) + "\n");
    assert_eq!(run.err, "");
}

#[test]
fn warnings_go_to_standard_error_and_into_the_document() {
    let warnings = r#""warnings":[{"code":"misspelled_key","pointer":"/notification/payload/aps/alrt","detail":"is odd"},{"code":"null_value","pointer":"/payload/k","detail":"is null","count":1,"lines":[2]}],"results""#;
    let document = answer(1, 0, ACCEPTED).replace("\"results\"", warnings);
    let fake = Fake::start(vec![json(200, document.clone()), json(200, document.clone())]);
    let output = push(&fake, &["--strict"]).with_code(0);
    assert!(output.out.ends_with("1 device: 1 accepted\n"), "{}", output.out);
    assert_eq!(
        output.err,
        "warning: /notification/payload/aps/alrt: is odd (misspelled_key)\n\
         warning: /payload/k: is null (null_value) in device 1\n"
    );
    let read = push(&fake, &["--json"]).with_code(0);
    assert_eq!((read.out, read.err.as_str()), (document + "\n", ""));
    let heads: Vec<bool> = fake
        .requests()
        .iter()
        .map(|request| request.text().contains(r#""strict":true"#))
        .collect();
    assert_eq!(heads, [true, false]);
}

#[test]
fn a_payload_file_that_is_a_whole_notification_is_refused() {
    let folder = Folder::new();
    let payload = folder.file(
        "payload.json",
        r#"{"payload": {"aps": {"alert": "x"}}, "priority": 5}"#,
    );
    let fake = Fake::start(vec![]);
    let run = run(&fake, &["push", "--payload", &payload, "--device", "0011"]).with_code(2);
    assert!(run.err.contains("whole notification"), "{}", run.err);
    assert!(fake.requests().is_empty());
}

#[test]
fn devices_come_from_a_file_as_well() {
    let folder = Folder::new();
    let payload = folder.file("payload.json", "{\n  \"aps\": {\"badge\": 3}\n}\n");
    let devices = folder.file("devices", "0011\n{\"token\": \"2233\", \"ref\": \"user-2\"}\n");
    let fake = Fake::start(vec![json(200, answer(1, 0, ACCEPTED))]);
    run(
        &fake,
        &[
            "push",
            "--payload",
            &payload,
            "--device",
            "4455",
            "--devices",
            &devices,
        ],
    )
    .with_code(0);
    assert_eq!(
        fake.only().text(),
        "{\"notification\":{\"payload\":{\"aps\":{\"badge\":3}}}}\n{\"token\":\"4455\"}\n{\"token\":\"0011\"}\n\
         {\"token\": \"2233\", \"ref\": \"user-2\"}\n"
    );
}

#[test]
fn an_order_that_becomes_a_batch_says_how_to_watch_it() {
    let text = document("running", 20_000, 0, 0);
    let fake = Fake::start(vec![json(202, text.clone()), json(202, text.clone())]);
    let run = push(&fake, &[]).with_code(0);
    assert!(run.out.contains("20000 pushes"), "{}", run.out);
    assert!(
        run.out.contains(&format!("apns-edge batch watch {ID}")),
        "{}",
        run.out
    );
    assert_eq!(push(&fake, &["--json"]).with_code(0).out, text + "\n");
}

#[test]
fn an_order_that_is_refused_tells_each_fault() {
    let body = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"x","errors":[{"pointer":"/devices/0/token","detail":"is too long"},{"pointer":"/app","detail":"is odd"}]}"#;
    let refused = json(422, body);
    let fake = Fake::start(vec![refused.clone(), refused]);
    let run = push(&fake, &[]).with_code(3);
    assert_eq!(
        (run.out.as_str(), run.err.as_str()),
        (
            "",
            "error: the server refused: 422 The request has faults\n  /devices/0/token: is too long\n  /app: is odd\n"
        )
    );
    let run = push(&fake, &["--json"]).with_code(3);
    assert_eq!(run.out, format!("{body}\n"));
    assert!(run.err.starts_with("error: "), "{}", run.err);
}

#[test]
fn a_push_is_never_sent_a_second_time() {
    // Each server would answer once more.
    for reply in [
        problem(503, "busy"),
        Reply::Cut(20),
        Reply::Broken("{".to_owned()),
    ] {
        let fake = Fake::start(vec![reply]);
        let run = push(&fake, &[]).with_code(4);
        assert!(run.err.starts_with("error: "), "{}", run.err);
        fake.only();
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let fake = Fake::start(vec![Reply::Answer {
        status: 301,
        headers: vec![("location", "https://elsewhere.example/")],
        body: String::new(),
    }]);
    let run = push(&fake, &[]).with_code(4);
    assert!(run.err.contains("https://elsewhere.example/"), "{}", run.err);
    fake.only();
}

#[test]
fn a_server_that_is_not_there_is_told_by_its_url() {
    // Port 9 of this machine is nobody's.
    let arguments = [
        "push",
        "--title",
        "Hi",
        "--device",
        "00",
        "--url",
        "http://127.0.0.1:9",
        "--key",
        "k",
    ];
    let run = Run::of(bare(&arguments).output().unwrap()).with_code(4);
    assert!(
        run.err.starts_with("error: no answer from http://127.0.0.1:9: "),
        "{}",
        run.err
    );
}

#[test]
fn an_answer_that_is_none_of_ours_is_told_so() {
    let fake = Fake::start(vec![
        json(200, "<html>hello</html>"),
        json(500, "<html>sorry</html>"),
    ]);
    let run = push(&fake, &[]).with_code(4);
    assert!(run.err.contains("cannot be read"), "{}", run.err);
    let run = push(&fake, &["--json"]).with_code(4);
    assert_eq!(run.out, "");
    assert!(run.err.contains("HTTP status 500"), "{}", run.err);
}

#[test]
fn a_push_needs_something_to_say_and_someone_to_say_it_to() {
    let fake = Fake::start(vec![]);
    for arguments in [
        ["push", "--title", "Hi"].as_slice(),
        &["push", "--device", "00"],
        &["push", "--device", "00", "--title", "Hi", "--payload", "{}"],
        &["push", "--title", "Hi", "--devices", "/nowhere"],
        &["push", "--payload", "{", "--device", "00"],
    ] {
        run(&fake, arguments).with_code(2);
    }
    assert!(fake.requests().is_empty());
}

#[test]
fn a_forbidden_caller_learns_what_the_server_says() {
    let fake = Fake::start(vec![json(403, problem_text(403, "forbidden"))]);
    let run = push(&fake, &[]).with_code(3);
    assert_eq!(
        run.err,
        "error: the server refused: 403 It is forbidden: so it is\n"
    );
}

#[test]
fn a_gzip_file_of_devices_is_decompressed() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(format!("{TOKEN}\n").as_bytes()).unwrap();
    let folder = Folder::new();
    let file = folder.file("devices.gz", encoder.finish().unwrap());
    let fake = Fake::start(vec![json(200, answer(1, 0, ACCEPTED))]);
    run(&fake, &["push", "--body", "Hi", "--devices", &file]).with_code(0);
    let expected = format!("{{\"token\":\"{TOKEN}\"}}\n");
    assert!(fake.only().text().ends_with(&expected));
}
