//! What a caller orders: the body of `POST /v1/push` and of `POST /v1/preview`.
//!
//! Parsed as a whole before anything is sent, with all its faults, so that a bad request does nothing by halves.

use serde_json::Value;

use super::auth;
use super::problem::{Kind, Problem};
use crate::apns::notification::Body;
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
#[derive(Debug)]
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
    /// Parses a body. `seed` is 16 random bytes that its apns-ids are derived from.
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
        let document: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
        let mut faults = Faults::default();
        let at = Pointer::Root;
        let Some(map) = fault::object(&document, &at, FIELDS, &mut faults) else {
            return Err(Problem::invalid(faults));
        };
        let name = map
            .get("app")
            .and_then(|value| fault::string(value, &at.key("app"), &mut faults));
        let app = auth::choose_app(name, caller, config)?;
        let skip = map
            .get("on_invalid")
            .is_some_and(|value| on_invalid(value, &at, &mut faults));
        let notification = map.get("notification").and_then(|value| {
            Notification::parse(value, &at.key("notification"), &app.bundle_id, now, &mut faults)
        });
        let devices = map
            .get("devices")
            .and_then(|value| fault::array(value, &at.key("devices"), &mut faults))
            .unwrap_or_default();
        for field in ["notification", "devices"] {
            if !map.contains_key(field) {
                faults.add(&at.key(field), FaultKind::Missing);
            }
        }
        check_count(
            devices.len(),
            notification.as_ref(),
            map.contains_key("devices"),
            &mut faults,
        );
        if faults.is_empty()
            && let Some(notification) = &notification
        {
            let pushes = read_devices(devices, notification, seed, skip, &mut faults);
            return faults.or(Self { app, pushes }).map_err(Problem::invalid);
        }
        Err(Problem::invalid(faults))
    }
}

fn read_devices(
    devices: &[Value],
    notification: &Notification,
    seed: [u8; 16],
    skip: bool,
    faults: &mut Faults,
) -> Vec<Push> {
    let root = Pointer::Root;
    let at = root.key("devices");
    let mut shared = Shared {
        notification,
        body: None,
    };
    let mut pushes = Vec::with_capacity(devices.len());
    for (index, device) in devices.iter().enumerate() {
        let apns_id = ApnsId::derive(seed, u32::try_from(index).unwrap_or(u32::MAX));
        let mut own = Faults::default();
        let push = read_device(device, &mut shared, apns_id, &at.index(index), &mut own);
        match (own.listed().first(), skip) {
            (None, _) => pushes.extend(push),
            (Some(fault), true) => pushes.push(skipped(device, fault.clone())),
            (Some(_), false) => own.listed().iter().for_each(|fault| faults.push(fault.clone())),
        }
    }
    pushes
}

/// The notification with the body that most of its pushes share, made when the first one needs it.
struct Shared<'n> {
    notification: &'n Notification,
    body: Option<Result<Body, Faults>>,
}

impl Shared<'_> {
    fn body(&mut self, faults: &mut Faults) -> Option<Body> {
        let notification = self.notification;
        let made = self.body.get_or_insert_with(|| {
            let mut own = Faults::default();
            let root = Pointer::Root;
            let at = root.key("notification");
            notification.body(&at.key("payload"), &mut own).ok_or(own)
        });
        match made {
            Ok(body) => Some(body.clone()),
            Err(own) => {
                own.listed().iter().for_each(|fault| faults.push(fault.clone()));
                None
            }
        }
    }
}

fn read_device(
    device: &Value,
    shared: &mut Shared<'_>,
    derived: ApnsId,
    at: &Pointer<'_>,
    faults: &mut Faults,
) -> Option<Push> {
    let map = fault::object(device, at, DEVICE_FIELDS, faults)?;
    let reference = map
        .get("ref")
        .and_then(|value| read_ref(value, &at.key("ref"), faults));
    let token = match map.get("token") {
        None => {
            faults.add(&at.key("token"), FaultKind::Missing);
            None
        }
        Some(value) => fault::string(value, &at.key("token"), faults).and_then(|text| {
            DeviceToken::parse(text)
                .map_err(|error| faults.add(&at.key("token"), FaultKind::Invalid(error.to_string())))
                .ok()
        }),
    };
    let apns_id = match map.get("apns_id") {
        None => shared.notification.apns_id.unwrap_or(derived),
        Some(value) => {
            let at = at.key("apns_id");
            let text = fault::string(value, &at, faults)?;
            ApnsId::parse(text)
                .map_err(|error| faults.add(&at, FaultKind::Invalid(error.to_string())))
                .ok()?
        }
    };
    let body = match map.get("payload") {
        None => shared.body(faults),
        Some(patch) => shared.notification.merged_body(patch, &at.key("payload"), faults),
    };
    let (token, body) = (token?, body?);
    Some(Push {
        reference,
        token_hint: token.hint(),
        warnings: body.warnings,
        request: Ok(Request {
            device_token: token,
            apns_id,
            headers: shared.notification.headers.clone(),
            body: body.bytes,
        }),
    })
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

fn check_count(count: usize, notification: Option<&Notification>, given: bool, faults: &mut Faults) {
    let root = Pointer::Root;
    let at = root.key("devices");
    if count > MAX_DEVICES {
        faults.add(
            &at,
            FaultKind::TooLong {
                size: count,
                limit: MAX_DEVICES,
                unit: "devices",
            },
        );
    }
    if count == 0 && given {
        faults.add(&at, FaultKind::Invalid("names no device".to_owned()));
    }
    if count > 1 && notification.is_some_and(|notification| notification.apns_id.is_some()) {
        let text = format!("is one push's id, but there are {count} devices: use `devices[].apns_id`");
        faults.add(
            &root.key("notification").key("apns_id"),
            FaultKind::Conflict(text),
        );
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    // The parser's message names what it expected and where, and quotes nothing of the body.
    Problem::new(Kind::NotJson, error.to_string())
}

/// What an order may say.
const FIELDS: &[&str] = &["app", "notification", "devices", "on_invalid"];

/// What a device may say.
const DEVICE_FIELDS: &[&str] = &["token", "ref", "payload", "apns_id"];

/// The most devices of one request: what six requests in flight answer in some twenty seconds at APNs' usual speed.
pub const MAX_DEVICES: usize = 500;

/// The largest body in bytes: 500 devices, each with a payload of its own of the largest size and escaped, and room.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// The longest `ref` in bytes: a UUID or a database key with a prefix, several times over.
pub const MAX_REF: usize = 256;

#[cfg(test)]
mod tests;
