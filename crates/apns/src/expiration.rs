//! The moment until which APNs stores a notification for a device that it cannot reach.
//!
//! Callers write epoch seconds, an RFC 3339 time or a duration from now; APNs gets epoch seconds.
//! Source: Apple, "Sending notification requests to APNs", `apns-expiration`.

use std::time::Duration;

use serde_json::{Number, Value};

use crate::fault::{self, type_name};
use crate::time::Timestamp;

/// The value of `apns-expiration`: epoch seconds, 0 for one attempt that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expiration(u64);

impl Expiration {
    /// One attempt; APNs does not store the notification.
    pub const AT_ONCE: Self = Self(0);

    /// Reads a JSON value: epoch seconds (0 for one attempt), an RFC 3339 time, or a duration from `now`.
    /// Durations look like `30m`, `2h 30m`, `7d` or `PT1H`.
    ///
    /// # Errors
    /// Returns an error if the value has another form, is in the past, or is further away than [`MAX_AHEAD`].
    pub fn parse(value: &Value, now: Timestamp) -> Result<Self, BadExpiration> {
        match value {
            Value::Number(number) => Self::from_number(number, now),
            Value::String(text) => Self::from_text(text, now),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(BadExpiration::Type(type_name(value)))
            }
        }
    }

    fn from_secs(secs: u64, now: Timestamp) -> Result<Self, BadExpiration> {
        let (now, latest) = (now.as_secs(), (now + MAX_AHEAD).as_secs());
        match secs {
            0 => Ok(Self::AT_ONCE),
            _ if secs > latest => {
                let as_millis = secs / 1000;
                Err(BadExpiration::Far {
                    millis: as_millis > now / 2 && as_millis <= latest,
                })
            }
            _ if secs <= now => Err(BadExpiration::Past {
                duration: secs <= MAX_AHEAD.as_secs(),
            }),
            _ => Ok(Self(secs)),
        }
    }

    fn from_number(number: &Number, now: Timestamp) -> Result<Self, BadExpiration> {
        Self::from_secs(fault::whole(number).ok_or(BadExpiration::Form)?, now)
    }

    fn from_text(text: &str, now: Timestamp) -> Result<Self, BadExpiration> {
        if let Some(number) = fault::digits(text) {
            return Self::from_number(&number, now);
        }
        if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
            let secs =
                u64::try_from(timestamp.as_second()).map_err(|_| BadExpiration::Past { duration: false })?;
            return Self::from_secs(secs.max(1), now);
        }
        let secs = duration_secs(text).ok_or(BadExpiration::Form)?;
        match u64::try_from(secs) {
            Ok(0) => Ok(Self::AT_ONCE),
            Ok(secs) => Self::from_secs(now.as_secs().saturating_add(secs), now),
            Err(_) => Err(BadExpiration::Past { duration: false }),
        }
    }

    /// Returns the header's value in epoch seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

/// Returns the whole seconds of a duration such as `30m`, `2h 30m` or `7d`. A day has 24 hours, a week 7
/// days.
pub fn duration_secs(text: &str) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    span.to_duration(relative).ok().map(|duration| duration.as_secs())
}

/// Why a value is not an expiration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpiration {
    /// It has another JSON type.
    #[error("must be a number or a string, but is {0}")]
    Type(&'static str),
    /// It has none of the accepted forms.
    #[error(
        "must be epoch seconds, an RFC 3339 time such as `2026-12-24T18:00:00Z`, or a duration such as `30m`"
    )]
    Form,
    /// It is in the past.
    #[error(
        "lies in the past{}; use 0 for one attempt that is not stored",
        if *.duration { " (a duration from now is written as text, as in `\"30m\"`)" } else { "" }
    )]
    Past {
        /// Whether the number looks like a duration.
        duration: bool,
    },
    /// It is more than a year ahead.
    #[error(
        "lies more than a year ahead{}",
        if *.millis { ": it looks like milliseconds; APNs takes seconds" } else { "" }
    )]
    Far {
        /// Whether the number looks like milliseconds.
        millis: bool,
    },
}

/// How far ahead an expiration may be. APNs stores for at most 30 days; anything past a year is most likely a
/// typing error.
pub const MAX_AHEAD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

    fn secs(value: &Value) -> Result<u64, BadExpiration> {
        Expiration::parse(value, NOW).map(Expiration::as_secs)
    }

    #[test]
    fn the_three_forms_mean_the_same_moment() {
        assert_eq!(secs(&json!(1_795_424_400)), Ok(1_795_424_400));
        assert_eq!(secs(&json!("2026-11-23T09:00:00Z")), Ok(1_795_424_400));
        assert_eq!(secs(&json!("2026-11-23T10:00:00+01:00")), Ok(1_795_424_400));
        assert_eq!(secs(&json!("1h")), Ok(1_795_424_400));
        assert_eq!(secs(&json!("PT1H")), Ok(1_795_424_400));
        assert_eq!(secs(&json!("60m")), Ok(1_795_424_400));
    }

    #[test]
    fn days_and_weeks_are_durations() {
        assert_eq!(secs(&json!("7d")), Ok(NOW.as_secs() + 7 * 86_400));
        assert_eq!(secs(&json!("1w")), Ok(NOW.as_secs() + 7 * 86_400));
    }

    #[test]
    fn zero_is_one_attempt() {
        assert_eq!(secs(&json!(0)), Ok(0));
        assert_eq!(secs(&json!("0s")), Ok(0));
    }

    #[test]
    fn epoch_seconds_may_be_written_as_text_or_with_a_point() {
        assert_eq!(secs(&json!("0")), Ok(0));
        assert_eq!(secs(&json!("1795424400")), Ok(1_795_424_400));
        assert_eq!(secs(&json!(" 1795424400 ")), Ok(1_795_424_400));
        assert_eq!(secs(&json!(1_795_424_400.0)), Ok(1_795_424_400));
        assert_eq!(secs(&json!("3600")), Err(BadExpiration::Past { duration: true }));
        assert_eq!(secs(&json!("-1")), Err(BadExpiration::Form));
    }

    #[test]
    fn a_duration_as_a_number_is_explained() {
        assert_eq!(secs(&json!(3600)), Err(BadExpiration::Past { duration: true }));
        assert_eq!(
            secs(&json!(NOW.as_secs())),
            Err(BadExpiration::Past { duration: false })
        );
        assert_eq!(
            secs(&json!("1970-01-01T00:00:00Z")),
            Err(BadExpiration::Past { duration: true })
        );
    }

    #[test]
    fn milliseconds_are_explained() {
        assert_eq!(
            secs(&json!(NOW.as_millis() + 1000)),
            Err(BadExpiration::Far { millis: true })
        );
    }

    #[test]
    fn the_limit_is_exact() {
        let limit = NOW.as_secs() + MAX_AHEAD.as_secs();
        assert_eq!(secs(&json!(limit)), Ok(limit));
        assert_eq!(secs(&json!(limit + 1)), Err(BadExpiration::Far { millis: false }));
        assert_eq!(secs(&json!(u64::MAX)), Err(BadExpiration::Far { millis: false }));
    }

    #[test]
    fn other_forms_are_refused() {
        for value in [json!(-1), json!(1.5), json!("tomorrow"), json!("")] {
            assert_eq!(secs(&value), Err(BadExpiration::Form), "{value}");
        }
        assert_eq!(secs(&json!(null)), Err(BadExpiration::Type("null")));
        assert_eq!(secs(&json!("-1h")), Err(BadExpiration::Past { duration: false }));
    }
}
