//! Tells where a run comes from what has become of it: the calendar how it ended, and the audience's shards which devices
//! APNs refused.
//!
//! What is told, in which portions and when again is decided by the batch. Whoever is told twice finds nothing new.

use std::collections::BTreeMap;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use worker::Env;

use super::core::Core;
use crate::api::batch::DeviceList;
use crate::api::batch::receipts;
use crate::delivery::audience::{AudienceRef, Command, Gone, shard_of};
use crate::delivery::batch::{self, Outcome, Report};
use crate::delivery::calendar;
use crate::shell;
use crate::time::Timestamp;

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
            answered_at,
            suspects,
        } => {
            let (devices, next) = refused(core, from, audience.shards, suspects)?;
            tell_of_gone(core, devices, answered_at, &audience).await?;
            Ok(Outcome::Reported(next))
        }
    }
}

/// Wakes the shards of scans that have not been heard of.
pub(super) async fn wake_walks(
    core: &Core,
    audience: &AudienceRef,
    shards: Vec<u32>,
) -> Result<Outcome, String> {
    let batch = core.with(|batch| batch.record().id.clone()).unwrap_or_default();
    let woken = shell::audience::wake(&core.env, audience, shards, &batch).await;
    woken.map(|()| Outcome::Done).map_err(|error| error.to_string())
}

/// Devices that APNs refused, and whether they are gone.
type Refused = Vec<(Gone, DeviceList)>;

/// Tells the audience of refused devices.
async fn tell_of_gone(
    core: &Core,
    refused: Refused,
    answered_at: Timestamp,
    audience: &AudienceRef,
) -> Result<(), String> {
    let mut by_shard: BTreeMap<u32, (Vec<Gone>, Vec<Gone>)> = BTreeMap::new();
    for (device, list) in refused {
        let (gone, suspects) = by_shard
            .entry(shard_of(&device.token, audience.shards))
            .or_default();
        match list {
            DeviceList::Gone => gone.push(device),
            DeviceList::Suspect => suspects.push(device),
        }
    }
    core.spend(|spent| spent.told += u32::try_from(by_shard.len()).unwrap_or(u32::MAX));
    let told = by_shard
        .into_iter()
        .map(|(shard, (devices, suspects))| async move {
            let command = Command::Gone {
                devices,
                suspects,
                answered_at,
            };
            let told = shell::audience::ask(&core.env, audience, shard, &command).await;
            told.map(drop).map_err(|error| error.to_string())
        });
    let told = stream::iter(told).buffer_unordered(SIDE_BY_SIDE);
    told.try_collect().await
}

/// The refused devices of the next chunks, and the chunk after those.
fn refused(core: &Core, from: u32, shards: u32, suspects: bool) -> Result<(Refused, Option<u32>), String> {
    let mut lists = vec![DeviceList::Gone];
    lists.extend(suspects.then_some(DeviceList::Suspect));
    let record = core.with(|batch| batch.record().clone());
    let record = record.ok_or("the batch was forgotten")?;
    let (page, _) = core.progress_page(from)?;
    let counted = page.iter().map(|(number, progress)| {
        let refused = core.look_at(&record, (*number, progress), |chunk| {
            lists.iter().map(|list| chunk.count(*list)).sum()
        });
        (*number, refused.unwrap_or_default())
    });
    let counted: Vec<(u32, usize)> = counted.collect();
    let portion = batch::portion(&counted, shards);
    let mut devices = Vec::new();
    let told = counted.iter().take(portion.chunks);
    for (number, _) in told.filter(|(_, refused)| *refused > 0) {
        for list in &lists {
            let refused = core.read_chunk(&record, *number, |chunk| {
                receipts::devices(chunk, *list, 0, u64::MAX)
            });
            devices.extend(refused?.into_iter().flatten().map(|device| {
                let (token, since) = (device.token, device.since);
                (Gone { token, since }, *list)
            }));
        }
    }
    Ok((devices, portion.next))
}

/// Tells the calendar how a run ended.
async fn tell_calendar(env: &Env, ended: &calendar::Command) -> Result<(), String> {
    let told = shell::calendar::ask(env, ended).await;
    told.map(drop).map_err(|error| error.to_string())
}

/// How many shards are told at a time: so many requests an invocation may have waiting (Cloudflare's limits of Workers).
const SIDE_BY_SIDE: usize = 6;
