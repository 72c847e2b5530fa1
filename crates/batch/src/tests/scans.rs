use super::*;

pub(super) fn step(scan: u32, from: &str, to: &str, pushes: u32) -> Append {
    Append {
        scan,
        from: from.to_owned(),
        to: to.to_owned(),
        pushes,
        left_out: LeftOut::default(),
        last: false,
        fault: None,
    }
}

pub(super) fn last(step: Append) -> Append {
    Append { last: true, ..step }
}

fn opened(terms: Terms, scans: u32) -> Batch {
    Batch::open(record(terms), scans, BEGIN)
}

pub(super) fn append(batch: &mut Batch, step: &Append, now: Timestamp) -> Taken {
    batch.append(step, 0, now)
}

fn told(cursor: &str) -> Appended {
    Appended {
        cursor: cursor.to_owned(),
        last: false,
        hold_ms: 0,
        stop: false,
    }
}

/// Appends `chunks` chunks of the first scan. Returns the cursor at which the last one ends.
fn fill(batch: &mut Batch, chunks: usize) -> String {
    let mut cursor = String::new();
    for number in 0..chunks {
        let to = format!("0.{number}");
        let taken = append(batch, &step(0, &cursor, &to, 500), BEGIN);
        assert!(taken.chunk.is_some(), "{number}");
        cursor = to;
    }
    cursor
}

#[test]
fn an_opened_batch_runs_at_once_and_is_done_when_its_scans_are_over_and_its_pushes_have_ended() {
    let mut batch = opened(terms(), 2);
    assert_eq!(
        (batch.record().state, batch.record().sealed_at),
        (State::Running, None)
    );
    let taken = append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    assert_eq!(taken.appended, told("0.5"));
    assert_eq!(taken.chunk, Some((0, Size { first: 0, pushes: 5 })));
    assert_eq!(batch.plan(BEGIN), [0]);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    assert_eq!(batch.record().state, State::Running, "scans are open");
    assert_eq!(batch.wake(BEGIN), Some(BEGIN + secs(30 * 86_400)));
    let taken = append(&mut batch, &last(step(1, "", "0.3", 3)), BEGIN);
    assert_eq!(taken.chunk, Some((1, Size { first: 5, pushes: 3 })));
    assert_eq!((taken.appended.last, taken.appended.stop), (true, false));
    let taken = append(&mut batch, &last(step(0, "0.5", "0.5", 0)), BEGIN + secs(1));
    assert_eq!(taken.chunk, None);
    assert_eq!(batch.record().sealed_at, Some(BEGIN + secs(1)));
    assert_eq!(batch.record().state, State::Running);
    let work = batch.claim(1, BEGIN + secs(1)).unwrap();
    batch.settle(1, work.until, &accepted(0..3), true, BEGIN + secs(1));
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(counts(&batch, BEGIN).accepted, 8);
}

#[test]
fn a_batch_whose_scans_find_nobody_is_done_at_once() {
    let mut batch = opened(terms(), 2);
    for scan in 0..2 {
        assert_eq!(batch.record().state, State::Running);
        append(&mut batch, &last(step(scan, "", "", 0)), BEGIN);
    }
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(batch.record().sealed_at, Some(BEGIN));
    assert_eq!(opened(terms(), 0).record().state, State::Done);
}

#[test]
fn a_step_that_comes_again_changes_nothing_and_is_told_how_far_its_scan_is() {
    let mut batch = opened(terms(), 2);
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    for again in [
        step(0, "", "0.5", 5),
        step(0, "", "0.7", 7),
        step(0, "0.1", "0.6", 5),
    ] {
        let taken = append(&mut batch, &again, BEGIN);
        assert_eq!((taken.chunk, taken.appended), (None, told("0.5")));
    }
    assert_eq!(batch.chunks(), 1);
    append(&mut batch, &last(step(0, "0.5", "0.9", 2)), BEGIN);
    for _ in 0..2 {
        let taken = append(&mut batch, &last(step(0, "0.5", "0.9", 2)), BEGIN);
        assert_eq!(taken.chunk, None);
        assert!(taken.appended.last && !taken.appended.stop && taken.appended.cursor == "0.9");
    }
    let taken = append(&mut batch, &step(0, "0.9", "1.0", 2), BEGIN);
    assert_eq!(taken.chunk, None, "the scan is over");
}

#[test]
fn a_scan_that_asks_how_far_it_is_changes_nothing() {
    let mut batch = opened(terms(), 2);
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    batch.take_unsaved_scans();
    for (from, to) in [("", ""), ("0.5", "0.5"), ("0.5", "")] {
        let taken = append(&mut batch, &step(0, from, to, 0), BEGIN);
        assert_eq!(
            (taken.chunk, taken.appended),
            (None, told("0.5")),
            "{from} to {to}"
        );
    }
    assert!(batch.take_unsaved_scans().is_empty(), "nothing is written");
    let taken = append(&mut batch, &step(0, "0.5", "0.7", 0), BEGIN);
    assert_eq!(taken.appended, told("0.7"), "nobody was found on the way");
}

