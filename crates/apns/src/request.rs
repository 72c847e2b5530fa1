//! One push as a request to APNs: `POST /3/device/{token}`.
//!
//! Preview, the fetch transport and the socket transport all get path, headers and body from here, so they
//! cannot differ. Source: Apple, "Sending notification requests to APNs".

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::apns_id::ApnsId;
use super::collapse_id::CollapseId;
use super::device_token::DeviceToken;
use super::expiration::Expiration;
use super::priority::Priority;
use super::push_type::{MergedBy, PushType};
use super::topic::Topic;

/// One push, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The device that it goes to.
    pub device_token: DeviceToken,
    /// Its id, the same in every attempt.
    pub apns_id: ApnsId,
    /// The headers that it shares with the other pushes of its notification.
    pub headers: Arc<Headers>,
    /// The payload as JSON, within its push type's limit.
    pub body: Bytes,
}

impl Request {
    /// Creates a request to no device, for a probe without credentials. APNs refuses it before it reads the
    /// rest.
    #[must_use]
    pub fn probe() -> Self {
        let headers = Headers {
            push_type: PushType::Background,
            topic: Topic::of_probe(),
            priority: Priority::Five,
            expiration: Some(Expiration::AT_ONCE),
            collapse_id: None,
        };
        Self {
            device_token: DeviceToken::of_probe(),
            apns_id: ApnsId::derive([0; 16], 0),
            headers: Arc::new(headers),
            body: Bytes::from_static(b"{}"),
        }
    }

    /// Whether a push that is sent twice is shown once; [`MergedBy`] says why.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self.headers.push_type.rules().merged_by {
            _ if self.headers.is_one_attempt() => false,
            MergedBy::CollapseId => self.headers.collapse_id.is_some(),
            MergedBy::Timestamp => {
                serde_json::from_slice(&self.body).is_ok_and(|payload| is_state_update(&payload))
            }
            MergedBy::Nothing => false,
        }
    }

    /// Returns the path. It contains the device token: never log it.
    #[must_use]
    pub fn path(&self) -> String {
        let token = self.device_token.as_hex();
        let mut path = String::with_capacity(PATH_PREFIX.len() + token.len());
        path.push_str(PATH_PREFIX);
        path.push_str(token);
        path
    }

    /// Returns all headers except `authorization`, in the order in which they are sent.
    #[must_use]
    pub fn header_list(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![("apns-id", self.apns_id.to_string())];
        list.extend(self.headers.list());
        list
    }
}

/// The headers that all pushes of a notification share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// `apns-push-type`.
    pub push_type: PushType,
    /// `apns-topic`.
    pub topic: Topic,
    /// `apns-priority`.
    pub priority: Priority,
    /// `apns-expiration`. Without it APNs stores the notification for up to 30 days.
    pub expiration: Option<Expiration>,
    /// `apns-collapse-id`.
    pub collapse_id: Option<CollapseId>,
}

/// Whether a Live Activity's payload only sets its state. Sent twice, such a push sets the same state twice.
pub(super) fn is_state_update(payload: &Value) -> bool {
    let aps = payload.get("aps");
    let event = aps.and_then(|aps| aps.get("event")).and_then(Value::as_str);
    let has_alert = aps.is_some_and(|aps| aps.get("alert").is_some());
    matches!(event, Some("update" | "end")) && !has_alert
}

impl Headers {
    /// Whether APNs tries the push once and does not store it: `apns-expiration` is 0.
    #[must_use]
    pub fn is_one_attempt(&self) -> bool {
        self.expiration == Some(Expiration::AT_ONCE)
    }

    /// Returns these headers as names and values.
    #[must_use]
    pub fn list(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("apns-push-type", self.push_type.as_str().to_owned()),
            ("apns-topic", self.topic.as_str().to_owned()),
            ("apns-priority", self.priority.as_str().to_owned()),
        ];
        list.extend(
            self.expiration
                .map(|expiration| ("apns-expiration", expiration.as_secs().to_string())),
        );
        list.extend(
            self.collapse_id
                .as_ref()
                .map(|id| ("apns-collapse-id", id.as_str().to_owned())),
        );
        list
    }
}

/// The part of the path before the device token.
pub const PATH_PREFIX: &str = "/3/device/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::BundleId;

    #[test]
    fn a_request_format_unchanged() {
        // What APNs gets for a push with every header set.
        let headers = Headers {
            push_type: PushType::Voip,
            topic: BundleId::parse("com.example.app").unwrap().topic(PushType::Voip),
            priority: Priority::Ten,
            expiration: Some(Expiration::AT_ONCE),
            collapse_id: Some(CollapseId::parse("call-7").unwrap()),
        };
        let request = Request {
            device_token: DeviceToken::parse("<ABCD 1234>").unwrap(),
            apns_id: ApnsId::derive([0; 16], 1),
            headers: Arc::new(headers),
            body: Bytes::from_static(b"{}"),
        };
        assert_eq!(request.path(), "/3/device/abcd1234");
        let list: Vec<String> = request
            .header_list()
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            list,
            [
                "apns-id: 00000000-0000-8000-8000-000000000001",
                "apns-push-type: voip",
                "apns-topic: com.example.app.voip",
                "apns-priority: 10",
                "apns-expiration: 0",
                "apns-collapse-id: call-7",
            ]
        );
    }
}
