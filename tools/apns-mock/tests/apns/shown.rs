//! What devices show, and which requests are recorded.

use apns_mock::{Environment, Options, Record, Summary};

use crate::support::{Harness, ID, TOKEN, TOPIC};

#[tokio::test]
async fn a_repeat_with_the_same_collapse_id_shows_once() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    for (collapse_id, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
        let push = harness
            .push()
            .set("apns-collapse-id", collapse_id)
            .set("apns-priority", "5");
        client
            .push(&push.body(format!(r#"{{"n":{text}}}"#)))
            .await
            .unwrap();
    }
    client
        .push(&harness.push().set("apns-expiration", "7"))
        .await
        .unwrap();

    let screen = &harness.server.device(TOKEN)[0].screen;
    assert_eq!((screen.count, screen.replaced), (3, 1));
    let [second, third, fourth] = &screen.notifications[..] else {
        panic!("{screen:?}")
    };
    assert_eq!((second.payload.as_str(), second.replaced), (r#"{"n":2}"#, 0));
    assert_eq!((third.payload.as_str(), third.replaced), (r#"{"n":3}"#, 1));
    assert_eq!((third.collapse_id.as_deref(), third.priority), (Some("a"), 5));
    assert_eq!(
        (
            fourth.apns_id.as_str(),
            fourth.topic.as_str(),
            fourth.push_type.as_str()
        ),
        (ID, TOPIC, "alert")
    );
    assert_eq!((fourth.expiration, fourth.priority), (Some(7), 10));
    let expected = Summary {
        devices: 1,
        shown: 3,
        replaced: 1,
        max_shown_on_one_device: 3,
    };
    assert_eq!(harness.server.shown(), expected);
    assert_eq!(harness.server.state().replaced, 1);
}

#[tokio::test]
async fn each_way_of_recording_remembers_what_it_says() {
    for (record, count, contents, requests) in [
        (Record::None, 0, vec![], 0),
        (Record::Count, 2, vec![], 0),
        (Record::Last, 2, vec!["{}"], 2),
        (Record::All, 2, vec![r#"{"aps":{"alert":"hello"}}"#, "{}"], 2),
    ] {
        let harness = Harness::with(Options {
            record,
            ..Options::default()
        })
        .await;
        let client = harness.client().await;
        client.push(&harness.push()).await.unwrap();
        client.push(&harness.push().body("{}")).await.unwrap();
        let screen = &harness.server.device(TOKEN)[0].screen;
        let payloads: Vec<_> = screen
            .notifications
            .iter()
            .map(|shown| shown.payload.as_str())
            .collect();
        assert_eq!((screen.count, payloads), (count, contents), "{record:?}");
        assert_eq!(harness.server.requests(10).len(), requests, "{record:?}");
        assert_eq!(harness.server.state().accepted, 2, "{record:?}");
    }
}

#[tokio::test]
async fn requests_are_kept_word_for_word_the_last_of_them_only() {
    let harness = Harness::with(Options {
        requests_kept: 2,
        ..Options::default()
    })
    .await;
    let client = harness.client().await;
    for n in 0..3 {
        client
            .push(
                &harness
                    .push()
                    .set("apns-priority", "5")
                    .body(format!(r#"{{"n":{n}}}"#)),
            )
            .await
            .unwrap();
    }
    client.push(&harness.push().to("ee").body("{}")).await.unwrap();
    let requests = harness.server.requests(10);
    let bodies: Vec<_> = requests.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies, [r#"{"n":2}"#, "{}"]);
    assert_eq!((requests[0].status, requests[1].status), (200, 400));
    assert_eq!(requests[1].reason, "BadDeviceToken");
    assert_eq!(
        (requests[0].environment, requests[0].protocol),
        (Environment::Production, "h2")
    );
    assert_eq!(
        (requests[0].method.as_str(), &requests[0].path),
        ("POST", &format!("/3/device/{TOKEN}"))
    );
    let names: Vec<_> = requests[0]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "authorization",
            "apns-id",
            "apns-topic",
            "apns-push-type",
            "apns-priority"
        ]
    );
    assert_eq!(harness.server.requests(1).len(), 1);
}

#[tokio::test]
async fn counters_add_up_and_a_reset_clears_them() {
    let harness = Harness::new().await;
    let client = harness.client().await;
    client.push(&harness.push()).await.unwrap();
    client.push(&harness.push().to("ee")).await.unwrap();
    client
        .push(&harness.push().set("apns-priority", "2"))
        .await
        .unwrap();
    let state = harness.server.state();
    assert_eq!(
        (
            state.requests,
            state.accepted,
            state.devices,
            state.provider_tokens
        ),
        (3, 1, 1, 1)
    );
    assert_eq!(
        (state.connections, state.connections_h2, state.connections_h1),
        (1, 1, 0)
    );
    assert_eq!(state.body_bytes, 3 * harness.push().body.len() as u64);
    let answers: Vec<_> = state
        .answers
        .iter()
        .map(|a| (a.status, a.reason.as_str(), a.count))
        .collect();
    assert_eq!(
        answers,
        [(200, "", 1), (400, "BadDeviceToken", 1), (400, "BadPriority", 1)]
    );
    assert_eq!(state.violations_total, 1);

    harness.server.reset(false, false);
    let state = harness.server.state();
    assert_eq!(
        (state.requests, state.accepted, state.violations_total),
        (0, 0, 0)
    );
    assert_eq!(
        (state.connections_open, state.devices, harness.shown()),
        (1, 1, 1)
    );
    harness.server.reset(true, true);
    assert_eq!((harness.shown(), harness.server.state().provider_tokens), (0, 0));
}
