use super::*;

fn pause(by: PausedBy) -> Pause {
    let detail = "so".to_owned();
    Pause { by, detail }
}

#[test]
fn a_refused_credential_pauses_the_batch_and_its_pushes_go_out_when_it_is_resumed() {
    let mut batch = under_way(terms(), 4, 500);
    batch.take_notices();
    assert_eq!(batch.plan(BEGIN), [1, 2, 3]);
    let work = batch.claim(1, BEGIN).unwrap();
    let results = both(accepted(0..100), both(refused([100]), untried(101..500)));
    let settled = batch.settle(1, work.until, &results, true, BEGIN);
    assert!(settled.stop);
    let paused = batch.record().paused.clone().unwrap();
    assert_eq!(paused.by, PausedBy::Credential);
    assert_eq!(paused.detail, "APNs refuses the credential: InvalidProviderToken");
    assert_eq!(
        batch.take_notices(),
        [Notice::CredentialRefused, Notice::StateChanged]
    );
    assert_eq!(batch.plan(BEGIN), NOTHING);
    assert_eq!(batch.claim(2, BEGIN), None);
    batch.resume(BEGIN + secs(60));
    assert_eq!(batch.record().paused, None);
    assert_eq!(
        batch.plan(BEGIN + secs(60)),
        [1, 2],
        "what was refused goes first"
    );
    let work = batch.claim(1, BEGIN + secs(60)).unwrap();
    assert_eq!(work.indices, (100..500).collect());
}

#[test]
fn a_refused_push_has_its_attempt_counted() {
    let mut batch = sealed(terms(), 1, 1);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &refused([0]), true, BEGIN);
    batch.resume(BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), true, BEGIN);
    assert_eq!(endings(&batch)[0].0.attempts, 2);
}

#[test]
fn who_paused_a_batch_first_stays_the_one() {
    let mut batch = under_way(terms(), 2, 500);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.pause(pause(PausedBy::Caller), BEGIN);
    batch.pause(pause(PausedBy::Credential), BEGIN);
    batch.settle(1, work.until, &refused(0..500), true, BEGIN);
    assert_eq!(batch.record().paused, Some(pause(PausedBy::Caller)));
}

/// Returns a batch of `pushes` pushes whose first chunk has `results`.
fn after(results: &Results, percent: u32, pushes: usize) -> Batch {
    let terms = Terms {
        bad_token_percent: percent,
        ..terms()
    };
    let sizes: Vec<Size> = (0..pushes)
        .step_by(500)
        .map(|first| Size {
            first: u32::try_from(first).unwrap(),
            pushes: (pushes - first).min(500),
        })
        .collect();
    let mut batch = Batch::seal(record(terms), sizes, BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, results, false, BEGIN);
    batch
}

fn is_paused(batch: &Batch) -> bool {
    let paused = batch.record().paused.as_ref();
    paused.is_some_and(|paused| paused.by == PausedBy::BadDeviceTokens)
}

#[test]
fn a_batch_pauses_when_refused_tokens_exceed_the_percentage_of_its_answers_and_are_at_least_five() {
    for (bad, good, percent, pushes, paused) in [
        // With 500 pushes or more, the share of the first 500.
        (100, 400, 20, 2000, false),
        (101, 399, 20, 2000, true),
        (100, 0, 20, 2000, false),
        (101, 0, 20, 2000, true),
        // With fewer, the share of all.
        (16, 0, 20, 80, false),
        (17, 0, 20, 80, true),
        (5, 5, 20, 20, true),
        (4, 0, 20, 10, false),
        (5, 0, 20, 10, true),
        (4, 0, 0, 10, false),
        (5, 0, 0, 2000, true),
        (499, 0, 100, 500, false),
    ] {
        let results = both(bad_tokens(0..bad), accepted(bad..bad + good));
        let batch = after(&results, percent, pushes);
        assert_eq!(
            is_paused(&batch),
            paused,
            "{bad} bad, {good} good of {pushes}, {percent} %"
        );
    }
}

#[test]
fn a_pause_for_refused_tokens_names_what_is_likely_wrong() {
    for (verdict, reason, expected) in [
        (Verdict::CheckToken, "BadDeviceToken", "other environment"),
        (Verdict::CheckToken, "DeviceTokenNotForTopic", "`topic`"),
        (Verdict::CheckToken, "TopicDisallowed", "`topic`"),
        (Verdict::FixRequest, "BadTopic", "`topic`"),
        (Verdict::CheckToken, "Unregistered", "`environment` and `topic`"),
    ] {
        let batch = after(&results_of(verdict, 400, reason, 0..200), 20, 1000);
        let detail = batch.record().paused.clone().unwrap().detail;
        assert!(
            detail.starts_with(&format!("APNs refused 200 of 200 pushes with {reason}. ")),
            "{detail}"
        );
        assert!(detail.contains(expected), "{detail}");
    }
}

