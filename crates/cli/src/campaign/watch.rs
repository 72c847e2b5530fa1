//! `apns-edge campaign watch`: shows the current run of a campaign, or else the next one.
//!
//! A run is a batch, and is shown as one. Runs that ended before are not shown, unless the campaign has ended
//! as well. Between runs the campaign is polled, less often while its next run is far away.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use clap::Args;
use documents::batch::BatchState;
use documents::campaign::RunState;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::document::{Document, State};
use super::run::Run;
use super::{CampaignId, print};
use crate::batch;
use crate::client::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::InterruptMessage;
use crate::session::Session;

/// Show the current or next run of a campaign until it has ended, and then its results
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The campaign
    #[arg(value_name = "ID")]
    id: CampaignId,
    /// Continue with later runs, until the campaign is done or cancelled
    #[arg(long)]
    follow: bool,
}

impl Watch {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let id = &self.id;
        let _message = InterruptMessage::new(format!(
            "The campaign goes on without you. Watch it again with: apns-edge campaign watch {id}"
        ));
        let watcher = Watcher {
            session,
            id,
            follow: self.follow,
            told: BTreeSet::new(),
            paused: BTreeSet::new(),
            noted: String::new(),
            exit: Exit::Done,
        };
        watcher.run()
    }
}

struct Watcher<'w> {
    session: &'w Session,
    id: &'w CampaignId,
    follow: bool,
    /// The runs that are finished here, by the time at which they were due.
    told: BTreeSet<String>,
    /// The runs that were reported as paused.
    paused: BTreeSet<String>,
    /// The last message about waiting.
    noted: String,
    /// The exit code for the runs that were shown.
    exit: Exit,
}

/// A run, with its JSON from the server.
struct Listed {
    run: Run,
    text: String,
}

#[derive(Deserialize)]
struct Page {
    runs: Vec<Value>,
}