#[test]
fn a_scan_that_the_batch_does_not_know_is_told_to_stop() {
    let taken = append(&mut opened(terms(), 2), &step(2, "", "0.5", 5), BEGIN);
    assert!(taken.chunk.is_none() && taken.appended.stop);
}

#[test]
fn devices_that_scans_left_out_are_counted_once() {
    let mut batch = opened(terms(), 1);
    let mut left_out = LeftOut {
        frequency_cap: 2,
        invalid: 3,
        outside_segment: 4,
        ..LeftOut::default()
    };
    left_out.add_missing("name", 1);
    let append = Append {
        left_out: left_out.clone(),
        ..step(0, "", "0.5", 2)
    };
    for _ in 0..2 {
        batch.append(&append, 0, BEGIN);
    }
    assert_eq!(batch.overview(BEGIN).left_out, left_out);
    let still = Append {
        from: "0.5".to_owned(),
        to: "0.5".to_owned(),
        pushes: 0,
        ..append
    };
    batch.append(&still, 0, BEGIN);
    assert_eq!(
        batch.left_out(),
        left_out,
        "a step that leads nowhere leaves out nobody"
    );
}

#[test]
fn lines_are_those_of_a_step_if_there_are_as_many() {
    let two = step(0, "", "0.2", 2);
    assert!(two.has_lines("{}\n{}\n") && two.has_lines("{}\n{}"));
    assert!(!two.has_lines("{}\n") && !two.has_lines("") && !two.has_lines("{}\n{}\n{}\n"));
    assert!(step(0, "", "", 0).has_lines(""));
    let still = step(0, "0.2", "0.2", 1);
    assert!(
        !still.has_lines("{}\n"),
        "when it comes again it would be another one"
    );
    assert!(!step(0, "", "0.2", 513).has_lines(&"{}\n".repeat(513)));
}

#[test]
fn scans_end_when_the_batch_is_cancelled() {
    let mut batch = opened(terms(), 2);
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.cancel(BEGIN);
    assert_eq!(batch.record().state, State::Cancelling);
    let stopped = |batch: &mut Batch| {
        let taken = append(batch, &step(0, "0.5", "0.9", 5), BEGIN);
        taken.chunk.is_none() && taken.appended.stop && taken.appended.cursor == "0.5"
    };
    assert!(stopped(&mut batch));
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    assert_eq!(batch.record().state, State::Cancelled);
    assert!(stopped(&mut batch));
    assert_eq!(batch.overview(BEGIN).pushes, 5);
    let mut batch = opened(terms(), 2);
    batch.cancel(BEGIN);
    assert_eq!(batch.record().state, State::Cancelled, "nothing was out");
}

#[test]
fn scans_wait_while_the_batch_is_paused() {
    let mut batch = opened(terms(), 1);
    let (by, detail) = (PausedBy::Caller, String::new());
    batch.pause(Pause { by, detail }, BEGIN);
    let taken = append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    assert_eq!((taken.chunk.is_some(), taken.appended.hold_ms), (true, 30_000));
    assert_eq!(batch.plan(BEGIN), NOTHING);
    batch.resume(BEGIN);
    let taken = append(&mut batch, &last(step(0, "0.5", "0.9", 5)), BEGIN);
    assert_eq!(taken.appended.hold_ms, 0);
    assert_eq!(batch.plan(BEGIN), [0, 1]);
}

#[test]
fn scans_wait_for_the_window_to_open_and_no_longer_than_five_minutes() {
    let windows = vec![
        (BEGIN + secs(100), BEGIN + secs(200)),
        (BEGIN + secs(9000), BEGIN + secs(9100)),
    ];
    let mut batch = opened(Terms { windows, ..terms() }, 1);
    let mut hold = |from: &str, to: &str, at| append(&mut batch, &step(0, from, to, 5), at).appended.hold_ms;
    assert_eq!(hold("", "0.1", BEGIN), 100_000);
    assert_eq!(hold("0.1", "0.2", BEGIN + secs(150)), 0);
    assert_eq!(hold("0.2", "0.3", BEGIN + secs(200)), 300_000);
}

