use super::*;
use crate::fault::{FaultKind, Pointer};

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
        r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"/devices: is 501 devices long; the limit is 500","pointer":"/devices","errors":[{"pointer":"/devices","detail":"is 501 devices long; the limit is 500"}]}"#
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
        r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"line 18: /devices/16/token: is required; and 1 more","pointer":"/devices/16/token","errors":[{"line":18,"pointer":"/devices/16/token","detail":"is required"},{"line":20,"pointer":"/devices/17/token","detail":"is required"}]}"#
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
        lines.push(line, Fault::at(&Pointer::Root, FaultKind::Missing));
    }
    lines.count(3);
    assert_eq!((lines.listed().len(), lines.len()), (MAX_LISTED, MAX_LISTED + 5));
    let body = Problem::invalid_lines(Faults::default(), lines).answer().body;
    assert!(
        body.contains(r#""more_errors":5"#) && body.contains("and 104 more"),
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
