//! The scheduler's tasks: starts runs, and pauses, resumes or cancels their batches.

use std::pin::pin;

use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use worker::{Env, Response, Result};

use super::START;
use crate::objects::audience as shards;
use crate::objects::batch;
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use crate::stubs;
use ::batch::AudienceRef;
use ::batch::Command as BatchCommand;
use api::campaign as contract;
use apns::time::Timestamp;
use campaign::audience::{Command as ShardCommand, Reply as ShardReply};
use campaign::scheduler::{Campaign, Outcome, Run, RunState, Task};

/// A run that a separate object starts.
#[derive(Serialize, Deserialize)]
struct Start {
    campaign: Campaign,
    run: Run,
    audience: AudienceRef,
}

/// Performs a task until `until`.
pub(super) async fn perform(env: &Env, task: &Task, until: Timestamp) -> Outcome {
    let outcome = {
        let performing = pin!(call(env, task));
        match select(performing, pin!(clock::at(until))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Outcome::Failed("no answer within its time".to_owned()),
        }
    };
    if let Outcome::Failed(problem) | Outcome::Rejected(problem) = &outcome {
        let batch = task.batch();
        Event::CampaignFailed { batch, problem }.write();
    }
    outcome
}

async fn call(env: &Env, task: &Task) -> Outcome {
    match task {
        Task::Start {
            campaign,
            run,
            audience,
        }
        | Task::Count {
            campaign,
            run,
            audience,
        } => {
            let start = Start {
                campaign: (**campaign).clone(),
                run: (**run).clone(),
                audience: audience.clone(),
            };
            let name = format!("start {}", run.batch);
            let started = stubs::ask(env, (bindings::SCHEDULER, &name), START, &start).await;
            started.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
        }
        Task::Control {
            batch,
            control,
            issued_at,
            ..
        } => {
            let command = BatchCommand::Control {
                control: *control,
                issued_at: *issued_at,
            };
            match batch::command(env, batch, &command).await {
                Ok(Some(_)) => Outcome::Done,
                Ok(None) => Outcome::NoBatch,
                Err(problem) => Outcome::Failed(problem),
            }
        }
    }
}

/// Starts the run in `text`, or counts the devices of a run that was missed.
pub(super) async fn start(env: &Env, text: &str) -> Result<Response> {
    let start: Start = serde_json::from_str(text)?;
    let outcome = match start.run.state {
        RunState::Missed => count(env, &start).await,
        _ => begin(env, &start).await,
    };
    let outcome = outcome.unwrap_or_else(Outcome::Failed);
    Response::ok(serde_json::to_string(&outcome)?)
}

/// Counts the devices that a run would have had.
async fn count(env: &Env, start: &Start) -> std::result::Result<Outcome, String> {
    let segment = contract::run::segment(&start.campaign, &start.run);
    let counted = shards::count(env, &start.audience, segment.as_ref()).await;
    let counted = counted.map_err(|error| error.to_string())?;
    Ok(Outcome::Counted(counted.devices))
}

/// Opens the batch of a run and starts its scans in the shards.
async fn begin(env: &Env, start: &Start) -> std::result::Result<Outcome, String> {
    let Start {
        campaign,
        run,
        audience,
    } = start;
    let config = bindings::config(env).map_err(|problem| problem.detail().to_owned())?;
    let app = config
        .find_app(&campaign.app)
        .map_err(|error| error.to_string())?;
    if let Some(zones) = &run.zones
        && !has_devices_in(env, zones, audience).await?
    {
        return Ok(Outcome::NoDevices);
    }
    let (record, head) = match contract::run::batch_record(campaign, run, audience, app, config) {
        Ok(record) => record,
        Err(problem) => return Ok(Outcome::Rejected(contract::run::reason(&problem))),
    };
    batch::open(env, record, head, audience.shards, run.start_until).await?;
    let scan = contract::run::scan(campaign, run);
    shards::begin(env, audience, &scan)
        .await
        .map_err(|error| error.to_string())?;
    Event::RunStarted {
        app: &campaign.app,
        campaign: &campaign.id,
        batch: &run.batch,
        shards: audience.shards,
    }
    .write();
    Ok(Outcome::Done)
}

/// Whether any device of the audience is in one of these time zones.
async fn has_devices_in(
    env: &Env,
    zones: &[String],
    audience: &AudienceRef,
) -> std::result::Result<bool, String> {
    let replies = shards::ask_all(env, audience, &ShardCommand::Zones).await;
    let replies = replies.map_err(|error| error.to_string())?;
    Ok(replies.iter().any(|reply| match reply {
        ShardReply::Zones { names } => names.iter().any(|name| zones.contains(name)),
        _ => false,
    }))
}
