//! One device of a send request: the token, and its own payload and apns-id if it has any.
//!
//! There are two readers. The fast reader builds no JSON tree, accepts only devices without faults, and gives
//! up on the first thing that it does not know. The full reader accepts any JSON and reports every fault.
//! Whatever both accept, they read alike. The reader also collects the warnings: those of the shared payload
//! once, and those of a device's own payload.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Push;
use crate::ndjson;
use apns::fault::{self, FaultKind, Faults, Pointer, Unique, WarningSummary, Warnings};
use apns::payload::Payload;
use apns::request::Headers;
use apns::{ApnsId, DeviceToken, Notification, Request};

/// A device without faults, and its push.
#[derive(Debug)]
pub(crate) struct Device<'b> {
    /// The device token.
    pub(crate) token: DeviceToken,
    reference: Option<Cow<'b, str>>,
    /// The caller's own apns-id.
    apns_id: Option<ApnsId>,
    headers: Arc<Headers>,
    body: Body,
}

/// The payload of a device.
#[derive(Clone, Debug)]
struct Body {
    bytes: Bytes,
    warnings: Option<Arc<Warnings>>,
}

impl Device<'_> {
    /// Returns the device token and the payload as it is sent to APNs.
    pub(crate) fn into_parts(self) -> (DeviceToken, Bytes) {
        (self.token, self.body.bytes)
    }

    /// Returns the push. It has the id `derived` unless the caller chose one.
    pub(super) fn into_push(self, derived: ApnsId) -> Push {
        Push {
            reference: self.reference.map(Cow::into_owned),
            token_hint: self.token.hint(),
            warnings: self.body.warnings,
            request: Ok(Request {
                device_token: self.token,
                apns_id: self.apns_id.unwrap_or(derived),
                headers: self.headers,
                body: self.body.bytes,
            }),
        }
    }
}

/// Reads the devices of a request.
pub(crate) struct DeviceReader {
    /// `None` if the notification has faults. Devices are then read only for their own faults.
    notification: Option<Notification>,
    /// Whether warnings are faults.
    is_strict: bool,
    /// The shared body, created for the first device that uses it.
    shared: Option<Option<Body>>,
    /// Whether a device had its own payload.
    has_own_payload: bool,
    /// The warnings of the shared payload, found when the first device has warnings in its own.
    base: Option<Warnings>,
    faults: Faults,
    warnings: WarningSummary,
}

impl DeviceReader {
    /// Creates a reader for devices that receive `notification`. In a strict request, warnings are faults.
    pub(crate) fn new(notification: Option<Notification>, is_strict: bool) -> Self {
        let mut warnings = WarningSummary::default();
        if let Some(notification) = &notification {
            warnings.add_shared(&notification.warnings);
        }
        Self {
            notification,
            is_strict,
            shared: None,
            has_own_payload: false,
            base: None,
            faults: Faults::default(),
            warnings,
        }
    }

    /// Returns the warnings of everything that was read.
    pub(crate) fn into_warnings(self) -> WarningSummary {
        self.warnings
    }

    /// Returns the faults of the payload for devices without their own. They are faults of the request and
    /// not of a device, because nothing could be sent to any of those devices.
    pub(crate) const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether a device had its own payload.
    pub(crate) const fn has_own_payload(&self) -> bool {
        self.has_own_payload
    }

