use super::*;
use apns::fault::{Fault, FaultKind, MAX_LISTED, Pointer};

#[test]
fn a_problem_format_unchanged() {
    // Callers match on `type` and read `pointer`.
    let mut faults = Faults::default();
    faults.add(
        &Pointer::Root.key("devices"),
        FaultKind::TooLong {
            size: 501,
            limit: 500,
            unit: "devices",
        },
    );
    let answer = Problem::invalid(faults).answer();
    assert_eq!(
        (answer.status, answer.content_type),
        (422, "application/problem+json")
    );
    assert_eq!(
        answer.body,
        r#"{"type":"urn:apns-edge:problem:invalid-request","title":"Invalid request","status":422,"detail":"/devices: is 501 devices long; the limit is 500","pointer":"/devices","errors":[{"pointer":"/devices","detail":"is 501 devices long; the limit is 500"}]}"#
    );
}

#[test]
fn the_problems_of_batches_format_unchanged() {
    // Callers match on these.
    for (kind, status, slug) in [
        (Kind::BatchNotFound, 404, "batch-not-found"),
        (Kind::BatchEnded, 409, "batch-ended"),
        (Kind::BatchRunning, 409, "batch-running"),
        (Kind::IdempotencyConflict, 409, "idempotency-conflict"),
        (Kind::UploadInProgress, 409, "upload-in-progress"),
    ] {
        assert_eq!((kind.status(), kind.slug()), (status, slug));
    }
}

#[test]
fn the_problems_of_campaigns_format_unchanged() {
    // Callers match on these.
    for (kind, status, slug) in [
        (Kind::CampaignNotFound, 404, "campaign-not-found"),
        (Kind::CampaignState, 409, "campaign-state"),
    ] {
        assert_eq!((kind.status(), kind.slug()), (status, slug));
    }
}

#[test]
fn the_problems_of_audiences_format_unchanged() {
    // Callers match on these.
    for (kind, status, slug) in [
        (Kind::AudienceNotFound, 404, "audience-not-found"),
        (Kind::AudienceConflict, 409, "audience-conflict"),
        (Kind::AudienceInUse, 409, "audience-in-use"),
    ] {
        assert_eq!((kind.status(), kind.slug()), (status, slug));
    }
}

#[test]
fn a_problem_with_lines_format_unchanged() {
    let fault = |pointer: &str| Fault {
        pointer: pointer.to_owned(),
        kind: FaultKind::Missing,
    };
    let mut lines = LineFaults::default();
    lines.push(18, fault("/devices/16/token"));
    lines.push(20, fault("/devices/17/token"));
    let answer = Problem::invalid_lines(Faults::default(), lines.clone()).answer();
    assert_eq!(
        answer.body,
        r#"{"type":"urn:apns-edge:problem:invalid-request","title":"Invalid request","status":422,"detail":"2 lines: /token is required; the first is line 18","pointer":"/devices/16/token","errors":[{"line":18,"pointer":"/devices/16/token","detail":"is required"},{"line":20,"pointer":"/devices/17/token","detail":"is required"}],"invalid_kinds":[{"pointer":"/token","detail":"is required","count":2,"lines":[18,20]}]}"#
    );
    let mut faults = Faults::default();
    faults.add(&Pointer::Root.key("devices"), FaultKind::Missing);
    let answer = Problem::invalid_lines(faults, lines).answer();
    assert!(
        answer.body.contains(
            r#""pointer":"/devices","errors":[{"pointer":"/devices","detail":"is required"},{"line":18,"#
        ),
        "{}",
        answer.body
    );
}

#[test]
fn faults_of_lines_past_the_limit_are_counted() {
    let mut lines = LineFaults::default();
    for line in 1..=u32::try_from(MAX_LISTED).unwrap() + 2 {
        let at = Pointer::Root;
        lines.push(line, Fault::at(&at.key("token"), FaultKind::Missing));
    }
    lines.count(3);
    assert_eq!((lines.listed().len(), lines.len()), (MAX_LISTED, MAX_LISTED + 5));
    let body = Problem::invalid_lines(Faults::default(), lines).answer().body;
    assert!(
        body.contains(r#""more_errors":5"#)
            && body.contains("102 lines: /token is required; the first is line 1; and 3 more"),
        "{body}"
    );
}

#[test]
fn equal_faults_of_lines_are_summed_up() {
    let mut lines = LineFaults::default();
    let fault = |pointer: &str, kind| Fault {
        pointer: pointer.to_owned(),
        kind,
    };
    for line in 1..=5003 {
        let why = format!("expected value at column {line}");
        lines.push(line, fault(&format!("/devices/{line}"), FaultKind::NotJson(why)));
    }
    lines.push(6000, fault("/devices/7/token", FaultKind::Missing));
    for (line, size) in [(6001, 300), (6002, 400)] {
        let (limit, unit) = (256, "bytes");
        lines.push(line, fault("/ref", FaultKind::TooLong { size, limit, unit }));
    }
    lines.push(6003, fault("", FaultKind::Missing));
    let kind = &lines.kinds()[0];
    assert_eq!(
        (kind.detail.as_str(), kind.count, kind.lines.as_slice()),
        ("is not JSON", 5003, &[1, 2, 3, 4, 5][..])
    );
    assert_eq!(lines.kinds()[2].lines, [6001, 6002]);
    assert_eq!(
        Problem::invalid_lines(Faults::default(), lines).detail(),
        "5,003 lines are not JSON, the first is line 1; line 6000: /devices/7/token: is required; \
         2 lines: /ref is longer than the limit of 256 bytes; the first is line 6001; line 6003 is required"
    );
}

#[test]
fn a_problem_of_the_whole_has_no_empty_pointer() {
    let mut faults = Faults::default();
    faults.add(&Pointer::Root, FaultKind::Missing);
    let body = Problem::invalid(faults).answer().body;
    assert!(
        body.contains(r#""detail":"the body is required""#) && !body.contains("pointer"),
        "{body}"
    );
}

#[test]
fn retry_after_is_in_whole_seconds_and_never_zero() {
    for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
        let answer = Problem::new(Kind::Busy, "").retry_after_ms(millis).answer();
        assert_eq!(answer.headers, [("retry-after", seconds.to_owned())]);
    }
}
