//! Measures the native CPU time of a push in the core: parsing a send request or an upload, deciding, and
//! rendering the answer.
//!
//! `cargo bench --bench hot_path`. `cargo xtask bench` measures the whole pipeline against other senders.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::semicolon_if_nothing_returned,
    reason = "a measurement may stop at anything unexpected"
)]

use std::time::Duration;

use api::config::{Config, Transport};
use api::format::{Format, RequestProbe};
use api::upload::Upload;
use api::{SendRequest, push};
use apns::time::Timestamp;
use apns::{Outcome, Reply};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use delivery::fanout::{Fanout, Next, Plan};
use delivery::receipt::Receipt;

/// The most devices of one send request by socket.
const DEVICES: usize = 10_000;

/// The size of one read from a stream of the platform.
const PIECE: usize = 64 * 1024;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

fn config() -> Config {
    let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9gUv1zIuWW4SbwzW\n\
               CjhH5i9yIEvqApJl71xn0ameHnmhRANCAAS4xlRawWuOmVdTD12TYHfgP/nGCpzy\n\
               TPguJu66MCpm9rrn+1zhMSsg+jWxrbpWeU0N1pidyW//3PLER2ZNCl/V\n-----END PRIVATE KEY-----";
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let loaded = Config::load(|name| match name {
        "APPS" => Some(
            r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#
                .to_owned(),
        ),
        "API_KEYS" => Some(format!(
            r#"[{{"name": "bench", "sha256": "{hash}", "apps": "*"}}]"#
        )),
        "APNS_KEY_KEY1234567" => Some(key.to_owned()),
        "TRANSPORT" => Some("socket".to_owned()),
        _ => None,
    });
    loaded.expect("a configuration without faults")
}

fn body() -> Vec<u8> {
    let device = |index: usize| format!(r#"{{"token":"{index:064x}","ref":"user-{index}"}}"#);
    let devices: Vec<String> = (0..DEVICES).map(device).collect();
    let payload = r#"{"aps":{"alert":{"title":"Hi","body":"there is a new message for you"},"badge":3}}"#;
    format!(
        r#"{{"notification":{{"payload":{payload}}},"devices":[{}]}}"#,
        devices.join(",")
    )
    .into_bytes()
}

/// Returns the same request, in which each device has its own payload.
fn body_with_payloads() -> Vec<u8> {
    let body = String::from_utf8(body()).expect("JSON");
    let with_payload = r#""payload":{"aps":{"badge":7},"order":{"id":20391}},"ref""#;
    body.replace("\"ref\"", with_payload).into_bytes()
}

/// Returns the same pushes as lines, without `ref`.
fn lines() -> Vec<u8> {
    let head = r#"{"notification":{"payload":{"aps":{"alert":"Hi"}}}}"#.to_owned();
    let devices = (0..DEVICES).map(|index| format!(r#"{{"token":"{index:064x}"}}"#));
    let lines: Vec<String> = std::iter::once(head).chain(devices).collect();
    lines.join("\n").into_bytes()
}

/// Reads a batch in pieces of the size of a socket's reads.
fn take_in(config: &Config, body: &[u8]) -> u32 {
    let caller = config.api_keys.first().expect("a caller").caller();
    let format = Format {
        lines_in: true,
        lines_out: false,
    };
    let mut upload = Upload::new(caller, config, format, NOW);
    for piece in body.chunks(PIECE) {
        upload.feed(piece).expect("no faults");
        std::hint::black_box(upload.take_staged());
    }
    upload.finish().expect("no faults").pushes
}

fn accepted() -> Outcome {
    let header = |name: &str| (name == "apns-id").then_some("00000000-0000-8000-8000-000000000001");
    Outcome::Answered(Reply::read(200, header, b"", Timestamp::default()))
}

/// Sends every push at once, and has each accepted.
fn fan_out() -> Vec<Receipt> {
    let mut fanout = Fanout::new(Plan {
        pushes: DEVICES,
        window: 1000,
        proven: true,
        accepted: 0,
        launch_until: NOW + Duration::from_secs(60),
        resend_until: NOW + Duration::from_secs(20),
        one_attempt: false,
    });
    let (mut receipts, mut in_flight) = (Vec::with_capacity(DEVICES), Vec::new());
    loop {
        match fanout.next(NOW) {
            Next::Launch(launch) => in_flight.push(launch),
            Next::Wait(_) => {
                let launch = in_flight.pop().expect("an attempt under way");
                receipts.extend(fanout.settle(launch, accepted(), false, NOW));
            }
            Next::Done => return receipts,
            other => panic!("nothing else happens here: {other:?}"),
        }
    }
}

fn hot_path(criterion: &mut Criterion) {
    let (config, body) = (config(), body());
    let app = config.app("shop").expect("the app");
    let mut group = criterion.benchmark_group("hot path");
    group.throughput(Throughput::Elements(
        u64::try_from(DEVICES).expect("a small number"),
    ));
    group.sample_size(20);
    group.bench_function("probe", |bench| {
        bench.iter(|| RequestProbe::read(&body, Format::JSON))
    });
    let parse =
        || SendRequest::parse_for(app, &body, Format::JSON, [7; 16], NOW).expect("an order without faults");
    group.bench_function("parse", |bench| bench.iter(parse));
    let own = body_with_payloads();
    let parse_own =
        || SendRequest::parse_for(app, &own, Format::JSON, [7; 16], NOW).expect("an order without faults");
    group.bench_function("parse with payloads", |bench| bench.iter(parse_own));
    let in_lines = lines();
    group.bench_function("take in", |bench| bench.iter(|| take_in(&config, &in_lines)));
    group.bench_function("fan out", |bench| bench.iter(fan_out));
    let (send_request, receipts) = (parse(), fan_out());
    group.bench_function("render", |bench| {
        bench.iter(|| push::answer(&send_request, &receipts, Transport::Socket))
    });
    group.finish();
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
