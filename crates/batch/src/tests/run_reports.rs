use super::*;
use crate::webhook::MAX_GONE;

fn run(terms: Terms) -> Record {
    Record {
        run: Some(RunRef {
            campaign: "c".to_owned(),
            at: BEGIN,
            audience: audience(),
            opened_at: Timestamp::default(),
        }),
        ..record(terms)
    }
}

/// Returns a run of one chunk that ended with these results.
fn ended(results: &Results, pushes: u32) -> Batch {
    let mut batch = Batch::open(run(terms()), 1, BEGIN);
    let step = Append {
        last: true,
        ..scans::step(0, "", "0.1", pushes)
    };
    batch.append(&step, 0, BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, results, true, BEGIN);
    if batch.record().state != State::Done {
        batch.cancel(BEGIN);
    }
    batch
}

fn gone(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::DropDevice, 410, "Unregistered", indices)
}

#[test]
fn the_scheduler_is_told_first_and_then_the_audience_from_where_it_knows() {
    let mut batch = ended(&both(accepted(0..4), gone([4])), 5);
    let Some(Report::Ended(ended)) = batch.report(BEGIN) else {
        panic!("the scheduler is to be told")
    };
    assert_eq!(
        serde_json::to_string(&ended).unwrap(),
        concat!(
            r#"{"campaign":"c","at":1800000000000,"is_cancelled":false,"pushes":5,"#,
            r#""counts":{"accepted":4,"rejected":1,"failed":0,"cancelled":0,"gone":1}}"#,
        )
    );
    batch.end_reported();
    let from = |from| Report::Gone {
        from,
        audience: audience(),
        answered_at: BEGIN,
        suspects: true,
    };
    assert_eq!(batch.report(BEGIN), Some(from(0)));
    batch.gone_reported(Some(7));
    assert_eq!(batch.report(BEGIN), Some(from(7)));
    assert!(batch.take_unsaved().1, "an object that forgets goes on there");
    let mut batch = Batch::load(batch.record().clone(), Vec::new(), Vec::new());
    assert_eq!(batch.report(BEGIN), Some(from(7)));
    batch.gone_reported(None);
    assert_eq!((batch.report(BEGIN), batch.has_pending_reports()), (None, false));
}

#[test]
fn a_batch_that_no_campaign_made_or_that_has_not_ended_tells_nobody() {
    assert_eq!(sealed(terms(), 0, 0).report(BEGIN), None);
    assert_eq!(Batch::open(run(terms()), 1, BEGIN).report(BEGIN), None);
}

#[test]
fn what_nobody_hears_is_told_again_and_later_each_time() {
    let mut batch = ended(&accepted(0..5), 5);
    let (mut now, mut waits) = (BEGIN, Vec::new());
    for _ in 0..20 {
        assert!(matches!(batch.report(now), Some(Report::Ended(_))));
        batch.report_failed(now);
        assert_eq!(batch.report(now), None);
        let wake = batch.wake(now).unwrap();
        waits.push(wake.since(now).as_secs());
        now = wake;
    }
    assert!((5..=10).contains(&waits[0]), "{waits:?}");
    assert!(
        waits.iter().all(|wait| *wait <= 3600) && waits[19] >= 1800,
        "{waits:?}"
    );
}

#[test]
fn a_run_that_nobody_ever_hears_of_is_forgotten_after_a_week_of_trying() {
    let mut batch = ended(&accepted(0..5), 5);
    let week = BEGIN + secs(7 * 86_400);
    batch.report_failed(week - secs(1));
    assert!(batch.has_pending_reports());
    batch.report_failed(week);
    assert!(
        matches!(batch.report(week), Some(Report::Gone { .. })),
        "the audience may hear"
    );
    batch.report_failed(week);
    assert_eq!((batch.report(week), batch.has_pending_reports()), (None, false));
    assert!(batch.take_unsaved().1);
    assert_eq!(batch.wake(BEGIN), Some(week), "it is deleted");
}

#[test]
fn a_run_is_not_forgotten_before_everybody_knows() {
    let mut batch = ended(&accepted(0..5), 5);
    let outdated = BEGIN + secs(7 * 86_400);
    batch.report_failed(outdated - secs(1));
    assert!(batch.has_pending_reports());
    assert!(
        batch.wake(outdated).unwrap() > outdated,
        "no alarm that does nothing"
    );
    batch.end_reported();
    assert!(batch.has_pending_reports());
    batch.gone_reported(None);
    assert!(!batch.has_pending_reports());
    assert_eq!(batch.wake(BEGIN), Some(outdated));
}

