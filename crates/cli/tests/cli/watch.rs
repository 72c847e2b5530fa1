use crate::fake::{Fake, Reply, events, json, problem};
use crate::run::{ID, document, event, run};

const WATCH: [&str; 3] = ["batch", "watch", ID];

fn progress(accepted: u64) -> String {
    event("progress", &document("running", 4, accepted, 0))
}

fn end(state: &str, accepted: u64, rejected: u64) -> String {
    event("end", &document(state, 4, accepted, rejected))
}

#[test]
fn the_command_ends_as_the_batch_does() {
    for (stream, code) in [
        (end("done", 4, 0), 0),
        (end("done", 3, 1), 1),
        (end("cancelled", 1, 0), 5),
        (event("progress", &document("paused", 4, 1, 0)), 5),
    ] {
        let fake = Fake::start(vec![events(progress(0) + &stream)]);
        let run = run(&fake, &WATCH).with_code(code);
        assert!(
            run.out.starts_with(&format!("batch {ID} of shop: ")),
            "{}",
            run.out
        );
        assert_eq!(fake.only().line, format!("GET /v1/batches/{ID}/events"));
    }
}

#[test]
fn a_batch_that_pauses_says_why_and_how_to_go_on() {
    let paused = r#""paused":{"by":"credential","detail":"APNs refuses the key"},"reasons""#;
    let text = document("paused", 4, 1, 0).replace("\"reasons\"", paused);
    let fake = Fake::start(vec![events(event("progress", &text))]);
    let run = run(&fake, &WATCH).with_code(5);
    assert!(
        run.out.contains("paused by credential: APNs refuses the key"),
        "{}",
        run.out
    );
    assert!(
        run.err.contains(&format!("apns-edge batch resume {ID}")),
        "{}",
        run.err
    );
}

#[test]
fn a_stream_that_breaks_is_taken_up_again() {
    let half_an_event = progress(2) + "event: end\ndata: {\"id\":";
    let fake = Fake::start(vec![
        Reply::Broken(progress(1)),
        Reply::Broken(half_an_event),
        // Ends in good order, yet before the batch does.
        events(progress(3)),
        problem(503, "unavailable"),
        Reply::Cut(0),
        events(end("done", 4, 0)),
    ]);
    run(&fake, &WATCH).with_code(0);
    fake.requests();
}

#[test]
fn a_machine_gets_each_document_once() {
    let data = |accepted| document("running", 4, accepted, 0);
    let fake = Fake::start(vec![
        Reply::Broken(progress(1)),
        events(progress(1) + &progress(2) + &end("done", 4, 0)),
    ]);
    let run = run(&fake, &[&WATCH, ["--json"].as_slice()].concat()).with_code(0);
    assert_eq!(
        run.out,
        format!("{}\n{}\n{}\n", data(1), data(2), document("done", 4, 4, 0))
    );
    assert_eq!(run.err, "");
}

#[test]
fn attempts_count_from_the_last_sign_of_life() {
    // Three breaks, and never two in a row without news between them.
    let fake = Fake::start(vec![
        Reply::Broken(progress(1)),
        Reply::Broken(progress(2)),
        Reply::Broken(progress(3)),
        events(end("done", 4, 0)),
    ]);
    run(&fake, &[&WATCH, ["--attempts", "2"].as_slice()].concat()).with_code(0);
    fake.requests();
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let fake = Fake::start(vec![events(""), events("")]);
    let run = run(&fake, &[&WATCH, ["--attempts", "2"].as_slice()].concat()).with_code(4);
    assert!(run.err.contains("error: no answer"), "{}", run.err);
    fake.requests();
}

#[test]
fn a_batch_that_is_not_there_is_not_waited_for() {
    let fake = Fake::start(vec![problem(404, "batch-not-found")]);
    run(&fake, &WATCH).with_code(3);
    fake.only();
}

#[test]
fn events_of_someone_else_are_told_so() {
    let fake = Fake::start(vec![events("data: hello\n\n"), json(200, "hello")]);
    let run = run(&fake, &WATCH).with_code(4);
    assert!(run.err.contains("cannot be read"), "{}", run.err);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_batch_running_and_says_how_to_watch_again() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use crate::run::{Run, command};

    let fake = Fake::start(vec![Reply::Open(progress(1))]);
    let mut child = command(&fake, &[&WATCH, ["--json"].as_slice()].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It watches once it has told the first event.
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert_eq!(first.trim_end(), document("running", 4, 1, 0));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let run = Run::of(child.wait_with_output().unwrap()).with_code(130);
    assert!(
        run.err.contains(&format!("apns-edge batch watch {ID}")),
        "{}",
        run.err
    );
    // Nothing but the stream was asked for: no cancel.
    fake.only();
}
