//! Reads an import of devices as it arrives, whatever its size. Memory does not grow with the body.

use super::MAX_LINE;
use super::device;
use super::documents::Tally;
use super::shard_router::{ShardBatch, ShardRouter};
use super::table::{Record, Table};
use crate::config::App;
use crate::media::{Evident, Media};
use crate::ndjson::{self, Line, Lines};
use crate::problem::{LineFaults, Problem};
use apns::fault::{self, Fault, FaultKind, Faults};
use documents::InvalidLine;

/// The form of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line of JSON per device.
    Lines,
    /// A table with one row per device.
    Csv,
    /// To be detected from the body.
    Unstated,
}

impl Form {
    /// Returns the form that the header `Content-Type` names.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        match Media::of_header(content_type) {
            Media::Csv => Self::Csv,
            Media::Lines => Self::Lines,
            Media::Json | Media::Other => Self::Unstated,
        }
    }

    /// Chooses the reader for a body that begins with `start`, which has at least the first line.
    fn body(self, start: &[u8]) -> Result<Body, Problem> {
        let evident = Evident::of(start);
        let wrong = match (self, evident) {
            (Self::Csv | Self::Unstated, Some(Evident::Table)) | (Self::Csv, None) => {
                return Ok(Body::Table(Box::default()));
            }
            (Self::Csv, Some(Evident::Object)) => {
                Some("has lines of JSON, and Content-Type says CSV; send them as `application/x-ndjson`")
            }
            (Self::Lines, Some(Evident::Table)) => {
                Some("is CSV, and Content-Type says lines of JSON; send it as `text/csv`")
            }
            (_, evident) => evident.and_then(Evident::instead_of_lines),
        };
        wrong.map_or_else(
            || Ok(Body::Lines(Lines::default())),
            |text| Err(ndjson::refused(text)),
        )
    }
}

/// The reader of `POST /v1/audiences/{name}/devices`, which is fed with the body's bytes.
pub struct Intake<'c> {
    app: &'c App,
    body: Body,
    router: ShardRouter,
    notes: Notes,
    /// Why the rest of the body is ignored.
    problem: Option<Problem>,
}

enum Body {
    /// The beginning of a body whose first line has not ended, so that its form is unknown.
    Start(Form, Vec<u8>),
    Lines(Lines),
    Table(Box<Table>),
}

/// The counts of lines, and the faults of some of them.
#[derive(Default)]
pub(super) struct Notes {
    received: u64,
    faults: LineFaults,
    warnings: LineFaults,
}

impl<'c> Intake<'c> {
    /// Creates the reader for an audience of `app` with this number of shards.
    #[must_use]
    pub fn new(app: &'c App, shards: u32, form: Form) -> Self {
        Self {
            app,
            body: Body::Start(form, Vec::new()),
            router: ShardRouter::new(shards),
            notes: Notes::default(),
            problem: None,
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// 422 if the body does not contain devices, or if the header of a table has faults. The rest need not be
    /// sent. A fault of one device is not an error here.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let Body::Start(form, start) = &mut self.body else {
            return self.read(bytes);
        };
        start.extend_from_slice(bytes);
        if !has_first_line(start) {
            return Ok(());
        }
        let (form, start) = (*form, std::mem::take(start));
        self.begin(form, &start)
    }

    /// Detects the form of a body from its start.
    fn begin(&mut self, form: Form, start: &[u8]) -> Result<(), Problem> {
        self.body = form
            .body(start)
            .inspect_err(|problem| self.problem = Some(problem.clone()))?;
        self.read(start)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let Self {
            app,
            body,
            router,
            notes,
            ..
        } = self;
        let fed = match body {
            // The first line is complete here.
            Body::Start(..) => Ok(()),
            Body::Lines(lines) => {
                for piece in ndjson::pieces_of(bytes) {
                    if let Some(line) = lines.take(piece, MAX_LINE) {
                        take_line(&line, app, router, notes);
                    }
                }
                Ok(())
            }
            Body::Table(table) => table.feed(bytes, app, &mut |record| take_record(record, router, notes)),
        };
        fed.inspect_err(|problem| self.problem = Some(problem.clone()))
    }

