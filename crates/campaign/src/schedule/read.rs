//! Reads a schedule from its JSON.

use jiff::civil::DateTime;
use serde_json::{Map, Value};

use super::cron::Cron;
use super::zone::{LATEST, Zone, names};
use super::{Clock, Rule, Schedule, Times, UTC};
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;

impl Schedule {
    /// Reads `{"at": ..}`, a time or `now`, or `{"cron": ..}`, with `time_zone`: a zone or `device`.
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        let mut own = Faults::default();
        let schedule = fault::object(value, at, &KNOWN, &mut own).and_then(|map| {
            let mut fields = Fields {
                map,
                at,
                faults: &mut own,
            };
            fields.schedule(value)
        });
        faults.append(&own);
        schedule.filter(|_| own.is_empty())
    }
}

impl From<Schedule> for Value {
    fn from(schedule: Schedule) -> Self {
        schedule.document
    }
}

impl TryFrom<Value> for Schedule {
    type Error = Faults;

    fn try_from(value: Value) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        Self::read(&value, &Pointer::Root, &mut faults).ok_or(faults)
    }
}

struct Fields<'f> {
    map: &'f Map<String, Value>,
    at: &'f Pointer<'f>,
    faults: &'f mut Faults,
}

impl<'f> Fields<'f> {
    fn schedule(&mut self, document: &Value) -> Option<Schedule> {
        let is_once = self.map.contains_key("at");
        match (is_once, self.map.contains_key("cron")) {
            (true, true) => self.conflict("cron", "contradicts `at`"),
            (false, false) => {
                let needed = "needs `at`, for once, or `cron`".to_owned();
                self.faults.add(self.at, FaultKind::Invalid(needed));
            }
            _ => {}
        }
        if is_once {
            for key in ["from", "until"] {
                self.only_with(key, "`cron`");
            }
        }
        let (from, until) = (self.bound("from"), self.bound("until"));
        if from.zip(until).is_some_and(|(from, until)| until < from) {
            self.conflict("until", "lies before `from`");
        }
        let rule = if is_once { self.once() } else { self.cron() };
        Some(Schedule {
            rule: rule?,
            from: from.unwrap_or_default(),
            until: until.unwrap_or(LATEST),
            document: document.clone(),
        })
    }

    fn once(&mut self) -> Option<Rule> {
        let text = self.text("at")?;
        if text == NOW {
            self.only_with("default_time_zone", "the `time_zone` `device`");
            let has_zone = self.map.contains_key("time_zone");
            let zone = has_zone.then(|| self.zone("time_zone"));
            return match zone {
                Some(None) => None,
                zone => Some(Rule::Now { zone: zone.flatten() }),
            };
        }
        if let Some(at) = moment(text) {
            self.only_with("default_time_zone", "the `time_zone` `device`");
            let zone = if self.map.contains_key("time_zone") {
                self.zone("time_zone")?
            } else {
                offset(text)
            };
            return Some(Rule::Moment { at, zone });
        }
        let at = civil(text);
        if at.is_none() {
            self.invalid(
                "at",
                "must be `now` or a time from 1970 to 4999, as in `2026-12-24T18:00:00Z` or, with a `time_zone`, `2026-12-24T18:00`",
            );
        }
        let clock = self.clock();
        Some(Rule::Civil {
            times: Times::Once(at?),
            clock: clock?,
        })
    }

    fn cron(&mut self) -> Option<Rule> {
        let cron = self.text("cron").and_then(|text| match Cron::read(text) {
            Ok(cron) => Some(cron),
            Err(error) => {
                self.invalid("cron", &error);
                None
            }
        });
        let clock = self.clock();
        Some(Rule::Civil {
            times: Times::Cron(cron?),
            clock: clock?,
        })
    }

    fn clock(&mut self) -> Option<Clock> {
        if !self.map.contains_key("time_zone") {
            self.faults.add(&self.at.key("time_zone"), FaultKind::Missing);
            return None;
        }
        if self.text("time_zone")? == DEVICE {
            let default = if self.map.contains_key("default_time_zone") {
                self.zone("default_time_zone")?
            } else {
                Zone::named(UTC)?
            };
            return Some(Clock::Device(default));
        }
        self.only_with("default_time_zone", "the `time_zone` `device`");
        self.zone("time_zone").map(Clock::Zone)
    }

