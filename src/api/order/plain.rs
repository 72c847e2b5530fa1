//! The quick way to read an order: one pass, no JSON tree, nothing copied that is not kept.
//!
//! It takes orders without faults and without anything unusual, and gives up on the first thing that it does not know;
//! then the careful reader reads the body again and finds out what is wrong. What both take, they read alike.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{MAX_REF, Order, Push};
use crate::api::format::{self, Format, Limits};
use crate::apns::notification::Body;
use crate::apns::{ApnsId, DeviceToken, Notification, Request};
use crate::config::App;
use crate::fault::{Faults, Pointer};
use crate::time::Timestamp;

/// Reads an order, or nothing if the careful reader must.
pub(super) fn read<'c>(
    app: &'c App,
    body: &[u8],
    format: Format,
    seed: [u8; 16],
    now: Timestamp,
) -> Option<Order<'c>> {
    let (notification, devices) = if format.lines_in {
        let mut lines = format::lines(body).map(|(_, line)| line);
        let head: PlainHead<'_> = serde_json::from_slice(lines.next()?).ok()?;
        let devices = lines
            .map(serde_json::from_slice)
            .collect::<Result<Vec<PlainDevice<'_>>, _>>()
            .ok()?;
        (head.notification, devices)
    } else {
        let order: PlainOrder<'_> = serde_json::from_slice(body).ok()?;
        (order.notification, order.devices)
    };
    let mut faults = Faults::default();
    let at = Pointer::Root;
    let notification = Notification::parse(&notification, &at, &app.bundle_id, now, &mut faults)?;
    let fits = (1..=Limits::of(app.transport).devices).contains(&devices.len());
    let one_id = notification.apns_id.is_none() || devices.len() == 1;
    if !fits || !one_id || !faults.is_empty() {
        return None;
    }
    let mut shared: Option<Body> = None;
    let mut pushes = Vec::with_capacity(devices.len());
    for (device, index) in devices.into_iter().zip(0_u32..) {
        let body = match &device.payload {
            Some(patch) => notification.merged_body(patch, &at, &mut faults)?,
            None => match &shared {
                Some(body) => body.clone(),
                None => shared.insert(notification.body(&at, &mut faults)?).clone(),
            },
        };
        // A warning names its place, which the careful reader knows.
        if !body.warnings.is_empty() {
            return None;
        }
        let own_id = device.apns_id.map(|id| ApnsId::parse(&id.0)).transpose().ok()?;
        let token = DeviceToken::parse(&device.token.0).ok()?;
        let reference = device.reference.map(|reference| reference.0.into_owned());
        if reference
            .as_ref()
            .is_some_and(|reference| reference.len() > MAX_REF)
        {
            return None;
        }
        pushes.push(Push {
            reference,
            token_hint: token.hint(),
            warnings: body.warnings,
            request: Ok(Request {
                device_token: token,
                apns_id: own_id
                    .or(notification.apns_id)
                    .unwrap_or_else(|| ApnsId::derive(seed, index)),
                headers: notification.headers.clone(),
                body: body.bytes,
            }),
        });
    }
    Some(Order { app, pushes })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainOrder<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Value,
    #[serde(borrow)]
    devices: Vec<PlainDevice<'b>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainHead<'b> {
    #[serde(borrow, default, rename = "app")]
    _app: Option<Text<'b>>,
    notification: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainDevice<'b> {
    #[serde(borrow)]
    token: Text<'b>,
    #[serde(borrow, default, rename = "ref", deserialize_with = "present")]
    reference: Option<Text<'b>>,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Value>,
    #[serde(borrow, default, deserialize_with = "present")]
    apns_id: Option<Text<'b>>,
}

/// Text that is borrowed from the body where it has no escapes.
#[derive(Deserialize)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

/// A field that is there may not be null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
