//! The bodies of webhooks.
//!
//! A body is rendered again for each attempt and must be the same each time, so everything in it is final
//! when its event happens.

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;

/// The kinds of event. Their names are part of the HTTP contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A batch has ended, done or cancelled.
    #[serde(rename = "batch.ended")]
    BatchEnded,
    /// Devices are gone and should get no more pushes.
    #[serde(rename = "devices.gone")]
    DevicesGone,
}

/// A device that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoneDevice<'d> {
    /// The full device token, so that the receiver can delete it.
    pub token: &'d str,
    /// The caller's reference for the device, if there is one.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'d str>,
    /// Since when the device is gone, if APNs said so.
    #[serde(serialize_with = "rfc_3339", skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// APNs' reason.
    pub reason: &'d str,
}

/// Renders the body of `batch.ended`. `status` is the batch's status document as JSON text; `at` is when the
/// batch ended.
#[must_use]
pub fn batch_ended(status: &str, at: Timestamp) -> String {
    format!(r#"{{"type":"batch.ended","timestamp":"{at}","data":{status}}}"#)
}

/// Renders the body of `devices.gone` for the next [`MAX_GONE`] devices and leaves the rest in the iterator.
/// Returns `None` if there are none. `at` is when the event was created.
pub fn devices_gone<'d>(
    batch: &str,
    app: &str,
    devices: &mut impl Iterator<Item = GoneDevice<'d>>,
    at: Timestamp,
) -> Option<String> {
    let devices: Vec<GoneDevice<'d>> = devices.take(MAX_GONE).collect();
    if devices.is_empty() {
        return None;
    }
    let message = Message {
        r#type: Event::DevicesGone,
        timestamp: at.to_string(),
        data: Gone { batch, app, devices },
    };
    serde_json::to_string(&message).ok()
}

/// Groups the chunks whose gone devices are reported together. A group has at most [`MAX_GONE`] devices, and
/// contains no chunk without gone devices.
///
/// `chunks` are in order: the number of each, and how many of its devices are gone.
#[must_use]
pub fn gone_groups(chunks: impl IntoIterator<Item = (u32, usize)>) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut devices = 0;
    for (chunk, gone) in chunks.into_iter().filter(|(_, gone)| *gone > 0) {
        match groups.last_mut() {
            Some(group) if devices + gone <= MAX_GONE => {
                group.push(chunk);
                devices += gone;
            }
            Some(_) | None => {
                groups.push(vec![chunk]);
                devices = gone;
            }
        }
    }
    groups
}

#[derive(Serialize)]
struct Message<'d> {
    r#type: Event,
    timestamp: String,
    data: Gone<'d>,
}

#[derive(Serialize)]
struct Gone<'d> {
    batch: &'d str,
    app: &'d str,
    devices: Vec<GoneDevice<'d>>,
}

#[expect(clippy::ref_option, reason = "serde asks for a reference")]
fn rfc_3339<S: serde::Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&moment.unwrap_or_default())
}

/// The maximum number of devices in one body: some 60 KB with usual tokens and references. Even with the
/// longest of both it is below the megabyte at which common web servers refuse bodies.
pub const MAX_GONE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(token: &str) -> GoneDevice<'_> {
        GoneDevice {
            token,
            reference: None,
            since: None,
            reason: "BadDeviceToken",
        }
    }

    #[test]
    fn gone_devices_are_reported_in_groups_of_at_most_so_many() {
        let groups = |gone: &[usize]| gone_groups((0..).zip(gone.iter().copied()));
        assert_eq!(groups(&[]), [[0; 0]; 0]);
        assert_eq!(groups(&[0, 0]), [[0; 0]; 0]);
        assert_eq!(groups(&[0, 1, 0, MAX_GONE - 1, 0]), [[1, 3]]);
        assert_eq!(groups(&[1, MAX_GONE, 0, 1]), [[0], [1], [3]]);
        assert_eq!(groups(&[MAX_GONE, MAX_GONE]), [[0], [1]]);
    }

    #[test]
    fn the_body_of_batch_ended_format_unchanged() {
        // Receivers parse this format.
        let body = batch_ended(
            r#"{"id":"b","state":"done"}"#,
            Timestamp::from_millis(1_795_420_800_123),
        );
        assert_eq!(
            body,
            r#"{"type":"batch.ended","timestamp":"2026-11-23T08:00:00.123Z","data":{"id":"b","state":"done"}}"#
        );
    }

    #[test]
    fn the_body_of_devices_gone_format_unchanged() {
        // Receivers parse this format.
        let gone = GoneDevice {
            reference: Some("user \"7\""),
            since: Some(Timestamp::from_secs(1_795_420_800)),
            reason: "Unregistered",
            ..device("ab12")
        };
        let mut devices = [gone, device("cd34")].into_iter();
        let body = devices_gone(
            "b",
            "shop",
            &mut devices,
            Timestamp::from_millis(1_795_420_800_123),
        );
        assert_eq!(
            body.unwrap(),
            r#"{"type":"devices.gone","timestamp":"2026-11-23T08:00:00.123Z","data":{"batch":"b","app":"shop","devices":[{"token":"ab12","ref":"user \"7\"","since":"2026-11-23T08:00:00.000Z","reason":"Unregistered"},{"token":"cd34","reason":"BadDeviceToken"}]}}"#
        );
    }

    #[test]
    fn gone_devices_are_told_of_five_hundred_at_a_time_and_none_is_left_out() {
        let tokens: Vec<String> = (0..2 * MAX_GONE + 1)
            .map(|index| format!("{index:064x}"))
            .collect();
        let mut devices = tokens.iter().map(|token| device(token));
        let mut counts = Vec::new();
        let mut told = String::new();
        while let Some(body) = devices_gone("b", "shop", &mut devices, Timestamp::default()) {
            counts.push(body.matches("\"token\"").count());
            told.push_str(&body);
        }
        assert_eq!(counts, [MAX_GONE, MAX_GONE, 1]);
        assert!(tokens.iter().all(|token| told.contains(token)));
    }
}
