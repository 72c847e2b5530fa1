//! Parses a send request: the body of `POST /v1/push` and of `POST /v1/preview`.
//!
//! All of it is parsed before anything is sent, with all its faults, so that a bad request is never sent in
//! part.

mod device;
mod fast_path;
mod head;
pub mod options;
mod repeats;

use std::sync::Arc;

use serde_json::Value;

pub use device::MAX_REF;
pub(super) use device::{DEVICE, DeviceReader, FastDevice, OWN_PAYLOAD};
pub(super) use head::{FIELDS, LINE_FIELDS, OrderHead};
pub use options::Options;

use super::auth;
use super::format::{self, Format, Limits, RequestProbe};
use super::ndjson;
use super::problem::{LineFaults, Problem};
use super::upload::head_and_devices;
use crate::config::{App, Caller, Config};
use apns::fault::{self, Fault, FaultKind, Faults, Pointer, WarningSummary, Warnings};
use apns::request::Headers;
use apns::time::Timestamp;
use apns::{ApnsId, Notification, Request};

/// A parsed send request.
#[derive(Debug)]
pub struct SendRequest<'c> {
    /// The app that sends.
    pub app: &'c App,
    /// The pushes, in the order of the request.
    pub pushes: Vec<Push>,
    /// The warnings about what is sent.
    pub warnings: WarningSummary,
}

/// One device of a send request.
#[derive(Debug, PartialEq, Eq)]
pub struct Push {
    /// The caller's own name for it.
    pub reference: Option<String>,
    /// The part of the device token that may be shown.
    pub token_hint: String,
    /// The request to APNs or, with `on_invalid: "skip"`, why nothing is sent.
    pub request: Result<Request, Unsent>,
    /// The warnings about its payload, if there are any. Pointers are in the request or in the device.
    pub warnings: Option<Arc<Warnings>>,
}

/// Why nothing is sent to a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// It has a fault, and `on_invalid` is `skip`.
    #[error("{0}")]
    Invalid(Fault),
    /// An earlier push has the same device and content.
    #[error("the same device and content as `/devices/{of}`")]
    Duplicate {
        /// The index of that push.
        of: usize,
    },
}

/// How a device that occurs more than once is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats<'b> {
    /// Each content is sent to it once.
    LeaveOut,
    /// Every push is sent: repeats were found earlier.
    Keep,
    /// Every push is sent with this collapse id. Each further push to the same device has its own, so that it
    /// does not replace the first.
    Separate(&'b str),
}

/// The seed of the apns-ids of a request's pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis<'b> {
    /// 16 random bytes.
    pub seed: [u8; 16],
    /// The number of the first push: 0, except in a batch that is sent in several requests.
    pub first: u32,
    /// How a device that occurs more than once is handled.
    pub repeats: Repeats<'b>,
}

impl Basis<'_> {
    /// Returns the apns-id of the push at `index`.
    fn id(self, index: usize) -> ApnsId {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        ApnsId::derive(self.seed, self.first.saturating_add(index))
    }
}

impl<'c> SendRequest<'c> {
    /// Parses a JSON body of `caller`. `seed` is 16 random bytes from which the apns-ids are derived.
    ///
    /// # Errors
    /// 400 if it is not JSON, 403 if the caller has no access to the app, 422 with all faults of its fields.
    pub fn parse(
        body: &[u8],
        caller: &Caller,
        config: &'c Config,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let head = RequestProbe::read(body, Format::JSON)?;
        let app = auth::choose_app(head.app.as_deref(), caller, config)?;
        Self::parse_for(app, body, Format::JSON, seed, now)
    }

