//! Reads the answers of senders: a result per push, and its time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The result of a push, in the format that the Worker and all peers share. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct PushResult<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    /// The time of the push as measured by its sender.
    ms: f64,
}

/// The Worker's last line, after the results.
#[derive(Debug, Deserialize)]
struct Summary {
    #[serde(rename = "counts")]
    _counts: IgnoredAny,
}

/// The Worker's answer as one document.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    results: Vec<PushResult<'a>>,
}

/// All results of a run so far.
#[derive(Debug)]
pub(crate) struct Answers {
    started: Instant,
    first: Option<Duration>,
    last: Duration,
    /// The times of accepted pushes, in milliseconds.
    times: Vec<f64>,
    /// The pushes that were not accepted, by status and reason.
    others: BTreeMap<String, u64>,
}

impl Answers {
    /// Starts a run.
    pub(crate) fn from_now_on() -> Self {
        Self {
            started: Instant::now(),
            first: None,
            last: Duration::ZERO,
            times: Vec::new(),
            others: BTreeMap::new(),
        }
    }

    /// Adds a line: a result, or the counts after the results.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<()> {
        match serde_json::from_slice(line) {
            Ok(result) => {
                self.arrived();
                self.add(&result);
                Ok(())
            }
            Err(_) if serde_json::from_slice::<Summary>(line).is_ok() => Ok(()),
            Err(error) => {
                let line = String::from_utf8_lossy(line).into_owned();
                Err(error).with_context(|| format!("no result: {line}"))
            }
        }
    }

    /// Adds a document with results.
    pub(crate) fn document(&mut self, document: &[u8]) -> Result<()> {
        let document: Document<'_> = serde_json::from_slice(document)
            .with_context(|| format!("no results: {}", String::from_utf8_lossy(document)))?;
        self.arrived();
        document.results.iter().for_each(|result| self.add(result));
        Ok(())
    }

    fn arrived(&mut self) {
        self.last = self.started.elapsed();
        self.first.get_or_insert(self.last);
    }

    fn add(&mut self, result: &PushResult<'_>) {
        if result.status == "accepted" {
            self.times.push(result.ms);
        } else {
            let reason = result.reason.as_deref().unwrap_or_default();
            let how = format!("{} {reason}", result.status).trim_end().to_owned();
            *self.others.entry(how).or_default() += 1;
        }
    }

    /// Returns the number of pushes with a result.
    pub(crate) fn count(&self) -> u64 {
        self.accepted() + self.others.values().sum::<u64>()
    }

    /// Returns an error unless this number of pushes were sent and all were accepted, because other figures
    /// are not comparable.
    pub(crate) fn all_accepted(self, pushes: u64) -> Result<Self> {
        let others: Vec<_> = self
            .others
            .iter()
            .map(|(how, pushes)| format!("{pushes} {how}"))
            .collect();
        ensure!(
            self.accepted() == pushes,
            "of {pushes} pushes {} were accepted; {}",
            self.accepted(),
            others.join(", ")
        );
        Ok(self)
    }

    /// Returns the time from the start to the first result.
    pub(crate) fn first(&self) -> Duration {
        self.first.unwrap_or_default()
    }

    /// Returns the time from the start to the last result.
    pub(crate) fn wall(&self) -> Duration {
        self.last
    }

    /// Returns a percentile of the times of accepted pushes, in milliseconds.
    pub(crate) fn percentile(&mut self, per_cent: usize) -> f64 {
        self.times.sort_unstable_by(f64::total_cmp);
        let rank = (self.times.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.times.get(rank).copied().unwrap_or_default()
    }

    fn accepted(&self) -> u64 {
        u64::try_from(self.times.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Answers;

    #[test]
    fn results_count_alike_as_lines_and_as_a_document() {
        let mut answers = Answers::from_now_on();
        answers
            .line(br#"{"ref":"a","status":"accepted","code":200,"ms":2.5}"#)
            .unwrap();
        answers
            .document(br#"{"transport":"fetch","results":[{"status":"accepted","ms":1}]}"#)
            .unwrap();
        assert_eq!(answers.count(), 2);
        let mut answers = answers.all_accepted(2).unwrap();
        assert_eq!(answers.percentile(50).to_bits(), 1.0_f64.to_bits());
        assert_eq!(answers.percentile(99).to_bits(), 2.5_f64.to_bits());
        assert!(answers.first() <= answers.wall());
    }

    #[test]
    fn a_push_that_was_not_accepted_spoils_the_run_and_says_why() {
        let mut answers = Answers::from_now_on();
        answers
            .line(br#"{"status":"rejected","code":410,"reason":"Unregistered","ms":1}"#)
            .unwrap();
        let error = answers.all_accepted(1).unwrap_err().to_string();
        assert!(error.contains("1 rejected Unregistered"), "{error}");
    }

    #[test]
    fn a_push_without_a_result_spoils_the_run() {
        let error = Answers::from_now_on().all_accepted(1).unwrap_err().to_string();
        assert!(error.contains("of 1 pushes 0 were accepted"), "{error}");
    }

    #[test]
    fn the_counts_at_the_end_are_no_result() {
        let mut answers = Answers::from_now_on();
        let counts = br#"{"app":"bench","transport":"socket","counts":{"devices":1,"accepted":1}}"#;
        answers.line(counts).unwrap();
        assert_eq!(answers.count(), 0);
    }

    #[test]
    fn what_is_no_result_is_an_error_that_shows_it() {
        let error = Answers::from_now_on().line(b"hello").unwrap_err().to_string();
        assert!(error.contains("hello"), "{error}");
    }
}
