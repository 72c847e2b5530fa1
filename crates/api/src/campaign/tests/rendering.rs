use proptest::prelude::*;

use super::*;
use crate::SendRequest;
use crate::fixture::SEED;
use crate::send_request::{Basis, Repeats};
use crate::upload::{MAX_CHUNK_BYTES, MAX_CHUNK_PUSHES};
use ::batch::LeftOut;
use campaign::template::Recipient;

/// A device of an audience.
#[derive(Clone, Debug, Default)]
struct TestDevice {
    token: String,
    reference: Option<String>,
    locale: Option<String>,
    attributes: Map<String, Value>,
}

impl TestDevice {
    fn new(token: &str, reference: &str, attributes: Value) -> Self {
        Self {
            token: token.to_owned(),
            reference: (!reference.is_empty()).then(|| reference.to_owned()),
            locale: None,
            attributes: attributes.as_object().unwrap().clone(),
        }
    }

    fn recipient(&self) -> Recipient<'_> {
        Recipient {
            token: &self.token,
            reference: self.reference.as_deref(),
            locale: self.locale.as_deref(),
            time_zone: None,
            attributes: &self.attributes,
        }
    }
}

fn recipients(members: &[TestDevice]) -> Vec<Recipient<'_>> {
    members.iter().map(TestDevice::recipient).collect()
}

#[test]
fn a_device_without_anything_of_its_own_is_its_token_and_ref() {
    let config = config();
    let document = with(json!({}));
    let mut renderer = ChunkRenderer::new(&document, config.app("shop").unwrap(), NOW).unwrap();
    assert_eq!(
        renderer.header().head,
        r#"{"app":"shop","notification":{"payload":{"aps":{"alert":"Hi"}}}}"#
    );
    let members = [
        TestDevice::new("00ff", "user-1", json!({"a": 1})),
        TestDevice::new("11ff", "", json!({})),
    ];
    let chunk = renderer.render(&recipients(&members));
    assert_eq!(
        chunk,
        RenderedChunk {
            body: "{\"token\":\"00ff\",\"ref\":\"user-1\"}\n{\"token\":\"11ff\"}\n".to_owned(),
            pushes: 2,
            indices: vec![0, 1],
            taken: 2,
            ..RenderedChunk::default()
        }
    );
}

#[test]
fn a_line_has_what_is_the_devices_own() {
    let config = config();
    let mut renderer = ChunkRenderer::new(&whole(), config.app("shop").unwrap(), NOW).unwrap();
    // Nobody gets the sample, as every device lays its own over it.
    assert_eq!(
        renderer.header().head,
        r#"{"app":"shop","notification":{"payload":{"aps":{"alert":{"title":"Hi there","body":"News"}}},"expiration":"2h"}}"#
    );
    let german = TestDevice {
        locale: Some("de-CH".to_owned()),
        ..TestDevice::new("11ff", "user-2", json!({"first_name": "\"}{{ ref }}\n"}))
    };
    let members = [
        TestDevice::new("00ff", "user-1", json!({"first_name": "Ann"})),
        german,
    ];
    assert_eq!(
        renderer.render(&recipients(&members)).body,
        [
            r#"{"token":"00ff","ref":"user-1","payload":{"aps":{"alert":{"title":"Hi Ann"}}}}"#,
            r#"{"token":"11ff","ref":"user-2","payload":{"aps":{"alert":{"title":"Hallo \"}{{ ref }}\n"}}}}"#,
            "",
        ]
        .join("\n")
    );
}

#[test]
fn what_cannot_be_sent_is_left_out_and_the_first_are_told() {
    let config = config();
    let document = with(json!({"notification": {"payload": {"aps": {"alert": "Hi {{ name }}"}}}}));
    let mut renderer = ChunkRenderer::new(&document, config.app("shop").unwrap(), NOW).unwrap();
    let mut members = vec![
        TestDevice::new("00ff", "user-1", json!({"name": "a".repeat(4096)})),
        TestDevice::new("11ff22ff33ff44ff", "", json!({})),
        TestDevice::new("22ff", "user-3", json!({"name": "Ann"})),
    ];
    members.extend((0..MAX_PROBLEMS).map(|_| TestDevice::new("33ff", "user-4", json!({}))));
    let chunk = renderer.render(&recipients(&members));
    assert_eq!((chunk.pushes, chunk.taken), (1, members.len()));
    let left_out = LeftOut {
        missing: [("name".to_owned(), 1 + MAX_PROBLEMS as u64)].into(),
        invalid: 1,
        ..LeftOut::default()
    };
    // What counts for frequency caps: who is left out does not.
    assert_eq!(chunk.indices, [2]);
    assert_eq!((&chunk.left_out, chunk.problems.len()), (&left_out, MAX_PROBLEMS));
    assert_eq!(
        chunk.problems[..3],
        [
            "…: /payload: is 4119 bytes long; the limit is 4096",
            "11ff…44ff: there is no `name`, and no default for it",
            "…: there is no `name`, and no default for it",
        ]
    );
}

