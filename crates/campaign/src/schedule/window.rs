//! The window of each day in which a run sends.

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::zone::Zone;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;

/// A time span of the day. It passes midnight if its end is earlier than its start. Its JSON is what the
/// caller wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// Reads `{"from":"09:00","to":"21:00"}`.
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        let map = fault::object(value, at, &["from", "to"], faults)?;
        let mut time = |key: &'static str| {
            let Some(value) = map.get(key) else {
                faults.add(&at.key(key), FaultKind::Missing);
                return None;
            };
            let text = fault::string(value, &at.key(key), faults)?;
            let time = time_of_day(text);
            if time.is_none() {
                let wrong = "must be a time of the day, as in `09:00`".to_owned();
                faults.add(&at.key(key), FaultKind::Invalid(wrong));
            }
            time
        };
        let (from, to) = (time("from"), time("to"));
        let (from, to) = (from?, to?);
        if from == to {
            faults.add(
                &at.key("to"),
                FaultKind::Conflict("is the same as `from`".to_owned()),
            );
            return None;
        }
        map.keys()
            .all(|key| matches!(key.as_str(), "from" | "to"))
            .then_some(Self { from, to })
    }

    /// Returns the parts of `from`..`until` that are in the window on the clocks of `zone`: start and end of
    /// each, in order, without overlap.
    ///
    /// A fixed offset such as `+01:00` is a zone as well. An unknown name means UTC.
    #[must_use]
    pub fn intervals(&self, zone: &str, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let zone = Zone::of_run(zone).unwrap_or_else(|| Zone::utc().clone());
        let last = zone.civil(until).date();
        // The window that began on the day before may still be open.
        let first = zone.civil(from).date().yesterday().ok();
        let days = std::iter::successors(first, |day| day.tomorrow().ok()).take_while(|day| *day <= last);
        let intervals = days.filter_map(|day| self.on(day, &zone));
        intervals
            .map(|(open, close)| (open.max(from), close.min(until)))
            .filter(|(open, close)| open < close)
            .collect()
    }

    /// Returns the interval that begins on a day.
    fn on(&self, day: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        let end = if self.to > self.from {
            day
        } else {
            day.tomorrow().ok()?
        };
        Some((
            zone.moment(day.to_datetime(self.from)),
            zone.moment(end.to_datetime(self.to)),
        ))
    }
}

impl From<Window> for Value {
    fn from(window: Window) -> Self {
        let text = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        json!({"from": text(window.from), "to": text(window.to)})
    }
}

impl TryFrom<Value> for Window {
    type Error = Faults;

    fn try_from(value: Value) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        Self::read(&value, &Pointer::Root, &mut faults).ok_or(faults)
    }
}

/// Parses five characters such as `09:00`.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| {
        let are_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        are_two.then(|| part.parse().ok())?
    };
    Time::new(digits(hour)?, digits(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn moment(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
    }

    fn window(from: &str, to: &str) -> Window {
        serde_json::from_value(json!({"from": from, "to": to})).unwrap()
    }

    fn intervals(window: &Window, zone: &str, from: &str, until: &str) -> Vec<(String, String)> {
        let found = window.intervals(zone, moment(from), moment(until));
        let text = |at: Timestamp| at.to_string().replace(":00.000Z", "Z");
        found
            .into_iter()
            .map(|(open, close)| (text(open), text(close)))
            .collect()
    }

    fn pair(open: &str, close: &str) -> (String, String) {
        (open.to_owned(), close.to_owned())
    }

    #[test]
    fn a_window_opens_each_day_on_the_clocks_of_its_zone() {
        let window = window("09:00", "21:00");
        // The clocks of Berlin go forward on 29 March 2026.
        assert_eq!(
            intervals(
                &window,
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                "2026-03-30T10:00:00Z"
            ),
            [
                pair("2026-03-28T12:00Z", "2026-03-28T20:00Z"),
                pair("2026-03-29T07:00Z", "2026-03-29T19:00Z"),
                pair("2026-03-30T07:00Z", "2026-03-30T10:00Z"),
            ]
        );
    }

    #[test]
    fn a_window_opens_on_the_clock_of_an_offset() {
        let window = window("09:00", "21:00");
        for (zone, open, close) in [
            ("+05:30", "2026-03-28T03:30Z", "2026-03-28T15:30Z"),
            ("-03:30", "2026-03-28T12:30Z", "2026-03-29T00:30Z"),
            ("UTC", "2026-03-28T09:00Z", "2026-03-28T21:00Z"),
        ] {
            let found = intervals(&window, zone, "2026-03-28T02:00:00Z", "2026-03-29T02:00:00Z");
            assert_eq!(found.last(), Some(&pair(open, close)), "{zone}");
        }
    }

    #[test]
    fn a_window_may_pass_midnight_and_be_open_already() {
        let window = window("20:00", "02:00");
        assert_eq!(
            intervals(&window, "UTC", "2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z"),
            [
                pair("2026-03-28T01:00Z", "2026-03-28T02:00Z"),
                pair("2026-03-28T20:00Z", "2026-03-29T01:00Z"),
            ]
        );
    }

    #[test]
    fn a_window_that_is_skipped_does_not_open_and_one_that_is_repeated_opens_once() {
        let window = window("02:15", "02:45");
        let berlin = "Europe/Berlin";
        assert_eq!(
            intervals(&window, berlin, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
            []
        );
        assert_eq!(
            intervals(&window, berlin, "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z"),
            [pair("2026-10-25T00:15Z", "2026-10-25T00:45Z")]
        );
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_faults() {
        for (value, expected) in [
            (json!("09:00"), "the body must be an object, but is a string"),
            (json!({"from": "09:00"}), "/to: is required"),
            (
                json!({"from": "9:00", "to": "25:00"}),
                "/from: must be a time of the day, as in `09:00`; /to: must be a time of the day, as in `09:00`",
            ),
            (
                json!({"from": "09:00", "to": "24:00"}),
                "/to: must be a time of the day, as in `09:00`",
            ),
            (
                json!({"from": "09:00", "to": "+9:00"}),
                "/to: must be a time of the day, as in `09:00`",
            ),
            (
                json!({"from": "09:00", "to": "09:00"}),
                "/to: is the same as `from`",
            ),
            (
                json!({"from": "09:00", "to": "10:00", "zone": "UTC"}),
                "/zone: is not a known field",
            ),
        ] {
            assert_eq!(Window::try_from(value).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_window_format_unchanged() {
        // Campaigns are stored with it.
        let text = r#"{"from":"09:05","to":"00:00"}"#;
        let window: Window = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&window).unwrap(), text);
    }

    proptest! {
        #[test]
        fn the_intervals_of_any_window_are_in_order_and_within_what_was_asked(
            times in prop::array::uniform4(0..24_u8),
            start in 0..1_700_000_u64,
            days in 0..40_u64,
            zone in prop::sample::select(vec!["", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"]),
        ) {
            let [a, b, c, d] = times;
            let (from, to) = (format!("{a:02}:{:02}", b * 2), format!("{c:02}:{:02}", d * 2));
            prop_assume!(from != to);
            let (start, window) = (Timestamp::from_secs(start * 1000), window(&from, &to));
            let until = start + Duration::from_hours(24 * days);
            let mut last = start;
            for (open, close) in window.intervals(zone, start, until) {
                prop_assert!(last <= open && open < close && close <= until);
                last = close;
            }
        }
    }
}