#[test]
fn scans_wait_while_there_is_enough_to_do_and_nothing_is_taken_from_those_that_do_not() {
    let mut batch = opened(terms(), 1);
    let cursor = fill(&mut batch, 2000);
    let taken = append(&mut batch, &step(0, &cursor, "1", 500), BEGIN);
    assert!(
        taken.chunk.is_some() && taken.appended.hold_ms == 10_000,
        "nothing is known of the rate"
    );
    let mut cursor = "1".to_owned();
    for number in 2001..4000 {
        let to = format!("2.{number}");
        assert!(
            append(&mut batch, &step(0, &cursor, &to, 500), BEGIN)
                .chunk
                .is_some()
        );
        cursor = to;
    }
    let taken = append(&mut batch, &step(0, &cursor, "3", 500), BEGIN);
    assert_eq!((taken.chunk, taken.appended.cursor), (None, cursor.clone()));
    assert!(taken.appended.hold_ms > 0 && !taken.appended.stop);
    let end = append(&mut batch, &last(step(0, &cursor, &cursor, 0)), BEGIN);
    assert!(end.appended.last, "it brings nothing");
}

#[test]
fn scans_wait_until_there_is_room_for_a_good_many_chunks() {
    let rate = Some(10_000);
    let mut batch = opened(Terms { rate, ..terms() }, 64);
    let cursor = fill(&mut batch, 2000);
    let taken = append(&mut batch, &step(0, &cursor, "1", 500), BEGIN);
    assert_eq!(taken.appended.hold_ms, 500 * 500 * 1000 / 10_000);
    let asked = append(&mut batch, &step(1, "", "", 0), BEGIN);
    assert_eq!(
        asked.appended.hold_ms, taken.appended.hold_ms,
        "who asks hears the same"
    );
}

#[test]
fn an_open_batch_does_not_say_when_it_will_be_done() {
    let mut batch = opened(terms(), 1);
    let cursor = fill(&mut batch, 40);
    for number in 0..20 {
        let now = BEGIN + Duration::from_millis(250 * u64::from(number));
        let work = batch.claim(number, now).unwrap();
        batch.settle(number, work.until, &accepted(0..500), true, now);
    }
    let now = BEGIN + secs(5);
    let overview = batch.overview(now);
    assert!(overview.rate > 0 && overview.eta.is_none() && overview.pushes == 20_000);
    append(&mut batch, &last(step(0, &cursor, &cursor, 0)), now);
    assert!(batch.overview(now).eta.is_some());
}

#[test]
fn who_keeps_a_list_of_batches_hears_how_many_pushes_it_has() {
    let mut batch = opened(terms(), 1);
    assert_eq!(batch.take_notices(), [Notice::StateChanged], "it runs");
    append(&mut batch, &last(step(0, "", "0.5", 5)), BEGIN);
    assert_eq!(batch.take_notices(), [Notice::StateChanged], "it is sealed");
}

#[test]
fn what_does_not_fit_is_left_out_and_the_record_says_so() {
    let mut batch = opened(terms(), 2);
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    let taken = batch.append(&step(1, "", "0.5", 5), 9_000_000_000, BEGIN);
    assert!(taken.chunk.is_none() && taken.appended.stop && taken.appended.cursor.is_empty());
    assert_eq!(batch.record().cut_off, Some(CutOff::Full));
    assert_eq!(batch.record().sealed_at, Some(BEGIN));
    assert!(append(&mut batch, &step(0, "0.5", "0.9", 5), BEGIN).appended.stop);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    assert_eq!(batch.record().state, State::Done);
}

#[test]
fn no_run_has_more_than_fifty_million_pushes() {
    // 50 million pushes except one, in one chunk: only the position of the last chunk matters.
    let size = Size {
        first: 49_999_000,
        pushes: 500,
    };
    let record = Record {
        state: State::Running,
        ..record(terms())
    };
    let mut batch = Batch::load(record, vec![size], Vec::new()).with_scans(vec![ScanProgress::default(); 2]);
    let taken = append(&mut batch, &step(0, "", "0.5", 500), BEGIN);
    assert!(taken.chunk.is_some(), "it is full to the last");
    let taken = append(&mut batch, &last(step(0, "0.5", "0.5", 0)), BEGIN);
    assert!(taken.appended.last && !taken.appended.stop);
    let taken = append(&mut batch, &step(1, "", "0.5", 1), BEGIN);
    assert!(taken.chunk.is_none() && taken.appended.stop);
    assert_eq!(batch.record().cut_off, Some(CutOff::Full));
}

/// Returns the batch of a run that two scans fill.
pub(super) fn of_a_run(terms: Terms) -> Batch {
    let run = RunRef {
        campaign: "c".to_owned(),
        at: BEGIN,
        audience: audience(),
        opened_at: BEGIN,
    };
    let record = Record {
        run: Some(run),
        ..record(terms)
    };
    Batch::open(record, 2, BEGIN)
}

