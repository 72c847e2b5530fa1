//! Two apps of two teams, one in production and one in the sandbox, and which callers may send for them.

use std::thread;

use serde_json::{Value, json};

use crate::deployment::{App, Caller, NEWS, SHOP};
use crate::test_env::{TestEnv, header};

fn send_request(app: Option<&App>, tokens: &[String]) -> Value {
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    let mut send_request =
        json!({ "notification": { "payload": { "aps": { "alert": "Sale" } } }, "devices": devices });
    if let Some(app) = app {
        send_request["app"] = json!(app.name);
    }
    send_request
}

#[test]
fn two_teams_send_at_once_each_with_its_own_provider_token() {
    let env = TestEnv::shared();
    let sent = [SHOP, NEWS].map(|app| {
        let tokens = env.devices(&app, &format!("teams, {}", app.name), 30);
        (app, tokens)
    });
    let answers = thread::scope(|scope| {
        let both = sent
            .each_ref()
            .map(|(app, tokens)| scope.spawn(|| env.push(&send_request(Some(app), tokens))));
        both.map(|one| one.join().unwrap())
    });
    let mut provider_tokens = Vec::new();
    for ((app, tokens), answer) in sent.iter().zip(answers) {
        assert_eq!(answer["counts"]["accepted"], 30, "{answer}");
        for (token, result) in tokens.iter().zip(answer["results"].as_array().unwrap()) {
            let request = env.requests_to(token).remove(0);
            assert_eq!(request.environment, app.environment);
            assert_eq!(header(&request, "apns-topic"), Some(app.topic));
            provider_tokens.push(header(&request, "authorization").unwrap().to_owned());
            // Only the sandbox returns an id for the delivery log.
            assert_eq!(result["apns_unique_id"].is_string(), app.name == NEWS.name);
        }
    }
    provider_tokens.dedup();
    assert_eq!(provider_tokens.len(), 2);
    assert_ne!(provider_tokens[0], provider_tokens[1]);
}

#[test]
fn a_caller_reaches_its_apps_alone() {
    let env = TestEnv::shared();
    let tokens = [SHOP, NEWS].map(|app| env.devices(&app, &format!("reach, {}", app.name), 1));
    for (caller, app, tokens) in [(Caller::Shop, NEWS, &tokens[1]), (Caller::News, SHOP, &tokens[0])] {
        for path in ["/v1/push", "/v1/preview"] {
            let body = send_request(Some(&app), tokens).to_string();
            let answer = env.call(caller, "POST", path, &[], body.as_bytes());
            answer.problem(403, "forbidden");
        }
        assert!(env.requests_to(&tokens[0]).is_empty());
    }
    // An app that does not exist looks the same.
    let mut body = send_request(None, &tokens[0]);
    body["app"] = json!("nothing");
    env.post("/v1/push", &body).problem(403, "forbidden");
}

#[test]
fn who_reaches_one_app_need_not_name_it_and_who_reaches_two_must() {
    let env = TestEnv::shared();
    for (caller, app) in [(Caller::Shop, SHOP), (Caller::News, NEWS)] {
        let tokens = env.devices(&app, &format!("unnamed, {}", app.name), 1);
        let body = send_request(None, &tokens).to_string();
        let answer = env
            .call(caller, "POST", "/v1/push", &[], body.as_bytes())
            .with_status(200);
        assert_eq!(
            (&answer["app"], &answer["counts"]["accepted"]),
            (&json!(app.name), &json!(1))
        );
    }
    let tokens = env.devices(&SHOP, "unnamed, both", 1);
    let problem = env
        .post("/v1/push", &send_request(None, &tokens))
        .problem(422, "invalid-request");
    assert_eq!(problem["pointer"], "/app");
    assert!(
        problem["detail"].as_str().unwrap().contains("shop, news"),
        "{problem}"
    );
}
