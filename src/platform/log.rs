//! Structured logs: one JSON line an event.
//!
//! A line names apps, counts, reasons and durations; never a device token, a provider token, a key or a payload.

use crate::objects::batch::Expense;
use delivery::receipt::Tally;
use serde::Serialize;
use worker::{console_error, console_log};

/// An event in the life of the Worker.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'e> {
    /// An order was sent.
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
        expense: Expense,
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
    /// A shard has gone through its devices for a run.
    ShardScanned {
        batch: &'e str,
        shard: u32,
        pushes: u64,
        invalid: u64,
        /// What is wrong with the first of those that were left out.
        problems: &'e [String],
    },
    /// The scheduler could not do what it is to do for a campaign's run, and tries it again.
    CampaignFailed { batch: &'e str, problem: &'e str },
    /// A shard of an audience did not answer, or could not do what it should.
    AudienceFailed { audience: &'e str, problem: &'e str },
    /// The scheduler did not answer, or could not store what it knows.
    SchedulerFailed { problem: &'e str },
    /// The scheduler did not hear that a minute has struck.
    TickFailed { problem: &'e str },
    /// A batch's object did not answer, or could not do what it should.
    BatchFailed { batch: &'e str, problem: &'e str },
    /// A queue's message could not be handled.
    MessageFailed { queue: &'e str, problem: &'e str },
    /// No socket could be opened, and an order went by `fetch`.
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
    /// What an order or a chunk has counted is not in the metrics.
    MetricsLost { problem: &'e str },
    /// What an object had stored could not be read.
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

/// The size of the isolate's wasm memory.
pub(crate) fn memory_kb() -> usize {
    core::arch::wasm32::memory_size::<0>() * PAGE_KB
}

/// A page of wasm memory.
const PAGE_KB: usize = 64;
