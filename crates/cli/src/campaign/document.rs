//! The document of a campaign, and its text for a person.

use serde::Deserialize;

use crate::exit::Exit;

/// A campaign and its state.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    id: String,
    app: String,
    pub(crate) state: State,
    name: String,
    audience: String,
    schedule: Option<Schedule>,
    /// When it is next due.
    pub(crate) next_at: Option<String>,
    #[serde(default)]
    runs: u64,
}

/// The state of a campaign.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is a draft, which is not sent until it is scheduled.
    Draft,
    /// It has a future occurrence.
    Scheduled,
    /// A run is in progress.
    Running,
    /// It is paused until it is resumed.
    Paused,
    /// It has no future occurrence, and all its runs have ended.
    Done,
    /// It was cancelled.
    Cancelled,
}

/// Its schedule.
#[derive(Debug, Deserialize)]
struct Schedule {
    at: Option<String>,
    cron: Option<String>,
    time_zone: Option<String>,
    until: Option<String>,
}

impl Document {
    /// Parses the server's document.
    ///
    /// # Errors
    /// Why it is not a campaign.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Returns the exit code of a command that asked for its state.
    pub(crate) const fn exit(&self) -> Exit {
        match self.state {
            State::Draft | State::Scheduled | State::Running | State::Done => Exit::Done,
            State::Paused | State::Cancelled => Exit::Stopped,
        }
    }

    /// Returns a line of a list.
    pub(crate) fn to_line(&self) -> String {
        let Self {
            id, app, name, runs, ..
        } = self;
        let state = self.state.as_str();
        let next = self.next_at.as_deref().unwrap_or("-");
        format!("{id}  {state:<9}  {next:<24}  {runs:>5} runs  {app}  {name}")
    }

    /// Returns the whole document as text for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![
            format!("campaign {} of {}: {}", self.id, self.app, self.state.as_str()),
            format!("  name      {}", self.name),
            format!("  audience  {}", self.audience),
        ];
        let schedule = self.schedule.as_ref().map(Schedule::to_text);
        lines.extend(schedule.map(|schedule| format!("  schedule  {schedule}")));
        let next = self.next_at.as_ref();
        lines.extend(next.map(|next| format!("  next run  {next}")));
        lines.push(format!("  runs      {}", self.runs));
        lines.join("\n")
    }
}

impl State {
    /// Returns the state's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Schedule {
    fn to_text(&self) -> String {
        let mut text = match (&self.at, &self.cron) {
            (Some(at), _) => format!("once, {at}"),
            (None, Some(cron)) => format!("cron {cron}"),
            (None, None) => "of another kind".to_owned(),
        };
        match self.time_zone.as_deref() {
            Some("device") => text.push_str(", by the clock of each device"),
            Some(zone) => text.push_str(&format!(", {zone}")),
            None => {}
        }
        if let Some(until) = &self.until {
            text.push_str(&format!(", until {until}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(state: &str, rest: &str) -> Document {
        let text = format!(
            r#"{{"id":"0123456789abcdef0123456789abcdef","app":"shop","state":"{state}","name":"Monday news","audience":"customers","created_at":"2026-11-23T08:00:00.000Z","runs":3{rest}}}"#
        );
        Document::read(&text).unwrap()
    }

    #[test]
    fn a_campaign_is_told_with_when_it_is_due() {
        let rest = r#","schedule":{"cron":"0 9 * * 1","time_zone":"device","until":"2027-01-01T00:00:00Z"},"next_at":"2026-11-30T08:00:00.000Z""#;
        let campaign = document("scheduled", rest);
        assert_eq!(
            campaign.to_text(),
            "campaign 0123456789abcdef0123456789abcdef of shop: scheduled\n\
             \x20 name      Monday news\n\
             \x20 audience  customers\n\
             \x20 schedule  cron 0 9 * * 1, by the clock of each device, until 2027-01-01T00:00:00Z\n\
             \x20 next run  2026-11-30T08:00:00.000Z\n\
             \x20 runs      3"
        );
        assert_eq!(
            campaign.to_line(),
            "0123456789abcdef0123456789abcdef  scheduled  2026-11-30T08:00:00.000Z      3 runs  shop  Monday news"
        );
    }

    #[test]
    fn a_draft_needs_no_schedule() {
        let campaign = document("draft", "");
        assert_eq!(campaign.to_text().lines().count(), 4);
        assert!(campaign.to_line().contains("  draft      -  "));
        let once = document(
            "done",
            r#","schedule":{"at":"2026-12-24T18:00","time_zone":"Europe/Berlin"}"#,
        );
        assert!(
            once.to_text()
                .contains("schedule  once, 2026-12-24T18:00, Europe/Berlin\n")
        );
    }

    #[test]
    fn what_is_paused_or_cancelled_is_stopped() {
        for (state, exit) in [
            ("draft", Exit::Done),
            ("running", Exit::Done),
            ("done", Exit::Done),
            ("paused", Exit::Stopped),
            ("cancelled", Exit::Stopped),
        ] {
            assert_eq!(document(state, "").exit(), exit);
        }
    }
}
