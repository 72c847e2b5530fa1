use super::*;

/// The terms of a batch whose upload has this head.
fn terms(head: &Value) -> Terms {
    use crate::api::fixture::{caller, config};
    use crate::api::format::Format;
    use crate::api::upload::Upload;
    let config = config();
    let format = Format {
        lines_in: true,
        lines_out: false,
    };
    let mut upload = Upload::new(caller(&config, "backend"), &config, format, NOW);
    upload.feed(format!("{head}\n{}", lines(1)).as_bytes()).unwrap();
    let finished = upload.finish().unwrap();
    let record = record(ID, &finished, &config.batches, NOW);
    assert_eq!(
        (record.app.as_str(), record.created_at, record.state),
        ("shop", NOW, State::Staging)
    );
    record.terms
}

#[test]
fn a_batch_is_sent_as_its_caller_says_and_its_deployment() {
    let alert = json!({"aps": {"alert": "Hi"}});
    let plain = terms(&json!({"notification": {"payload": alert}}));
    assert_eq!(
        (plain.rate, plain.weight, plain.retry_for_ms),
        (None, 1, 86_400_000)
    );
    assert_eq!(
        (plain.claim_ms, plain.keep_ms, plain.bad_token_percent),
        (120_000, 604_800_000, 20)
    );
    assert!(plain.repeatable && plain.collapse_repeats && plain.expires_at.is_none());
    let own = terms(&json!({"notification": {"payload": alert, "collapse_id": "x", "expiration": "1h"}}));
    assert!(own.repeatable && !own.collapse_repeats, "the caller's id does it");
    assert_eq!(own.expires_at, Some(NOW + Duration::from_secs(3600)));
    let off = json!({"notification": {"payload": alert, "expiration": 0}, "batch": {"collapse_repeats": false, "rate": 7}});
    let off = terms(&off);
    assert!(!off.repeatable && !off.collapse_repeats);
    assert_eq!((off.expires_at, off.rate), (None, Some(7)));
}
