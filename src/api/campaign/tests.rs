use std::time::Duration;

use serde_json::json;

use super::*;
use crate::api::fixture::{NOW, config, config_with};

mod documents;
mod staging;
mod trials;
mod warnings;

const ID: &str = "00112233445566778899aabbccddeeff";

/// A campaign with each field that there is.
fn whole() -> Value {
    json!({
        "name": "Monday news", "audience": "customers", "segment": {"eq": {"tags": "news"}},
        "notification": {"payload": {"aps": {"alert": {"title": "Hi {{ first_name }}", "body": "News"}}}, "expiration": "2h"},
        "variants": {"de": {"aps": {"alert": {"title": "Hallo {{ first_name }}"}}}},
        "defaults": {"first_name": "there"},
        "schedule": at(60), "window": {"from": "09:00", "to": "21:00"},
        "frequency": {"max": 1, "per": "7d", "of": "all"},
        "rate": 500, "weight": 3, "retry_for": "6h", "draft": false,
    })
}

/// A schedule that comes once, so many seconds from now.
fn at(secs: u64) -> Value {
    json!({"at": (NOW + Duration::from_secs(secs)).to_string()})
}

/// The smallest campaign, with these fields.
fn with(fields: Value) -> Value {
    let mut campaign = json!({
        "name": "n", "audience": "customers", "notification": {"payload": {"aps": {"alert": "Hi"}}},
    });
    let fields = fields.as_object().unwrap().clone();
    campaign.as_object_mut().unwrap().extend(fields);
    campaign
}

fn read_with(config: &Config, document: &Value) -> Result<Campaign, Vec<String>> {
    let app = config.app("shop").unwrap();
    read(ID, document, app, config, NOW).map_err(|problem| {
        let detail = problem.detail().to_owned();
        detail.split("; ").map(str::to_owned).collect()
    })
}

fn read_it(document: &Value) -> Result<Campaign, Vec<String>> {
    read_with(&config(), document)
}

#[test]
fn a_campaign_is_kept_as_it_was_written() {
    let campaign = read_it(&whole()).unwrap();
    assert_eq!((campaign.id.as_str(), campaign.app.as_str()), (ID, "shop"));
    assert_eq!(
        (campaign.audience.as_str(), campaign.created_at),
        ("customers", NOW)
    );
    assert_eq!(campaign.state, State::Scheduled);
    assert!(campaign.schedule.is_some() && campaign.window.is_some());
    let mut kept = whole();
    kept.as_object_mut().unwrap().shift_remove("draft");
    assert_eq!(campaign.document.to_string(), kept.to_string());
}

#[test]
fn a_campaign_is_a_draft_if_it_says_so_or_has_no_schedule() {
    let state = |fields| read_it(&with(fields)).map(|campaign| campaign.state);
    let schedule = at(1);
    assert_eq!(state(json!({})), Ok(State::Draft));
    assert_eq!(state(json!({"draft": true})), Ok(State::Draft));
    assert_eq!(
        state(json!({"draft": true, "schedule": schedule})),
        Ok(State::Draft)
    );
    assert_eq!(state(json!({"schedule": schedule})), Ok(State::Scheduled));
    assert_eq!(
        state(json!({"draft": false})),
        Err(vec!["/schedule: is required, unless it is a draft".to_owned()])
    );
}

#[test]
fn a_schedule_that_is_over_is_for_drafts_alone() {
    let grace = config().campaigns.grace.as_secs();
    let just = |secs: u64| json!({"at": (NOW - std::time::Duration::from_secs(secs)).to_string()});
    // What was due a moment ago starts at once, within the grace.
    for schedule in [json!({"at": "now"}), at(0), just(1), just(grace)] {
        let state = read_it(&with(json!({"schedule": schedule}))).map(|campaign| campaign.state);
        assert_eq!(state, Ok(State::Scheduled), "{schedule}");
    }
    let schedule = just(grace + 1);
    let over = vec!["/schedule: is over: no run would ever start".to_owned()];
    assert_eq!(
        read_it(&with(json!({"schedule": schedule}))).map(|_| ()),
        Err(over)
    );
    assert!(read_it(&with(json!({"schedule": schedule, "draft": true}))).is_ok());
}

