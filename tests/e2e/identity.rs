//! The access of API keys: every route with the key of another app, keys that conflict, and names of any
//! kind.

use std::io::BufRead;

use api::route::{Route, TABLE};
use apns_mock::Options;
use serde_json::{Value, json};

use crate::caller::{self, Answer};
use crate::deployment::{App, Caller, NEWS, SHOP, digest};
use crate::test_env::TestEnv;

/// The answer to the key of `news` for something of `shop`.
enum Right {
    /// 403, or 404 as for something that does not exist.
    Refused,
    /// 200 with the caller's own objects only.
    OwnAlone,
    /// 409: the name is taken. Reveals nothing else.
    Taken,
    /// 422, as for a name that does not exist.
    Unknown,
    /// The route needs no key.
    Open,
}

/// Returns a row per route. The body is what the shop's own caller could send.
fn rows(batch: &str, audience: &str, campaign: &str, token: &str) -> Vec<(String, Right, String)> {
    let send_request = json!({ "app": SHOP.name, "notification": alert(), "devices": [{ "token": token }] });
    let send_request = send_request.to_string();
    let document = campaign_document(audience).to_string();
    let device = json!({ "token": token, "ref": "foreign" }).to_string();
    let refs = json!({ "refs": ["secret-ref"] }).to_string();
    let mut rows = Vec::new();
    let mut row = |route: String, right: Right, body: &str| rows.push((route, right, body.to_owned()));
    row("GET /healthz".to_owned(), Right::Open, "");
    row("GET /metrics".to_owned(), Right::Refused, "");
    row("POST /v1/push".to_owned(), Right::Refused, &send_request);
    row("POST /v1/preview".to_owned(), Right::Refused, &send_request);
    row("GET /v1/doctor".to_owned(), Right::OwnAlone, "");
    row("GET /v1/batches".to_owned(), Right::OwnAlone, "");
    for (method, below) in [
        ("GET", ""),
        ("GET", "/receipts"),
        ("GET", "/gone"),
        ("GET", "/suspect"),
        ("GET", "/events"),
        ("GET", "/deliveries"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("DELETE", ""),
    ] {
        row(format!("{method} /v1/batches/{batch}{below}"), Right::Refused, "");
    }
    row("GET /v1/audiences".to_owned(), Right::OwnAlone, "");
    let audience = format!("/v1/audiences/{audience}");
    row(format!("PUT {audience}"), Right::Taken, "{}");
    row(format!("GET {audience}"), Right::Refused, "");
    row(format!("GET {audience}/devices"), Right::Refused, "");
    row(format!("POST {audience}/devices"), Right::Refused, &device);
    row(format!("POST {audience}/devices/remove"), Right::Refused, &device);
    row(format!("DELETE {audience}/devices"), Right::Refused, &device);
    row(format!("POST {audience}/count"), Right::Refused, "{}");
    row("GET /v1/campaigns".to_owned(), Right::OwnAlone, "");
    row("POST /v1/campaigns".to_owned(), Right::Unknown, &document);
    let campaign = format!("/v1/campaigns/{campaign}");
    row(format!("GET {campaign}"), Right::Refused, "");
    row(format!("PUT {campaign}"), Right::Refused, &document);
    for below in ["schedule", "pause", "resume", "cancel"] {
        row(format!("POST {campaign}/{below}"), Right::Refused, "");
    }
    row(format!("POST {campaign}/test"), Right::Refused, &refs);
    row(format!("POST {campaign}/preview"), Right::Refused, &refs);
    row(format!("GET {campaign}/runs"), Right::Refused, "");
    row(format!("DELETE {campaign}"), Right::Refused, "");
    row(format!("DELETE {audience}"), Right::Refused, "");
    row("GET /v1/dead-letters".to_owned(), Right::Refused, "");
    row("DELETE /v1/dead-letters/7".to_owned(), Right::Refused, "");
    row("POST /v1/dead-letters/7/replay".to_owned(), Right::Refused, "");
    rows
}

/// Whether a path matches a pattern of the table.
fn is_of(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern
            .zip(path)
            .all(|(wanted, segment)| wanted.starts_with('{') || wanted == segment)
}

fn alert() -> Value {
    json!({ "payload": { "aps": { "alert": "a secret sale" } } })
}

fn campaign_document(audience: &str) -> Value {
    json!({ "name": "secret", "audience": audience, "notification": alert() })
}

fn upload(env: &TestEnv, key: &str, headers: &[(&str, &str)], app: &App, token: &str) -> Answer {
    let send_request = json!({ "app": app.name, "notification": alert(), "devices": [{ "token": token }] });
    let authorization = format!("Bearer {key}");
    let mut all = vec![
        ("authorization", authorization.as_str()),
        ("prefer", "respond-async"),
    ];
    all.extend_from_slice(headers);
    caller::call(
        "POST",
        &env.worker.url("/v1/push"),
        &all,
        send_request.to_string().as_bytes(),
    )
}

fn get(env: &TestEnv, key: &str, path: &str) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    caller::call("GET", &env.worker.url(path), &headers, b"")
}