#[test]
fn one_refused_token_or_topic_is_an_ending_and_stops_nothing() {
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic", "TopicDisallowed"] {
        let mut batch = sealed(terms(), 1, 20);
        let work = batch.claim(0, BEGIN).unwrap();
        let results = both(
            results_of(Verdict::CheckToken, 400, reason, [7]),
            accepted((0..20).filter(|index| *index != 7)),
        );
        let settled = batch.settle(0, work.until, &results, true, BEGIN);
        assert_eq!(batch.record().state, State::Done);
        assert!(settled.stop);
        let counts = counts(&batch, BEGIN);
        assert_eq!((counts.accepted, counts.rejected, counts.gone), (19, 1, 0));
        assert_eq!(batch.take_notices(), [Notice::StateChanged, Notice::StateChanged]);
        assert_eq!(batch.overview(BEGIN).suspect, None);
    }
}

#[test]
fn other_refusals_are_no_sign_of_a_wrong_setup() {
    for (verdict, code, reason) in [
        (Verdict::DropDevice, 410, "Unregistered"),
        (Verdict::FixRequest, 413, "PayloadTooLarge"),
    ] {
        let batch = after(&results_of(verdict, code, reason, 0..500), 20, 1000);
        assert_eq!(batch.record().state, State::Running, "{reason}");
    }
}

#[test]
fn refused_tokens_pause_a_batch_after_its_start_too() {
    let mut batch = under_way(terms(), 3, 500);
    for (number, bad, paused) in [(1, 125, false), (2, 176, true)] {
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &bad_tokens(0..bad), false, BEGIN);
        assert_eq!(is_paused(&batch), paused, "{bad} of {}", batch.breaker.ended());
    }
}

#[test]
fn a_batch_that_has_nothing_left_is_done_and_says_why_it_is_suspect() {
    for (bad, good, suspect) in [
        (80, 0, true),
        (10, 0, true),
        (5, 0, true),
        (4, 0, false),
        (5, 20, false),
        (6, 20, true),
    ] {
        let results = both(bad_tokens(0..bad), accepted(bad..bad + good));
        let mut batch = sealed(terms(), 1, bad + good);
        let work = batch.claim(0, BEGIN).unwrap();
        assert_eq!(batch.overview(BEGIN).suspect, None);
        batch.settle(0, work.until, &results, true, BEGIN);
        assert_eq!(batch.record().state, State::Done);
        let expected = suspect.then(|| Suspect {
            reason: "BadDeviceToken".to_owned(),
            count: bad as u64,
        });
        assert_eq!(batch.overview(BEGIN).suspect, expected, "{bad} of {}", bad + good);
    }
}

#[test]
fn a_batch_is_suspect_for_its_most_frequent_reason() {
    let mut batch = sealed(terms(), 1, 100);
    let work = batch.claim(0, BEGIN).unwrap();
    let topic = |indices: std::ops::Range<usize>| {
        results_of(Verdict::CheckToken, 400, "DeviceTokenNotForTopic", indices)
    };
    let mut twice = topic(40..65);
    twice.groups[0].result.attempts = 2;
    let results = both(
        both(bad_tokens(0..30), topic(30..40)),
        both(twice, accepted(65..100)),
    );
    batch.settle(0, work.until, &results, true, BEGIN);
    let suspect = batch.overview(BEGIN).suspect.unwrap();
    assert_eq!(
        (&*suspect.reason, suspect.count),
        ("DeviceTokenNotForTopic", 35),
        "of all attempts"
    );
}

#[test]
fn who_resumes_after_refused_tokens_wants_the_rest_sent_whatever_is_forgotten_in_between() {
    let mut batch = sealed(terms(), 4, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &bad_tokens(0..200), false, BEGIN);
    assert!(is_paused(&batch));
    batch.resume(BEGIN);
    let rows = vec![(0, batch.progress(0).unwrap().clone())];
    let mut batch = Batch::load(batch.record().clone(), sizes(4, 500), rows);
    batch.settle(0, work.until, &bad_tokens(200..500), true, BEGIN);
    assert_eq!(batch.record().state, State::Running);
}

#[test]
fn a_resume_after_another_pause_leaves_the_check_on() {
    let mut batch = sealed(terms(), 4, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.pause(pause(PausedBy::Caller), BEGIN);
    batch.resume(BEGIN);
    batch.settle(0, work.until, &bad_tokens(0..200), false, BEGIN);
    assert!(is_paused(&batch));
}

#[test]
fn nothing_goes_out_beside_the_first_chunk_before_it_has_ended() {
    let mut batch = sealed(terms(), 100, 500);
    assert_eq!(batch.plan(BEGIN), [0]);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    assert_eq!(batch.claim(1, BEGIN), None, "though a message comes for another");
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..499), false, BEGIN);
    assert_eq!(batch.plan(BEGIN), NOTHING);
    batch.settle(0, work.until, &accepted(0..500), true, BEGIN);
    assert_eq!(batch.plan(BEGIN).len(), 64);
}

