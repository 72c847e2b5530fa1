//! `apns-edge doctor`: what the deployment says of itself, for a person.

use serde::Deserialize;

use crate::caller::Caller;
use crate::exit::Exit;
use crate::failure::Failure;

/// Runs the command.
pub(crate) fn run(caller: &Caller) -> Result<Exit, Failure> {
    let answer = caller.patiently(|| caller.client.get("/v1/doctor", &[]))?;
    let report: Report =
        serde_json::from_str(&answer.text).map_err(|error| caller.client.unreadable(error.to_string()))?;
    caller.screen.result(&answer.text, || report.to_text())?;
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
    gates: Vec<Gate>,
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
        lines.extend(self.apps.iter().map(App::to_line));
        lines.push("Provider tokens and permits".to_owned());
        lines.extend(self.gates.iter().map(Gate::to_line));
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

impl App {
    fn to_line(&self) -> String {
        line(
            "ok",
            &[
                &self.name,
                &self.topic,
                &self.environment,
                &format!("by {}", self.transport),
            ],
        )
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
            // No app of the caller sends this way.
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
