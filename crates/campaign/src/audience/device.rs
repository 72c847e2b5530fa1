//! One device of an audience, and its properties.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::locale;
use apns::DeviceToken;
use apns::fault;
use apns::time::Timestamp;

/// A device as it is sent to a shard and back. Its fields were checked when they were received.
///
/// It identifies a person's device, so its `Debug` shows only the token's hint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The device token, as [`DeviceToken::as_hex`] returns it.
    pub token: String,
    /// The caller's own name for the device. Several devices may have the same.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Language and region, as [`locale::canonical`] returns them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The time zone: an IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The attributes: texts, numbers and booleans by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When the app last registered the device. In a command: `None` if that is unknown. In a reply of a
    /// shard: when the device was added, if that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
}

/// A device with its id in the shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDevice {
    /// The id in the shard. A device that was removed and is added again gets a higher one.
    pub id: u64,
    /// The device.
    pub device: Device,
}

impl Device {
    /// Creates a device with a token and no other property.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self {
            token,
            reference: None,
            locale: None,
            time_zone: None,
            tags: Vec::new(),
            attributes: Map::new(),
            registered_at: None,
        }
    }

    /// The language: the part of the locale before the first `-`.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.locale.as_deref().map(locale::language)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", hint(&self.token))
    }
}

/// Returns the part of a token that may be shown.
pub(super) fn hint(token: &str) -> String {
    DeviceToken::parse(token).map_or_else(|_| "…".to_owned(), |token| token.hint())
}

/// Reads a moment from an RFC 3339 time or from epoch seconds. Returns `None` if it is neither, or after the
/// year 9999.
#[must_use]
pub fn moment(value: &Value) -> Option<Timestamp> {
    let of_number = |number: &Number| match number.as_u64() {
        Some(secs) => secs.checked_mul(1000),
        None => fraction(number.as_f64()?),
    };
    let millis = match value {
        Value::Number(number) => of_number(number)?,
        Value::String(text) => match fault::digits(text) {
            Some(number) => of_number(&number)?,
            None => u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()?,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (millis <= MAX_MOMENT).then(|| Timestamp::from_millis(millis))
}

/// Converts seconds with a fraction to milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bounds are checked"
)]
fn fraction(secs: f64) -> Option<u64> {
    let millis = secs * 1000.0;
    (0.0..1e15).contains(&millis).then_some(millis as u64)
}

/// The rule of [`moment`] for error texts.
pub const MOMENT_RULE: &str = "must be an RFC 3339 time such as `2026-11-23T08:00:00Z`, or epoch seconds";

/// The end of the year 9999, where RFC 3339 ends. It catches milliseconds in place of seconds.
const MAX_MOMENT: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_device_format_unchanged() {
        // It travels between versions of the Worker.
        let device = Device {
            reference: Some("user-1".to_owned()),
            locale: Some("de-AT".to_owned()),
            time_zone: Some("Europe/Vienna".to_owned()),
            tags: vec!["vip".to_owned()],
            attributes: json!({"name": "Ada", "score": 1.50}).as_object().unwrap().clone(),
            registered_at: Some(Timestamp::from_millis(7)),
            ..Device::new("ab".to_owned())
        };
        let text = serde_json::to_string(&[&device, &Device::new("cd".to_owned())]).unwrap();
        assert_eq!(
            text,
            r#"[{"token":"ab","ref":"user-1","locale":"de-AT","time_zone":"Europe/Vienna","tags":["vip"],"attributes":{"name":"Ada","score":1.5},"registered_at":7},{"token":"cd"}]"#
        );
        assert_eq!(serde_json::from_str::<Vec<Device>>(&text).unwrap()[0], device);
    }

    #[test]
    fn debug_shows_the_hint_alone() {
        let device = Device {
            reference: Some("secret".to_owned()),
            ..Device::new("0123456789abcdef".repeat(4))
        };
        assert_eq!(format!("{device:?}"), "Device(0123…cdef)");
    }

    #[test]
    fn a_moment_is_rfc_3339_or_epoch_seconds() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!(moment(&json!("2026-11-23T08:00:00.5Z")), at(1_795_420_800_500));
        assert_eq!(moment(&json!("2026-11-23T09:00:00+01:00")), at(1_795_420_800_000));
        assert_eq!(moment(&json!(1_795_420_800)), at(1_795_420_800_000));
        assert_eq!(moment(&json!(1.5)), at(1500));
        assert_eq!(moment(&json!("1795420800")), at(1_795_420_800_000));
        assert_eq!(moment(&json!("1.5")), at(1500));
        for value in [
            json!(1_795_420_800_000_u64),
            json!(u64::MAX),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!("1795420800s"),
            json!("1969-01-01T00:00:00Z"),
            json!(null),
            json!(true),
        ] {
            assert_eq!(moment(&value), None, "{value}");
        }
    }
}
