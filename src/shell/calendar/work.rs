//! What the calendar has others do: runs begin, and their batches are paused, resumed or cancelled.

use std::rc::Rc;
use std::time::Duration;

use super::Core;
use crate::api::campaign as contract;
use crate::delivery::audience::{Command as ShardCommand, Reply as ShardReply};
use crate::delivery::batch::Command as BatchCommand;
use crate::delivery::calendar::{Campaign, Run, Task, What};
use crate::shell::log::Event;
use crate::shell::{audience, batch, bindings, clock};

impl Core {
    /// Does what is to be done, and sets the alarm for what is left.
    pub(super) async fn work(self: &Rc<Self>) {
        self.is_wanted.set(true);
        if self.is_working.replace(true) {
            return;
        }
        while self.is_wanted.replace(false) {
            if let Err(error) = self.round().await {
                let problem = error.to_string();
                Event::CalendarFailed { problem: &problem }.write();
                // What cannot be written down would be done again at once, and again: the next trigger tries it.
                break;
            }
        }
        self.is_working.set(false);
        let wake = self.with(|calendar, _| calendar.wake()).ok().flatten();
        if let Some(at) = wake {
            // One that cannot be set is made up for by the next trigger.
            let _ = clock::set_alarm(&self.state, at.max(clock::now() + LEAST)).await;
        }
    }

    /// Does what is to be done now.
    async fn round(self: &Rc<Self>) -> Result<(), worker::Error> {
        let tasks = self.with(|calendar, now| calendar.tasks(now))?;
        // What is done may leave something else to do.
        self.is_wanted.set(self.is_wanted.get() || !tasks.is_empty());
        for task in tasks {
            self.attempt(&task).await?;
        }
        Ok(())
    }

    async fn attempt(self: &Rc<Self>, task: &Task) -> Result<(), worker::Error> {
        let outcome = self.perform(task).await;
        if let Err(problem) = &outcome {
            Event::CampaignFailed {
                batch: task.batch(),
                problem,
            }
            .write();
        }
        // What cannot be written down now is done again: it is the same however often.
        self.with(|calendar, now| match &outcome {
            Ok(Performed::Done) => calendar.done(task, now),
            Ok(Performed::ForNobody) => calendar.forget(task),
            Err(problem) => calendar.failed(task, problem, now),
        })
    }

    async fn perform(&self, task: &Task) -> Result<Performed, String> {
        match task {
            Task::Start {
                campaign,
                run,
                shards,
            } => self.start(campaign, run, *shards).await,
            Task::Tell { batch, what } => {
                let command = match what {
                    What::Pause => BatchCommand::Pause {
                        detail: "its campaign is paused".to_owned(),
                    },
                    What::Resume => BatchCommand::Resume,
                    What::Cancel => BatchCommand::Cancel,
                };
                let told = batch::command(&self.env, batch, &command).await;
                told.map(|_| Performed::Done)
            }
        }
    }

    /// Opens the batch of a run, and lets the shards walk.
    async fn start(&self, campaign: &Campaign, run: &Run, shards: u32) -> Result<Performed, String> {
        let config = bindings::config(&self.env).map_err(|problem| problem.detail().to_owned())?;
        let app = config
            .find_app(&campaign.app)
            .map_err(|error| error.to_string())?;
        if let Some(zones) = &run.zones
            && !self.has_devices_in(zones, &campaign.audience, shards).await?
        {
            return Ok(Performed::ForNobody);
        }
        let (record, head) = contract::run::opening(campaign, run, shards, app, config)
            .map_err(|problem| problem.detail().to_owned())?;
        batch::open(&self.env, record, head, shards).await?;
        let walk = contract::run::walk(campaign, run);
        audience::begin(&self.env, &campaign.audience, shards, &walk)
            .await
            .map_err(|error| error.to_string())?;
        Event::RunStarted {
            app: &campaign.app,
            campaign: &campaign.id,
            batch: &run.batch,
            shards,
        }
        .write();
        Ok(Performed::Done)
    }

    /// Whether any device of the audience is in one of these time zones.
    async fn has_devices_in(&self, zones: &[String], audience: &str, shards: u32) -> Result<bool, String> {
        let replies = audience::ask_all(&self.env, audience, shards, &ShardCommand::Zones).await;
        let replies = replies.map_err(|error| error.to_string())?;
        Ok(replies.iter().any(|reply| match reply {
            ShardReply::Zones { names } => names.iter().any(|name| zones.contains(name)),
            _ => false,
        }))
    }
}

/// What came of a task.
enum Performed {
    Done,
    /// No device is in any of the run's time zones.
    ForNobody,
}

/// No alarm comes sooner: if the rows cannot be written, the next would come at once, and so on.
const LEAST: Duration = Duration::from_millis(500);
