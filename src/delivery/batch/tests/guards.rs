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
    let reason = "InvalidProviderToken".to_owned();
    assert_eq!(
        batch.take_notices(),
        [Notice::CredentialRefused { reason }, Notice::StateChanged]
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
    assert_eq!(work.places, (100..500).collect());
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

/// The first 500 pushes, `bad` of them with a bad token; told in halves.
fn start_with_bad_tokens(bad: usize, percent: u32) -> Batch {
    let terms = Terms {
        bad_token_percent: percent,
        ..terms()
    };
    let mut batch = sealed(terms, 4, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let results = both(bad_tokens(0..bad), accepted(bad..250.max(bad)));
    batch.settle(0, work.until, &results, false, BEGIN);
    let results = both(results, accepted(250.max(bad)..500));
    batch.settle(0, work.until, &results, true, BEGIN);
    batch
}

#[test]
fn more_bad_tokens_among_the_first_500_than_allowed_pause_the_batch() {
    for (bad, percent, paused) in [
        (100, 20, false),
        (101, 20, true),
        (0, 0, false),
        (1, 0, true),
        (500, 100, false),
    ] {
        let batch = start_with_bad_tokens(bad, percent);
        let state = if paused { State::Paused } else { State::Running };
        assert_eq!(batch.record().state, state, "{bad} of {percent} %");
    }
    let batch = start_with_bad_tokens(101, 20);
    let paused = batch.record().paused.clone().unwrap();
    assert_eq!(paused.by, PausedBy::BadDeviceTokens);
    assert_eq!(
        paused.detail,
        "APNs calls 101 of the first 250 device tokens bad: they are likely of the other environment"
    );
}

#[test]
fn other_dead_devices_are_no_sign_of_a_wrong_environment() {
    let mut batch = sealed(terms(), 2, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    let gone = told(Verdict::DropDevice, 410, "Unregistered", 0..500);
    batch.settle(0, work.until, &gone, true, BEGIN);
    assert_eq!(batch.record().state, State::Running);
}

#[test]
fn bad_tokens_are_looked_for_at_the_start_alone() {
    let mut batch = under_way(terms(), 3, 500);
    for number in [1, 2] {
        let work = batch.claim(number, BEGIN).unwrap();
        batch.settle(number, work.until, &bad_tokens(0..400), false, BEGIN);
        assert_eq!(batch.record().state, State::Running);
    }
}

#[test]
fn who_resumes_after_bad_tokens_wants_them_sent_whatever_is_forgotten_in_between() {
    let mut batch = sealed(terms(), 4, 500);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &bad_tokens(0..200), false, BEGIN);
    assert_eq!(
        batch.record().paused.as_ref().unwrap().by,
        PausedBy::BadDeviceTokens
    );
    batch.resume(BEGIN);
    let rows = vec![(0, batch.progress(0).unwrap().clone())];
    let mut batch = Batch::load(batch.record().clone(), sizes(4, 500), rows);
    batch.settle(0, work.until, &bad_tokens(200..500), true, BEGIN);
    assert_eq!(batch.record().state, State::Running);
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
    batch.guard.probe();
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
