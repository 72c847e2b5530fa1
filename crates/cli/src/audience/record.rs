//! Reads a file of devices record by record: where each one ends, and at which line it begins.
//!
//! A row of CSV has several lines if a quoted field contains line breaks (RFC 4180, section 2). The contents
//! of a record are parsed by the server. Lines are counted by their line feeds, as `csv-core` counts them.
//! Memory holds one record, up to a limit.

use std::io::{self, BufRead};
use std::mem;

use csv_core::{ReadFieldResult, Reader};

/// Reads a file record by record.
pub(crate) struct Records<R> {
    source: R,
    ends: Ends,
    /// The last record, including its end, unless it is too long.
    bytes: Vec<u8>,
    is_too_long: bool,
    line: u64,
    next_line: u64,
}

/// How a record ends.
enum Ends {
    /// At a line feed.
    Line,
    /// At the end of a row of CSV.
    Row(Box<Rows>),
}

/// Finds the ends of rows of CSV.
struct Rows {
    reader: Reader,
    /// The output of the CSV reader, which is not used.
    field: [u8; FIELD],
    /// Whether a row has ended with a carriage return, so that a following line feed belongs to the same end.
    is_after_return: bool,
}

impl<R: BufRead> Records<R> {
    /// Reads the lines of a source.
    pub(crate) const fn lines(source: R) -> Self {
        Self::new(source, Ends::Line)
    }

    /// Reads the rows of a CSV source. Blank lines belong to the row after them.
    pub(crate) fn rows(source: R) -> Self {
        let rows = Rows {
            reader: Reader::new(),
            field: [0; FIELD],
            is_after_return: false,
        };
        Self::new(source, Ends::Row(Box::new(rows)))
    }

    const fn new(source: R, ends: Ends) -> Self {
        Self {
            source,
            ends,
            bytes: Vec::new(),
            is_too_long: false,
            line: 1,
            next_line: 1,
        }
    }

    /// Reads the next record, and keeps it if it has at most `limit` bytes. Returns `false` at the end.
    ///
    /// # Errors
    /// The source's error.
    pub(crate) fn advance(&mut self, limit: usize) -> io::Result<bool> {
        self.bytes.clear();
        self.is_too_long = false;
        self.line = self.next_line;
        let mut is_there = false;
        loop {
            let piece = self.source.fill_buf()?;
            if piece.is_empty() {
                return Ok(is_there);
            }
            is_there = true;
            let (size, is_end) = self.ends.find(piece);
            let bytes = piece.get(..size).unwrap_or(piece);
            self.next_line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.is_too_long |= self.bytes.len() + size > limit;
            if !self.is_too_long {
                self.bytes.extend_from_slice(bytes);
            }
            self.source.consume(size);
            if is_end {
                return Ok(true);
            }
        }
    }

    /// Returns the record, including its end, or `None` if it is longer than the limit.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        (!self.is_too_long).then_some(&self.bytes)
    }

    /// Returns the line at which the record begins, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Returns the line at which the next record begins.
    pub(crate) const fn next_line(&self) -> u64 {
        self.next_line
    }
}

impl Ends {
    /// Returns how much of this non-empty piece belongs to the record, and whether the record ends there.
    fn find(&mut self, piece: &[u8]) -> (usize, bool) {
        match self {
            Self::Line => match piece.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (piece.len(), false),
            },
            Self::Row(rows) => rows.find(piece),
        }
    }
}

impl Rows {
    fn find(&mut self, piece: &[u8]) -> (usize, bool) {
        if mem::take(&mut self.is_after_return) {
            if piece.first() != Some(&b'\n') {
                return (0, true);
            }
            self.reader.read_field(b"\n", &mut self.field);
            return (1, true);
        }
        let mut rest = piece;
        // The CSV reader takes an empty input for the end of the file.
        while !rest.is_empty() {
            let (result, size, _) = self.reader.read_field(rest, &mut self.field);
            let (field, left) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = left;
            if result == (ReadFieldResult::Field { record_end: true }) {
                self.is_after_return = field.last() == Some(&b'\r');
                return (piece.len() - rest.len(), !self.is_after_return);
            }
        }
        (piece.len(), false)
    }
}

