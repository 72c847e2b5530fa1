//! Connections that break while a chunk is sent, or cannot be opened.

use std::time::Duration;

use apns_mock::{Fault, FaultKind, LastStream, Latency, Options};

use super::{Batch, assert_shown_once, sale};
use crate::deployment::SHOP;
use crate::shared::Shared;
use crate::test_env::TestEnv;

#[test]
fn what_is_on_a_connection_that_ends_goes_out_on_another_and_is_shown_once() {
    let env = Shared::by_wide_socket();
    let first = env.devices(&SHOP, "batches, links, first", 1);
    Batch::upload(&env, &sale(&first)).once_accepted(&env);
    // All pushes of a chunk are in flight at once.
    env.apns.set_latency(Latency::fixed(Duration::from_millis(100)));
    for (name, fault) in [
        ("closed", Fault::new(FaultKind::Close)),
        (
            "goodbye",
            Fault {
                last: LastStream::Before,
                ..Fault::new(FaultKind::GoAway)
            },
        ),
        ("reset", Fault::new(FaultKind::Reset)),
    ] {
        let devices = env.devices(&SHOP, &format!("batches, links, {name}"), 200);
        // Whether the pushes in flight had arrived is unknown.
        for (place, delivered) in [(100, true), (150, false)] {
            let fault = Fault {
                delivered,
                ..fault.clone()
            };
            env.apns.fault(fault.times(1).for_token(&devices[place])).unwrap();
        }
        let batch = Batch::upload(&env, &sale(&devices));
        batch.once_accepted(&env);
        assert_shown_once(&env, &devices);
    }
}

#[test]
fn a_batch_for_which_no_socket_opens_waits_until_one_does() {
    let settings = [
        ("TRANSPORT", "socket"),
        ("SOCKET_FALLBACK", "none"),
        ("MAX_CONNECTIONS", "1"),
    ];
    let env = TestEnv::isolated(Options::default(), &settings);
    let devices = env.devices(&SHOP, "batches, links, refused", 10);
    let refuse = |delay_ms| Fault {
        delay_ms: Some(delay_ms),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    env.apns.fault(refuse(600_000)).unwrap();
    let batch = Batch::upload(&env, &sale(&devices));
    env.log_with(r#""event":"connect_failed""#, 2);
    assert_eq!(batch.status(&env)["state"], "running");
    env.apns.fault(refuse(0)).unwrap();
    batch.once_accepted(&env);
    assert_shown_once(&env, &devices);
}
