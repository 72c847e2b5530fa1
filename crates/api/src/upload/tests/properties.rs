use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::send_request::Push;
use apns::ApnsId;

/// Generates a device with every field, and sometimes a fault.
fn any_device() -> impl Strategy<Value = Value> {
    let token = prop_oneof![
        8 => "[0-9a-f]{2}{1,6}",
        4 => "<[0-9A-F]{8} [0-9a-f]{8}>",
        1 => "[0-9a-fx]{0,9}",
    ];
    let payload = prop_oneof![
        Just(json!({"aps": {"badge": 7}})),
        Just(json!({"aps": {"alert": null, "content-available": 1}})),
        "\\PC{0,20}".prop_map(|text| json!({"text": text, "aps": {"alert": {"title": text}}})),
        any::<f64>().prop_map(|number| json!({"number": number})),
        Just(json!({"aps": {"badge": "seven"}})),
        (4000..4200_usize).prop_map(|size| json!({"x": "y".repeat(size)})),
    ];
    let reference = prop_oneof![8 => "\\PC{0,30}", 1 => "r{250,260}"];
    let id =
        prop_oneof![4 => "[0-9a-f]{8}-[0-9A-F]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", 1 => "[0-9a-f]{8}"];
    (
        token,
        prop::option::of(payload),
        prop::option::of(reference),
        prop::option::weighted(0.2, id),
    )
        .prop_map(|(token, payload, reference, id)| {
            let mut device = json!({"token": token});
            let map = device.as_object_mut().unwrap();
            map.extend(payload.map(|payload| ("payload".to_owned(), payload)));
            map.extend(reference.map(|reference| ("ref".to_owned(), reference.into())));
            map.extend(id.map(|id| ("apns_id".to_owned(), id.into())));
            device
        })
}

/// Parses all chunks as they are parsed when they are sent, each with a collapse id if the caller chose none.
/// Returns the pushes with their positions.
fn sent(told: &Told, config: &Config) -> Vec<(u32, Push)> {
    let app = config.app(&told.app).unwrap();
    let mut pushes = Vec::new();
    for (number, chunk) in told.chunks.iter().enumerate() {
        let body = format!("{}\n{}", told.head, chunk.body);
        let id = format!("{}-{number}", "ab".repeat(16));
        let basis = Basis {
            seed: SEED,
            first: chunk.first,
            repeats: if told.collapses {
                Repeats::Keep
            } else {
                Repeats::Separate(&id)
            },
        };
        let send_request = SendRequest::parse_chunk(app, body.as_bytes(), basis, NOW).unwrap();
        assert_eq!(send_request.pushes.len(), usize::try_from(chunk.pushes).unwrap());
        let left_out: Vec<usize> = chunk.duplicates.iter().map(|(place, _)| *place).collect();
        let kept = (0..)
            .zip(send_request.pushes)
            .filter(|(place, _)| !left_out.contains(place));
        let kept = kept.map(|(place, push)| (chunk.first + u32::try_from(place).unwrap(), push));
        let kept: Vec<(u32, Push)> = kept.collect();
        if !told.collapses {
            let shown = kept.iter().map(|(_, push)| {
                let request = push.request.as_ref().unwrap();
                (
                    request.path(),
                    request.headers.collapse_id.as_ref().unwrap().as_str().to_owned(),
                )
            });
            let shown: std::collections::HashSet<_> = shown.collect();
            assert_eq!(shown.len(), kept.len(), "none replaces another");
        }
        pushes.extend(kept);
    }
    pushes
}

