use super::*;

fn sizes(told: &Told) -> Vec<(u32, u32)> {
    told.chunks
        .iter()
        .map(|chunk| (chunk.first, chunk.pushes))
        .collect()
}

#[test]
fn a_chunk_has_at_most_500_devices() {
    for (count, expected) in [
        (1, vec![(0, 1)]),
        (499, vec![(0, 499)]),
        (500, vec![(0, 500)]),
        (501, vec![(0, 500), (500, 1)]),
        (1001, vec![(0, 500), (500, 500), (1000, 1)]),
    ] {
        let told = upload(&lines(&head(), (0..count).map(device))).unwrap();
        assert_eq!(sizes(&told), expected);
        assert_eq!(told.pushes, u32::try_from(count).unwrap());
        let mut bodies = told.chunks.iter().flat_map(|chunk| chunk.body.lines());
        assert!((0..count).all(|index| bodies.next() == Some(&device(index).to_string())));
    }
}

#[test]
fn a_chunk_of_500_devices_is_an_order_by_either_transport() {
    let told = upload(&lines(&head(), (0..501).map(device))).unwrap();
    let config = config();
    let app = config.app("shop").unwrap();
    assert_eq!(
        app.transport,
        crate::config::Transport::Fetch,
        "which takes fewer"
    );
    let chunk = &told.chunks[0];
    let body = format!("{}\n{}", told.head, chunk.body);
    let first = 70_000;
    let send_request = SendRequest::parse_chunk(
        app,
        body.as_bytes(),
        Basis {
            seed: SEED,
            first,
            repeats: Repeats::Keep,
        },
        NOW,
    )
    .unwrap();
    let ids = send_request
        .pushes
        .iter()
        .map(|push| push.request.as_ref().unwrap().apns_id);
    let expected = (first..first + 500).map(|number| apns::ApnsId::derive(SEED, number));
    assert!(ids.eq(expected));
}

