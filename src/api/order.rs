//! What a caller orders: the body of `POST /v1/push` and of `POST /v1/preview`.
//!
//! Parsed as a whole before anything is sent, with all its faults, so that a bad request does nothing by halves.

mod plain;

use std::sync::Arc;

use serde_json::Value;

use super::auth;
use super::format::{self, Format, Head, Limits, not_json};
use super::problem::{Kind, Problem};
use crate::apns::notification::Body;
use crate::apns::request::Headers;
use crate::apns::{ApnsId, DeviceToken, Notification, Request};
use crate::config::{ApiKey, App, Config};
use crate::fault::{self, Fault, FaultKind, Faults, Pointer};
use crate::time::Timestamp;

/// A parsed request to send.
#[derive(Debug)]
pub struct Order<'c> {
    /// The sender.
    pub app: &'c App,
    /// The pushes, in the order of the request.
    pub pushes: Vec<Push>,
}

/// One device of an order.
#[derive(Debug, PartialEq, Eq)]
pub struct Push {
    /// The caller's own name for it.
    pub reference: Option<String>,
    /// What of the device token may be shown.
    pub token_hint: String,
    /// What is sent, or with `on_invalid: "skip"` why nothing is.
    pub request: Result<Request, Fault>,
    /// What is allowed in its payload, but hardly meant.
    pub warnings: Faults,
}

impl<'c> Order<'c> {
    /// Parses a JSON body of `caller`. `seed` is 16 random bytes that its apns-ids are derived from.
    ///
    /// # Errors
    /// 400 if it is not JSON, 403 if the caller does not reach the app, 422 with all faults of its fields.
    pub fn parse(
        body: &[u8],
        caller: &ApiKey,
        config: &'c Config,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let head = Head::skim(body, Format::JSON)?;
        let app = auth::choose_app(head.app.as_deref(), caller, config)?;
        Self::parse_for(app, body, Format::JSON, seed, now)
    }

    /// Parses a body for an app that its caller reaches.
    ///
    /// # Errors
    /// 400 if it is not JSON, 422 with all faults of its fields.
    pub fn parse_for(
        app: &'c App,
        body: &[u8],
        format: Format,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        plain::read(app, body, format, seed, now)
            .map_or_else(|| Self::read_carefully(app, body, format, seed, now), Ok)
    }

    /// Reads any body, with the faults of all its fields.
    fn read_carefully(
        app: &'c App,
        body: &[u8],
        format: Format,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let (document, lines) = read_json(body, format)?;
        let mut faults = Faults::default();
        let at = Pointer::Root;
        let known = if format.lines_in { HEAD_FIELDS } else { FIELDS };
        let Some(map) = fault::object(&document, &at, known, &mut faults) else {
            return Err(Problem::invalid(faults));
        };
        let skip = map
            .get("on_invalid")
            .is_some_and(|value| on_invalid(value, &at, &mut faults));
        let notification = map.get("notification").and_then(|value| {
            Notification::parse(value, &at.key("notification"), &app.bundle_id, now, &mut faults)
        });
        let devices = match &lines {
            Some(lines) => Some(lines.as_slice()),
            None => map
                .get("devices")
                .and_then(|value| fault::array(value, &at.key("devices"), &mut faults)),
        };
        for field in known
            .iter()
            .filter(|field| matches!(**field, "notification" | "devices"))
        {
            if !map.contains_key(*field) {
                faults.add(&at.key(field), FaultKind::Missing);
            }
        }
        let mut pushes = Vec::new();
        if let Some(devices) = devices
            && is_count_allowed(devices.len(), app, notification.as_ref(), &mut faults)
        {
            pushes = read_devices(devices, notification.as_ref(), seed, skip, &mut faults);
        }
        faults.or(Self { app, pushes }).map_err(Problem::invalid)
    }
}

impl Order<'_> {
    /// The places of the devices that something is sent to.
    pub fn sendable(&self) -> impl Iterator<Item = usize> {
        self.pushes
            .iter()
            .enumerate()
            .filter(|(_, push)| push.request.is_ok())
            .map(|(place, _)| place)
    }

    /// What is sent to the device at `place`.
    #[must_use]
    pub fn request(&self, place: usize) -> Option<&Request> {
        self.pushes.get(place)?.request.as_ref().ok()
    }

    /// The headers that all its pushes share; none if nothing is sent.
    #[must_use]
    pub fn headers(&self) -> Option<Arc<Headers>> {
        self.pushes
            .iter()
            .find_map(|push| push.request.as_ref().ok())
            .map(|request| Arc::clone(&request.headers))
    }
}

fn read_devices(
    devices: &[Value],
    notification: Option<&Notification>,
    seed: [u8; 16],
    skip: bool,
    faults: &mut Faults,
) -> Vec<Push> {
    let root = Pointer::Root;
    let at = root.key("devices");
    let mut reader = Reader {
        notification,
        body: None,
        faults,
    };
    let mut pushes = Vec::with_capacity(devices.len());
    for (index, device) in devices.iter().enumerate() {
        let apns_id = ApnsId::derive(seed, u32::try_from(index).unwrap_or(u32::MAX));
        let mut own = Faults::default();
        let push = reader.read(device, apns_id, &at.index(index), &mut own);
        match (own.listed().first(), skip) {
            (None, _) => pushes.extend(push),
            (Some(fault), true) => pushes.push(skipped(device, fault.clone())),
            (Some(_), false) => reader.faults.append(&own),
        }
    }
    pushes
}

/// Reads one device after another.
struct Reader<'n> {
    /// None if it has faults; then the devices are read for their own faults alone.
    notification: Option<&'n Notification>,
    /// The body that most pushes share, made when the first one needs it.
    body: Option<Option<Body>>,
    /// The faults of the order as a whole.
    faults: &'n mut Faults,
}

