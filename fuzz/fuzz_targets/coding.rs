//! Any bytes in place of a gzip body, and any body compressed: the pieces do not matter, and what comes out is what went in.

#![no_main]

use std::io::Write;

use api::Problem;
use api::coding::{Coding, Decoder};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (cuts, body) = input.split_at(CUTS.min(input.len()));
    assert_eq!(decode(body, &[]), decode(body, cuts));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("room");
    let mut member = encoder.finish().expect("room");
    let decoded = decode(&member, cuts).expect("what was compressed");
    assert_eq!(decoded, body);
    member.extend_from_slice(&member.clone());
    assert_eq!(decode(&member, cuts).expect("two members").len(), 2 * body.len());
});

/// The body in pieces of the lengths `cuts`; what is left is the last one.
fn cut<'b>(body: &'b [u8], cuts: &[u8]) -> Vec<&'b [u8]> {
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

fn decode(body: &[u8], cuts: &[u8]) -> Result<Vec<u8>, Problem> {
    let (mut decoder, mut decoded) = (Decoder::new(Coding::Gzip), Vec::new());
    for mut piece in cut(body, cuts) {
        while !piece.is_empty() {
            let (taken, out) = decoder.decode(piece)?;
            decoded.extend(out);
            piece = &piece[taken..];
        }
    }
    decoded.extend(decoder.finish()?);
    Ok(decoded)
}

/// How many bytes before the body say where it is cut.
const CUTS: usize = 4;
