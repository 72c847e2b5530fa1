//! What pauses a batch automatically.

use apns_mock::{Fault, Options};
use serde_json::Value;

use super::{Batch, assert_shown_once, requests, sale};
use crate::deployment::SHOP;
use crate::shared::over_each_transport;
use crate::test_env::{TestEnv, until};

over_each_transport! {
    a_credential_that_apns_refuses_pauses_its_batches_until_somebody_has_mended_it,
}

fn a_credential_that_apns_refuses_pauses_its_batches_until_somebody_has_mended_it(transport: &str) {
    let env = TestEnv::isolated(Options::default(), &[("TRANSPORT", transport)]);
    let devices = env.devices(&SHOP, "batches, credential", 40);
    let (waiting, sent) = devices.split_at(2);
    for device in waiting {
        let later = Fault {
            headers: vec![("retry-after".to_owned(), "600".to_owned())],
            ..Fault::answer(429, "TooManyRequests").times(1)
        };
        env.apns.fault(later.for_token(device)).unwrap();
    }
    let other = Batch::upload(&env, &sale(waiting));
    until("a batch that waits", || {
        other.status(&env)["counts"]["retrying"] == 2
    });

    assert!(env.apns.remove_key(SHOP.key_id));
    let batch = Batch::upload(&env, &sale(sent));
    let paused = |batch: &Batch| {
        let document = batch.once(&env, "paused");
        assert_eq!(document["paused"]["by"], "credential", "{document}");
        document["paused"]["detail"].as_str().unwrap().to_owned()
    };
    let detail = paused(&batch);
    assert!(detail.contains("InvalidProviderToken"), "{detail}");
    let detail = paused(&other);
    assert!(detail.contains("another batch"), "{detail}");
    let refused = requests(&env);
    let refused = sent
        .iter()
        .filter_map(|device| refused.get(device))
        .flatten()
        .count();
    // On a connection that has accepted the provider token before, all of them are in flight at once.
    assert!(
        refused > 0 && (refused < sent.len() || transport == "socket"),
        "{refused}"
    );
    let counts = &batch.status(&env)["counts"];
    let number = |name: &str| counts[name].as_u64().unwrap();
    let left = usize::try_from(number("waiting") + number("retrying")).unwrap();
    assert_eq!(left, sent.len(), "none has ended: {counts}");

    // The fault was not corrected, so it pauses again.
    batch.tell(&env, "resume").with_status(200);
    paused(&batch);
    env.apns.add_key(SHOP.key()).unwrap();
    assert_eq!(batch.tell(&env, "resume").with_status(200)["paused"], Value::Null);
    batch.once_accepted(&env);
    assert_shown_once(&env, sent);
    let all = requests(&env);
    for device in sent {
        let accepted = all[device].iter().filter(|request| request.status == 200);
        assert_eq!(accepted.count(), 1);
    }
    other.tell(&env, "resume").with_status(200);
    assert_eq!(
        other.tell(&env, "cancel").with_status(200)["counts"]["cancelled"],
        2
    );
    env.take_violations();
}
