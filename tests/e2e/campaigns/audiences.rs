//! Audiences: import, count, export, and removal.

use serde_json::{Value, json};

use super::{Audience, LINES, LONG_AGO, lines, send, soon};
use crate::deployment::{Caller, SHOP};
use crate::test_env::TestEnv;

#[test]
fn what_goes_in_comes_out_and_bad_lines_are_told() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "in-and-out", 3);
    let devices = env.tokens("audiences, in and out", 40);
    let imported = lines(
        &devices,
        |place| json!({"locale": "de-AT", "time_zone": "Europe/Vienna", "tags": ["a", "b"], "attributes": {"n": place, "vip": true}}),
    );
    let bad = "{\"token\":\"no token\"}\nno json\n{\"token\":\"00\",\"environment\":\"sandbox\"}\n";
    let answer = audience.import(&env, &format!("{imported}{bad}"));
    assert_eq!(
        (
            &answer["received"],
            &answer["added"],
            &answer["updated"],
            &answer["invalid"]
        ),
        (&json!(43), &json!(40), &json!(0), &json!(3)),
        "{answer}"
    );
    let places: Vec<&Value> = answer["invalid_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["line"])
        .collect();
    assert_eq!(places, [&json!(41), &json!(42), &json!(43)]);
    assert!(!answer.to_string().contains("no token"), "{answer}");

    // Importing the same again changes nothing, and an export can be imported.
    let again = audience.import(&env, &imported);
    assert_eq!((&again["added"], &again["updated"]), (&json!(0), &json!(40)));
    let mut out = audience.devices(&env);
    out.sort_by_key(|line| line["attributes"]["n"].as_u64());
    assert_eq!(out.len(), 40);
    assert_eq!(out[7]["token"], devices[7]);
    assert_eq!(out[7]["tags"], json!(["a", "b"]));
    assert_eq!(out[7]["attributes"], json!({"n": 7, "vip": true}));
    let text: String = out.iter().map(|line| format!("{line}\n")).collect();
    let again = audience.import(&env, &text);
    assert_eq!((&again["updated"], &again["invalid"]), (&json!(40), &json!(0)));

    // In pages, each device is returned once.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = env
            .get(&audience.path(&format!("/devices?limit=7{cursor}")))
            .with_status(200);
        let mut page = super::parse(body.as_str().unwrap());
        let last = page.pop().unwrap();
        assert!(page.len() <= 7);
        paged.extend(
            page.into_iter()
                .map(|line| line["token"].as_str().unwrap().to_owned()),
        );
        let Some(next) = last["cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    paged.sort();
    let mut expected = devices.clone();
    expected.sort();
    assert_eq!(paged, expected);
}

#[test]
fn csv_is_read_and_segments_count() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "segments", 2);
    let tokens = env.tokens("audiences, segments", 6);
    let mut csv = String::from("token,ref,locale,tags,attributes.first_name,attributes.age,registered_at\n");
    for (place, token) in tokens.iter().enumerate() {
        let locale = if place % 2 == 0 { "de-AT" } else { "en" };
        csv.push_str(&format!(
            "{token},user-{place},{locale},news;t{place},\"O'Neil, \"\"{place}\"\"\",,{LONG_AGO}\n"
        ));
    }
    let headers = [("content-type", "text/csv")];
    let path = audience.path("/devices");
    let answer = env
        .call(Caller::Both, "POST", &path, &headers, csv.as_bytes())
        .with_status(200);
    assert_eq!(
        (&answer["added"], &answer["invalid"]),
        (&json!(6), &json!(0)),
        "{answer}"
    );
    for (segment, count) in [
        (json!({"eq": {"language": "de"}}), 3),
        (json!({"in": {"tags": ["t1", "t2"]}}), 2),
        (json!({"not": {"eq": {"locale": "en"}}}), 3),
        (json!({"eq": {"attributes.first_name": "O'Neil, \"4\""}}), 1),
        (json!({"exists": "attributes.age"}), 0),
        (json!({"after": {"registered_at": "2025-01-01T00:00:00Z"}}), 0),
        (
            json!({"all": [{"eq": {"tags": "news"}}, {"any": [{"eq": {"ref": "user-0"}}, {"eq": {"ref": "user-1"}}]}]}),
            2,
        ),
        (json!({"eq": {"ref": "x' OR '1'='1"}}), 0),
    ] {
        assert_eq!(audience.count(&env, &segment), count, "{segment}");
    }
    let problem = env.post(&audience.path("/count"), &json!({"segment": {"eq": {"ages": 1}}}));
    problem.problem(422, "invalid-request");

    let removed = format!(
        "{{\"token\":\"{}\"}}\n{{\"ref\":\"user-1\"}}\n{{\"ref\":\"nobody\"}}\n",
        tokens[0]
    );
    let headers = [("content-type", LINES)];
    let answer = env
        .call(Caller::Both, "DELETE", &path, &headers, removed.as_bytes())
        .with_status(200);
    assert_eq!(
        (&answer["received"], &answer["removed"]),
        (&json!(3), &json!(2)),
        "{answer}"
    );
    assert_eq!(audience.status(&env)["devices"], 4);
    // For clients and proxies that send no body with a DELETE.
    let path = audience.path("/devices/remove");
    let answer = env.call(Caller::Both, "POST", &path, &headers, b"{\"ref\":\"user-2\"}\n");
    assert_eq!(answer.with_status(200)["removed"], 1);
    assert_eq!(audience.status(&env)["devices"], 3);
}

