//! The source of an upload's lines: a file or standard input, streamed and never held as a whole.
//!
//! If an upload breaks, a file is read again from its beginning. Standard input can be read only once, so its
//! upload is not repeated.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use indicatif::ProgressBar;

use crate::body::Lines;
use crate::client::{Answer, Target};
use crate::failure::Failure;
use crate::session::Session;
use crate::ticker::{Ticker, mebibytes};

/// A source of lines.
#[derive(Debug)]
pub(crate) struct Source {
    /// `None` means standard input.
    path: Option<PathBuf>,
    can_repeat: bool,
}

impl Source {
    /// Returns the source with this path. `-` is standard input.
    ///
    /// # Errors
    /// The file does not exist.
    pub(crate) fn find(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                path: None,
                can_repeat: false,
            });
        }
        let metadata = path.metadata().map_err(|fault| Failure::File {
            path: path.to_owned(),
            fault,
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            // A named pipe can be read only once as well.
            can_repeat: metadata.is_file(),
        })
    }

    /// Whether it can be read again from its beginning.
    pub(crate) const fn can_repeat(&self) -> bool {
        self.can_repeat
    }

    /// Uploads the lines, and retries if the source can be read again. With a header, bare tokens become
    /// devices.
    ///
    /// A server that refuses an upload may close the connection before the whole body is sent, so its answer
    /// is lost. `refusal` then makes a small request that would be refused for the same reason.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) fn upload(
        &self,
        session: &Session,
        target: &Target<'_>,
        head: Option<&str>,
        refusal: impl Fn() -> Option<Failure>,
    ) -> Result<Answer, Failure> {
        let attempt = || match self.attempt(session, target, head) {
            Err(failure @ Failure::Unreachable { .. }) => Err(refusal().unwrap_or(failure)),
            answer => answer,
        };
        if self.can_repeat {
            session.with_retries(attempt)
        } else {
            attempt()
        }
    }

    fn attempt(&self, session: &Session, target: &Target<'_>, head: Option<&str>) -> Result<Answer, Failure> {
        let (input, length) = self.open()?;
        let bar = bar(session, length);
        let mut input = Watched {
            input,
            bar: bar.clone(),
            lines: Ticker::after_a_while(session.output),
            read: 0,
            length,
            fault: None,
        };
        let answer = match head {
            // Tokens become longer on the way, so the length is unknown.
            Some(_) => session
                .client
                .upload(target, &mut Lines::new(head, &mut input), None),
            None => session.client.upload(target, &mut input, length),
        };
        bar.finish_and_clear();
        match (answer, input.fault) {
            // The upload failed because the source could not be read.
            (Err(_), Some(fault)) => Err(self.at_fault(fault)),
            (answer, _) => answer,
        }
    }

    /// Opens it at its beginning. A gzip file is decompressed, and its length is unknown. The length of any
    /// other file is returned.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        let (mut input, length) = self.open_as_it_is()?;
        let mut start = Vec::new();
        (&mut input)
            .take(GZIP.len() as u64)
            .read_to_end(&mut start)
            .map_err(|fault| self.at_fault(fault))?;
        let is_gzip = start == GZIP;
        let input = io::Cursor::new(start).chain(input);
        if is_gzip {
            return Ok((Box::new(Members::new(input)), None));
        }
        Ok((Box::new(input), length))
    }

    fn open_as_it_is(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        let Some(path) = &self.path else {
            return Ok((Box::new(io::stdin().lock()), None));
        };
        let file = File::open(path).map_err(|fault| self.at_fault(fault))?;
        let length = file.metadata().map_err(|fault| self.at_fault(fault))?.len();
        if self.can_repeat {
            // Bytes that are appended while the file is read are not part of this upload.
            return Ok((Box::new(file.take(length)), Some(length)));
        }
        Ok((Box::new(file), None))
    }

    /// Checks the beginning of a file of devices, before it is uploaded.
    ///
    /// # Errors
    /// It is a table, or JSON without one device per line.
    pub(crate) fn check_lines(&self) -> Result<(), Failure> {
        match (self.start()?.as_deref().and_then(instead_of_lines), &self.path) {
            (Some(what), Some(path)) => Err(Failure::Usage(format!("{}: {what}", path.display()))),
            _ => Ok(()),
        }
    }

    /// Whether it begins with the names of a table's columns. Returns `false` for standard input, which can be
    /// read only once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn is_table(&self) -> Result<bool, Failure> {
        let start = self.start()?;
        Ok(start.is_some_and(|start| names_columns(first_line(&start))))
    }

    /// Returns the beginning of a file that can be read again.
    fn start(&self) -> Result<Option<String>, Failure> {
        if self.path.is_none() || !self.can_repeat {
            return Ok(None);
        }
        let mut start = Vec::new();
        let (input, _) = self.open()?;
        input
            .take(START)
            .read_to_end(&mut start)
            .map_err(|fault| self.at_fault(fault))?;
        Ok(Some(String::from_utf8_lossy(&start).into_owned()))
    }

    /// Returns the failure of reading it.
    pub(crate) fn at_fault(&self, fault: io::Error) -> Failure {
        let path = self.path.clone();
        Failure::File {
            path: path.unwrap_or_else(|| PathBuf::from("standard input")),
            fault,
        }
    }
}

/// Decompresses the members of a gzip file. Zeros after a member are ignored: some tools fill a block with them.
struct Members<R>(Option<GzDecoder<BufReader<R>>>);

