//! Checks for flat memory: sends a million pushes and samples the sender's memory.
//!
//! A sender that accepts pushes faster than APNs answers them must either make its caller wait or keep them
//! in memory.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::json;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::figures::megabytes;
use crate::order::Orders;
use crate::run::{self, Bench};
use crate::sender::Sender;
use crate::usage;

/// The default number of pushes.
const PUSHES: u64 = 1_000_000;

/// The interval between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// The default sender.
const SENDER: Sender = Sender::Socket1;

/// Sends, and prints the memory before, during and after, in megabytes.
pub(crate) async fn measure(bench: &mut Bench<'_>, arguments: &Arguments) -> Result<ExitCode> {
    let pushes = arguments.pushes.unwrap_or(PUSHES);
    let latency_ms = arguments.latency.iter().copied().max().unwrap_or_default();
    bench.mock.set_latency(latency_ms)?;
    let senders = if arguments.only.is_empty() {
        &[SENDER][..]
    } else {
        &arguments.only
    };
    let mut rows = Vec::new();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "sender",
        "latency, ms",
        "pushes",
        "before, MB",
        "half-way, MB",
        "end, MB",
        "most, MB",
    ]);
    for &sender in senders {
        eprintln!("{sender}, {latency_ms} ms, {pushes} pushes");
        let seen = one(bench, sender, pushes).await.with_context(|| sender.name())?;
        let figures = [seen.before, seen.half_way, seen.end, seen.most].map(megabytes);
        let [before, half_way, end, most] = figures.map(|figure| format!("{figure:.1}"));
        table.add_row([
            sender.name(),
            &latency_ms.to_string(),
            &pushes.to_string(),
            &before,
            &half_way,
            &end,
            &most,
        ]);
        let [before, half_way, end, most] = figures.map(f64::round);
        rows.push(json!({
            "sender": sender.name(), "latency_ms": latency_ms, "pushes": pushes,
            "before_mb": before, "half_way_mb": half_way, "end_mb": end, "most_mb": most,
        }));
    }
    if arguments.json {
        println!("{}", json!({ "memory": rows }));
    } else {
        println!("{table}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The memory in bytes.
struct Seen {
    /// After the warm-up.
    before: u64,
    half_way: u64,
    /// After the last result.
    end: u64,
    /// The maximum of all samples.
    most: u64,
}

async fn one(bench: &mut Bench<'_>, sender: Sender, pushes: u64) -> Result<Seen> {
    let mut running = bench.start(sender).await?;
    run::warm_up(sender, &mut running, &bench.mock).await?;
    let process = running.process()?;
    let resident = || Ok::<_, anyhow::Error>(usage::of_tree(process)?.resident);
    let looks = RefCell::new(vec![resident()?]);
    let look = async {
        loop {
            sleep(INTERVAL).await;
            match resident() {
                Ok(bytes) => looks.borrow_mut().push(bytes),
                Err(error) => return error,
            }
        }
    };
    let orders = Orders::new(pushes, sender.devices_an_order());
    let answers = tokio::select! {
        answers = running.send(orders, sender.orders_at_once()) => answers?,
        error = look => return Err(error),
    };
    answers.all_accepted(pushes)?;
    let end = resident()?;
    running.stop().await?;
    let looks = looks.into_inner();
    let at = |place: usize| looks.get(place).copied().unwrap_or(end);
    Ok(Seen {
        before: at(0),
        half_way: at(looks.len() / 2),
        end,
        most: looks.iter().copied().fold(end, u64::max),
    })
}
