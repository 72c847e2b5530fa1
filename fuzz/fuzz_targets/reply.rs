//! Any answer in place of APNs': it is read, judged and told to the caller without a rule being broken.

#![no_main]

use std::time::Duration;

use apns::time::Timestamp;
use apns::{Outcome, Reply};
use delivery::receipt::{Receipt, Status};
use delivery::verdict::{Verdict, judge};
use libfuzzer_sys::fuzz_target;

/// Status, `apns-id`, `apns-unique-id`, `retry-after`, body.
type Answer<'a> = (u16, Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a [u8]);

fuzz_target!(|answer: Answer<'_>| {
    let (status, id, unique_id, retry_after, body) = answer;
    let header = |name: &str| match name {
        "apns-id" => id,
        "apns-unique-id" => unique_id,
        "retry-after" => retry_after,
        _ => None,
    };
    let reply = Reply::read(status, header, body, Timestamp::default());
    assert_eq!(reply.status, status);
    for (kept, came) in [(&reply.apns_id, id), (&reply.apns_unique_id, unique_id)] {
        assert!(
            kept.as_deref()
                .is_none_or(|kept| kept.len() <= 64 && Some(kept) == came)
        );
    }
    assert!(reply.since.is_none() || status == 410);
    assert!(reply.reason.is_none() || status != 200);
    assert!(
        reply
            .reason
            .as_ref()
            .is_none_or(|reason| reason.as_str().chars().count() <= 100)
    );

    let from_apns = reply.is_from_apns();
    let outcome = Outcome::Answered(reply);
    let verdict = judge(&outcome);
    assert_eq!(verdict == Verdict::Accepted, status == 200);
    if !from_apns {
        // What stands between us and APNs can neither take a push nor know a device.
        assert!(
            matches!(verdict, Verdict::Unknown | Verdict::Retry(_)),
            "{verdict:?}"
        );
    }

    let receipt = Receipt {
        push: 0,
        outcome,
        verdict,
        retry_after: None,
        attempts: 1,
        one_attempt: false,
        latency: Duration::ZERO,
    };
    assert_eq!(receipt.reason().is_none(), status == 200);
    assert_eq!(receipt.status() == Status::Accepted, status == 200);
});
