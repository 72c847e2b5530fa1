//! The fast reader of a send request: one pass, no JSON tree, and only what is kept is copied.
//!
//! It accepts requests without faults and without anything unusual, and gives up on the first thing that it
//! does not know. The full reader then reads the body again and reports the faults. Whatever both accept,
//! they read alike.

use serde::Deserialize;

use super::device::{DeviceReader, FastDevice, Text};
use super::{Basis, SendRequest};
use crate::config::App;
use crate::format::{Format, Limits};
use crate::ndjson;
use apns::Notification;
use apns::fault::{self, Faults, Pointer, Unique};
use apns::time::Timestamp;

/// Parses a request. Returns `None` if the full reader is needed.
pub(super) fn read<'c>(
    app: &'c App,
    body: &[u8],
    format: Format,
    basis: Basis<'_>,
    now: Timestamp,
) -> Option<SendRequest<'c>> {
    let (notification, is_strict, devices) = if format.lines_in {
        let mut lines = ndjson::whole(body);
        let (_, head) = lines.next()?;
        let head: FastHead<'_> = serde_json::from_slice(head).ok()?;
        let devices = lines
            .map(|(number, line)| Some((number, FastDevice::of_line(line)?)))
            .collect::<Option<Vec<(u32, FastDevice<'_>)>>>()?;
        (head.notification, head.strict, devices)
    } else {
        let send_request: FastRequest<'_> = serde_json::from_slice(fault::without_mark(body)).ok()?;
        let devices = (1..).zip(send_request.devices).collect();
        (send_request.notification, send_request.strict, devices)
    };
    let is_strict = is_strict.unwrap_or_default();
    let mut faults = Faults::default();
    let root = Pointer::Root;
    let at = root.key("notification");
    let notification = Notification::parse(&notification.0, &at, &app.bundle_id, now, &mut faults)?;
    let fits = (1..=Limits::of(app.transport).devices).contains(&devices.len());
    let one_id = notification.apns_id.is_none() || devices.len() == 1;
    let refused = is_strict && !notification.warnings.is_empty();
    if !fits || !one_id || refused || !faults.is_empty() {
        return None;
    }
    let mut reader = DeviceReader::new(Some(notification), is_strict);
    let mut pushes = Vec::with_capacity(devices.len());
    for (index, (line, device)) in devices.into_iter().enumerate() {
        pushes.push(reader.read_fast(device, line)?.into_push(basis.id(index)));
    }
    if !reader.faults().is_empty() {
        return None;
    }
    Some(SendRequest {
        app,
        pushes,
        warnings: reader.into_warnings(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FastRequest<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Unique<false>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow)]
    devices: Vec<FastDevice<'b>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FastHead<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Unique<false>,
    #[serde(default)]
    strict: Option<bool>,
}
