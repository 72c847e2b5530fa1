//! `GET /v1/doctor`: the configuration, the state of the gates, and whether APNs is reachable.
//!
//! It reports which settings there are, and never their values. A probe is a push without credentials: APNs
//! answers `MissingProviderToken`, which proves name resolution, TLS, HTTP/2 and paths without involving a
//! device or a provider token.

mod advice;
mod recent;

use serde::Serialize;

use super::Answer;
use crate::config::{App, Caller, Config, Transport};
use apns::fault::{Fault, Faults};
use apns::time::Timestamp;
use apns::{Environment, Outcome, Reason};
use batch::registry::{Entry, Page};
use delivery::gate::{CredentialRefusal, Inspection};

pub use recent::{Probing, RecentProbes};

/// The check of one credential.
#[derive(Debug)]
pub struct CredentialCheck<'c> {
    /// The first app that uses the credential.
    pub app: &'c App,
    /// The state of its gate, or why it did not answer.
    pub gate: Result<Inspection, String>,
}

/// The probe of one environment over one transport.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The environment.
    pub environment: Environment,
    /// The transport.
    pub transport: Transport,
    /// The target: an origin, or a host and a port.
    pub target: String,
    /// Whether an app of the caller uses this environment and transport.
    pub in_use: bool,
    /// The outcome.
    pub outcome: Outcome,
    /// The time until the answer, in milliseconds.
    pub ms: u64,
    /// By socket: how many streams the server allows initially.
    pub streams: Option<usize>,
}

impl Probe {
    /// Whether the answer is the one that only APNs gives.
    #[must_use]
    pub fn is_apns(&self) -> bool {
        matches!(&self.outcome, Outcome::Answered(reply)
            if reply.status == 403 && reply.reason == Some(Reason::MISSING_PROVIDER_TOKEN))
    }
}

/// Answers the caller. `apps` are the working apps to which it has access. `paused` are its newest paused
/// batches, or why they are not known.
#[must_use]
pub fn answer(
    config: &Config,
    caller: &Caller,
    apps: &[&App],
    checks: &[CredentialCheck<'_>],
    paused: Result<&Page, String>,
    probes: &[Probe],
    now: Timestamp,
) -> Answer {
    let probes: Vec<ProbeReport<'_>> = probes.iter().map(probe_report).collect();
    let gates: Vec<GateReport<'_>> = checks.iter().map(|check| gate_report(check, now)).collect();
    let broken_apps: Vec<BrokenAppReport<'_>> = config
        .broken_apps
        .iter()
        .filter(|app| caller.reaches(&app.name))
        .map(|app| BrokenAppReport {
            name: &app.name,
            faults: finding(&app.faults),
        })
        .collect();
    let api_key_faults: Vec<Finding<'_>> = config
        .api_key_faults
        .iter()
        .filter(|of_key| of_key.concerns(caller))
        .map(|of_key| Finding::of(&of_key.fault))
        .collect();
    let healthy = probes.iter().all(|probe| probe.ok || !probe.in_use)
        && gates.iter().all(|gate| gate.problem.is_none())
        && broken_apps.is_empty()
        && api_key_faults.is_empty()
        && paused.is_ok();
    let (paused_batches, more, batches_problem) = match paused {
        Ok(page) => (
            page.batches.iter().map(PausedBatch::of).collect(),
            page.cursor.is_some(),
            None,
        ),
        Err(problem) => (Vec::new(), false, Some(problem)),
    };
    let body = DoctorAnswer {
        healthy,
        apps: apps.iter().map(|app| app_report(app)).collect(),
        broken_apps,
        api_key_faults,
        attempt_timeout_ms: u64::try_from(config.attempt_timeout.as_millis()).unwrap_or(u64::MAX),
        permits: config.permits,
        local_origins: config.origins.is_local(),
        gates,
        paused_batches,
        more_paused_batches: more,
        batches_problem,
        probes,
    };
    Answer::json(serde_json::to_string(&body).unwrap_or_default())
}

#[derive(Serialize)]
struct DoctorAnswer<'c> {
    healthy: bool,
    apps: Vec<AppReport<'c>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken_apps: Vec<BrokenAppReport<'c>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_key_faults: Vec<Finding<'c>>,
    attempt_timeout_ms: u64,
    permits: u32,
    local_origins: bool,
    gates: Vec<GateReport<'c>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paused_batches: Vec<PausedBatch<'c>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_paused_batches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    batches_problem: Option<String>,
    probes: Vec<ProbeReport<'c>>,
}

/// A batch that is paused until it is resumed.
#[derive(Serialize)]
struct PausedBatch<'c> {
    id: &'c str,
    app: &'c str,
    created_at: String,
    pushes: u64,
}

