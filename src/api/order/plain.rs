//! The quick way to read an order: one pass, no JSON tree, nothing copied that is not kept.
//!
//! It takes orders without faults and without anything unusual, and gives up on the first thing that it does not know;
//! then the careful reader reads the body again and finds out what is wrong. What both take, they read alike.

use serde::Deserialize;

use super::device::{DeviceReader, PlainDevice, Text};
use super::{Basis, Order};
use crate::api::format::{Format, Limits};
use crate::api::lines;
use crate::apns::Notification;
use crate::config::App;
use crate::fault::{self, Faults, Pointer, Unique};
use crate::time::Timestamp;

/// Reads an order, or nothing if the careful reader must.
pub(super) fn read<'c>(
    app: &'c App,
    body: &[u8],
    format: Format,
    basis: Basis,
    now: Timestamp,
) -> Option<Order<'c>> {
    let (notification, devices) = if format.lines_in {
        let mut lines = lines::whole(body).map(|(_, line)| line);
        let head: PlainHead<'_> = serde_json::from_slice(lines.next()?).ok()?;
        let devices = lines
            .map(PlainDevice::of_line)
            .collect::<Option<Vec<PlainDevice<'_>>>>()?;
        (head.notification, devices)
    } else {
        let order: PlainOrder<'_> = serde_json::from_slice(fault::without_mark(body)).ok()?;
        (order.notification, order.devices)
    };
    let mut faults = Faults::default();
    let at = Pointer::Root;
    let notification = Notification::parse(&notification.0, &at, &app.bundle_id, now, &mut faults)?;
    let fits = (1..=Limits::of(app.transport).devices).contains(&devices.len());
    let one_id = notification.apns_id.is_none() || devices.len() == 1;
    if !fits || !one_id || !faults.is_empty() {
        return None;
    }
    let mut reader = DeviceReader::new(Some(notification));
    let mut pushes = Vec::with_capacity(devices.len());
    for (index, device) in devices.into_iter().enumerate() {
        let device = reader.read_plain(device)?;
        // A warning names its place, which the careful reader knows.
        if !device.body.warnings.is_empty() {
            return None;
        }
        pushes.push(device.into_push(basis.id(index)));
    }
    Some(Order { app, pushes })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainOrder<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Unique<false>,
    #[serde(borrow)]
    devices: Vec<PlainDevice<'b>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainHead<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Unique<false>,
}
