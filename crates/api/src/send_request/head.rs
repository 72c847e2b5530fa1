//! The fields of a send request beside its devices: its document without `devices`, or its first line.

use serde_json::Value;

use super::options::Options;
use crate::config::App;
use apns::Notification;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;

/// The header of a send request. A field with faults is read as absent.
pub(crate) struct OrderHead {
    /// The notification.
    pub(crate) notification: Option<Notification>,
    /// Whether devices with faults are left out, or reject the request.
    pub(crate) skip: bool,
    /// Whether warnings are faults.
    pub(crate) is_strict: bool,
    /// The options of a durable batch.
    pub(crate) options: Options,
}

impl OrderHead {
    /// Reads the header in `document`, whose members must be among `known`, with the faults of all its
    /// fields. Returns `None` if it is not an object.
    pub(crate) fn read(
        document: &Value,
        known: &[&'static str],
        app: &App,
        now: Timestamp,
        faults: &mut Faults,
    ) -> Option<Self> {
        let at = Pointer::Root;
        let map = fault::object(document, &at, known, faults)?;
        if known == LINE_FIELDS && map.contains_key("devices") {
            let text = "do not belong in the first line: each follows in a line of its own. One JSON document with its \
                        devices is sent as `application/json`";
            faults.add(&at.key("devices"), FaultKind::Invalid(text.to_owned()));
        }
        let skip = map
            .get("on_invalid")
            .is_some_and(|value| on_invalid(value, &at.key("on_invalid"), faults));
        let is_strict = map
            .get("strict")
            .is_some_and(|value| fault::boolean(value, &at.key("strict"), faults).unwrap_or_default());
        let options = map.get("batch").map_or_else(Options::default, |value| {
            Options::read(value, &at.key("batch"), faults)
        });
        let notification = match map.get("notification") {
            Some(value) => Notification::parse(value, &at.key("notification"), &app.bundle_id, now, faults),
            None => {
                faults.add(&at.key("notification"), FaultKind::Missing);
                None
            }
        };
        if let Some(notification) = notification.as_ref().filter(|_| is_strict) {
            notification.warnings.add_to(faults);
        }
        Some(Self {
            notification,
            skip,
            is_strict,
            options,
        })
    }
}

fn on_invalid(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> bool {
    let text = fault::string(value, at, faults).map(|text| text.trim().to_ascii_lowercase());
    match text.as_deref() {
        Some("skip") => true,
        Some("reject") | None => false,
        Some(_) => {
            faults.add(at, FaultKind::Invalid("must be `reject` or `skip`".to_owned()));
            false
        }
    }
}

/// The fields of a request in one document.
pub(crate) const FIELDS: &[&str] = &["app", "notification", "devices", "on_invalid", "strict", "batch"];

/// The fields of the first line of a request in lines. `devices` is known so that its fault can say where
/// devices belong.
pub(crate) const LINE_FIELDS: &[&str] = &["app", "notification", "on_invalid", "strict", "batch", "devices"];
