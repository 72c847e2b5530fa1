//! Sends the reports of a run that has ended. The scheduler gets the run's result. The audience's shards get
//! the devices that APNs refused, and those for which it has certainly accepted nothing.
//!
//! The batch decides the content of reports, their pages and when they are repeated. A repeated report
//! changes nothing.

use std::collections::BTreeMap;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use worker::Env;

use super::batch_state::BatchState;
use api::batch::DeviceList;
use api::batch::receipts;
use apns::time::Timestamp;
use batch::{self, AudienceRef, Outcome, Report, RunReport};
use campaign::audience::{Command, Gone, shard_of};
use campaign::scan::Unaccepted;
use campaign::scheduler;

/// Sends a report.
pub(super) async fn report(core: &BatchState, report: Report) -> Result<Outcome, String> {
    match report {
        Report::Ended(ended) => {
            core.count_usage(|usage| usage.reports += 1);
            let result = report_to_scheduler(&core.env, ended).await;
            result.map(|()| Outcome::Done)
        }
        Report::Gone {
            from,
            audience,
            answered_at,
            suspects,
        } => {
            let (found, next) = find(core, from, audience.shards, suspects)?;
            let run = core.with(|batch| batch.record().id.clone()).unwrap_or_default();
            notify_audience(
                core,
                found.commands(&run, answered_at, audience.shards),
                &audience,
            )
            .await?;
            Ok(Outcome::Reported(next))
        }
    }
}

/// Wakes the shards whose scans are silent.
pub(super) async fn wake_scans(
    core: &BatchState,
    audience: &AudienceRef,
    shards: Vec<u32>,
) -> Result<Outcome, String> {
    let batch = core.with(|batch| batch.record().id.clone()).unwrap_or_default();
    let woken = crate::objects::audience::wake(&core.env, audience, shards, &batch).await;
    woken.map(|()| Outcome::Done).map_err(|error| error.to_string())
}

/// The devices of some chunks to report.
#[derive(Default)]
struct ResultGroup {
    /// Devices that APNs refused, each with its list.
    refused: Vec<(Gone, DeviceList)>,
    /// The tokens of devices for which APNs has certainly accepted nothing.
    unaccepted: Vec<String>,
}

impl ResultGroup {
    /// Returns the command for each shard, with the shard's number.
    fn commands(self, run: &str, answered_at: Timestamp, shards: u32) -> Vec<(u32, Command)> {
        let mut refused: BTreeMap<u32, (Vec<Gone>, Vec<Gone>)> = BTreeMap::new();
        for (device, list) in self.refused {
            let (gone, suspects) = refused.entry(shard_of(&device.token, shards)).or_default();
            match list {
                DeviceList::Gone => gone.push(device),
                DeviceList::Suspect => suspects.push(device),
            }
        }
        let mut unaccepted: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for token in self.unaccepted {
            unaccepted
                .entry(shard_of(&token, shards))
                .or_default()
                .push(token);
        }
        let refused = refused.into_iter().map(|(shard, (devices, suspects))| {
            let command = Command::Gone {
                devices,
                suspects,
                answered_at,
            };
            (shard, command)
        });
        let unaccepted = unaccepted.into_iter().map(|(shard, tokens)| {
            let run = run.to_owned();
            (shard, Command::Unaccepted(Unaccepted { run, tokens }))
        });
        refused.chain(unaccepted).collect()
    }
}

/// Sends the reports to the shards.
async fn notify_audience(
    core: &BatchState,
    commands: Vec<(u32, Command)>,
    audience: &AudienceRef,
) -> Result<(), String> {
    core.count_usage(|usage| usage.reports += u32::try_from(commands.len()).unwrap_or(u32::MAX));
    let result = commands.into_iter().map(|(shard, command)| async move {
        let result = crate::objects::audience::ask(&core.env, audience, shard, &command).await;
        result.map(drop).map_err(|error| error.to_string())
    });
    let result = stream::iter(result).buffer_unordered(SIDE_BY_SIDE);
    result.try_collect().await
}

/// Returns the devices of the next chunks to report, and the chunk to continue with.
fn find(
    core: &BatchState,
    from: u32,
    shards: u32,
    suspects: bool,
) -> Result<(ResultGroup, Option<u32>), String> {
    let mut lists = vec![DeviceList::Gone];
    lists.extend(suspects.then_some(DeviceList::Suspect));
    let loaded = core.with(|batch| (batch.record().clone(), batch.chunks()));
    let (record, chunks) = loaded.ok_or("the batch was forgotten")?;
    let (begun, _) = core.progress_page(from)?;
    let page = batch::whole_page(from, chunks, begun);
    let counted = page.iter().map(|(number, progress)| {
        let devices = core.look_at(&record, (*number, progress), |chunk| {
            let refused: usize = lists.iter().map(|list| chunk.count(*list)).sum();
            refused.saturating_add(chunk.count_unaccepted())
        });
        (*number, devices.unwrap_or_default())
    });
    let counted: Vec<(u32, usize)> = counted.collect();
    let report_page = batch::report_page(&counted, shards);
    let mut found = ResultGroup::default();
    let result = counted.iter().take(report_page.chunks);
    for (number, _) in result.filter(|(_, devices)| *devices > 0) {
        core.read_chunk(&record, *number, |chunk| {
            for list in &lists {
                let refused = receipts::devices(chunk, *list, 0, u64::MAX);
                found.refused.extend(refused.into_iter().map(|device| {
                    let (token, since) = (device.token, device.since);
                    (Gone { token, since }, *list)
                }));
            }
            found.unaccepted.extend(receipts::unaccepted(chunk));
        })?;
    }
    Ok((found, report_page.next))
}

/// Reports to the scheduler how a run ended.
async fn report_to_scheduler(env: &Env, ended: Box<RunReport>) -> Result<(), String> {
    let result = crate::objects::scheduler::ask(env, &scheduler::Command::RunEnded(ended)).await;
    result.map(drop).map_err(|error| error.to_string())
}

/// The number of shards that get a report at once: an invocation may have this many requests waiting
/// (Cloudflare's limits of Workers).
const SIDE_BY_SIDE: usize = 6;