#[test]
fn a_run_whose_campaign_cannot_be_read_any_more_ends_and_says_so() {
    let mut batch = of_a_run(terms());
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    let fault = Append {
        fault: Some("/notification/topic: is not the app's".to_owned()),
        ..last(step(1, "", "", 0))
    };
    assert!(append(&mut batch, &fault, BEGIN).appended.stop);
    assert!(append(&mut batch, &step(0, "0.5", "0.9", 5), BEGIN).appended.stop);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..5), true, BEGIN);
    let record = batch.record();
    assert_eq!(
        (record.state, record.cut_off),
        (State::Done, Some(CutOff::Unreadable))
    );
    let text =
        "devices were left out: the campaign can no longer be read: /notification/topic: is not the app's";
    assert_eq!(record.cut_off_text().as_deref(), Some(text));
    append(&mut batch, &last(step(0, "0.5", "0.5", 0)), BEGIN);
    append(&mut batch, &last(step(1, "", "", 0)), BEGIN);
    let Some(Report::Ended(ended)) = batch.report(BEGIN) else {
        panic!("it has ended")
    };
    assert_eq!(ended.detail.as_deref(), Some(text));
}

#[test]
fn a_scan_that_is_not_heard_of_for_minutes_is_woken_and_again_after_as_long() {
    let mut batch = of_a_run(terms());
    assert_eq!(batch.take_silent_scans(BEGIN), None);
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN + secs(200));
    assert_eq!(batch.take_silent_scans(BEGIN + secs(299)), None);
    assert!(
        batch.wake(BEGIN + secs(299)) <= Some(BEGIN + secs(300)),
        "it looks in time"
    );
    assert_eq!(
        batch.take_silent_scans(BEGIN + secs(300)),
        Some((audience(), vec![1]))
    );
    assert_eq!(batch.take_silent_scans(BEGIN + secs(499)), None);
    assert_eq!(
        batch.take_silent_scans(BEGIN + secs(500)),
        Some((audience(), vec![0]))
    );
    assert_eq!(
        batch.take_silent_scans(BEGIN + secs(600)),
        Some((audience(), vec![1]))
    );
    // A scan that has ended is not missed.
    append(&mut batch, &last(step(1, "", "", 0)), BEGIN + secs(601));
    append(&mut batch, &last(step(0, "0.5", "0.5", 0)), BEGIN + secs(601));
    assert_eq!(batch.take_silent_scans(BEGIN + secs(9000)), None);
}

#[test]
fn a_scan_that_was_told_to_wait_is_missed_after_that_alone() {
    let mut batch = of_a_run(terms());
    let by = PausedBy::Caller;
    batch.pause(
        Pause {
            by,
            detail: String::new(),
        },
        BEGIN,
    );
    batch.take_silent_scans(BEGIN);
    let hold = append(&mut batch, &step(0, "", "", 0), BEGIN).appended.hold_ms;
    assert_eq!(hold, 30_000);
    assert_eq!(
        batch.take_silent_scans(BEGIN + secs(329)),
        Some((audience(), vec![1]))
    );
    assert_eq!(
        batch.take_silent_scans(BEGIN + secs(330)),
        Some((audience(), vec![0]))
    );
}

#[test]
fn scans_end_when_nothing_may_be_sent_any_more() {
    let expires_at = Some(BEGIN + secs(60));
    let mut batch = opened(
        Terms {
            expires_at,
            ..terms()
        },
        2,
    );
    append(&mut batch, &step(0, "", "0.5", 5), BEGIN);
    batch.plan(BEGIN);
    assert_eq!(batch.wake(BEGIN), Some(BEGIN + secs(60)));
    let taken = append(&mut batch, &step(1, "", "0.5", 5), BEGIN + secs(60));
    assert!(taken.chunk.is_none() && taken.appended.stop);
    assert_eq!(batch.record().cut_off, Some(CutOff::Expired));
    assert_eq!(batch.record().state, State::Done);
    assert_eq!(counts(&batch, BEGIN).failed, 5);
    // No scan has reported. The batch ends nevertheless.
    let mut batch = opened(
        Terms {
            expires_at,
            ..terms()
        },
        2,
    );
    let wake = batch.wake(BEGIN).unwrap();
    batch.plan(wake);
    assert_eq!((wake, batch.record().state), (BEGIN + secs(60), State::Done));
}

#[test]
fn a_batch_whose_scans_never_end_is_cancelled_after_a_month() {
    let mut batch = opened(terms(), 2);
    let wake = batch.wake(BEGIN).unwrap();
    assert_eq!(wake, BEGIN + secs(30 * 86_400));
    batch.plan(wake);
    assert_eq!(batch.record().state, State::Cancelled);
}
