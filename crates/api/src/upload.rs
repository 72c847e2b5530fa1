//! Reads a durable batch from its body as the body arrives.
//!
//! Each device is validated as in a [`SendRequest`](super::SendRequest), with the same readers, and added to a
//! chunk.
//! [`SendRequest::parse_chunk`](super::SendRequest::parse_chunk) parses the chunk when it is sent. With lines,
//! memory does not grow with the body: it holds a line and a chunk. One JSON document must be complete before it
//! can be read, so its size is limited. Out of scope: storing and sending chunks.

mod chunker;
mod document;
mod fingerprint;
mod header;
mod intake;
mod recent;

pub(super) use document::head_and_devices;
pub use fingerprint::Fingerprint;
pub use header::BatchHeader;
pub(super) use header::check_webhook;
pub(super) use intake::read_device;
pub use recent::WINDOW;

pub use super::send_request::Options;

use super::format::Format;
use super::ndjson::{self, Lines};
use super::problem::{Kind, Problem};
use crate::config::{Caller, Config};
use apns::fault::WarningSummary;
use apns::time::Timestamp;
use documents::{InvalidKind, InvalidLine};
use header::Context;
use intake::Intake;

/// An upload of a batch, which is fed with the body's bytes as they arrive.
pub struct Upload<'c> {
    context: Context<'c>,
    fingerprint: Fingerprint,
    form: Form,
    /// The reader of devices. `None` before the header is read.
    intake: Option<Intake<'c>>,
    /// Why the upload ended early.
    problem: Option<Problem>,
}

/// The form of the body.
enum Form {
    /// Lines, parsed as they arrive.
    Lines(Lines),
    /// One document: the bytes so far.
    Document(Vec<u8>),
}

/// A chunk: devices of an upload that are sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The position of its first push in the upload.
    pub first: u32,
    /// The number of its pushes, at most [`MAX_CHUNK_PUSHES`].
    pub pushes: u32,
    /// One line per device, each ended by `\n`, at most [`MAX_CHUNK_BYTES`] in all.
    pub body: String,
    /// The pushes that are left out because an earlier one has the same device and content. Each has its
    /// index in the chunk, and the position of the earlier push in the upload.
    pub duplicates: Vec<(usize, u32)>,
}

/// The result of an upload.
#[derive(Debug)]
pub struct Finished<'c> {
    /// The header.
    pub header: BatchHeader<'c>,
    /// The chunks that were not returned yet.
    pub staged: Vec<Staged>,
    /// The number of pushes.
    pub pushes: u32,
    /// The number of pushes that are left out because an earlier one has the same device and content.
    pub duplicates: u32,
    /// The number of rejected devices.
    pub invalid: u32,
    /// The first hundred rejected devices.
    pub invalid_lines: Vec<InvalidLine>,
    /// The faults of all rejected devices, summed up.
    pub invalid_kinds: Vec<InvalidKind>,
    /// The warnings about what is sent.
    pub warnings: WarningSummary,
    /// The SHA-256 of the body.
    pub sha256: [u8; 32],
}

impl<'c> Upload<'c> {
    /// Creates the upload of `caller`, whose body has the form `format`. Relative times count from `now`.
    #[must_use]
    pub fn new(caller: &'c Caller, config: &'c Config, format: Format, now: Timestamp) -> Self {
        Self::of_at_most(MAX_PUSHES, caller, config, format, now)
    }

    fn of_at_most(
        max_pushes: u32,
        caller: &'c Caller,
        config: &'c Config,
        format: Format,
        now: Timestamp,
    ) -> Self {
        Self {
            context: Context {
                caller,
                config,
                max_pushes,
                now,
            },
            fingerprint: Fingerprint::new(),
            form: if format.lines_in {
                Form::Lines(Lines::default())
            } else {
                Form::Document(Vec::new())
            },
            intake: None,
            problem: None,
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// The upload is over, because its header has a fault or it exceeds its limit. The rest need not be sent,
    /// and is ignored. A fault of one device is not an error here.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        self.fingerprint.feed(bytes);
        let fed = match &mut self.form {
            Form::Lines(lines) => feed_lines(lines, &mut self.intake, self.context, bytes),
            Form::Document(body) => feed_document(body, bytes),
        };
        fed.inspect_err(|problem| self.problem = Some(problem.clone()))
    }

    /// Returns the header once it was read. The header of a document is read at the end.
    #[must_use]
    pub fn header(&self) -> Option<&BatchHeader<'c>> {
        self.intake.as_ref().map(Intake::header)
    }

