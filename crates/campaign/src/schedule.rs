//! When a campaign is due: once, or by a cron expression, on the clocks of one zone or on each device's own.
//!
//! A cron expression is about clocks on walls, so it is evaluated on civil time, without any zone. Which moment a civil
//! time is in a zone is one rule: the first moment at which the clocks there show it or, where they skip it, a later
//! time. A skipped time is so due at the first minute after the gap, and a repeated one at its first coming alone;
//! civil times that fall on one moment are one occurrence. In scope: reading a schedule, its occurrences, the window of
//! a day in which is sent. Out of scope: what is done when one comes (`scheduler`).
//!
//! The zones are those of the IANA database that is in the program. Source: `crontab(5)` for the expressions, five
//! fields; RFC 5545, section 3.3.5, for the repeated hour.

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

/// When a campaign is due. As JSON it is what its caller wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Schedule {
    rule: Rule,
    /// No occurrence comes before.
    from: Timestamp,
    /// No occurrence comes later.
    until: Timestamp,
    document: Value,
}

/// A moment at which a campaign is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The moment.
    pub at: Timestamp,
    /// The zones whose devices it is for, in the order of their names; `""` stands for devices without a zone. Nothing
    /// if it is for all devices.
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

/// Times on a clock.
#[derive(Clone, Debug, PartialEq)]
enum Times {
    Once(DateTime),
    Cron(Cron),
}

/// Whose clock it is.
#[derive(Clone, Debug, PartialEq)]
enum Clock {
    Zone(Zone),
    /// Each device's own; devices without a zone go by the one here.
    Device(Zone),
}

impl Schedule {
    /// The occurrences after `after` and up to `until`, the oldest first, at most `limit`.
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Occurrence> {
        // Nothing lies between the moment before `from` and itself.
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

    /// When it is next due after `after`, if ever.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.between(after, LATEST, 1).first().map(|next| next.at)
    }

    /// The schedule of a campaign that is scheduled at `now`: what is due `now` is due at this moment.
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

    /// When a campaign is first due that is scheduled at `now`, if it will be. What is due once may be as late as a run may
    /// start.
    #[must_use]
    pub fn first(&self, grace: Duration, now: Timestamp) -> Option<Timestamp> {
        if self.is_once() {
            self.begun(now).next(now - grace - INSTANT)
        } else {
            self.next(now)
        }
    }

    /// Whether it names one time, on one clock or on each device's.
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

    /// Whether no clock is known that a window could go by.
    #[must_use]
    pub const fn has_no_clock(&self) -> bool {
        matches!(&self.rule, Rule::Now { zone: None })
    }

    /// Whether it goes by each device's own clock.
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

    /// The zone of a run for these zones, for what goes by the run's clock, such as its window: the schedule's, or the
    /// first of the run's own if it goes by the devices' clocks. A schedule that is one moment has that of its offset.
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
    /// The first time after `civil`, if there is one.
    fn after(&self, civil: DateTime) -> Option<DateTime> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > civil),
            Self::Cron(cron) => cron.after(civil),
        }
    }

    /// The moments in a zone after `after` and up to `until`, the oldest first, each once.
    ///
    /// A later civil time is never an earlier moment: what the clocks show at `after`, and all before, is past.
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

/// The occurrences on the clocks of all zones, from one slice of time to the next.
fn on_devices(
    times: &Times,
    default: &Zone,
    after: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Vec<Occurrence> {
    let (mut found, mut start) = (Vec::new(), after);
    while found.len() < limit && start < until {
        // Between two times of the schedule there may be years.
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
/// The times of the schedule are found once for all zones: a cron expression costs more than a zone.
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

/// What no clock of the world is behind at `at`.
fn earliest_clock(at: Timestamp) -> DateTime {
    let behind = SignedDuration::try_from(BEHIND).unwrap_or_default();
    Zone::utc().civil(at).saturating_sub(behind)
}

/// The smallest step of time there is.
const INSTANT: Duration = Duration::from_millis(1);

/// More than any zone is behind UTC: since 1970 that was never over 12 hours.
const BEHIND: Duration = Duration::from_hours(14);

/// More than any zone is ahead of UTC: since 1970 that was never over 14 hours.
const AHEAD: Duration = Duration::from_hours(15);

/// What is looked at together: long enough that a year has few of them, short enough for a campaign of each minute.
const SLICE: Duration = Duration::from_hours(1);

/// The zone of what states none.
const UTC: &str = "UTC";

#[cfg(test)]
mod known;
#[cfg(test)]
mod tests;