impl<R: Read> Members<R> {
    fn new(input: R) -> Self {
        Self(Some(GzDecoder::new(BufReader::new(input))))
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.0.take().map(GzDecoder::into_inner);
            self.0 = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// Returns the decoder of the next member, if there is one.
fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let piece = rest.fill_buf()?;
        if piece.is_empty() {
            return Ok(None);
        }
        let zeros = piece.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(Some(GzDecoder::new(rest)));
        }
        rest.consume(zeros);
    }
}

/// Returns the progress bar of an upload. `length` is its size in bytes, if known.
pub(crate) fn bar(session: &Session, length: Option<u64>) -> ProgressBar {
    session.output.bar(length, BAR, COUNT)
}

/// Returns how much was sent, as one line.
pub(crate) fn sent(read: u64, length: Option<u64>) -> String {
    match length {
        Some(length) => format!("{} of {} sent", mebibytes(read), mebibytes(length)),
        None => format!("{} sent", mebibytes(read)),
    }
}

/// An input that shows how much of it was read, and stores its error.
struct Watched {
    input: Box<dyn Read>,
    bar: ProgressBar,
    lines: Ticker,
    read: u64,
    length: Option<u64>,
    fault: Option<io::Error>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.bar.inc(count as u64);
                self.read += count as u64;
                self.lines.print(|| sent(self.read, self.length));
                Ok(count)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.fault = Some(error);
                Err(told)
            }
        }
    }
}

/// Returns what a file contains in place of one device per line.
fn instead_of_lines(start: &str) -> Option<&'static str> {
    if start.starts_with("PK\u{3}\u{4}") {
        return Some("is a ZIP file or a spreadsheet; export it as text");
    }
    if start.contains('\0') {
        return Some("is UTF-16, or no text; save it as UTF-8");
    }
    let line = first_line(start);
    if line == "{" {
        return Some(
            "is one JSON document over several lines; each device is one line, as `jq -c` writes them",
        );
    }
    if line == "[" || line.starts_with("[{") || line.starts_with("[\"") {
        return Some("is one JSON array; each device is one line, as `jq -c '.[]'` writes them");
    }
    let is_json = line.starts_with(['{', '[']);
    let cells: Vec<&str> = line.split([',', ';', '\t']).collect();
    let is_token = |cell: &&str| {
        let cell = cell.trim().trim_matches('"');
        cell.len() >= 64 && cell.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let is_row = !is_json && cells.len() > 1 && cells.iter().any(is_token);
    let is_table = is_row || names_columns(line);
    is_table.then_some(
        "is CSV; this command takes a device a line, as JSON such as {\"token\": \"…\", \"ref\": \"user-1\"} or as a token. \
         `apns-edge audience import` takes CSV",
    )
}

/// Returns the first line that is not blank.
fn first_line(start: &str) -> &str {
    let text = start.trim_start_matches('\u{feff}').trim_start();
    text.split(['\n', '\r']).next().unwrap_or_default().trim_end()
}

/// Whether a line has the names of a table's columns, or says what separates them, as spreadsheets write it.
fn names_columns(line: &str) -> bool {
    let is_name = |cell: &str| {
        let cell = cell.trim().trim_matches('"');
        cell.eq_ignore_ascii_case("token") || cell.eq_ignore_ascii_case("device_token")
    };
    let is_json = line.starts_with(['{', '[']);
    !is_json && (separates(line) || line.split([',', ';', '\t']).any(is_name))
}

/// Whether a line is a spreadsheet's `sep=,`.
pub(crate) fn separates(line: &str) -> bool {
    let line = line.trim_start_matches(['\u{feff}', '"']);
    line.get(..SEPARATES.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SEPARATES))
}

/// What a spreadsheet writes before the character that separates the cells.
const SEPARATES: &str = "sep=";

/// The first bytes of a gzip file (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// How much of a file is checked before it is uploaded.
const START: u64 = 4096;

/// The bar of an upload.
const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";

/// The display if the length is unknown.
const COUNT: &str = "{spinner} {bytes} sent, {bytes_per_sec}";

#[test]
fn a_file_that_is_no_list_of_devices_is_named_for_what_it_is() {
    let token = "a1".repeat(32);
    for table in [
        "token,ref\n".to_owned(),
        "\u{feff}\"ref\";\"Token\"\r\n".to_owned(),
        format!("{token},user-1\n"),
        format!("user-1\t{token}"),
    ] {
        assert!(
            instead_of_lines(&table).is_some_and(|what| what.starts_with("is CSV")),
            "{table}"
        );
    }
    for (start, what) in [
        (&b"PK\x03\x04\x14\0"[..], "spreadsheet"),
        (b"\xff\xfe{\0\"\0", "UTF-16"),
    ] {
        let start = String::from_utf8_lossy(start);
        assert!(
            instead_of_lines(&start).is_some_and(|told| told.contains(what)),
            "{what}"
        );
    }
    assert!(instead_of_lines("[\n{").is_some_and(|what| what.contains("array")));
    assert!(instead_of_lines("{\n  \"devices\"").is_some_and(|what| what.contains("document")));
    for table in ["token\n", "\"Device_Token\"\r00ff", "sep=,\r\ntoken,ref\r\n"] {
        let told = instead_of_lines(table);
        assert!(told.is_some_and(|what| what.starts_with("is CSV")), "{table}");
    }
    for lines in [
        "",
        "00ff\n",
        "{\"token\": \"00ff\", \"ref\": 1}\n",
        "<00ff 11ee>\n",
        &token,
    ] {
        assert_eq!(instead_of_lines(lines), None, "{lines}");
    }
}
