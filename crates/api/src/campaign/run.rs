//! What a run tells its batch and the shards that scan for it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ChunkRenderer;
use crate::config::{App, Config};
use crate::problem::Problem;
use apns::fault::{Faults, Pointer};
use apns::time::Timestamp;
use batch::AudienceRef;
use batch::{LONGEST_LIFE, Record, RunRef};
use campaign::scan::{AudienceScan, Frequency, Judge};
use campaign::scheduler::{Campaign, Run};
use campaign::segment::Segment;

/// The content of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The app to send as.
    pub app: String,
    /// Relative times count from this moment.
    pub created_at: Timestamp,
    /// The campaign's document, as text.
    pub campaign: String,
}

/// Returns the record of a run's batch, and its header. The audience has a scan per shard, and all of them fill
/// the batch.
///
/// # Errors
/// 422 if nothing can be sent any more.
pub fn batch_record(
    campaign: &Campaign,
    run: &Run,
    audience: &AudienceRef,
    app: &App,
    config: &Config,
) -> Result<(Record, String), Problem> {
    let renderer = ChunkRenderer::new(&super::document_of(campaign), app, run.at)?;
    let header = renderer.header();
    let mut record = super::record(&run.batch, header, &config.batches, run.at);
    record.warnings = renderer.warnings().clone();
    record.run = Some(RunRef {
        campaign: campaign.id.clone(),
        at: run.at,
        audience: audience.clone(),
        opened_at: run.at,
    });
    if let (Some(window), Some(schedule)) = (&campaign.window, &campaign.schedule) {
        let zone = schedule.zone(run.zones.as_deref());
        record.terms.windows = window.intervals(zone, run.at, run.at + LONGEST_LIFE);
    }
    Ok((record, header.head.clone()))
}

/// Returns the question to a shard whether a run that is due now would reach these devices.
#[must_use]
pub fn judge(campaign: &Campaign, ids: Vec<u64>, now: Timestamp) -> Judge {
    let document = super::document_of(campaign);
    let read = |name: &str| document.get(name).filter(|value| !value.is_null());
    let mut faults = Faults::default();
    Judge {
        ids,
        segment: read("segment").and_then(|value| Segment::read(value, &Pointer::Root, &mut faults)),
        frequency: read("frequency").and_then(|value| Frequency::read(value, &Pointer::Root, &mut faults)),
        campaign: campaign.id.clone(),
        at: now,
    }
}

/// Returns why a run can never be started: the first fault of its document with its pointer, or the problem's
/// detail.
#[must_use]
pub fn reason(problem: &Problem) -> String {
    let fault = problem.first_fault();
    fault.map_or_else(|| problem.detail().to_owned(), ToString::to_string)
}

/// Returns the segment of a run in the devices' own time: the campaign's segment within the run's time zones.
#[must_use]
pub fn segment(campaign: &Campaign, run: &Run) -> Option<Segment> {
    let zones = run.zones.as_deref().unwrap_or_default();
    let mut named =
        json!({"in": {"time_zone": zones.iter().filter(|zone| !zone.is_empty()).collect::<Vec<_>>()}});
    if zones.iter().any(String::is_empty) {
        named = json!({"any": [named, {"not": {"exists": "time_zone"}}]});
    }
    let read = |value: &Value| Segment::read(value, &Pointer::Root, &mut Faults::default());
    let document = super::document_of(campaign);
    let own = document.get("segment").filter(|value| !value.is_null());
    // Fails if the campaign's segment is at its limits already.
    own.and_then(|own| read(&json!({"all": [own, named]})))
        .or_else(|| read(&named))
}

/// Returns the scan of the first shard. Those of the other shards differ by their numbers.
#[must_use]
pub fn scan(campaign: &Campaign, run: &Run) -> AudienceScan {
    let spec = RunSpec {
        app: campaign.app.clone(),
        created_at: run.at,
        campaign: campaign.document.clone(),
    };
    // A stored document was parsed before, without a fault.
    let document = super::document_of(campaign);
    let read = |name: &str| document.get(name).filter(|value| !value.is_null());
    let mut faults = Faults::default();
    AudienceScan {
        batch: run.batch.clone(),
        campaign: campaign.id.clone(),
        at: run.at,
        number: 0,
        cursor: Default::default(),
        max_id: 0,
        zones: run.zones.clone(),
        segment: read("segment").and_then(|value| Segment::read(value, &Pointer::Root, &mut faults)),
        frequency: read("frequency").and_then(|value| Frequency::read(value, &Pointer::Root, &mut faults)),
        document: serde_json::to_value(spec).unwrap_or_default(),
        remainder: None,
    }
}
