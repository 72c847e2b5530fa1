//! An upload of devices in parts, request after request.
//!
//! A part that breaks is sent again, and what had arrived of it does no harm. When a part fails for good, the ones before
//! it are done, and it is said from which line to go on.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::rc::Rc;

use indicatif::ProgressBar;

use super::part::{Part, Parts};
use super::report::Report;
use crate::caller::Caller;
use crate::client::{Method, Target};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Farewell;
use crate::source::{Source, bar, sent};
use crate::ticker::Ticker;

/// Where the devices of an audience go, and what they are.
#[derive(Debug)]
pub(crate) struct Place {
    /// The audience.
    pub(crate) path: String,
    pub(crate) method: Method,
    /// The media type.
    pub(crate) content_type: &'static str,
}

/// An upload on its way.
pub(crate) struct Upload<'u> {
    caller: &'u Caller,
    place: Place,
    source: &'u Source,
    /// The most bytes of a part.
    limit: usize,
    farewell: Farewell,
    bar: ProgressBar,
    /// How many bytes of the file are read.
    read: Rc<Cell<u64>>,
    /// On all parts that are done; none before the first is.
    report: Option<Report>,
    /// The line on which the part behind them begins.
    line: u64,
}

impl<'u> Upload<'u> {
    /// Begins an upload in parts of `limit` bytes at most. What the parts are to be cut of is beside it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(
        caller: &'u Caller,
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
            caller,
            place,
            source,
            limit,
            farewell: Farewell::new(cut_off(None)),
            bar: bar(caller, length),
            read,
            report: None,
            line: 1,
        };
        Ok((upload, input))
    }

    /// Sends part after part, until one fails.
    ///
    /// # Errors
    /// What that one failed by.
    pub(crate) fn send_all<R: BufRead>(&mut self, mut parts: Parts<R>) -> Result<(), Failure> {
        let mut before = 0;
        let mut lines = Ticker::after_a_while(self.caller.screen);
        while let Some(part) = parts.cut().map_err(|fault| self.source.at_fault(fault))? {
            let after = self.read.get();
            if let Some(report) = &mut self.report
                && part.is_empty()
            {
                // Nothing but records that are left out.
                report.leave_out(&part.too_long, self.limit);
            } else {
                let report = self.send(&part, before..after)?.of_file(&part, self.limit);
                match &mut self.report {
                    Some(all) => all.add(report),
                    None => self.report = Some(report),
                }
            }
            before = after;
            lines.tell(|| sent(after, self.bar.length()));
            self.line = parts.line();
            self.farewell.set(cut_off(Some(self.line)));
        }
        Ok(())
    }

    /// Sends a part, again and again if the connection breaks. On the bar it is this stretch of the file.
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
            match self.caller.client.upload(&target, &mut body, Some(length)) {
                Err(failure @ Failure::Unreachable { .. }) => Err(self.refusal().unwrap_or(failure)),
                answer => answer,
            }
        };
        let answer = self
            .caller
            .patiently(attempt)
            .map_err(|failure| told_by_file(failure, part))?;
        // What stands there instead may be a device: it is not quoted.
        let told = "it does not say what became of the lines";
        serde_json::from_str(&answer.text).map_err(|_| self.caller.client.unreadable(told))
    }

    /// A caller or an audience that the server does not know, it does not know without the devices either.
    ///
    /// A server that refuses a part may close the connection before all of it is sent, and its answer is lost.
    fn refusal(&self) -> Option<Failure> {
        let failure = self.caller.client.get(&self.place.path, &[]).err()?;
        (matches!(failure, Failure::Refused(_)) && !failure.is_passing()).then_some(failure)
    }

    /// Tells what has become of the upload, and if it has failed how to go on.
    ///
    /// # Errors
    /// What it has failed by.
    pub(crate) fn end(&self, result: Result<(), Failure>) -> Result<Exit, Failure> {
        self.bar.finish_and_clear();
        let told = self.tell();
        let Err(failure) = result else {
            told?;
            return Ok(self.report.as_ref().map_or(Exit::Done, Report::exit));
        };
        let has_begun = match failure {
            Failure::Unreachable { .. } | Failure::Unavailable(_) | Failure::Unreadable { .. } => true,
            // Of the first part nothing is done.
            Failure::Refused(_) | Failure::Usage(_) | Failure::File { .. } | Failure::Output(_) => {
                self.report.is_some()
            }
        };
        if has_begun {
            let line = self.report.is_some().then_some(self.line);
            self.caller.screen.warn(&advice(line));
        }
        Err(failure)
    }

    fn tell(&self) -> Result<(), Failure> {
        let Some(report) = &self.report else {
            return Ok(());
        };
        let document = serde_json::to_string(report)
            .map_err(|error| self.caller.client.unreadable(error.to_string()))?;
        self.caller.screen.result(&document, || report.to_text())
    }
}

/// How to go on: from the line behind the parts that are done, if there are any.
fn advice(line: Option<u64>) -> String {
    let Some(line) = line else {
        return "What had arrived has its effect. Give the same lines again: nothing is done twice."
            .to_owned();
    };
    format!("What stands before line {line} is done. Give the same lines again with --from-line {line}.")
}

/// The last words of an upload.
fn cut_off(line: Option<u64>) -> String {
    format!("The upload was cut off. {}", advice(line))
}

/// The failure of a part with the lines of the file.
fn told_by_file(failure: Failure, part: &Part) -> Failure {
    match failure {
        Failure::Refused(problem) => {
            Failure::Refused(Box::new(problem.with_lines(|line| part.line_of_file(line))))
        }
        other => other,
    }
}

/// An input that says how far it is read.
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

/// A part that shows how far it is sent.
struct Shown<'s> {
    /// What is left of it.
    body: &'s [u8],
    bar: &'s ProgressBar,
    /// The bytes of the file that it is made of, nearly: tokens become longer, and the file is read a little ahead.
    stretch: Range<u64>,
    /// All its bytes.
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
