//! Splits a file of devices into parts. Each part is the body of one request.
//!
//! Cloudflare accepts bodies of 100 MB on most of its plans, and files may have any size. A part ends at the
//! end of a record, and begins with the file's header: the first row of a table. Memory holds the current
//! part, so that it can be sent again wherever it came from, and the record after it. That is at most two
//! parts, whatever the size of the file.

use std::io::{self, BufRead};

use super::record::Records;
use crate::source::separates;

/// Splits a file.
pub(crate) struct Parts<R> {
    records: Records<R>,
    /// The most bytes of a part.
    limit: usize,
    /// Records before this line are skipped.
    from_line: u64,
    head: Vec<u8>,
    state: State,
}

/// The state of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The header was not read yet.
    Head,
    /// The next record was not read yet.
    Between,
    /// The record that was read did not fit into the previous part.
    Pending,
    End,
}

/// A part of a file, with the file's header before it.
pub(crate) struct Part {
    /// The body to send.
    pub(crate) body: Vec<u8>,
    /// The lines of records that are too long for a part and are left out.
    pub(crate) too_long: Vec<u64>,
    head: usize,
    /// The number of lines of the header.
    head_lines: u64,
    /// The line of the file at which the part's first record begins.
    line: u64,
}

impl<R: BufRead> Parts<R> {
    /// Splits a file of lines into parts of at most `limit` bytes, beginning at line `from_line`.
    pub(crate) const fn lines(source: R, limit: usize, from_line: u64) -> Self {
        Self::new(Records::lines(source), State::Between, limit, from_line)
    }

    /// Splits a table with a header in the first row.
    pub(crate) fn table(source: R, limit: usize, from_line: u64) -> Self {
        Self::new(Records::rows(source), State::Head, limit, from_line)
    }

    const fn new(records: Records<R>, state: State, limit: usize, from_line: u64) -> Self {
        Self {
            records,
            limit,
            from_line,
            head: Vec::new(),
            state,
        }
    }

    /// Returns the next part. There is a first part even if the file is empty, and the last one may be empty
    /// as well.
    ///
    /// # Errors
    /// The source's error, or a header that does not fit into a part.
    pub(crate) fn cut(&mut self) -> io::Result<Option<Part>> {
        if self.state == State::End {
            return Ok(None);
        }
        if self.state == State::Head {
            self.read_head()?;
        }
        let mut part = Part {
            body: self.head.clone(),
            too_long: Vec::new(),
            head: self.head.len(),
            head_lines: self.head.iter().filter(|byte| **byte == b'\n').count() as u64,
            line: self.line(),
        };
        let room = self.limit.saturating_sub(self.head.len());
        while self.state == State::Pending || self.records.advance(room)? {
            self.state = State::Between;
            let line = self.records.line();
            if line < self.from_line {
                continue;
            }
            match self.records.bytes() {
                None => {
                    part.too_long.push(line);
                    // The lines of a part must be consecutive.
                    if !part.is_empty() {
                        return Ok(Some(part));
                    }
                }
                Some(record) if part.body.len() + record.len() > self.limit => {
                    self.state = State::Pending;
                    return Ok(Some(part));
                }
                Some(record) => {
                    if part.is_empty() {
                        part.line = line;
                    }
                    part.body.extend_from_slice(record);
                }
            }
        }
        self.state = State::End;
        Ok(Some(part))
    }

    /// Returns the line at which the next part begins.
    pub(crate) const fn line(&self) -> u64 {
        match self.state {
            State::Pending => self.records.line(),
            State::Head | State::Between | State::End => self.records.next_line(),
        }
    }

    fn read_head(&mut self) -> io::Result<()> {
        self.state = State::Between;
        self.records.advance(self.limit)?;
        let Some(head) = self.records.bytes() else {
            let told = format!(
                "the row of names is longer than a request of {} bytes",
                self.limit
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        };
        self.head.extend_from_slice(head);
        // A spreadsheet may say in a line of its own what separates the cells.
        let is_first = self.head.len() == head.len();
        if is_first && separates(&String::from_utf8_lossy(head)) {
            return self.read_head();
        }
        Ok(())
    }
}

impl Part {
    /// Whether it has no record.
    pub(crate) const fn is_empty(&self) -> bool {
        self.body.len() == self.head
    }

