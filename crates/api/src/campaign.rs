//! `/v1/campaigns`: what is sent to an audience, when, and to which of its devices.
//!
//! A campaign is parsed when it is written, with all its faults, and stored as its caller wrote it. In scope:
//! parsing, the documents for callers, and the lines of a run's batch. Out of scope: when a run starts (the
//! scheduler), and which devices it reaches (the audience).

mod chunk_renderer;
mod compiled;
pub mod document;
mod fields;
pub mod query;
pub mod run;
pub mod test_send;
pub mod variables;

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use chunk_renderer::{ChunkRenderer, MAX_PROBLEMS, RenderedChunk};
pub use run::RunSpec;

use super::batch;
use super::format::{self, check_values};
use super::problem::{Kind, Problem};
use super::upload::{BatchHeader, check_webhook};
use crate::config::{App, Batches, Config};
use ::batch::Record;
use apns::expiration::{BadExpiration, Expiration};
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;
use campaign::scan::Frequency;
use campaign::schedule::{Schedule, Window};
use campaign::scheduler::{Campaign, Reply, Scope, State};
use campaign::segment::Segment;
use compiled::CompiledCampaign;

/// Reads the body of a campaign as JSON.
///
/// # Errors
/// 400 if it is not JSON, 413 if it is longer than [`MAX_BODY`] or has more than [`MAX_VALUES`] values.
pub fn parse(body: &[u8]) -> Result<Value, Problem> {
    if body.len() > MAX_BODY {
        let detail = format!("a campaign may have {MAX_BODY} bytes");
        return Err(Problem::new(Kind::BodyTooLarge, detail));
    }
    check_values(body, MAX_VALUES)?;
    format::document(body)
}

/// Returns the name of the campaign's audience, which determines its app.
///
/// # Errors
/// 422 if there is none.
pub fn audience(document: &Value) -> Result<&str, Problem> {
    let root = Pointer::Root;
    let mut faults = Faults::default();
    let at = root.key("audience");
    let name = match fault::open_object(document, &root, &mut faults).map(|map| map.get("audience")) {
        Some(Some(name)) => fault::string(name, &at, &mut faults),
        Some(None) => {
            faults.add(&at, FaultKind::Missing);
            None
        }
        None => None,
    };
    name.ok_or_else(|| Problem::invalid(faults))
}

/// Parses the campaign `id` for the `app` of its audience. It is a draft if it says so or has no schedule,
/// and otherwise scheduled.
///
/// # Errors
/// 422 with the faults of all its fields, and of the notification with a sample for each variable.
pub fn read(
    id: &str,
    document: &Value,
    app: &App,
    config: &Config,
    now: Timestamp,
) -> Result<Campaign, Problem> {
    let audience = audience(document)?.to_owned();
    let root = Pointer::Root;
    let mut faults = Faults::default();
    let known = [FIELDS, OURS].concat();
    let Some(map) = fault::object(document, &root, &known, &mut faults) else {
        return Err(Problem::invalid(faults));
    };
    fields::name(map, &root, &mut faults);
    optional(map, "segment", &mut faults, Segment::read);
    optional(map, "frequency", &mut faults, Frequency::read);
    let schedule = optional(map, "schedule", &mut faults, Schedule::read);
    let window = optional(map, "window", &mut faults, Window::read);
    let first = |schedule: &Schedule| schedule.first(config.campaigns.grace, now);
    let next = schedule.as_ref().and_then(first);
    if window.is_some() && schedule.as_ref().is_some_and(Schedule::has_no_clock) {
        let text = "is required for a `window`: whose clock it goes by, as in `Europe/Berlin`";
        let (schedule, zone) = (root.key("schedule"), "time_zone");
        faults.add(&schedule.key(zone), FaultKind::Invalid(text.to_owned()));
    }
    let state = state(map, schedule.is_some(), next, &mut faults);
    // An absolute expiration must not be over at the first run.
    let compiled = CompiledCampaign::read(map, app, next.unwrap_or(now).max(now), &mut faults);
    if let (Some(map), Some(schedule), Some(window), Some(next)) =
        (document.pointer("/notification"), &schedule, &window, next)
        && let Some(expiration) = map.get("expiration")
        && !opens_in_time(expiration, &schedule.begun(now), window, next)
    {
        let text = "is over before the `window` opens: no run could ever be sent";
        let at = root.key("notification");
        faults.add(&at.key("expiration"), FaultKind::Conflict(text.to_owned()));
    }
    let options = compiled.as_ref().map(|compiled| &compiled.header.options);
    let webhook = options.and_then(|options| options.webhook.as_deref());
    let webhook =
        webhook.and_then(|webhook| check_webhook(webhook, &root.key("webhook"), config, &mut faults));
    faults.or(()).map_err(Problem::invalid)?;
    let mut kept = map.clone();
    for name in ["draft"].iter().chain(OURS) {
        kept.shift_remove(*name);
    }
    if let Some(webhook) = webhook {
        kept.insert("webhook".to_owned(), Value::String(webhook));
    }
    Ok(Campaign {
        id: id.to_owned(),
        app: app.name.clone(),
        audience,
        created_at: now,
        state,
        name: kept
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        schedule,
        window,
        document: Value::Object(kept).to_string(),
        warnings: compiled.map(|compiled| compiled.warnings).unwrap_or_default(),
        fingerprint: None,
        next_at: None,
        runs: 0,
        seen: now,
    })
}

