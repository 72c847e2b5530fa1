//! The output of the command: results on standard output, everything else on standard error.
//!
//! With `--json`, standard output has only documents, and notes are written only if standard error is a
//! terminal. Errors are always written.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;

/// The two streams, and their readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    is_terminal: bool,
}

impl Output {
    /// Creates the output of this process.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Whether a program reads standard output.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress is written as lines: a person will read it, and there is no terminal for a bar.
    pub(crate) const fn wants_lines(self) -> bool {
        !self.is_terminal && !self.json
    }

    /// Writes a result: the document for a program, the text for a person.
    ///
    /// # Errors
    /// Writing to standard output failed.
    pub(crate) fn result(self, document: &str, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            line(&one_line(document))
        } else {
            line(&text())
        }
    }

    /// Writes a note for a person.
    pub(crate) fn note(self, text: &str) {
        if self.is_terminal || !self.json {
            say(text);
        }
    }

    /// Writes a warning, which is always shown.
    pub(crate) fn warn(self, text: &str) {
        say(&format!("warning: {text}"));
    }

    /// Writes a failure, and returns its exit code. With `--json` the server's document is written as well.
    pub(crate) fn fail(self, failure: &Failure) -> Exit {
        let exit = failure.exit();
        if exit == Exit::Done {
            return exit;
        }
        if let Some(document) = failure.problem().and_then(|problem| problem.document())
            && self.json
        {
            // If this cannot be written, the error below still is.
            let _ = line(&one_line(document));
        }
        say(&format!("error: {failure}"));
        exit
    }

    /// Returns a progress bar on standard error, hidden without a terminal. Without a length it is a counter.
    pub(crate) fn bar(self, length: Option<u64>, bar: &str, count: &str) -> ProgressBar {
        let target = if self.is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let template = if length.is_some() { bar } else { count };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(length, target).with_style(style)
    }
}

/// Writes a line to standard output.
fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

/// Writes a line to standard error. Ignores failures, because there is no other way to report them.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Returns the document on one line. A text that is not JSON is only trimmed.
fn one_line(document: &str) -> String {
    let trimmed = document.trim();
    if !trimmed.contains('\n') {
        return trimmed.to_owned();
    }
    serde_json::from_str::<Value>(trimmed).map_or_else(|_| trimmed.to_owned(), |value| value.to_string())
}

#[test]
fn a_document_is_written_on_one_line_with_its_numbers_as_they_were() {
    assert_eq!(one_line("{\"b\": 1.50,\n \"a\": 2}\n"), r#"{"b":1.50,"a":2}"#);
    assert_eq!(one_line("{\"b\": 1}\n"), r#"{"b": 1}"#);
}