/// Whether the audience gets the tokens that were refused with 400 in a run with these results.
fn hears_of_suspects(mut batch: Batch) -> bool {
    batch.end_reported();
    match batch.report(BEGIN) {
        Some(Report::Gone { suspects, .. }) => suspects,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_audience_hears_of_refused_tokens_only_within_the_percentage_whatever_the_size() {
    let bad = |reason: &'static str, pushes| results_of(Verdict::CheckToken, 400, reason, 0..pushes);
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic", "TopicDisallowed"] {
        for (refused, of, expected) in [
            (100, 500, true),
            (101, 500, false),
            (80, 80, false),
            (16, 80, true),
            (17, 80, false),
            (2, 10, true),
            (3, 10, false),
            (10, 10, false),
            (1, 1, false),
        ] {
            let results = both(bad(reason, refused), accepted(refused..of));
            let batch = ended(&results, u32::try_from(of).unwrap());
            assert_eq!(hears_of_suspects(batch), expected, "{refused} of {of} {reason}");
        }
    }
    let topics = results_of(Verdict::FixRequest, 400, "BadTopic", 0..200);
    let few = both(
        bad("BadDeviceToken", 5),
        both(
            results_of(Verdict::FixRequest, 400, "BadTopic", 5..205),
            accepted(205..500),
        ),
    );
    assert!(
        !hears_of_suspects(ended(&few, 500)),
        "all of them are of one kind"
    );
    assert!(!hears_of_suspects(ended(&both(topics, accepted(200..500)), 500)));
}

#[test]
fn devices_that_are_gone_say_nothing_of_the_setup() {
    assert!(hears_of_suspects(ended(&gone(0..500), 500)));
    // Refusals are compared with answers only: a push without an answer does not count.
    let lost = results_of(Verdict::Unknown, 0, "DeadlinePassed", 10..100);
    let results = both(bad_tokens(0..10), lost);
    assert!(!hears_of_suspects(ended(&results, 100)));
}

#[test]
fn a_run_that_was_resumed_tells_its_audience_no_more_than_any_other() {
    let mut batch = Batch::open(run(terms()), 1, BEGIN);
    let pushes = [500, 100];
    for (number, pushes) in (0..).zip(pushes) {
        let (before, after) = (format!("0.{number}"), format!("0.{}", number + 1));
        let before = if number == 0 { String::new() } else { before };
        let step = Append {
            last: number == 1,
            ..scans::step(0, &before, &after, pushes)
        };
        batch.append(&step, 0, BEGIN);
    }
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &bad_tokens(0..500), true, BEGIN);
    assert_eq!(batch.record().state, State::Paused);
    batch.resume(BEGIN);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.settle(1, work.until, &bad_tokens(0..100), true, BEGIN);
    assert_eq!(batch.record().state, State::Done);
    assert!(!hears_of_suspects(batch));
}

#[test]
fn devices_are_told_of_in_portions_that_a_shard_can_take() {
    let portion_of = |gone: &[usize], shards| {
        let chunks: Vec<(u32, usize)> = (3..).zip(gone.iter().copied()).collect();
        report_page(&chunks, shards)
    };
    let of = |chunks, next| ReportPage { chunks, next };
    assert_eq!(portion_of(&[], 1), of(0, None));
    assert_eq!(portion_of(&[0, 0], 1), of(2, None));
    assert_eq!(portion_of(&[0; 250], 1), of(250, Some(253)), "there may be more");
    assert_eq!(portion_of(&[0; 249], 1), of(249, None));
    assert_eq!(portion_of(&[1, MAX_GONE - 1, 1], 1), of(2, Some(5)));
    assert_eq!(portion_of(&[MAX_GONE, MAX_GONE, 1], 1), of(1, Some(4)));
    assert_eq!(portion_of(&[MAX_GONE, MAX_GONE, 1], 2), of(2, Some(5)));
    assert_eq!(portion_of(&[MAX_GONE, MAX_GONE, 1], 256), of(3, None));
}
