//! Where an upload's lines come from: a file or standard input, streamed and never held.
//!
//! A file is read again from its beginning if its upload breaks. What comes from standard input is gone when it is read,
//! and can not be repeated here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

use crate::body::Lines;
use crate::caller::Caller;
use crate::client::{Answer, Target};
use crate::failure::Failure;
use crate::ticker::{Ticker, mebibytes};

/// A source of lines.
#[derive(Debug)]
pub(crate) struct Source {
    /// None is standard input.
    path: Option<PathBuf>,
    can_repeat: bool,
}

impl Source {
    /// The file of this path; - is standard input.
    ///
    /// # Errors
    /// There is no such file.
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
            // A pipe with a name is read once as well.
            can_repeat: metadata.is_file(),
        })
    }

    /// Whether it can be read again from its beginning.
    pub(crate) const fn can_repeat(&self) -> bool {
        self.can_repeat
    }

    /// Uploads the lines as they are, again and again if they can be repeated; as devices behind the head, if there is one.
    ///
    /// A server that refuses an upload may close the connection before all of it is sent, and its answer is lost.
    /// `refusal` then asks a small question that would be refused for the same reason.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) fn upload(
        &self,
        caller: &Caller,
        target: &Target<'_>,
        head: Option<&str>,
        refusal: impl Fn() -> Option<Failure>,
    ) -> Result<Answer, Failure> {
        let attempt = || match self.attempt(caller, target, head) {
            Err(failure @ Failure::Unreachable { .. }) => Err(refusal().unwrap_or(failure)),
            answer => answer,
        };
        if self.can_repeat {
            caller.patiently(attempt)
        } else {
            attempt()
        }
    }

    fn attempt(&self, caller: &Caller, target: &Target<'_>, head: Option<&str>) -> Result<Answer, Failure> {
        let (input, length) = self.open()?;
        let bar = bar(caller, length);
        let mut input = Watched {
            input,
            bar: bar.clone(),
            lines: Ticker::after_a_while(caller.screen),
            read: 0,
            length,
            fault: None,
        };
        let answer = match head {
            // Tokens become devices on the way, so that the length is known at the end alone.
            Some(_) => caller
                .client
                .upload(target, &mut Lines::new(head, &mut input), None),
            None => caller.client.upload(target, &mut input, length),
        };
        bar.finish_and_clear();
        match (answer, input.fault) {
            // What looks like a broken connection was ours.
            (Err(_), Some(fault)) => Err(self.at_fault(fault)),
            (answer, _) => answer,
        }
    }

    /// Opens it from its beginning; a gzip file is decompressed. Its length is known if it is any other file.
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
            return Ok((Box::new(MultiGzDecoder::new(input)), None));
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
            // What is added while it is read is not of this upload.
            return Ok((Box::new(file.take(length)), Some(length)));
        }
        Ok((Box::new(file), None))
    }

    /// Looks at the beginning of a file of devices, before it is uploaded in vain.
    ///
    /// # Errors
    /// It is a table, or JSON that is not a device a line.
    pub(crate) fn check_lines(&self) -> Result<(), Failure> {
        let Some(path) = self.path.as_ref().filter(|_| self.can_repeat) else {
            // What is read of standard input is gone.
            return Ok(());
        };
        let mut start = Vec::new();
        let (input, _) = self.open()?;
        input
            .take(START)
            .read_to_end(&mut start)
            .map_err(|fault| self.at_fault(fault))?;
        match instead_of_lines(&String::from_utf8_lossy(&start)) {
            Some(what) => Err(Failure::Usage(format!("{}: {what}", path.display()))),
            None => Ok(()),
        }
    }

    /// The failure to read it.
    pub(crate) fn at_fault(&self, fault: io::Error) -> Failure {
        let path = self.path.clone();
        Failure::File {
            path: path.unwrap_or_else(|| PathBuf::from("standard input")),
            fault,
        }
    }
}

/// The bar of an upload of so many bytes, if that is known.
pub(crate) fn bar(caller: &Caller, length: Option<u64>) -> ProgressBar {
    caller.screen.bar(length, BAR, COUNT)
}

/// How much of a file is sent, on a line.
pub(crate) fn sent(read: u64, length: Option<u64>) -> String {
    match length {
        Some(length) => format!("{} of {} sent", mebibytes(read), mebibytes(length)),
        None => format!("{} sent", mebibytes(read)),
    }
}

/// An input that shows how far it is read, and remembers its fault.
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
                self.lines.tell(|| sent(self.read, self.length));
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

/// What a file of devices is that has no device a line.
fn instead_of_lines(start: &str) -> Option<&'static str> {
    if start.starts_with("PK\u{3}\u{4}") {
        return Some("is a ZIP file or a spreadsheet; export it as text");
    }
    if start.contains('\0') {
        return Some("is UTF-16, or no text; save it as UTF-8");
    }
    let text = start.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next().unwrap_or_default().trim_end();
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
    let is_cell_of_table = |cell: &&str| {
        let cell = cell.trim().trim_matches('"');
        let is_token = cell.len() >= 64 && cell.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token || cell.eq_ignore_ascii_case("token") || cell.eq_ignore_ascii_case("device_token")
    };
    let is_table = !is_json && cells.len() > 1 && cells.iter().any(is_cell_of_table);
    is_table.then_some(
        "is CSV; this command takes a device a line, as JSON such as {\"token\": \"…\", \"ref\": \"user-1\"} or as a token. \
         `apns-edge audience import` takes CSV",
    )
}

/// How a gzip file begins (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// How much of a file is looked at before it is uploaded.
const START: u64 = 4096;

/// The bar of an upload.
const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";

/// What is shown in its place when nobody knows how much there is.
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
