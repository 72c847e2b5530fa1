//! Pushes that APNs does not accept at the first attempt.

use std::time::{SystemTime, UNIX_EPOCH};

use apns_mock::{Fault, FaultKind, Registration, Standing};
use serde_json::{Value, json};

use super::{Batch, all, assert_shown_once, head, lines, number, requests, sale};
use crate::deployment::SHOP;
use crate::shared::over_both_transports;
use crate::test_env::{TestEnv, until};

over_both_transports! {
    gone_devices_are_listed_with_their_moment_and_counted_by_reason,
    what_apns_refuses_for_now_or_does_not_answer_goes_out_again_in_rounds,
    a_notification_that_expires_before_apns_takes_it_is_given_up,
    a_start_full_of_bad_device_tokens_pauses_the_batch,
    a_wrong_topic_pauses_a_batch_that_has_pushes_left_and_no_device_is_gone,
}

fn gone_devices_are_listed_with_their_moment_and_counted_by_reason(env: &TestEnv) {
    let name = format!("batches, gone, {}", env.worker.authority());
    let mut devices = env.devices(&SHOP, &name, 6);
    devices.extend(env.tokens(&format!("{name}, unknown"), 1));
    env.register(Registration {
        tokens: devices[2..4].to_vec(),
        state: Standing::Unregistered,
        since: Some(1_795_420_800_000),
        ..Registration::device(SHOP.environment, SHOP.topic, "")
    });
    let batch = Batch::upload(env, &sale(&devices));
    let document = batch.once(env, "done");
    let counts = ["accepted", "rejected", "gone"].map(|name| document["counts"][name].clone());
    assert_eq!(counts, [json!(4), json!(3), json!(2)], "{document}");
    let reasons: Vec<Value> = document["reasons"].as_array().unwrap().clone();
    let mut told: Vec<(Value, Value, Value)> = reasons
        .iter()
        .map(|reason| {
            (
                reason["code"].clone(),
                reason["reason"].clone(),
                reason["count"].clone(),
            )
        })
        .collect();
    told.sort_by_key(|(code, ..)| code.as_u64());
    assert_eq!(
        told,
        [
            (json!(200), Value::Null, json!(4)),
            (json!(400), json!("BadDeviceToken"), json!(1)),
            (json!(410), json!("Unregistered"), json!(2)),
        ]
    );
    // One device per page.
    let gone = batch.pages(env, "gone?", 1).concat();
    assert_eq!(all(&gone, "ref"), ["user-2", "user-3"]);
    assert_eq!(all(&gone, "token"), [&*devices[2], &*devices[3]]);
    assert_eq!(all(&gone, "reason"), ["Unregistered", "Unregistered"]);
    assert_eq!(all(&gone, "since"), ["2026-11-23T08:00:00.000Z"; 2]);
    let suspect = batch.pages(env, "suspect?", 1).concat();
    assert_eq!(
        suspect,
        [json!({ "index": 6, "ref": "user-6", "token": devices[6], "reason": "BadDeviceToken" })]
    );
    let rejected = batch.pages(env, "receipts?status=rejected&", 2);
    assert_eq!(rejected.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(all(&rejected.concat(), "ref"), ["user-2", "user-3", "user-6"]);
    assert_eq!(
        all(&rejected.concat(), "verdict"),
        ["drop_device", "drop_device", "check_token"]
    );
}

fn what_apns_refuses_for_now_or_does_not_answer_goes_out_again_in_rounds(env: &TestEnv) {
    let name = format!("batches, rounds, {}", env.worker.authority());
    let devices = env.devices(&SHOP, &name, 5);
    let faults = [
        // More often than a runner retries by itself.
        Fault::answer(503, "ServiceUnavailable").times(4),
        // Longer than a runner waits.
        Fault {
            headers: vec![("retry-after".to_owned(), "4".to_owned())],
            ..Fault::answer(503, "ServiceUnavailable").times(1)
        },
        Fault {
            delivered: true,
            ..Fault::new(FaultKind::Silence).times(1)
        },
        Fault {
            headers: vec![("retry-after".to_owned(), "1".to_owned())],
            ..Fault::answer(429, "TooManyRequests").times(1)
        },
    ];
    for (fault, device) in faults.into_iter().zip(&devices) {
        env.apns.fault(fault.for_token(device)).unwrap();
    }
    let batch = Batch::upload(env, &sale(&devices));
    batch.once_accepted(env);
    let attempts: Vec<Value> = batch
        .receipts(env)
        .iter()
        .map(|receipt| receipt["attempts"].clone())
        .collect();
    assert_eq!(attempts, [5, 2, 2, 2, 1]);
    assert_shown_once(env, &devices);
    for (device, count) in devices.iter().zip([5, 2, 2, 2, 1]) {
        assert_eq!(env.requests_to(device).len(), count);
    }
    // The push without an answer had arrived, and was replaced by its repetition.
    assert_eq!(env.apns.device(&devices[2])[0].screen.replaced, 1);

    // Without a collapse id, a push with an unknown result is not repeated, because it would not replace
    // itself.
    let device = env.device(&format!("{name}, alone"));
    let lost = Fault {
        delivered: true,
        ..Fault::new(FaultKind::Silence).times(1)
    };
    env.apns.fault(lost.for_token(&device)).unwrap();
    let body = lines(
        &head(json!({ "collapse_repeats": false })),
        std::slice::from_ref(&device),
    );
    let batch = Batch::upload(env, &body);
    assert_eq!(batch.once(env, "done")["counts"]["failed"], 1);
    let receipt = &batch.receipts(env)[0];
    assert_eq!(
        (&receipt["status"], &receipt["reason"], &receipt["verdict"]),
        (&json!("failed"), &json!("DeadlinePassed"), &json!("unknown"))
    );
    assert_eq!(env.requests_to(&device).len(), 1);
}

fn a_notification_that_expires_before_apns_takes_it_is_given_up(env: &TestEnv) {
    let devices = env.devices(&SHOP, &format!("batches, expired, {}", env.worker.authority()), 3);
    for (fault, device) in [
        Fault::answer(503, "ServiceUnavailable"),
        Fault::new(FaultKind::Silence),
    ]
    .into_iter()
    .zip(&devices)
    {
        env.apns.fault(fault.for_token(device)).unwrap();
    }
    let mut head = head(json!({}));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    head["notification"]["expiration"] = json!(now + 6);
    let batch = Batch::upload(env, &lines(&head, &devices));
    let document = batch.once(env, "done");
    let counts = ["accepted", "failed"].map(|name| document["counts"][name].clone());
    assert_eq!(counts, [json!(1), json!(2)], "{document}");
    let receipts = batch.receipts(env);
    for (receipt, device) in receipts[..2].iter().zip(&devices) {
        assert_eq!(
            (&receipt["status"], &receipt["gave_up"]),
            (&json!("failed"), &json!("expired")),
            "{receipt}"
        );
        assert_eq!(receipt["attempts"], env.requests_to(device).len(), "{receipt}");
    }
}

fn a_start_full_of_bad_device_tokens_pauses_the_batch(env: &TestEnv) {
    let name = format!("batches, bad tokens, {}", env.worker.authority());
    let bad = env.tokens(&format!("{name}, bad"), 101);
    let good = env.devices(&SHOP, &name, 459);
    let tokens = [&bad[..], &good].concat();
    let batch = Batch::upload(env, &sale(&tokens));
    let document = batch.once(env, "paused");
    assert_eq!(document["paused"]["by"], "bad_device_tokens", "{document}");
    until("the end of what was in flight", || {
        batch.status(env)["counts"]["in_flight"] == 0
    });
    let counts = batch.status(env)["counts"].clone();
    assert_eq!(counts["rejected"], 101, "{counts}");
    assert!(number(&counts["waiting"]) >= 60, "{counts}");
    let sent = requests(env);
    assert!(tokens[500..].iter().all(|token| !sent.contains_key(token)));
    batch.tell(env, "resume").with_status(200);
    let document = batch.once(env, "done");
    assert_eq!(document["counts"]["accepted"], 459);
    assert_shown_once(env, &good);
}

fn a_wrong_topic_pauses_a_batch_that_has_pushes_left_and_no_device_is_gone(env: &TestEnv) {
    let name = format!("refusals, topic, {}", env.worker.authority());
    let foreign = |name: &str, count| {
        let tokens = env.tokens(name, count);
        env.register(Registration {
            tokens: tokens.clone(),
            ..Registration::device(SHOP.environment, "com.example.other", "")
        });
        tokens
    };
    let batch = Batch::upload(env, &sale(&foreign(&name, 600)));
    let document = batch.once(env, "paused");
    assert_eq!(document["paused"]["by"], "bad_device_tokens", "{document}");
    let detail = document["paused"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("DeviceTokenNotForTopic") && detail.contains("`topic`"),
        "{detail}"
    );
    assert_eq!(batch.pages(env, "gone?", 1000).concat(), [] as [Value; 0]);
    // The rest is sent nevertheless once the batch is resumed.
    batch.tell(env, "resume").with_status(200);
    let document = batch.once(env, "done");
    assert_eq!(
        document["suspect"],
        json!({ "reason": "DeviceTokenNotForTopic", "count": 600 })
    );
    assert_eq!(document["counts"]["gone"], 0);

    let batch = Batch::upload(env, &sale(&foreign(&format!("{name}, few"), 10)));
    let document = batch.once(env, "done");
    assert_eq!(
        document["suspect"],
        json!({ "reason": "DeviceTokenNotForTopic", "count": 10 })
    );
}
