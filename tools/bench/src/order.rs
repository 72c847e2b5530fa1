//! What all senders are asked to send: the body of `POST /v1/push`, some hundred bytes of payload for each device.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

/// The app's name at the Worker.
pub(crate) const APP: &str = "bench";

/// How many devices there are; orders that name more begin again with the first.
pub(crate) const DEVICES: u64 = 100_000;

/// One order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The JSON document.
    pub(crate) body: Bytes,
    /// How many devices it names.
    pub(crate) devices: u64,
}

/// Orders that together name the devices of a range of numbers, made when they are needed.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    left: Range<u64>,
    devices_each: u64,
}

impl Orders {
    /// Orders for so many pushes, with so many devices each.
    pub(crate) fn new(pushes: u64, devices_each: u64) -> Self {
        Self {
            left: 0..pushes,
            devices_each: devices_each.max(1),
        }
    }

    /// How many pushes are left.
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

/// A device as orders name it: a token with this number, and a reference.
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

/// What every device gets.
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
