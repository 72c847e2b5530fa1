//! The query strings of the lists of campaigns and runs.

use serde_json::Value;

use crate::config::Caller;
use crate::listing::parameters::Parameters;
use apns::fault::Faults;
use apns::time::Timestamp;
use campaign::scheduler::{Command, State};

/// Which campaigns are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only campaigns of this app, or of all apps of the caller if `None`.
    pub app: Option<String>,
    /// Only campaigns in this state.
    pub state: Option<State>,
}

impl Filter {
    /// Parses the query string of `GET /v1/campaigns`.
    ///
    /// # Errors
    /// All faults, each at its parameter.
    pub fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::read(query, &["app", "state"]);
        let rule = format!("must be one of {}", STATES.join(", "));
        let state = parameters.value("state", &rule, |text| {
            serde_json::from_value(Value::from(text)).ok()
        });
        let app = parameters.text("app").map(str::to_owned);
        parameters.or(Self { app, state })
    }

    /// Returns the scheduler's command for the caller's list.
    #[must_use]
    pub fn command(&self, caller: &Caller) -> Command {
        let apps = match &self.app {
            Some(app) => Some(Vec::from_iter(caller.reaches(app).then(|| app.clone()))),
            None => caller.apps().map(<[String]>::to_vec),
        };
        Command::List {
            apps,
            state: self.state,
        }
    }
}

/// Which runs of a campaign are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRange {
    /// Only runs that were due before this moment. It is also the cursor, in milliseconds.
    pub before: Option<Timestamp>,
    /// The most runs to return.
    pub limit: u32,
}

impl RunRange {
    /// Parses the query string of `GET /v1/campaigns/{id}/runs`.
    ///
    /// # Errors
    /// All faults, each at its parameter.
    pub fn parse(query: &str) -> Result<Self, Faults> {
        let mut parameters = Parameters::read(query, &["limit", "cursor"]);
        let rule = "must be the `cursor` of an earlier answer";
        let range = Self {
            before: parameters
                .value("cursor", rule, |text| text.parse().ok())
                .map(Timestamp::from_millis),
            limit: parameters.limit(RUNS, MAX_RUNS),
        };
        parameters.or(range)
    }
}

/// The names of a campaign's states.
pub const STATES: [&str; 6] = ["draft", "scheduled", "running", "paused", "done", "cancelled"];

/// The default number of runs in an answer.
const RUNS: u32 = 100;

/// The most runs in an answer: some 300 KB, unless they have many time zones.
const MAX_RUNS: u32 = 1000;
