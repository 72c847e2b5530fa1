//! The intake of a durable batch: its body, read as it arrives.
//!
//! Each device is validated as [`Order`](super::Order) validates it, with the same readers, and staged in chunks that
//! [`Order::parse_chunk`](super::Order::parse_chunk) reads when they are sent. In lines, memory does not grow with the body: no more
//! of it is held than a line and a chunk. One JSON document must be there as a whole before it can be read, and is
//! therefore bounded. Out of scope: where chunks are stored, and what becomes of them.

mod chunker;
mod document;
mod fingerprint;
mod intake;
mod opening;
mod recent;

pub(super) use document::head_and_devices;
pub use fingerprint::Fingerprint;
pub(super) use intake::read_device;
pub use opening::Opening;
pub(super) use opening::check_webhook;
pub use recent::WINDOW;

pub use super::lines::InvalidLine;
pub use super::order::Options;

use super::format::Format;
use super::lines::{self, Lines};
use super::problem::{InvalidKind, Kind, Problem};
use crate::config::{Caller, Config};
use apns::fault::WarningSummary;
use apns::time::Timestamp;
use intake::Intake;
use opening::Context;

/// One upload of a batch, fed with the body's bytes as they arrive.
pub struct Upload<'c> {
    context: Context<'c>,
    fingerprint: Fingerprint,
    form: Form,
    /// What takes the devices; none before the head is read.
    intake: Option<Intake<'c>>,
    /// Why the upload is over before its end.
    problem: Option<Problem>,
}

/// The form of the body.
enum Form {
    /// Lines, read as they come.
    Lines(Lines),
    /// One document: what there is of it.
    Document(Vec<u8>),
}

/// Devices of an upload that are sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The place of its first push among all pushes of the upload.
    pub first: u32,
    /// How many there are, at most [`MAX_CHUNK_PUSHES`].
    pub pushes: u32,
    /// A line for each device, ended by `\n`; at most [`MAX_CHUNK_BYTES`] in all.
    pub body: String,
    /// Those that are left out, since an earlier push takes the same content to the device: the place in the chunk, and the
    /// place of that push among all pushes.
    pub duplicates: Vec<(usize, u32)>,
}

/// What an upload came to.
#[derive(Debug)]
pub struct Finished<'c> {
    /// What its head said.
    pub opening: Opening<'c>,
    /// The chunks that were not taken yet.
    pub staged: Vec<Staged>,
    /// How many pushes there are.
    pub pushes: u32,
    /// How many of them are left out, since an earlier push takes the same content to the device.
    pub duplicates: u32,
    /// How many devices were left out.
    pub invalid: u32,
    /// The first hundred of them.
    pub invalid_lines: Vec<InvalidLine>,
    /// What is wrong with all of them, in sum.
    pub invalid_kinds: Vec<InvalidKind>,
    /// What is sent although devices treat it badly.
    pub warnings: WarningSummary,
    /// The SHA-256 of the body.
    pub sha256: [u8; 32],
}

impl<'c> Upload<'c> {
    /// The upload of `caller`, whose body has the form `format`; times that count from now count from `now`.
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

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// The upload is over, and the caller need not send the rest: its head is at fault, or it is larger than its limit. A
    /// fault of one device is no error here. What is fed after an error changes nothing.
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

    /// What the head says; none until it has been read, which of a document is at the end.
    #[must_use]
    pub fn opening(&self) -> Option<&Opening<'c>> {
        self.intake.as_ref().map(Intake::opening)
    }

    /// The chunks that have been completed since this was last asked. None are after a fault that refuses the batch.
    pub fn take_staged(&mut self) -> Vec<Staged> {
        self.intake.as_mut().map(Intake::take_staged).unwrap_or_default()
    }

    /// Ends the upload where the body has ended.
    ///
    /// # Errors
    /// 400 if the head, or the document, is not JSON; 422 with the faults of all devices, unless they are to be left out;
    /// 422 if there is no device without faults; what [`Upload::feed`] said.
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
    for piece in lines::pieces_of(bytes) {
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

/// The first line that is not blank is the head; all others are devices.
fn take_line<'c>(
    line: &lines::Line<'_>,
    intake: &mut Option<Intake<'c>>,
    context: Context<'c>,
) -> Result<(), Problem> {
    match intake {
        Some(intake) => intake.take_line(line),
        None => {
            *intake = opening::read_line(line, context)?;
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

/// The most pushes of a chunk: what six requests in flight send within the life of a claim, and few enough that a chunk
/// that is repeated costs little.
pub const MAX_CHUNK_PUSHES: u32 = 500;

/// The most bytes of a chunk's devices: with the longest head beside it, below the 128 KB of a queue's message and far below
/// the 2 MB of a row.
pub const MAX_CHUNK_BYTES: usize = 60_000;

/// The longest line of a device in bytes, and the longest device of a document: one with the largest payload has 33 KB if all
/// of it is escaped. It must fit in a chunk with its end.
pub const MAX_LINE: usize = 48 * 1024;

/// The longest head in bytes: a notification with the largest payload has 31 KB if all of it is escaped; one whose alert is to
/// be shortened may have more.
pub const MAX_HEAD: usize = 64 * 1024;

/// The largest document in bytes. It is held as it came and in chunks, of the isolate's 128 MB.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The most pushes of a batch: with a line of 100 bytes each, a gigabyte, a tenth of what a Durable Object stores.
pub const MAX_PUSHES: u32 = 10_000_000;

#[cfg(test)]
mod tests;
