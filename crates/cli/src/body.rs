//! Streams lines of devices, after the header of a send request if there is one.
//!
//! A file of devices contains what the server accepts: one JSON object per line, or a bare device token,
//! which is converted to an object here. Everything else is passed on unchanged, because the server validates
//! devices. Only the beginning of a line is held, so that the memory is the same for every file
//! ([`MAX_HELD`]).

use std::io::{self, Read};

/// Reads the lines of a request. After an error of its source it is at its end.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: WithoutMark<R>,
    /// The last piece of the source. `taken` of its `filled` bytes are processed.
    piece: Box<[u8; PIECE]>,
    taken: usize,
    filled: usize,
    is_at_end: bool,
    line: Line,
    /// The bytes that can be read, from `read` on.
    ready: Vec<u8>,
    read: usize,
}

/// The state of the current line.
#[derive(Debug)]
enum Line {
    /// It may be a bare token. These are its characters so far.
    Token(Vec<u8>),
    /// It is something else, which is passed on unchanged.
    Other,
}

impl<R: Read> Lines<R> {
    /// Creates the reader of `devices`, after the header if there is one.
    pub(crate) fn new(head: Option<&str>, devices: R) -> Self {
        Self {
            source: WithoutMark::new(devices),
            piece: Box::new([0; PIECE]),
            taken: 0,
            filled: 0,
            is_at_end: false,
            line: Line::Token(Vec::new()),
            ready: head
                .map(|head| format!("{head}\n").into_bytes())
                .unwrap_or_default(),
            read: 0,
        }
    }

