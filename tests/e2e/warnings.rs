//! Warnings in every answer: payloads that are sent although devices do not handle them well.

use serde_json::{Value, json};

use crate::deployment::{Caller, SHOP};
use crate::shared::over_both_transports;
use crate::test_env::TestEnv;

over_both_transports! {
    the_same_warnings_are_in_each_answer_and_the_push_is_sent,
}

const LINES: &str = "application/x-ndjson";

fn the_same_warnings_are_in_each_answer_and_the_push_is_sent(env: &TestEnv) {
    let devices = env.devices(&SHOP, "warnings", 2);
    let payload = json!({ "aps": { "alert": "Sale", "badge": -1 } });
    let mut head = json!({ "app": "shop", "notification": { "payload": payload } });
    let own = json!({ "token": devices[1], "payload": { "order": [null] } });
    let lines = format!("{head}\n{}\n{own}\n", json!({ "token": devices[0] }));
    let expected = |line: u32| {
        json!([
            { "code": "wrong_value", "pointer": "/notification/payload/aps/badge", "detail": "should be an integer from 0" },
            {
                "code": "null_value", "pointer": "/payload/order/0", "count": 1, "lines": [line],
                "detail": "is null: devices drop a notification that has null in it; leave it out",
            },
        ])
    };

    head["devices"] = json!([{ "token": devices[0] }, own]);
    assert_eq!(env.push(&head)["warnings"], expected(2));
    assert_eq!(
        env.post("/v1/preview", &head).with_status(200)["warnings"],
        expected(2)
    );
    let sent: Value = serde_json::from_str(&env.requests_to(&devices[0])[0].body).unwrap();
    assert_eq!(sent, payload);

    let send = |headers: &[(&str, &str)]| {
        let headers = [&[("content-type", LINES)], headers].concat();
        env.call(Caller::Both, "POST", "/v1/push", &headers, lines.as_bytes())
    };
    let text = send(&[("accept", LINES)]).with_status(200);
    let last = text.as_str().unwrap().lines().last().unwrap().to_owned();
    assert_eq!(
        serde_json::from_str::<Value>(&last).unwrap()["warnings"],
        expected(3)
    );

    let accepted = send(&[("prefer", "respond-async")]).with_status(202);
    assert_eq!(accepted["warnings"], expected(3));
    let path = format!("/v1/batches/{}", accepted["id"].as_str().unwrap());
    assert_eq!(env.get(&path).with_status(200)["warnings"], expected(3));

    head["strict"] = json!(true);
    let problem = env.post("/v1/push", &head).problem(422, "invalid-request");
    let errors = problem["errors"].as_array().unwrap().iter();
    let mut pointers: Vec<&str> = errors.map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/devices/1/payload/aps/badge",
            "/devices/1/payload/order/0",
            "/notification/payload/aps/badge"
        ]
    );
}
