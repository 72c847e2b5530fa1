//! Finds the frames of HTTP/2 in a stream of bytes.
//!
//! It reads the nine bytes before each frame and skips the contents. It keeps the contents of SETTINGS and
//! GOAWAY, which `h2` does not pass on. Source: RFC 9113 sections 3.4, 4.1, 6.5 and 6.8.

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Its kind: [`DATA`], [`HEADERS`] ...
    pub(super) kind: u8,
    /// Its flags: [`END_STREAM`], [`ACK`] ...
    pub(super) flags: u8,
    /// Its stream; 0 for the connection.
    pub(super) stream: u32,
}

impl Head {
    /// Whether this frame ends its side of its stream.
    pub(super) const fn ends_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Follows one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes before the first frame.
    preface: usize,
    /// The bytes of a head that arrived in pieces.
    partial: Vec<u8>,
    head: Head,
    /// Bytes of the frame that are still to come; `None` between two frames.
    left: Option<usize>,
    /// The contents of a frame, if they are kept.
    kept: Vec<u8>,
}

impl Frames {
    /// Creates a reader of what the server sends.
    pub(super) fn of_server() -> Self {
        Self::default()
    }

    /// Creates a reader of what the client sends, which begins with the preface.
    pub(super) fn of_client() -> Self {
        Self {
            preface: PREFACE_LEN,
            ..Self::default()
        }
    }

    /// Reads `bytes` and calls `each` for every frame that ends in them. Passes the contents of SETTINGS and
    /// GOAWAY.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Head, &[u8])) {
        let mut rest = skip(bytes, &mut self.preface);
        loop {
            let mut left = match self.left {
                Some(left) => left,
                None => match self.begin(&mut rest) {
                    Some(left) => left,
                    None => return,
                },
            };
            let there = rest.len().min(left);
            if matches!(self.head.kind, SETTINGS | GO_AWAY) && self.kept.len() < MAX_KEPT {
                self.kept.extend(rest.iter().take(there));
            }
            rest = skip(rest, &mut left);
            if left > 0 {
                self.left = Some(left);
                return;
            }
            self.left = None;
            each(self.head, &self.kept);
            self.kept.clear();
        }
    }

    /// Reads a head and returns the length of its contents. Returns `None` if the head is not complete.
    fn begin(&mut self, rest: &mut &[u8]) -> Option<usize> {
        let head = if self.partial.is_empty()
            && let Some((head, after)) = rest.split_first_chunk::<HEAD_LEN>()
        {
            *rest = after;
            *head
        } else {
            let missing = HEAD_LEN - self.partial.len();
            let (here, after) = rest.split_at(missing.min(rest.len()));
            self.partial.extend_from_slice(here);
            *rest = after;
            let head = <[u8; HEAD_LEN]>::try_from(self.partial.as_slice()).ok()?;
            self.partial.clear();
            head
        };
        let [a, b, c, kind, flags, stream @ ..] = head;
        self.head = Head {
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & MAX_STREAM,
        };
        Some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }
}

/// Skips the first `count` bytes and returns the rest. Lowers `count` by the number of skipped bytes.
fn skip<'b>(bytes: &'b [u8], count: &mut usize) -> &'b [u8] {
    let (skipped, rest) = bytes.split_at((*count).min(bytes.len()));
    *count -= skipped.len();
    rest
}

/// Returns the value of MAX_CONCURRENT_STREAMS in the contents of a SETTINGS frame.
pub(super) fn stream_limit(settings: &[u8]) -> Option<u32> {
    let mut limit = None;
    for setting in settings.chunks_exact(6) {
        if let Ok([id @ .., a, b, c, d]) = <[u8; 6]>::try_from(setting)
            && u16::from_be_bytes(id) == MAX_CONCURRENT_STREAMS
        {
            limit = Some(u32::from_be_bytes([a, b, c, d]));
        }
    }
    limit
}

/// Returns the last stream id, the error code and the debug data from the contents of a GOAWAY frame.
pub(super) fn go_away(contents: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (last, rest) = contents.split_first_chunk::<4>()?;
    let (code, debug) = rest.split_first_chunk::<4>()?;
    Some((
        u32::from_be_bytes(*last) & MAX_STREAM,
        u32::from_be_bytes(*code),
        debug,
    ))
}

/// The highest stream id; the bit above it is reserved.
pub(super) const MAX_STREAM: u32 = 0x7fff_ffff;

/// The frame kinds, flags and the one setting that are used here.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GO_AWAY: u8 = 7;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// The length of a frame's head.
const HEAD_LEN: usize = 9;

/// The length of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE_LEN: usize = 24;

/// The maximum size of contents that are kept. Frames are no larger unless we allow it.
const MAX_KEPT: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, contents: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(contents.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(contents);
        bytes
    }

    #[test]
    fn a_settings_frame_says_how_many_streams() {
        assert_eq!(
            stream_limit(&[0, 4, 0, 0, 255, 255, 0, 3, 0, 0, 3, 232]),
            Some(1000)
        );
        assert_eq!(stream_limit(&[0, 4, 0, 0, 255, 255]), None);
        assert_eq!(stream_limit(&[]), None);
    }

    #[test]
    fn a_go_away_has_its_last_stream_its_code_and_its_debug_data() {
        assert_eq!(go_away(b"\0\0\0\x05\0\0\0\0{}"), Some((5, 0, &b"{}"[..])));
        assert_eq!(
            go_away(b"\xff\xff\xff\xff\0\0\0\x0b"),
            Some((MAX_STREAM, 11, &b""[..]))
        );
        assert_eq!(go_away(b"\0\0\0\x05\0\0"), None);
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec((0u8..10, any::<u8>(), 0u32..9, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in prop::collection::vec(1usize..20, 1..200),
            client: bool,
        ) {
            let mut bytes = if client { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec() } else { Vec::new() };
            let mut expected = Vec::new();
            for (kind, flags, stream, contents) in frames {
                bytes.extend(frame(kind, flags, stream, &contents));
                let kept = if matches!(kind, SETTINGS | GO_AWAY) { contents } else { Vec::new() };
                expected.push((Head { kind, flags, stream }, kept));
            }
            let mut scanner = if client { Frames::of_client() } else { Frames::of_server() };
            let mut found = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                scanner.feed(piece, |head, kept| found.push((head, kept.to_vec())));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_contents_are_read_without_a_panic(contents in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (stream_limit(&contents), go_away(&contents));
        }
    }
}
