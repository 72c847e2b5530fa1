//! Tells where a run comes from what has become of it: the calendar how it ended, and the audience's shards which devices
//! are gone.
//!
//! What is told, in which portions and when again is decided by the batch. Whoever is told twice finds nothing new.

use std::collections::BTreeMap;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use worker::{Env, Response};

use super::core::Core;
use crate::api::batch as contract;
use crate::api::batch::receipts::{self, Chunk, GoneDevice};
use crate::delivery::batch::{self, Batch, Device, Progress, Report, rows};
use crate::shell::log::Event;
use crate::shell::{clock, stub};

/// Tells what is to be told, until that is all, or somebody does not hear it.
pub(super) async fn work(core: &Core) {
    while let Some(report) = core.with(|batch| batch.report(clock::now())).flatten() {
        let result = match report {
            Report::Ended(text) => {
                core.spend(|spent| spent.told += 1);
                let told = tell_calendar(&core.env, text).await;
                told.map(|()| core.with(Batch::told_end))
            }
            Report::Gone {
                from,
                audience,
                shards,
            } => {
                let told = tell_of_gone(core, from, &audience, shards).await;
                told.map(|next| core.with(|batch| batch.told_gone(next)))
            }
        };
        if let Err(problem) = result {
            Event::BatchFailed {
                batch: &core.with(|batch| batch.record().id.clone()).unwrap_or_default(),
                problem: &problem,
            }
            .write();
            core.with(|batch| batch.not_told(clock::now()));
        }
        if core.save().is_err() {
            return;
        }
    }
}

/// Tells the audience of the gone devices of the next chunks. Gives the chunk to go on with.
async fn tell_of_gone(core: &Core, from: u32, audience: &str, shards: u32) -> Result<Option<u32>, String> {
    let (devices, next) = gone(core, from, shards)?;
    let mut by_shard: BTreeMap<u32, Vec<GoneDevice>> = BTreeMap::new();
    for device in devices {
        by_shard
            .entry(shard_of(&device.token, shards))
            .or_default()
            .push(device);
    }
    core.spend(|spent| spent.told += u32::try_from(by_shard.len()).unwrap_or(u32::MAX));
    let told = by_shard.iter().map(|(shard, devices)| {
        let devices: Vec<Device<'_>> = devices.iter().map(device).collect();
        tell_audience(&core.env, format!("{audience}#{shard}"), batch::gone(&devices))
    });
    let told = stream::iter(told).buffer_unordered(SIDE_BY_SIDE);
    told.try_collect::<()>().await?;
    Ok(next)
}

/// The gone devices of the next chunks, and the chunk after those.
fn gone(core: &Core, from: u32, shards: u32) -> Result<(Vec<GoneDevice>, Option<u32>), String> {
    let database = core.database();
    let record = core.with(|batch| batch.record().clone());
    let record = record.ok_or("the batch was forgotten")?;
    let page = database
        .rows(rows::progress_from(from))
        .map_err(|error| error.to_string())?;
    let page: Result<Vec<(u32, Progress)>, String> = page.iter().map(rows::progress).collect();
    let page = page?;
    let chunk = |number, progress| {
        let size = core.with(|batch| batch.size(number)).flatten()?;
        Some(Chunk {
            record: &record,
            seed: contract::seed(&record.id).unwrap_or_default(),
            size,
            lines: "",
            progress,
        })
    };
    let counted = page.iter().map(|(number, progress)| {
        let gone = chunk(*number, progress).map_or(0, |chunk| chunk.gone());
        (*number, gone)
    });
    let counted: Vec<(u32, usize)> = counted.collect();
    let portion = batch::portion(&counted, shards);
    let mut devices = Vec::new();
    for ((number, progress), (_, gone)) in page.iter().zip(&counted).take(portion.chunks) {
        let Some(chunk) = chunk(*number, progress).filter(|_| *gone > 0) else {
            continue;
        };
        let lines = database
            .text(rows::lines(*number))
            .map_err(|error| error.to_string())?;
        let lines = lines.unwrap_or_default();
        let chunk = Chunk {
            lines: &lines,
            ..chunk
        };
        devices.extend(receipts::gone(&chunk, 0, u64::MAX));
    }
    devices.retain(|device| core.with(|batch| batch.tells_of(&device.reason)) == Some(true));
    Ok((devices, portion.next))
}

fn device(gone: &GoneDevice) -> Device<'_> {
    Device {
        token: &gone.token,
        reason: &gone.reason,
        since: gone.since,
    }
}

/// Tells the calendar how a run ended.
async fn tell_calendar(env: &Env, text: String) -> Result<(), String> {
    let told = stub::send(env, (CALENDAR, CALENDAR_NAME), COMMAND, text).await;
    heard(told, "the calendar")
}

/// Tells a shard of an audience which of its devices are gone.
async fn tell_audience(env: &Env, shard: String, text: String) -> Result<(), String> {
    let told = stub::send(env, (AUDIENCE, &shard), COMMAND, text).await;
    heard(told, "the audience")
}

/// Whether it was heard; a campaign or an audience that is gone needs to know nothing.
fn heard(told: worker::Result<Response>, who: &str) -> Result<(), String> {
    match told.map(|response| response.status_code()) {
        Ok(200 | 204 | 404 | 410) => Ok(()),
        Ok(status) => Err(format!("{who} answered {status}")),
        Err(error) => Err(format!("{who} did not answer: {error}")),
    }
}

/// The shard of a device: FNV-1a of its token.
fn shard_of(token: &str, shards: u32) -> u32 {
    let hash = token.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % shards.max(1)
}

const CALENDAR: &str = "CALENDAR";
const CALENDAR_NAME: &str = "calendar";
const AUDIENCE: &str = "AUDIENCE";
const COMMAND: &str = "/command";

/// How many shards are told at a time: so many requests an invocation may have waiting (Cloudflare's limits of Workers).
const SIDE_BY_SIDE: usize = 6;
