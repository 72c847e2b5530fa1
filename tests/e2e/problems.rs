//! Problems of invalid requests, which say what to correct.

use serde_json::{Value, json};

use crate::caller;
use crate::deployment::Caller;
use crate::test_env::TestEnv;

/// The largest body.
const MAX_BODY: usize = 4 * 1024 * 1024;

#[test]
fn who_calls_must_say_so_with_a_known_key() {
    let env = TestEnv::shared();
    let known = Caller::Both.key();
    for (method, path) in [
        ("POST", "/v1/push"),
        ("POST", "/v1/preview"),
        ("GET", "/v1/doctor"),
    ] {
        let wrong = [
            None,
            Some("Bearer nonsense".to_owned()),
            Some("Bearer ".to_owned()),
            Some(format!("Basic {known}")),
            Some(format!("Bearer {}", &known[1..])),
        ];
        for value in wrong {
            let headers: Vec<(&str, &str)> = value
                .iter()
                .map(|value| ("authorization", value.as_str()))
                .collect();
            let answer = caller::call(method, &env.worker.url(path), &headers, b"");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            answer.problem(401, "unauthenticated");
        }
    }
}

#[test]
fn a_path_that_is_not_there_is_404_and_a_wrong_method_405() {
    let env = TestEnv::shared();
    for path in ["/", "/v1", "/v1/pushes", "/v1/push/"] {
        env.get(path).problem(404, "not-found");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/push", "POST"),
        ("DELETE", "/v1/push", "POST"),
        ("PUT", "/v1/preview", "POST"),
        ("POST", "/v1/doctor", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let answer = env.call(Caller::Both, method, path, &[], b"");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        answer.problem(405, "method-not-allowed");
    }
}

#[test]
fn a_body_over_its_limit_is_413_with_both_sizes_and_one_at_it_is_read() {
    let env = TestEnv::shared();
    let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2)).into_bytes();
    let problem = env
        .call(Caller::Shop, "POST", "/v1/preview", &[], &padded(MAX_BODY + 1))
        .problem(413, "body-too-large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains(&(MAX_BODY + 1).to_string()) && detail.contains(&MAX_BODY.to_string()),
        "{detail}"
    );
    for path in ["/v1/push", "/v1/preview"] {
        let problem = env
            .call(Caller::Shop, "POST", path, &[], &padded(MAX_BODY))
            .problem(422, "invalid-request");
        assert_eq!(problem["pointer"], "/notification");
    }
}

#[test]
fn a_body_that_is_not_json_is_400_with_line_and_column() {
    let env = TestEnv::shared();
    for (body, place) in [
        ("{\n  \"app\": shop\n}", "line 2 column 10"),
        ("", "it is empty"),
        (
            "{\"app\": \"shop\"",
            "it is cut off (EOF while parsing an object) at column 14",
        ),
    ] {
        let problem = env
            .call(Caller::Shop, "POST", "/v1/push", &[], body.as_bytes())
            .problem(400, "not-json");
        assert!(problem["detail"].as_str().unwrap().contains(place), "{problem}");
    }
    let problem = env.call(Caller::Shop, "POST", "/v1/push", &[], b"{\"app\": \"\xff\"}");
    problem.problem(400, "not-json");
}

#[test]
fn all_faults_of_a_body_are_told_at_once_each_with_its_pointer() {
    let env = TestEnv::shared();
    let token = env.device("problems, all");
    let body = json!({
        "ap": "shop",
        "notification": { "payload": { "aps": { "alert": 7, "badge": -1 } }, "expiration": "soon", "priority": 11, "colapse_id": "x" },
        "devices": [{ "token": &token, "reff": "a" }, { "ref": "b" }],
    });
    let send = |path| {
        let answer = env.call(Caller::Shop, "POST", path, &[], body.to_string().as_bytes());
        answer.problem(422, "invalid-request")
    };
    let problem = send("/v1/push");
    let pointers: Vec<&Value> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    for expected in [
        "/ap",
        "/notification/colapse_id",
        "/notification/priority",
        "/notification/expiration",
    ] {
        assert!(pointers.contains(&&json!(expected)), "{problem}");
    }
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("did you mean `app`?") && detail.contains("did you mean `collapse_id`?"),
        "{detail}"
    );
    assert_eq!(send("/v1/preview"), problem);
    assert!(env.requests_to(&token).is_empty());
}

#[test]
fn an_answer_is_never_stored_on_its_way() {
    let env = TestEnv::shared();
    for path in ["/healthz", "/v1/doctor", "/nothing"] {
        assert_eq!(env.get(path).header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(env.get("/healthz").with_status(200), json!({ "status": "ok" }));
}