    /// Reads the device in line `line` with the fast reader. Returns `None` if it has a fault.
    pub(crate) fn read_fast<'b>(&mut self, device: FastDevice<'b>, line: u32) -> Option<Device<'b>> {
        let token = DeviceToken::parse(&device.token.0).ok()?;
        let apns_id = device.apns_id.map(|id| ApnsId::parse(&id.0)).transpose().ok()?;
        let reference = device.reference.map(|reference| reference.0);
        if reference.as_deref().is_some_and(|text| text.len() > MAX_REF) {
            return None;
        }
        let body = match &device.payload {
            None => self.shared_body()?,
            Some(patch) => {
                self.has_own_payload = true;
                let mut faults = Faults::default();
                let payload = self.own_payload(&patch.0, &Pointer::Root, &mut faults)?;
                if !faults.is_empty() {
                    return None;
                }
                self.own_body(&payload, line)
            }
        };
        self.device(token, reference, apns_id, body)
    }

    /// Reads the device in line `line` with the full reader. Adds all of its faults to `faults`. The device
    /// is found at `at`.
    pub(crate) fn read<'v>(
        &mut self,
        device: &'v Value,
        line: u32,
        at: &Pointer<'_>,
        faults: &mut Faults,
    ) -> Option<Device<'v>> {
        if device.is_string() {
            let token = read_token(Some(device), at, faults)?;
            let body = self.shared_body()?;
            return self.device(token, None, None, body);
        }
        if !device.is_object() {
            fault::wrong_type(DEVICE, device, at, faults);
            return None;
        }
        let before = faults.len();
        let map = fault::object(device, at, FIELDS, faults)?;
        let reference = map
            .get("ref")
            .and_then(|value| read_ref(value, &at.key("ref"), faults));
        let token = read_token(map.get("token"), &at.key("token"), faults);
        let apns_id = map
            .get("apns_id")
            .and_then(|value| read_apns_id(value, &at.key("apns_id"), faults));
        let body = match map.get("payload") {
            None => self.shared_body(),
            Some(patch) => {
                self.has_own_payload = true;
                let payload = self.own_payload(patch, &at.key("payload"), faults);
                // Nothing is sent to a device with faults.
                let payload = payload.filter(|_| faults.len() == before && token.is_some());
                payload.map(|payload| self.own_body(&payload, line))
            }
        };
        self.device(token?, reference, apns_id, body?)
    }

    fn device<'b>(
        &self,
        token: DeviceToken,
        reference: Option<Cow<'b, str>>,
        apns_id: Option<ApnsId>,
        body: Body,
    ) -> Option<Device<'b>> {
        let notification = self.notification.as_ref()?;
        Some(Device {
            token,
            reference,
            apns_id: apns_id.or(notification.apns_id),
            headers: Arc::clone(&notification.headers),
            body,
        })
    }

    fn shared_body(&mut self) -> Option<Body> {
        if self.shared.is_none() {
            self.shared = Some(self.read_shared());
        }
        self.shared.clone().flatten()
    }

    fn read_shared(&mut self) -> Option<Body> {
        let notification = self.notification.as_ref()?;
        let root = Pointer::Root;
        let at = root.key("notification");
        let at = at.key("payload");
        let payload = notification.payload(&at, &mut self.faults)?;
        let warnings = notification.payload_warnings(&payload, &at);
        if self.is_strict {
            warnings.add_to(&mut self.faults);
        }
        self.warnings.add_shared(&warnings);
        Some(Body {
            bytes: payload.to_bytes(),
            warnings: (!warnings.is_empty()).then(|| Arc::new(warnings)),
        })
    }

    /// Returns the payload of a device with its own `patch`. In a strict request its warnings are faults.
    fn own_payload(&self, patch: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Payload> {
        let notification = self.notification.as_ref()?;
        let payload = notification.merged_payload(patch, at, faults)?;
        if self.is_strict {
            notification.payload_warnings(&payload, at).add_to(faults);
        }
        Some(payload)
    }

    /// Returns the body of the device in line `line`. A warning that the shared payload has as well is
    /// counted as one of the notification.
    fn own_body(&mut self, payload: &Payload, line: u32) -> Body {
        let bytes = payload.to_bytes();
        let found = self.notification.as_ref();
        let found = found.map(|notification| notification.payload_warnings(payload, &Pointer::Root));
        let Some(found) = found.filter(|found| !found.is_empty()) else {
            return Body {
                bytes,
                warnings: None,
            };
        };
        let base = self.base.get_or_insert_with(|| {
            let notification = self.notification.as_ref();
            notification.map_or_else(Warnings::default, Notification::base_warnings)
        });
        let (shared, own) = found.split(|warning| base.listed().iter().any(|known| known.is_like(warning)));
        let (shared, own) = (shared.below(SHARED_PAYLOAD), own.below(OWN_PAYLOAD));
        self.warnings.add_shared(&shared);
        self.warnings.add_line(line, &own);
        let mut warnings = shared;
        warnings.append(&own);
        Body {
            bytes,
            warnings: Some(Arc::new(warnings)),
        }
    }
}

