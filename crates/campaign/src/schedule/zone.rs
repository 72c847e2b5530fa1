//! The zones of the IANA database that is in the program, and which moment a time on their clocks is.
//!
//! The database is a part of the program, so that what it says depends on nothing but the version of the program.

use std::sync::LazyLock;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use apns::time::Timestamp;

/// Whether a name is one of a zone, as the IANA database writes it.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    names().binary_search_by(|known| known.as_str().cmp(name)).is_ok()
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    name: String,
    law: TimeZone,
}

impl Zone {
    /// The zone of a name, if there is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        let law = is_zone(name).then(|| TimeZoneDatabase::bundled().get(name).ok())??;
        Some(Self {
            name: name.to_owned(),
            law,
        })
    }

    /// The zone that a run goes by: one of a name, or a fixed offset such as `+01:00`.
    pub(super) fn of_run(name: &str) -> Option<Self> {
        Self::named(name).or_else(|| Self::fixed(name))
    }

    /// The clocks that are always so far from universal time: what stands behind a time in RFC 3339.
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

    /// The zone whose clocks show universal time.
    pub(super) fn utc() -> &'static Self {
        static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone {
            name: super::UTC.to_owned(),
            law: TimeZone::UTC,
        });
        &ZONE
    }

    /// All zones, in the order of their names. The first call reads the whole database, which takes some milliseconds.
    pub(super) fn all() -> &'static [Self] {
        static ZONES: LazyLock<Vec<Zone>> =
            LazyLock::new(|| names().iter().filter_map(|name| Zone::named(name)).collect());
        &ZONES
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What its clocks show at a moment.
    pub(super) fn civil(&self, at: Timestamp) -> DateTime {
        let millis = i64::try_from(at.min(LATEST).as_millis()).unwrap_or_default();
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        self.law.to_datetime(at)
    }

    /// The first moment at which its clocks show `civil` or later: a time that they skip is when they have skipped it, and
    /// one that they repeat is its first coming. What lies before 1970 is held to that year's beginning.
    pub(super) fn moment(&self, civil: DateTime) -> Timestamp {
        let at = match self.law.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil),
            AmbiguousOffset::Gap { before, after } => before.to_timestamp(civil).map(|late| {
                // By the clocks as they were before, `civil` is as long after the skip as it lies in what was skipped.
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

/// The name of a fixed offset.
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

/// The names of all zones, in their order.
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

/// What a clock is set to whose owner has chosen no zone yet.
const NO_PLACE: &str = "Factory";

/// The end of the year 4999: cron expressions are evaluated up to there.
pub(super) const LATEST: Timestamp = Timestamp::from_secs(95_617_583_999);