    /// Prepares the next bytes, unless the source is at its end.
    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.read = 0;
        while self.ready.is_empty() && !self.is_at_end {
            self.filled = self.source.read(self.piece.as_mut_slice())?;
            self.taken = 0;
            self.is_at_end = self.filled == 0;
            while let Some(byte) = self.piece.get(self.taken).filter(|_| self.taken < self.filled) {
                self.line.add(*byte, &mut self.ready);
                self.taken += 1;
            }
            if self.is_at_end {
                self.line.end(&mut self.ready);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.ready.len() {
            self.refill()?;
        }
        let mut ready = self.ready.get(self.read..).unwrap_or_default();
        let count = ready.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl Line {
    /// Processes a byte, and writes what is certain.
    fn add(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self {
            _ if byte == b'\n' => {
                self.end(out);
                out.push(byte);
            }
            Self::Token(characters) => {
                characters.push(byte);
                let may_be_token = byte.is_ascii_hexdigit() || byte.is_ascii_whitespace();
                if !may_be_token || characters.len() > MAX_TOKEN {
                    out.append(characters);
                    *self = Self::Other;
                }
            }
            Self::Other => out.push(byte),
        }
    }

    /// Ends a line, and writes what was held back.
    fn end(&mut self, out: &mut Vec<u8>) {
        if let Self::Token(characters) = self {
            let token = characters.trim_ascii();
            if token.is_empty() || token.iter().any(u8::is_ascii_whitespace) {
                out.append(characters);
            } else {
                out.extend_from_slice(b"{\"token\":\"");
                out.extend_from_slice(token);
                out.extend_from_slice(b"\"}");
            }
        }
        *self = Self::Token(Vec::new());
    }
}

/// Removes the byte order mark at the beginning of a source, which editors and spreadsheets write. After a
/// header it would be part of the first device.
#[derive(Debug)]
struct WithoutMark<R> {
    source: R,
    /// The first bytes that were not returned yet. `None` before the first read.
    first: Option<io::Cursor<Vec<u8>>>,
}

impl<R: Read> WithoutMark<R> {
    const fn new(source: R) -> Self {
        Self { source, first: None }
    }
}

impl<R: Read> Read for WithoutMark<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let first = match &mut self.first {
            Some(first) => first,
            None => {
                let mut start = Vec::with_capacity(MARK.len());
                let mut source = (&mut self.source).take(MARK.len() as u64);
                source.read_to_end(&mut start)?;
                if start == MARK {
                    start.clear();
                }
                self.first.insert(io::Cursor::new(start))
            }
        };
        match first.read(buffer)? {
            0 => self.source.read(buffer),
            count => Ok(count),
        }
    }
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// How much of the source is read at once: large enough for few system calls, and small in memory.
const PIECE: usize = 16 * 1024;

/// The longest line that can be a bare token. The server accepts 256 hex digits, and there may be spaces
/// around them.
const MAX_TOKEN: usize = 320;

/// The length of what is added to a bare token.
#[cfg(test)]
const WRAPPING: usize = "{\"token\":\"\"}".len();

/// The most bytes that are held at any time, without the header: a piece, a line that may be a token, and the
/// output of a piece. That output is largest when each line is a single digit.
#[cfg(test)]
const MAX_HELD: usize = PIECE + MAX_TOKEN + (PIECE / 2 + 1) * (2 + WRAPPING) + MAX_TOKEN + WRAPPING;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(devices: &str) -> String {
        let mut text = String::new();
        Lines::new(Some("{}"), devices.as_bytes())
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn a_bare_token_becomes_a_device_and_the_rest_stays() {
        let digits = "0123456789abcdefABCDEF";
        let long = "a".repeat(MAX_TOKEN + 1);
        for (devices, expected) in [
            (digits, format!("{{\"token\":\"{digits}\"}}")),
            (
                "  00ff \r\n00fe\n",
                "{\"token\":\"00ff\"}\n{\"token\":\"00fe\"}\n".to_owned(),
            ),
            (
                "{\"token\": \"00ff\"}\r\n\n",
                "{\"token\": \"00ff\"}\r\n\n".to_owned(),
            ),
            ("00 ff\n", "00 ff\n".to_owned()),
            ("ab,cd\n00ff", "ab,cd\n{\"token\":\"00ff\"}".to_owned()),
            ("<00ff>\n", "<00ff>\n".to_owned()),
            ("\u{feff}00ff\n", "{\"token\":\"00ff\"}\n".to_owned()),
            ("\u{feff}{}\n\u{feff}", "{}\n\u{feff}".to_owned()),
            ("0", "{\"token\":\"0\"}".to_owned()),
            (&long, long.clone()),
            ("", String::new()),
        ] {
            assert_eq!(body(devices), format!("{{}}\n{expected}"), "{devices}");
        }
    }

    #[test]
    fn devices_may_come_without_a_head() {
        let mut text = String::new();
        Lines::new(None, "00ff\n".as_bytes())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "{\"token\":\"00ff\"}\n");
    }

    #[test]
    fn a_fault_of_the_source_is_told() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is away"))
            }
        }
        let mut text = String::new();
        let error = Lines::new(Some("{}"), Broken)
            .read_to_string(&mut text)
            .unwrap_err();
        assert_eq!(
            (text.as_str(), error.to_string().as_str()),
            ("{}\n", "the disk is away")
        );
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_in_which_pieces_the_source_comes(
            lines in prop::collection::vec("[0-9a-f]{0,12}|[ -~]{0,12}", 0..20),
            size in 1_usize..40,
        ) {
            struct Pieces<'t>(&'t [u8], usize);
            impl Read for Pieces<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    let size = self.1.min(buffer.len());
                    self.0.read(&mut buffer[..size])
                }
            }
            let devices = lines.join("\n");
            let mut text = String::new();
            Lines::new(Some("{}"), Pieces(devices.as_bytes(), size)).read_to_string(&mut text).unwrap();
            prop_assert_eq!(text, body(&devices));
        }
    }

    /// A source of this many bytes, generated as they are read, so that the test holds no file either.
    struct Endless<'t> {
        line: &'t [u8],
        at: usize,
        left: usize,
    }

    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.left);
            for byte in &mut buffer[..count] {
                *byte = self.line[self.at % self.line.len()];
                self.at += 1;
            }
            self.left -= count;
            Ok(count)
        }
    }

    /// Returns the most bytes held while this many lines are read, and how many lines were written.
    fn most_held(line: &[u8], lines: usize) -> (usize, usize) {
        let source = Endless {
            line,
            at: 0,
            left: line.len() * lines,
        };
        let mut lines = Lines::new(Some("{}"), source);
        let (mut buffer, mut most, mut ends) = ([0; 1000], 0, 0);
        loop {
            let count = lines.read(&mut buffer).unwrap();
            ends += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
            let token = match &lines.line {
                Line::Token(characters) => characters.len(),
                Line::Other => 0,
            };
            most = most.max(lines.piece.len() + lines.ready.len() + token);
            if count == 0 {
                return (most, ends - 1);
            }
        }
    }

    #[test]
    fn the_memory_is_the_same_for_every_file() {
        let token = format!("{}\n", "a1".repeat(32));
        let device = format!("{{\"token\": \"{}\", \"ref\": \"user\"}}\n", "a1".repeat(32));
        for line in [token.as_str(), device.as_str(), "a\n"] {
            let (few, many) = (
                most_held(line.as_bytes(), 20_000),
                most_held(line.as_bytes(), 200_000),
            );
            assert_eq!((few.1, many.1), (20_000, 200_000));
            assert!(many.0 <= MAX_HELD, "{} bytes held", many.0);
            assert_eq!(few.0, many.0);
        }
    }

    #[test]
    fn a_file_without_line_breaks_is_not_held_either() {
        let (most, _) = most_held(b"{\"token\": ", 200_000);
        assert!(most <= MAX_HELD, "{most} bytes held");
        let (most, _) = most_held(b"0", 2_000_000);
        assert!(most <= MAX_HELD, "{most} bytes held");
    }
}
