//! The report about a batch: its figures, a bill, and faults if there are any, as Markdown or as a line of
//! JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Number, Value, json};

use super::figures::{Figures, Looks, Memory};
use super::price::{self, Line};
use crate::arguments::Arguments;
use crate::figures::{count, megabytes, milliseconds};
use crate::machine;
use crate::sender::Transport;

/// Returns the line for programs.
pub(super) fn json(figures: &Figures) -> String {
    let number = |figure: f64, decimals: usize| {
        let text = format!("{figure:.decimals$}");
        text.parse::<Number>().map_or(Value::Null, Value::Number)
    };
    let memory = &figures.memory;
    let (isolate_idle, isolate_peak) = figures.isolate();
    json!({
        "pushes": figures.arguments.pushes,
        "pushes_per_s": number(figures.rate(figures.wall()), 0),
        "cpu_us_per_push": number(figures.cpu_us(), 1),
        "peak_rss_mb": number(megabytes(memory.ended.peak), 1),
        "idle_rss_mb": number(megabytes(memory.idle.resident), 1),
        "queue_operations": price::queue_operations(&figures.story),
        "object_requests": price::object_requests(&figures.story),
        "usd_per_million": number(price::per_million(&figures.bill(), figures.arguments.pushes), 4),
        "upload_peak_rss_mb": number(megabytes(memory.uploaded.peak), 1),
        "isolate_idle_mb": number(megabytes(isolate_idle), 1),
        "isolate_peak_mb": number(megabytes(isolate_peak), 1),
    })
    .to_string()
}

/// Returns the report for people, which is also published.
pub(super) fn text(figures: &Figures, arguments: &Arguments) -> String {
    let run = &figures.arguments;
    let way = match run.transport() {
        Transport::Fetch => "by `fetch`".to_owned(),
        Transport::Socket { connections } => format!("over sockets, at most {connections} connections"),
    };
    let heap = match run.heap {
        0 => "V8 without a limit".to_owned(),
        limit => format!("V8 held to {limit} MB of heap"),
    };
    let workerd = machine::workerd(arguments).map(|workerd| machine::version(&workerd));
    let mut parts = vec![
        format!(
            "{} pushes in one request, {way}, to a server that answers after {} ms; `max_batch_size` of the queue of pushes set to {}; {heap}.",
            run.pushes, run.latency, run.messages
        ),
        measured(figures),
        "### The bill".to_owned(),
        bill(figures),
        "### Beside others".to_owned(),
        others(figures),
        format!(
            "Machine: {}. Versions: apns-edge {}, {}.",
            machine::processor(),
            env!("CARGO_PKG_VERSION"),
            workerd.unwrap_or_else(|_| "no workerd".to_owned())
        ),
    ];
    for fault in &figures.faults {
        parts.push(format!("**Not as it must be**: {fault}."));
    }
    parts.join("\n\n")
}

