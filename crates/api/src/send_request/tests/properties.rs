use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, json};

use super::*;
use crate::problem::Kind;

/// Generates any JSON, which often contains known names and values.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn word() -> impl Strategy<Value = String> {
    let ours = prop::sample::select(vec![
        "app",
        "shop",
        "notification",
        "devices",
        "on_invalid",
        "skip",
        "payload",
        "push_type",
        "background",
        "priority",
        "expiration",
        "collapse_id",
        "topic",
        "apns_id",
        "truncate",
        "token",
        "ref",
        "aps",
        "alert",
        "title",
        "body",
        "badge",
        "sound",
        "content-available",
        "event",
        "00ff",
        "1h",
    ]);
    prop_oneof![3 => ours.prop_map(str::to_owned), 1 => ".{0,12}"]
}

/// Generates the text of a token, sometimes with a fault.
fn token() -> impl Strategy<Value = String> {
    ("[0-9a-f]{17,70}", "[ <>zZ=,{}]{0,3}", any::<bool>()).prop_map(|(digits, spoiler, upper)| {
        let digits = if upper { digits.to_uppercase() } else { digits };
        format!("{digits}{spoiler}")
    })
}

/// Generates a path to a value inside a document, as a choice at each level.
fn way() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..5)
}

fn replace(document: &mut Value, way: &[prop::sample::Index], change: Value) {
    let Some((step, rest)) = way.split_first() else {
        *document = change;
        return;
    };
    let inner = match document {
        Value::Object(map) if !map.is_empty() => {
            let place = step.index(map.len());
            map.values_mut().nth(place)
        }
        Value::Array(list) if !list.is_empty() => {
            let place = step.index(list.len());
            list.get_mut(place)
        }
        _ => None,
    };
    match inner {
        Some(inner) => replace(inner, rest, change),
        None => *document = change,
    }
}

/// Runs `check` with one configuration for all cases.
fn hold<S: Strategy>(strategy: S, check: impl Fn(&Config, S::Value) -> Result<(), TestCaseError>) {
    let config = config();
    TestRunner::default()
        .run(&strategy, |value| check(&config, value))
        .unwrap();
}

fn parse_with<'c>(config: &'c Config, body: &[u8]) -> Result<SendRequest<'c>, Problem> {
    SendRequest::parse(body, caller(config, "backend"), config, SEED, NOW)
}

const BASIS: Basis<'_> = Basis {
    seed: SEED,
    first: 0,
    repeats: Repeats::Keep,
};

#[test]
fn any_json_gives_an_order_or_a_problem() {
    hold(any_json(), |config, document| {
        if let Err(problem) = parse_with(config, document.to_string().as_bytes()) {
            let status = problem.answer().status;
            prop_assert!(status == 422 || status == 403, "{}", status);
        }
        Ok(())
    });
}

#[test]
fn a_valid_body_with_any_value_replaced_gives_an_order_or_a_problem_with_its_faults() {
    hold((way(), any_json(), 1..4_usize), |config, (way, change, count)| {
        let mut body = valid(count);
        body["devices"][0]["payload"] = json!({"aps": {"badge": 1}});
        replace(&mut body, &way, change);
        match parse_with(config, body.to_string().as_bytes()) {
            Ok(send_request) => {
                let devices = body["devices"].as_array().map(Vec::len);
                prop_assert_eq!(Some(send_request.pushes.len()), devices);
            }
            Err(problem) if problem.kind() == Kind::InvalidRequest => {
                prop_assert!(!listed(&problem).is_empty());
            }
            Err(problem) => prop_assert_eq!(problem.kind(), Kind::Forbidden),
        }
        Ok(())
    });
}

#[test]
fn a_valid_body_with_any_bytes_replaced_never_panics() {
    let cuts = (
        any::<prop::sample::Index>(),
        0..4_usize,
        prop::collection::vec(any::<u8>(), 0..4),
    );
    hold(prop::collection::vec(cuts, 1..4), |config, cuts| {
        let mut body = valid(2).to_string().into_bytes();
        for (place, removed, added) in cuts {
            let start = place.index(body.len() + 1);
            let end = (start + removed).min(body.len());
            body.splice(start..end, added);
        }
        if let Ok(send_request) = parse_with(config, &body) {
            prop_assert!(!send_request.pushes.is_empty());
        }
        Ok(())
    });
}

