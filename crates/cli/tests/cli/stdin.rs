use crate::fake::{Fake, json, problem};
use crate::run::{Folder, document, run_with};

#[test]
fn an_order_comes_from_standard_input() {
    let folder = Folder::new();
    let notification = folder.file("notification.json", "{}");
    let fake = Fake::start(vec![
        json(202, document("running", 1, 0, 0)),
        json(202, document("running", 1, 0, 0)),
    ]);
    let text = "{\"notification\":{}}\n{\"token\":\"0011\"}\n";
    run_with(&fake, &["batch", "send", "-", "--no-watch"], text).with_code(0);
    let arguments = [
        "batch",
        "send",
        "-",
        "--no-watch",
        "--notification",
        &notification,
    ];
    run_with(&fake, &arguments, "0011\n").with_code(0);
    for request in fake.requests() {
        assert_eq!(request.header("transfer-encoding"), Some("chunked"));
        assert_eq!(request.text(), text);
    }
}

#[test]
fn standard_input_is_not_repeated_and_the_caller_is_told_how() {
    let fake = Fake::start(vec![problem(503, "busy")]);
    let run = run_with(&fake, &["batch", "send", "-"], "{}\n").with_code(4);
    let key = fake.only().header("idempotency-key").unwrap().to_owned();
    assert!(
        run.err.contains("What was read of the input is gone"),
        "{}",
        run.err
    );
    assert!(
        run.err.contains(&format!("--idempotency-key {key}")),
        "{}",
        run.err
    );
}