#[test]
fn a_key_of_another_app_gets_no_data_by_any_route() {
    let env = TestEnv::shared();
    let token = env.device("identity, routes");
    let audience = "identity-secret";
    let put = json!({ "app": SHOP.name }).to_string();
    let path = format!("/v1/audiences/{audience}");
    env.call(Caller::Shop, "PUT", &path, &[], put.as_bytes())
        .with_status(201);
    let device = json!({ "token": token, "ref": "secret-ref" }).to_string();
    let lines = [("content-type", "application/x-ndjson")];
    env.call(
        Caller::Shop,
        "POST",
        &format!("{path}/devices"),
        &lines,
        device.as_bytes(),
    )
    .with_status(200);
    let campaign = env.post("/v1/campaigns", &campaign_document(audience));
    let campaign = campaign.with_status(201)["id"].as_str().unwrap().to_owned();
    let batch = upload(&env, &Caller::Shop.key(), &[], &SHOP, &token);
    let batch = batch.with_status(202)["id"].as_str().unwrap().to_owned();

    let rows = rows(&batch, audience, &campaign, &token);
    for entry in TABLE {
        let is_row = |(route, ..): &(String, Right, String)| {
            let (method, path) = route.split_once(' ').unwrap();
            method == entry.method && is_of(entry.path, path)
        };
        assert!(
            rows.iter().any(is_row),
            "no row for {} {}",
            entry.method,
            entry.path
        );
    }
    let hint = format!("{}…", &token[..4]);
    let hidden = [SHOP.topic, "secret", &token, &hint, &batch, &campaign];
    for (route, right, body) in &rows {
        let (method, path) = route.split_once(' ').unwrap();
        let answer = env.call(
            Caller::News,
            method,
            path,
            &lines_if_devices(path),
            body.as_bytes(),
        );
        let status = answer.status;
        match right {
            Right::Refused => assert!(matches!(status, 403 | 404), "{route}: {status}"),
            Right::OwnAlone | Right::Open => assert_eq!(status, 200, "{route}"),
            Right::Taken => assert_eq!(status, 409, "{route}"),
            Right::Unknown => assert_eq!(status, 422, "{route}"),
        }
        // A problem may repeat what the caller itself sent.
        let text = answer
            .body
            .to_string()
            .replace(audience, "")
            .replace("`shop`", "");
        for hidden in hidden {
            assert!(!text.contains(hidden), "{route} shows {hidden}: {text}");
        }
        let is_route = Route::find(method, path).is_ok();
        if is_route && !matches!(right, Right::Open) {
            let without = caller::call(method, &env.worker.url(path), &[], body.as_bytes());
            assert_eq!(without.status, 401, "{route} without a key");
        }
    }
    // Nothing was changed, and nothing sent.
    let shop = |path: &str| env.call(Caller::Shop, "GET", path, &[], b"");
    assert_eq!(shop(&path).with_status(200)["devices"], 1);
    assert_eq!(
        shop(&format!("/v1/campaigns/{campaign}")).with_status(200)["state"],
        "draft"
    );
    crate::test_env::until("the shop's own batch ends", || {
        shop(&format!("/v1/batches/{batch}")).with_status(200)["state"] == "done"
    });
    assert_eq!(env.requests_to(&token).len(), 1);
}

#[test]
fn a_campaign_for_another_apps_audience_is_refused_as_for_one_that_is_not_there() {
    let env = TestEnv::shared();
    let audience = "identity-hidden";
    let put = json!({ "app": SHOP.name }).to_string();
    env.call(
        Caller::Shop,
        "PUT",
        &format!("/v1/audiences/{audience}"),
        &[],
        put.as_bytes(),
    )
    .with_status(201);
    for (method, path) in [
        ("POST", "/v1/campaigns"),
        ("PUT", "/v1/campaigns/identity-of-my-own"),
    ] {
        let of = |audience: &str| {
            let document = campaign_document(audience).to_string();
            let answer = env.call(Caller::News, method, path, &[], document.as_bytes());
            assert_eq!(answer.status, 422, "{method} {path}");
            answer.body
        };
        assert_eq!(of(audience), of("identity-nobody"), "{method} {path}");
    }
}

fn lines_if_devices(path: &str) -> Vec<(&'static str, &'static str)> {
    let devices = path.ends_with("/devices") || path.ends_with("/remove");
    let lines = ("content-type", "application/x-ndjson");
    devices.then_some(lines).into_iter().collect()
}

