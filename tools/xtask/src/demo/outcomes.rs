//! The results of the pushes, collected from the Worker's answers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// APNs' status for a device that is gone.
const GONE: u64 = 410;

/// The results of all pushes.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Pushes by status, APNs' code and reason.
    pub(super) kinds: BTreeMap<(String, u64, String), u64>,
    /// The time of each push at the Worker, in milliseconds.
    times: Vec<f64>,
    /// The Worker's transport.
    pub(super) transport: String,
}

/// The number of pushes per kind of result. Each push has exactly one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// APNs accepted it.
    pub(super) accepted: u64,
    /// APNs refused it for a reason other than a device that is gone.
    pub(super) rejected: u64,
    /// APNs reported the device as gone.
    pub(super) gone: u64,
    /// It may not have reached APNs.
    pub(super) failed: u64,
}

impl Outcomes {
    /// Adds the results of one answer.
    pub(super) fn add(&mut self, answer: &Value) -> Result<()> {
        let results = answer
            .get("results")
            .and_then(Value::as_array)
            .context("the answer has no results")?;
        for result in results {
            let text = |name: &str| {
                result
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let status = text("status");
            if status.is_empty() {
                bail!("a result has no status: {result}");
            }
            let code = result.get("code").and_then(Value::as_u64).unwrap_or_default();
            *self.kinds.entry((status, code, text("reason"))).or_default() += 1;
            self.times.extend(result.get("ms").and_then(Value::as_f64));
        }
        self.transport = answer
            .get("transport")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Ok(())
    }

    /// Counts the pushes by kind of result.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for ((status, code, _), pushes) in &self.kinds {
            let count = match (status.as_str(), *code) {
                ("accepted", _) => &mut counts.accepted,
                ("rejected", GONE) => &mut counts.gone,
                ("rejected", _) => &mut counts.rejected,
                _ => &mut counts.failed,
            };
            *count += pushes;
        }
        counts
    }

    /// Returns a percentile of the times, in per mille, in milliseconds. 0 without any push.
    pub(super) fn percentile(&self, per_mille: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let rank = (times.len() * per_mille).div_ceil(1000);
        times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl Counts {
    /// Returns the number of pushes.
    pub(super) fn sent(&self) -> u64 {
        self.accepted + self.rejected + self.gone + self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Outcomes};
    use serde_json::json;

    fn outcomes() -> Outcomes {
        let mut outcomes = Outcomes::default();
        let answer = json!({ "transport": "fetch", "results": [
            { "status": "accepted", "code": 200, "ms": 4.0 },
            { "status": "accepted", "code": 200, "ms": 1.5 },
            { "status": "rejected", "code": 410, "reason": "Unregistered", "ms": 3.0 },
            { "status": "rejected", "code": 400, "reason": "BadDeviceToken", "ms": 2.0 },
            { "status": "retrying", "code": 503, "reason": "ServiceUnavailable", "ms": 9.0 },
            { "status": "failed", "code": 0, "ms": 0.0 },
        ]});
        outcomes.add(&answer).unwrap();
        outcomes
    }

    #[test]
    fn every_push_is_counted_once() {
        let counts = outcomes().counts();
        assert_eq!(
            counts,
            Counts {
                accepted: 2,
                rejected: 1,
                gone: 1,
                failed: 2
            }
        );
        assert_eq!(counts.sent(), 6);
    }

    #[test]
    fn a_percentile_is_a_time_that_a_push_took() {
        let outcomes = outcomes();
        assert_eq!(outcomes.percentile(500).to_bits(), 2.0_f64.to_bits());
        assert_eq!(outcomes.percentile(990).to_bits(), 9.0_f64.to_bits());
        assert_eq!(Outcomes::default().percentile(500).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn an_answer_without_results_is_an_error() {
        assert!(Outcomes::default().add(&json!({})).is_err());
        assert!(Outcomes::default().add(&json!({ "results": [{}] })).is_err());
    }
}
