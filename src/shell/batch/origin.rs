//! Tells where a run comes from what has become of it: the calendar how it ended, and the audience's shards which devices
//! are gone.
//!
//! What is told, in which portions and when again is decided by the batch. Whoever is told twice finds nothing new.

use std::collections::BTreeMap;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use worker::Env;

use super::core::Core;
use crate::api::batch as contract;
use crate::api::batch::receipts::{self, Chunk, GoneDevice};
use crate::delivery::audience::{Command, Gone, shard_of};
use crate::delivery::batch::{self, Outcome, Progress, Report, rows};
use crate::delivery::calendar;
use crate::shell;

/// Makes a report.
pub(super) async fn report(core: &Core, report: Report) -> Result<Outcome, String> {
    match report {
        Report::Ended(ended) => {
            core.spend(|spent| spent.told += 1);
            let told = tell_calendar(&core.env, &ended).await;
            told.map(|()| Outcome::Done)
        }
        Report::Gone {
            from,
            audience,
            shards,
        } => {
            let told = tell_of_gone(core, from, &audience, shards).await;
            told.map(Outcome::Reported)
        }
    }
}

/// Tells the audience of the gone devices of the next chunks. Gives the chunk to go on with.
async fn tell_of_gone(core: &Core, from: u32, audience: &str, shards: u32) -> Result<Option<u32>, String> {
    let (devices, next) = gone(core, from, shards)?;
    let mut by_shard: BTreeMap<u32, Vec<Gone>> = BTreeMap::new();
    for device in devices {
        let shard = shard_of(&device.token, shards);
        by_shard.entry(shard).or_default().push(Gone {
            token: device.token,
            reason: device.reason,
            since: device.since,
        });
    }
    core.spend(|spent| spent.told += u32::try_from(by_shard.len()).unwrap_or(u32::MAX));
    let told = by_shard.into_iter().map(|(shard, devices)| async move {
        let command = Command::Gone { devices };
        let told = shell::audience::ask(&core.env, audience, shard, &command).await;
        told.map(drop).map_err(|error| error.to_string())
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

/// Tells the calendar how a run ended.
async fn tell_calendar(env: &Env, ended: &calendar::Command) -> Result<(), String> {
    let told = shell::calendar::ask(env, ended).await;
    told.map(drop).map_err(|error| error.to_string())
}

/// How many shards are told at a time: so many requests an invocation may have waiting (Cloudflare's limits of Workers).
const SIDE_BY_SIDE: usize = 6;
