//! An unreachable APNs server.

use apns_mock::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::test_env::{TestEnv, until};

fn send_request(tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    json!({ "app": "shop", "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices })
}

#[test]
fn pushes_to_a_server_that_is_gone_are_unknown_and_the_doctor_says_so() {
    let env = TestEnv::isolated(Options::default(), &[]);
    let tokens = env.devices(&SHOP, "network", 3);
    let doctor = env
        .call(Caller::Shop, "GET", "/v1/doctor", &[], b"")
        .with_status(200);
    assert_eq!(doctor["healthy"], true);

    // The system accepts the connection and closes it at once, so it is unknown whether anybody has read what
    // was sent.
    let refuse = Fault {
        delay_ms: Some(600_000),
        ..Fault::new(FaultKind::RefuseConnections)
    };
    let close = Fault {
        now: true,
        ..Fault::new(FaultKind::Close)
    };
    env.apns.fault(refuse).unwrap();
    env.apns.fault(close).unwrap();
    let answer = env.push(&send_request(&tokens[..1]));
    let result = &answer["results"][0];
    assert_eq!(
        (&result["code"], &result["status"]),
        (&json!(0), &json!("failed")),
        "{result}"
    );
    assert_eq!(env.requests_to(&tokens[0]).len(), 0);

    // Nobody listens. workerd's `fetch` does not distinguish this from a broken connection, so the Worker
    // cannot say that nothing was sent. It retries pushes that replace themselves on the device, and leaves
    // the others to the caller.
    env.apns.stop();
    let mut send_request = send_request(&tokens);
    for (attempts, collapse_id) in [(1, Value::Null), (3, json!("sale"))] {
        if !collapse_id.is_null() {
            send_request["notification"]["collapse_id"] = collapse_id;
        }
        let answer = env.push(&send_request);
        assert_eq!(answer["counts"]["failed"], 3, "{answer}");
        for result in answer["results"].as_array().unwrap() {
            let outcome = ["code", "reason", "verdict", "attempts"].map(|field| result[field].clone());
            assert_eq!(
                outcome,
                [
                    json!(0),
                    json!("ConnectionLost"),
                    json!("unknown"),
                    json!(attempts)
                ]
            );
        }
    }
    // The doctor repeats its results for some seconds.
    until("the doctor finds out", || {
        let doctor = env.call(Caller::Shop, "GET", "/v1/doctor", &[], b"");
        let doctor = doctor.with_status(200);
        let probe = &doctor["probes"][0];
        doctor["healthy"] == false
            && (&probe["ok"], &probe["answer"]) == (&json!(false), &json!("ConnectionLost"))
    });
}
