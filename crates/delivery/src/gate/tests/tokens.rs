//! Which token a lease contains, in virtual time.

use super::super::tokens::PAUSE;
use super::*;
use apns::provider_token::{Bucket, REST};

#[test]
fn all_holders_of_a_bucket_get_the_same_token_until_the_next_takes_over() {
    let mut scene = Scene::new();
    let first = scene.lease(NOW);
    assert_eq!(first.valid_until, START_OF_BUCKET + BUCKET + CLOCK_SKEW);
    let last = scene.lease(first.valid_until - Duration::from_millis(1));
    assert_eq!(last.provider_token, first.provider_token);
    let next = scene.lease(first.valid_until);
    assert_eq!(next.provider_token.issued_at(), START_OF_BUCKET + BUCKET);
}

#[test]
fn a_token_first_shown_at_the_end_of_its_bucket_is_kept_past_it() {
    let mut scene = Scene::new();
    let late = START_OF_BUCKET + BUCKET + Duration::from_mins(1);
    let lease = scene.lease(late);
    assert_eq!(lease.provider_token.issued_at(), START_OF_BUCKET);
    assert_eq!(lease.valid_until, late + REST);
    assert_eq!(
        scene.lease(late + REST - Duration::from_millis(1)).provider_token,
        lease.provider_token
    );
    assert_ne!(scene.lease(late + REST).provider_token, lease.provider_token);
}

#[test]
fn the_rest_of_a_token_counts_from_when_apns_accepted_it() {
    let mut scene = Scene::new();
    let handed_out = START_OF_BUCKET + BUCKET - Duration::from_mins(1);
    let lease = scene.lease(handed_out);
    let accepted = handed_out + Duration::from_mins(2);
    scene.settle(&lease, accepted);
    assert_eq!(scene.lease(accepted).valid_until, accepted + REST);
}

#[test]
fn a_token_is_proven_once_a_holder_says_so() {
    let mut scene = Scene::new();
    let first = scene.lease(NOW);
    assert!(!scene.lease(NOW).proven);
    scene.settle(&first, NOW);
    assert!(scene.lease(NOW).proven);
}

#[test]
fn one_too_many_falls_back_to_the_token_before_for_all_holders() {
    let mut scene = Scene::new();
    let before = scene.lease(NOW);
    let later = NOW + BUCKET;
    let refused = scene.lease(later);
    let instead = scene.refused(too_many(&refused), later);
    let instead = lease_of(instead);
    assert_eq!(instead.provider_token, before.provider_token);
    assert_eq!(instead.valid_until, before.provider_token.usable_until());
    assert_eq!(scene.lease(later).provider_token, before.provider_token);
    let others_that_report_the_same = lease_of(scene.refused(too_many(&refused), later));
    assert_eq!(others_that_report_the_same.provider_token, before.provider_token);
    let afterwards = scene.lease(instead.valid_until);
    assert_eq!(afterwards.provider_token, refused.provider_token);
    assert!(!afterwards.proven);
}

#[test]
fn a_gate_that_never_had_the_token_before_signs_it_to_fall_back_on() {
    let mut scene = Scene::new();
    let refused = scene.lease(NOW);
    let instead = lease_of(scene.refused(too_many(&refused), NOW));
    assert_eq!(
        instead.provider_token.bucket(),
        refused.provider_token.bucket().previous()
    );
}

#[test]
fn a_refusal_of_the_last_token_stops_all_holders_for_a_while() {
    let mut scene = Scene::new();
    let newest = scene.lease(NOW);
    let before = lease_of(scene.refused(too_many(&newest), NOW));
    let Reply::Stopped { retry_after_ms, .. } = scene.refused(too_many(&before), NOW) else {
        panic!("a refused token was handed out again");
    };
    assert_eq!(retry_after_ms, millis(PAUSE));
    assert!(matches!(scene.step(LEASE, NOW), Reply::Stopped { .. }));
    let afterwards = lease_of(scene.step(LEASE, NOW + PAUSE));
    assert_eq!(afterwards.provider_token, before.provider_token);
    assert!(!afterwards.proven, "the first push goes alone");
}

#[test]
fn a_token_too_old_to_fall_back_on_is_not_handed_out() {
    let mut scene = Scene::new();
    let late = START_OF_BUCKET + Duration::from_mins(28);
    let refused = scene.lease(late);
    assert!(matches!(
        scene.refused(too_many(&refused), late),
        Reply::Stopped { .. }
    ));
}

