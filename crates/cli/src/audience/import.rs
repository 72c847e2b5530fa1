//! `apns-edge audience import` and `remove`: adds devices to an audience, or removes them.
//!
//! Both can be repeated: a known device is updated, and a removed one stays removed.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, value_parser};

use super::Name;
use super::part::Parts;
use super::upload::{Place, Upload};
use crate::body::Lines;
use crate::client::{Method, NDJSON};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::source::Source;

/// Add devices to an audience, and update known ones
///
/// FILE has one device per line: JSON such as {"token": "…", "ref": "user-1", "locale": "de-AT", "time_zone":
/// "Europe/Vienna", "tags": ["sale"], "attributes": {"first_name": "Ann"}}, or a token; or it is CSV with the same names
/// in its first row, tags separated by ;, and a column `attributes.first_name` for each attribute.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    /// The devices; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// What FILE holds [default: csv if its name ends with .csv or its first line names columns, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    cut: Cut,
}

/// Remove devices from an audience
///
/// FILE has one device per line: {"token": "…"}, {"ref": "user-1"} for all devices of that name, or a bare token.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    /// The devices; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    cut: Cut,
}

/// The lines of a file to send, and the size of its parts.
#[derive(Clone, Copy, Debug, Args)]
struct Cut {
    /// Start at this line, to continue an import that was interrupted
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, value_parser = value_parser!(u64).range(1..))]
    from_line: u64,
    /// The most bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = MAX_PART, hide = true, value_parser = value_parser!(u32).range(1..))]
    part_bytes: u32,
}

/// The form of a file of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One object or token per line
    Ndjson,
    /// One row per device, after a row of names
    Csv,
}

impl Import {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let format = match self.format {
            Some(format) => format,
            None => Format::of(&self.file)?,
        };
        let place = Place {
            path: self.name.path(),
            method: Method::Post,
            content_type: format.content_type(),
        };
        self.cut.upload(session, place, &self.file, format)
    }
}

impl Remove {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let place = Place {
            path: self.name.path(),
            method: Method::Delete,
            content_type: NDJSON,
        };
        self.cut.upload(session, place, &self.file, Format::Ndjson)
    }
}

impl Cut {
    fn upload(self, session: &Session, place: Place, file: &Path, format: Format) -> Result<Exit, Failure> {
        let source = Source::find(file)?;
        let limit = self.part_bytes as usize;
        let (mut upload, input) = Upload::open(session, place, &source, limit)?;
        let result = match format {
            // Tokens are converted to JSON before the file is split, because the limit applies to what is
            // sent.
            Format::Ndjson => {
                let lines = BufReader::new(Lines::new(None, input));
                upload.send_all(Parts::lines(lines, limit, self.from_line))
            }
            Format::Csv => upload.send_all(Parts::table(BufReader::new(input), limit, self.from_line)),
        };
        upload.end(result)
    }
}

impl Format {
    /// Returns the format by the file's name, or else by its first line.
    fn of(file: &Path) -> Result<Self, Failure> {
        let is_named = Self::by_name(file) == Self::Csv;
        if is_named || Source::find(file)?.is_table()? {
            return Ok(Self::Csv);
        }
        Ok(Self::Ndjson)
    }

    fn by_name(file: &Path) -> Self {
        match file.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            Some(_) | None => Self::Ndjson,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => NDJSON,
            Self::Csv => "text/csv",
        }
    }
}

/// The most bytes of a request: a third of the 100 MB that Cloudflare accepts on its smallest plans. So
/// little is sent again when a connection breaks, and a part fits in memory.
const MAX_PART: u32 = 32 * 1024 * 1024;

#[test]
fn a_name_says_what_a_file_holds() {
    for (name, format) in [
        ("devices.csv", Format::Csv),
        ("DEVICES.CSV", Format::Csv),
        ("devices.ndjson", Format::Ndjson),
        ("csv", Format::Ndjson),
        ("-", Format::Ndjson),
    ] {
        assert_eq!(Format::by_name(Path::new(name)), format, "{name}");
    }
}
