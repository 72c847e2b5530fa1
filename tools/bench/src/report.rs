//! The final report: a table to read and publish, or a line of JSON for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Number, Value, json};

use crate::figures::{Row, Sample, Spread};
use crate::run::{WARM_UP_PUSHES, WARM_UP_TIME};
use crate::sender::LeftOut;

/// The headings. Only the first column is text.
const COLUMNS: [&str; 11] = [
    "sender",
    "latency, ms",
    "pushes",
    "pushes/s",
    "CPU a push, us",
    "peak memory, MB",
    "first result, ms",
    "p50, ms",
    "p99, ms",
    "connections",
    "server's CPU, %",
];

/// The contents of the report.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    rows: &'a [Row],
    left_out: &'a [LeftOut],
    machine: [String; 2],
}

impl<'a> Report<'a> {
    /// Creates a report of these rows, measured on this machine.
    pub(crate) fn new(rows: &'a [Row], left_out: &'a [LeftOut], machine: [String; 2]) -> Self {
        Self {
            rows,
            left_out,
            machine,
        }
    }

    /// Returns the line for programs, with the medians.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().map(json_row).collect();
        json!({ "rows": rows }).to_string()
    }

    /// Returns a table in Markdown, with notes on how to read it.
    pub(crate) fn text(&self) -> String {
        let [machine, versions] = &self.machine;
        let runs = self
            .rows
            .iter()
            .map(|row| row.samples.len())
            .max()
            .unwrap_or_default();
        let mut lines = vec![
            self.table(),
            String::new(),
            format!("Machine: {machine}."),
            format!("Versions: {versions}."),
            format!(
                "Median of {runs} runs (least to most), each of a freshly started sender after {WARM_UP_PUSHES} pushes, or {} \
                 s of them, to warm up.",
                WARM_UP_TIME.as_secs()
            ),
        ];
        if self.rows.iter().any(Row::is_limited_by_the_server) {
            lines.push("`*`: here the server is the limit, not the sender.".to_owned());
        }
        for LeftOut { sender, reason } in self.left_out {
            lines.push(format!("Left out: {sender}, because {reason}."));
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(COLUMNS);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in self.rows {
            table.add_row(table_row(row));
        }
        table.to_string()
    }
}

fn table_row(row: &Row) -> [String; COLUMNS.len()] {
    let cell = |decimals, figure: fn(&Sample) -> f64| spread(row.spread(figure), decimals);
    let limited = if row.is_limited_by_the_server() { " *" } else { "" };
    [
        row.sender.to_string(),
        row.latency_ms.to_string(),
        row.pushes.to_string(),
        cell(0, |sample| sample.pushes_per_s) + limited,
        cell(1, |sample| sample.cpu_us),
        cell(0, |sample| sample.peak_mb),
        cell(0, |sample| sample.first_ms),
        cell(1, |sample| sample.p50_ms),
        cell(1, |sample| sample.p99_ms),
        cell(0, |sample| sample.connections),
        cell(0, |sample| sample.server_share * 100.0),
    ]
}

/// Returns the median, with the extremes if there are several values.
fn spread(Spread { median, min, max }: Spread, decimals: usize) -> String {
    let [median, min, max] = [median, min, max].map(|figure| format!("{figure:.decimals$}"));
    if min == max {
        median
    } else {
        format!("{median} ({min} to {max})")
    }
}

fn json_row(row: &Row) -> Value {
    let number = |decimals, figure: fn(&Sample) -> f64| number(row.spread(figure).median, decimals);
    json!({
        "sender": row.sender.name(),
        "latency_ms": row.latency_ms,
        "pushes_per_s": number(0, |sample| sample.pushes_per_s),
        "cpu_us_per_push": number(1, |sample| sample.cpu_us),
        "peak_rss_mb": number(1, |sample| sample.peak_mb),
        "p50_ms": number(2, |sample| sample.p50_ms),
        "p99_ms": number(2, |sample| sample.p99_ms),
    })
}

/// Returns a figure with this number of decimals.
fn number(figure: f64, decimals: usize) -> Value {
    let text = format!("{figure:.decimals$}");
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::figures::{Row, Sample};
    use crate::sender::{LeftOut, Sender};

    const SAMPLE: Sample = Sample {
        pushes_per_s: 1234.5,
        cpu_us: 20.25,
        peak_mb: 61.04,
        first_ms: 52.4,
        p50_ms: 50.5,
        p99_ms: 71.0,
        connections: 1.0,
        server_share: 0.25,
    };

    fn row(samples: Vec<Sample>) -> Row {
        Row {
            sender: Sender::A2,
            latency_ms: 50,
            pushes: 100_000,
            samples,
        }
    }

    fn machine() -> [String; 2] {
        ["Some CPU".to_owned(), "a2 0.10.0".to_owned()]
    }

    #[test]
    fn the_json_format_is_unchanged() {
        let rows = [row(vec![SAMPLE])];
        let line = Report::new(&rows, &[], machine()).json();
        assert_eq!(line.lines().count(), 1);
        let expected =
            r#"{"rows":[{"sender":"a2","latency_ms":50,"pushes_per_s":1234,"cpu_us_per_push":20.2,"#
                .to_owned()
                + r#""peak_rss_mb":61.0,"p50_ms":50.50,"p99_ms":71.00}]}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn the_table_gives_the_median_and_the_extremes() {
        let faster = Sample {
            pushes_per_s: 2000.0,
            ..SAMPLE
        };
        let slower = Sample {
            pushes_per_s: 1000.0,
            ..SAMPLE
        };
        let rows = [row(vec![faster, slower, SAMPLE])];
        let text = Report::new(&rows, &[], machine()).text();
        assert!(text.contains("1234 (1000 to 2000)"), "{text}");
        assert!(text.contains("Median of 3 runs"), "{text}");
        assert!(!text.contains('*'), "{text}");
    }

    #[test]
    fn a_row_that_the_server_limits_says_so() {
        let busy = Sample {
            server_share: 0.97,
            ..SAMPLE
        };
        let rows = [row(vec![busy])];
        let text = Report::new(&rows, &[], machine()).text();
        assert!(text.contains("1234 *"), "{text}");
        assert!(text.contains("the server is the limit"), "{text}");
    }

    #[test]
    fn a_sender_without_figures_is_named_with_the_reason() {
        let left_out = LeftOut {
            sender: Sender::Aioapns,
            reason: "python3 cannot be started".to_owned(),
        };
        let text = Report::new(&[], &[left_out], machine()).text();
        assert!(
            text.contains("aioapns, because python3 cannot be started"),
            "{text}"
        );
    }
}