    /// Parses a body for an app to which its caller has access.
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
        let basis = Basis {
            seed,
            first: 0,
            repeats: Repeats::LeaveOut,
        };
        Self::read(app, body, format, basis, now)
    }

    /// Parses a chunk of a durable batch: the batch's header in the first line, and staged devices.
    ///
    /// `now` is the moment of the upload, so that relative times mean the same whenever the chunk is sent.
    ///
    /// # Errors
    /// As [`SendRequest::parse_for`]. Staged devices have none.
    pub fn parse_chunk(
        app: &'c App,
        head_and_lines: &[u8],
        basis: Basis<'_>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let lines = Format {
            lines_in: true,
            lines_out: false,
        };
        Self::read(app, head_and_lines, lines, basis, now)
    }

    fn read(
        app: &'c App,
        body: &[u8],
        format: Format,
        basis: Basis<'_>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let mut send_request = match fast_path::read(app, body, format, basis, now) {
            Some(send_request) => send_request,
            None => Self::read_full(app, body, format, basis, now)?,
        };
        match basis.repeats {
            Repeats::LeaveOut => repeats::leave_out(&mut send_request.pushes),
            Repeats::Keep => {}
            Repeats::Separate(id) => repeats::separate(&mut send_request.pushes, id),
        }
        Ok(send_request)
    }

    /// Parses any body, with the faults of all its fields.
    fn read_full(
        app: &'c App,
        body: &[u8],
        format: Format,
        basis: Basis<'_>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        if format.lines_in {
            return Self::read_lines(app, body, basis, now);
        }
        let (document, texts) = match format::document(body) {
            Ok(document) => (document, None),
            // A device that cannot be parsed does not prevent the others from being parsed.
            Err(problem) => match head_and_devices(body) {
                Ok((document, texts)) => (document, Some(texts)),
                Err(_) => return Err(problem),
            },
        };
        let mut faults = Faults::default();
        let Some(head) = OrderHead::read(&document, FIELDS, app, now, &mut faults) else {
            return Err(Problem::invalid(faults));
        };
        let (mut pushes, mut warnings) = Default::default();
        let values = match texts {
            Some(texts) => Some(read_texts(&texts)),
            None => read_list(document, &mut faults),
        };
        if let Some(values) = values
            && is_count_allowed(values.len(), app, head.notification.as_ref(), &mut faults)
        {
            let mut reader = Devices::new(head, basis);
            for (value, position) in values.iter().zip(1..) {
                for fault in reader.take(value.as_ref(), position) {
                    faults.push(fault);
                }
            }
            (pushes, warnings) = reader.finish(&mut faults);
        }
        let send_request = Self {
            app,
            pushes,
            warnings,
        };
        faults.or(send_request).map_err(Problem::invalid)
    }

    fn read_lines(app: &'c App, body: &[u8], basis: Basis<'_>, now: Timestamp) -> Result<Self, Problem> {
        let mut texts = ndjson::whole(body);
        let head = match texts.next() {
            Some((number, text)) => {
                fault::json(text, &Pointer::Root).map_err(|faults| format::head_problem(number, faults))?
            }
            None => Value::Null,
        };
        let (mut faults, mut line_faults) = (Faults::default(), LineFaults::default());
        let Some(head) = OrderHead::read(&head, LINE_FIELDS, app, now, &mut faults) else {
            return Err(Problem::invalid(faults));
        };
        let texts: Vec<(u32, &[u8])> = texts.collect();
        let (mut pushes, mut warnings) = Default::default();
        if is_count_allowed(texts.len(), app, head.notification.as_ref(), &mut faults) {
            let mut reader = Devices::new(head, basis);
            for (number, text) in texts {
                let root = Pointer::Root;
                let devices = root.key("devices");
                let value = ndjson::value(text, &devices.index(reader.count));
                for fault in reader.take(value.as_ref(), number) {
                    line_faults.push(number, fault);
                }
            }
            (pushes, warnings) = reader.finish(&mut faults);
        }
        if faults.is_empty() && line_faults.is_empty() {
            return Ok(Self {
                app,
                pushes,
                warnings,
            });
        }
        Err(Problem::invalid_lines(faults, line_faults))
    }
}