/// Whether one of the first runs, beginning with the one at `next`, can send within its window before its
/// notification expires.
fn opens_in_time(expiration: &Value, schedule: &Schedule, window: &Window, next: Timestamp) -> bool {
    let forever = Timestamp::from_millis(u64::MAX);
    let runs = schedule.between(next - Duration::from_millis(1), forever, RUNS_LOOKED_AT);
    runs.iter().any(|run| {
        let zone = schedule.zone(run.zones.as_deref());
        let intervals = window.intervals(zone, run.at, run.at + TWO_DAYS);
        let Some((open, _)) = intervals.first() else {
            return true;
        };
        // An invalid expiration is reported elsewhere.
        match Expiration::parse(expiration, run.at) {
            Ok(end) => end == Expiration::AT_ONCE || end.as_secs() > open.as_secs(),
            Err(BadExpiration::Past { .. }) => false,
            Err(_) => true,
        }
    })
}

/// Returns the id of the campaign for an `Idempotency-Key`. The same key of the same caller returns the same
/// id.
#[must_use]
pub fn named_id(caller: &str, key: &str) -> String {
    // The prefix makes the id differ from that of a batch with the same caller and key.
    batch::named_id(&format!("campaign\n{caller}"), key)
}

/// Whether a caller may choose this id for a campaign: 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
/// It must not have the form of a generated id.
#[must_use]
pub fn is_own_name(name: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let is_ours = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (1..=MAX_OWN_NAME).contains(&name.len()) && name.bytes().all(is_plain) && !is_ours
}

/// Checks an id that a caller chooses for a new campaign.
///
/// # Errors
/// 404 if it has the form of a generated id, because no such campaign exists; 422 if it is not valid.
pub fn check_own_name(name: &str) -> Result<(), Problem> {
    if is_own_name(name) {
        return Ok(());
    }
    if name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::new(Kind::CampaignNotFound, "there is no such campaign"));
    }
    let mut faults = Faults::default();
    let rule = format!(
        "must have 1 to {MAX_OWN_NAME} of a-z, 0-9, `-`, `_` and `.`, or be the id of a campaign that exists"
    );
    faults.add(&Pointer::Root.key("id"), FaultKind::Invalid(rule));
    Err(Problem::invalid(faults))
}

