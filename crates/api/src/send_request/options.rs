//! The options of a durable batch: the field `batch` of a send request.

use std::time::Duration;

use serde_json::{Map, Value};

use apns::expiration::duration_secs;
use apns::fault::{self, FaultKind, Faults, Pointer};

/// The options of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most pushes per second. `None` means as many as the permits allow.
    pub rate: Option<u32>,
    /// Its share of the permits relative to other batches with the same credential.
    pub weight: u32,
    /// How long after its creation its pushes are retried.
    pub retry_for: Duration,
    /// Whether a push that is sent twice replaces itself on the device.
    pub collapse_repeats: bool,
    /// The webhook that is notified of its end, as the caller wrote it.
    pub webhook: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: None,
            weight: 1,
            retry_for: DEFAULT_RETRY_FOR,
            collapse_repeats: true,
            webhook: None,
        }
    }
}

impl Options {
    /// Reads the options in `value`, which is found at `at`. An option with a fault is read as absent.
    pub(super) fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Self {
        let map = fault::object(value, at, FIELDS, faults);
        map.map_or_else(Self::default, |map| Self::of(map, at, faults))
    }

    /// Reads the options among the members of `map`, which is found at `at`.
    pub(crate) fn of(map: &Map<String, Value>, at: &Pointer<'_>, faults: &mut Faults) -> Self {
        let mut options = Self::default();
        if let Some(value) = map.get("rate") {
            options.rate = fault::within(value, 1..=MAX_RATE, &at.key("rate"), faults);
        }
        if let Some(value) = map.get("weight") {
            options.weight =
                fault::within(value, 1..=MAX_WEIGHT, &at.key("weight"), faults).unwrap_or(options.weight);
        }
        if let Some(value) = map.get("retry_for") {
            let read = duration(value, &at.key("retry_for"), faults);
            options.retry_for = read.unwrap_or(options.retry_for);
        }
        if let Some(value) = map.get("collapse_repeats") {
            let read = fault::boolean(value, &at.key("collapse_repeats"), faults);
            options.collapse_repeats = read.unwrap_or(options.collapse_repeats);
        }
        if let Some(value) = map.get("webhook") {
            options.webhook = webhook(value, &at.key("webhook"), faults);
        }
        options
    }
}

fn duration(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Duration> {
    let secs = duration_secs(fault::string(value, at, faults)?).and_then(|secs| u64::try_from(secs).ok());
    let read = secs
        .map(Duration::from_secs)
        .filter(|read| (MIN_RETRY_FOR..=MAX_RETRY_FOR).contains(read));
    if read.is_none() {
        let text = "must be a duration from `1m` to `30d`, such as `6h`";
        faults.add(at, FaultKind::Invalid(text.to_owned()));
    }
    read
}

fn webhook(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<String> {
    let text = fault::string(value, at, faults)?;
    if text.len() > MAX_WEBHOOK {
        faults.add(
            at,
            FaultKind::TooLong {
                size: text.len(),
                limit: MAX_WEBHOOK,
                unit: "bytes",
            },
        );
        return None;
    }
    Some(text.to_owned())
}

/// The fields of the options.
const FIELDS: &[&str] = &["rate", "weight", "retry_for", "collapse_repeats", "webhook"];

/// More pushes per second than the connections of a credential carry, so a higher rate would have no effect.
pub const MAX_RATE: u32 = 1_000_000;

/// The largest weight. Finer shares than a hundredth are not useful.
pub const MAX_WEIGHT: u32 = 100;

/// In less than a minute there is no time for the first delay of a retry.
pub const MIN_RETRY_FOR: Duration = Duration::from_secs(60);

/// The longest time for which APNs keeps a notification for a device.
pub const MAX_RETRY_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A day: longer than outages last, and short enough for most notifications to be still relevant.
pub const DEFAULT_RETRY_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest address in bytes: what browsers and proxies accept.
pub const MAX_WEBHOOK: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Options, Vec<String>> {
        let mut faults = Faults::default();
        let options = Options::read(value, &Pointer::Root.key("batch"), &mut faults);
        let told = |faults: Faults| faults.listed().iter().map(ToString::to_string).collect();
        faults.or(options).map_err(told)
    }

    #[test]
    fn each_option_is_read() {
        let all = read(&json!({
            "rate": 500, "weight": 3, "retry_for": "1h 30m", "collapse_repeats": false,
            "webhook": "https://example.com/x",
        }));
        let expected = Options {
            rate: Some(500),
            weight: 3,
            retry_for: Duration::from_secs(5400),
            collapse_repeats: false,
            webhook: Some("https://example.com/x".to_owned()),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(read(&json!({})), Ok(Options::default()));
    }

    #[test]
    fn the_limits_are_exact() {
        for value in [
            json!({"rate": 1}),
            json!({"rate": MAX_RATE}),
            json!({"weight": 1}),
            json!({"weight": MAX_WEIGHT}),
            json!({"retry_for": "1m"}),
            json!({"retry_for": "30d"}),
            json!({"webhook": "x".repeat(MAX_WEBHOOK)}),
            json!({}),
        ] {
            assert!(read(&value).is_ok(), "{value}");
        }
        for (value, fault) in [
            (
                json!({"rate": 0}),
                "/batch/rate: must be an integer from 1 to 1000000, but is 0",
            ),
            (
                json!({"rate": MAX_RATE + 1}),
                "/batch/rate: must be an integer from 1 to 1000000, but is 1000001",
            ),
            (
                json!({"weight": MAX_WEIGHT + 1}),
                "/batch/weight: must be an integer from 1 to 100, but is 101",
            ),
            (
                json!({"retry_for": "59s"}),
                "/batch/retry_for: must be a duration from `1m` to `30d`, such as `6h`",
            ),
            (
                json!({"retry_for": "30d 1s"}),
                "/batch/retry_for: must be a duration from `1m` to `30d`, such as `6h`",
            ),
            (
                json!({"retry_for": "-1h"}),
                "/batch/retry_for: must be a duration from `1m` to `30d`, such as `6h`",
            ),
            (
                json!({"webhook": "x".repeat(MAX_WEBHOOK + 1)}),
                "/batch/webhook: is 2049 bytes long; the limit is 2048",
            ),
        ] {
            assert_eq!(read(&value), Err(vec![fault.to_owned()]), "{value}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        assert_eq!(
            read(&json!({
                "rates": 1, "rate": "7", "weight": null, "retry_for": 60, "collapse_repeats": 1, "webhook": 1,
            })),
            Err([
                "/batch/rates: is not a known field; did you mean `rate`?",
                "/batch/weight: must be an integer from 1 to 100, but is null",
                "/batch/retry_for: must be a string, but is a number",
                "/batch/collapse_repeats: must be a boolean, but is a number",
                "/batch/webhook: must be a string, but is a number",
            ]
            .map(str::to_owned)
            .to_vec())
        );
        assert_eq!(
            read(&json!(true)),
            Err(vec!["/batch: must be an object, but is a boolean".to_owned()])
        );
    }
}
