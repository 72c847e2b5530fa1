use crate::fake::{Fake, Reply, Request, json, problem};
use crate::run::{Folder, run, run_with};

const TOKEN: &str = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";

const TAKEN: &str =
    r#"{"audience":"customers","received":3,"added":2,"updated":1,"invalid":0,"invalid_lines":[]}"#;

const INVALID: &str = r#"{"audience":"customers","received":5,"added":1,"updated":1,"invalid":3,"invalid_lines":[{"line":2,"detail":"/token: is required"},{"line":4,"detail":"/app: is news, and the audience is of shop"}]}"#;

/// Creates a folder with a file of devices.
fn folder() -> (Folder, String) {
    let folder = Folder::new();
    let text = format!("{{\"token\": \"{TOKEN}\", \"ref\": \"user-1\"}}\n{TOKEN}\n");
    let file = folder.file("devices.ndjson", text);
    (folder, file)
}

/// Returns the body that the server receives of that file.
fn body() -> String {
    format!("{{\"token\": \"{TOKEN}\", \"ref\": \"user-1\"}}\n{{\"token\":\"{TOKEN}\"}}\n")
}

#[test]
fn lines_are_imported_with_bare_tokens_made_into_devices() {
    let (_folder, file) = folder();
    let fake = Fake::start(vec![json(200, TAKEN), json(200, TAKEN)]);
    let output = run(&fake, &["audience", "import", "customers", &file]).with_code(0);
    assert_eq!(
        output.out,
        "audience customers: 3 received, 2 added, 1 updated, 0 invalid\n"
    );
    // No bar where there is no terminal.
    assert_eq!(output.err, "");
    let read = run(&fake, &["audience", "import", "customers", &file, "--json"]).with_code(0);
    assert_eq!((read.out, read.err.as_str()), (format!("{TAKEN}\n"), ""));
    for request in fake.requests() {
        assert_eq!(request.line, "POST /v1/audiences/customers/devices");
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(request.text(), body());
    }
}

#[test]
fn a_table_goes_as_it_stands() {
    let folder = Folder::new();
    let text = format!("token,ref,attributes.first_name\r\n{TOKEN},user-1,\"Ann \"\"A\"\" B\"\r\n");
    let by_name = folder.file("devices.CSV", &text);
    let by_flag = folder.file("devices.txt", &text);
    let fake = Fake::start(vec![json(200, TAKEN), json(200, TAKEN)]);
    run(&fake, &["audience", "import", "customers", &by_name]).with_code(0);
    run(
        &fake,
        &["audience", "import", "customers", &by_flag, "--format", "csv"],
    )
    .with_code(0);
    let length = text.len().to_string();
    for request in fake.requests() {
        assert_eq!(request.header("content-type"), Some("text/csv"));
        assert_eq!(request.header("content-length"), Some(length.as_str()));
        assert_eq!(request.text(), text);
    }
}

#[test]
fn bad_lines_are_told_and_are_the_exit_code() {
    let (_folder, file) = folder();
    let fake = Fake::start(vec![json(200, INVALID), json(200, INVALID)]);
    let output = run(&fake, &["audience", "import", "customers", &file]).with_code(1);
    assert_eq!(
        output.out,
        "audience customers: 5 received, 1 added, 1 updated, 3 invalid\n\
         \x20 line 2: /token: is required\n\
         \x20 line 4: /app: is news, and the audience is of shop\n\
         \x20 and 1 more\n"
    );
    let read = run(&fake, &["audience", "import", "customers", &file, "--json"]).with_code(1);
    assert_eq!(read.out, format!("{INVALID}\n"));
    fake.requests();
}

#[test]
fn an_import_that_breaks_is_repeated_from_its_beginning() {
    let (_folder, file) = folder();
    let audience = || json(200, "{}");
    let fake = Fake::start(vec![
        Reply::Cut(10),
        audience(),
        Reply::Broken("{\"audience\":".to_owned()),
        audience(),
        problem(503, "unavailable"),
        json(200, TAKEN),
    ]);
    let output = run(&fake, &["audience", "import", "customers", &file]).with_code(0);
    assert!(
        output.err.contains("trying again") && !output.err.contains(TOKEN),
        "{}",
        output.err
    );
    let requests = fake.requests();
    // A server that refuses early may have closed the connection: it is asked.
    assert_eq!(requests[1].line, "GET /v1/audiences/customers");
    for again in [2, 4, 5] {
        assert_eq!(requests[again].text(), body());
    }
}

#[test]
fn an_import_is_given_up_after_its_attempts_without_a_word_of_the_devices() {
    let (_folder, file) = folder();
    let fake = Fake::start(vec![
        Reply::Cut(100),
        json(200, "{}"),
        Reply::Cut(100),
        json(200, "{}"),
    ]);
    let arguments = ["audience", "import", "customers", &file, "--attempts", "2"];
    let output = run(&fake, &arguments).with_code(4);
    assert!(output.err.contains("nothing is done twice"), "{}", output.err);
    assert!(!output.err.contains(TOKEN), "{}", output.err);
    fake.requests();
}

#[test]
fn an_audience_that_is_not_there_is_not_waited_for() {
    let (_folder, file) = folder();
    let fake = Fake::start(vec![
        problem(404, "audience-not-found"),
        Reply::Cut(10),
        problem(404, "audience-not-found"),
    ]);
    for _ in 0..2 {
        let output = run(&fake, &["audience", "import", "customers", &file]).with_code(3);
        assert!(output.err.contains("It is audience-not-found"), "{}", output.err);
    }
    fake.requests();
}