#[test]
fn a_valid_body_has_a_push_for_every_device() {
    hold((1..40_usize, any::<bool>()), |config, (count, skip)| {
        let mut body = valid(count);
        body["on_invalid"] = json!(if skip { "skip" } else { "reject" });
        let send_request = parse_with(config, body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(send_request.pushes.len(), count);
        for (index, push) in send_request.pushes.iter().enumerate() {
            let request = push.request.as_ref().unwrap();
            prop_assert_eq!(request.device_token.as_hex(), format!("{index:064x}"));
            prop_assert_eq!(push.reference.clone(), Some(format!("user-{index}")));
        }
        Ok(())
    });
}

#[test]
fn no_problem_and_no_result_tells_a_device_token() {
    let strategy = (
        prop::collection::vec(token(), 1..4),
        way(),
        any_json(),
        any::<bool>(),
    );
    hold(strategy, |config, (tokens, way, change, skip)| {
        let mut body = valid(0);
        body["devices"] = tokens.iter().map(|token| json!({"token": token})).collect();
        if skip {
            body["on_invalid"] = json!("skip");
        }
        replace(&mut body["notification"], &way, change);
        let text = match parse_with(config, body.to_string().as_bytes()) {
            Ok(send_request) => crate::push::answer(&send_request, &[], crate::config::Transport::Fetch).body,
            Err(problem) => problem.answer().body,
        };
        let text = text.to_ascii_lowercase();
        for token in tokens {
            let digits: String = token.chars().filter(char::is_ascii_hexdigit).collect();
            let told = digits.to_ascii_lowercase();
            prop_assert!(!text.contains(&told), "{}", text);
        }
        Ok(())
    });
}

#[test]
fn a_body_that_is_cut_off_is_not_json_and_not_quoted() {
    hold(any::<prop::sample::Index>(), |config, place| {
        let body = valid(2).to_string();
        let cut = &body.as_bytes()[..place.index(body.len())];
        let problem = parse_with(config, cut).unwrap_err();
        prop_assert_eq!(problem.kind(), Kind::NotJson);
        let answer = problem.answer().body;
        prop_assert!(
            !answer.contains("user-") && !answer.contains("00000000"),
            "{}",
            answer
        );
        Ok(())
    });
}

#[test]
fn what_the_fast_path_accepts_the_full_reader_reads_alike() {
    let device = (
        prop_oneof![4 => "[0-9a-f]{64}", 1 => token()],
        prop::option::of(any_json()),
        prop::option::of(".{0,300}"),
        any::<bool>(),
    );
    let devices = prop::collection::vec(device, 1..4);
    let taken = std::cell::Cell::new(0);
    hold((devices, any::<bool>()), |config, (devices, lines_in)| {
        let mut body = valid(0);
        let members = devices.into_iter().map(|(token, payload, reference, own_id)| {
            let mut device = json!({"token": token});
            if let Some(payload) = payload {
                device["payload"] = json!({"x": payload});
            }
            if let Some(reference) = reference {
                device["ref"] = reference.into();
            }
            if own_id {
                device["apns_id"] = "123e4567-e89b-12d3-a456-426614174000".into();
            }
            device
        });
        let members: Vec<Value> = members.collect();
        let text = if lines_in {
            body.as_object_mut().unwrap().remove("devices");
            let lines: Vec<String> = std::iter::once(&body)
                .chain(&members)
                .map(ToString::to_string)
                .collect();
            lines.join("\n")
        } else {
            body["devices"] = members.into();
            body.to_string()
        };
        let format = Format {
            lines_in,
            lines_out: false,
        };
        let app = config.app("shop").unwrap();
        if let Some(send_request) = fast_path::read(app, text.as_bytes(), format, BASIS, NOW) {
            taken.set(taken.get() + 1);
            let full = SendRequest::read_full(app, text.as_bytes(), format, BASIS, NOW).unwrap();
            prop_assert_eq!(send_request.pushes, full.pushes);
            prop_assert_eq!(send_request.warnings, full.warnings);
        }
        Ok(())
    });
    assert!(taken.get() > 10, "the quick reader took {} orders", taken.get());
}

#[test]
fn the_quick_reader_leaves_what_is_unusual() {
    let config = config();
    let app = config.app("shop").unwrap();
    let quick =
        |body: &Value| fast_path::read(app, body.to_string().as_bytes(), Format::JSON, BASIS, NOW).is_some();
    assert!(quick(&valid(2)));
    for (way, value) in [
        ("/devices/0/ref", json!("x".repeat(MAX_REF + 1))),
        ("/devices/0/token", json!("xyz")),
        ("/notification", json!({"payload": {"aps": {"event": "end"}}})),
        ("/strict", json!(1)),
        (
            "/notification",
            json!({"payload": {"aps": {"alert": "Hi"}}, "colour": 1}),
        ),
        (
            "/notification",
            json!({"payload": {"aps": {"alert": "Hi"}}, "apns_id": "123e4567-e89b-12d3-a456-426614174000"}),
        ),
        ("/devices", json!([])),
    ] {
        let mut body = valid(2);
        let (parent, key) = way.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            other => other[key] = value,
        }
        assert!(!quick(&body), "{body}");
    }
}