/// Returns the `ref` and the token's hint of a device that `on_invalid: "skip"` leaves out.
pub(super) fn identity(device: &Value) -> (Option<String>, String) {
    let token = device.get("token").and_then(Value::as_str).or(device.as_str());
    let token = token.and_then(|token| DeviceToken::parse(token).ok());
    let reference = device.get("ref");
    let reference = reference.and_then(|value| read_ref(value, &Pointer::Root, &mut Faults::default()));
    (
        reference.map(Cow::into_owned),
        token.map_or_else(|| "…".to_owned(), |token| token.hint()),
    )
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

fn read_ref<'v>(value: &'v Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Cow<'v, str>> {
    let text = fault::identifier(value, at, faults)?;
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
    Some(text)
}

/// A device as it is written. Only what is kept is copied.
pub(crate) struct FastDevice<'b> {
    token: Text<'b>,
    reference: Option<Text<'b>>,
    payload: Option<Unique<true>>,
    apns_id: Option<Text<'b>>,
}

impl<'b> FastDevice<'b> {
    /// Parses the device of a line: an object, or a token with or without quotes.
    pub(crate) fn of_line(line: &'b [u8]) -> Option<Self> {
        match ndjson::bare_token(line) {
            Some(token) => Some(Self::of_token(Cow::Borrowed(token))),
            None => serde_json::from_slice(line).ok(),
        }
    }

    const fn of_token(token: Cow<'b, str>) -> Self {
        Self {
            token: Text(token),
            reference: None,
            payload: None,
            apns_id: None,
        }
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for FastDevice<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FastVisitor)
    }
}

struct FastVisitor;

impl<'de> Visitor<'de> for FastVisitor {
    type Value = FastDevice<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a device")
    }

    fn visit_borrowed_str<E>(self, token: &'de str) -> Result<Self::Value, E> {
        Ok(FastDevice::of_token(Cow::Borrowed(token)))
    }

    fn visit_str<E>(self, token: &str) -> Result<Self::Value, E> {
        Ok(FastDevice::of_token(Cow::Owned(token.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let members = FastMembers::deserialize(MapAccessDeserializer::new(members))?;
        Ok(FastDevice {
            token: members.token,
            reference: members.reference,
            payload: members.payload,
            apns_id: members.apns_id,
        })
    }
}

/// The members of a device. serde rejects duplicates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FastMembers<'b> {
    #[serde(borrow)]
    token: Text<'b>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<Text<'b>>,
    #[serde(default)]
    payload: Option<Unique<true>>,
    #[serde(borrow, default)]
    apns_id: Option<Text<'b>>,
}

/// A text that borrows from the body if it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

/// The pointer of the notification's payload in a request, and of a device's in its device.
const SHARED_PAYLOAD: &str = "/notification/payload";
pub(crate) const OWN_PAYLOAD: &str = "/payload";

/// The fields of a device.
const FIELDS: &[&str] = &["token", "ref", "payload", "apns_id"];

/// The form of a device, for error texts.
pub(crate) const DEVICE: &str = "an object with a `token`, or a token in quotes";

/// The longest `ref` in bytes: a UUID or a database key with a prefix, several times over.
pub const MAX_REF: usize = 256;
