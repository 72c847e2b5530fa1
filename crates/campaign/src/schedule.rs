//! When a campaign is due: once, or by a cron expression, in one time zone or in each device's own.
//!
//! A cron expression is evaluated on civil time, without a zone. A civil time in a zone then means the first
//! moment at which clocks there show it, or a later time if they skip it. So a skipped time is due at the
//! first minute after the gap, and a repeated time is due once, at its first occurrence. Civil times at the
//! same moment are one occurrence. In scope: reading a schedule, its occurrences, and the window of a day in
//! which a run sends. Out of scope: what an occurrence does (`scheduler`).
//!
//! The zones are those of the IANA database in the program. Source: `crontab(5)` for the five fields of an
//! expression; RFC 5545, section 3.3.5, for the repeated hour.

mod cron;
mod read;
mod window;
mod zone;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::cron::Cron;
use self::zone::{LATEST, Zone};
use apns::time::Timestamp;

pub use window::Window;
pub use zone::is_zone;

/// When a campaign is due. Its JSON is what the caller wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Schedule {
    rule: Rule,
    /// No occurrence is earlier.
    from: Timestamp,
    /// No occurrence is later.
    until: Timestamp,
    document: Value,
}

/// A moment at which a campaign is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The moment.
    pub at: Timestamp,
    /// The zones of the devices, sorted; `""` stands for devices without a zone. `None` if it is for all
    /// devices.
    pub zones: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// As soon as it is scheduled.
    Now {
        zone: Option<Zone>,
    },
    Moment {
        at: Timestamp,
        zone: Zone,
    },
    Civil {
        times: Times,
        clock: Clock,
    },
}

/// The civil times of a schedule.
#[derive(Clone, Debug, PartialEq)]
enum Times {
    Once(DateTime),
    Cron(Cron),
}

/// The time zone in which a civil time is read.
#[derive(Clone, Debug, PartialEq)]
enum Clock {
    Zone(Zone),
    /// Each device's own. Devices without a zone use this one.
    Device(Zone),
}

impl Schedule {
    /// Returns the occurrences after `after` and up to `until`, the oldest first, at most `limit`.
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Occurrence> {
        // Starts one step before `from`, so that `from` itself is included.
        let after = after.max(self.from - INSTANT);
        let until = until.min(self.until).min(LATEST);
        match &self.rule {
            Rule::Now { .. } => Vec::new(),
            Rule::Moment { at, .. } => {
                let is_in = after < *at && *at <= until && limit > 0;
                is_in.then(|| Occurrence::of_all(*at)).into_iter().collect()
            }
            Rule::Civil {
                times,
                clock: Clock::Zone(zone),
            } => {
                let moments = times.moments(zone, after, until);
                moments.take(limit).map(Occurrence::of_all).collect()
            }
            Rule::Civil {
                times,
                clock: Clock::Device(default),
            } => on_devices(times, default, after, until, limit),
        }
    }

    /// Returns the next occurrence after `after`, if there is one.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.between(after, LATEST, 1).first().map(|next| next.at)
    }

    /// Returns the schedule of a campaign that is scheduled at `now`: `"at": "now"` becomes this moment.
    #[must_use]
    pub fn begun(&self, now: Timestamp) -> Self {
        let Rule::Now { zone } = &self.rule else {
            return self.clone();
        };
        let mut document = self.document.clone();
        if let Some(at) = document.get_mut("at") {
            *at = now.to_string().into();
        }
        let zone = zone.clone().unwrap_or_else(|| Zone::utc().clone());
        Self {
            rule: Rule::Moment { at: now, zone },
            document,
            ..self.clone()
        }
    }

    /// Returns the first occurrence of a campaign that is scheduled at `now`, if there is one. A schedule
    /// with one time may be past by up to `grace`.
    #[must_use]
    pub fn first(&self, grace: Duration, now: Timestamp) -> Option<Timestamp> {
        if self.is_once() {
            self.begun(now).next(now - grace - INSTANT)
        } else {
            self.next(now)
        }
    }

    /// Whether the schedule has one time, in one zone or in each device's.
    #[must_use]
    pub const fn is_once(&self) -> bool {
        matches!(
            &self.rule,
            Rule::Now { .. }
                | Rule::Moment { .. }
                | Rule::Civil {
                    times: Times::Once(_),
                    ..
                }
        )
    }

    /// Whether the schedule has no time zone that a window could use.
    #[must_use]
    pub const fn has_no_clock(&self) -> bool {
        matches!(&self.rule, Rule::Now { zone: None })
    }

    /// Whether the schedule uses each device's own time zone.
    #[must_use]
    pub const fn is_device_time(&self) -> bool {
        matches!(
            &self.rule,
            Rule::Civil {
                clock: Clock::Device(_),
                ..
            }
        )
    }

    /// Returns the zone that a run for `zones` uses, for example for its window: the schedule's zone or, in
    /// the devices' own time, the first of `zones`.
    ///
    /// A schedule that is one moment uses the offset of that moment.
    #[must_use]
    pub fn zone<'z>(&'z self, zones: Option<&'z [String]>) -> &'z str {
        match &self.rule {
            Rule::Now { zone } => zone.as_ref().map_or(UTC, Zone::name),
            Rule::Moment { zone, .. } => zone.name(),
            Rule::Civil {
                clock: Clock::Zone(zone),
                ..
            } => zone.name(),
            Rule::Civil {
                clock: Clock::Device(default),
                ..
            } => {
                let first = zones.and_then(<[String]>::first).filter(|zone| !zone.is_empty());
                first.map_or(default.name(), String::as_str)
            }
        }
    }
}

