//! Any body in place of a batch's, in any pieces, as one document and as lines: the pieces do not matter, and what is staged
//! is read without a fault when it is sent.

#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use api::config::{API_KEYS, APPS, Config};
use api::format::Format;
use api::send_request::{Basis, Repeats};
use api::upload::{Finished, MAX_CHUNK_BYTES, MAX_CHUNK_PUSHES, Staged};
use api::{Problem, SendRequest, Upload};
use apns::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (cuts, body) = input.split_at(CUTS.min(input.len()));
    for format in [LINES, Format::JSON] {
        let whole = upload(format, &[body]);
        let cut = upload(format, &pieces(body, cuts));
        match (whole, cut) {
            (Ok((whole, chunks)), Ok((cut, others))) => {
                assert_eq!(chunks, others);
                assert_eq!(whole.sha256, cut.sha256);
                assert_eq!(
                    (whole.pushes, whole.invalid, &whole.invalid_lines),
                    (cut.pushes, cut.invalid, &cut.invalid_lines)
                );
                check_chunks(&whole, &chunks);
            }
            (Err(whole), Err(cut)) => {
                assert_eq!(whole, cut);
                assert!(matches!(whole.answer().status, 400 | 403 | 422), "{whole:?}");
            }
            (whole, cut) => panic!("{whole:?} in one piece, {cut:?} in several"),
        }
    }
});

/// The body in pieces of the lengths `cuts`; what is left is the last one.
fn pieces<'b>(body: &'b [u8], cuts: &[u8]) -> Vec<&'b [u8]> {
    let mut rest = body;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, later) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    pieces
}

fn upload(format: Format, pieces: &[&[u8]]) -> Result<(Finished<'static>, Vec<Staged>), Problem> {
    let caller = CONFIG.api_keys.first().expect("a caller").caller();
    let mut upload = Upload::new(caller, &CONFIG, format, NOW);
    let mut chunks = Vec::new();
    for piece in pieces {
        upload.feed(piece)?;
        chunks.extend(upload.take_staged());
    }
    let mut finished = upload.finish()?;
    chunks.append(&mut finished.staged);
    Ok((finished, chunks))
}

fn check_chunks(finished: &Finished<'_>, chunks: &[Staged]) {
    let mut pushes = 0;
    for chunk in chunks {
        assert_eq!(chunk.first, pushes);
        assert!(chunk.body.len() <= MAX_CHUNK_BYTES && (1..=MAX_CHUNK_PUSHES).contains(&chunk.pushes));
        pushes += chunk.pushes;
        let body = format!("{}\n{}", finished.header.head, chunk.body);
        let basis = Basis {
            seed: [7; 16],
            first: chunk.first,
            repeats: Repeats::Keep,
        };
        let send_request =
            SendRequest::parse_chunk(finished.header.app, body.as_bytes(), basis, NOW).expect("no faults");
        let requests = send_request
            .pushes
            .iter()
            .map(|push| push.request.as_ref().expect("no fault"));
        let paths: HashSet<String> = requests.map(|request| request.path()).collect();
        assert_eq!(
            (paths.len(), send_request.pushes.len()),
            (chunk.pushes as usize, chunk.pushes as usize)
        );
    }
    assert_eq!(finished.pushes, pushes);
    assert!(pushes > 0);
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config::load(|name| {
        let text = match name {
            APPS => {
                r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#
            }
            API_KEYS => API_KEYS_TEXT,
            "APNS_KEY_KEY1234567" => P8,
            _ => return None,
        };
        Some(text.to_owned())
    })
    .expect("no faults")
});

/// How many bytes before the body say where it is cut.
const CUTS: usize = 4;

const LINES: Format = Format {
    lines_in: true,
    lines_out: false,
};

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

const API_KEYS_TEXT: &str = r#"[{"name": "fuzzer", "apps": "*",
    "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]"#;

/// A key that was made for this and signs nothing.
const P8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/2J9XU3ILe7f2Md+
KA/nyLy5nhZDHVCtae/YmyYB37ShRANCAATwFVweDvEuBDiwiIhVwtZyvbaH/FHv
pYAvkex1GrkgrJqbJ0n7ZBDp0iZvoUpjKeBxgp2UiiCQQo2IPjj4tznL
-----END PRIVATE KEY-----";