fn measured(figures: &Figures) -> String {
    let story = &figures.story;
    let (upload, send, wall) = (figures.upload, figures.send, figures.wall());
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let rate = |time: Duration| format!("{:.0} a second", figures.rate(time));
    let Looks {
        idle,
        uploaded,
        ended,
    } = figures.memory;
    let above = |memory: Memory| {
        format!(
            "{:.0} MB, {:.0} MB above idle",
            megabytes(memory.peak),
            megabytes(memory.peak) - megabytes(idle.resident)
        )
    };
    let present = |memory: Memory| {
        format!(
            "{:.0} MB, {:.0} MB of it heaps and stacks",
            megabytes(memory.resident),
            megabytes(memory.anonymous)
        )
    };
    let (isolate_idle, isolate_most) = figures.isolate();
    let mut rows = vec![
        (
            "upload, to the answer",
            format!("{}, {}", seconds(upload), rate(upload)),
        ),
        (
            "sending, from the seal to the last receipt",
            format!("{}, {}", seconds(send), rate(send)),
        ),
        ("both", format!("{}, {}", seconds(wall), rate(wall))),
        (
            "first push after the upload's answer",
            format!("{:.0} ms", milliseconds(figures.first)),
        ),
        (
            "CPU a push, whole process tree",
            format!("{:.1} us", figures.cpu_us()),
        ),
    ];
    let by_process: Vec<_> = figures
        .cpu
        .iter()
        .map(|(program, spent)| {
            (
                format!("- {program}"),
                format!("{:.1} us", figures.us_a_push(*spent)),
            )
        })
        .collect();
    rows.extend(
        by_process
            .iter()
            .map(|(program, us)| (program.as_str(), us.clone())),
    );
    rows.push((
        "the Worker's CPU a push to the end of the upload",
        format!("{:.1} us", figures.us_a_push(figures.cpu_uploading)),
    ));
    rows.extend([
        (
            "the server's CPU a push",
            format!("{:.1} us", figures.us_a_push(figures.server)),
        ),
        ("connections at the end", figures.connections.to_string()),
        ("memory of the Worker's process, idle", present(idle)),
        ("- when the upload had ended", present(uploaded)),
        ("- at the end", present(ended)),
        ("- most to the end of the upload", above(uploaded)),
        ("- most of all", above(ended)),
        (
            "memory of wrangler's proxy, not counted above",
            format!(
                "{:.0} MB, at the end {:.0} MB",
                megabytes(idle.proxy),
                megabytes(ended.proxy)
            ),
        ),
        (
            "the isolate's heap and buffers",
            format!(
                "{:.1} MB idle, {:.1} MB at most to the end of the upload, {:.1} MB after it",
                megabytes(idle.isolate),
                megabytes(uploaded.isolate),
                megabytes(ended.isolate)
            ),
        ),
        (
            "the isolate's wasm memory",
            format!(
                "{:.1} MB idle, {:.1} MB when the upload had ended, {:.1} MB at most",
                count(figures.wasm_kb_idle) / 1000.0,
                count(story.wasm_kb_uploaded) / 1000.0,
                count(story.wasm_kb_most) / 1000.0
            ),
        ),
        (
            "the isolate, both at their most",
            format!(
                "{:.1} MB, {:.1} MB above idle",
                megabytes(isolate_most),
                megabytes(isolate_most) - megabytes(isolate_idle)
            ),
        ),
        ("queue operations", price::queue_operations(story).to_string()),
        ("requests to objects", price::object_requests(story).to_string()),
        (
            "questions of the benchmark, not counted above",
            figures.questions.to_string(),
        ),
    ]);
    let mut table = table(&["what", "figure"]);
    for (what, figure) in rows {
        table.add_row([what, &figure]);
    }
    table.to_string()
}

fn bill(figures: &Figures) -> String {
    let bill = figures.bill();
    let mut table = table(&["what", "how much", "price", "dollars", "how it comes about"]);
    for column in [1, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in &bill {
        let decimals = if line.quantity < 10.0 { 3 } else { 0 };
        table.add_row([
            line.what.to_owned(),
            format!("{:.decimals$}", line.quantity),
            line.unit.to_owned(),
            format!("{:.5}", line.dollars()),
            line.how.clone(),
        ]);
    }
    let sum: f64 = bill.iter().map(Line::dollars).sum();
    let per_million = price::per_million(&bill, figures.arguments.pushes);
    table.add_row([
        "sum".to_owned(),
        String::new(),
        String::new(),
        format!("{sum:.5}"),
        format!("{per_million:.4} dollars for a million pushes"),
    ]);
    table.to_string()
}

fn others(figures: &Figures) -> String {
    let mut table = table(&["sender", "a million pushes", "how it is billed"]);
    let own = price::per_million(&figures.bill(), figures.arguments.pushes);
    table.add_row([
        "apns-edge on Cloudflare Workers",
        &format!("${own:.4}"),
        "as above, beyond what the plan of $5 a month includes",
    ]);
    for other in OTHERS {
        table.add_row(other);
    }
    table.to_string()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header.iter().copied());
    table
}

