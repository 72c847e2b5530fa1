//! Lines of JSON that the server gives in pages, to standard output or into a file.
//!
//! A page is written when it is there as a whole, so that one that breaks off is asked for again and no line comes
//! twice; the server's last line of each page, where the next begins, is not written.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::failure::Failure;

/// Where the lines go.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write to this file, which is created when everything has been received
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The last line of a page. Nothing that stands before it reads as one.
pub(crate) trait Last: DeserializeOwned {
    /// Whether no page follows.
    fn is_end(&self) -> bool;

    /// Where the next page begins.
    fn cursor(&self) -> Option<&str>;
}

impl Output {
    /// Writes all pages, and gives the last line of the last.
    ///
    /// # Errors
    /// A page does not come, or cannot be written.
    pub(crate) fn write<L: Last>(
        &self,
        caller: &Caller,
        path: &str,
        filter: Option<(&str, &str)>,
    ) -> Result<L, Failure> {
        let pages = Pages { caller, path, filter };
        match &self.output {
            None => {
                let out = io::stdout();
                // Where the lines themselves are seen, a count of them is in their way.
                let bar = if out.is_terminal() {
                    ProgressBar::hidden()
                } else {
                    caller.screen.bar(None, COUNT, COUNT)
                };
                pages.copy(&mut out.lock(), &bar, Failure::Output)
            }
            Some(file) => pages.copy_to(file),
        }
    }
}

/// Pages that are to be copied.
struct Pages<'p> {
    caller: &'p Caller,
    path: &'p str,
    filter: Option<(&'p str, &'p str)>,
}

/// A page: whole lines, and what the server says behind them.
struct Page<L> {
    lines: String,
    last: L,
}

impl Pages<'_> {
    /// Copies all pages to a file, under another name until all are there.
    fn copy_to<L: Last>(&self, file: &Path) -> Result<L, Failure> {
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let at_fault = |fault| Failure::File {
            path: file.to_owned(),
            fault,
        };
        let mut sink = BufWriter::new(File::create(&part).map_err(at_fault)?);
        let bar = self.caller.screen.bar(None, COUNT, COUNT);
        let copied = self.copy(&mut sink, &bar, at_fault);
        drop(sink);
        let last = match copied {
            Ok(last) => last,
            Err(failure) => {
                // What is left of it is of no use, and says so by its name if it cannot be removed.
                let _ = fs::remove_file(&part);
                return Err(failure);
            }
        };
        fs::rename(&part, file).map_err(at_fault)?;
        Ok(last)
    }

    /// Copies all pages. The bar counts the lines and is gone at the end.
    fn copy<L: Last>(
        &self,
        sink: &mut dyn Write,
        bar: &ProgressBar,
        at_fault: impl Fn(io::Error) -> Failure,
    ) -> Result<L, Failure> {
        let mut cursor: Option<String> = None;
        let copied = loop {
            let page = match self.caller.patiently(|| self.page::<L>(cursor.as_deref())) {
                Ok(page) => page,
                Err(failure) => break Err(failure),
            };
            let written = sink.write_all(page.lines.as_bytes()).and_then(|()| sink.flush());
            if let Err(fault) = written {
                break Err(at_fault(fault));
            }
            bar.inc(page.lines.matches('\n').count() as u64);
            if page.last.is_end() {
                break Ok(page.last);
            }
            let next = page.last.cursor().map(str::to_owned);
            if next.is_none() || next == cursor {
                break Err(self
                    .caller
                    .client
                    .unreadable("a page says that there are more, and not where"));
            }
            cursor = next;
        };
        bar.finish_and_clear();
        copied
    }

    fn page<L: Last>(&self, cursor: Option<&str>) -> Result<Page<L>, Failure> {
        let client = &self.caller.client;
        let mut query = vec![("limit", LIMIT)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        query.extend(self.filter);
        let mut lines = client.get(self.path, &query)?.text;
        let end = lines.trim_end().len();
        let start = lines
            .get(..end)
            .and_then(|lines| lines.rfind('\n'))
            .map_or(0, |at| at + 1);
        let last = lines.get(start..end).unwrap_or_default();
        // What stands there instead may be a device: it is not quoted.
        let last =
            serde_json::from_str(last).map_err(|_| client.broken("a page ended before its last line"))?;
        lines.truncate(start);
        Ok(Page { lines, last })
    }
}

/// How many lines a page has: the most that the server gives.
const LIMIT: &str = "10000";

/// What is shown while pages come; nobody knows how many there are.
const COUNT: &str = "{spinner} {human_pos} lines, {per_sec}";
