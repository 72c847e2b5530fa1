//! Reads what the Worker and wrangler logged about a batch, on which the bill is based.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The log entries about one batch, summed up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    /// How many chunks runners sent, counting repetitions.
    pub(super) runs: u64,
    /// The counters of the batch's object.
    pub(super) expense: Expense,
    /// Invocations of the queue's consumer, and their messages.
    pub(super) invocations: u64,
    pub(super) delivered: u64,
    /// The wasm memory of the isolate in KB at the end of the upload, and its maximum.
    pub(super) wasm_kb_uploaded: u64,
    pub(super) wasm_kb_most: u64,
    /// The first errors that were logged.
    pub(super) errors: Vec<String>,
}

/// The counters of a batch's object: requests to it by kind, and its own operations.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Expense {
    pub(super) uploads: u64,
    pub(super) claims: u64,
    pub(super) granted: u64,
    pub(super) settlings: u64,
    pub(super) checkpoints: u64,
    pub(super) others: u64,
    pub(super) questions: u64,
    pub(super) alarms: u64,
    pub(super) alarms_set: u64,
    pub(super) messages: u64,
    pub(super) reports: u64,
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
    pub(super) stored: u64,
}

/// The name of the queue of pushes. Other queues have a suffix.
const QUEUE: &str = "apns-edge-pushes";

/// The prefix of wrangler's lines about deliveries.
const DELIVERY: &str = "QUEUE ";

/// The most errors that are shown.
const ERRORS: usize = 5;

/// The Worker's log events that are errors.
const FAULTS: [&str; 6] = [
    "batch_failed",
    "message_failed",
    "fell_back",
    "connect_failed",
    "gate_failed",
    "state_lost",
];

/// Reads the entries about a batch from a part of the log.
pub(super) fn story(log: &str, batch: &str) -> Result<Story> {
    let mut story = Story::default();
    let mut ended = None;
    for line in log.lines() {
        if let Some((messages, _)) = delivery(line) {
            story.invocations += 1;
            story.delivered += messages;
        }
        let Some(event) = event(line) else { continue };
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        if FAULTS.contains(&name) && story.errors.len() < ERRORS {
            story.errors.push(line.trim().to_owned());
        }
        if event.get("batch").and_then(Value::as_str) != Some(batch) {
            continue;
        }
        let memory_kb = event.get("memory_kb").and_then(Value::as_u64);
        story.wasm_kb_most = story.wasm_kb_most.max(memory_kb.unwrap_or_default());
        match name {
            "batch_accepted" => story.wasm_kb_uploaded = memory_kb.unwrap_or_default(),
            "chunk_sent" => story.runs += 1,
            "batch_ended" => ended = event.get("expense").cloned(),
            _ => {}
        }
    }
    let ended = ended.context("the Worker did not log that the batch ended")?;
    story.expense = serde_json::from_value(ended)?;
    Ok(story)
}

/// Returns the wasm memory of the isolate in KB, as it was logged last.
pub(super) fn wasm_kb(log: &str) -> u64 {
    let mut sizes = log.lines().rev().filter_map(event);
    let size = sizes.find_map(|event| event.get("memory_kb").and_then(Value::as_u64));
    size.unwrap_or_default()
}

/// Whether the log contains the end of a batch.
pub(super) fn has_ended(log: &str, batch: &str) -> bool {
    log.lines().rev().filter_map(event).any(|event| {
        event.get("event").and_then(Value::as_str) == Some("batch_ended")
            && event.get("batch").and_then(Value::as_str) == Some(batch)
    })
}

fn event(line: &str) -> Option<Value> {
    let start = line.find("{\"event\":")?;
    serde_json::from_str(line.get(start..)?.trim_end()).ok()
}

/// Returns how many messages of the pushes' queue were delivered according to a line, and how many were
/// acknowledged.
fn delivery(line: &str) -> Option<(u64, u64)> {
    let (_, rest) = line.split_once(DELIVERY)?;
    let mut words = rest.split_whitespace();
    if words.next()? != QUEUE {
        return None;
    }
    let (acknowledged, all) = words.next()?.split_once('/')?;
    Some((all.parse().ok()?, acknowledged.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{delivery, has_ended, story, wasm_kb};

    const LOG: &str = r#"
[wrangler:info] Ready on http://127.0.0.1:1
{"event":"batch_accepted","app":"bench","batch":"b","pushes":600,"invalid":0,"chunks":2,"memory_kb":2048,"ms":3}
{"event":"chunk_sent","app":"bench","batch":"b","chunk":0,"pushes":500,"memory_kb":4096,"ms":60}
{"event":"chunk_sent","app":"bench","batch":"other","chunk":0,"pushes":500,"memory_kb":9999,"ms":60}
{"event":"gate_failed","app":"bench","problem":"gone"}
QUEUE apns-edge-pushes 2/2 (120ms)
QUEUE apns-edge-dead-letters 1/1 (1ms)
{"event":"chunk_sent","app":"bench","batch":"b","chunk":1,"pushes":100,"memory_kb":4096,"ms":60}
{"event":"batch_ended","app":"bench","batch":"b","state":"done","pushes":600,"expense":{"uploads":1,"claims":2,"granted":2,"settlings":2,"checkpoints":0,"others":0,"questions":0,"alarms":1,"alarms_set":2,"messages":2,"reports":2,"rows_read":40,"rows_written":12,"stored":65536},"memory_kb":4096}
"#;

    #[test]
    fn the_story_is_that_of_one_batch() {
        let story = story(LOG, "b").unwrap();
        assert_eq!((story.runs, story.invocations, story.delivered), (2, 1, 2));
        assert_eq!((story.wasm_kb_uploaded, story.wasm_kb_most), (2048, 4096));
        assert_eq!((story.expense.messages, story.expense.rows_written), (2, 12));
        assert_eq!(story.errors.len(), 1);
        assert_eq!((wasm_kb(LOG), wasm_kb("")), (4096, 0));
    }

    #[test]
    fn a_batch_that_did_not_end_has_no_story() {
        assert!(has_ended(LOG, "b"));
        assert!(!has_ended(LOG, "other"));
        assert!(story(LOG, "other").is_err());
    }

    #[test]
    fn a_delivery_is_told_with_and_without_colours() {
        assert_eq!(delivery("QUEUE apns-edge-pushes 31/32 (5ms)"), Some((32, 31)));
        assert_eq!(delivery("\u{1b}[36mQUEUE apns-edge-pushes \u{1b}[0m"), None);
    }
}