impl<'c> PausedBatch<'c> {
    fn of(entry: &'c Entry) -> Self {
        Self {
            id: &entry.id,
            app: &entry.app,
            created_at: entry.created_at.to_string(),
            pushes: entry.pushes,
        }
    }
}

#[derive(Serialize)]
struct AppReport<'c> {
    name: &'c str,
    topic: &'c str,
    environment: &'static str,
    transport: &'static str,
    team_id: &'static str,
    key_id: &'static str,
    signing_key: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Finding<'c>>,
}

/// An app that cannot send until its settings are corrected.
#[derive(Serialize)]
struct BrokenAppReport<'c> {
    name: &'c str,
    faults: Vec<Finding<'c>>,
}

/// A setting that is wrong, or probably wrong.
#[derive(Serialize)]
struct Finding<'c> {
    pointer: &'c str,
    detail: String,
}

impl<'c> Finding<'c> {
    fn of(fault: &'c Fault) -> Self {
        Self {
            pointer: &fault.pointer,
            detail: fault.kind.to_string(),
        }
    }
}

fn finding(faults: &Faults) -> Vec<Finding<'_>> {
    faults.listed().iter().map(Finding::of).collect()
}

fn app_report<'c>(app: &'c App) -> AppReport<'c> {
    // A loaded configuration has all of these in their right form.
    AppReport {
        name: &app.name,
        topic: app.bundle_id.as_str(),
        environment: app.credential.environment.as_str(),
        transport: app.transport.as_str(),
        team_id: "set",
        key_id: "set",
        signing_key: "set",
        warnings: finding(&app.warnings),
    }
}

#[derive(Serialize)]
struct GateReport<'c> {
    app: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_token_age_s: Option<u64>,
    proven: bool,
    limit: u32,
    in_use: u32,
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<RefusalReport<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// APNs' last refusal of the credential.
#[derive(Serialize)]
struct RefusalReport<'c> {
    reason: &'c str,
    at: String,
}

fn gate_report<'c>(check: &'c CredentialCheck<'_>, now: Timestamp) -> GateReport<'c> {
    let app = check.app.name.as_str();
    match &check.gate {
        Ok(inspection) => GateReport {
            app,
            provider_token_age_s: inspection.issued_at.map(|issued| now.since(issued).as_secs()),
            proven: inspection.proven,
            limit: inspection.limit,
            in_use: inspection.in_use,
            waiting: inspection.waiting,
            last_refusal: inspection.last_refusal.as_ref().map(|refusal| RefusalReport {
                reason: &refusal.reason,
                at: refusal.at.to_string(),
            }),
            problem: gate_problem(inspection, check.app, now),
        },
        Err(problem) => GateReport {
            app,
            provider_token_age_s: None,
            proven: false,
            limit: 0,
            in_use: 0,
            waiting: 0,
            last_refusal: None,
            problem: Some(problem.clone()),
        },
    }
}

/// Returns what prevents a credential from sending, as far as its gate knows.
fn gate_problem(inspection: &Inspection, app: &App, now: Timestamp) -> Option<String> {
    let stopped = inspection.stopped_until.filter(|until| *until > now);
    let mut parts = Vec::new();
    if let Some(until) = stopped {
        parts.push(format!(
            "APNs refuses the provider tokens; the next attempt is at {until}"
        ));
    }
    if let Some(CredentialRefusal { reason, at }) = &inspection.last_refusal {
        let advice = advice::for_refusal(reason, app.credential.environment);
        parts.push(format!(
            "APNs refused the credential with `{reason}` at {at} and has accepted no push since. {advice}"
        ));
    }
    (!parts.is_empty()).then(|| parts.join(". "))
}

#[derive(Serialize)]
struct ProbeReport<'p> {
    environment: &'static str,
    transport: &'static str,
    target: &'p str,
    in_use: bool,
    ok: bool,
    answer: String,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<usize>,
}

fn probe_report(probe: &Probe) -> ProbeReport<'_> {
    let answer = match &probe.outcome {
        Outcome::Answered(reply) => {
            let reason = reply.reason.as_ref().map_or("no reason of APNs", Reason::as_str);
            format!("{} {reason}", reply.status)
        }
        Outcome::NotSent(error) | Outcome::Lost(error) => error.to_string(),
    };
    ProbeReport {
        environment: probe.environment.as_str(),
        transport: probe.transport.as_str(),
        target: &probe.target,
        in_use: probe.in_use,
        ok: probe.is_apns(),
        answer,
        ms: probe.ms,
        streams: probe.streams,
    }
}

#[cfg(test)]
mod tests;
