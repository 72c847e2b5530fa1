//! Reads `Retry-After`.
//!
//! Source: RFC 9110 section 10.2.3: seconds, or a date in one of HTTP's three forms (section 5.6.7).

use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

use super::Timestamp;

/// Returns how long the sender of the header wants us to wait from `now`. Returns `None` if the value has
/// neither form.
///
/// A date in the past gives zero.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = SystemTime::from(value.parse::<HttpDate>().ok()?);
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(since_epoch.as_secs()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-10-21T07:28:00Z.
    const DATE: Timestamp = Timestamp::from_secs(1_792_567_680);

    #[test]
    fn a_retry_after_is_seconds_or_one_of_three_forms_of_a_date() {
        let now = DATE - Duration::from_secs(90);
        for (value, secs) in [
            ("30", 30),
            (" 30 ", 30),
            ("0", 0),
            ("Wed, 21 Oct 2026 07:28:00 GMT", 90),
            ("Wednesday, 21-Oct-26 07:28:00 GMT", 90),
            ("Wed Oct 21 07:28:00 2026", 90),
        ] {
            assert_eq!(
                retry_after(value, now),
                Some(Duration::from_secs(secs)),
                "{value}"
            );
        }
        let endless = retry_after("99999999999999999999", now);
        assert_eq!(endless, Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_that_has_passed_is_no_wait() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        assert_eq!(retry_after(date, DATE), Some(Duration::ZERO));
        assert_eq!(
            retry_after(date, DATE + Duration::from_secs(5)),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn anything_else_is_no_retry_after() {
        for value in ["", " ", "-1", "+1", "1.5", "soon", "2026-10-21T07:28:00Z"] {
            assert_eq!(retry_after(value, DATE), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(value in ".{0,40}", now: u64) {
            let _ = retry_after(&value, Timestamp::from_millis(now));
        }
    }
}