impl Reader<'_> {
    fn read(
        &mut self,
        device: &Value,
        derived: ApnsId,
        at: &Pointer<'_>,
        faults: &mut Faults,
    ) -> Option<Push> {
        let map = fault::object(device, at, DEVICE_FIELDS, faults)?;
        let reference = map
            .get("ref")
            .and_then(|value| read_ref(value, &at.key("ref"), faults));
        let token = read_token(map.get("token"), &at.key("token"), faults);
        let own_id = map
            .get("apns_id")
            .and_then(|value| read_apns_id(value, &at.key("apns_id"), faults));
        let notification = self.notification?;
        let body = match map.get("payload") {
            None => self.shared_body(notification),
            Some(patch) => notification.merged_body(patch, &at.key("payload"), faults),
        };
        let (token, body) = (token?, body?);
        Some(Push {
            reference,
            token_hint: token.hint(),
            warnings: body.warnings,
            request: Ok(Request {
                device_token: token,
                apns_id: own_id.or(notification.apns_id).unwrap_or(derived),
                headers: notification.headers.clone(),
                body: body.bytes,
            }),
        })
    }

    /// A fault of this body is the order's and not a device's: there would be nothing to send to anyone.
    fn shared_body(&mut self, notification: &Notification) -> Option<Body> {
        let faults = &mut *self.faults;
        let body = self.body.get_or_insert_with(|| {
            let root = Pointer::Root;
            let at = root.key("notification");
            notification.body(&at.key("payload"), faults)
        });
        body.clone()
    }
}

fn read_token(value: Option<&Value>, at: &Pointer<'_>, faults: &mut Faults) -> Option<DeviceToken> {
    let Some(value) = value else {
        faults.add(at, FaultKind::Missing);
        return None;
    };
    DeviceToken::parse(fault::string(value, at, faults)?)
        .map_err(|error| faults.add(at, FaultKind::Invalid(error.to_string())))
        .ok()
}

fn read_apns_id(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<ApnsId> {
    ApnsId::parse(fault::string(value, at, faults)?)
        .map_err(|error| faults.add(at, FaultKind::Invalid(error.to_string())))
        .ok()
}

fn read_ref(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<String> {
    let text = fault::string(value, at, faults)?;
    if text.len() > MAX_REF {
        faults.add(
            at,
            FaultKind::TooLong {
                size: text.len(),
                limit: MAX_REF,
                unit: "bytes",
            },
        );
        return None;
    }
    Some(text.to_owned())
}

/// A device that `on_invalid: "skip"` leaves out, with what can be said of it.
fn skipped(device: &Value, fault: Fault) -> Push {
    let text = |field| device.get(field).and_then(Value::as_str);
    let token = text("token").and_then(|token| DeviceToken::parse(token).ok());
    Push {
        reference: text("ref")
            .filter(|text| text.len() <= MAX_REF)
            .map(str::to_owned),
        token_hint: token.map_or_else(|| "…".to_owned(), |token| token.hint()),
        request: Err(fault),
        warnings: Faults::default(),
    }
}

fn on_invalid(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> bool {
    let at = at.key("on_invalid");
    match fault::string(value, &at, faults) {
        Some("skip") => true,
        Some("reject") | None => false,
        Some(_) => {
            faults.add(&at, FaultKind::Invalid("must be `reject` or `skip`".to_owned()));
            false
        }
    }
}

/// Whether there are devices, and not too many to read them one by one.
fn is_count_allowed(
    count: usize,
    app: &App,
    notification: Option<&Notification>,
    faults: &mut Faults,
) -> bool {
    let limit = Limits::of(app.transport).devices;
    let root = Pointer::Root;
    let at = root.key("devices");
    if count > 1 && notification.is_some_and(|notification| notification.apns_id.is_some()) {
        let text = format!("is one push's id, but there are {count} devices: use `devices[].apns_id`");
        faults.add(
            &root.key("notification").key("apns_id"),
            FaultKind::Conflict(text),
        );
    }
    if count > limit {
        faults.add(
            &at,
            FaultKind::TooLong {
                size: count,
                limit,
                unit: "devices",
            },
        );
    }
    if count == 0 {
        faults.add(&at, FaultKind::Invalid("names no device".to_owned()));
    }
    (1..=limit).contains(&count)
}

/// The document, and behind a first line of JSON the devices' lines.
fn read_json(body: &[u8], format: Format) -> Result<(Value, Option<Vec<Value>>), Problem> {
    if !format.lines_in {
        return Ok((
            serde_json::from_slice(body).map_err(|error| not_json(&error))?,
            None,
        ));
    }
    let mut values = format::lines(body).map(|(number, line)| {
        serde_json::from_slice(line).map_err(|error| {
            // Each line is a document of its own, and the parser counts from its start.
            Problem::new(
                Kind::NotJson,
                format!("line {number} of the body is not JSON: {error}"),
            )
        })
    });
    let head = values.next().unwrap_or(Ok(Value::Null))?;
    Ok((head, Some(values.collect::<Result<_, _>>()?)))
}

/// What an order may say.
const FIELDS: &[&str] = &["app", "notification", "devices", "on_invalid"];

/// What the first line of an order in lines may say.
const HEAD_FIELDS: &[&str] = &["app", "notification", "on_invalid"];

/// What a device may say.
const DEVICE_FIELDS: &[&str] = &["token", "ref", "payload", "apns_id"];

/// The longest `ref` in bytes: a UUID or a database key with a prefix, several times over.
pub const MAX_REF: usize = 256;

#[cfg(test)]
mod tests;
