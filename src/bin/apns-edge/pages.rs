//! `apns-edge receipts` and `apns-edge gone`: what has become of each push of a batch, as lines of JSON.
//!
//! The server gives them in pages. A page is written when it is there as a whole, so that one that breaks off is asked
//! for again and no line comes twice; the server's last line of each page, where the next begins, is not written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::batch::BatchId;
use crate::caller::Caller;
use crate::exit::Exit;
use crate::failure::Failure;

/// Print the receipt of each push of a batch, as lines of JSON
#[derive(Debug, Args)]
pub(crate) struct Receipts {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
    /// Only those with this status: accepted, rejected, failed, cancelled, retrying, in_flight, waiting
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Print the devices of a batch that are gone, as lines of JSON: forget their tokens
#[derive(Debug, Args)]
pub(crate) struct Gone {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
    #[command(flatten)]
    output: Output,
}

/// Where the lines go.
#[derive(Debug, Args)]
struct Output {
    /// Write them to this file; it is there when all of them are
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Receipts {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        let status = self.status.join(",");
        let filter = (!status.is_empty()).then_some(("status", status.as_str()));
        self.output
            .write(caller, &format!("/v1/batches/{}/receipts", self.id), filter)
    }
}

impl Gone {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        self.output
            .write(caller, &format!("/v1/batches/{}/gone", self.id), None)
    }
}

impl Output {
    fn write(&self, caller: &Caller, path: &str, filter: Option<(&str, &str)>) -> Result<Exit, Failure> {
        let state = match &self.output {
            None => copy(caller, path, filter, &mut io::stdout().lock(), Failure::Output)?,
            Some(file) => copy_to(caller, path, filter, file)?,
        };
        if !matches!(state.as_str(), "done" | "cancelled") {
            caller
                .screen
                .note(&format!("the batch is {state}: more may be to come"));
        }
        Ok(Exit::Done)
    }
}

/// Copies all pages to a file, under another name until all are there.
fn copy_to(
    caller: &Caller,
    path: &str,
    filter: Option<(&str, &str)>,
    file: &Path,
) -> Result<String, Failure> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let at_fault = |fault| Failure::File {
        path: file.to_owned(),
        fault,
    };
    let mut sink = BufWriter::new(File::create(&part).map_err(at_fault)?);
    let copied = copy(caller, path, filter, &mut sink, at_fault);
    drop(sink);
    let state = match copied {
        Ok(state) => state,
        Err(failure) => {
            // What is left of it is of no use, and says so by its name if it cannot be removed.
            let _ = fs::remove_file(&part);
            return Err(failure);
        }
    };
    fs::rename(&part, file).map_err(at_fault)?;
    Ok(state)
}

/// Copies all pages, and says what state the batch is in.
fn copy(
    caller: &Caller,
    path: &str,
    filter: Option<(&str, &str)>,
    sink: &mut dyn Write,
    at_fault: impl Fn(io::Error) -> Failure,
) -> Result<String, Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let page = caller.patiently(|| page(caller, path, filter, cursor.as_deref()))?;
        sink.write_all(page.lines.as_bytes())
            .and_then(|()| sink.flush())
            .map_err(&at_fault)?;
        if !page.last.more {
            return Ok(page.last.state);
        }
        if page.last.cursor.is_none() || page.last.cursor == cursor {
            return Err(caller
                .client
                .unreadable("a page says that there are more, and not where"));
        }
        cursor = page.last.cursor;
    }
}

/// A page: whole lines, and what the server says behind them.
struct Page {
    lines: String,
    last: Last,
}

#[derive(Deserialize)]
struct Last {
    cursor: Option<String>,
    more: bool,
    state: String,
}

fn page(
    caller: &Caller,
    path: &str,
    filter: Option<(&str, &str)>,
    cursor: Option<&str>,
) -> Result<Page, Failure> {
    let mut query = vec![("limit", LIMIT)];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query.extend(filter);
    let mut lines = caller.client.get(path, &query)?.text;
    let end = lines.trim_end().len();
    let start = lines
        .get(..end)
        .and_then(|lines| lines.rfind('\n'))
        .map_or(0, |at| at + 1);
    let last = lines.get(start..end).unwrap_or_default();
    let last =
        serde_json::from_str(last).map_err(|_| caller.client.broken("a page ended before its last line"))?;
    lines.truncate(start);
    Ok(Page { lines, last })
}

/// How many lines a page has: the most that the server gives.
const LIMIT: &str = "10000";
