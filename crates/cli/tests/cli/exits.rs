//! Exit codes, progress and hints that scripts and people rely on.

use crate::fake::{Fake, events, json};
use crate::run::{Folder, ID, event, run};

/// Returns an ended batch of 10,000 pushes, of which 40 have this verdict.
fn ended(verdict: &str) -> String {
    format!(
        r#"{{"id":"{ID}","app":"shop","state":"done","pushes":10000,"chunks":20,"invalid":0,"counts":{{"accepted":9960,"rejected":40,"gone":40}},"reasons":[{{"status":"rejected","code":410,"reason":"R","verdict":"{verdict}","attempts":1,"count":40}}],"rate":0}}"#
    )
}

fn code_of(arguments: &[&str], verdict: &str, code: i32) {
    let text = ended(verdict);
    let fake = match arguments {
        ["batch", "watch", ..] => Fake::start(vec![events(event("end", &text))]),
        _ => Fake::start(vec![json(200, text)]),
    };
    run(&fake, arguments).with_code(code);
    fake.only();
}

#[test]
fn dead_tokens_of_a_batch_are_no_failure_unless_they_are_named() {
    for command in ["status", "watch"] {
        let plain = ["batch", command, ID];
        for (verdict, code) in [
            ("drop_device", 0),
            ("check_token", 0),
            ("fix_request", 1),
            ("fix_credentials", 1),
            ("unknown", 1),
        ] {
            code_of(&plain, verdict, code);
        }
        code_of(&[&plain[..], &["--fail-on", "gone"]].concat(), "drop_device", 1);
        code_of(&[&plain[..], &["--fail-on", "any"]].concat(), "check_token", 1);
        let some = [&plain[..], &["--fail-on", "gone,check-token"]].concat();
        code_of(&some, "check_token", 1);
        code_of(&[&plain[..], &["--fail-on", "never"]].concat(), "unknown", 0);
    }
}

#[test]
fn an_unknown_word_for_what_fails_is_refused_with_those_that_are_known() {
    let fake = Fake::start(Vec::new());
    let output = run(&fake, &["batch", "status", ID, "--fail-on", "dead"]).with_code(2);
    assert!(
        output.err.contains("any, gone, check-token, never"),
        "{}",
        output.err
    );
}

#[test]
fn a_push_of_which_nothing_was_accepted_fails() {
    let results = r#"{"counts":{"devices":1,"accepted":0,"rejected":1,"retrying":0,"failed":0,"gone":1},"results":[{"token_hint":"0011…eeff","status":"rejected","code":410,"reason":"Unregistered","verdict":"drop_device"}]}"#;
    let push = ["push", "--body", "Hi", "--device", "0011"];
    let fake = Fake::start(vec![json(200, results), json(200, results)]);
    run(&fake, &push).with_code(1);
    run(&fake, &[&push[..], &["--fail-on", "never"]].concat()).with_code(0);
    fake.requests();
}

#[test]
fn progress_is_told_in_lines_where_there_is_no_terminal() {
    let running = format!(
        r#"{{"id":"{ID}","app":"shop","state":"running","pushes":10000,"counts":{{"accepted":4000,"gone":0}},"rate":1000,"eta_s":6}}"#
    );
    let stream = event("progress", &running) + &event("end", &ended("drop_device"));
    let fake = Fake::start(vec![events(stream.clone()), events(stream)]);
    let output = run(&fake, &["batch", "watch", ID]).with_code(0);
    let line = "4000 of 10000 pushes, 1000 pushes/s, 6 s to go\n";
    assert!(output.err.contains(line), "{}", output.err);
    // A machine that reads documents needs no lines beside them.
    let output = run(&fake, &["batch", "watch", ID, "--json"]).with_code(0);
    assert_eq!(output.err, "");
    fake.requests();
}

#[test]
fn a_file_that_is_no_list_of_devices_is_named_and_not_uploaded() {
    let folder = Folder::new();
    let notification = folder.file("notification.json", r#"{"payload":{"aps":{"alert":"Hi"}}}"#);
    let table = folder.file("devices.csv", "\u{feff}token,ref\n0011,user-1\n");
    let array = folder.file("devices.json", r#"[{"token":"0011"}]"#);
    let fake = Fake::start(Vec::new());
    for (file, part) in [(&table, "is CSV"), (&array, "is one JSON array")] {
        let send = ["batch", "send", file, "--notification", &notification];
        let output = run(&fake, &send).with_code(2);
        assert!(output.err.contains(part), "{}", output.err);
        let push = ["push", "--body", "Hi", "--devices", file];
        let output = run(&fake, &push).with_code(2);
        assert!(output.err.contains(part), "{}", output.err);
    }
}

#[test]
fn a_notification_file_that_is_something_else_is_named() {
    let folder = Folder::new();
    let devices = folder.file("devices", "0011\n");
    let fake = Fake::start(Vec::new());
    for (text, part) in [
        (r#"{"aps":{"alert":"Hi"}}"#, "holds a payload"),
        (r#"{"notification":{"payload":{}}}"#, "holds a whole request"),
    ] {
        let file = folder.file("notification.json", text);
        let output = run(&fake, &["batch", "send", &devices, "--notification", &file]).with_code(2);
        assert!(output.err.contains(part), "{}", output.err);
    }
}

#[test]
fn a_byte_order_mark_before_devices_is_not_sent() {
    let folder = Folder::new();
    let devices = folder.file("devices", "\u{feff}<00 11>\n\u{feff}{\"token\": \"2233\"}\n");
    let results =
        r#"{"counts":{"devices":1,"accepted":1,"rejected":0,"retrying":0,"failed":0,"gone":0},"results":[]}"#;
    let fake = Fake::start(vec![json(200, results)]);
    run(&fake, &["push", "--body", "Hi", "--devices", &devices]).with_code(0);
    let request = fake.only();
    let second = request.text().lines().nth(1).unwrap();
    assert_eq!(second, "<00 11>");
}