#[test]
fn a_chunk_ends_where_it_is_full() {
    let config = config();
    let document = with(json!({"notification": {"payload": {"aps": {"alert": "{{ name }}"}}}}));
    let mut renderer = ChunkRenderer::new(&document, config.app("shop").unwrap(), NOW).unwrap();
    let of = |count: usize, length: usize| -> Vec<TestDevice> {
        (0..count)
            .map(|_| TestDevice::new("00ff", "", json!({"name": "x".repeat(length)})))
            .collect()
    };
    let small = of(600, 1);
    let chunk = renderer.render(&recipients(&small));
    assert_eq!((chunk.pushes, chunk.taken), (MAX_CHUNK_PUSHES, 500));
    let large = of(100, 4000);
    let chunk = renderer.render(&recipients(&large));
    assert_eq!((chunk.pushes, chunk.taken), (14, 14));
    assert!(chunk.body.len() <= MAX_CHUNK_BYTES);
    assert_eq!(renderer.render(&[]), RenderedChunk::default());
}

#[test]
fn a_run_whose_expiration_is_over_comes_to_nothing() {
    let config = config();
    let expiration = NOW.as_secs() + 60;
    let document = with(json!({
        "notification": {"payload": {"aps": {"alert": "Hi"}}, "expiration": expiration},
    }));
    let app = config.app("shop").unwrap();
    assert!(ChunkRenderer::new(&document, app, NOW).is_ok());
    let late = ChunkRenderer::new(&document, app, Timestamp::from_secs(expiration));
    assert!(late.is_err_and(|problem| {
        problem
            .detail()
            .starts_with("/notification/expiration: lies in the past")
    }));
}

#[test]
fn a_run_is_a_batch_on_the_campaigns_terms() {
    let config = config();
    let renderer = ChunkRenderer::new(&whole(), config.app("shop").unwrap(), NOW).unwrap();
    let record = record(ID, renderer.header(), &config.batches, NOW);
    assert_eq!(
        (record.id.as_str(), record.app.as_str(), record.created_at),
        (ID, "shop", NOW)
    );
    let terms = record.terms;
    assert_eq!(
        (terms.rate, terms.weight, terms.retry_for_ms),
        (Some(500), 3, 6 * 60 * 60 * 1000)
    );
    assert_eq!(
        terms.expires_at,
        Some(Timestamp::from_secs(NOW.as_secs() + 2 * 60 * 60))
    );
    assert!(terms.repeatable && terms.collapse_repeats);
    assert_eq!((record.invalid, record.sealed_at), (0, None));
}

fn members() -> impl Strategy<Value = Vec<TestDevice>> {
    let name = prop_oneof![
        Just(None),
        "[a-z\"{}\\\\ ]{0,9}".prop_map(Some),
        "x{3000,4200}".prop_map(Some)
    ];
    let member = (
        name,
        prop::option::of(prop::sample::select(vec!["de", "de-AT", "fr"])),
    );
    let members = prop::collection::vec(member, 0..40);
    members.prop_map(|members| {
        let members = members.into_iter().enumerate();
        let member = |(index, (name, locale)): (usize, (Option<String>, Option<&str>))| TestDevice {
            locale: locale.map(str::to_owned),
            attributes: name
                .into_iter()
                .map(|name| ("name".to_owned(), name.into()))
                .collect(),
            ..TestDevice::new(&format!("{index:04x}"), &format!("user-{index}"), json!({}))
        };
        members.map(member).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_device_is_in_one_chunk_or_left_out_and_gets_its_own_text(members in members()) {
        let config = config();
        let app = config.app("shop").unwrap();
        let document = with(json!({
            "notification": {"payload": {"aps": {"alert": "Hi {{ name }}"}}},
            "variants": {"de": {"aps": {"alert": "Hallo {{ name }}"}}, "fr": {"aps": {"alert": "Salut"}}},
        }));
        let mut renderer = ChunkRenderer::new(&document, app, NOW).unwrap();
        let all = recipients(&members);
        let (mut from, mut sent, mut invalid) = (0, Vec::new(), 0);
        while from < all.len() {
            let chunk = renderer.render(&all[from..]);
            prop_assert!(chunk.taken > 0 && chunk.body.len() <= MAX_CHUNK_BYTES);
            (from, invalid) = (from + chunk.taken, invalid + chunk.left_out.unsendable() as usize);
            if chunk.pushes == 0 {
                continue;
            }
            let body = format!("{}\n{}", renderer.header().head, chunk.body);
            let send_request = SendRequest::parse_chunk(app, body.as_bytes(), Basis { seed: SEED, first: 0, repeats: Repeats::Keep }, NOW).unwrap();
            prop_assert_eq!(send_request.pushes.len(), chunk.pushes as usize);
            for push in send_request.pushes {
                let body: Value = serde_json::from_slice(&push.request.unwrap().body).unwrap();
                sent.push((push.reference.unwrap(), body["aps"]["alert"].as_str().unwrap().to_owned()));
            }
        }
        let expected: Vec<(String, String)> = members
            .iter()
            .filter_map(|member| {
                let name = member.attributes.get("name").map(|name| name.as_str().unwrap().to_owned());
                let text = match member.locale.as_deref() {
                    Some("fr") => "Salut".to_owned(),
                    Some(_) => format!("Hallo {}", name?),
                    None => format!("Hi {}", name?),
                };
                let size = json!({"aps": {"alert": text}}).to_string().len();
                (size <= 4096).then(|| (member.reference.clone().unwrap(), text))
            })
            .collect();
        prop_assert_eq!(sent.len() + invalid, members.len());
        prop_assert_eq!(sent, expected);
    }
}