    fn zone(&mut self, key: &str) -> Option<Zone> {
        let text = self.text(key)?;
        let zone = Zone::named(text);
        if zone.is_none() {
            let wrong = match meant(text) {
                Some(name) => format!("is not a time zone; did you mean `{name}`?"),
                None => "must be a time zone of the IANA database, as in `Europe/Berlin`".to_owned(),
            };
            self.invalid(key, &wrong);
        }
        zone
    }

    /// Reads `from` or `until`.
    fn bound(&mut self, key: &str) -> Option<Timestamp> {
        let at = moment(self.text(key)?);
        if at.is_none() {
            self.invalid(
                key,
                "must be a moment from 1970 to 4999, as in `2026-12-24T18:00:00Z`",
            );
        }
        at
    }

    /// Reads a field as text, if it is present.
    fn text(&mut self, key: &str) -> Option<&'f str> {
        let value = self.map.get(key)?;
        fault::string(value, &self.at.key(key), self.faults)
    }

    fn only_with(&mut self, key: &str, what: &str) {
        if self.map.contains_key(key) {
            self.conflict(key, &format!("is for {what} alone"));
        }
    }

    fn conflict(&mut self, key: &str, text: &str) {
        self.faults
            .add(&self.at.key(key), FaultKind::Conflict(text.to_owned()));
    }

    fn invalid(&mut self, key: &str, text: &str) {
        self.faults
            .add(&self.at.key(key), FaultKind::Invalid(text.to_owned()));
    }
}

/// The zone that a text means that is none: in another case, with spaces, or with the city alone.
fn meant(text: &str) -> Option<&'static str> {
    let text = text.trim().replace(' ', "_");
    let is_city = |name: &str| {
        let city = name.rsplit_once('/').map(|(_, city)| city);
        city.is_some_and(|city| city.eq_ignore_ascii_case(&text))
    };
    let mut known = names().iter().map(String::as_str);
    let whole = known.clone().find(|name| name.eq_ignore_ascii_case(&text));
    whole.or_else(|| known.find(|name| is_city(name)))
}

/// Parses an RFC 3339 time with an offset.
fn moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = plain(text)?.parse().ok()?;
    let at = Timestamp::from_millis(u64::try_from(at.as_millisecond()).ok()?);
    (at <= LATEST).then_some(at)
}

/// Returns the zone of a moment: that of its offset, or UTC.
fn offset(text: &str) -> Zone {
    let offset = text
        .len()
        .checked_sub(OFFSET_LEN)
        .and_then(|start| text.get(start..));
    offset
        .and_then(Zone::fixed)
        .unwrap_or_else(|| Zone::utc().clone())
}

/// Parses an RFC 3339 time without an offset.
fn civil(text: &str) -> Option<DateTime> {
    let at: DateTime = plain(text)?.parse().ok()?;
    let has_offset = text
        .bytes()
        .skip(DATE_LEN)
        .any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    (!has_offset && YEARS.contains(&at.year())).then_some(at)
}

/// Returns the text if it has a date and a time and nothing beyond RFC 3339. The parser would accept
/// annotations as well.
fn plain(text: &str) -> Option<&str> {
    // RFC 3339 allows a space, and many languages write one.
    let has_both = matches!(text.as_bytes().get(DATE_LEN), Some(b'T' | b't' | b' '));
    let has_minutes = text.as_bytes().get(DATE_LEN + 3) == Some(&b':');
    (has_both && has_minutes && !text.contains('[')).then_some(text)
}

/// The fields of a schedule.
const KNOWN: [&str; 6] = ["at", "cron", "time_zone", "default_time_zone", "from", "until"];

/// The value of `at` for the moment at which the campaign is scheduled.
const NOW: &str = "now";

/// The length of an offset in characters.
const OFFSET_LEN: usize = "+01:00".len();

/// The value of `time_zone` for each device's own zone.
const DEVICE: &str = "device";

/// The years that a schedule's times may be in. They stay a day away from the limits, whatever the zone.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=4999;

/// The length of a date in characters.
const DATE_LEN: usize = "2026-12-24".len();
