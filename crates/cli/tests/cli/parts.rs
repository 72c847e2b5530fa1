use crate::fake::{Fake, Reply, json, problem};
use crate::run::{Folder, Run, run, run_with};

/// Returns the server's report about a part of an import: the received and the added lines, and the invalid
/// ones.
fn taken(received: u64, added: u64, invalid: &[u64]) -> Reply {
    let updated = received - added - invalid.len() as u64;
    let lines: Vec<String> = invalid
        .iter()
        .map(|line| format!(r#"{{"line":{line},"detail":"/token: is odd"}}"#))
        .collect();
    json(
        200,
        format!(
            r#"{{"audience":"customers","received":{received},"added":{added},"updated":{updated},"invalid":{},"invalid_lines":[{}]}}"#,
            invalid.len(),
            lines.join(",")
        ),
    )
}

/// Imports this text, as CSV if the file name says so, in parts of `part` bytes.
#[track_caller]
fn import(fake: &Fake, name: &str, text: &str, part: usize, flags: &[&str]) -> Run {
    let folder = Folder::new();
    let file = folder.file(name, text);
    let part = part.to_string();
    let arguments = ["audience", "import", "customers", &file, "--part-bytes", &part];
    run(fake, &[arguments.as_slice(), flags].concat())
}

/// Returns the bodies of the uploads.
#[track_caller]
fn bodies(fake: &Fake) -> Vec<String> {
    let requests = fake.requests();
    let uploads = requests.iter().filter(|request| request.line.starts_with("POST"));
    uploads.map(|request| request.text().to_owned()).collect()
}

/// Lines of 8 bytes.
const LINES: &str = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n";

#[test]
fn a_file_of_exactly_a_part_is_one_and_a_byte_less_makes_two() {
    let fake = Fake::start(vec![taken(5, 5, &[]), taken(4, 4, &[]), taken(1, 1, &[])]);
    import(&fake, "devices", LINES, 40, &[]).with_code(0);
    import(&fake, "devices", LINES, 39, &[]).with_code(0);
    for request in fake.requests() {
        let length = request.body.len().to_string();
        assert_eq!(request.header("content-length"), Some(length.as_str()));
    }
    assert_eq!(bodies(&fake), [LINES, &LINES[..32], &LINES[32..]]);
}

#[test]
fn a_part_has_its_size_when_tokens_have_become_devices() {
    // Four hex digits become 16 bytes, and the line feed.
    let fake = Fake::start(vec![taken(2, 2, &[]), taken(1, 1, &[])]);
    import(&fake, "devices", "0011\n0022\n0033\n", 34, &[]).with_code(0);
    assert_eq!(
        bodies(&fake),
        [
            "{\"token\":\"0011\"}\n{\"token\":\"0022\"}\n",
            "{\"token\":\"0033\"}\n"
        ]
    );
}

#[test]
fn counts_are_added_up_and_lines_are_the_files() {
    let parts = || vec![taken(2, 1, &[2]), taken(2, 0, &[1]), taken(1, 0, &[1])];
    let fake = Fake::start([parts(), parts()].concat());
    let output = import(&fake, "devices", LINES, 16, &[]).with_code(1);
    assert_eq!(
        output.out,
        "audience customers: 5 received, 1 added, 1 updated, 3 invalid\n\
         \x20 line 2: /token: is odd\n\
         \x20 line 3: /token: is odd\n\
         \x20 line 5: /token: is odd\n"
    );
    let read = import(&fake, "devices", LINES, 16, &["--json"]).with_code(1);
    assert_eq!(
        (read.out.as_str(), read.err.as_str()),
        (
            "{\"audience\":\"customers\",\"received\":5,\"added\":1,\"updated\":1,\"invalid\":3,\"invalid_lines\":[\
             {\"line\":2,\"detail\":\"/token: is odd\"},{\"line\":3,\"detail\":\"/token: is odd\"},\
             {\"line\":5,\"detail\":\"/token: is odd\"}]}\n",
            ""
        )
    );
    fake.requests();
}

#[test]
fn a_line_longer_than_a_part_is_left_out_and_told() {
    let fake = Fake::start(vec![taken(1, 1, &[]), taken(2, 1, &[2])]);
    let text = format!(
        "{{\"n\":1}}\n{}\n{{\"n\":2}}\n{{\"n\":3}}\n{{\"n\":4444444444}}\n",
        "x".repeat(16)
    );
    let output = import(&fake, "devices", &text, 16, &[]).with_code(1);
    assert_eq!(
        output.out,
        "audience customers: 5 received, 2 added, 0 updated, 3 invalid\n\
         \x20 line 2: is longer than a request of 16 bytes\n\
         \x20 line 4: /token: is odd\n\
         \x20 line 5: is longer than a request of 16 bytes\n"
    );
    assert_eq!(bodies(&fake), ["{\"n\":1}\n", "{\"n\":2}\n{\"n\":3}\n"]);
}

#[test]
fn a_table_is_cut_between_rows_and_each_part_has_the_names() {
    let head = "token,attributes.address\r\n";
    let rows = [
        "01,\"1 A St\r\nB\"\r\n",
        "02,\"2 \"\"C\"\"\nD\n\"\r\n",
        "03,E\r\n",
    ];
    let text = format!("{head}{}", rows.concat());
    let fake = Fake::start(vec![taken(1, 1, &[]), taken(1, 0, &[2]), taken(1, 0, &[2])]);
    // Where the second row has its first line break there would be room.
    let output = import(&fake, "devices.csv", &text, head.len() + 19, &[]).with_code(1);
    assert_eq!(bodies(&fake), rows.map(|row| format!("{head}{row}")));
    for request in fake.requests() {
        assert_eq!(request.header("content-type"), Some("text/csv"));
    }
    assert_eq!(
        output.out,
        "audience customers: 3 received, 1 added, 0 updated, 2 invalid\n\
         \x20 line 4: /token: is odd\n\
         \x20 line 7: /token: is odd\n"
    );
}

#[test]
fn a_row_of_names_longer_than_a_part_is_a_fault_of_the_file() {
    let fake = Fake::start(vec![]);
    let output = import(&fake, "devices.csv", "token\n01\n", 5, &[]).with_code(2);
    assert!(
        output
            .err
            .contains("devices.csv: the row of names is longer than a request of 5 bytes"),
        "{}",
        output.err
    );
    fake.requests();
}

#[test]
fn a_part_that_breaks_is_repeated_by_itself() {
    let second = || vec![Reply::Cut(4), json(200, "{}"), taken(2, 2, &[])];
    let parts = || [vec![taken(2, 2, &[])], second(), vec![taken(1, 1, &[])]].concat();
    let fake = Fake::start([parts(), parts()].concat());
    let output = import(&fake, "devices", LINES, 16, &["--attempts", "2"]).with_code(0);
    assert!(output.out.contains("5 received, 5 added"), "{}", output.out);
    let flags = ["audience", "import", "customers", "-", "--part-bytes", "16"];
    let output = run_with(&fake, &flags, LINES).with_code(0);
    assert!(output.out.contains("5 received, 5 added"), "{}", output.out);
    let (first, second, third) = (&LINES[..16], &LINES[16..32], &LINES[32..]);
    let expected = [first, &second[..4], second, third];
    assert_eq!(bodies(&fake), [expected, expected].concat());
}

#[test]
fn attempts_are_counted_for_each_part_anew() {
    let broken = || problem(503, "unavailable");
    let fake = Fake::start(vec![broken(), taken(3, 3, &[]), broken(), taken(2, 2, &[])]);
    import(&fake, "devices", LINES, 24, &["--attempts", "2"]).with_code(0);
    assert_eq!(bodies(&fake).len(), 4);
}

#[test]
fn a_part_that_is_refused_ends_the_import_which_says_where_to_go_on() {
    let refused = || vec![taken(2, 1, &[1]), problem(403, "forbidden")];
    let fake = Fake::start([refused(), refused(), vec![taken(3, 3, &[])]].concat());
    let output = import(&fake, "devices", LINES, 16, &[]).with_code(3);
    assert_eq!(
        output.out,
        "audience customers: 2 received, 1 added, 0 updated, 1 invalid\n\x20 line 1: /token: is odd\n"
    );
    assert!(
        output
            .err
            .contains("What stands before line 3 is done. Give the same lines again with --from-line 3."),
        "{}",
        output.err
    );
    assert!(output.err.contains("It is forbidden"), "{}", output.err);
    // A machine gets both documents.
    let read = import(&fake, "devices", LINES, 16, &["--json"]).with_code(3);
    let documents: Vec<&str> = read.out.lines().collect();
    assert_eq!(documents.len(), 2, "{}", read.out);
    assert!(documents[0].contains("\"added\":1") && documents[1].contains("forbidden"));
    // And that is how it goes on.
    import(&fake, "devices", LINES, 24, &["--from-line", "3"]).with_code(0);
    assert_eq!(bodies(&fake)[4], LINES[16..]);
}

#[test]
fn a_part_that_is_given_up_says_where_to_go_on_as_well() {
    let fake = Fake::start(vec![taken(1, 1, &[]), problem(503, "unavailable")]);
    let text = "token\n\"\n01\"\n02\n";
    let output = import(&fake, "devices.csv", text, 12, &["--attempts", "1"]).with_code(4);
    assert!(output.err.contains("--from-line 4"), "{}", output.err);
    assert!(
        output.out.starts_with("audience customers: 1 received"),
        "{}",
        output.out
    );
    assert_eq!(bodies(&fake), ["token\n\"\n01\"\n", "token\n02\n"]);
}

#[test]
fn an_import_goes_on_below_the_names_with_the_lines_of_the_file() {
    let fake = Fake::start(vec![taken(1, 0, &[2])]);
    let text = "token\n\"\n01\"\n02\n";
    let output = import(&fake, "devices.csv", text, 100, &["--from-line", "4"]).with_code(1);
    assert!(output.out.contains("line 4: /token: is odd"), "{}", output.out);
    assert_eq!(bodies(&fake), ["token\n02\n"]);
}

#[test]
fn the_lines_of_a_refusal_are_the_files_too() {
    let text = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"Faults","status":422,"errors":[{"line":2,"detail":"is odd"}]}"#;
    let fake = Fake::start(vec![taken(2, 2, &[]), json(422, text)]);
    let output = import(&fake, "devices", LINES, 16, &[]).with_code(3);
    assert!(output.err.contains("line 4: is odd"), "{}", output.err);
    fake.requests();
}

#[test]
fn a_removal_goes_in_parts_as_well() {
    let folder = Folder::new();
    let file = folder.file("gone", "{\"ref\":\"a\"}\n{\"ref\":\"b\"}\n0011\n");
    let answer = |line: u64| {
        json(
            200,
            format!(
                r#"{{"audience":"customers","received":2,"removed":1,"invalid":1,"invalid_lines":[{{"line":{line},"detail":"is odd"}}]}}"#
            ),
        )
    };
    let fake = Fake::start(vec![answer(2), answer(1)]);
    let remove = ["audience", "remove", "customers", &file, "--part-bytes", "24"];
    let output = run(&fake, &remove).with_code(1);
    assert_eq!(
        output.out,
        "audience customers: 4 received, 2 removed, 2 invalid\n\
         \x20 line 2: is odd\n\
         \x20 line 3: is odd\n"
    );
    let requests = fake.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.line == "DELETE /v1/audiences/customers/devices")
    );
    assert_eq!(requests[1].text(), "{\"token\":\"0011\"}\n");
}

#[test]
fn a_file_larger_than_a_request_goes_in_parts_of_32_mib() {
    let line = format!("{{\"token\":\"{}\"}}\n", "a1".repeat(505));
    let limit = 32 * 1024 * 1024;
    // A line of 1,023 bytes, and one a part more than fits.
    let fit = limit / line.len();
    let folder = Folder::new();
    let file = folder.file("devices", line.repeat(fit + 1));
    let fake = Fake::start(vec![taken(1, 1, &[]), taken(1, 1, &[])]);
    run(&fake, &["audience", "import", "customers", &file]).with_code(0);
    let sizes: Vec<usize> = fake.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(sizes, [fit * line.len(), line.len()]);
}
