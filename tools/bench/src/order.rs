//! The requests to all senders: the body of `POST /v1/push`, with some hundred bytes of payload per device.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

/// The app's name at the Worker.
pub(crate) const APP: &str = "bench";

/// The number of devices. Requests for more begin again with the first.
pub(crate) const DEVICES: u64 = 100_000;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The JSON document.
    pub(crate) body: Bytes,
    /// The number of its devices.
    pub(crate) devices: u64,
}

/// The requests for a range of numbered devices, generated when they are needed.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    left: Range<u64>,
    devices_each: u64,
}

impl Orders {
    /// Creates requests for this number of pushes, with this number of devices each.
    pub(crate) fn new(pushes: u64, devices_each: u64) -> Self {
        Self {
            left: 0..pushes,
            devices_each: devices_each.max(1),
        }
    }

    /// Returns the number of remaining pushes.
    pub(crate) fn pushes(&self) -> u64 {
        self.left.end - self.left.start
    }
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        if self.left.is_empty() {
            return None;
        }
        let end = self.left.end.min(self.left.start + self.devices_each);
        let devices = self.left.start..end;
        self.left.start = end;
        Some(order(devices))
    }
}

/// Writes a device: the token with this number, and a ref.
pub(crate) fn device(text: &mut String, number: u64, reference: u64) {
    // Writing to a string cannot fail.
    let _ = write!(text, r#"{{"token":"{number:064x}","ref":"user-{reference}"}}"#);
}

fn order(devices: Range<u64>) -> Order {
    let count = devices.end - devices.start;
    let mut body = format!(r#"{{"app":"{APP}","notification":{},"devices":["#, notification());
    for number in devices {
        if !body.ends_with('[') {
            body.push(',');
        }
        device(&mut body, number % DEVICES, number);
    }
    body.push_str("]}");
    Order {
        body: body.into(),
        devices: count,
    }
}

/// Returns the notification.
pub(crate) fn notification() -> Value {
    json!({
        "payload": { "aps": {
            "alert": {
                "title": "Your parcel is on its way",
                "body": "It should arrive today between 14:00 and 16:00.",
            },
            "badge": 1,
            "sound": "default",
        } },
        "push_type": "alert",
        "priority": 10,
    })
}

#[cfg(test)]
mod tests {
    use super::{DEVICES, Orders};
    use serde_json::Value;

    #[test]
    fn orders_name_each_device_once_and_say_how_many() {
        let mut tokens = Vec::new();
        for order in Orders::new(25, 10) {
            let body: Value = serde_json::from_slice(&order.body).unwrap();
            let devices = body["devices"].as_array().unwrap();
            assert_eq!(u64::try_from(devices.len()).unwrap(), order.devices);
            tokens.extend(
                devices
                    .iter()
                    .map(|device| device["token"].as_str().unwrap().to_owned()),
            );
        }
        let expected: Vec<_> = (0..25).map(|number| format!("{number:064x}")).collect();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn more_pushes_than_devices_begin_again_with_the_first() {
        let last = Orders::new(DEVICES + 1, DEVICES).last().unwrap();
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(body["devices"][0]["token"], format!("{:064x}", 0));
    }
}
