//! Uploads devices in parts, one request after the other.
//!
//! A part whose connection breaks is sent again. That is harmless if some of it had arrived. If a part fails
//! for good, the parts before it are done, and the error says from which line to continue.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::rc::Rc;

use indicatif::ProgressBar;

use super::part::{Part, Parts};
use super::report::Report;
use crate::client::{Method, Target};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::InterruptMessage;
use crate::session::Session;
use crate::source::{Source, bar, sent};
use crate::ticker::Ticker;

/// The destination of an upload, and its media type.
#[derive(Debug)]
pub(crate) struct Place {
    /// The path of the audience.
    pub(crate) path: String,
    pub(crate) method: Method,
    /// The media type.
    pub(crate) content_type: &'static str,
}

/// An upload in progress.
pub(crate) struct Upload<'u> {
    session: &'u Session,
    place: Place,
    source: &'u Source,
    /// The most bytes of a part.
    limit: usize,
    message: InterruptMessage,
    bar: ProgressBar,
    /// The number of bytes that were read from the file.
    read: Rc<Cell<u64>>,
    /// The report about all finished parts, or `None` before the first.
    report: Option<Report>,
    /// The line at which the next part begins.
    line: u64,
}

impl<'u> Upload<'u> {
    /// Begins an upload in parts of at most `limit` bytes. Also returns the input to split into parts.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(
        session: &'u Session,
        place: Place,
        source: &'u Source,
        limit: usize,
    ) -> Result<(Self, Counted), Failure> {
        let (input, length) = source.open()?;
        let read = Rc::new(Cell::new(0));
        let input = Counted {
            input,
            read: Rc::clone(&read),
        };
        let upload = Self {
            session,
            place,
            source,
            limit,
            message: InterruptMessage::new(cut_off(None)),
            bar: bar(session, length),
            read,
            report: None,
            line: 1,
        };
        Ok((upload, input))
    }

    /// Sends all parts, until one fails.
    ///
    /// # Errors
    /// The failure of that part.
    pub(crate) fn send_all<R: BufRead>(&mut self, mut parts: Parts<R>) -> Result<(), Failure> {
        let mut before = 0;
        let mut lines = Ticker::after_a_while(self.session.output);
        while let Some(part) = parts.cut().map_err(|fault| self.source.at_fault(fault))? {
            let after = self.read.get();
            if let Some(report) = &mut self.report
                && part.is_empty()
            {
                // A part that has only left-out records is not sent.
                report.leave_out(&part.too_long, self.limit);
            } else {
                let report = self.send(&part, before..after)?.of_file(&part, self.limit);
                match &mut self.report {
                    Some(all) => all.add(report),
                    None => self.report = Some(report),
                }
            }
            before = after;
            lines.print(|| sent(after, self.bar.length()));
            self.line = parts.line();
            self.message.set(cut_off(Some(self.line)));
        }
        Ok(())
    }

    /// Sends a part, and retries if the connection breaks. `stretch` is its range of the file, for the
    /// progress bar.
    fn send(&self, part: &Part, stretch: Range<u64>) -> Result<Report, Failure> {
        let path = format!("{}/devices", self.place.path);
        let target = Target {
            method: self.place.method,
            path: &path,
            content_type: self.place.content_type,
            headers: &[],
        };
        let length = part.body.len() as u64;
        let attempt = || {
            let mut body = Shown {
                body: &part.body,
                bar: &self.bar,
                stretch: stretch.clone(),
                length,
            };
            match self.session.client.upload(&target, &mut body, Some(length)) {
                Err(failure @ Failure::Unreachable { .. }) => Err(self.refusal().unwrap_or(failure)),
                answer => answer,
            }
        };
        let answer = self
            .session
            .with_retries(attempt)
            .map_err(|failure| told_by_file(failure, part))?;
        // The unreadable answer may contain a device, so it is not quoted.
        let told = "it does not say what became of the lines";
        serde_json::from_str(&answer.text).map_err(|_| self.session.client.unreadable(told))
    }

    /// Asks for the audience, to find out why an upload was refused: an unknown key or audience is also
    /// refused without the devices.
    ///
    /// A server that refuses a part may close the connection before the whole part is sent, so its answer is
    /// lost.
    fn refusal(&self) -> Option<Failure> {
        let failure = self.session.client.get(&self.place.path, &[]).err()?;
        (matches!(failure, Failure::Refused(_)) && !failure.is_passing()).then_some(failure)
    }

    /// Reports the result of the upload and, if it failed, how to continue.
    ///
    /// # Errors
    /// Why it failed.
    pub(crate) fn end(&self, result: Result<(), Failure>) -> Result<Exit, Failure> {
        self.bar.finish_and_clear();
        let told = self.print();
        let Err(failure) = result else {
            told?;
            return Ok(self.report.as_ref().map_or(Exit::Done, Report::exit));
        };
        let has_begun = match failure {
            Failure::Unreachable { .. } | Failure::Unavailable(_) | Failure::Unreadable { .. } => true,
            // The first part failed, so nothing was done.
            Failure::Refused(_) | Failure::Usage(_) | Failure::File { .. } | Failure::Output(_) => {
                self.report.is_some()
            }
        };
        if has_begun {
            let line = self.report.is_some().then_some(self.line);
            self.session.output.warn(&advice(line));
        }
        Err(failure)
    }

    fn print(&self) -> Result<(), Failure> {
        let Some(report) = &self.report else {
            return Ok(());
        };
        let document = serde_json::to_string(report)
            .map_err(|error| self.session.client.unreadable(error.to_string()))?;
        self.session.output.result(&document, || report.to_text())
    }
}

/// Says how to continue: from the line after the finished parts, if there are any.
fn advice(line: Option<u64>) -> String {
    let Some(line) = line else {
        return "What had arrived has its effect. Give the same lines again: nothing is done twice."
            .to_owned();
    };
    format!("What stands before line {line} is done. Give the same lines again with --from-line {line}.")
}

/// The message of an upload that is interrupted.
fn cut_off(line: Option<u64>) -> String {
    format!("The upload was cut off. {}", advice(line))
}

/// Converts the line numbers of a failure to those of the file.
fn told_by_file(failure: Failure, part: &Part) -> Failure {
    match failure {
        Failure::Refused(problem) => {
            Failure::Refused(Box::new(problem.with_lines(|line| part.line_of_file(line))))
        }
        other => other,
    }
}

/// An input that counts how much of it was read.
pub(crate) struct Counted {
    input: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// A part that shows how much of it was sent.
struct Shown<'s> {
    /// The bytes that were not sent yet.
    body: &'s [u8],
    bar: &'s ProgressBar,
    /// Its range of the file, approximately: tokens become longer, and the file is read a little ahead.
    stretch: Range<u64>,
    /// The size of the part in bytes.
    length: u64,
}

impl Read for Shown<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        let sent = self.length - self.body.len() as u64;
        let whole = self.stretch.end - self.stretch.start;
        self.bar
            .set_position(self.stretch.start + whole.saturating_mul(sent) / self.length.max(1));
        Ok(count)
    }
}