#[test]
fn every_fault_is_named_at_once() {
    let document = json!({
        "name": "", "audience": "customers", "segment": 1, "schedule": [], "window": "day", "frequency": {"max": 0},
        "notification": {
            "payload": {"aps": {"alert": "{{ a.b }}", "badge": 1}, "k": "{% if x %}"}, "apns_id": "1", "priority": 7,
        },
        "variants": {"de": {"aps": {"badge": "{{ n }}"}}, "DE": {}, "d": {}, "fr": []},
        "defaults": {"a": null, "b": "x".repeat(1025)},
        "rate": 0, "weight": "one", "retry_for": "1s", "webhook": "ftp://x", "drafts": 1, "draft": "yes",
        "collapse_repeats": false,
    });
    assert_eq!(
        read_it(&document).map(|_| ()).unwrap_err(),
        [
            "/drafts: is not a known field",
            "did you mean `draft`?",
            "/collapse_repeats: is not a known field",
            "/name: is empty",
            "/segment: must be an object, but is a number",
            "/frequency/max: must be an integer from 1 to 1000, but is 0",
            "/frequency/per: is required",
            "/schedule: must be an object, but is an array",
            "/window: must be an object, but is a string",
            "/draft: must be a boolean, but is a string",
            "/rate: must be an integer from 1 to 1000000, but is 0",
            "/weight: must be an integer, but is a text that is none",
            "/retry_for: must be a duration from `1m` to `30d`, such as `6h`",
            "/defaults/a: must be a string, a number or a boolean, but is null",
            "/defaults/b: is 1025 bytes long",
            "the limit is 1024",
            "/variants/DE: is there already, as `de`: the case of a locale does not matter",
            "/variants/d: is no locale, such as `de` or `de-AT`",
            "/variants/fr: must be an object, but is an array",
            "/notification/payload/aps/alert: cannot be read as a template: render error: a variable is one name, without dots",
            "/notification/payload/k: has `{%`: a text has no blocks and no comments, only values, as in `{{ first_name }}`",
            "/notification/apns_id: must be a UUID of 8-4-4-4-12 hex digits, as in `123e4567-e89b-12d3-a456-426614174000`",
            "/notification/priority: is 7",
            "the priorities are 10, 5 and 1",
        ]
    );
}

#[test]
fn what_must_be_there_is_named() {
    assert_eq!(
        read_it(&json!({"audience": "a"})).map(|_| ()).unwrap_err(),
        ["/name: is required", "/notification: is required"]
    );
    for (document, detail) in [
        (json!({}), "/audience: is required"),
        (
            json!({"audience": 1}),
            "/audience: must be a string, but is a number",
        ),
        (json!([]), "the body must be an object, but is an array"),
    ] {
        assert_eq!(audience(&document).unwrap_err().detail(), detail);
        assert_eq!(read_it(&document).map(|_| ()).unwrap_err(), [detail]);
    }
}

#[test]
fn the_limits_are_exact() {
    let many = |count: usize, value: Value| -> Value {
        let members = (0..count).map(|index| (format!("de-{index}"), value.clone()));
        members.collect::<Map<_, _>>().into()
    };
    let text = |size: usize| json!("x".repeat(size));
    for (name, good, bad) in [
        ("name", text(fields::MAX_NAME), text(fields::MAX_NAME + 1)),
        (
            "defaults",
            json!({"a": text(fields::MAX_VALUE)}),
            json!({"a": text(fields::MAX_VALUE + 1)}),
        ),
        (
            "defaults",
            many(fields::MAX_DEFAULTS, json!(true)),
            many(fields::MAX_DEFAULTS + 1, json!(true)),
        ),
        (
            "variants",
            many(fields::MAX_VARIANTS, json!({})),
            many(fields::MAX_VARIANTS + 1, json!({})),
        ),
    ] {
        assert_eq!(read_it(&with(json!({name: good}))).map(|_| ()), Ok(()), "{name}");
        assert!(read_it(&with(json!({name: bad}))).is_err(), "{name}");
    }
    assert_eq!(
        parse(&vec![b' '; MAX_BODY + 1]).unwrap_err().kind(),
        Kind::BodyTooLarge
    );
    assert_eq!(parse(&vec![b' '; MAX_BODY]).unwrap_err().kind(), Kind::NotJson);
}