impl Occurrence {
    const fn of_all(at: Timestamp) -> Self {
        Self { at, zones: None }
    }
}

impl Times {
    /// Returns the first time after `civil`, if there is one.
    fn after(&self, civil: DateTime) -> Option<DateTime> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > civil),
            Self::Cron(cron) => cron.after(civil),
        }
    }

    /// Returns the moments in a zone after `after` and up to `until`, the oldest first, each once.
    ///
    /// A later civil time is never an earlier moment, so the search starts at the civil time of `after`.
    fn moments(
        &self,
        zone: &Zone,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + use<'_> {
        let (zone, mut civil, mut last) = (zone.clone(), zone.civil(after), after);
        std::iter::from_fn(move || {
            loop {
                civil = self.after(civil)?;
                let at = zone.moment(civil);
                if at > until {
                    return None;
                }
                if at > last {
                    last = at;
                    return Some(at);
                }
            }
        })
    }
}

/// Returns the occurrences in all zones, one slice of time after the other.
fn on_devices(
    times: &Times,
    default: &Zone,
    after: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Vec<Occurrence> {
    let (mut found, mut start) = (Vec::new(), after);
    while found.len() < limit && start < until {
        // There may be years between two times of the schedule, so this skips to the next one.
        let Some(civil) = times.after(earliest_clock(start)) else {
            break;
        };
        start = start.max(Zone::utc().moment(civil) - AHEAD - INSTANT);
        let end = until.min(start + SLICE);
        if start < end {
            in_slice(times, default, start, end, &mut found);
        }
        start = end;
    }
    found.truncate(limit);
    found
}

/// Adds the occurrences after `start` and up to `end`.
///
/// The times of the schedule are computed once for all zones, because a cron expression costs more than a
/// zone.
fn in_slice(times: &Times, default: &Zone, start: Timestamp, end: Timestamp, found: &mut Vec<Occurrence>) {
    let latest = Zone::utc().civil(end + AHEAD);
    let civils = std::iter::successors(times.after(earliest_clock(start)), |civil| times.after(*civil));
    let civils: Vec<DateTime> = civils.take_while(|civil| *civil <= latest).collect();
    let mut moments: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    let mut strike = |zone: &Zone, name: &str| {
        let shown = zone.civil(start);
        let first = civils.partition_point(|civil| *civil <= shown);
        let mut last = start;
        for civil in civils.iter().skip(first) {
            let at = zone.moment(*civil);
            if at > end {
                break;
            }
            if at > last {
                moments.entry(at).or_default().push(name.to_owned());
                last = at;
            }
        }
    };
    strike(default, "");
    for zone in Zone::all() {
        strike(zone, zone.name());
    }
    let occurrences = moments.into_iter().map(|(at, zones)| Occurrence {
        at,
        zones: Some(zones),
    });
    found.extend(occurrences);
}

/// Returns a civil time that is not later than any clock in the world at `at`.
fn earliest_clock(at: Timestamp) -> DateTime {
    let behind = SignedDuration::try_from(BEHIND).unwrap_or_default();
    Zone::utc().civil(at).saturating_sub(behind)
}

/// The resolution of a [`Timestamp`].
const INSTANT: Duration = Duration::from_millis(1);

/// More than any zone is behind UTC: at most 12 hours since 1970.
const BEHIND: Duration = Duration::from_hours(14);

/// More than any zone is ahead of UTC: at most 14 hours since 1970.
const AHEAD: Duration = Duration::from_hours(15);

/// The slice of time that is searched at once: long enough that a year has few slices, short enough for a
/// campaign that is due each minute.
const SLICE: Duration = Duration::from_hours(1);

/// The zone if none is given.
const UTC: &str = "UTC";

#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod tests;
