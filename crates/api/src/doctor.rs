//! `GET /v1/doctor`: the configuration, the state of the gates, and whether APNs is reachable.
//!
//! It reports which settings there are, and never their values. A probe is a push without credentials: APNs
//! answers `MissingProviderToken`, which proves name resolution, TLS, HTTP/2 and paths without involving a
//! device or a provider token.

mod advice;
mod recent;

use super::{Answer, convert};
use crate::config::{App, Caller, Config, Transport};
use apns::fault::{Fault, Faults};
use apns::time::Timestamp;
use apns::{Environment, Outcome, Reason};
use batch::registry::{Entry, Page};
use delivery::gate::{CredentialRefusal, Inspection};
use documents::doctor::{self, AppCheck, BrokenApp, Doctor, Finding, GateCheck, PausedBatch, ProbeCheck};

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
    let probes: Vec<ProbeCheck> = probes.iter().map(probe_report).collect();
    let gates: Vec<GateCheck> = checks.iter().map(|check| gate_report(check, now)).collect();
    let broken_apps: Vec<BrokenApp> = config
        .broken_apps
        .iter()
        .filter(|app| caller.reaches(&app.name))
        .map(|app| BrokenApp {
            name: app.name.clone(),
            faults: findings(&app.faults),
        })
        .collect();
    let api_key_faults: Vec<Finding> = config
        .api_key_faults
        .iter()
        .filter(|of_key| of_key.concerns(caller))
        .map(|of_key| finding(&of_key.fault))
        .collect();
    let healthy = probes.iter().all(|probe| probe.ok || !probe.in_use)
        && gates.iter().all(|gate| gate.problem.is_none())
        && broken_apps.is_empty()
        && api_key_faults.is_empty()
        && paused.is_ok();
    let (paused_batches, more, batches_problem) = match paused {
        Ok(page) => (
            page.batches.iter().map(paused_batch).collect(),
            page.cursor.is_some(),
            None,
        ),
        Err(problem) => (Vec::new(), false, Some(problem)),
    };
    let body = Doctor {
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

fn paused_batch(entry: &Entry) -> PausedBatch {
    PausedBatch {
        id: entry.id.clone(),
        app: entry.app.clone(),
        created_at: entry.created_at.to_string(),
        pushes: entry.pushes,
    }
}

fn finding(fault: &Fault) -> Finding {
    Finding {
        pointer: fault.pointer.clone(),
        detail: fault.kind.to_string(),
    }
}

fn findings(faults: &Faults) -> Vec<Finding> {
    faults.listed().iter().map(finding).collect()
}

fn app_report(app: &App) -> AppCheck {
    // A loaded configuration has all of these in their right form.
    AppCheck {
        name: app.name.clone(),
        topic: app.bundle_id.as_str().to_owned(),
        environment: app.credential.environment.as_str().to_owned(),
        transport: app.transport.as_str().to_owned(),
        team_id: "set".to_owned(),
        key_id: "set".to_owned(),
        signing_key: "set".to_owned(),
        warnings: findings(&app.warnings),
    }
}

fn gate_report(check: &CredentialCheck<'_>, now: Timestamp) -> GateCheck {
    let app = check.app.name.clone();
    match &check.gate {
        Ok(inspection) => GateCheck {
            app,
            provider_token_age_s: inspection.issued_at.map(|issued| now.since(issued).as_secs()),
            proven: inspection.proven,
            limit: inspection.limit,
            in_use: inspection.in_use,
            waiting: convert::number(inspection.waiting),
            last_refusal: inspection
                .last_refusal
                .as_ref()
                .map(|refusal| doctor::CredentialRefusal {
                    reason: refusal.reason.clone(),
                    at: refusal.at.to_string(),
                }),
            problem: gate_problem(inspection, check.app, now),
        },
        Err(problem) => GateCheck {
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

fn probe_report(probe: &Probe) -> ProbeCheck {
    let answer = match &probe.outcome {
        Outcome::Answered(reply) => {
            let reason = reply.reason.as_ref().map_or("no reason of APNs", Reason::as_str);
            format!("{} {reason}", reply.status)
        }
        Outcome::NotSent(error) | Outcome::Lost(error) => error.to_string(),
    };
    ProbeCheck {
        environment: probe.environment.as_str().to_owned(),
        transport: probe.transport.as_str().to_owned(),
        target: probe.target.clone(),
        in_use: probe.in_use,
        ok: probe.is_apns(),
        answer,
        ms: probe.ms,
        streams: probe.streams.map(convert::number),
    }
}

#[cfg(test)]
mod tests;
