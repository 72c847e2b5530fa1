//! `POST /v1/campaigns/{id}/test` and `/preview`: the campaign for a few devices, named by `ref`.
//!
//! Both make an order of it, which is sent or shown like any other.

use serde_json::Value;

use super::content::Content;
use crate::api::format;
use crate::api::order::MAX_REF;
use crate::api::problem::Problem;
use crate::config::App;
use crate::delivery::audience::MAX_FOUND;
use crate::delivery::calendar::Campaign;
use crate::delivery::template::Recipient;
use crate::fault::{self, FaultKind, Faults, Pointer};
use crate::time::Timestamp;

/// Reads the body `{"refs":["user-1"]}`: the names, each once.
///
/// # Errors
/// 400 if it is not JSON, 422 if it does not name 1 to [`MAX_REFS`] devices.
pub fn refs(body: &[u8]) -> Result<Vec<String>, Problem> {
    let document = format::document(body)?;
    let mut faults = Faults::default();
    let refs = read_refs(&document, &mut faults);
    faults.or(refs.unwrap_or_default()).map_err(Problem::invalid)
}

fn read_refs(document: &Value, faults: &mut Faults) -> Option<Vec<String>> {
    let root = Pointer::Root;
    let map = fault::object(document, &root, &["refs"], faults)?;
    let at = root.key("refs");
    let Some(value) = map.get("refs") else {
        faults.add(&at, FaultKind::Missing);
        return None;
    };
    let list = fault::array(value, &at, faults)?;
    if !(1..=MAX_REFS).contains(&list.len()) {
        let text = format!("must name 1 to {MAX_REFS} devices, but names {}", list.len());
        faults.add(&at, FaultKind::Invalid(text));
        return None;
    }
    let mut refs: Vec<String> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some(text) = fault::string(value, &at, faults) else {
            continue;
        };
        if text.len() > MAX_REF {
            let (size, limit, unit) = (text.len(), MAX_REF, "bytes");
            faults.add(&at, FaultKind::TooLong { size, limit, unit });
        } else if !refs.iter().any(|known| known == text) {
            refs.push(text.to_owned());
        }
    }
    Some(refs)
}

/// Whether so many devices are found that they are too many for a trial: those that are left need not be looked for.
///
/// # Errors
/// 422 if they are more than [`MAX_DEVICES`].
pub fn check_found(devices: usize) -> Result<(), Problem> {
    if devices <= MAX_DEVICES {
        return Ok(());
    }
    let mut faults = Faults::default();
    let text = format!("names more than {MAX_DEVICES} devices");
    faults.add(&Pointer::Root.key("refs"), FaultKind::Invalid(text));
    Err(Problem::invalid(faults))
}

/// The order to the devices of `recipients`, which are those that the `refs` name: a document as `POST /v1/push` takes it.
///
/// # Errors
/// 422 if a name is no device's, if a device has no value for a variable, or if nothing can be sent by now.
pub fn order(
    campaign: &Campaign,
    app: &App,
    refs: &[String],
    recipients: &[Recipient<'_>],
    now: Timestamp,
) -> Result<String, Problem> {
    let root = Pointer::Root;
    let mut faults = Faults::default();
    let document = super::document_of(campaign);
    let map = fault::open_object(&document, &root, &mut faults);
    let content = map.and_then(|map| Content::read(map, app, now, &mut faults));
    let Some(content) = faults.or(content).map_err(Problem::invalid)? else {
        return Err(Problem::invalid(Faults::default()));
    };
    let mut faults = Faults::default();
    let mut lines = Vec::with_capacity(recipients.len());
    let at = root.key("refs");
    for (index, name) in refs.iter().enumerate() {
        let at = at.index(index);
        let named = recipients
            .iter()
            .filter(|recipient| recipient.reference == Some(name.as_str()));
        let before = (lines.len(), faults.len());
        for recipient in named {
            match content.line(recipient) {
                Ok(line) => lines.push(line),
                Err(error) => faults.add(&at, FaultKind::Invalid(error.to_string())),
            }
        }
        if before == (lines.len(), faults.len()) {
            let text = "names no device of the audience";
            faults.add(&at, FaultKind::Invalid(text.to_owned()));
        }
    }
    let head = content.opening.head.strip_suffix('}').unwrap_or_default();
    let lines = serde_json::to_string(&lines).unwrap_or_default();
    let order = format!("{head},\"devices\":{lines}}}");
    faults.or(order).map_err(Problem::invalid)
}

/// The most names of a trial: what a person looks at.
pub const MAX_REFS: usize = 100;

/// The most devices of a trial: several may have one name. They are an order that any transport takes, and each may have
/// 16 KB, of the isolate's 128 MB.
pub const MAX_DEVICES: usize = 200;

// So that of too many, no shard passes over some in silence.
const _: () = assert!(MAX_FOUND as usize > MAX_DEVICES);
