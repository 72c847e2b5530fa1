//! `apns-edge campaign runs`, and the text of a run for a person.

use clap::{Args, value_parser};
use documents::campaign::RunState;
use serde::Deserialize;

use super::CampaignId;
use crate::batch::BatchId;
use crate::exit::Exit;
use crate::fail_on::FailOn;
use crate::failure::Failure;
use crate::left_out;
use crate::listing::Listing;
use crate::session::Session;

/// List the runs of a campaign, newest first
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// The campaign
    #[arg(value_name = "ID")]
    id: CampaignId,
    /// The most entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..))]
    limit: u64,
}

impl Runs {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        Listing {
            path: &format!("{}/runs", self.id.path()),
            field: "runs",
            filters: &[],
            limit: Some(self.limit),
        }
        .print(session, Run::to_line)
    }
}

/// One run of a campaign.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Run(pub(crate) documents::campaign::Run);

impl Run {
    /// Returns the id of its batch, if it has one.
    ///
    /// # Errors
    /// The server's id is invalid.
    pub(crate) fn batch(&self) -> Result<Option<BatchId>, &'static str> {
        self.0.batch.as_deref().map(str::parse).transpose()
    }

    /// Returns the exit code of a command that waited for it.
    pub(crate) fn exit(&self, fail_on: &[FailOn]) -> Exit {
        match self.0.state {
            RunState::Starting | RunState::Running | RunState::Other(_) => Exit::Done,
            RunState::Paused | RunState::Cancelled => Exit::Stopped,
            RunState::Missed | RunState::Failed => Exit::Undelivered,
            RunState::Done if self.fails(fail_on) => Exit::Undelivered,
            RunState::Done => Exit::Done,
        }
    }

    /// Returns a line of a list.
    pub(crate) fn to_line(&self) -> String {
        let mut line = format!("{}  {:<9}", self.0.scheduled_at, self.0.state);
        if let Some(pushes) = self.0.pushes {
            line.push_str(&format!("  {pushes:>9} pushes"));
        }
        if let Some(counts) = &self.0.counts {
            line.push_str(&format!("  {:>9} accepted", counts.accepted));
            let others = [
                (counts.rejected, "rejected"),
                (counts.gone, "gone"),
                (counts.failed, "failed"),
                (counts.cancelled, "cancelled"),
            ];
            for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
                line.push_str(&format!("  {count} {what}"));
            }
        }
        for (count, reason) in left_out::to_parts(&self.0.left_out) {
            line.push_str(&format!("  {count} {reason}"));
        }
        for rest in [&self.0.batch, &self.0.detail].into_iter().flatten() {
            line.push_str(&format!("  {rest}"));
        }
        line
    }

    /// Whether the run has ended.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(
            self.0.state,
            RunState::Done | RunState::Cancelled | RunState::Missed | RunState::Failed
        )
    }

    /// Returns the heading of a run.
    pub(crate) fn to_text(&self) -> String {
        format!("run of {}", self.to_line())
    }

    /// Whether pushes that were not accepted make the command fail. A run has only counts, and of its
    /// rejected pushes only those to devices that are gone need no action.
    fn fails(&self, fail_on: &[FailOn]) -> bool {
        let (accepted, gone) = self
            .0
            .counts
            .as_ref()
            .map_or((0, 0), |counts| (counts.accepted, counts.gone));
        let pushes = self.0.pushes.unwrap_or(0);
        let gone_fails = [FailOn::Gone, FailOn::Any]
            .iter()
            .any(|what| fail_on.contains(what));
        let others = pushes != accepted.saturating_add(gone);
        let others = others || self.0.left_out.has_unsendable();
        !fail_on.contains(&FailOn::Never) && (others || (gone > 0 && gone_fails))
    }
}

#[test]
fn a_run_ends_as_its_pushes_did() {
    let exit = |state: &str, accepted: u64| {
        let text = format!(
            r#"{{"scheduled_at":"2026-11-23T09:00:00.000Z","state":"{state}","pushes":4,"counts":{{"accepted":{accepted}}}}}"#
        );
        serde_json::from_str::<Run>(&text).unwrap().exit(&[])
    };
    assert_eq!(exit("done", 4), Exit::Done);
    assert_eq!(exit("done", 3), Exit::Undelivered);
    assert_eq!(exit("cancelled", 4), Exit::Stopped);
    assert_eq!(exit("missed", 0), Exit::Undelivered);
}

#[test]
fn a_run_says_whom_it_has_left_out_and_fails_for_those_that_could_not_be_sent_anything() {
    let run = |left_out: &str| {
        let text = format!(
            r#"{{"scheduled_at":"2026-11-23T09:00:00.000Z","state":"done","pushes":0,"counts":{{}},"left_out":{left_out}}}"#
        );
        serde_json::from_str::<Run>(&text).unwrap()
    };
    let missing = run(r#"{"missing":{"frist_name":3},"frequency_cap":2,"outside_segment":1}"#);
    assert_eq!(
        missing.to_line(),
        "2026-11-23T09:00:00.000Z  done               0 pushes          0 accepted  \
         3 left out: they have no `frist_name`  2 left out by the frequency cap  1 outside the segment"
    );
    assert_eq!(missing.exit(&[]), Exit::Undelivered);
    assert_eq!(run(r#"{"invalid":1}"#).exit(&[]), Exit::Undelivered);
    assert_eq!(
        run(r#"{"frequency_cap":2,"outside_segment":1}"#).exit(&[]),
        Exit::Done
    );
}
