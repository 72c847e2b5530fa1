//! How often a device gets a campaign's pushes at most.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

use crate::apns::expiration::duration_secs;
use crate::fault::{self, FaultKind, Faults, Pointer};

/// At most so many pushes a device in a period, which ends with the run that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequency {
    /// The most pushes, from 1 to [`MAX_SENDS`].
    pub max: u32,
    /// The period in milliseconds.
    pub per_ms: u64,
    /// Which pushes count.
    pub of: Counted,
}

/// Which pushes a [`Frequency`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Those of the same campaign.
    Campaign,
    /// Those of all campaigns to the audience.
    All,
}

impl Frequency {
    /// Reads `{"max":1,"per":"7d","of":"campaign"}`, which is found at `at`; `of` may be left out, and is `campaign` then.
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        let map = fault::object(value, at, FIELDS, faults)?;
        let mut required = |name: &str, read: fn(&Value, &Pointer<'_>, &mut Faults) -> Option<u64>| {
            let at = at.key(name);
            let Some(value) = map.get(name) else {
                faults.add(&at, FaultKind::Missing);
                return None;
            };
            read(value, &at, faults)
        };
        let (max, per) = (required("max", sends), required("per", period));
        let of = match map.get("of") {
            None => Some("campaign"),
            Some(value) => fault::one_of(value, &at.key("of"), &["campaign", "all"], faults),
        };
        Some(Self {
            max: u32::try_from(max?).ok()?,
            per_ms: per?.saturating_mul(1000),
            of: if of? == "all" {
                Counted::All
            } else {
                Counted::Campaign
            },
        })
    }

    /// The period.
    #[must_use]
    pub const fn per(&self) -> Duration {
        Duration::from_millis(self.per_ms)
    }
}

fn sends(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<u64> {
    let number = fault::unsigned(value, at, faults)?;
    if (1..=MAX_SENDS).contains(&number) {
        return Some(number);
    }
    let text = format!("must be an integer from 1 to {MAX_SENDS}, but is {number}");
    faults.add(at, FaultKind::Invalid(text));
    None
}

fn period(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<u64> {
    let secs = duration_secs(fault::string(value, at, faults)?).and_then(|secs| u64::try_from(secs).ok());
    let read = secs.filter(|secs| (MIN_PERIOD.as_secs()..=MAX_PERIOD.as_secs()).contains(secs));
    if read.is_none() {
        let text = "must be a duration from `1h` to `30d`, such as `7d`";
        faults.add(at, FaultKind::Invalid(text.to_owned()));
    }
    read
}

/// What a frequency may say.
const FIELDS: &[&str] = &["max", "per", "of"];

/// The most pushes that are counted: each is looked up for each device.
pub const MAX_SENDS: u64 = 100;

/// Within an hour runs of one campaign are still under way.
pub const MIN_PERIOD: Duration = Duration::from_secs(60 * 60);

/// What was sent is remembered a day longer than this.
pub const MAX_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Option<Frequency>, String> {
        let mut faults = Faults::default();
        let frequency = Frequency::read(value, &Pointer::Root.key("frequency"), &mut faults);
        faults.or(frequency).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_frequency_is_of_the_campaign_unless_it_says_otherwise() {
        let expected = |of| {
            Ok(Some(Frequency {
                max: 2,
                per_ms: 7 * 24 * 60 * 60 * 1000,
                of,
            }))
        };
        assert_eq!(read(&json!({"max": 2, "per": "7d"})), expected(Counted::Campaign));
        assert_eq!(
            read(&json!({"max": 2, "per": "7d", "of": "campaign"})),
            expected(Counted::Campaign)
        );
        assert_eq!(
            read(&json!({"max": 2, "per": "168h", "of": "all"})),
            expected(Counted::All)
        );
    }

    #[test]
    fn the_limits_are_exact() {
        for (max, per) in [(1, "1h"), (100, "30d")] {
            assert!(read(&json!({"max": max, "per": per})).is_ok());
        }
        for (value, fault) in [
            (
                json!({"max": 0, "per": "1h"}),
                "/frequency/max: must be an integer from 1 to 100, but is 0",
            ),
            (
                json!({"max": 101, "per": "1h"}),
                "/frequency/max: must be an integer from 1 to 100, but is 101",
            ),
            (
                json!({"max": 1, "per": "59m"}),
                "/frequency/per: must be a duration from `1h` to `30d`, such as `7d`",
            ),
            (
                json!({"max": 1, "per": "30d 1s"}),
                "/frequency/per: must be a duration from `1h` to `30d`, such as `7d`",
            ),
        ] {
            assert_eq!(read(&value), Err(fault.to_owned()));
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        assert_eq!(
            read(&json!({"of": "some", "time": 1})),
            Err(
                "/frequency/time: is not a known field; /frequency/max: is required; /frequency/per: is required; \
                 /frequency/of: must be one of campaign, all"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_frequency_format_unchanged() {
        // It is stored with each walk.
        let frequency = read(&json!({"max": 1, "per": "1h", "of": "all"})).unwrap();
        assert_eq!(
            serde_json::to_string(&frequency).unwrap(),
            r#"{"max":1,"per_ms":3600000,"of":"all"}"#
        );
    }
}