/// The prices of others per million pushes by their lists. docs/internals/benchmark-batch.md has the sources
/// and their dates.
const OTHERS: [[&str; 3]; 3] = [
    ["Amazon SNS, mobile push", "$0.50", "by push"],
    ["Firebase Cloud Messaging", "$0", "no charge"],
    [
        "OneSignal, plan Growth",
        "not by push",
        "$19 a month and $0.012 for each user who was active in the month: $12,019 for a million users",
    ],
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figures, Looks, Memory, json, text};
    use crate::arguments::{Arguments, Task};
    use crate::batch::log::{Expense, Story};
    use clap::Parser;
    use serde_json::Value;

    fn figures() -> (Figures, Arguments) {
        let arguments = Arguments::parse_from(["bench", "batch", "--pushes", "1000"]);
        let Some(Task::Batch(batch)) = arguments.task.clone() else {
            panic!("no batch");
        };
        let figures = Figures {
            arguments: batch,
            upload: Duration::from_millis(250),
            send: Duration::from_millis(750),
            first: Duration::from_millis(60),
            memory: Looks {
                idle: Memory {
                    resident: 100_000_000,
                    isolate: 5_000_000,
                    ..Memory::default()
                },
                uploaded: Memory {
                    peak: 125_000_000,
                    isolate: 9_000_000,
                    ..Memory::default()
                },
                ended: Memory {
                    peak: 150_500_000,
                    isolate: 8_000_000,
                    ..Memory::default()
                },
            },
            wasm_kb_idle: 1000,
            cpu: vec![
                ("workerd, the Worker".to_owned(), Duration::from_millis(20)),
                ("node".to_owned(), Duration::from_millis(5)),
            ],
            cpu_uploading: Duration::from_millis(3),
            server: Duration::from_millis(4),
            connections: 1,
            questions: 2,
            story: Story {
                runs: 2,
                invocations: 1,
                delivered: 2,
                expense: Expense {
                    uploads: 1,
                    claims: 2,
                    granted: 2,
                    settlings: 2,
                    messages: 2,
                    reports: 2,
                    ..Expense::default()
                },
                wasm_kb_most: 4000,
                ..Story::default()
            },
            faults: Vec::new(),
        };
        (figures, arguments)
    }

    #[test]
    fn the_json_format_is_unchanged() {
        let line: Value = serde_json::from_str(&json(&figures().0)).unwrap();
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let published = [
            "pushes",
            "pushes_per_s",
            "cpu_us_per_push",
            "peak_rss_mb",
            "idle_rss_mb",
            "queue_operations",
            "object_requests",
            "usd_per_million",
            "upload_peak_rss_mb",
            "isolate_idle_mb",
            "isolate_peak_mb",
        ];
        assert_eq!(keys, published);
        assert_eq!(line["pushes_per_s"], json!(1000));
        assert_eq!(line["peak_rss_mb"].to_string(), "150.5");
        assert_eq!(line["idle_rss_mb"].to_string(), "100.0");
        assert_eq!(line["isolate_idle_mb"].to_string(), "6.0");
        assert_eq!(line["isolate_peak_mb"].to_string(), "13.0");
        assert_eq!(line["cpu_us_per_push"].to_string(), "25.0");
        assert_eq!(line["queue_operations"], json!(6));
        assert_eq!(line["object_requests"], json!(1 + 4 + 4 + 2 + 3 + 2));
    }

    #[test]
    fn the_text_says_what_was_set_and_what_went_wrong() {
        let (mut figures, arguments) = figures();
        figures.faults.push("accepted receipts: 1 and not 2".to_owned());
        let text = text(&figures, &arguments);
        assert!(
            text.contains("`max_batch_size` of the queue of pushes set to 32"),
            "{text}"
        );
        assert!(text.contains("accepted receipts: 1 and not 2"), "{text}");
    }
}