#[test]
fn small_chunks_go_out_together_until_they_are_as_many_as_a_full_one() {
    let mut batch = sealed(terms(), 200, 15);
    let first = batch.plan(BEGIN);
    assert_eq!(first.len(), 34, "510 pushes");
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted(0..15), true, BEGIN);
    assert_eq!(batch.plan(BEGIN), NOTHING, "495 are out, and 15 have ended");
    for number in 1..34 {
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &accepted(0..15), true, BEGIN);
    }
    assert_eq!(batch.plan(BEGIN).len(), 166, "all that are left");
}

#[test]
fn devices_that_apns_throttles_do_not_hold_up_a_start() {
    let mut batch = sealed(terms(), 10, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let results = both(accepted(0..400), throttled(400..500));
    batch.settle(0, work.until, &results, true, BEGIN);
    assert_eq!(batch.plan(BEGIN), [1], "400 have ended: a chunk more decides");
}

#[test]
fn a_batch_that_meets_trouble_sends_a_chunk_at_a_time_until_one_goes_well() {
    let mut batch = under_way(terms(), 200, 500);
    let out = batch.plan(BEGIN);
    let (claimed, queued) = out.split_at(10);
    assert_eq!(queued.len(), 54);
    let works: Vec<Work> = claimed
        .iter()
        .filter_map(|number| batch.claim(*number, BEGIN))
        .collect();
    for (number, work) in claimed.iter().zip(works) {
        batch.settle(*number, work.until, &overloaded(0..500), true, BEGIN);
    }
    let probes = queued.iter().filter_map(|number| batch.claim(*number, BEGIN));
    assert_eq!(probes.count(), 1, "the other messages come to nothing");
    let probe = queued[0];
    let until = batch.progress(probe).unwrap().claim.as_ref().unwrap().until;
    batch.settle(probe, until, &overloaded(0..500), true, BEGIN);
    let now = BEGIN + secs(1);
    let [number] = batch.plan(now)[..] else {
        panic!("one chunk finds out how it is")
    };
    let work = batch.claim(number, now).unwrap();
    batch.settle(number, work.until, &accepted(0..500), true, now);
    assert_eq!(batch.plan(now).len(), 64);
}

#[test]
fn a_probe_of_which_nothing_is_heard_is_followed_by_another() {
    let mut batch = under_way(terms(), 20, 500);
    batch.breaker.half_open();
    assert_eq!(batch.plan(BEGIN), [1]);
    batch.claim(1, BEGIN + secs(1)).unwrap();
    let wake = batch.wake(BEGIN + secs(1)).unwrap();
    assert_eq!(wake, BEGIN + secs(20));
    assert_eq!(batch.plan(wake - secs(1)), NOTHING);
    assert_eq!(batch.plan(wake), [2]);
}

#[test]
fn a_few_pushes_that_fail_again_are_no_trouble() {
    let mut batch = under_way(terms(), 200, 500);
    for number in 1..60 {
        let work = batch.claim(number, BEGIN).unwrap();
        let results = both(accepted(0..499), overloaded([499]));
        batch.settle(number, work.until, &results, true, BEGIN);
    }
    let now = BEGIN + secs(20);
    let planned = batch.plan(now);
    let (due, fresh) = planned.split_at(59);
    for number in due {
        let work = batch.claim(*number, now).unwrap();
        batch.settle(*number, work.until, &overloaded([499]), true, now);
    }
    let claimed = fresh.iter().filter_map(|number| batch.claim(*number, now));
    assert_eq!(claimed.count(), 64, "they go out as they would have");
}

#[test]
fn a_batch_that_is_resumed_tries_a_chunk_before_it_goes_on() {
    let mut batch = under_way(terms(), 200, 500);
    let stale = batch.plan(BEGIN);
    batch.pause(pause(PausedBy::Problem), BEGIN);
    batch.resume(BEGIN + secs(1));
    let claimed = stale
        .iter()
        .filter_map(|number| batch.claim(*number, BEGIN + secs(1)));
    assert_eq!(
        claimed.count(),
        1,
        "messages from before the pause are no way around it"
    );
}

#[test]
fn an_object_that_forgot_how_it_goes_tries_a_chunk_first() {
    let batch = under_way(terms(), 200, 500);
    let row = (0, batch.progress(0).unwrap().clone());
    let mut batch = Batch::load(batch.record().clone(), sizes(200, 500), [row]);
    assert_eq!(batch.plan(BEGIN), [1]);
    let work = batch.claim(1, BEGIN).unwrap();
    batch.settle(1, work.until, &accepted(0..500), true, BEGIN);
    assert_eq!(batch.plan(BEGIN).len(), 64);
}
