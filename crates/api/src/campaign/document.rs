//! The answers about campaigns and their runs.

use serde_json::{Map, Value};

use crate::{Answer, convert};
use campaign::scheduler::{Campaign, Page, Run, RunState, State};

/// Answers with a campaign's document: the status fields, then the fields as its caller wrote them.
#[must_use]
pub fn answer(campaign: &Campaign) -> Answer {
    Answer::json(document(campaign).to_string())
}

/// Answers the request that created a campaign.
#[must_use]
pub fn created(campaign: &Campaign) -> Answer {
    Answer {
        status: 201,
        headers: vec![("location", format!("/v1/campaigns/{}", campaign.id))],
        ..answer(campaign)
    }
}

/// Answers `GET /v1/campaigns` with the status, name, audience, schedule and window of each campaign.
#[must_use]
pub fn list<'c>(campaigns: impl Iterator<Item = &'c Campaign>) -> Answer {
    let campaigns: Vec<Value> = campaigns.map(summary).collect();
    let mut document = Map::new();
    document.insert("campaigns".to_owned(), campaigns.into());
    Answer::json(Value::Object(document).to_string())
}

fn summary(campaign: &Campaign) -> Value {
    let mut summary = status(campaign);
    summary.insert("name".to_owned(), campaign.name.as_str().into());
    summary.insert("audience".to_owned(), campaign.audience.as_str().into());
    if let Some(schedule) = &campaign.schedule {
        summary.insert("schedule".to_owned(), schedule.clone().into());
    }
    if let Some(window) = &campaign.window {
        summary.insert("window".to_owned(), window.clone().into());
    }
    Value::Object(summary)
}

fn document(campaign: &Campaign) -> Value {
    let mut document = status(campaign);
    if let Ok(Value::Object(warnings)) = serde_json::to_value(&campaign.warnings) {
        document.extend(warnings);
    }
    if let Value::Object(written) = super::document_of(campaign) {
        document.extend(written);
    }
    if campaign.state == State::Draft {
        // A draft that is read, changed and written back stays a draft.
        document.insert("draft".to_owned(), true.into());
    }
    Value::Object(document)
}

/// Returns the status fields of a campaign.
fn status(campaign: &Campaign) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("id".to_owned(), campaign.id.as_str().into());
    document.insert("app".to_owned(), campaign.app.as_str().into());
    document.insert("state".to_owned(), campaign.state.as_str().into());
    document.insert("created_at".to_owned(), campaign.created_at.to_string().into());
    if let Some(next_at) = campaign.next_at {
        document.insert("next_at".to_owned(), next_at.to_string().into());
    }
    document.insert("runs".to_owned(), campaign.runs.into());
    document
}

/// Answers `GET /v1/campaigns/{id}/runs`: the newest run first, and the cursor of the next page.
#[must_use]
pub fn runs(page: &Page) -> Answer {
    let page = documents::campaign::Runs {
        runs: page.runs.iter().map(run).collect(),
        cursor: page.cursor.map(|at| at.as_millis().to_string()),
    };
    Answer::json(serde_json::to_string(&page).unwrap_or_default())
}

fn run(run: &Run) -> documents::campaign::Run {
    // A missed run has no batch.
    let batch = (run.state != RunState::Missed).then(|| run.batch.clone());
    documents::campaign::Run {
        scheduled_at: run.at.to_string(),
        state: run.state.as_str().into(),
        started_at: run.started_at.map(|at| at.to_string()),
        ended_at: run.ended_at.map(|at| at.to_string()),
        batch,
        detail: run.detail.clone(),
        time_zones: run.zones.clone(),
        devices: run.devices,
        pushes: run.pushes,
        counts: run.counts.map(|counts| documents::campaign::RunCounts {
            accepted: counts.accepted,
            rejected: counts.rejected,
            failed: counts.failed,
            cancelled: counts.cancelled,
            gone: counts.gone,
        }),
        left_out: convert::left_out(&run.left_out),
    }
}
