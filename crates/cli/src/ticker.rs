//! Writes progress as lines, for logs without a terminal.

use std::time::{Duration, Instant};

use crate::output::Output;

/// Writes lines of progress at intervals.
#[derive(Debug)]
pub(crate) struct Ticker {
    output: Output,
    due: Instant,
    last: String,
}

impl Ticker {
    /// Writes the first line at once.
    pub(crate) fn at_once(output: Output) -> Self {
        Self::from(output, Instant::now())
    }

    /// Writes the first line after a pause, so that short operations write nothing.
    pub(crate) fn after_a_while(output: Output) -> Self {
        Self::from(output, Instant::now() + PAUSE)
    }

    const fn from(output: Output, due: Instant) -> Self {
        Self {
            output,
            due,
            last: String::new(),
        }
    }

    /// Writes the progress, if the interval is over and the text has changed.
    pub(crate) fn print(&mut self, text: impl FnOnce() -> String) {
        if !self.output.wants_lines() || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + PAUSE;
        let text = text();
        if text != self.last {
            self.output.note(&text);
            self.last = text;
        }
    }
}

/// Formats a number of bytes for a person.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// The interval between two lines.
const PAUSE: Duration = Duration::from_secs(5);

#[test]
fn bytes_are_told_in_mebibytes() {
    assert_eq!(mebibytes(0), "0.0 MiB");
    assert_eq!(mebibytes(5 * 1024 * 1024 + 512 * 1024), "5.5 MiB");
}