    /// Returns the line of the file for a line of the body. The header is that of the file.
    pub(crate) const fn line_of_file(&self, line: u64) -> u64 {
        match line.checked_sub(self.head_lines) {
            None | Some(0) => line,
            Some(line) => (line - 1).saturating_add(self.line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write;

    const ALL: u64 = 1;

    /// Returns the bodies of all parts, and the lines that are left out.
    fn cut<R: BufRead>(mut parts: Parts<R>) -> (Vec<String>, Vec<u64>) {
        let (mut bodies, mut too_long) = (Vec::new(), Vec::new());
        while let Some(part) = parts.cut().unwrap() {
            assert!(part.body.len() <= parts.limit);
            too_long.extend(&part.too_long);
            bodies.push(String::from_utf8(part.body).unwrap());
        }
        (bodies, too_long)
    }

    fn lines(text: &str, limit: usize) -> (Vec<String>, Vec<u64>) {
        cut(Parts::lines(text.as_bytes(), limit, ALL))
    }

    fn table(text: &str, limit: usize) -> (Vec<String>, Vec<u64>) {
        cut(Parts::table(text.as_bytes(), limit, ALL))
    }

    #[test]
    fn a_part_is_full_at_exactly_its_limit() {
        let text = "1234\n1234\n1234\n1234";
        for (limit, sizes) in [
            (100, vec![19]),
            (19, vec![19]),
            (18, vec![15, 4]),
            (10, vec![10, 9]),
            (9, vec![5, 5, 9]),
            (5, vec![5, 5, 5, 4]),
        ] {
            let (bodies, too_long) = lines(text, limit);
            let found: Vec<usize> = bodies.iter().map(String::len).collect();
            assert_eq!((found, too_long), (sizes, vec![]), "{limit}");
            assert_eq!(bodies.concat(), text);
        }
        // No empty part behind the last line feed.
        assert_eq!(lines("1234\n1234\n", 5).0, ["1234\n", "1234\n"]);
    }

    #[test]
    fn the_head_of_a_table_is_in_each_part_and_of_its_size() {
        let text = "t,r\r\n1,a\r\n2,b\r\n3,c\r\n";
        for (limit, bodies) in [
            (20, vec![text]),
            (19, vec!["t,r\r\n1,a\r\n2,b\r\n", "t,r\r\n3,c\r\n"]),
            (15, vec!["t,r\r\n1,a\r\n2,b\r\n", "t,r\r\n3,c\r\n"]),
            (14, vec!["t,r\r\n1,a\r\n", "t,r\r\n2,b\r\n", "t,r\r\n3,c\r\n"]),
        ] {
            assert_eq!(
                table(text, limit),
                (bodies.into_iter().map(str::to_owned).collect(), vec![])
            );
        }
    }

    #[test]
    fn a_table_is_not_cut_within_quotes() {
        let text = "t,r\n1,\"a\nb\"\n2,\"c\n\nd\"\n";
        let (bodies, _) = table(text, 16);
        assert_eq!(
            bodies,
            ["t,r\n1,\"a\nb\"\n", "t,r\n2,\"c\n\nd\"\n"].map(str::to_owned)
        );
    }

    #[test]
    fn a_record_that_no_part_has_room_for_is_left_out() {
        assert_eq!(
            lines("1\n123456\n123\n12345\n", 5),
            (
                vec!["1\n".to_owned(), "123\n".to_owned(), String::new()],
                vec![2, 4]
            )
        );
        assert_eq!(lines("123456", 5), (vec![String::new()], vec![1]));
        // With the head it is too long; and the quote that nobody closes takes the rest.
        let (bodies, too_long) = table("t\n123\n1\n1234\n2\n\"5\n6\n7\n", 6);
        assert_eq!(
            (bodies.concat(), too_long),
            ("t\n123\nt\n1\nt\n2\nt\n".to_owned(), vec![4, 6])
        );
    }

    #[test]
    fn a_head_that_no_part_has_room_for_is_an_error() {
        let head = |limit| Parts::table("token\n1\n".as_bytes(), limit, ALL).cut().map(drop);
        assert!(head(6).is_ok());
        let error = head(5).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the row of names is longer than a request of 5 bytes"
        );
    }

    #[test]
    fn what_is_empty_is_one_empty_part() {
        assert_eq!(lines("", 5).0, [""]);
        assert_eq!(table("", 5).0, [""]);
        assert_eq!(table("t\n", 5).0, ["t\n"]);
        assert_eq!(cut(Parts::lines("1\n2\n".as_bytes(), 5, 9)).0, [""]);
    }

    #[test]
    fn lines_of_a_part_are_told_as_lines_of_the_file() {
        let mut parts = Parts::table("t,r\n1,a\n2,\"b\nb\"\n3,c\n4,d\n".as_bytes(), 12, ALL);
        let mut all = Vec::new();
        while let Some(part) = parts.cut().unwrap() {
            let told: Vec<u64> = (1..=3).map(|line| part.line_of_file(line)).collect();
            all.push((told, parts.line()));
        }
        assert_eq!(all, [(vec![1, 2, 3], 3), (vec![1, 3, 4], 5), (vec![1, 5, 6], 7)]);
        let part = Parts::lines("1\n123456\n2\n3\n".as_bytes(), 5, 2)
            .cut()
            .unwrap()
            .unwrap();
        assert_eq!((part.line_of_file(1), part.line_of_file(2)), (3, 4));
    }

    #[test]
    fn from_the_line_that_is_told_the_rest_is_cut() {
        let text = "t,r\n1,a\n2,\"b\nb\"\n3,c\n4,d\n";
        let mut parts = Parts::table(text.as_bytes(), 12, ALL);
        let first = parts.cut().unwrap().unwrap();
        assert_eq!(first.body, b"t,r\n1,a\n");
        let (rest, _) = cut(Parts::table(text.as_bytes(), 12, parts.line()));
        assert_eq!(rest, table(text, 12).0[1..]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_parts_and_each_line_is_known(
            breaks in prop::collection::vec(any::<bool>(), 0..30),
            limit in 14_usize..60,
        ) {
            let mut text = "t,r\n".to_owned();
            let mut line = 2;
            for is_broken in breaks {
                // A row says on which line it begins.
                let field = if is_broken { "\"\n\"" } else { "" };
                writeln!(text, "{line},{field}").unwrap();
                line += 1 + u64::from(is_broken);
            }
            let mut parts = Parts::table(text.as_bytes(), limit, ALL);
            let mut whole = "t,r\n".to_owned();
            while let Some(part) = parts.cut().unwrap() {
                prop_assert!(part.body.len() <= limit && part.too_long.is_empty());
                let body = std::str::from_utf8(&part.body).unwrap();
                for (at, row) in (1..).zip(body.lines()).skip(1) {
                    if let Ok(line) = row.trim_end_matches([',', '"']).parse::<u64>() {
                        prop_assert_eq!(part.line_of_file(at), line);
                    }
                }
                whole.push_str(body.strip_prefix("t,r\n").unwrap());
            }
            prop_assert_eq!(whole, text);
        }
    }
}
