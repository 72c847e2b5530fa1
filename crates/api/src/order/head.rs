//! What an order says beside its devices: its whole document but `devices`, or its first line.

use serde_json::Value;

use super::options::Options;
use crate::config::App;
use apns::Notification;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;

/// The head of an order. What has faults is read as if it were not there.
pub(crate) struct OrderHead {
    /// What is sent.
    pub(crate) notification: Option<Notification>,
    /// Whether devices with faults are left out, and do not refuse the order.
    pub(crate) skip: bool,
    /// Whether warnings are faults.
    pub(crate) is_strict: bool,
    /// What is meant for a durable batch alone.
    pub(crate) options: Options,
}

impl OrderHead {
    /// Reads the head in `document`, of which each member is one of `known`, with the faults of all its fields. None if it
    /// is no object.
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
    match fault::string(value, at, faults) {
        Some("skip") => true,
        Some("reject") | None => false,
        Some(_) => {
            faults.add(at, FaultKind::Invalid("must be `reject` or `skip`".to_owned()));
            false
        }
    }
}

/// What an order in one document may say.
pub(crate) const FIELDS: &[&str] = &["app", "notification", "devices", "on_invalid", "strict", "batch"];

/// What the first line of an order in lines may say; `devices` are known, to say where they belong.
pub(crate) const LINE_FIELDS: &[&str] = &["app", "notification", "on_invalid", "strict", "batch", "devices"];
