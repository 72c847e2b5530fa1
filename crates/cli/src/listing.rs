//! Prints lists from the server: a line per entry, page after page.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A list to print.
#[derive(Debug)]
pub(crate) struct Listing<'l> {
    /// Its path.
    pub(crate) path: &'l str,
    /// The field of the answer that has the entries.
    pub(crate) field: &'static str,
    /// The query parameters.
    pub(crate) filters: &'l [(&'static str, Option<&'l str>)],
    /// The most entries. `None` for lists without pages.
    pub(crate) limit: Option<u64>,
}

struct Page {
    entries: Vec<Value>,
    cursor: Option<String>,
}

impl Listing<'_> {
    /// Prints the entries.
    ///
    /// # Errors
    /// The server does not answer, or its answer cannot be read.
    pub(crate) fn print<E: DeserializeOwned>(
        &self,
        session: &Session,
        to_line: fn(&E) -> String,
    ) -> Result<Exit, Failure> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut cursor: Option<String> = None;
        loop {
            let page = session.with_retries(|| self.page(session, left, cursor.as_deref()))?;
            let count = page.entries.len() as u64;
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            for entry in page.entries.into_iter().take(most) {
                let document = entry.to_string();
                let entry: E = serde_json::from_str(&document)
                    .map_err(|error| session.client.unreadable(error.to_string()))?;
                session.output.result(&document, || to_line(&entry))?;
            }
            left = left.saturating_sub(count);
            if page.cursor.is_none() || page.cursor == cursor || left == 0 {
                return Ok(Exit::Done);
            }
            cursor = page.cursor;
        }
    }

    fn page(&self, session: &Session, left: u64, cursor: Option<&str>) -> Result<Page, Failure> {
        let limit = self.limit.map(|_| left.min(PAGE).to_string());
        let more = [("limit", limit.as_deref()), ("cursor", cursor)];
        let query: Vec<(&str, &str)> = self
            .filters
            .iter()
            .chain(&more)
            .filter_map(|(name, value)| Some((*name, (*value)?)))
            .collect();
        let answer = session.client.get(self.path, &query)?;
        let mut page: Map<String, Value> = serde_json::from_str(&answer.text)
            .map_err(|error| session.client.unreadable(error.to_string()))?;
        let Some(Value::Array(entries)) = page.remove(self.field) else {
            let field = self.field;
            return Err(session.client.unreadable(format!("there are no `{field}` in it")));
        };
        Ok(Page {
            entries,
            cursor: page.get("cursor").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// The number of entries per request: the server's limit.
const PAGE: u64 = 1000;
