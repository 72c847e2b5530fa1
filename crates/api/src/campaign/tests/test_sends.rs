use super::*;
use crate::SendRequest;
use crate::campaign::test_send::{self, MAX_REFS};
use crate::fixture::{SEED, caller};
use crate::send_request::MAX_REF;
use campaign::template::Recipient;

fn refs(body: &Value) -> Result<Vec<String>, String> {
    let refs = test_send::refs(body.to_string().as_bytes());
    refs.map_err(|problem| problem.detail().to_owned())
}

fn recipient<'d>(token: &'d str, reference: &'d str, attributes: &'d Map<String, Value>) -> Recipient<'d> {
    Recipient {
        token,
        reference: Some(reference),
        locale: Some("de-AT"),
        time_zone: None,
        attributes,
    }
}

#[test]
fn a_trial_names_one_to_a_hundred_devices() {
    let names = |count: usize| -> Value { (0..count).map(|index| json!(format!("user-{index}"))).collect() };
    assert_eq!(
        refs(&json!({"refs": ["a", "b", "a"]})),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(refs(&json!({"refs": names(MAX_REFS)})).unwrap().len(), MAX_REFS);
    assert_eq!(refs(&json!({"refs": "a"})).unwrap(), ["a"]);
    assert_eq!(refs(&json!({"refs": [17, "17"]})).unwrap(), ["17"]);
    for (body, detail) in [
        (
            json!({"refs": []}),
            "/refs: must name 1 to 100 devices, but names 0",
        ),
        (
            json!({"refs": names(101)}),
            "/refs: must name 1 to 100 devices, but names 101",
        ),
        (
            json!({"refs": [true, "x".repeat(MAX_REF + 1)]}),
            "/refs/0: must be a string, but is a boolean; /refs/1: is 257 bytes long; the limit is 256",
        ),
        (
            json!({"ref": "a"}),
            "/ref: is not a known field; did you mean `refs`?; /refs: is required",
        ),
        (json!({"refs": true}), "/refs: must be an array, but is a boolean"),
        (json!([]), "the body must be an object, but is an array"),
    ] {
        assert_eq!(refs(&body), Err(detail.to_owned()));
    }
    assert_eq!(test_send::refs(b"refs").unwrap_err().kind(), Kind::NotJson);
}

#[test]
fn a_trial_is_an_order_like_any_other() {
    let config = config();
    let campaign = read_with(&config, &whole()).unwrap();
    let attributes = json!({"first_name": "Ann \"{{ ref }}\""});
    let attributes = attributes.as_object().unwrap();
    let nothing = Map::new();
    let recipients = [
        recipient("00ff", "user-1", attributes),
        recipient("11ff", "user-2", &nothing),
        recipient("22ff", "user-1", &nothing),
    ];
    let app = config.app("shop").unwrap();
    let refs = ["user-1".to_owned(), "user-2".to_owned()];
    let send_request = test_send::send_request(&campaign, app, &refs, &recipients, NOW).unwrap();
    let send_request = SendRequest::parse(
        send_request.as_bytes(),
        caller(&config, "backend"),
        &config,
        SEED,
        NOW,
    )
    .unwrap();
    let sent: Vec<_> = send_request
        .pushes
        .iter()
        .map(|push| {
            let body = &push.request.as_ref().unwrap().body;
            (
                push.reference.as_deref().unwrap(),
                String::from_utf8(body.to_vec()).unwrap(),
            )
        })
        .collect();
    let body = |title: &str| json!({"aps": {"alert": {"title": title, "body": "News"}}}).to_string();
    assert_eq!(
        sent,
        [
            ("user-1", body("Hallo Ann \"{{ ref }}\"")),
            ("user-1", body("Hallo there")),
            ("user-2", body("Hallo there")),
        ]
    );
}

#[test]
fn a_trial_of_a_strict_campaign_is_refused_for_a_warning_as_a_strict_order_is() {
    let config = config();
    let app = config.app("shop").unwrap();
    let written = |strict: bool| {
        with(json!({
            "strict": strict,
            "notification": {"payload": {"aps": {"alert": "Hi", "badge": "{{ unread }}"}}},
        }))
    };
    let attributes = json!({"unread": "-1"});
    let recipients = [recipient("00ff", "user-1", attributes.as_object().unwrap())];
    let read = |strict: bool| {
        let campaign = read_with(&config, &written(strict)).unwrap();
        let send_request =
            test_send::send_request(&campaign, app, &["user-1".to_owned()], &recipients, NOW).unwrap();
        let format = crate::format::Format::JSON;
        let send_request = SendRequest::parse_for(app, send_request.as_bytes(), format, SEED, NOW);
        send_request.map(|send_request| {
            send_request.warnings.kinds().len() + usize::from(send_request.pushes[0].warnings.is_some())
        })
    };
    assert!(read(false).unwrap() > 0, "it is shown");
    let problem = read(true).unwrap_err();
    assert!(
        problem.detail().contains("/aps/badge") && problem.detail().contains("refused by `\"strict\": true`"),
        "{}",
        problem.detail()
    );
}

#[test]
fn a_trial_is_for_two_hundred_devices_at_the_most() {
    assert_eq!(
        test_send::check_found(200).map_err(|problem| problem.kind()),
        Ok(())
    );
    let problem = test_send::check_found(201).unwrap_err();
    assert_eq!(problem.detail(), "/refs: names more than 200 devices");
}

#[test]
fn a_name_without_a_device_and_a_device_without_a_value_are_faults() {
    let config = config();
    let notification = json!({"payload": {"aps": {"alert": "{{ name }}"}}});
    let campaign = read_with(&config, &with(json!({"notification": notification}))).unwrap();
    let (known, nothing) = (json!({"name": "Ann"}), Map::new());
    let recipients = [
        recipient("00ff", "user-1", known.as_object().unwrap()),
        recipient("11ff", "user-2", &nothing),
    ];
    let refs = ["user-1", "user-2", "user-3"].map(str::to_owned);
    let app = config.app("shop").unwrap();
    let problem = test_send::send_request(&campaign, app, &refs, &recipients, NOW).unwrap_err();
    assert_eq!(
        problem.detail(),
        "/refs/1: there is no `name`, and no default for it; /refs/2: names no device of the audience"
    );
}

#[test]
fn a_preview_says_whether_a_run_would_reach_a_device_and_why_not() {
    let config = config();
    let campaign = read_it(&with(
        json!({"notification": {"payload": {"aps": {"alert": "Hi {{ name }}"}}}}),
    ))
    .unwrap();
    let app = config.app("shop").unwrap();
    let names = ["a", "b", "c", "d"].map(str::to_owned);
    let (ann, nobody) = (json!({"name": "Ann"}), json!({}));
    let tokens = ["00", "11", "22", "33"].map(|digits| digits.repeat(32));
    let recipients: Vec<Recipient<'_>> = tokens
        .iter()
        .zip(&names)
        .map(|(token, name)| {
            let attributes = if name == "b" { &nobody } else { &ann };
            recipient(token, name, attributes.as_object().unwrap())
        })
        .collect();
    let test_send = test_send::TestSend::of(&campaign, app, &names, &recipients, NOW).unwrap();
    let send_request = SendRequest::parse_for(
        app,
        test_send.send_request.as_bytes(),
        crate::format::Format::JSON,
        SEED,
        NOW,
    )
    .unwrap();
    let shown = crate::preview::answer(&send_request, &config).unwrap().body;
    let reasons = [None, None, Some(test_send::OUTSIDE), Some(test_send::CAPPED)];
    let body: Value = serde_json::from_str(&test_send.judged(&shown, &recipients, &reasons).body).unwrap();
    let told: Vec<(&str, bool, Option<&str>)> = body["pushes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|push| {
            (
                push["ref"].as_str().unwrap(),
                push["would_send"].as_bool().unwrap(),
                push["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", true, None),
            ("c", false, Some(test_send::OUTSIDE)),
            ("d", false, Some(test_send::CAPPED)),
            ("b", false, Some("there is no `name`, and no default for it")),
        ]
    );
    assert!(
        body["pushes"][0]["request"]["body"]
            .as_str()
            .unwrap()
            .contains("Hi Ann")
    );
}
