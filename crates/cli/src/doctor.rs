//! `apns-edge doctor`: shows the server's checks of the deployment to a person.

use documents::doctor::{AppCheck, BrokenApp, Doctor, Finding, GateCheck, ProbeCheck};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Runs the command.
pub(crate) fn run(session: &Session) -> Result<Exit, Failure> {
    let answer = session.with_retries(|| session.client.get("/v1/doctor", &[]))?;
    let report: Doctor =
        serde_json::from_str(&answer.text).map_err(|error| session.client.unreadable(error.to_string()))?;
    session.output.result(&answer.text, || to_text(&report))?;
    Ok(if report.healthy {
        Exit::Done
    } else {
        Exit::Undelivered
    })
}

fn to_text(report: &Doctor) -> String {
    let mut lines = vec!["Apps that your key reaches".to_owned()];
    lines.extend(report.apps.iter().flat_map(app_lines));
    lines.extend(report.broken_apps.iter().flat_map(broken_lines));
    if !report.api_key_faults.is_empty() {
        lines.push("API keys".to_owned());
        let faults = report.api_key_faults.iter();
        lines.extend(faults.map(|fault| line("FAIL", &[&finding_text(fault)])));
    }
    lines.push("Provider tokens and permits".to_owned());
    lines.extend(report.gates.iter().map(gate_line));
    lines.extend(batch_lines(report));
    lines.push("Ways to APNs".to_owned());
    lines.extend(report.probes.iter().map(probe_line));
    if report.local_origins {
        lines.push("Pushes go to programs on the server's own machine, not to Apple.".to_owned());
    }
    lines.push(
        if report.healthy {
            "All is well."
        } else {
            "Something is wrong: see the lines that say FAIL."
        }
        .to_owned(),
    );
    lines.join("\n")
}

/// Lists the batches that wait to be resumed. They are not faults of the deployment.
fn batch_lines(report: &Doctor) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(problem) = &report.batches_problem {
        lines.push("Paused batches".to_owned());
        lines.push(line("FAIL", &[problem]));
    } else if !report.paused_batches.is_empty() {
        lines.push("Paused batches; go on with: apns-edge batch resume ID".to_owned());
    }
    lines.extend(report.paused_batches.iter().map(|batch| {
        let pushes = format!("{} pushes", batch.pushes);
        line("-", &[&batch.id, &batch.app, &batch.created_at, &pushes])
    }));
    if report.more_paused_batches {
        let more = "and more: apns-edge batch list --state paused";
        lines.push(line("-", &[more]));
    }
    lines
}

fn app_lines(app: &AppCheck) -> Vec<String> {
    let way = format!("by {}", app.transport);
    let parts = [&app.name, &app.topic, &app.environment, &way];
    let mut lines = vec![line("ok", &parts.map(String::as_str))];
    let warnings = app.warnings.iter();
    lines.extend(warnings.map(|warning| line("warn", &[&app.name, &finding_text(warning)])));
    lines
}

fn broken_lines(app: &BrokenApp) -> Vec<String> {
    let faults = app.faults.iter();
    faults
        .map(|fault| line("FAIL", &[&app.name, &finding_text(fault)]))
        .collect()
}

fn finding_text(finding: &Finding) -> String {
    format!("{}: {}", finding.pointer, finding.detail)
}

fn gate_line(gate: &GateCheck) -> String {
    if let Some(problem) = &gate.problem {
        return line("FAIL", &[&gate.app, problem]);
    }
    let token = match gate.provider_token_age_s {
        Some(age) if gate.proven => format!("provider token {age} s old, accepted by APNs"),
        Some(age) => format!("provider token {age} s old, not shown to APNs yet"),
        None => "no provider token yet".to_owned(),
    };
    let permits = format!(
        "{} of {} permits in use, {} waiting",
        gate.in_use, gate.limit, gate.waiting
    );
    line("ok", &[&gate.app, &token, &permits])
}

fn probe_line(probe: &ProbeCheck) -> String {
    let mark = match (probe.ok, probe.in_use) {
        (true, _) => "ok",
        (false, true) => "FAIL",
        // No app of the caller uses this environment and transport.
        (false, false) => "-",
    };
    let mut time = format!("{} ms", probe.ms);
    if let Some(streams) = probe.streams {
        time.push_str(&format!(", {streams} streams at first"));
    }
    let way = format!("{} by {}", probe.environment, probe.transport);
    line(mark, &[&way, &probe.target, &probe.answer, &time])
}

fn line(mark: &str, parts: &[&str]) -> String {
    format!("  {mark:<4}  {}", parts.join("  "))
}