#[test]
fn a_notification_is_as_large_as_that_of_a_batch() {
    let of = |size: usize| {
        let payload = json!({"aps": {"alert": "x".repeat(size)}});
        read_it(&with(
            json!({"notification": {"payload": payload, "truncate": true}}),
        ))
    };
    assert!(of(60_000).is_ok());
    assert!(of(70_000).unwrap_err()[0].starts_with("/notification: is 70"));
}

#[test]
fn the_apns_id_of_one_push_is_refused() {
    let notification =
        json!({"payload": {"aps": {"alert": "Hi"}}, "apns_id": "eabeae54-14a8-11e5-b60b-1697f925ec7b"});
    assert_eq!(
        read_it(&with(json!({"notification": notification})))
            .map(|_| ())
            .unwrap_err(),
        ["/notification/apns_id: is one push's id, and a campaign has any number of them"]
    );
}

#[test]
fn what_would_be_sent_is_checked_with_each_variant() {
    let campaign = |variants: Value| {
        let payload = json!({"aps": {"alert": "{{ name }}", "interruption-level": "{{ level }}"}});
        with(
            json!({"notification": {"payload": payload}, "defaults": {"level": "active"}, "variants": variants}),
        )
    };
    assert!(read_it(&campaign(json!({"de": {"aps": {"alert": "Hallo {{ name }}"}}}))).is_ok());
    assert_eq!(
        read_it(&campaign(json!({
            "de": {"aps": {"interruption-level": "{{ name }}"}}, "fr": {"aps": {"alert": "{{"}},
            "it": {"k": "x".repeat(5000)},
        })))
        .map(|_| ())
        .unwrap_err(),
        [
            "/variants/fr/aps/alert: cannot be read as a template: invalid syntax: expected token, found EOF",
            "/variants/it: is 5058 bytes long",
            "the limit is 4096",
        ]
    );
}

#[test]
fn a_text_that_grows_beyond_all_bounds_is_a_fault() {
    let text = "{{ a }}".repeat(100);
    let document = with(json!({
        "notification": {"payload": {"aps": {"alert": text}}, "truncate": true}, "defaults": {"a": "a".repeat(1000)},
    }));
    assert_eq!(
        read_it(&document).map(|_| ()).unwrap_err(),
        ["/notification/payload: its texts are more than 32768 bytes long when they are filled in"]
    );
}

#[test]
fn an_expiration_must_last_until_the_first_run() {
    let expiring = |secs: u64, at: u64| {
        let expiration = NOW.as_secs() + secs;
        let notification = json!({"payload": {"aps": {"alert": "Hi"}}, "expiration": expiration});
        let schedule = super::tests::at(at);
        read_it(&with(json!({"notification": notification, "schedule": schedule}))).map(|_| ())
    };
    assert_eq!(expiring(61, 60), Ok(()));
    assert!(expiring(60, 60).unwrap_err()[0].starts_with("/notification/expiration: lies in the past"));
}

#[test]
fn a_webhook_is_one_that_the_deployment_can_sign() {
    let document = with(json!({"webhook": "https://example.com/x"}));
    assert_eq!(
        read_it(&document).map(|_| ()).unwrap_err(),
        ["/webhook: cannot be signed: the deployment has no secret WEBHOOK_SECRET"]
    );
    let signing = config_with(|name| {
        (name == "WEBHOOK_SECRET").then(|| "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
    });
    assert!(read_with(&signing, &document).is_ok());
}

#[test]
fn the_webhook_that_was_checked_is_the_one_that_is_kept() {
    let signing = config_with(|name| {
        (name == "WEBHOOK_SECRET").then(|| "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
    });
    let document = with(json!({"webhook": "HTTPS://Example.COM:443/a/../b"}));
    let campaign = read_with(&signing, &document).unwrap();
    let document: Value = serde_json::from_str(&campaign.document).unwrap();
    assert_eq!(document["webhook"], "https://example.com/b");
}
