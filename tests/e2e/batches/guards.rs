//! What pauses a batch by itself.

use apns_mock::{Fault, Options};
use serde_json::Value;

use super::{Batch, assert_shown_once, requests, sale};
use crate::deployment::SHOP;
use crate::shared::over_each_transport;
use crate::stage::{Stage, until};

over_each_transport! {
    a_credential_that_apns_refuses_pauses_its_batches_until_somebody_has_mended_it,
}

fn a_credential_that_apns_refuses_pauses_its_batches_until_somebody_has_mended_it(transport: &str) {
    let stage = Stage::alone(Options::default(), &[("TRANSPORT", transport)]);
    let devices = stage.devices(&SHOP, "batches, credential", 40);
    let (waiting, sent) = devices.split_at(2);
    for device in waiting {
        let later = Fault {
            headers: vec![("retry-after".to_owned(), "600".to_owned())],
            ..Fault::answer(429, "TooManyRequests").times(1)
        };
        stage.apns.fault(later.for_token(device)).unwrap();
    }
    let other = Batch::upload(&stage, &sale(waiting));
    until("a batch that waits", || {
        other.status(&stage)["counts"]["retrying"] == 2
    });

    assert!(stage.apns.remove_key(SHOP.key_id));
    let batch = Batch::upload(&stage, &sale(sent));
    let paused = |batch: &Batch| {
        let document = batch.once(&stage, "paused");
        assert_eq!(document["paused"]["by"], "credential", "{document}");
        document["paused"]["detail"].as_str().unwrap().to_owned()
    };
    let detail = paused(&batch);
    assert!(detail.contains("InvalidProviderToken"), "{detail}");
    let detail = paused(&other);
    assert!(detail.contains("another batch"), "{detail}");
    let refused = requests(&stage);
    let refused = sent
        .iter()
        .filter_map(|device| refused.get(device))
        .flatten()
        .count();
    // Over a connection whose provider token was taken before, all of them are under way at once.
    assert!(
        refused > 0 && (refused < sent.len() || transport == "socket"),
        "{refused}"
    );
    let counts = &batch.status(&stage)["counts"];
    let number = |name: &str| counts[name].as_u64().unwrap();
    let left = usize::try_from(number("waiting") + number("retrying")).unwrap();
    assert_eq!(left, sent.len(), "none has ended: {counts}");

    // Not mended: it stops again.
    batch.tell(&stage, "resume").with_status(200);
    paused(&batch);
    stage.apns.add_key(SHOP.key()).unwrap();
    assert_eq!(
        batch.tell(&stage, "resume").with_status(200)["paused"],
        Value::Null
    );
    batch.once_accepted(&stage);
    assert_shown_once(&stage, sent);
    let all = requests(&stage);
    for device in sent {
        let accepted = all[device].iter().filter(|request| request.status == 200);
        assert_eq!(accepted.count(), 1);
    }
    other.tell(&stage, "resume").with_status(200);
    assert_eq!(
        other.tell(&stage, "cancel").with_status(200)["counts"]["cancelled"],
        2
    );
    stage.take_violations();
}
