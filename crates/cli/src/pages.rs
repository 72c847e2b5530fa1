//! Copies pages of JSON lines from the server to standard output or to a file.
//!
//! A page is written when it is complete, so that an incomplete one can be requested again and no line is
//! written twice. The server's last line of each page, with the cursor of the next one, is not written.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::session::Session;

/// The destination of the lines.
#[derive(Debug, Args)]
pub(crate) struct OutputFile {
    /// Write to this file, which is created when everything has been received
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The last line of a page. No other line parses as one.
pub(crate) trait Last: DeserializeOwned {
    /// Whether no page follows.
    fn is_end(&self) -> bool;

    /// Returns the cursor of the next page.
    fn cursor(&self) -> Option<&str>;
}

impl OutputFile {
    /// Writes all pages. Returns the last line of the last page.
    ///
    /// # Errors
    /// A page cannot be read or written.
    pub(crate) fn write<L: Last>(
        &self,
        session: &Session,
        path: &str,
        filter: Option<(&str, &str)>,
    ) -> Result<L, Failure> {
        let pages = Pages {
            session,
            path,
            filter,
        };
        match &self.output {
            None => {
                let out = io::stdout();
                // On a terminal that shows the lines themselves, a counter would be in their way.
                let bar = if out.is_terminal() {
                    ProgressBar::hidden()
                } else {
                    session.output.bar(None, COUNT, COUNT)
                };
                pages.copy(&mut out.lock(), &bar, Failure::Output)
            }
            Some(file) => pages.copy_to(file),
        }
    }
}

/// The pages to copy.
struct Pages<'p> {
    session: &'p Session,
    path: &'p str,
    filter: Option<(&'p str, &'p str)>,
}

/// A page: whole lines, and the server's last line.
struct Page<L> {
    lines: String,
    last: L,
}

impl Pages<'_> {
    /// Copies all pages to a file, which has another name until it is complete.
    fn copy_to<L: Last>(&self, file: &Path) -> Result<L, Failure> {
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let at_fault = |fault| Failure::File {
            path: file.to_owned(),
            fault,
        };
        let mut sink = BufWriter::new(File::create(&part).map_err(at_fault)?);
        let bar = self.session.output.bar(None, COUNT, COUNT);
        let copied = self.copy(&mut sink, &bar, at_fault);
        drop(sink);
        let last = match copied {
            Ok(last) => last,
            Err(failure) => {
                // If the incomplete file cannot be removed, its name shows that it is incomplete.
                let _ = fs::remove_file(&part);
                return Err(failure);
            }
        };
        fs::rename(&part, file).map_err(at_fault)?;
        Ok(last)
    }

    /// Copies all pages. A counter shows the number of lines, and is removed at the end.
    fn copy<L: Last>(
        &self,
        sink: &mut dyn Write,
        bar: &ProgressBar,
        at_fault: impl Fn(io::Error) -> Failure,
    ) -> Result<L, Failure> {
        let mut cursor: Option<String> = None;
        let copied = loop {
            let page = match self.session.with_retries(|| self.page::<L>(cursor.as_deref())) {
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
                    .session
                    .client
                    .unreadable("a page says that there are more, and not where"));
            }
            cursor = next;
        };
        bar.finish_and_clear();
        copied
    }

    fn page<L: Last>(&self, cursor: Option<&str>) -> Result<Page<L>, Failure> {
        let client = &self.session.client;
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
        // The unreadable line may contain a device, so it is not quoted.
        let last =
            serde_json::from_str(last).map_err(|_| client.broken("a page ended before its last line"))?;
        lines.truncate(start);
        Ok(Page { lines, last })
    }
}

/// The number of lines per page: the server's limit.
const LIMIT: &str = "10000";

/// The display while pages are copied. Their number is not known in advance.
const COUNT: &str = "{spinner} {human_pos} lines, {per_sec}";
