//! Reads a CSV table (`text/csv`, RFC 4180) as it arrives, and splits it into records.
//!
//! Memory holds one record at a time.

use csv_core::{ReadRecordResult, Reader};

use super::MAX_LINE;
use super::columns::Columns;
use crate::config::App;
use crate::ndjson;
use crate::problem::{LineFaults, Problem};
use apns::fault::{self, FaultKind, Faults};
use campaign::audience::Device;

/// A table that is being read.
pub(super) struct Table {
    reader: Reader,
    /// The columns. `None` before the header.
    columns: Option<Columns>,
    /// The cells of the current record, one after the other.
    cells: Vec<u8>,
    /// The end of each cell.
    ends: Vec<usize>,
    /// The size of the record in bytes, kept or not.
    size: usize,
    /// The number of its complete cells, kept or not.
    count: usize,
    /// How many of the bytes are kept, and how many of the ends.
    kept: (usize, usize),
    /// The number of complete lines.
    ended: u32,
    /// Whether the last byte was `\r`, which `\n` may complete.
    after_return: bool,
    /// The line on which the current record begins. `None` between two records.
    line: Option<u32>,
    /// The state of the record's quotes.
    quotes: Quotes,
}

/// The state of a record's quotes. A quote that is not closed where its cell ends would include the rows
/// after it.
#[derive(Clone, Copy, Debug, Default)]
struct Quotes {
    place: Place,
    /// Whether a quote was closed in the middle of a cell.
    is_broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    CellStart,
    Plain,
    Quoted,
    /// After a quote in a quoted cell: either its end, or the first of two.
    Quote,
}

impl Quotes {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.place = match (self.place, byte) {
                (Place::CellStart | Place::Quote, b'"') => Place::Quoted,
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Quoted, _) => Place::Quoted,
                (_, b',' | b'\r' | b'\n') => Place::CellStart,
                (Place::Quote, _) => {
                    self.is_broken = true;
                    Place::Plain
                }
                (Place::CellStart | Place::Plain, _) => Place::Plain,
            };
        }
    }
}

/// A row of a table.
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub(super) line: u32,
    /// Its size in bytes.
    pub(super) size: usize,
    /// The device.
    pub(super) device: Result<Device, Faults>,
    /// The warnings about values that were left out.
    pub(super) warnings: Vec<String>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            columns: None,
            cells: vec![0; FIRST_SIZE],
            ends: vec![0; MAX_COLUMNS],
            size: 0,
            count: 0,
            kept: (0, 0),
            ended: 0,
            after_return: false,
            line: None,
            quotes: Quotes::default(),
        }
    }
}

