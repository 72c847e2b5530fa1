//! Objects and servers that never answer.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use apns_mock::Options;

use crate::batches::{Batch, sale};
use crate::deployment::{self, Caller, SHOP};
use crate::test_env::TestEnv;

#[test]
fn an_object_that_hangs_holds_up_no_batch_and_its_caller_is_told_within_the_limit_of_a_call() {
    let mut env = TestEnv::isolated(Options::default(), &[]);
    env.kill();
    env.wrap(include_str!("hanging_registry.mjs"));
    env.restart();
    let devices = env.devices(&SHOP, "hanging registry", 20);
    let asked = Instant::now();
    let batch = Batch::upload(&env, &sale(&devices));
    batch.once_accepted(&env);
    assert!(
        asked.elapsed() < CALL_LIMIT,
        "the batch waited for its registry: {:?}",
        asked.elapsed()
    );
    let asked = Instant::now();
    let list = env.get("/v1/batches");
    let waited = asked.elapsed();
    assert_eq!(list.status, 503, "{}", list.body);
    assert!(waited >= CALL_LIMIT - Duration::from_secs(1), "{waited:?}");
    assert!(waited < 2 * CALL_LIMIT, "{waited:?}");
}

#[test]
fn the_doctor_says_within_its_limit_that_apns_does_not_answer() {
    // It accepts connections and never answers.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silence.local_addr().unwrap().port();
    let origins = deployment::origins_at(port, port);
    let settings = [("APNS_ORIGINS", origins.as_str()), ("ATTEMPT_TIMEOUT_MS", "1000")];
    let env = TestEnv::isolated(Options::default(), &settings);
    let asked = Instant::now();
    let doctor = env
        .call(Caller::Shop, "GET", "/v1/doctor", &[], b"")
        .with_status(200);
    assert!(asked.elapsed() < DOCTOR_LIMIT, "{:?}", asked.elapsed());
    assert_eq!(doctor["healthy"], false, "{doctor}");
    let probes = doctor["probes"].as_array().unwrap();
    assert!(probes.iter().all(|probe| probe["ok"] == false), "{doctor}");
}

/// The limit of a call that an object answers from its rows.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// The limit of the probes, with some tolerance: opening a connection, and two attempts.
const DOCTOR_LIMIT: Duration = Duration::from_secs(20);