#[test]
fn what_is_staged_is_what_an_order_of_it_would_send() {
    let devices = prop::collection::vec(any_device(), 1..40);
    let strategy = (devices, any::<bool>(), any::<bool>(), any::<bool>());
    let taken = Cell::new(0);
    let config = config();
    let check = |(devices, in_lines, expires, skip): (Vec<Value>, bool, bool, bool)| {
        let mut head = head();
        if skip {
            head["on_invalid"] = json!("skip");
        }
        if expires {
            head["notification"]["expiration"] = json!("1h");
        }
        let mut document = head.clone();
        document["devices"] = devices.clone().into();
        let text = document.to_string();
        let send_request = SendRequest::parse(text.as_bytes(), caller(&config, "editor"), &config, SEED, NOW);
        let (format, text) = if in_lines {
            (LINES, lines(&head, devices))
        } else {
            (Format::JSON, text)
        };
        let told = upload_with(&config, format, MAX_PUSHES, &[text.as_bytes()]);
        let (told, send_request) = match (told, send_request) {
            (Ok(told), Ok(send_request)) => (told, send_request),
            (Err(problem), Ok(send_request)) => {
                prop_assert_eq!(send_request.sendable().count(), 0);
                prop_assert_eq!(problem.kind(), Kind::InvalidRequest);
                return Ok(());
            }
            (told, Err(problem)) => {
                let bare = |listed: Vec<String>| -> Vec<String> {
                    let pointer = |text: &String| text.find('/').unwrap_or_default();
                    listed
                        .iter()
                        .map(|text| text[pointer(text)..].to_owned())
                        .collect()
                };
                prop_assert_eq!(bare(listed(&told.unwrap_err())), bare(listed(&problem)));
                return Ok(());
            }
        };
        taken.set(taken.get() + 1);
        let pushes = sent(&told, &config);
        prop_assert_eq!(
            pushes.len(),
            usize::try_from(told.pushes - told.duplicates).unwrap()
        );
        let expected = send_request
            .pushes
            .iter()
            .filter_map(|push| push.request.as_ref().ok());
        prop_assert_eq!(expected.clone().count(), pushes.len());
        let left_out = send_request.pushes.len() - pushes.len();
        prop_assert_eq!(usize::try_from(told.invalid + told.duplicates).unwrap(), left_out);
        for ((number, push), expected) in pushes.iter().zip(expected) {
            let request = push.request.as_ref().unwrap();
            prop_assert_eq!(&request.device_token, &expected.device_token);
            prop_assert_eq!(&request.body, &expected.body);
            prop_assert_eq!(request.headers.expiration, expected.headers.expiration);
            let derived = ApnsId::derive(SEED, *number);
            prop_assert!(request.apns_id == derived || request.apns_id == expected.apns_id);
        }
        Ok(())
    };
    TestRunner::default().run(&strategy, check).unwrap();
    assert!(taken.get() > 50, "{} uploads were taken", taken.get());
}

#[test]
fn any_bytes_in_a_body_give_the_same_whatever_pieces_they_come_in() {
    let cuts = (
        any::<prop::sample::Index>(),
        0..4_usize,
        prop::collection::vec(any::<u8>(), 0..4),
    );
    let pieces = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    let strategy = (prop::collection::vec(cuts, 0..3), pieces, any::<bool>());
    let config = config();
    TestRunner::default()
        .run(&strategy, |(cuts, places, lines_in)| {
            let format = Format {
                lines_in,
                lines_out: false,
            };
            let mut document = head();
            document["devices"] = json!([device(1), device(2)]);
            let mut body = if lines_in {
                lines(&head(), [device(1), device(2)]).into_bytes()
            } else {
                document.to_string().into_bytes()
            };
            for (place, removed, added) in cuts {
                let start = place.index(body.len() + 1);
                let end = (start + removed).min(body.len());
                body.splice(start..end, added);
            }
            let mut places: Vec<usize> = places.iter().map(|place| place.index(body.len() + 1)).collect();
            places.extend([0, body.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let upload = |pieces: &[&[u8]]| upload_with(&config, format, MAX_PUSHES, pieces);
            prop_assert_eq!(upload(&pieces), upload(&[&body]));
            Ok(())
        })
        .unwrap();
}
