//! Structured logs: one JSON line per event.
//!
//! A line contains apps, counts, reasons and durations, and never a device token, provider token, key or
//! payload.

use crate::objects::batch::UsageCounters;
use delivery::receipt::Tally;
use serde::Serialize;
use worker::{console_error, console_log};

/// A log event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'e> {
    /// A send request was sent.
    Sent {
        app: &'e str,
        transport: &'static str,
        tally: Tally,
        /// The isolate's wasm memory, which never shrinks.
        memory_kb: usize,
        ms: u64,
    },
    /// An upload has become a batch.
    BatchAccepted {
        app: &'e str,
        batch: &'e str,
        pushes: u32,
        invalid: u32,
        chunks: usize,
        memory_kb: usize,
        ms: u64,
    },
    /// A chunk of a batch was sent.
    ChunkSent {
        app: &'e str,
        batch: &'e str,
        chunk: u32,
        pushes: usize,
        memory_kb: usize,
        ms: u64,
    },
    /// A batch has ended.
    BatchEnded {
        app: &'e str,
        batch: &'e str,
        state: &'static str,
        pushes: u64,
        expense: UsageCounters,
        memory_kb: usize,
    },
    /// Devices were imported into an audience.
    DevicesImported {
        app: &'e str,
        audience: &'e str,
        received: u64,
        invalid: u64,
        memory_kb: usize,
        ms: u64,
    },
    /// A run of a campaign has begun.
    RunStarted {
        app: &'e str,
        campaign: &'e str,
        batch: &'e str,
        shards: u32,
    },
    /// A shard has scanned its devices for a run.
    ShardScanned {
        batch: &'e str,
        shard: u32,
        pushes: u64,
        invalid: u64,
        /// The faults of the first devices that were left out.
        problems: &'e [String],
    },
    /// The scheduler could not perform a task of a campaign's run, and will retry it.
    CampaignFailed { batch: &'e str, problem: &'e str },
    /// A shard of an audience did not answer, or failed.
    AudienceFailed { audience: &'e str, problem: &'e str },
    /// The scheduler did not answer, or could not store its state.
    SchedulerFailed { problem: &'e str },
    /// The scheduler could not be reached by a cron trigger.
    TickFailed { problem: &'e str },
    /// A batch's object did not answer, or failed.
    BatchFailed { batch: &'e str, problem: &'e str },
    /// A queue's message could not be handled.
    MessageFailed { queue: &'e str, problem: &'e str },
    /// No socket could be opened, and a send request used `fetch`.
    FellBack { app: &'e str, devices: usize },
    /// A socket could not be opened.
    ConnectFailed {
        host: &'e str,
        problem: &'e str,
        retry_in_ms: u64,
    },
    /// The configuration has faults.
    Misconfigured { faults: String },
    /// A gate did not answer, or answered with an error.
    GateFailed { app: &'e str, problem: &'e str },
    /// The counters of a send request or a chunk could not be added to the metrics.
    MetricsLost { problem: &'e str },
    /// The stored state of an object could not be read.
    StateLost { object: &'e str, problem: &'e str },
}

impl Event<'_> {
    /// Writes the line.
    pub(crate) fn write(&self) {
        let line = serde_json::to_string(self).unwrap_or_default();
        match self {
            Self::Sent { .. }
            | Self::BatchAccepted { .. }
            | Self::ChunkSent { .. }
            | Self::DevicesImported { .. }
            | Self::RunStarted { .. }
            | Self::ShardScanned { .. }
            | Self::BatchEnded { .. } => console_log!("{line}"),
            Self::FellBack { .. }
            | Self::ConnectFailed { .. }
            | Self::BatchFailed { .. }
            | Self::CampaignFailed { .. }
            | Self::AudienceFailed { .. }
            | Self::SchedulerFailed { .. }
            | Self::TickFailed { .. }
            | Self::MessageFailed { .. }
            | Self::Misconfigured { .. }
            | Self::GateFailed { .. }
            | Self::MetricsLost { .. }
            | Self::StateLost { .. } => {
                console_error!("{line}");
            }
        }
    }
}

/// Returns the size of the isolate's wasm memory in KB.
pub(crate) fn memory_kb() -> usize {
    core::arch::wasm32::memory_size::<0>() * PAGE_KB
}

/// A page of wasm memory.
const PAGE_KB: usize = 64;