/// Returns the hash of the body of a campaign.
#[must_use]
pub fn fingerprint(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a campaign's document as a JSON tree.
fn document_of(campaign: &Campaign) -> Value {
    // A stored document was parsed before, without a fault.
    serde_json::from_str(&campaign.document).unwrap_or_default()
}

/// Creates the record of the batch `id` for a run, from the campaign's options and the current settings.
///
/// Relative times count from `created_at`. Its [`ChunkRenderer`] must have been created with the same moment.
#[must_use]
pub fn record(id: &str, header: &BatchHeader<'_>, settings: &Batches, created_at: Timestamp) -> Record {
    batch::opened(id, header, 0, settings, created_at)
}

/// Returns the problem for the scheduler's reply, or `None` if the reply is not a refusal.
#[must_use]
pub fn refusal(reply: &Reply) -> Option<Problem> {
    let schedule = |text: &str| {
        let mut faults = Faults::default();
        faults.add(
            &Pointer::Root.key("schedule"),
            FaultKind::Invalid(text.to_owned()),
        );
        Problem::invalid(faults)
    };
    match reply {
        Reply::Missing => Some(Problem::new(Kind::CampaignNotFound, "there is no such campaign")),
        Reply::NoAudience => Some(no_audience()),
        Reply::NeverDue => Some(schedule("is over: no run would ever start")),
        Reply::State { state } => {
            let detail = format!("the campaign is {}", state.as_str());
            Some(Problem::new(Kind::CampaignState, detail))
        }
        Reply::Taken => Some(Problem::new(
            Kind::IdempotencyConflict,
            "the campaign that was made with this key or name has another body",
        )),
        Reply::Starting => Some(Problem::new(
            Kind::CampaignState,
            "a run of the campaign is being started: try again when it has started or failed",
        )),
        Reply::Full { scope, limit } => {
            let whose = match scope {
                Scope::App => "the app of this audience",
                Scope::Deployment => "the deployment",
            };
            let detail = format!(
                "{whose} has {limit} campaigns, the most that are allowed: delete some that have ended"
            );
            Some(Problem::new(Kind::InvalidRequest, detail))
        }
        Reply::TooMuch { scope, limit } => {
            let whose = match scope {
                Scope::App => "of the app",
                Scope::Deployment => "of the deployment",
            };
            let detail = format!(
                "all campaigns {whose} together may have {limit} bytes, and would have more: delete some that have ended"
            );
            Some(Problem::new(Kind::InvalidRequest, detail))
        }
        Reply::Done
        | Reply::Created(_)
        | Reply::Audience(_)
        | Reply::Conflict(_)
        | Reply::Audiences(_)
        | Reply::InUse { .. }
        | Reply::Campaign(_)
        | Reply::Campaigns(_)
        | Reply::Runs(_)
        | Reply::Counted(_) => None,
    }
}

/// Returns the problem of an audience that does not exist or to which the caller has no access.
#[must_use]
pub fn no_audience() -> Problem {
    let mut faults = Faults::default();
    let text = "must be the name of an audience that exists; `GET /v1/audiences` lists yours";
    faults.add(
        &Pointer::Root.key("audience"),
        FaultKind::Invalid(text.to_owned()),
    );
    Problem::invalid(faults)
}

/// Returns the state of a campaign that was just written.
fn state(map: &Map<String, Value>, is_read: bool, next: Option<Timestamp>, faults: &mut Faults) -> State {
    let root = Pointer::Root;
    let (has_schedule, at) = (map.contains_key("schedule"), root.key("schedule"));
    let draft = optional(map, "draft", faults, fault::boolean);
    match draft {
        Some(true) => return State::Draft,
        None if !has_schedule => return State::Draft,
        Some(false) if !has_schedule => {
            let text = "is required, unless it is a draft";
            faults.add(&at, FaultKind::Conflict(text.to_owned()));
        }
        Some(false) | None => {}
    }
    if is_read && next.is_none() {
        let text = "is over: no run would ever start";
        faults.add(&at, FaultKind::Invalid(text.to_owned()));
    }
    State::Scheduled
}

fn optional<T>(
    map: &Map<String, Value>,
    name: &str,
    faults: &mut Faults,
    read: impl FnOnce(&Value, &Pointer<'_>, &mut Faults) -> Option<T>,
) -> Option<T> {
    read(map.get(name)?, &Pointer::Root.key(name), faults)
}

/// The fields of a campaign.
const FIELDS: &[&str] = &[
    "name",
    "audience",
    "segment",
    "notification",
    "variants",
    "defaults",
    "strict",
    "schedule",
    "window",
    "frequency",
    "rate",
    "weight",
    "retry_for",
    "webhook",
    "draft",
];

/// The other fields of its document. They are ignored, so that a caller can read a document, change it, and
/// `PUT` it.
const OURS: &[&str] = &[
    "id",
    "app",
    "state",
    "created_at",
    "next_at",
    "runs",
    "warnings",
    "more_warnings",
];

/// The largest campaign in bytes: a notification as large as a batch's, and its variants. It is stored as one
/// value, for which the platform's limit is 2 MB.
pub const MAX_BODY: usize = 256 * 1024;

/// The longest id that a caller can choose, in bytes.
pub const MAX_OWN_NAME: usize = 64;

/// The most runs that are checked for one that could be sent.
const RUNS_LOOKED_AT: usize = 50;

/// A window opens each day, unless a DST change skips it.
const TWO_DAYS: Duration = Duration::from_hours(48);

/// The most JSON values of a campaign. As a tree each takes some 100 bytes, so a hundred variants of two
/// hundred values take 2 MB.
pub const MAX_VALUES: usize = 20_000;

#[cfg(test)]
mod tests;
