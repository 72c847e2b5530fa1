//! The content coding of a body: identity or gzip. Source: RFC 9110 section 8.4, RFC 1952.
//!
//! The platform passes on a request's body undecoded. It is decoded here and not by the platform's
//! `DecompressionStream`, which drops a second gzip member and does not limit the ratio of output to input.
//! Decoded bytes are passed on in pieces of bounded size. Limits and fingerprints apply to the decoded bytes.

use std::io::{self, Write};

use flate2::write::GzDecoder;

use super::problem::{Kind, Problem};

/// The coding of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// No coding.
    #[default]
    Identity,
    /// gzip, with one or more members.
    Gzip,
}

impl Coding {
    /// Returns the coding that the header `Content-Encoding` names.
    ///
    /// # Errors
    /// 415 with `Accept-Encoding` for any other coding, and for several.
    pub fn of(content_encoding: Option<&str>) -> Result<Self, Problem> {
        let value = content_encoding.unwrap_or_default();
        let codings = value.split(',').map(str::trim);
        let mut codings = codings.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(Self::Identity),
            (Some(name), None) if is_gzip(name) => Ok(Self::Gzip),
            _ => {
                let detail = "Content-Encoding must be `gzip`, or be left out";
                let problem = Problem::new(Kind::UnsupportedCoding, detail);
                Err(problem.with_header("accept-encoding", "gzip, identity"))
            }
        }
    }

    /// Returns its name, for internal requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

fn is_gzip(name: &str) -> bool {
    ["gzip", "x-gzip"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Decodes a body as it arrives.
pub struct Decoder {
    /// `None` if the body has no coding.
    gzip: Option<Gzip>,
    /// The most decoded bytes.
    limit: u64,
}

struct Gzip {
    /// The decoder of the current member.
    decoder: GzDecoder<Vec<u8>>,
    /// Whether the last member is complete, and no other has begun.
    is_between: bool,
    /// Whether any bytes were read.
    has_begun: bool,
    /// The number of decoded bytes.
    size: u64,
}

impl Decoder {
    /// Creates the decoder of a body with this coding.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        Self::of_at_most(MAX_DECODED, coding)
    }

    fn of_at_most(limit: u64, coding: Coding) -> Self {
        let gzip = (coding == Coding::Gzip).then(|| Gzip {
            decoder: GzDecoder::new(Vec::new()),
            is_between: false,
            has_begun: false,
            size: 0,
        });
        Self { gzip, limit }
    }

    /// Whether the body has no coding.
    #[must_use]
    pub const fn is_identity(&self) -> bool {
        self.gzip.is_none()
    }

    /// Decodes a part of `bytes`. Returns how many of them it consumed, and the decoded bytes, at most some 4
    /// MB.
    ///
    /// # Errors
    /// 400 if they are not gzip, 413 if the body has more than [`MAX_DECODED`] bytes.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(usize, Vec<u8>), Problem> {
        let Some(gzip) = &mut self.gzip else {
            return Ok((bytes.len(), bytes.to_vec()));
        };
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        gzip.has_begun |= !piece.is_empty();
        gzip.write(piece).map_err(|_| not_gzip())?;
        Ok((piece.len(), gzip.take(self.limit)?))
    }

    /// Ends the body. Returns the last decoded bytes.
    ///
    /// # Errors
    /// 400 if the body is incomplete.
    pub fn finish(&mut self) -> Result<Vec<u8>, Problem> {
        match &mut self.gzip {
            Some(gzip) if gzip.has_begun => {
                if !gzip.is_between {
                    gzip.decoder.try_finish().map_err(|_| cut_off())?;
                }
                gzip.take(self.limit)
            }
            Some(_) | None => Ok(Vec::new()),
        }
    }
}

impl Gzip {
    /// Decodes consecutive members. Zeros after a member are skipped, because some tools pad blocks with
    /// them.
    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        loop {
            if self.is_between {
                let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                rest = rest.get(zeros..).unwrap_or_default();
            }
            if rest.is_empty() {
                return Ok(());
            }
            if std::mem::take(&mut self.is_between) {
                let decoded = std::mem::take(self.decoder.get_mut());
                self.decoder = GzDecoder::new(decoded);
            }
            let taken = self.decoder.write(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0 {
                self.decoder.try_finish()?;
                self.is_between = true;
            }
        }
    }

