use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fixture::{NOW, config, config_with};

mod documents;
mod left_out;
mod rendering;
mod test_sends;
mod warnings;

const ID: &str = "00112233445566778899aabbccddeeff";

/// Returns a campaign with every field.
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

/// Returns a schedule with one time, `secs` seconds from now.
fn at(secs: u64) -> Value {
    json!({"at": (NOW + Duration::from_secs(secs)).to_string()})
}

/// Returns the smallest campaign with these fields.
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
            "/weight: must be an integer from 1 to 100, but is a text that is not an integer",
            "/retry_for: must be a duration from `1m` to `30d`, such as `6h`",
            "/defaults/a: must be a string, a number or a boolean, but is null",
            "/defaults/b: is 1025 bytes long",
            "the limit is 1024",
            "/variants/DE: is there already, as `de`: the case of a locale does not matter",
            "/variants/d: is no locale, such as `de` or `de-AT`",
            "/variants/fr: must be an object, but is an array",
            "/notification/payload/aps/alert: cannot be read as a template: a variable is one name, without dots",
            "an attribute is written `{{ first_name }}`",
            "/notification/payload/k: has `{%`: a text has no blocks and no comments, only values, as in `{{ first_name }}`",
            "/notification/apns_id: must be a UUID of 8-4-4-4-12 hex digits, as in `123e4567-e89b-12d3-a456-426614174000`",
            "/notification/priority: must be 10, 5 or 1, but is 7",
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

#[test]
fn a_key_names_one_campaign_of_its_caller_and_a_name_of_ones_own_is_no_id_of_ours() {
    let id = named_id("backend", "k1");
    assert_eq!(id, named_id("backend", "k1"));
    assert!(batch::seed(&id).is_some());
    for other in [
        named_id("backend", "k2"),
        named_id("other", "k1"),
        batch::named_id("backend", "k1"),
    ] {
        assert_ne!(id, other);
    }
    assert_ne!(fingerprint(b"{}"), fingerprint(b"{ }"));
    let longest = "n".repeat(MAX_OWN_NAME);
    for name in ["monday-news", "2026_12.sale", "0", &longest] {
        assert!(is_own_name(name), "{name}");
    }
    for name in [
        "",
        "Monday",
        "a b",
        "a/b",
        "\u{e4}",
        &format!("{longest}n"),
        ID,
        &id,
    ] {
        assert!(!is_own_name(name), "{name}");
    }
    assert!(check_own_name("monday-news").is_ok());
    assert_eq!(check_own_name(ID).unwrap_err().kind(), Kind::CampaignNotFound);
    assert_eq!(
        check_own_name("Monday").unwrap_err().detail(),
        "/id: must have 1 to 64 of a-z, 0-9, `-`, `_` and `.`, or be the id of a campaign that exists"
    );
}

#[test]
fn a_campaign_has_no_more_values_than_memory_has_room_for() {
    let dense = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
    let kind = |values| {
        parse(dense(values).as_bytes())
            .err()
            .map(|problem| problem.kind())
    };
    assert_eq!(
        (kind(MAX_VALUES), kind(MAX_VALUES + 1)),
        (None, Some(Kind::BodyTooLarge))
    );
}

#[test]
fn a_notification_that_expires_before_each_window_opens_is_refused() {
    // The first run is due at 08:01 in UTC; the window opens at 18:00.
    let over = vec![
        "/notification/expiration: is over before the `window` opens: no run could ever be sent".to_owned(),
    ];
    let read_it = |schedule: Value, expiration: Value| {
        let notification = json!({"payload": {"aps": {"alert": "Hi"}}, "expiration": expiration});
        let window = json!({"from": "18:00", "to": "20:00"});
        read_it(&with(
            json!({"notification": notification, "schedule": schedule, "window": window}),
        ))
        .map(|_| ())
    };
    let cron = json!({"cron": "* * * * *", "time_zone": "UTC"});
    for schedule in [at(60), cron.clone()] {
        assert_eq!(
            read_it(schedule.clone(), json!("2026-11-23T12:00:00Z")),
            Err(over.clone()),
            "{schedule}"
        );
        for fine in [json!("2026-11-23T18:00:01Z"), json!("12h"), json!(0)] {
            assert_eq!(
                read_it(schedule.clone(), fine.clone()),
                Ok(()),
                "{schedule} {fine}"
            );
        }
    }
    assert_eq!(read_it(at(60), json!("2h")), Err(over));
    // Later runs of this one are in time.
    let hourly = json!({"cron": "0 * * * *", "time_zone": "UTC"});
    assert_eq!(read_it(hourly, json!("2h")), Ok(()));
}

#[test]
fn a_window_needs_a_clock() {
    let window = json!({"from": "09:00", "to": "21:00"});
    let state = |schedule: Value| read_it(&with(json!({"schedule": schedule, "window": window}))).map(|_| ());
    let needed =
        "/schedule/time_zone: is required for a `window`: whose clock it goes by, as in `Europe/Berlin`";
    assert_eq!(state(json!({"at": "now"})), Err(vec![needed.to_owned()]));
    assert_eq!(state(json!({"at": "now", "time_zone": "Europe/Berlin"})), Ok(()));
    assert_eq!(state(json!({"at": "2026-12-24T18:00:00+01:00"})), Ok(()));
}

#[test]
fn a_variable_that_devices_do_not_have_is_warned_of() {
    let config = config();
    let app = config.app("shop").unwrap();
    let member = |id, name: &str| {
        let mut device = campaign::audience::Device::new("00".repeat(32));
        device.attributes.insert(name.to_owned(), "Ann".into());
        campaign::audience::StoredDevice { id, device }
    };
    let members = [
        member(1, "first_name"),
        member(2, "first_name"),
        member(3, "nickname"),
    ];
    let warned = |fields: Value| {
        let mut campaign = read_it(&with(fields)).unwrap();
        let result = variables::warn(&mut campaign, app, &members, NOW);
        let details = campaign
            .warnings
            .kinds()
            .iter()
            .map(|kind| serde_json::to_value(kind).unwrap());
        let details: Vec<Value> = details.collect();
        result
            .map(|()| details)
            .map_err(|problem| problem.detail().to_owned())
    };
    let hi = |text: &str| json!({"payload": {"aps": {"alert": text}}});
    let found = warned(json!({"notification": hi("Hi {{ frist_name }}")})).unwrap();
    assert_eq!(found.len(), 1);
    let text = "3 of 3 devices looked at have no `frist_name`, and there is no default: they are left out; did you mean `first_name`?";
    assert_eq!(
        (&found[0]["code"], &found[0]["detail"]),
        (&json!("missing_variable"), &json!(text))
    );
    let some = warned(json!({"notification": hi("Hi {{ first_name }}")})).unwrap();
    assert!(some[0].to_string().contains("1 of 3 devices"), "{some:?}");
    for fine in [
        "Hi",
        "Hi {{ first_name | default: \"you\" }}",
        "{{ ref | default: locale | default: \"\" }}",
    ] {
        assert_eq!(warned(json!({"notification": hi(fine)})), Ok(vec![]), "{fine}");
    }
    assert_eq!(
        warned(json!({"notification": hi("{{ x }}"), "defaults": {"x": "y"}})),
        Ok(vec![])
    );
    let strict = warned(json!({"notification": hi("{{ x }}"), "strict": true})).unwrap_err();
    assert!(strict.contains("have no `x`"), "{strict}");
}