impl Table {
    /// Reads the next bytes, and passes on the records that end in them.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        app: &App,
        take: &mut impl FnMut(Record),
    ) -> Result<(), Problem> {
        if self.columns.is_none() && self.line.is_none() {
            // After a byte order mark, a quote would not begin a quoted cell.
            bytes = fault::without_mark(bytes);
        }
        loop {
            if self.line.is_none() {
                bytes = self.skip_line_ends(bytes);
            }
            // An empty input would mean the end of the table.
            if bytes.is_empty() {
                return Ok(());
            }
            let line = self.ended.saturating_add(1);
            self.line.get_or_insert(line);
            bytes = self.read(bytes, app, take)?;
        }
    }

    /// Ends the table.
    pub(super) fn finish(&mut self, app: &App, take: &mut impl FnMut(Record)) -> Result<(), Problem> {
        if let Some(line) = self.line
            && self.quotes.place == Place::Quoted
        {
            return Err(open_quote(line, self.ended.saturating_add(1)));
        }
        // The reader needs one call for a record without a line end, and may need more room for it.
        while self.line.is_some() {
            self.read(&[], app, take)?;
        }
        Ok(())
    }

    /// Reads the current record. Returns the bytes after it.
    fn read<'b>(
        &mut self,
        bytes: &'b [u8],
        app: &App,
        take: &mut impl FnMut(Record),
    ) -> Result<&'b [u8], Problem> {
        let (cells, ends) = self.kept;
        let room = self.cells.get_mut(cells..).unwrap_or_default();
        let places = self.ends.get_mut(ends..).unwrap_or_default();
        let (result, read, written, ended) = self.reader.read_record(bytes, room, places);
        self.kept = (cells + written, ends + ended);
        self.size = self.size.saturating_add(written);
        self.count = self.count.saturating_add(ended);
        let (before, behind) = bytes.split_at_checked(read).unwrap_or((bytes, &[]));
        self.count_lines(before);
        self.quotes.pass(before);
        if let Some(line) = self.line
            && self.ended > line
            && self.size > MAX_LINE
            && self.quotes.place == Place::Quoted
        {
            return Err(open_quote(line, self.ended));
        }
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull if self.cells.len() <= MAX_LINE => {
                self.cells
                    .resize(self.cells.len().saturating_mul(2).min(MAX_LINE + 1), 0);
            }
            // Of a record that is too large, only the size and the number of cells are kept.
            ReadRecordResult::OutputFull => self.kept.0 = 0,
            ReadRecordResult::OutputEndsFull => self.kept.1 = 0,
            ReadRecordResult::Record => self.end_record(app, take)?,
            ReadRecordResult::End => self.line = None,
        }
        Ok(behind)
    }

    fn end_record(&mut self, app: &App, take: &mut impl FnMut(Record)) -> Result<(), Problem> {
        let (size, count) = (std::mem::take(&mut self.size), std::mem::take(&mut self.count));
        self.kept = (0, 0);
        let line = self.line.take().unwrap_or(self.ended);
        if std::mem::take(&mut self.quotes).is_broken && self.ended > line {
            return Err(open_quote(line, self.ended));
        }
        let Some(columns) = &self.columns else {
            let cells = self.cells(size, count);
            if cells.as_ref().is_ok_and(|cells| is_separator(cells)) {
                return Ok(());
            }
            let header = cells.and_then(|cells| Columns::read(&cells));
            self.columns = Some(header.map_err(|faults| problem(line, &faults))?);
            return Ok(());
        };
        let cells = self.cells(size, count);
        let is_blank = |cells: &Vec<&[u8]>| cells.iter().all(|cell| cell.trim_ascii().is_empty());
        if cells.as_ref().is_ok_and(is_blank) {
            return Ok(());
        }
        let mut warnings = Vec::new();
        let device = cells.and_then(|cells| columns.device(&cells, app, &mut warnings));
        take(Record {
            line,
            size,
            device,
            warnings,
        });
        Ok(())
    }

    /// Returns the cells of a record.
    fn cells(&self, size: usize, count: usize) -> Result<Vec<&[u8]>, Faults> {
        if size > MAX_LINE {
            return Err(ndjson::too_long(size, MAX_LINE));
        }
        if count > MAX_COLUMNS {
            let (size, limit, unit) = (count, MAX_COLUMNS, "cells");
            return Err(ndjson::of_line(FaultKind::TooLong { size, limit, unit }));
        }
        let mut start = 0;
        let ends = self.ends.get(..count).unwrap_or_default();
        let texts = ends.iter().map(|end| {
            let text = self.cells.get(start..*end).unwrap_or_default();
            start = *end;
            text
        });
        Ok(texts.collect())
    }

    /// Returns the bytes without leading line ends.
    fn skip_line_ends<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let count = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let (ends, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.count_lines(ends);
        rest
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let ends_line = *byte == b'\r' || (*byte == b'\n' && !self.after_return);
            self.after_return = *byte == b'\r';
            self.ended = self.ended.saturating_add(u32::from(ends_line));
        }
    }
}

/// Whether the cells are `sep=,`, with which spreadsheets say what separates the cells.
fn is_separator(cells: &[&[u8]]) -> bool {
    let line = cells.join(&b',').to_ascii_lowercase();
    line == b"sep=,"
}

/// Returns the problem of a quote that includes other rows.
fn open_quote(line: u32, last: u32) -> Problem {
    let text = format!(
        "has a quote that is not closed: it takes in everything up to line {last}. Close it, or write each quote inside a \
         quoted cell twice. Then import all rows again: only some of those before this line have been imported"
    );
    problem(line, &ndjson::of_line(FaultKind::Invalid(text)))
}

/// Returns the problem of a header with faults.
fn problem(line: u32, faults: &Faults) -> Problem {
    let mut lines = LineFaults::default();
    for fault in faults.listed() {
        lines.push(line, fault.clone());
    }
    Problem::invalid_lines(Faults::default(), lines)
}

/// More columns than a device has fields and attributes.
const MAX_COLUMNS: usize = 128;