#[test]
fn an_expired_token_is_replaced_by_the_newest() {
    let mut scene = Scene::new();
    let late = START_OF_BUCKET + BUCKET;
    let refused = scene.lease(late);
    let later = late + Duration::from_mins(10);
    assert_eq!(scene.lease(later).provider_token, refused.provider_token);
    let instead = lease_of(scene.refused(expired(&refused), later));
    assert_eq!(instead.provider_token.issued_at(), START_OF_BUCKET + BUCKET);
    let another = lease_of(scene.refused(expired(&refused), later));
    assert_eq!(another.provider_token, instead.provider_token);
}

#[test]
fn an_expired_newest_token_stops_all_holders_for_a_while() {
    let mut scene = Scene::new();
    let newest = scene.lease(NOW);
    let Reply::Stopped {
        retry_after_ms,
        problem,
    } = scene.refused(expired(&newest), NOW)
    else {
        panic!("the same token was handed out again");
    };
    assert_eq!(retry_after_ms, millis(PAUSE));
    assert!(problem.contains("clock"), "{problem}");
}

#[test]
fn refusals_of_every_kind_in_turn_end_in_a_stop() {
    let mut scene = Scene::new();
    let first = scene.lease(NOW);
    let now = NOW + BUCKET;
    let newest = scene.lease(now);
    let before = lease_of(scene.refused(too_many(&newest), now));
    assert_eq!(before.provider_token, first.provider_token);
    let newest_again = lease_of(scene.refused(expired(&before), now));
    assert_eq!(newest_again.provider_token, newest.provider_token);
    assert!(matches!(
        scene.refused(too_many(&newest), now),
        Reply::Stopped { .. }
    ));
}

#[test]
fn a_refusal_of_a_token_that_is_no_longer_sent_changes_nothing() {
    let mut scene = Scene::new();
    let old = scene.lease(NOW);
    let newest = scene.lease(NOW + BUCKET);
    for refusal in [too_many(&old), expired(&old)] {
        let lease = lease_of(scene.refused(refusal, NOW + BUCKET));
        assert_eq!(lease.provider_token, newest.provider_token);
    }
}

#[test]
fn an_evicted_gate_does_not_sign_again() {
    let mut scene = Scene::new();
    let before = scene.lease(NOW);
    // Signing again would give the same text. Only a text that no key signs shows that the stored one is
    // used.
    let stored = scene.gate.store().replace(before.provider_token.as_str(), "kept");
    scene.gate = Gate::load(Some(&stored), NOW).machine;
    assert_eq!(scene.lease(NOW).provider_token.as_str(), "kept");
    assert_ne!(scene.lease(NOW + BUCKET).provider_token.as_str(), "kept");
}

#[test]
fn a_clock_that_goes_back_over_the_end_of_a_bucket_changes_nothing() {
    let mut scene = Scene::new();
    let end = Bucket::at(NOW).ends_at();
    let lease = scene.lease(end);
    let back = scene.lease(end - CLOCK_SKEW * 2 + Duration::from_millis(1));
    assert_eq!(back.provider_token, lease.provider_token);
}

#[test]
fn a_mended_key_takes_effect_at_once() {
    let same_key_bent = RFC_6979_KEY.replace('\n', "\\n");
    let mut scene = Scene::new();
    scene.key = Ok("-----BEGIN PUBLIC KEY-----");
    let Reply::Unavailable { problem } = scene.step(LEASE, NOW) else {
        panic!("signed with no key");
    };
    assert!(
        problem.contains("TEAM123456/KEY1234567/production: this is a public key"),
        "{problem}"
    );
    scene.key = Err("APNS_KEY is not set");
    assert_eq!(
        scene.step(LEASE, NOW),
        Reply::Unavailable {
            problem: "APNS_KEY is not set".to_owned()
        }
    );
    scene.key = Ok(RFC_6979_KEY);
    let lease = scene.lease(NOW);
    scene.key = Ok(&same_key_bent);
    assert_eq!(scene.lease(NOW).provider_token, lease.provider_token);
}

#[test]
fn a_gate_that_lost_its_state_supposes_that_apns_knows_the_token() {
    let mut scene = Scene::new();
    scene.gate = Gate::load(Some("not what was stored"), NOW).machine;
    let late = Bucket::at(NOW).ends_at() - Duration::from_mins(1);
    let lease = scene.lease(late);
    assert_eq!(lease.valid_until, Bucket::at(NOW).ends_at());
    scene.settle(&lease, late);
    assert_eq!(scene.lease(late).valid_until, lease.valid_until);
    let next = scene.lease(lease.valid_until);
    assert_eq!(next.valid_until, Bucket::at(lease.valid_until).ends_at());
}
