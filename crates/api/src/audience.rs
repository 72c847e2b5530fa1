//! Audiences: `/v1/audiences`, and their import and export.
//!
//! In scope: what callers may write, reading devices as they arrive, and the answers. Out of scope: storing
//! audiences and devices (`campaign`), and calling the shards (the Worker).

mod columns;
mod device;
mod documents;
mod fields;
mod intake;
mod pages;
mod removal;
mod shard_router;
mod table;

use serde_json::{Map, Value};

pub use documents::{AudienceView, Tally, Totals, count, device_lines, document, imported, list, removed};
pub use intake::{Form, Intake};
pub use pages::{DeviceCursor, DeviceRange, Export, Next, cursor_line};
pub use removal::Removal;
pub use shard_router::ShardBatch;

use super::auth;
use super::format;
use super::problem::{Kind, Problem};
use crate::config::{App, Caller, Config};
use apns::fault::{self, FaultKind, Faults, Pointer};
use campaign::scheduler::Scope;
use campaign::segment::Segment;

/// The body of a request that creates an audience.
#[derive(Clone, Copy, Debug)]
pub struct AudienceSpec<'c> {
    /// The app whose devices are in it.
    pub app: &'c App,
    /// The number of shards.
    pub shards: u32,
}

impl<'c> AudienceSpec<'c> {
    /// Reads the body of `PUT /v1/audiences/{name}`.
    ///
    /// # Errors
    /// 400 if it is not JSON, 403 if the caller has no access to the app, 422 with the faults of the name and
    /// of all fields.
    pub fn read(name: &str, body: &[u8], caller: &Caller, config: &'c Config) -> Result<Self, Problem> {
        let document = object_or_nothing(body)?;
        let (root, mut faults) = (Pointer::Root, Faults::default());
        if !is_name(name) {
            let text = format!(
                "an audience's name has 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`, and begins with a letter or digit"
            );
            faults.add(&root.key("name"), FaultKind::Invalid(text));
        }
        let map = fault::object(&document, &root, &["app", "shards"], &mut faults);
        let app = map
            .and_then(|map| map.get("app"))
            .and_then(|app| fault::string(app, &root.key("app"), &mut faults));
        let shards = match map.and_then(|map| map.get("shards")) {
            None => Some(SHARDS),
            Some(value) => fault::within(value, 1..=MAX_SHARDS, &root.key("shards"), &mut faults),
        };
        let shards = faults.or(shards).map_err(Problem::invalid)?.unwrap_or(SHARDS);
        Ok(Self {
            app: auth::choose_app(app, caller, config)?,
            shards,
        })
    }
}

/// Whether a text is a valid name of an audience.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'-' | b'_'))
}

/// Reads the body of `POST /v1/audiences/{name}/count`: the segment, if there is one.
///
/// # Errors
/// 400 if it is not JSON, 422 with all faults of its fields.
pub fn read_count(body: &[u8]) -> Result<Option<Segment>, Problem> {
    let document = object_or_nothing(body)?;
    let (root, mut faults) = (Pointer::Root, Faults::default());
    let segment = fault::object(&document, &root, &["segment"], &mut faults)
        .and_then(|map| map.get("segment"))
        .and_then(|segment| Segment::read(segment, &root.key("segment"), &mut faults));
    faults.or(segment).map_err(Problem::invalid)
}

/// Reads a body as JSON. An empty body is the same as an empty object.
fn object_or_nothing(body: &[u8]) -> Result<Value, Problem> {
    match body.trim_ascii() {
        [] => Ok(Value::Object(Map::new())),
        body => format::document(body),
    }
}

/// Returns the problem of an audience that does not exist, or not for this caller.
#[must_use]
pub fn not_found() -> Problem {
    Problem::new(
        Kind::AudienceNotFound,
        "the API key reaches no audience of this name",
    )
}

/// Returns the problem of an audience that exists and differs from the requested one.
#[must_use]
pub fn conflict(there: &AudienceView<'_>) -> Problem {
    let detail = format!(
        "it is of the app `{}` and has {} shards, which cannot be changed",
        there.app, there.shards
    );
    Problem::new(Kind::AudienceConflict, detail)
}

/// Returns the problem of an audience that is being deleted.
#[must_use]
pub fn deleting() -> Problem {
    let detail = "one of this name is being deleted: if that has failed, delete it again";
    Problem::new(Kind::AudienceConflict, detail)
}

/// Returns the problem of an audience that cannot be deleted, because this campaign uses it.
#[must_use]
pub fn in_use(campaign: &str) -> Problem {
    let detail = format!("the campaign {campaign} is for it and has not ended");
    Problem::new(Kind::AudienceInUse, detail)
}

/// Returns the problem of exceeding the number of audiences.
#[must_use]
pub fn full(scope: Scope, limit: usize) -> Problem {
    let whose = match scope {
        Scope::App => "the app",
        Scope::Deployment => "the deployment",
    };
    let detail =
        format!("{whose} has {limit} audiences, the most that are allowed: delete one that nobody uses");
    Problem::new(Kind::InvalidRequest, detail)
}

/// The longest name in bytes. It is part of paths and of objects' names.
const MAX_NAME: usize = 64;

/// The default number of shards: enough for some millions of devices.
const SHARDS: u32 = 8;

/// The most shards. Every count asks each of them.
pub const MAX_SHARDS: u32 = 256;

/// The longest line of a device in bytes. A device at all of its limits would be longer, but no real device
/// is.
pub const MAX_LINE: usize = 16 * 1024;

#[cfg(test)]
mod tests;