#[test]
fn a_chunk_has_at_most_60000_bytes() {
    // 54 bytes beside the `ref`: 200 lines of 300 bytes are 60,000.
    let device = |index: usize, reference: usize| {
        let line = format!(r#"{{"token":"{index:032x}","ref":"{}"}}"#, "r".repeat(reference));
        assert_eq!(line.len() + 1, 54 + reference);
        line
    };
    let body = |last: usize| {
        let mut lines: Vec<String> = (0..199).map(|index| device(index, 246)).collect();
        lines.push(device(199, last));
        format!("{}\n{}", head(), lines.join("\n"))
    };
    let told = upload(&body(246)).unwrap();
    assert_eq!(sizes(&told), [(0, 200)]);
    assert_eq!(told.chunks[0].body.len(), MAX_CHUNK_BYTES);
    let told = upload(&body(247)).unwrap();
    assert_eq!(sizes(&told), [(0, 199), (199, 1)]);
}

/// Returns the pushes that are left out, with the position of the first equal one, by chunk.
fn duplicates(told: &Told) -> Vec<Vec<(usize, u32)>> {
    told.chunks.iter().map(|chunk| chunk.duplicates.clone()).collect()
}

#[test]
fn a_repeated_device_is_left_out_and_names_the_first_whatever_the_form_of_its_token() {
    let upper = json!({"token": format!("<{:064X}>", 0xabc)});
    let devices = [
        device(1),
        device(0xabc),
        device(2),
        upper,
        device(1),
        device(2),
        device(1),
    ];
    let told = upload(&lines(&head(), devices)).unwrap();
    assert_eq!(sizes(&told), [(0, 7)], "no chunk is cut");
    assert_eq!(duplicates(&told), [[(3, 1), (4, 0), (5, 2), (6, 0)]]);
    assert_eq!((told.pushes, told.duplicates), (7, 4));
}

#[test]
fn a_repeat_with_another_name_or_id_is_one_and_another_content_is_none() {
    let with = |field: &str, value: Value| {
        let mut device = device(1);
        device[field] = value;
        device
    };
    let devices = [
        device(1),
        with("ref", json!("user-1")),
        with("apns_id", json!("123e4567-e89b-12d3-a456-426614174000")),
        with("payload", json!({"aps": {"badge": 1}})),
        // It says what the notification says.
        with("payload", json!({"aps": {"alert": "Hi"}})),
        with("payload", json!({"aps": {"badge": 1}})),
    ];
    let told = upload(&lines(&head(), devices)).unwrap();
    assert_eq!(duplicates(&told), [[(1, 0), (2, 0), (4, 0), (5, 3)]]);
}

#[test]
fn pairs_of_8000_sorted_lines_fill_their_chunks() {
    let told = upload(&lines(&head(), (0..8000).map(|index| device(index / 2)))).unwrap();
    assert_eq!((told.chunks.len(), told.duplicates), (16, 4000));
    let across = upload(&lines(&head(), (0..1000).map(|index| device(index % 500)))).unwrap();
    assert_eq!(across.duplicates, 500);
    assert_eq!(across.chunks[1].duplicates[499], (499, 499));
}

#[test]
fn the_longest_line_is_exact_and_fits_in_a_chunk() {
    let line = |size: usize| {
        let bare = r#"{"token":"00ff"}"#;
        let inner = " ".repeat(size - bare.len());
        format!(r#"{{"token":{inner}"00ff"}}"#)
    };
    let told = upload(&format!("{}\n{}\n", head(), line(MAX_LINE))).unwrap();
    assert!(told.chunks[0].body.len() <= MAX_CHUNK_BYTES);
    assert_eq!(told.chunks[0].body.len(), MAX_LINE + 1);
    assert_eq!(
        faults(&format!("{}\n{}\n{}", head(), device(1), line(MAX_LINE + 1))),
        ["3: /devices/1: is 49153 bytes long; the limit is 49152"]
    );
    let mut skip = head();
    skip["on_invalid"] = json!("skip");
    let body = format!("{skip}\n{}\n{}", line(1_000_000), device(1));
    let pieces: Vec<&[u8]> = body.as_bytes().chunks(1000).collect();
    let told = upload_as(LINES, MAX_PUSHES, &pieces).unwrap();
    assert_eq!((told.pushes, told.invalid), (1, 1));
    assert_eq!(
        told.invalid_lines[0].detail,
        "is 1000000 bytes long; the limit is 49152"
    );
}

#[test]
fn a_device_with_the_largest_payload_fits_in_a_line_even_if_all_of_it_is_escaped() {
    let escaped = |size: usize| "\\u0061".repeat(size);
    let frame = r#"{"aps":{"alert":""}}"#.len();
    let line = format!(
        r#"{{"token":"{}","ref":"{}","apns_id":"123e4567-e89b-12d3-a456-426614174000","payload":{{"aps":{{"alert":"{}"}}}}}}"#,
        escaped(200),
        escaped(crate::send_request::MAX_REF),
        escaped(apns::push_type::MAX_VOIP_PAYLOAD - frame)
    );
    let mut head = head();
    head["notification"] = json!({"push_type": "voip", "payload": {}});
    let told = upload(&format!("{head}\n{line}")).unwrap();
    assert_eq!(told.pushes, 1);
}

#[test]
fn the_longest_head_is_exact() {
    let body = |size: usize| {
        let head = head().to_string();
        format!("{head}{}\n{}", " ".repeat(size - head.len()), device(1))
    };
    assert_eq!(upload(&body(MAX_HEAD)).unwrap().pushes, 1);
    let fault = "the body has 65537 bytes without its devices; the limit is 65536. Of a payload, APNs takes 4096 bytes, and of a VoIP payload 5120";
    assert_eq!(faults(&body(MAX_HEAD + 1)), [fault]);
    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    upload.feed(&[b'x'; 3 * MAX_HEAD]).unwrap();
    let Form::Lines(lines) = &upload.form else {
        panic!("it comes in lines")
    };
    assert!(
        format!("{lines:?}").len() < 1000,
        "what is beyond the limit is not held"
    );
}

#[test]
fn a_line_is_staged_as_it_came_but_for_the_white_space_around_it() {
    let told = upload(&format!(
        "{}\n\t {{ \"token\" : \"00FF\", \"payload\": {{\"x\": 1.50}} }} \r\n",
        head()
    ))
    .unwrap();
    assert_eq!(
        told.chunks[0].body,
        "{ \"token\" : \"00FF\", \"payload\": {\"x\": 1.50} }\n"
    );
}

#[test]
fn chunks_are_given_out_while_the_body_comes() {
    let config = config();
    let mut upload = Upload::new(caller(&config, "editor"), &config, LINES, NOW);
    upload.feed(format!("{}\n", head()).as_bytes()).unwrap();
    let mut taken = Vec::new();
    for index in 0..1200 {
        upload.feed(format!("{}\n", device(index)).as_bytes()).unwrap();
        taken.extend(upload.take_staged().into_iter().map(|chunk| (index, chunk.first)));
    }
    assert_eq!(taken, [(500, 0), (1000, 500)]);
    let finished = upload.finish().unwrap();
    assert_eq!(finished.staged.len(), 1);
    assert_eq!((finished.staged[0].first, finished.pushes), (1000, 1200));
}