impl Watcher<'_> {
    fn run(mut self) -> Result<Exit, Failure> {
        let mut is_first = true;
        loop {
            // The campaign is read before its runs: if it is done, the list of runs is complete.
            let (answer, campaign) = self.campaign()?;
            let runs = self.runs()?;
            if is_first {
                self.pass_over(&campaign, &runs);
                is_first = false;
            }
            match self.next(&runs)? {
                Some(Listed { run, .. }) if run.0.state == RunState::Starting => {
                    let at = &run.0.scheduled_at;
                    self.wait(&format!("the run of {at} is starting"), None);
                }
                Some(listed) => {
                    let exit = self.show(listed)?;
                    if !self.follow {
                        return Ok(exit);
                    }
                }
                None => match self.end(&campaign) {
                    Some(exit) => {
                        print(self.session, &answer)?;
                        self.advise(campaign.state);
                        return Ok(exit);
                    }
                    None => self.wait_for(&campaign),
                },
            }
        }
    }

    fn campaign(&self) -> Result<(Answer, Document), Failure> {
        let client = &self.session.client;
        let answer = self.session.with_retries(|| client.get(&self.id.path(), &[]))?;
        let document = Document::read(&answer.text).map_err(|error| client.unreadable(error))?;
        Ok((answer, document))
    }

    /// Returns the latest runs, oldest first.
    fn runs(&self) -> Result<Vec<Listed>, Failure> {
        let client = &self.session.client;
        let path = format!("{}/runs", self.id.path());
        let answer = self
            .session
            .with_retries(|| client.get(&path, &[("limit", LATEST)]))?;
        let unreadable = |error: serde_json::Error| client.unreadable(error.to_string());
        let page: Page = serde_json::from_str(&answer.text).map_err(unreadable)?;
        let runs = page.runs.iter().rev().map(|run| {
            let text = run.to_string();
            let run = serde_json::from_str(&text).map_err(unreadable)?;
            Ok(Listed { run, text })
        });
        runs.collect()
    }

    /// Skips runs that ended before the command started, except the last run of an ended campaign.
    fn pass_over(&mut self, campaign: &Document, runs: &[Listed]) {
        let has_ended = matches!(campaign.state, State::Done | State::Cancelled);
        let old = runs.len() - usize::from(has_ended && !runs.is_empty());
        let ended = runs.iter().take(old).filter(|listed| listed.run.is_over());
        self.told
            .extend(ended.map(|listed| listed.run.0.scheduled_at.clone()));
    }

    /// Returns the run to show: the oldest that was not shown. A run that is only starting is chosen last.
    fn next<'r>(&self, runs: &'r [Listed]) -> Result<Option<&'r Listed>, Failure> {
        let mut starting = None;
        for listed in runs {
            let run = &listed.run;
            if self.told.contains(&run.0.scheduled_at) || self.is_still_paused(run)? {
                continue;
            }
            if run.0.state != RunState::Starting {
                return Ok(Some(listed));
            }
            starting = starting.or(Some(listed));
        }
        Ok(starting)
    }

    /// Whether the run was reported as paused and nothing has changed. A batch can be paused on its own, so
    /// its own state decides.
    fn is_still_paused(&self, run: &Run) -> Result<bool, Failure> {
        let client = &self.session.client;
        let batch = run.batch().map_err(|error| client.unreadable(error))?;
        let Some(batch) = batch.filter(|_| self.paused.contains(&run.0.scheduled_at)) else {
            return Ok(false);
        };
        let answer = self.session.with_retries(|| client.get(&batch.path(), &[]))?;
        let document = batch::Document::read(&answer.text).map_err(|error| client.unreadable(error))?;
        Ok(*document.state() == BatchState::Paused)
    }

    /// Shows a run until it has ended or is paused. Returns the exit code if nothing follows.
    fn show(&mut self, listed: &Listed) -> Result<Exit, Failure> {
        let Listed { run, text } = listed;
        self.session.output.result(text, || run.to_text())?;
        let batch = run
            .batch()
            .map_err(|error| self.session.client.unreadable(error))?;
        let exit = match batch {
            Some(batch) => {
                let resume = format!(
                    "apns-edge campaign resume {}; if this batch alone is paused: apns-edge batch resume {batch}",
                    self.id
                );
                match batch::watch(self.session, &batch, &resume) {
                    Ok(last) if *last.state() == BatchState::Paused => {
                        self.paused.insert(run.0.scheduled_at.clone());
                        return Ok(last.exit(&self.session.fail_on));
                    }
                    Ok(last) => last.exit(&self.session.fail_on),
                    // An old batch was deleted. The run has its results.
                    Err(failure) if run.is_over() && failure.is_absence() => run.exit(&self.session.fail_on),
                    Err(failure) => return Err(failure),
                }
            }
            None => run.exit(&self.session.fail_on),
        };
        self.told.insert(run.0.scheduled_at.clone());
        if self.exit == Exit::Done {
            self.exit = exit;
        }
        Ok(exit)
    }

    /// Returns the exit code if no further run will be shown.
    fn end(&self, campaign: &Document) -> Option<Exit> {
        match campaign.state {
            State::Done => Some(self.exit),
            State::Draft | State::Cancelled => Some(Exit::Stopped),
            State::Paused => (!self.follow).then_some(Exit::Stopped),
            State::Scheduled | State::Running => None,
        }
    }

    /// Says how to continue a campaign that does not continue by itself.
    fn advise(&self, state: State) {
        let what = match state {
            State::Draft => "schedule",
            State::Paused => "resume",
            State::Scheduled | State::Running | State::Done | State::Cancelled => return,
        };
        self.session
            .output
            .note(&format!("go on with: apns-edge campaign {what} {}", self.id));
    }

    fn wait_for(&mut self, campaign: &Document) {
        match &campaign.next_at {
            _ if campaign.state == State::Paused => self.wait("the campaign is paused", None),
            Some(next) => self.wait(&format!("the next run is at {next}"), next.parse().ok()),
            None => self.wait("no run is under way yet", None),
        }
    }

    /// Waits a little, and shows the reason. The wait is longer if there is much time.
    fn wait(&mut self, what: &str, due: Option<Timestamp>) {
        if self.noted != what {
            self.session.output.note(what);
            what.clone_into(&mut self.noted);
        }
        let left = |due: Timestamp| due.as_second().saturating_sub(Timestamp::now().as_second());
        let seconds = due.map_or(SHORTEST_WAIT, left).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let bar = self.session.output.bar(None, WAITING, WAITING);
        for _ in 0..seconds {
            if let Some(left) = due.map(left).filter(|left| *left > 0) {
                bar.set_message(format!("in {}", batch::duration(left.unsigned_abs())));
            }
            bar.tick();
            thread::sleep(Duration::from_secs(1));
        }
        bar.finish_and_clear();
    }
}

/// How many runs are read. Runs in progress are among the latest; there may be one per UTC offset.
const LATEST: &str = "100";

/// The shortest interval of polling in seconds. A run starts within a minute of its time.
const SHORTEST_WAIT: i64 = 2;

/// The longest interval of polling in seconds, because a campaign may be changed meanwhile.
const LONGEST_WAIT: i64 = 30;

/// The display while there is no run.
const WAITING: &str = "{spinner} {msg}";
