//! Paged lists: `GET /v1/batches`, `GET /v1/dead-letters`, and a batch's receipts and refused devices.
//!
//! In scope: their query strings, and the answers with batches and dead letters. Out of scope: the receipts,
//! which their batch writes.

pub(super) mod parameters;

use serde::Serialize;

use super::Answer;
use crate::config::{Caller, Config};
use apns::credential::Credential;
use apns::fault::Faults;
use batch::dead_letter::{self, DeadLetter};
use batch::registry::{Cursor, Entry, Filter, Page};
use documents::batch::{BatchSummary, Batches};
use documents::dead_letter::DeadLetters;
use parameters::Parameters;

/// Parses the query string of `GET /v1/batches`.
///
/// # Errors
/// All faults, each at its parameter.
pub fn batch_filter(query: &str) -> Result<Filter, Faults> {
    let known = ["app", "state", "since", "until", "limit", "cursor"];
    let mut parameters = Parameters::read(query, &known);
    let state = one_of(&mut parameters, "state", &STATES);
    let (since, until) = (parameters.moment("since"), parameters.moment("until"));
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        parameters.invalid("until", "lies before `since`");
    }
    let filter = Filter {
        apps: parameters.text("app").map(|app| vec![app.to_owned()]),
        state: state.map(str::to_owned),
        since,
        until,
        limit: parameters.limit(BATCHES, MAX_BATCHES),
        cursor: cursor(&mut parameters),
    };
    parameters.or(filter)
}

/// Returns the filter for the newest paused batches, for the doctor.
#[must_use]
pub fn paused_filter() -> Filter {
    Filter {
        apps: None,
        state: Some("paused".to_owned()),
        since: None,
        until: None,
        limit: PAUSED,
        cursor: None,
    }
}

/// Returns the query for each registry, so that a caller sees only batches of apps to which its key has
/// access.
///
/// [`Page::merge`] merges the results.
#[must_use]
pub fn by_credential<'c>(
    filter: &Filter,
    caller: &Caller,
    config: &'c Config,
) -> Vec<(&'c Credential, Filter)> {
    let wanted = |name: &String| filter.apps.as_ref().is_none_or(|apps| apps.contains(name));
    let mut filters: Vec<(&Credential, Filter)> = Vec::new();
    for app in &config.apps {
        if !caller.reaches(&app.name) || !wanted(&app.name) {
            continue;
        }
        let known = filters
            .iter_mut()
            .find(|(credential, _)| **credential == app.credential);
        if let Some((_, filter)) = known {
            filter.apps.get_or_insert_default().push(app.name.clone());
        } else {
            let apps = Some(vec![app.name.clone()]);
            filters.push((
                &app.credential,
                Filter {
                    apps,
                    ..filter.clone()
                },
            ));
        }
    }
    filters
}

/// Parses the query string of `GET /v1/dead-letters`: the limit, and the cursor of an earlier page.
///
/// # Errors
/// All faults, each at its parameter.
pub fn letter_range(query: &str) -> Result<(u32, Option<Cursor>), Faults> {
    let mut parameters = Parameters::read(query, &["limit", "cursor"]);
    let range = (parameters.limit(LETTERS, MAX_LETTERS), cursor(&mut parameters));
    parameters.or(range)
}

/// Which receipts of a batch are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRange {
    /// The position of the first push in the upload. It is also the cursor, as text.
    pub from: u64,
    /// The most receipts to return.
    pub limit: u32,
    /// Only pushes with these statuses, or all pushes if it is empty.
    pub statuses: Vec<&'static str>,
}

