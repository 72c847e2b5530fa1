//! HTTP/2 frames as bytes: the headers of all frames, and the few frames that the server builds itself.
//!
//! Source: RFC 9113 sections 4.1 and 6. The values of the first SETTINGS frame are those observed at Apple's
//! servers.

/// The length of a frame's header.
pub(crate) const HEAD_LENGTH: usize = 9;

/// The client's connection preface (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The flag that ends a stream, on DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 0x1;

/// The flag of an acknowledgement, on SETTINGS and PING.
pub(crate) const ACK: u8 = 0x1;

/// The size of the HPACK table at Apple.
pub(crate) const HEADER_TABLE_SIZE: u32 = 4096;

/// The initial window of a stream at Apple.
pub(crate) const INITIAL_WINDOW_SIZE: u32 = 65_535;

/// The largest frame at Apple.
pub(crate) const MAX_FRAME_SIZE: u32 = 16_384;

/// The largest header list at Apple.
pub(crate) const MAX_HEADER_LIST_SIZE: u32 = 8000;

/// The payload of the PING after a GOAWAY.
const PING_MARK: [u8; 8] = *b"farewell";

const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
const SETTINGS_MAX_FRAME_SIZE: u16 = 5;
const SETTINGS_MAX_HEADER_LIST_SIZE: u16 = 6;

/// The relevant frame types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Ping,
    GoAway,
    Other,
}

impl Kind {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            6 => Self::Ping,
            7 => Self::GoAway,
            _ => Self::Other,
        }
    }
}

/// The header of a frame: nine bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// The length of the payload.
    pub(crate) length: usize,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    /// Parses the header at the start of `bytes`, if it is complete.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD_LENGTH>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// Whether a flag is set.
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the length of the frame including its header.
    pub(crate) fn whole(self) -> usize {
        HEAD_LENGTH + self.length
    }
}

/// Returns the first SETTINGS, with the stream limit before a valid token.
pub(crate) fn initial_settings(stream_limit: u32) -> Vec<u8> {
    settings(&[
        (SETTINGS_HEADER_TABLE_SIZE, HEADER_TABLE_SIZE),
        (SETTINGS_MAX_CONCURRENT_STREAMS, stream_limit),
        (SETTINGS_INITIAL_WINDOW_SIZE, INITIAL_WINDOW_SIZE),
        (SETTINGS_MAX_FRAME_SIZE, MAX_FRAME_SIZE),
        (SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_SIZE),
    ])
}

/// Returns SETTINGS with a new stream limit.
pub(crate) fn stream_limit(limit: u32) -> Vec<u8> {
    settings(&[(SETTINGS_MAX_CONCURRENT_STREAMS, limit)])
}

/// Returns a GOAWAY.
pub(crate) fn go_away(last: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    frame(7, &[&last.to_be_bytes(), &code.to_be_bytes(), debug].concat())
}

/// Returns the PING after a GOAWAY.
pub(crate) fn ping() -> Vec<u8> {
    frame(6, &PING_MARK)
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in values {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(4, &payload)
}

/// Returns a frame of stream 0 without flags.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut bytes = length.get(1..).unwrap_or_default().to_vec();
    bytes.extend([kind, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_frame_reads_back() {
        let bytes = go_away(5, 0, b"{}");
        let head = FrameHead::read(&bytes).unwrap();
        assert_eq!(
            head,
            FrameHead {
                length: 10,
                kind: Kind::GoAway,
                flags: 0,
                stream: 0
            }
        );
        assert_eq!(head.whole(), bytes.len());
        assert_eq!(bytes[9..], [0, 0, 0, 5, 0, 0, 0, 0, b'{', b'}']);
    }

    #[test]
    fn the_first_settings_are_apples() {
        let bytes = initial_settings(1);
        let values: Vec<(u16, u32)> = bytes[9..]
            .chunks(6)
            .map(|c| {
                (
                    u16::from_be_bytes([c[0], c[1]]),
                    u32::from_be_bytes([c[2], c[3], c[4], c[5]]),
                )
            })
            .collect();
        assert_eq!(values, [(1, 4096), (3, 1), (4, 65_535), (5, 16_384), (6, 8000)]);
    }
}
