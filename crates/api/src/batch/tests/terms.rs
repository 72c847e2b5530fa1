use super::*;

/// Returns the terms of a batch whose upload has this header.
fn terms(head: &Value) -> Terms {
    use crate::fixture::{caller, config};
    use crate::format::Format;
    use crate::upload::Upload;
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

/// Returns whether pushes with this notification may be repeated, and whether they get generated collapse
/// ids.
fn repeated(notification: &Value) -> (bool, bool) {
    let terms = terms(&json!({"notification": notification}));
    (terms.repeatable, terms.collapse_repeats)
}

#[test]
fn only_what_a_collapse_id_merges_is_repeated_and_gets_one() {
    let alert = json!({"aps": {"alert": "Hi"}});
    assert_eq!(repeated(&json!({"payload": alert})), (true, true));
    let silent = json!({"aps": {"content-available": 1}});
    let changed = json!({"aps": {"content-changed": true}});
    for (push_type, payload) in [
        ("voip", alert.clone()),
        ("background", silent),
        ("pushtotalk", json!({"aps": {}})),
        ("location", json!({"aps": {}})),
        ("complication", json!({"data": 1})),
        ("widgets", changed.clone()),
        ("controls", changed),
        ("fileprovider", json!({"container-identifier": "a"})),
        ("mdm", json!({"mdm": "magic"})),
    ] {
        let notification = json!({"payload": payload, "push_type": push_type});
        assert_eq!(repeated(&notification), (false, false), "{push_type}");
        let mut own = notification;
        own["collapse_id"] = json!("id");
        assert_eq!(repeated(&own), (false, false), "{push_type}, with an id");
    }
}

#[test]
fn a_live_activitys_state_is_repeated_and_its_start_and_alerts_are_not() {
    let aps = |event: &str| json!({"event": event, "timestamp": 1, "content-state": {}});
    let notification = |aps: &Value| json!({"payload": {"aps": aps}, "push_type": "liveactivity"});
    for event in ["update", "end"] {
        assert_eq!(repeated(&notification(&aps(event))), (true, false), "{event}");
        let mut alert = aps(event);
        alert["alert"] = json!({"title": "Goal", "body": "1:0"});
        assert_eq!(repeated(&notification(&alert)), (false, false), "{event}");
    }
    let start = json!({
        "event": "start", "timestamp": 1, "content-state": {}, "attributes-type": "Match", "attributes": {},
        "alert": {"title": "Match", "body": "It begins"},
    });
    assert_eq!(repeated(&notification(&start)), (false, false));
}

#[test]
fn an_expiration_of_zero_is_one_attempt() {
    let alert = json!({"aps": {"alert": "Hi"}});
    let terms = terms(&json!({
        "notification": {"payload": alert, "expiration": 0, "collapse_id": "mine"},
        "batch": {"retry_for": "6h"},
    }));
    assert!(terms.one_attempt && !terms.repeatable && terms.expires_at.is_none());
    assert_eq!(terms.retry_for_ms, 30_000);
}
