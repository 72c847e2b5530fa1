//! The content of a campaign: its notification with templates and variants, and its options.

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields;
use crate::config::App;
use crate::send_request::Options;
use crate::upload::{BatchHeader, MAX_HEAD};
use apns::Notification;
use apns::fault::{self, FaultKind, Faults, Pointer, Warning, WarningCode, WarningSummary, Warnings};
use apns::payload::Payload;
use apns::time::Timestamp;
use campaign::template::{Recipient, Templates, Unrendered};

/// The compiled content of a campaign.
pub(super) struct CompiledCampaign<'c> {
    /// The header, as of an upload. Its templates are filled in with samples, because the header must be a
    /// valid notification by itself. Each device's patch replaces them.
    pub(super) header: BatchHeader<'c>,
    /// The notification of the head.
    pub(super) notification: Notification,
    pub(super) templates: Templates,
    /// Whether warnings are faults.
    pub(super) is_strict: bool,
    /// The warnings about the notification, with samples for the variables.
    pub(super) warnings: WarningSummary,
}

/// A line of a device.
#[derive(Serialize)]
pub(super) struct Line<'l> {
    token: &'l str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

impl<'c> CompiledCampaign<'c> {
    /// Parses the content from the fields of a campaign's document, with all faults, including those of each
    /// variant. Relative times count from `moment`.
    pub(super) fn read(
        map: &Map<String, Value>,
        app: &'c App,
        moment: Timestamp,
        faults: &mut Faults,
    ) -> Option<Self> {
        let root = Pointer::Root;
        let options = Options::of(map, &root, faults);
        let [defaults_at, variants_at] = ["defaults", "variants"].map(|name| root.key(name));
        let defaults = map.get("defaults");
        let defaults = defaults.map(|value| fields::defaults(value, &defaults_at, faults));
        let variants = map.get("variants");
        let variants = variants.map(|value| fields::variants(value, &variants_at, faults));
        let at = root.key("notification");
        let Some(written) = map.get("notification") else {
            faults.add(&at, FaultKind::Missing);
            return None;
        };
        let nothing = Value::Object(Map::new());
        let payload_at = at.key("payload");
        let templates = Templates::compile(
            (written.get("payload").unwrap_or(&nothing), &payload_at),
            (&variants.unwrap_or_default(), &variants_at),
            &defaults.unwrap_or_default(),
            faults,
        );
        let head = sample(written, &templates, &payload_at, faults);
        let notification = Notification::parse(&head, &at, &app.bundle_id, moment, faults)?;
        if notification.apns_id.is_some() {
            let text = "is one push's id, and a campaign has any number of them";
            faults.add(&at.key("apns_id"), FaultKind::Conflict(text.to_owned()));
        }
        let warnings = check(&notification, &templates, &payload_at, &variants_at, faults);
        let (_, warnings) = warnings.split(|warning| is_of_sample(map, warning));
        let is_strict = map
            .get("strict")
            .is_some_and(|value| fault::boolean(value, &root.key("strict"), faults).unwrap_or_default());
        if is_strict {
            warnings.add_to(faults);
        }
        let mut summary = WarningSummary::default();
        summary.add_shared(&warnings);
        let mut header = BatchHeader::new(app, Some(&head), &notification, options);
        header.note_own_payload();
        if header.head.len() > MAX_HEAD {
            let (size, limit, unit) = (header.head.len(), MAX_HEAD, "bytes");
            faults.add(&at, FaultKind::TooLong { size, limit, unit });
        }
        Some(Self {
            header,
            notification,
            templates,
            is_strict,
            warnings: summary,
        })
    }

    /// Renders the line of a device for a request with this header.
    pub(super) fn line<'l>(&self, recipient: &Recipient<'l>) -> Result<Line<'l>, Unrendered> {
        Ok(Line {
            token: recipient.token,
            reference: recipient.reference,
            payload: self.templates.patch(recipient)?,
        })
    }
}

/// Returns the notification with samples in its templates.
fn sample(written: &Value, templates: &Templates, payload_at: &Pointer<'_>, faults: &mut Faults) -> Value {
    let mut head = written.clone();
    match templates.samples().next() {
        Some((_, Ok(Some(patch)))) => {
            if let Some(payload) = head.get_mut("payload") {
                *payload = Payload::merge(payload, &patch);
            }
        }
        Some((_, Err(error))) => faults.add(payload_at, FaultKind::Invalid(error.to_string())),
        Some((_, Ok(None))) | None => {}
    }
    head
}

/// Checks that the payload and each variant can be sent. Returns the warnings.
fn check(
    notification: &Notification,
    templates: &Templates,
    payload_at: &Pointer<'_>,
    variants_at: &Pointer<'_>,
    faults: &mut Faults,
) -> Warnings {
    let mut warnings = notification.warnings.clone();
    if let Some(payload) = notification.payload(payload_at, faults) {
        warnings.append(&notification.payload_warnings(&payload, payload_at));
    }
    let base = notification.base_warnings();
    for (locale, sample) in templates.samples() {
        let Some(locale) = locale else { continue };
        let at = variants_at.key(locale);
        match sample {
            Ok(Some(patch)) => {
                if let Some(payload) = notification.merged_payload(&patch, &at, faults) {
                    let found = notification.payload_warnings(&payload, &Pointer::Root);
                    let (_, own) =
                        found.split(|warning| base.listed().iter().any(|known| known.is_like(warning)));
                    warnings.append(&own.below(&at.to_string()));
                }
            }
            Ok(None) => {}
            Err(error) => faults.add(&at, FaultKind::Invalid(error.to_string())),
        }
    }
    warnings
}

/// Whether a warning is about a sample: the text has a template, so each device has another value.
fn is_of_sample(map: &Map<String, Value>, warning: &Warning) -> bool {
    let pointer = warning.pointer.trim_start_matches('/');
    let Some((first, rest)) = pointer.split_once('/') else {
        return false;
    };
    let written = map
        .get(first)
        .and_then(|value| value.pointer(&format!("/{rest}")));
    let is_of_value = matches!(warning.code, WarningCode::WrongType | WarningCode::WrongValue);
    is_of_value
        && written
            .and_then(Value::as_str)
            .is_some_and(|text| text.contains("{{"))
}
