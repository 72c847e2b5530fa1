//! `apns-edge batch list`: which batches there are, newest first.

use clap::{Args, value_parser};
use serde::Deserialize;
use serde_json::Value;

use crate::caller::Caller;
use crate::exit::Exit;
use crate::failure::Failure;

/// Print which batches there are, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only those in this state: staging, running, paused, cancelling, cancelled, done
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..))]
    limit: u64,
}

#[derive(Deserialize)]
struct Page {
    batches: Vec<Value>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    app: String,
    state: String,
    created_at: String,
    #[serde(default)]
    pushes: u64,
}

impl List {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        let mut left = self.limit;
        let mut cursor: Option<String> = None;
        loop {
            let page = caller.patiently(|| self.page(caller, left.min(PAGE), cursor.as_deref()))?;
            let count = page.batches.len() as u64;
            for batch in page
                .batches
                .into_iter()
                .take(usize::try_from(left).unwrap_or(usize::MAX))
            {
                let document = batch.to_string();
                let entry: Entry = serde_json::from_str(&document)
                    .map_err(|error| caller.client.unreadable(error.to_string()))?;
                caller.screen.result(&document, || entry.to_line())?;
            }
            left = left.saturating_sub(count);
            if page.cursor.is_none() || page.cursor == cursor || left == 0 {
                return Ok(Exit::Done);
            }
            cursor = page.cursor;
        }
    }

    fn page(&self, caller: &Caller, limit: u64, cursor: Option<&str>) -> Result<Page, Failure> {
        let limit = limit.to_string();
        let filters = [
            ("app", self.app.as_deref()),
            ("state", self.state.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
        ];
        let query: Vec<(&str, &str)> = filters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let answer = caller.client.get("/v1/batches", &query)?;
        serde_json::from_str(&answer.text).map_err(|error| caller.client.unreadable(error.to_string()))
    }
}

impl Entry {
    fn to_line(&self) -> String {
        let Self {
            id,
            app,
            state,
            created_at,
            pushes,
        } = self;
        format!("{id}  {created_at}  {state:<10}  {pushes:>9} pushes  {app}")
    }
}

/// How many batches are asked for at once: the most that the server gives.
const PAGE: u64 = 1000;
