//! Frequency caps: the most runs per device in a period.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use apns::expiration::duration_secs;
use apns::fault::{self, FaultKind, Faults, Pointer};

/// A frequency cap.
///
/// Runs are counted by the moments at which they were due, so that the cap does not depend on how long a run
/// takes. A run that was due exactly one period before no longer counts. A weekly campaign in a zone with
/// daylight saving time should use a period shorter than its shortest week of 167 hours, or it may skip
/// devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frequency {
    /// The most runs in a period, including this one.
    pub max: u32,
    /// The period in seconds.
    pub per: u64,
    /// Which campaigns count.
    pub of: CapScope,
}

/// The campaigns whose runs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapScope {
    /// The campaign of the run.
    Campaign,
    /// All campaigns of the audience.
    All,
}

impl Frequency {
    /// Reads `{"max": 1, "per": "7d", "of": "campaign"}`.
    #[must_use]
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        let map = fault::object(value, at, &["max", "per", "of"], faults)?;
        let max = match map.get("max") {
            None => missing(&at.key("max"), faults),
            Some(value) => fault::within(value, 1..=MAX_RUNS, &at.key("max"), faults),
        };
        let per = match map.get("per") {
            None => missing(&at.key("per"), faults),
            Some(value) => {
                let at = at.key("per");
                let secs = duration_secs(fault::string(value, &at, faults)?);
                let secs = secs.and_then(|secs| u64::try_from(secs).ok());
                secs.filter(|secs| (1..=MAX_PERIOD.as_secs()).contains(secs))
                    .or_else(|| {
                        invalid(
                            &at,
                            "must be a duration of at most 30 days, such as `7d`".to_owned(),
                            faults,
                        )
                    })
            }
        };
        let of = match map.get("of") {
            None => Some(CapScope::Campaign),
            Some(value) => match fault::one_of(value, &at.key("of"), &["campaign", "all"], faults)? {
                "all" => Some(CapScope::All),
                _ => Some(CapScope::Campaign),
            },
        };
        Some(Self {
            max: max?,
            per: per?,
            of: of?,
        })
    }

    /// The period.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_secs(self.per)
    }
}

fn missing<T>(at: &Pointer<'_>, faults: &mut Faults) -> Option<T> {
    faults.add(at, FaultKind::Missing);
    None
}

fn invalid<T>(at: &Pointer<'_>, text: String, faults: &mut Faults) -> Option<T> {
    faults.add(at, FaultKind::Invalid(text));
    None
}

/// The longest period: 30 days. The send log is kept a day longer.
pub(super) const MAX_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// More runs than a device has in any period.
const MAX_RUNS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> (Option<Frequency>, String) {
        let mut faults = Faults::default();
        let read = Frequency::read(value, &Pointer::Root, &mut faults);
        (read, faults.to_string())
    }

    #[test]
    fn a_cap_has_a_number_a_period_and_campaigns() {
        let (cap, faults) = read(&json!({"max": 2, "per": "1d 12h", "of": "all"}));
        let expected = Frequency {
            max: 2,
            per: 129_600,
            of: CapScope::All,
        };
        assert_eq!((cap, &*faults), (Some(expected), ""));
        let (cap, _) = read(&json!({"max": 1, "per": "30d"}));
        assert_eq!(cap.unwrap().of, CapScope::Campaign);
    }

    #[test]
    fn a_cap_has_at_most_as_many_runs_and_days_as_documented() {
        let (cap, faults) = read(&json!({"max": 1000, "per": "30d"}));
        assert_eq!(
            (cap.map(|cap| (cap.max, cap.per)), &*faults),
            (Some((1000, 30 * 86_400)), "")
        );
        let (cap, faults) = read(&json!({"max": 1001, "per": "30d 1s"}));
        assert_eq!(cap, None);
        let expected = "/max: must be an integer from 1 to 1000, but is 1001; \
                        /per: must be a duration of at most 30 days, such as `7d`";
        assert_eq!(faults, expected);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for (value, expected) in [
            (json!({}), "/max: is required; /per: is required"),
            (
                json!({"max": 0, "per": "7d"}),
                "/max: must be an integer from 1 to 1000, but is 0",
            ),
            (
                json!({"max": 1, "per": "31d"}),
                "/per: must be a duration of at most 30 days, such as `7d`",
            ),
            (
                json!({"max": 1, "per": "-1d"}),
                "/per: must be a duration of at most 30 days, such as `7d`",
            ),
            (
                json!({"max": 1, "per": "1d", "of": "any"}),
                "/of: must be one of campaign, all",
            ),
            (json!(1), "the body must be an object, but is a number"),
        ] {
            assert_eq!(read(&value), (None, expected.to_owned()), "{value}");
        }
    }

    #[test]
    fn a_stored_cap_format_unchanged() {
        let cap = Frequency {
            max: 1,
            per: 60,
            of: CapScope::Campaign,
        };
        let text = serde_json::to_string(&cap).unwrap();
        assert_eq!(text, r#"{"max":1,"per":60,"of":"campaign"}"#);
    }
}