    fn take(&mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        let decoded = std::mem::take(self.decoder.get_mut());
        let size = u64::try_from(decoded.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(size);
        if self.size > limit {
            let detail = format!("the decompressed body has more than {limit} bytes; send it in parts");
            return Err(Problem::new(Kind::BodyTooLarge, detail));
        }
        Ok(decoded)
    }
}

fn not_gzip() -> Problem {
    let detail = "the body is not gzip, as Content-Encoding says, or is damaged";
    Problem::new(Kind::NotJson, detail)
}

fn cut_off() -> Problem {
    let detail = "the gzip body is cut off or damaged: its end or its checksum is not right";
    Problem::new(Kind::NotJson, detail)
}

/// The most decoded bytes of a body: ten million lines of 100 bytes, the limit of a batch.
pub const MAX_DECODED: u64 = 1 << 30;

/// How many bytes are decoded at once. Each may expand to a thousand, so at most 4 MB are held.
const PIECE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode_with(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, Problem> {
        let mut out = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (taken, decoded) = decoder.decode(rest)?;
                rest = &rest[taken..];
                out.push(decoded);
            }
        }
        out.push(decoder.finish()?);
        Ok(out)
    }

    fn decode(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, Problem> {
        decode_with(&mut Decoder::new(coding), pieces).map(|out| out.concat())
    }

    #[test]
    fn gzip_is_known_by_each_of_its_names_and_another_coding_is_refused() {
        for (value, coding) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("identity"), Coding::Identity),
            (Some("gzip"), Coding::Gzip),
            (Some("X-GZIP"), Coding::Gzip),
            (Some("identity, gzip"), Coding::Gzip),
        ] {
            assert_eq!(Coding::of(value), Ok(coding), "{value:?}");
        }
        for value in ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "none"] {
            let problem = Coding::of(Some(value)).unwrap_err();
            assert_eq!(problem.kind().status(), 415, "{value}");
            let answer = problem.answer();
            assert!(
                answer
                    .headers
                    .contains(&("accept-encoding", "gzip, identity".to_owned()))
            );
            assert!(answer.body.contains("must be `gzip`"), "{}", answer.body);
        }
    }

    #[test]
    fn every_gzip_member_is_read() {
        let body = [gzip(b"{\"a\":1}\n"), gzip(b""), gzip(b"{\"b\":2}\n")].concat();
        assert_eq!(decode(Coding::Gzip, &[&body]).unwrap(), b"{\"a\":1}\n{\"b\":2}\n");
        assert_eq!(decode(Coding::Gzip, &[]).unwrap(), b"");
        assert_eq!(decode(Coding::Identity, &[&body]).unwrap(), body);
    }

    #[test]
    fn zeros_behind_a_gzip_member_are_ignored() {
        let (one, two, zeros) = (gzip(b"one"), gzip(b"two"), vec![0; 10_240]);
        let padded = [&one[..], &zeros].concat();
        assert_eq!(decode(Coding::Gzip, &[&padded]).unwrap(), b"one");
        for size in [1, 7, 4096] {
            let pieces: Vec<&[u8]> = padded.chunks(size).collect();
            assert_eq!(decode(Coding::Gzip, &pieces).unwrap(), b"one");
        }
        let both = [&one[..], &zeros, &two, &zeros].concat();
        assert_eq!(decode(Coding::Gzip, &[&both]).unwrap(), b"onetwo");
        let damaged = [&one[..], &zeros, b"more"].concat();
        assert!(decode(Coding::Gzip, &[&damaged]).is_err());
        assert!(decode(Coding::Gzip, &[&zeros]).is_err(), "there is no member");
    }

    #[test]
    fn a_gzip_body_that_is_cut_off_or_damaged_is_an_error() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let body = gzip(&text);
        for end in [
            1,
            5,
            10,
            11,
            body.len() / 2,
            body.len() - 9,
            body.len() - 8,
            body.len() - 1,
        ] {
            let problem = decode(Coding::Gzip, &[&body[..end]]).unwrap_err();
            assert_eq!(problem.kind(), Kind::NotJson, "cut off at {end}");
        }
        let twice = [&body[..], &body[..body.len() - 4]].concat();
        assert!(
            decode(Coding::Gzip, &[&twice]).is_err(),
            "the second member is cut off"
        );
        for place in [0, 2, body.len() / 2, body.len() - 6, body.len() - 2] {
            let mut damaged = body.clone();
            damaged[place] ^= 0xff;
            assert!(decode(Coding::Gzip, &[&damaged]).is_err(), "damaged at {place}");
        }
        assert!(decode(Coding::Gzip, &[b"{\"app\":\"shop\"}"]).is_err());
        assert!(decode(Coding::Gzip, &[&[&body[..], b"more"].concat()]).is_err());
    }

    #[test]
    fn the_limit_of_what_comes_out_is_exact() {
        let body = gzip(&[b'a'; 1000]);
        let decode = |limit| decode_with(&mut Decoder::of_at_most(limit, Coding::Gzip), &[&body]);
        assert_eq!(decode(1000).unwrap().concat().len(), 1000);
        assert_eq!(decode(999).unwrap_err().kind(), Kind::BodyTooLarge);
    }

    #[test]
    fn a_body_may_have_as_many_decompressed_bytes_as_documented_and_no_more() {
        const MEMBER: usize = 64 << 20;
        let member = gzip(&vec![0; MEMBER]);
        let members = usize::try_from(MAX_DECODED).unwrap() / MEMBER;
        let size = |more: &[u8]| {
            let mut decoder = Decoder::new(Coding::Gzip);
            let mut size = 0;
            for mut body in std::iter::repeat_n(&member[..], members).chain([more]) {
                while !body.is_empty() {
                    let (taken, out) = decoder.decode(body)?;
                    body = &body[taken..];
                    size += out.len();
                }
            }
            Ok::<usize, Problem>(size + decoder.finish()?.len())
        };
        assert_eq!(size(&[]).unwrap(), members * MEMBER);
        assert_eq!(size(&gzip(b"a")).unwrap_err().kind(), Kind::BodyTooLarge);
    }

    #[test]
    fn little_that_becomes_much_comes_out_in_pieces_of_a_bounded_size() {
        let body = gzip(&vec![0; 64 << 20]);
        assert!(body.len() < 1 << 20);
        let out = decode_with(&mut Decoder::new(Coding::Gzip), &[&body]).unwrap();
        assert_eq!(out.iter().map(Vec::len).sum::<usize>(), 64 << 20);
        let largest = out.iter().map(Vec::len).max();
        assert!(largest <= Some(5 << 20), "{largest:?}");
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4), size in 1..40_usize
        ) {
            let body: Vec<u8> = texts.iter().flat_map(|text| gzip(text)).collect();
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            prop_assert_eq!(decode(Coding::Gzip, &pieces).unwrap(), texts.concat());
        }

        #[test]
        fn decoding_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Coding::Gzip, &[&body]);
            let _ = decode(Coding::Gzip, &[&gzip(&body)[..5], &body]);
        }
    }
}
