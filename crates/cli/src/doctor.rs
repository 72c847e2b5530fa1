//! `apns-edge doctor`: shows the server's checks of the deployment to a person.

use std::fmt;

use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Runs the command.
pub(crate) fn run(session: &Session) -> Result<Exit, Failure> {
    let answer = session.with_retries(|| session.client.get("/v1/doctor", &[]))?;
    let report: Report =
        serde_json::from_str(&answer.text).map_err(|error| session.client.unreadable(error.to_string()))?;
    session.output.result(&answer.text, || report.to_text())?;
    Ok(if report.healthy {
        Exit::Done
    } else {
        Exit::Undelivered
    })
}

#[derive(Deserialize)]
struct Report {
    healthy: bool,
    apps: Vec<App>,
    #[serde(default)]
    broken_apps: Vec<BrokenApp>,
    #[serde(default)]
    api_key_faults: Vec<Finding>,
    gates: Vec<Gate>,
    #[serde(default)]
    paused_batches: Vec<PausedBatch>,
    #[serde(default)]
    more_paused_batches: bool,
    batches_problem: Option<String>,
    probes: Vec<Probe>,
    #[serde(default)]
    local_origins: bool,
}

#[derive(Deserialize)]
struct App {
    name: String,
    topic: String,
    environment: String,
    transport: String,
    #[serde(default)]
    warnings: Vec<Finding>,
}

#[derive(Deserialize)]
struct BrokenApp {
    name: String,
    faults: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    pointer: String,
    detail: String,
}

#[derive(Deserialize)]
struct PausedBatch {
    id: String,
    app: String,
    created_at: String,
    pushes: u64,
}

#[derive(Deserialize)]
struct Gate {
    app: String,
    provider_token_age_s: Option<u64>,
    #[serde(default)]
    proven: bool,
    limit: u64,
    in_use: u64,
    waiting: u64,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Probe {
    environment: String,
    transport: String,
    target: String,
    in_use: bool,
    ok: bool,
    answer: String,
    ms: u64,
    streams: Option<u64>,
}

impl Report {
    fn to_text(&self) -> String {
        let mut lines = vec!["Apps that your key reaches".to_owned()];
        lines.extend(self.apps.iter().flat_map(App::to_lines));
        lines.extend(self.broken_apps.iter().flat_map(BrokenApp::to_lines));
        if !self.api_key_faults.is_empty() {
            lines.push("API keys".to_owned());
            let faults = self.api_key_faults.iter();
            lines.extend(faults.map(|fault| line("FAIL", &[&fault.to_string()])));
        }
        lines.push("Provider tokens and permits".to_owned());
        lines.extend(self.gates.iter().map(Gate::to_line));
        lines.extend(self.batch_lines());
        lines.push("Ways to APNs".to_owned());
        lines.extend(self.probes.iter().map(Probe::to_line));
        if self.local_origins {
            lines.push("Pushes go to programs on the server's own machine, not to Apple.".to_owned());
        }
        lines.push(
            if self.healthy {
                "All is well."
            } else {
                "Something is wrong: see the lines that say FAIL."
            }
            .to_owned(),
        );
        lines.join("\n")
    }
}

impl Report {
    /// Lists the batches that wait to be resumed. They are not faults of the deployment.
    fn batch_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(problem) = &self.batches_problem {
            lines.push("Paused batches".to_owned());
            lines.push(line("FAIL", &[problem]));
        } else if !self.paused_batches.is_empty() {
            lines.push("Paused batches; go on with: apns-edge batch resume ID".to_owned());
        }
        lines.extend(self.paused_batches.iter().map(|batch| {
            let pushes = format!("{} pushes", batch.pushes);
            line("-", &[&batch.id, &batch.app, &batch.created_at, &pushes])
        }));
        if self.more_paused_batches {
            let more = "and more: apns-edge batch list --state paused";
            lines.push(line("-", &[more]));
        }
        lines
    }
}

impl App {
    fn to_lines(&self) -> Vec<String> {
        let way = format!("by {}", self.transport);
        let parts = [&self.name, &self.topic, &self.environment, &way];
        let mut lines = vec![line("ok", &parts.map(String::as_str))];
        let warnings = self.warnings.iter();
        lines.extend(warnings.map(|warning| line("warn", &[&self.name, &warning.to_string()])));
        lines
    }
}

impl BrokenApp {
    fn to_lines(&self) -> Vec<String> {
        let faults = self.faults.iter();
        faults
            .map(|fault| line("FAIL", &[&self.name, &fault.to_string()]))
            .collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

impl Gate {
    fn to_line(&self) -> String {
        if let Some(problem) = &self.problem {
            return line("FAIL", &[&self.app, problem]);
        }
        let token = match self.provider_token_age_s {
            Some(age) if self.proven => format!("provider token {age} s old, accepted by APNs"),
            Some(age) => format!("provider token {age} s old, not shown to APNs yet"),
            None => "no provider token yet".to_owned(),
        };
        let permits = format!(
            "{} of {} permits in use, {} waiting",
            self.in_use, self.limit, self.waiting
        );
        line("ok", &[&self.app, &token, &permits])
    }
}

impl Probe {
    fn to_line(&self) -> String {
        let mark = match (self.ok, self.in_use) {
            (true, _) => "ok",
            (false, true) => "FAIL",
            // No app of the caller uses this environment and transport.
            (false, false) => "-",
        };
        let mut time = format!("{} ms", self.ms);
        if let Some(streams) = self.streams {
            time.push_str(&format!(", {streams} streams at first"));
        }
        let way = format!("{} by {}", self.environment, self.transport);
        line(mark, &[&way, &self.target, &self.answer, &time])
    }
}

fn line(mark: &str, parts: &[&str]) -> String {
    format!("  {mark:<4}  {}", parts.join("  "))
}
