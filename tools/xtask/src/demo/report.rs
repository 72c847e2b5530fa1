//! The final report of the demo: text to read, or a line of JSON for programs.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::outcomes::Outcomes;

/// The mock's counters to report, by their names in its state.
const COUNTED: [&str; 4] = ["requests", "connections", "peak_in_flight", "provider_tokens"];

/// The figures of one run.
#[derive(Debug)]
pub(super) struct Report {
    summary: Value,
    table: String,
}

impl Report {
    /// Creates the report from the Worker's answers, the total time, and the mock's state.
    pub(super) fn new(outcomes: &Outcomes, wall: Duration, state: &Value) -> Self {
        let counts = outcomes.counts();
        let mut apns: serde_json::Map<String, Value> = COUNTED
            .map(|name| (name.to_owned(), state.get(name).cloned().unwrap_or_default()))
            .into_iter()
            .collect();
        apns.insert(
            "violations".to_owned(),
            state.get("violations").cloned().unwrap_or_else(|| json!([])),
        );
        let summary = json!({
            "sent": counts.sent(),
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "gone": counts.gone,
            "failed": counts.failed,
            "wall_ms": rounded(wall.as_secs_f64() * 1000.0),
            "pushes_per_s": rounded(pushes_per_second(counts.sent(), wall)),
            "p50_ms": outcomes.percentile(500),
            "p99_ms": outcomes.percentile(990),
            "transport": outcomes.transport,
            "apns": apns,
        });
        Self {
            summary,
            table: table(outcomes),
        }
    }

    /// Returns the line for programs.
    pub(super) fn json(&self) -> String {
        self.summary.to_string()
    }

    /// Returns a table and a few lines of text.
    pub(super) fn text(&self) -> String {
        let of = |name: &str| self.summary.get(name).cloned().unwrap_or_default();
        let apns = of("apns");
        let seen = |name: &str| apns.get(name).cloned().unwrap_or_default();
        let violations = seen("violations").as_array().map_or(0, Vec::len);
        format!(
            "{}\n{} pushes in {} ms: {} pushes/s, {} ms at the median, {} ms at the 99th percentile\n\
             APNs saw {} requests on {} connections, at most {} in flight, {} provider tokens, {violations} violations",
            self.table,
            of("sent"),
            of("wall_ms"),
            of("pushes_per_s"),
            of("p50_ms"),
            of("p99_ms"),
            seen("requests"),
            seen("connections"),
            seen("peak_in_flight"),
            seen("provider_tokens"),
        )
    }
}

fn table(outcomes: &Outcomes) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["status", "APNs", "reason", "pushes"]);
    for ((status, code, reason), pushes) in &outcomes.kinds {
        // Code 0: APNs did not answer.
        let code = if *code == 0 {
            String::new()
        } else {
            code.to_string()
        };
        table.add_row([status.clone(), code, reason.clone(), pushes.to_string()]);
    }
    table.to_string()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody sends so many pushes that it matters"
)]
fn pushes_per_second(pushes: u64, wall: Duration) -> f64 {
    pushes as f64 / wall.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the figures are small, and the cast saturates"
)]
fn rounded(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::{Outcomes, Report};
    use serde_json::{Value, json};
    use std::time::Duration;

    fn report() -> Report {
        let mut outcomes = Outcomes::default();
        let answer = json!({ "transport": "fetch", "results": [
            { "status": "accepted", "code": 200, "ms": 4 },
            { "status": "rejected", "code": 410, "reason": "Unregistered", "ms": 3 },
        ]});
        outcomes.add(&answer).unwrap();
        let state = json!({ "requests": 2, "connections": 1, "peak_in_flight": 1, "provider_tokens": 1,
            "violations": [], "devices": 2 });
        Report::new(&outcomes, Duration::from_millis(500), &state)
    }

    #[test]
    fn the_json_is_one_line_with_all_figures() {
        let line = report().json();
        assert_eq!(line.lines().count(), 1);
        let expected = json!({
            "sent": 2, "accepted": 1, "rejected": 0, "gone": 1, "failed": 0,
            "wall_ms": 500, "pushes_per_s": 4, "p50_ms": 3.0, "p99_ms": 4.0, "transport": "fetch",
            "apns": { "requests": 2, "connections": 1, "peak_in_flight": 1, "provider_tokens": 1, "violations": [] },
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[test]
    fn the_text_names_each_kind_of_outcome() {
        let text = report().text();
        assert!(text.contains("Unregistered"), "{text}");
        assert!(text.contains("1 provider tokens"), "{text}");
    }
}
