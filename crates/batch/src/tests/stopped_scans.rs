use super::background::{alarm, calls, end, run, tasks};
use super::scans::{append, last, of_a_run, step};
use super::*;

/// Returns the last step of a scan that was stopped there, with the number of devices that it did not reach.
fn counted(scan: u32, at: &str, devices: u64) -> Append {
    Append {
        left_out: LeftOut {
            not_reached: devices,
            ..LeftOut::default()
        },
        ..last(step(scan, at, at, 0))
    }
}

/// Returns a run of two scans, one of which has appended 5 devices. Its time is over a minute later.
fn expired() -> (Batch, Timestamp) {
    let end = BEGIN + secs(60);
    let mut batch = of_a_run(Terms {
        expires_at: Some(end),
        ..terms()
    });
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    batch.plan(end);
    (batch, end)
}

#[test]
fn the_devices_that_a_cut_off_run_has_not_come_to_are_counted_once_by_each_scan() {
    let (mut batch, end) = expired();
    assert_eq!(batch.record().cut_off, Some(CutOff::Expired));
    for (scan, cursor, devices) in [(0, "0.5", 20), (1, "", 30)] {
        let taken = append(&mut batch, &counted(scan, cursor, devices), end);
        assert!(taken.appended.last && taken.chunk.is_none());
        // Its answer was lost, or it arrives late from elsewhere.
        append(&mut batch, &counted(scan, cursor, devices), end);
        append(&mut batch, &counted(scan, "0.1", devices), end);
    }
    assert_eq!(batch.overview(end).left_out.not_reached, 50);
    let saved: Vec<u64> = batch
        .take_unsaved_scans()
        .iter()
        .map(|(_, scan)| scan.left_out.not_reached)
        .collect();
    assert_eq!(saved, [20, 30], "it is stored");
}

#[test]
fn the_scheduler_hears_of_the_end_of_a_run_when_its_scans_have_counted_what_they_have_not_come_to() {
    let (mut batch, end) = expired();
    assert_eq!(batch.record().state, State::Done);
    assert!(
        matches!(batch.report(end), Some(Report::Gone { .. })),
        "the audience need not wait"
    );
    batch.gone_reported(None);
    append(&mut batch, &counted(0, "0.5", 20), end);
    assert_eq!(batch.report(end), None);
    assert!(batch.has_pending_reports() && batch.wake(end) > Some(end));
    append(&mut batch, &counted(1, "", 30), end);
    assert_eq!(batch.wake(end), Some(Timestamp::default()), "at once");
    let Some(Report::Ended(ended)) = batch.report(end) else {
        panic!("all have counted")
    };
    let text = serde_json::to_string(&ended).unwrap();
    assert!(text.contains(r#""left_out":{"not_reached":50}"#), "{text}");
    assert!(text.contains("devices were left out: the time in which it may be sent is over"));
    batch.end_reported();
    assert!(!batch.has_pending_reports());
}

#[test]
fn a_run_waits_ten_minutes_for_a_count_that_does_not_come() {
    let (mut batch, end) = expired();
    batch.gone_reported(None);
    let late = end + secs(600);
    assert_eq!(batch.wake(end), Some(late));
    assert_eq!(batch.report(late - secs(1)), None);
    assert!(matches!(batch.report(late), Some(Report::Ended(_))));
    assert_eq!(batch.take_silent_scans(late), None);
}

#[test]
fn the_scans_of_a_run_that_is_cut_off_or_cancelled_are_woken_at_once() {
    let (mut batch, end) = expired();
    assert_eq!(batch.take_silent_scans(end), Some((audience(), vec![0, 1])));
    assert_eq!(batch.take_silent_scans(end), None);
    let mut batch = of_a_run(terms());
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    batch.cancel(BEGIN);
    assert_eq!(batch.take_silent_scans(BEGIN), Some((audience(), vec![0, 1])));
    let stopped = append(&mut batch, &step(0, "0.5", "0.5", 0), BEGIN).appended;
    assert!(stopped.stop && !stopped.last);
    append(&mut batch, &counted(0, "0.5", 20), BEGIN);
    assert_eq!(batch.left_out().not_reached, 20);
}

#[test]
fn the_scan_that_finds_the_campaign_unreadable_counts_like_the_others() {
    let mut batch = of_a_run(terms());
    let fault = Append {
        fault: Some("so".to_owned()),
        ..counted(0, "", 5)
    };
    append(&mut batch, &fault, BEGIN);
    assert!(batch.left_out().is_nothing(), "it has not counted yet");
    let taken = append(&mut batch, &counted(0, "", 5), BEGIN);
    assert!(taken.appended.last && batch.left_out().not_reached == 5);
}

#[test]
fn shards_are_woken_to_count_after_the_end_of_a_run_and_the_scheduler_hears_after_that() {
    let ends_at = BEGIN + secs(60);
    let record = run(Terms {
        expires_at: Some(ends_at),
        ..terms()
    });
    let mut batch = Batch::open(record, 2, BEGIN);
    let mut tasks = tasks();
    tasks.handle(&mut batch, Event::Look, BEGIN);
    let begun = calls(&tasks.handle(&mut batch, Event::Look, ends_at));
    let (wake, _) = begun
        .iter()
        .find(|(_, call)| matches!(call, Call::WakeScans { shards, .. } if *shards == [0, 1]))
        .unwrap();
    let effects = tasks.handle(&mut batch, end(*wake, Outcome::Failed), ends_at);
    // A scan that could not be woken is woken again.
    let again = alarm(&effects);
    assert!(again > ends_at && again <= ends_at + secs(300), "{again:?}");
    let mut now = ends_at;
    let mut heard_at = None;
    for _ in 0..50 {
        let effects = tasks.handle(&mut batch, Event::Look, now);
        for (number, call) in begun.iter().cloned().chain(calls(&effects)) {
            let outcome = match call {
                Call::Report(Report::Gone { .. }) => Outcome::Reported(None),
                Call::Report(Report::Ended(_)) => {
                    heard_at = Some(now);
                    Outcome::Done
                }
                _ => Outcome::Done,
            };
            tasks.handle(&mut batch, end(number, outcome), now);
        }
        if heard_at.is_some() {
            break;
        }
        now = alarm(&tasks.handle(&mut batch, Event::Look, now));
    }
    assert_eq!(heard_at, Some(ends_at + secs(600)), "nobody has counted");
}