    /// Returns the chunks that were completed since the last call. There are none after a fault that rejects
    /// the batch.
    pub fn take_staged(&mut self) -> Vec<Staged> {
        self.intake.as_mut().map(Intake::take_staged).unwrap_or_default()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The error of [`Upload::feed`]; 400 if the header, or the document, is not JSON; 422 with the faults of
    /// all devices, unless they are to be left out; 422 if no device is without faults.
    pub fn finish(self) -> Result<Finished<'c>, Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let sha256 = self.fingerprint.finish();
        let intake = match self.form {
            Form::Lines(lines) => finish_lines(lines, self.intake, self.context)?,
            Form::Document(body) => document::read(&body, self.context)?,
        };
        intake.finish(sha256)
    }
}

fn feed_lines<'c>(
    lines: &mut Lines,
    intake: &mut Option<Intake<'c>>,
    context: Context<'c>,
    bytes: &[u8],
) -> Result<(), Problem> {
    for piece in ndjson::pieces_of(bytes) {
        let limit = if intake.is_some() { MAX_LINE } else { MAX_HEAD };
        if let Some(line) = lines.take(piece, limit) {
            take_line(&line, intake, context)?;
        }
    }
    Ok(())
}

fn finish_lines<'c>(
    mut lines: Lines,
    mut intake: Option<Intake<'c>>,
    context: Context<'c>,
) -> Result<Intake<'c>, Problem> {
    if let Some(line) = lines.last() {
        take_line(&line, &mut intake, context)?;
    }
    match intake {
        Some(intake) => Ok(intake),
        None => Err(Problem::new(
            Kind::NotJson,
            "the body is empty; its first line says what is sent",
        )),
    }
}

/// Reads a line. The first line that is not blank is the header, and all others are devices.
fn take_line<'c>(
    line: &ndjson::Line<'_>,
    intake: &mut Option<Intake<'c>>,
    context: Context<'c>,
) -> Result<(), Problem> {
    match intake {
        Some(intake) => intake.take_line(line),
        None => {
            *intake = header::read_line(line, context)?;
            Ok(())
        }
    }
}

fn feed_document(body: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Problem> {
    if bytes.len() > MAX_DOCUMENT - body.len() {
        *body = Vec::new();
        let detail = format!(
            "one JSON document may have {MAX_DOCUMENT} bytes; send lines of JSON, as `{}`, which have no such limit",
            super::format::LINES
        );
        return Err(Problem::new(Kind::BodyTooLarge, detail));
    }
    body.extend_from_slice(bytes);
    Ok(())
}

/// The most pushes of a chunk: what six requests in flight send within a claim, and few enough that repeating
/// a chunk costs little.
pub const MAX_CHUNK_PUSHES: u32 = 500;

/// The most bytes of a chunk's devices. With the longest header they stay below the 128 KB of a queue
/// message, and far below the 2 MB of a row.
pub const MAX_CHUNK_BYTES: usize = 60_000;

/// The longest line of a device in bytes, and the longest device of a document. One with the largest payload
/// has 33 KB if all of it is escaped. With its line end it must fit in a chunk.
pub const MAX_LINE: usize = 48 * 1024;

/// The longest header in bytes. A notification with the largest payload has 31 KB if all of it is escaped.
/// One whose alert will be truncated may have more.
pub const MAX_HEAD: usize = 64 * 1024;

/// The largest document in bytes. The isolate's 128 MB hold it as it was received and in chunks.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The most pushes of a batch. With lines of 100 bytes they take a gigabyte, a tenth of what a Durable Object
/// can store.
pub const MAX_PUSHES: u32 = 10_000_000;

#[cfg(test)]
mod tests;