#[test]
fn an_answer_of_someone_else_is_told_so_and_not_quoted() {
    let (_folder, file) = folder();
    let answer = format!(r#"{{"audience":"customers","received":"{TOKEN}"}}"#);
    let fake = Fake::start(vec![json(200, answer)]);
    let output = run(&fake, &["audience", "import", "customers", &file]).with_code(4);
    assert!(
        output.err.contains("cannot be read") && !output.err.contains(TOKEN),
        "{}",
        output.err
    );
}

#[test]
fn standard_input_is_imported_and_repeated_as_a_file_is() {
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        json(200, TAKEN),
        json(200, TAKEN),
    ]);
    let import = ["audience", "import", "customers", "-"];
    run_with(&fake, &import, &format!("{TOKEN}\n")).with_code(0);
    let table = format!("token\n{TOKEN}\n");
    run_with(&fake, &[&import, ["--format", "csv"].as_slice()].concat(), &table).with_code(0);
    let requests = fake.requests();
    for again in &requests[..2] {
        assert_eq!(again.text(), format!("{{\"token\":\"{TOKEN}\"}}\n"));
    }
    assert_eq!(requests[2].text(), table);
    assert_eq!(requests[2].header("content-type"), Some("text/csv"));
}

#[test]
fn devices_are_removed_by_token_or_name() {
    let folder = Folder::new();
    let text = format!("{TOKEN}\n{{\"ref\":\"user-2\"}}\n{{\"nothing\":1}}\n");
    let file = folder.file("gone.ndjson", &text);
    let answer = r#"{"audience":"customers","received":3,"removed":2,"invalid":1,"invalid_lines":[{"line":3,"detail":"token or ref is required"}]}"#;
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        json(200, answer),
        json(200, answer),
    ]);
    let output = run(&fake, &["audience", "remove", "customers", &file]).with_code(1);
    assert_eq!(
        output.out,
        "audience customers: 3 received, 2 removed, 1 invalid\n\
         \x20 line 3: token or ref is required\n"
    );
    run_with(&fake, &["audience", "remove", "customers", "-"], &text).with_code(1);
    let expected = format!("{{\"token\":\"{TOKEN}\"}}\n{{\"ref\":\"user-2\"}}\n{{\"nothing\":1}}\n");
    for request in fake.requests() {
        assert_eq!(request.line, "DELETE /v1/audiences/customers/devices");
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(request.text(), expected);
    }
}

#[test]
fn a_gzip_file_is_decompressed_and_imported() {
    use std::io::Write;
    let (folder, file) = folder();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(&file).unwrap()).unwrap();
    let packed = folder.file("devices.ndjson.gz", encoder.finish().unwrap());
    let fake = Fake::start(vec![json(200, TAKEN)]);
    run(&fake, &["audience", "import", "customers", &packed]).with_code(0);
    assert_eq!(String::from_utf8_lossy(&fake.requests()[0].body), body());
}

#[test]
fn zeros_behind_a_gzip_member_are_ignored_and_every_member_is_read() {
    let packed = [
        gzip(&format!("{TOKEN}\n")),
        vec![0; 600],
        gzip("00ff\n"),
        vec![0; 20_000],
    ]
    .concat();
    let folder = Folder::new();
    let file = folder.file("devices.gz", packed);
    let fake = Fake::start(vec![json(200, TAKEN)]);
    run(&fake, &["audience", "import", "customers", &file]).with_code(0);
    let expected = format!("{{\"token\":\"{TOKEN}\"}}\n{{\"token\":\"00ff\"}}\n");
    assert_eq!(fake.requests()[0].text(), expected);
    let damaged = folder.file("damaged.gz", [gzip("00ff\n"), b"more".to_vec()].concat());
    run(&fake, &["audience", "import", "customers", &damaged]).with_code(2);
}

/// A gzip member.
fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_table_is_known_by_its_first_line() {
    let folder = Folder::new();
    for (name, text) in [
        ("devices.txt", format!("token\n{TOKEN}\n")),
        ("devices.tsv", format!("token\tref\n{TOKEN}\tx\n")),
        ("excel", format!("sep=,\r\ntoken,ref\r\n{TOKEN},x\r\n")),
    ] {
        let file = folder.file(name, &text);
        let fake = Fake::start(vec![json(200, TAKEN)]);
        run(&fake, &["audience", "import", "customers", &file]).with_code(0);
        let request = fake.only();
        assert_eq!(request.header("content-type"), Some("text/csv"), "{name}");
        assert_eq!(request.text(), text);
    }
}

#[test]
fn each_part_of_a_table_begins_with_all_of_its_head() {
    let folder = Folder::new();
    let text = format!("sep=,\ntoken,ref\n{TOKEN},x\n{TOKEN},y\n");
    let file = folder.file("devices.csv", &text);
    let fake = Fake::start(vec![json(200, TAKEN), json(200, TAKEN)]);
    run(
        &fake,
        &["audience", "import", "customers", &file, "--part-bytes", "100"],
    )
    .with_code(0);
    let requests = fake.requests();
    let bodies: Vec<&str> = requests.iter().map(Request::text).collect();
    let part = |reference: &str| format!("sep=,\ntoken,ref\n{TOKEN},{reference}\n");
    assert_eq!(bodies, [part("x"), part("y")]);
}

#[test]
fn a_large_import_that_is_cut_off_is_repeated_from_its_beginning() {
    let folder = Folder::new();
    let text = format!("{{\"token\":\"{TOKEN}\"}}\n").repeat(200_000);
    let file = folder.file("devices", &text);
    let fake = Fake::start(vec![Reply::Cut(1_000_000), json(200, "{}"), json(200, TAKEN)]);
    run(&fake, &["audience", "import", "customers", &file]).with_code(0);
    // Not with assert_eq: it would print both.
    assert!(fake.requests()[2].body == text.as_bytes());
}