/// The size of the CSV reader's output. Device tokens fit, so that few calls are needed.
const FIELD: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    type Pieces<'t> = BufReader<&'t [u8]>;

    /// Reads the records, in pieces of this many bytes. Returns each with the line at which it begins.
    fn read<'t>(
        records: fn(Pieces<'t>) -> Records<Pieces<'t>>,
        text: &'t str,
        size: usize,
    ) -> Vec<(u64, String)> {
        let mut records = records(BufReader::with_capacity(size, text.as_bytes()));
        let mut all = Vec::new();
        while records.advance(usize::MAX).unwrap() {
            let bytes = records.bytes().unwrap().to_vec();
            all.push((records.line(), String::from_utf8(bytes).unwrap()));
        }
        all
    }

    #[test]
    fn a_row_ends_where_no_quote_is_open() {
        let long = "x".repeat(3 * FIELD);
        let long_row = format!("{long},{long}\n");
        for (text, expected) in [
            ("a,b\nc,d\n", vec![(1, "a,b\n"), (2, "c,d\n")]),
            ("a\r\nb\r\n", vec![(1, "a\r\n"), (2, "b\r\n")]),
            ("a,\"1\n2\r\n3\"\nb", vec![(1, "a,\"1\n2\r\n3\"\n"), (4, "b")]),
            ("\"a\"\"\n\",b\nc\n", vec![(1, "\"a\"\"\n\",b\n"), (3, "c\n")]),
            // A quote inside a field that is not quoted is a character.
            ("a\"\nb\"\n", vec![(1, "a\"\n"), (2, "b\"\n")]),
            ("a\n\n\r\nb\n", vec![(1, "a\n"), (2, "\n\r\nb\n")]),
            // Old systems end lines so; nobody counts them as lines.
            ("a\rb\r", vec![(1, "a\r"), (1, "b\r")]),
            ("a\n\"b\nc\n", vec![(1, "a\n"), (2, "\"b\nc\n")]),
            (long_row.as_str(), vec![(1, long_row.as_str())]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(line, text)| (line, text.to_owned()))
                .collect();
            for size in [1, 2, 7, 8192] {
                assert_eq!(read(Records::rows, text, size), expected, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_line_ends_with_its_line_feed_whatever_it_holds() {
        let expected = [(1, "\"a\r\n"), (2, "\n"), (3, "b\"")].map(|(line, text)| (line, text.to_owned()));
        for size in [1, 3, 8192] {
            assert_eq!(read(Records::lines, "\"a\r\n\nb\"", size), expected);
        }
    }

    #[test]
    fn a_record_is_held_up_to_the_limit_and_counted_beyond() {
        let mut records = Records::lines(BufReader::with_capacity(2, "1234\n12345\n1\n".as_bytes()));
        let mut all = Vec::new();
        while records.advance(5).unwrap() {
            assert!(records.bytes.len() <= 5);
            all.push((records.line(), records.bytes().map(<[u8]>::to_vec)));
        }
        assert_eq!(
            all,
            [
                (1, Some(b"1234\n".to_vec())),
                (2, None),
                (3, Some(b"1\n".to_vec()))
            ]
        );
        assert_eq!(records.next_line(), 4);
    }

    proptest! {
        #[test]
        fn rows_put_together_are_the_file_in_whatever_pieces_it_comes(text in "[ab,\"\r\n]{0,60}", size in 1_usize..20) {
            let rows = read(Records::rows, &text, size);
            prop_assert_eq!(&rows, &read(Records::rows, &text, 8192));
            let mut line = 1;
            for (begin, row) in &rows {
                prop_assert_eq!(*begin, line);
                line += row.matches('\n').count() as u64;
            }
            let whole: String = rows.into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