#[test]
fn keys_that_clash_are_refused_and_named_and_all_others_work() {
    let key = |name: &str| digest(&format!("identity {name}"));
    let hash = |name: &str| digest(&key(name));
    let odd = " Größe\n裏方 ";
    let keys = json!([
        { "name": "backend", "sha256": hash("first"), "apps": [SHOP.name] },
        { "name": "backend", "sha256": hash("second"), "apps": [NEWS.name] },
        { "name": "one", "sha256": hash("shared"), "apps": "*" },
        { "name": "other", "sha256": hash("shared"), "apps": [NEWS.name] },
        { "name": "rotated", "sha256": [hash("old"), hash("new")], "apps": [SHOP.name] },
        { "name": odd, "sha256": hash("odd"), "apps": [SHOP.name] },
        { "name": "ops", "sha256": hash("ops"), "apps": "*" },
    ]);
    let env = TestEnv::isolated(Options::default(), &[("API_KEYS", &keys.to_string())]);
    let [first, second, third] = {
        let tokens = env.devices(&SHOP, "identity, clash", 3);
        <[String; 3]>::try_from(tokens).unwrap()
    };
    for clashing in ["first", "second", "shared"] {
        for answer in [
            upload(&env, &key(clashing), &[], &SHOP, &first),
            get(&env, &key(clashing), "/v1/batches"),
        ] {
            let problem = answer.problem(401, "unauthenticated");
            assert!(
                problem["detail"].as_str().unwrap().contains("API_KEYS"),
                "{problem}"
            );
        }
    }
    let doctor = get(&env, &key("ops"), "/v1/doctor").with_status(200);
    let named: Vec<&str> = doctor["api_key_faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        named,
        [
            "/API_KEYS/0/name",
            "/API_KEYS/1/name",
            "/API_KEYS/2/sha256",
            "/API_KEYS/3/sha256"
        ]
    );
    assert_eq!(doctor["healthy"], false);

    // Both keys of a rotated one are the same caller: the same Idempotency-Key is the same batch.
    let idempotent = [("idempotency-key", "identity")];
    let ids: Vec<String> = ["old", "new", "odd"]
        .iter()
        .map(|name| {
            let answer = upload(&env, &key(name), &idempotent, &SHOP, &second);
            answer.with_status(202)["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
    // Another caller has another batch, whatever its name contains.
    assert_ne!(ids[0], ids[2]);
    for path in ["", "/receipts"] {
        let path = format!("/v1/batches/{}{path}", ids[2]);
        assert_eq!(get(&env, &key("odd"), &path).status, 200);
    }
    let news = upload(&env, &key("odd"), &[], &NEWS, &third);
    let problem = news.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("unknown app `news`"));
}

#[test]
fn head_is_answered_with_the_headers_of_get_and_no_body() {
    let env = TestEnv::shared();
    let token = env.device("identity, head");
    let audience = "identity-head";
    let path = format!("/v1/audiences/{audience}");
    let put = json!({ "app": SHOP.name }).to_string();
    env.call(Caller::Both, "PUT", &path, &[], put.as_bytes())
        .with_status(201);
    let campaign = env.post("/v1/campaigns", &campaign_document(audience));
    let campaign = campaign.with_status(201)["id"].as_str().unwrap().to_owned();
    let batch = upload(&env, &Caller::Both.key(), &[], &SHOP, &token);
    let batch = batch.with_status(202)["id"].as_str().unwrap().to_owned();
    for entry in TABLE.iter().filter(|entry| entry.method == "GET") {
        let id = if entry.path.contains("campaigns") {
            &campaign
        } else {
            &batch
        };
        let path = entry.path.replace("{id}", id).replace("{name}", audience);
        let head = env.call(Caller::Both, "HEAD", &path, &[], b"");
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.body, Value::String(String::new()), "{path}");
        if !path.ends_with("/events") {
            let get = env.get(&path);
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
            assert_eq!(
                head.header("cache-control"),
                get.header("cache-control"),
                "{path}"
            );
        } else {
            assert_eq!(head.header("content-type"), Some("text/event-stream"));
        }
    }
    let missing = env.call(Caller::Both, "HEAD", "/v1/batches/7", &[], b"");
    assert_eq!(missing.status, 404);
    let wrong = env.call(Caller::Both, "HEAD", "/v1/push", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let unknown = caller::call("HEAD", &env.worker.url("/v1/batches"), &[], b"");
    assert_eq!(unknown.status, 401);
}

#[test]
fn a_key_watches_a_batch_sixteen_times_at_once_and_another_key_still_can() {
    let env = TestEnv::shared();
    let tokens = env.devices(&SHOP, "identity, watchers", 60);
    let devices: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    let send_request =
        json!({ "app": SHOP.name, "notification": alert(), "devices": devices, "batch": { "rate": 1 } });
    let id = env.post("/v1/push", &send_request).with_status(202)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = env.worker.url(&format!("/v1/batches/{id}/events"));
    let both = format!("Bearer {}", Caller::Both.key());
    let mut streams: Vec<_> = (0..16)
        .map(|_| caller::stream(&url, &[("authorization", &both)]).1)
        .collect();
    let refused = caller::call("GET", &url, &[("authorization", &both)], b"");
    assert!(refused.header("retry-after").is_some());
    refused.problem(429, "too-many-requests");
    let shop = format!("Bearer {}", Caller::Shop.key());
    let (content_type, _) = caller::stream(&url, &[("authorization", &shop)]);
    assert_eq!(content_type, "text/event-stream");
    let mut line = String::new();
    streams[15].read_line(&mut line).unwrap();
    assert_eq!(line, "event: progress\n");
    env.post(&format!("/v1/batches/{id}/cancel"), &Value::Null);
}