impl SendRequest<'_> {
    /// Returns the indices of the devices to which something is sent.
    pub fn sendable(&self) -> impl Iterator<Item = usize> {
        self.pushes
            .iter()
            .enumerate()
            .filter(|(_, push)| push.request.is_ok())
            .map(|(place, _)| place)
    }

    /// Returns the request to the device at this index.
    #[must_use]
    pub fn request(&self, place: usize) -> Option<&Request> {
        self.pushes.get(place)?.request.as_ref().ok()
    }

    /// Whether each push has a single attempt.
    #[must_use]
    pub fn is_one_attempt(&self) -> bool {
        self.headers().is_some_and(|headers| headers.is_one_attempt())
    }

    /// Returns the headers that all pushes share, or `None` if nothing is sent.
    #[must_use]
    pub fn headers(&self) -> Option<Arc<Headers>> {
        self.pushes
            .iter()
            .find_map(|push| push.request.as_ref().ok())
            .map(|request| Arc::clone(&request.headers))
    }
}

/// Returns the devices of a document.
fn read_list(mut document: Value, faults: &mut Faults) -> Option<Vec<Result<Value, Faults>>> {
    let root = Pointer::Root;
    let at = root.key("devices");
    match document.get_mut("devices").map(Value::take) {
        Some(Value::Array(devices)) => return Some(devices.into_iter().map(Ok).collect()),
        Some(value) => fault::wrong_type("an array", &value, &at, faults),
        None => faults.add(&at, FaultKind::Missing),
    }
    None
}

/// Parses the devices of a document one by one, because not all can be parsed.
fn read_texts(texts: &[&str]) -> Vec<Result<Value, Faults>> {
    let root = Pointer::Root;
    let devices = root.key("devices");
    let texts = texts.iter().enumerate();
    texts
        .map(|(index, text)| fault::json(text.as_bytes(), &devices.index(index)))
        .collect()
}

/// Reads the devices of a send request.
struct Devices<'b> {
    reader: DeviceReader,
    basis: Basis<'b>,
    /// Whether devices with faults are left out, or reject the request.
    skip: bool,
    /// The number of devices.
    count: usize,
    pushes: Vec<Push>,
}

impl<'b> Devices<'b> {
    fn new(head: OrderHead, basis: Basis<'b>) -> Self {
        Self {
            reader: DeviceReader::new(head.notification, head.is_strict),
            basis,
            skip: head.skip,
            count: 0,
            pushes: Vec::new(),
        }
    }

    /// Reads the next device, which is in line `line`. Returns its faults if they reject the request.
    fn take(&mut self, device: Result<&Value, &Faults>, line: u32) -> Vec<Fault> {
        let (root, index) = (Pointer::Root, self.count);
        self.count += 1;
        let devices = root.key("devices");
        let (mut own, mut read) = (Faults::default(), None);
        match device {
            Ok(value) => read = self.reader.read(value, line, &devices.index(index), &mut own),
            Err(faults) => own.append(faults),
        }
        match (own.listed().first(), self.skip) {
            (None, _) => self
                .pushes
                .extend(read.map(|device| device.into_push(self.basis.id(index)))),
            (Some(fault), true) => self.pushes.push(skipped(device.ok(), fault.clone())),
            (Some(_), false) => return own.listed().to_vec(),
        }
        Vec::new()
    }

    /// Returns the pushes and their warnings. Adds the faults of the shared payload to `faults`.
    fn finish(self, faults: &mut Faults) -> (Vec<Push>, WarningSummary) {
        faults.append(self.reader.faults());
        (self.pushes, self.reader.into_warnings())
    }
}

/// Describes a device that `on_invalid: "skip"` leaves out.
fn skipped(device: Option<&Value>, fault: Fault) -> Push {
    let (reference, token_hint) = device::identity(device.unwrap_or(&Value::Null));
    Push {
        reference,
        token_hint,
        request: Err(Unsent::Invalid(fault)),
        warnings: None,
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

#[cfg(test)]
mod tests;