    /// Returns the batches for shards since the last call. Call it after each [`Intake::feed`].
    pub fn take_ready(&mut self) -> Vec<ShardBatch> {
        self.router.take()
    }

    /// Ends the body. Returns the last batches, and the tally, to which the shards' replies must be added.
    ///
    /// # Errors
    /// The error of [`Intake::feed`]; 422 if there were lines and all of them were rejected.
    pub fn finish(mut self) -> Result<(Vec<ShardBatch>, Tally), Problem> {
        if let Body::Start(form, start) = &mut self.body {
            let (form, start) = (*form, std::mem::take(start));
            self.begin(form, &start)?;
        }
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let (app, mut router, mut notes) = (self.app, self.router, self.notes);
        match self.body {
            Body::Start(..) => {}
            Body::Lines(mut lines) => {
                if let Some(line) = lines.last() {
                    take_line(&line, app, &mut router, &mut notes);
                }
            }
            Body::Table(mut table) => {
                table.finish(app, &mut |record| take_record(record, &mut router, &mut notes))?;
            }
        }
        notes.check()?;
        Ok((router.finish(), notes.tally()))
    }
}

/// Whether the first line that is not blank is complete, or longer than the limit.
pub(super) fn has_first_line(start: &[u8]) -> bool {
    let text = fault::without_mark(start).trim_ascii_start();
    text.len() > MAX_LINE || text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

fn take_line(line: &Line<'_>, app: &App, router: &mut ShardRouter, notes: &mut Notes) {
    let mut warnings = Vec::new();
    let read = match line.text {
        Some([]) => return,
        Some(text) => device::read_line(text, app, &mut warnings),
        None => Err(ndjson::too_long(line.size, MAX_LINE)),
    };
    if read.is_ok() {
        notes.warn(line.number, warnings);
    }
    if let Some(device) = notes.note(line.number, read) {
        router.add(device, line.size);
    }
}

fn take_record(record: Record, router: &mut ShardRouter, notes: &mut Notes) {
    if record.device.is_ok() {
        notes.warn(record.line, record.warnings);
    }
    if let Some(device) = notes.note(record.line, record.device.map(Some)) {
        router.add(device, record.size);
    }
}

impl Notes {
    /// Counts a line and returns its value. A blank line is not counted.
    pub(super) fn note<T>(&mut self, line: u32, read: Result<Option<T>, Faults>) -> Option<T> {
        match read {
            Ok(None) => None,
            Ok(read) => {
                self.received += 1;
                read
            }
            Err(faults) => {
                self.received += 1;
                if let Some(fault) = faults.listed().first() {
                    self.faults.push(line, fault.clone());
                }
                None
            }
        }
    }

    /// Counts what was left out of an accepted device.
    fn warn(&mut self, line: u32, warnings: Vec<String>) {
        for detail in warnings {
            let (pointer, kind) = (String::new(), FaultKind::Invalid(detail));
            self.warnings.push(line, Fault { pointer, kind });
        }
    }

    /// Checks that at least one line was accepted, if there were any.
    ///
    /// # Errors
    /// 422 with the first lines.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let invalid = u64::try_from(self.faults.len()).unwrap_or(u64::MAX);
        if self.received == 0 || invalid < self.received {
            return Ok(());
        }
        Err(Problem::invalid_lines(Faults::default(), self.faults.clone()))
    }

    pub(super) fn tally(self) -> Tally {
        Tally {
            received: self.received,
            invalid: u64::try_from(self.faults.len()).unwrap_or(u64::MAX),
            invalid_lines: self.faults.listed().iter().map(InvalidLine::from).collect(),
            invalid_kinds: self.faults.kinds(),
            warnings: u64::try_from(self.warnings.len()).unwrap_or(u64::MAX),
            warning_lines: self.warnings.listed().iter().map(InvalidLine::from).collect(),
            warning_kinds: self.warnings.kinds(),
            ..Tally::default()
        }
    }
}
