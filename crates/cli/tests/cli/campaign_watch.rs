use crate::campaign::campaign;
use crate::fake::{Fake, Reply, events, json, problem};
use crate::run::{ID, document, event, run};

const WATCH: [&str; 3] = ["campaign", "watch", ID];

const FIRST: &str = "2026-11-23T08:00:00.000Z";
const SECOND: &str = "2026-11-30T08:00:00.000Z";

const DUE: &str = "2020-01-06T08:00:00.000Z";

/// Returns a run with a batch.
fn of(at: &str, state: &str) -> String {
    format!(r#"{{"scheduled_at":"{at}","state":"{state}","batch":"{ID}"}}"#)
}

/// Returns the answer with these runs, newest first.
fn runs(runs: &[String]) -> Reply {
    json(200, format!(r#"{{"runs":[{}],"cursor":null}}"#, runs.join(",")))
}

/// Returns the answer with the campaign in this state. It is due already, so that waits are short.
fn is(state: &str) -> Reply {
    json(200, campaign(state).replace(SECOND, DUE))
}

/// Returns the stream of a batch that ends, with this many of four pushes accepted.
fn ends(accepted: u64) -> Reply {
    events(event("end", &document("done", 4, accepted, 4 - accepted)))
}

#[test]
fn the_run_under_way_is_shown_and_the_command_ends_as_it_does() {
    for (stream, code) in [
        (ends(4), 0),
        (ends(3), 1),
        (events(event("end", &document("cancelled", 4, 1, 0))), 5),
    ] {
        let fake = Fake::start(vec![
            is("running"),
            runs(&[of(SECOND, "running"), of(FIRST, "done")]),
            stream,
        ]);
        let output = run(&fake, &WATCH).with_code(code);
        let head = format!("run of {SECOND}  running    {ID}\nbatch {ID} of shop: ");
        assert!(output.out.starts_with(&head), "{}", output.out);
        assert_eq!(output.err, "");
        assert_eq!(
            fake.lines(),
            [
                format!("GET /v1/campaigns/{ID}"),
                format!("GET /v1/campaigns/{ID}/runs?limit=100"),
                format!("GET /v1/batches/{ID}/events")
            ]
        );
    }
}

#[test]
fn a_machine_gets_the_run_and_the_documents_of_its_batch() {
    let (half, done) = (document("running", 4, 2, 0), document("done", 4, 4, 0));
    let fake = Fake::start(vec![
        is("running"),
        runs(&[of(FIRST, "running")]),
        events(event("progress", &half) + &event("end", &done)),
    ]);
    let output = run(&fake, &[&WATCH, ["--json"].as_slice()].concat()).with_code(0);
    assert_eq!(output.out, format!("{}\n{half}\n{done}\n", of(FIRST, "running")));
    assert_eq!(output.err, "");
}

#[test]
fn the_next_run_is_waited_for_though_the_server_stumbles() {
    let old = of(FIRST, "done");
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        is("scheduled"),
        runs(std::slice::from_ref(&old)),
        // It waits.
        Reply::Cut(0),
        is("running"),
        runs(&[of(SECOND, "starting"), old.clone()]),
        // It waits until there is a batch.
        is("running"),
        Reply::Broken("{".to_owned()),
        runs(&[of(SECOND, "running"), old]),
        Reply::Broken(event("progress", &document("running", 4, 1, 0))),
        ends(4),
    ]);
    let output = run(&fake, &WATCH).with_code(0);
    assert!(
        output.err.contains(&format!("the next run is at {DUE}\n")),
        "{}",
        output.err
    );
    assert!(
        output.err.contains(&format!("the run of {SECOND} is starting\n")),
        "{}",
        output.err
    );
    assert!(
        output.out.starts_with(&format!("run of {SECOND}")),
        "{}",
        output.out
    );
    fake.requests();
}

#[test]
fn a_run_that_came_and_went_while_it_was_waited_for_is_told() {
    let fake = Fake::start(vec![
        is("scheduled"),
        runs(&[]),
        is("done"),
        runs(&[of(FIRST, "done")]),
        ends(3),
    ]);
    run(&fake, &WATCH).with_code(1);
    fake.requests();
}

#[test]
fn a_run_that_was_missed_is_told_and_is_not_delivered() {
    let missed = format!(r#"{{"scheduled_at":"{SECOND}","state":"missed","detail":"was due too long ago"}}"#);
    let fake = Fake::start(vec![is("scheduled"), runs(&[]), is("scheduled"), runs(&[missed])]);
    let output = run(&fake, &WATCH).with_code(1);
    assert_eq!(
        output.out,
        format!("run of {SECOND}  missed     was due too long ago\n")
    );
}

#[test]
fn of_a_campaign_that_has_ended_the_last_run_is_told_though_its_batch_is_forgotten() {
    let last = of(SECOND, "done").replace('}', r#","pushes":4,"counts":{"accepted":4}}"#);
    let fake = Fake::start(vec![
        is("done"),
        runs(&[last, of(FIRST, "done")]),
        problem(404, "batch-not-found"),
    ]);
    let output = run(&fake, &WATCH).with_code(0);
    assert!(output.out.contains("4 accepted"), "{}", output.out);
    fake.requests();
}

#[test]
fn what_does_not_go_on_by_itself_is_not_waited_for() {
    for (state, what) in [("draft", "schedule"), ("paused", "resume")] {
        let fake = Fake::start(vec![is(state), runs(&[of(FIRST, "done")])]);
        let output = run(&fake, &WATCH).with_code(5);
        assert!(
            output.err.contains(&format!("apns-edge campaign {what} {ID}")),
            "{}",
            output.err
        );
        assert!(
            output
                .out
                .starts_with(&format!("campaign {ID} of shop: {state}\n")),
            "{}",
            output.out
        );
    }
    let fake = Fake::start(vec![problem(404, "campaign-not-found")]);
    run(&fake, &WATCH).with_code(3);
    fake.only();
}

#[test]
fn a_run_that_pauses_ends_the_watching_and_says_how_to_go_on() {
    let fake = Fake::start(vec![
        is("running"),
        runs(&[of(FIRST, "running")]),
        events(event("progress", &document("paused", 4, 1, 0))),
    ]);
    let output = run(&fake, &WATCH).with_code(5);
    assert!(
        output.err.contains(&format!("apns-edge campaign resume {ID}")),
        "{}",
        output.err
    );
}

#[test]
fn following_goes_on_until_the_campaign_has_ended() {
    for (end, accepted, code) in [("done", 4, 0), ("done", 3, 1), ("cancelled", 4, 5)] {
        let fake = Fake::start(vec![
            is("running"),
            runs(&[of(FIRST, "running")]),
            ends(accepted),
            is("running"),
            runs(&[of(SECOND, "running"), of(FIRST, "done")]),
            ends(4),
            is(end),
            runs(&[of(SECOND, "done"), of(FIRST, "done")]),
        ]);
        let output = run(&fake, &[&WATCH, ["--follow"].as_slice()].concat()).with_code(code);
        assert_eq!(output.out.matches("run of ").count(), 2, "{}", output.out);
        assert!(
            output.out.contains(&format!("campaign {ID} of shop: {end}\n")),
            "{}",
            output.out
        );
        fake.requests();
    }
}

#[test]
fn following_takes_up_a_run_that_was_paused_and_goes_on() {
    let is_running = || runs(&[of(FIRST, "running")]);
    let fake = Fake::start(vec![
        is("running"),
        is_running(),
        events(event("progress", &document("paused", 4, 1, 0))),
        is("running"),
        is_running(),
        // The batch is asked, and it is not told again that it is paused.
        json(200, document("paused", 4, 1, 0)),
        is("running"),
        is_running(),
        json(200, document("running", 4, 1, 0)),
        ends(4),
        is("done"),
        runs(&[of(FIRST, "done")]),
    ]);
    let output = run(&fake, &[&WATCH, ["--follow"].as_slice()].concat()).with_code(0);
    assert_eq!(output.out.matches("of shop: paused").count(), 1, "{}", output.out);
    fake.requests();
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_campaign_running_and_says_how_to_watch_again() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use crate::run::{Run, command};

    let fake = Fake::start(vec![
        is("running"),
        runs(&[of(FIRST, "running")]),
        Reply::Open(event("progress", &document("running", 4, 1, 0))),
    ]);
    let mut child = command(&fake, &[&WATCH, ["--json"].as_slice()].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It watches once it has told the first event, behind the run.
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.nth(1).unwrap().unwrap(), document("running", 4, 1, 0));
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
        run.err.contains(&format!("apns-edge campaign watch {ID}")),
        "{}",
        run.err
    );
    // Nothing but reading was done: no cancel.
    assert!(fake.lines().iter().all(|line| line.starts_with("GET ")));
}
