//! The zones of the IANA database, and the moment of a civil time in a zone.
//!
//! The database is part of the program, so results depend only on the program's version.

use std::sync::LazyLock;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use apns::time::Timestamp;

/// Whether `name` is a zone, as the IANA database writes it.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    names().binary_search_by(|known| known.as_str().cmp(name)).is_ok()
}

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    name: String,
    law: TimeZone,
}

impl Zone {
    /// Returns the zone with this name, if there is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        let law = is_zone(name).then(|| TimeZoneDatabase::bundled().get(name).ok())??;
        Some(Self {
            name: name.to_owned(),
            law,
        })
    }

    /// Returns the zone of a run: a named one, or a fixed offset such as `+01:00`.
    pub(super) fn of_run(name: &str) -> Option<Self> {
        Self::named(name).or_else(|| Self::fixed(name))
    }

    /// Returns a zone with a fixed offset, written as in RFC 3339.
    pub(super) fn fixed(offset: &str) -> Option<Self> {
        let (sign, digits) = offset.split_at_checked(1)?;
        let (hours, minutes) = digits.split_once(':')?;
        let seconds = (hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?) * 60;
        let seconds = match sign {
            "+" => seconds,
            "-" => -seconds,
            _ => return None,
        };
        let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
        Some(Self {
            name: name_of(seconds),
            law: TimeZone::fixed(offset),
        })
    }

    /// Returns UTC.
    pub(super) fn utc() -> &'static Self {
        static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone {
            name: super::UTC.to_owned(),
            law: TimeZone::UTC,
        });
        &ZONE
    }

    /// Returns all zones, sorted by name. The first call reads the whole database, which takes some
    /// milliseconds.
    pub(super) fn all() -> &'static [Self] {
        static ZONES: LazyLock<Vec<Zone>> =
            LazyLock::new(|| names().iter().filter_map(|name| Zone::named(name)).collect());
        &ZONES
    }

    /// The zone's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the civil time at a moment.
    pub(super) fn civil(&self, at: Timestamp) -> DateTime {
        let millis = i64::try_from(at.min(LATEST).as_millis()).unwrap_or_default();
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        self.law.to_datetime(at)
    }

    /// Returns the first moment at which clocks show `civil` or later.
    ///
    /// A skipped time is the end of the gap, and a repeated time is its first occurrence. A time before 1970
    /// becomes the beginning of that year.
    pub(super) fn moment(&self, civil: DateTime) -> Timestamp {
        let at = match self.law.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil),
            AmbiguousOffset::Gap { before, after } => before.to_timestamp(civil).map(|late| {
                // `late` uses the offset before the gap, so it is after the transition, by the distance of `civil`
                // from the gap's start.
                let end = late
                    .saturating_add(SignedDuration::from_millis(1))
                    .unwrap_or(late);
                let mut skips = self.law.preceding(end);
                let skip = skips.find(|skip| skip.offset() == after);
                skip.map_or(late, |skip| skip.timestamp())
            }),
        };
        let millis = at.map_or(i64::MAX, jiff::Timestamp::as_millisecond);
        Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}

/// Returns the name of a fixed offset.
fn name_of(seconds: i32) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    match seconds {
        0 => super::UTC.to_owned(),
        _ => format!(
            "{}{:02}:{:02}",
            if seconds < 0 { '-' } else { '+' },
            minutes / 60,
            minutes % 60
        ),
    }
}

/// Returns the names of all zones, sorted.
pub(super) fn names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let database = TimeZoneDatabase::bundled();
        let names = database.available().map(|name| name.as_str().to_owned());
        let mut names: Vec<String> = names.filter(|name| name != NO_PLACE).collect();
        names.sort_unstable();
        names
    });
    &NAMES
}

/// The name that the IANA database uses for a clock without a zone.
const NO_PLACE: &str = "Factory";

/// The end of the year 4999, up to which cron expressions are evaluated.
pub(super) const LATEST: Timestamp = Timestamp::from_secs(95_617_583_999);