/// Enough for a usual record. It grows to [`MAX_LINE`].
const FIRST_SIZE: usize = 1024;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    /// The records of a table that comes in these pieces: line, and device or faults.
    fn read_pieces(pieces: &[&[u8]]) -> Result<Vec<(u32, String)>, Problem> {
        let config = fixture::config();
        let app = &config.apps[0];
        let (mut table, mut found) = (Table::default(), Vec::new());
        let mut take = |record: Record| {
            let told = match record.device {
                Ok(device) => serde_json::to_string(&device).unwrap(),
                Err(faults) => faults.to_string(),
            };
            found.push((record.line, told));
        };
        for piece in pieces {
            table.feed(piece, app, &mut take)?;
        }
        table.finish(app, &mut take)?;
        Ok(found)
    }

    pub(in crate::audience) fn read(text: &str) -> Vec<(u32, String)> {
        read_pieces(&[text.as_bytes()]).unwrap()
    }

    pub(in crate::audience) fn refused(text: &str) -> String {
        read_pieces(&[text.as_bytes()]).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_bad_row_is_told_with_its_line_and_blank_ones_are_passed() {
        let text = "token,ref\n\n\nabcd,a\n,b\n,\nxyz,c\nabcd\nabcd,d,e\n\"\",f";
        let told: Vec<String> = read(text)
            .into_iter()
            .map(|(line, told)| format!("{line} {told}"))
            .collect();
        assert_eq!(
            told,
            [
                r#"4 {"token":"abcd","ref":"a"}"#,
                "5 /token: is required",
                "7 /token: has a character at position 0 that is not a hex digit",
                "8 the body has another number of cells than the header: 1, and not 2",
                "9 the body has another number of cells than the header: 3, and not 2",
                "10 /token: is required",
            ]
        );
        let bytes: &[u8] = b"token,ref\nabcd,\xff\n";
        assert_eq!(read_pieces(&[bytes]).unwrap()[0].1, "/ref: is not UTF-8");
    }

    #[test]
    fn rows_have_the_numbers_of_their_lines_whatever_ends_a_line() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["token,ref", "abcd,\"a", "b\"", "", "xyz,c", ""].join(end);
            let bytes = text.as_bytes();
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            for pieces in [&pieces[..], &[bytes]] {
                let told = read_pieces(pieces).unwrap();
                let lines: Vec<u32> = told.iter().map(|(line, _)| *line).collect();
                assert_eq!(lines, [2, 5], "{end:?}");
            }
        }
    }

    #[test]
    fn marks_inside_joined_tables_are_no_part_of_a_cell() {
        let told = read("\u{feff}\u{feff}token,ref\nabcd,a\n\u{feff}abce,b\n");
        assert_eq!(told[1].1, r#"{"token":"abce","ref":"b"}"#);
        let told = read("ref,token\n\u{feff}a,\u{feff}abcd\n");
        assert_eq!(told[0].1, r#"{"token":"abcd","ref":"a"}"#);
    }

    #[test]
    fn a_first_line_that_says_what_separates_the_cells_is_no_header() {
        for line in ["sep=,", "SEP=,", "\"sep=,\"", "\u{feff}sep=,"] {
            let told = read(&format!("{line}\r\ntoken,ref\r\nabcd,a\r\n"));
            assert_eq!(told, [(3, r#"{"token":"abcd","ref":"a"}"#.to_owned())], "{line}");
        }
        assert!(refused("sep=;\ntoken;ref\n").contains("separated by `;`"));
    }

    #[test]
    fn a_table_without_a_header_is_named_and_no_token_is_quoted() {
        let token = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";
        for row in [
            format!("{token},x\n"),
            format!("x,{token}\n"),
            format!("{token};x\n"),
            format!("{token}\n"),
        ] {
            let told = refused(&row);
            assert_eq!(
                told,
                "line 1 has a device token, and must have the names of the columns, such as `token,ref`"
            );
        }
    }

    #[test]
    fn a_header_with_faults_ends_the_intake() {
        assert_eq!(
            refused("tokens,ref\n"),
            "line 1: /tokens: is not a known field; did you mean `token`?; line 1: /token: is required"
        );
        assert_eq!(refused("ref"), "line 1: /token: is required");
        assert_eq!(
            refused("token,first_name"),
            "line 1: /first_name: is not a known column; one of your own is named `attributes.first_name`"
        );
        assert_eq!(
            refused("token,ref,token\n"),
            "line 1: /token: names a second column; keep one of them"
        );
        assert_eq!(
            refused("token,attributes.\n"),
            "line 1: /attributes.: has no name"
        );
        for header in [
            "token;ref\n",
            "\u{feff}\"token\";\"ref\"\r\n",
            "sep=;\ntoken;ref\n",
        ] {
            assert_eq!(
                refused(header),
                "line 1 has columns that are separated by `;`; separate them by commas"
            );
        }
        assert_eq!(
            refused("token\tref\n"),
            "line 1 has columns that are separated by tabs; separate them by commas"
        );
        let wide = |attributes: usize| -> String {
            let names: Vec<String> = (0..attributes)
                .map(|number| format!(",attributes.a{number}"))
                .collect();
            format!("token{}\n", names.concat())
        };
        assert_eq!(read(&wide(64)), []);
        assert_eq!(
            refused(&wide(65)),
            "line 1 is 65 attributes long; the limit is 64"
        );
        assert_eq!(refused(&wide(200)), "line 1 is 201 cells long; the limit is 128");
        assert_eq!(
            refused(&wide(127)),
            "line 1 is 127 attributes long; the limit is 64"
        );
        assert_eq!(refused(&wide(128)), "line 1 is 129 cells long; the limit is 128");
        assert_eq!((read(""), read("\n")), (vec![], vec![]));
    }

    #[test]
    fn the_limit_of_a_row_is_exact_and_what_is_longer_is_not_kept() {
        // Sixteen cells of a kilobyte each.
        let names: Vec<String> = (0..17).map(|number| format!(",attributes.a{number}")).collect();
        let header = format!("token{}\n", names.concat());
        let row = |rest: usize| {
            format!(
                "abcd{},{}\n",
                format!(",{}", "x".repeat(1023)).repeat(16),
                "y".repeat(rest)
            )
        };
        let at_limit = MAX_LINE - 4 - 16 * 1023;
        assert!(
            read(&format!("{header}{}", row(at_limit)))[0]
                .1
                .starts_with("{\"token\"")
        );
        let over = format!("{header}{}{}", row(at_limit + 1), row(at_limit));
        let told = read(&over);
        assert_eq!(
            told[0].1,
            format!("the body is {} bytes long; the limit is {MAX_LINE}", MAX_LINE + 1)
        );
        assert!(told[1].1.starts_with("{\"token\""));
        let config = fixture::config();
        let mut table = Table::default();
        table.feed(b"token\n\"", &config.apps[0], &mut |_| {}).unwrap();
        for _ in 0..100 {
            table.feed(&[b'a'; 10_000], &config.apps[0], &mut |_| {}).unwrap();
        }
        assert!(table.cells.len() <= MAX_LINE + 1);
    }

    #[test]
    fn an_open_quote_takes_in_no_rows_in_silence() {
        let rows = |count: usize| -> String { (0..count).map(|row| format!("ab{row:04x},x\n")).collect() };
        for after in [
            format!("abcd,\"x\n{}", rows(20)),
            format!("abcd,\"x\n{}", rows(9950)),
            // Closed by the next quote, far behind.
            format!("abcd,\"x\n{}abce,\"y\"\n", rows(20)),
            format!("abcd,\"x\n{}abce,\"y, z\"\n", rows(20)),
        ] {
            let told = refused(&format!("token,ref\n{}{after}", rows(49)));
            assert!(
                told.starts_with("line 51 has a quote that is not closed"),
                "{told}"
            );
        }
        // The same in a file whose lines end at `\r`.
        let after = format!(
            "token,ref\rabcd,\"x\r{}abce,\"y\"\r",
            rows(20).replace('\n', "\r")
        );
        let told = refused(&after);
        assert!(
            told.starts_with("line 2 has a quote that is not closed"),
            "{told}"
        );
        // A cell of several lines is a cell.
        assert_eq!(read("token,ref\nabcd,\"a\n\"\"b\"\"\"\nabce,5\" pipe\n").len(), 2);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            body in "(ab|[,\"\r\n a;])*", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
        ) {
            let body = format!("token,ref,attributes.a\n{body}");
            let body = body.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            places.extend([0, body.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let told = |read: Result<Vec<(u32, String)>, Problem>| read.map_err(|problem| problem.detail().to_owned());
            prop_assert_eq!(told(read_pieces(&pieces)).is_ok(), told(read_pieces(&[body])).is_ok());
            if let Ok(whole) = read_pieces(&[body]) {
                prop_assert_eq!(read_pieces(&pieces).unwrap(), whole);
            }
        }

        #[test]
        fn reading_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_pieces(&[&body]);
            let _ = read_pieces(&[b"token,tags,attributes.a\n", &body]);
        }
    }
}