#[test]
fn an_audience_is_its_apps_alone_and_its_shape_is_fixed() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "fixed", 2);
    let path = audience.path("");
    send(&env, "PUT", &path, &json!({"app": "shop", "shards": 2})).with_status(200);
    send(&env, "PUT", &path, &json!({"app": "shop", "shards": 3})).problem(409, "audience-conflict");
    env.call(Caller::News, "GET", &path, &[], b"")
        .problem(404, "audience-not-found");
    let listed = |caller| {
        let answer = env
            .call(caller, "GET", "/v1/audiences", &[], b"")
            .with_status(200);
        let mut names = answer["audiences"].as_array().unwrap().iter();
        names.any(|audience| audience["name"] == "fixed")
    };
    assert!(listed(Caller::Shop) && !listed(Caller::News));
    let headers = [("content-type", LINES)];
    env.call(Caller::News, "POST", &audience.path("/devices"), &headers, b"")
        .problem(404, "audience-not-found");

    let campaign = super::Campaign::create(
        &env,
        &json!({
            "name": "Later", "audience": "fixed", "notification": {"payload": {"aps": {"alert": "x"}}},
            "schedule": {"at": "2099-01-01T00:00:00Z"},
        }),
    );
    env.call(Caller::Both, "DELETE", &path, &[], b"")
        .problem(409, "audience-in-use");
    campaign.tell(&env, "cancel").with_status(200);
    env.call(Caller::Both, "DELETE", &path, &[], b"").with_status(204);
    env.get(&path).problem(404, "audience-not-found");
    // A new audience with the same name begins empty.
    let again = Audience::create(&env, "fixed", 2);
    assert_eq!(again.status(&env)["devices"], 0);
}

#[test]
fn a_campaign_is_tried_on_named_devices_before_it_is_sent() {
    let env = TestEnv::shared();
    let audience = Audience::create(&env, "tried", 4);
    let devices = env.devices(&SHOP, "campaigns, tried", 3);
    audience.import(
        &env,
        &lines(
            &devices,
            |place| json!({"attributes": {"first_name": format!("U{place}")}}),
        ),
    );
    let mut document = soon(&audience, "Hello {{ first_name }}");
    document["draft"] = json!(true);
    let campaign = super::Campaign::create(&env, &document);
    assert_eq!(campaign.status(&env)["state"], "draft");
    let refs = json!({"refs": ["user-2", "user-0"]});
    let preview = env.post(&campaign.path("/preview"), &refs).with_status(200);
    assert!(preview.to_string().contains("Hello U2"), "{preview}");
    assert!(env.requests_to(&devices[2]).is_empty());
    let sent = env.post(&campaign.path("/test"), &refs).with_status(200);
    assert_eq!(sent["counts"]["accepted"], 2, "{sent}");
    assert_eq!(super::shown(&env, &devices[2]), "Hello U2");
    assert!(env.requests_to(&devices[1]).is_empty());
    env.post(&campaign.path("/test"), &json!({"refs": ["nobody"]}))
        .problem(422, "invalid-request");
    // A name with too many devices is rejected in a test.
    let many = env.tokens("campaigns, tried by many", 201);
    audience.import(&env, &lines(&many, |_| json!({"ref": "everybody"})));
    let everybody = json!({"refs": ["everybody"]});
    for action in ["/preview", "/test"] {
        let problem = env
            .post(&campaign.path(action), &everybody)
            .problem(422, "invalid-request");
        assert!(problem.to_string().contains("more than 200 devices"), "{problem}");
    }
    assert!(env.requests_to(&many[0]).is_empty());
}