impl ReceiptRange {
    /// Parses the query string of `GET /v1/batches/{id}/receipts`.
    ///
    /// # Errors
    /// All faults, each at its parameter.
    pub fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::read(query, &["cursor", "limit", "status"]);
        let range = Self::read(&mut parameters);
        parameters.or(range)
    }

    /// Parses the query string of `GET /v1/batches/{id}/gone` and `/suspect`, which accept no status.
    ///
    /// # Errors
    /// All faults, each at its parameter.
    pub fn of_devices(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::read(query, &["cursor", "limit"]);
        let range = Self::read(&mut parameters);
        parameters.or(range)
    }

    fn read(parameters: &mut Parameters) -> Self {
        let rule = format!("must be of {}, with commas between", STATUSES.join(", "));
        let statuses = parameters.value("status", &rule, |text| {
            let word = |text: &str| STATUSES.into_iter().find(|status| *status == text.trim());
            text.split(',').map(word).collect()
        });
        Self {
            from: parameters
                .value("cursor", BAD_CURSOR, |text| text.parse().ok())
                .unwrap_or_default(),
            limit: parameters.limit(RECEIPTS, MAX_RECEIPTS),
            statuses: statuses.unwrap_or_default(),
        }
    }
}

/// Answers `GET /v1/batches`.
#[must_use]
pub fn batches(page: &Page) -> Answer {
    json(&Batches {
        batches: page.batches.iter().map(batch).collect(),
        cursor: page.cursor.as_ref().map(ToString::to_string),
    })
}

/// Answers `GET /v1/dead-letters`.
#[must_use]
pub fn dead_letters(page: &dead_letter::Page) -> Answer {
    json(&DeadLetters {
        dead_letters: page.letters.iter().map(dead_letter).collect(),
        cursor: page.cursor.as_ref().map(ToString::to_string),
    })
}

fn json(document: &impl Serialize) -> Answer {
    Answer::json(serde_json::to_string(document).unwrap_or_default())
}

fn cursor(parameters: &mut Parameters) -> Option<Cursor> {
    parameters.value("cursor", BAD_CURSOR, |text| text.parse().ok())
}

fn one_of(parameters: &mut Parameters, name: &str, words: &[&'static str]) -> Option<&'static str> {
    let rule = format!("must be one of {}", words.join(", "));
    parameters.value(name, &rule, |text| {
        words.iter().find(|word| **word == text).copied()
    })
}

fn batch(entry: &Entry) -> BatchSummary {
    BatchSummary {
        id: entry.id.clone(),
        app: entry.app.clone(),
        state: entry.state.as_str().into(),
        created_at: entry.created_at.to_string(),
        ended_at: entry.ended_at.map(|ended_at| ended_at.to_string()),
        pushes: entry.pushes,
        webhook: entry.webhook.clone(),
    }
}

fn dead_letter(letter: &DeadLetter) -> documents::dead_letter::DeadLetter {
    documents::dead_letter::DeadLetter {
        id: letter.id.clone(),
        queue: letter.queue.clone(),
        received_at: letter.received_at.to_string(),
        problem: letter.problem.clone(),
        bytes: letter.bytes,
        body: letter.body.clone(),
    }
}

/// The most paused batches that the doctor lists. It says if there are more.
const PAUSED: u32 = 20;

/// The names of a batch's states.
pub const STATES: [&str; 6] = ["staging", "running", "paused", "cancelling", "cancelled", "done"];

/// The names of the statuses of a batch's pushes.
pub const STATUSES: [&str; 8] = [
    "accepted",
    "rejected",
    "failed",
    "duplicate",
    "cancelled",
    "retrying",
    "in_flight",
    "waiting",
];

const BAD_CURSOR: &str = "must be the `cursor` of an earlier answer";

/// The default number of batches in an answer.
const BATCHES: u32 = 100;

/// The most batches in an answer: some 300 KB.
const MAX_BATCHES: u32 = 1000;

/// The default number of letters in an answer.
const LETTERS: u32 = 100;

/// The most letters in an answer. Each has up to a kilobyte of its body.
const MAX_LETTERS: u32 = 1000;

/// The default number of receipts in an answer.
const RECEIPTS: u32 = 1000;

/// The most receipts in an answer: some two megabytes, which block the batch's object while they are built.
const MAX_RECEIPTS: u32 = 10_000;

#[cfg(test)]
mod tests;
