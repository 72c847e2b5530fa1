use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;

pub(super) fn moment(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
}

pub(super) fn schedule(document: Value) -> Schedule {
    Schedule::try_from(document).unwrap()
}

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_moment_is_due_once_and_between_means_after_and_up_to() {
    let schedule = schedule(json!({"at": "2026-12-24T18:00:00+01:00"}));
    let at = moment("2026-12-24T17:00:00Z");
    assert_eq!(schedule.between(at - INSTANT, at, 9), [Occurrence::of_all(at)]);
    assert_eq!(schedule.between(at, LATEST, 9), []);
    assert_eq!(schedule.between(Timestamp::default(), at - INSTANT, 9), []);
    assert_eq!(schedule.between(Timestamp::default(), LATEST, 0), []);
    assert_eq!((schedule.next(at - INSTANT), schedule.next(at)), (Some(at), None));
}

#[test]
fn from_and_until_are_in_themselves() {
    for zone in ["UTC", "device"] {
        let (first, last) = ("2026-03-02T09:00:00Z", "2026-03-04T09:00:00Z");
        let document = json!({"cron": "0 9 * * *", "time_zone": zone, "from": first, "until": last});
        let schedule = schedule(document);
        let found = schedule.between(Timestamp::default(), LATEST, 10_000);
        let of_utc = |occurrence: &&Occurrence| match &occurrence.zones {
            Some(zones) => zones.contains(&String::new()),
            None => true,
        };
        let moments: Vec<Timestamp> = found
            .iter()
            .filter(of_utc)
            .map(|occurrence| occurrence.at)
            .collect();
        assert_eq!(
            moments,
            [moment(first), moment("2026-03-03T09:00:00Z"), moment(last)],
            "{zone}"
        );
        assert_eq!(found.first().unwrap().at, moment(first));
        assert_eq!(found.last().unwrap().at, moment(last));
        assert_eq!(schedule.next(moment(last)), None);
    }
}

#[test]
fn the_next_occurrence_is_found_however_far_it_is() {
    let now = moment("2026-03-02T00:00:00Z");
    let yearly = schedule(json!({"cron": "0 12 29 2 *", "time_zone": "device"}));
    // Kiritimati is fourteen hours ahead.
    assert_eq!(yearly.next(now), Some(moment("2028-02-28T22:00:00Z")));
    assert_eq!(yearly.next(LATEST), None);
    let once = schedule(json!({"at": "2500-01-01T00:00", "time_zone": "device"}));
    assert_eq!(once.next(now), Some(moment("2499-12-31T10:00:00Z")));
    assert_eq!(once.next(moment("2500-01-02T00:00:00Z")), None);
}

#[test]
fn no_moment_is_too_far() {
    for document in [
        json!({"cron": "* * * * *", "time_zone": "Europe/Berlin"}),
        json!({"cron": "* * * * *", "time_zone": "device"}),
        json!({"at": "4999-12-31T23:59:59", "time_zone": "Pacific/Pago_Pago"}),
    ] {
        let schedule = schedule(document);
        let far = Timestamp::from_millis(u64::MAX);
        assert_eq!(schedule.between(far, far, 9), []);
        assert_eq!(schedule.next(far), None);
        let _ = schedule.between(Timestamp::default(), far, 3);
    }
}

#[test]
fn a_run_goes_by_the_clock_of_its_schedule_or_of_its_own_zones() {
    let moment = schedule(json!({"at": "2026-12-24T18:00:00Z"}));
    assert_eq!((moment.zone(None), moment.is_device_time()), ("UTC", false));
    for (at, expected) in [
        ("2026-12-24T18:00:00+01:00", "+01:00"),
        ("2026-12-24T18:00:00-03:30", "-03:30"),
        ("2026-12-24T18:00:00+00:00", "UTC"),
        ("2026-12-24T18:00:00.5z", "UTC"),
    ] {
        assert_eq!(schedule(json!({"at": at})).zone(None), expected);
        let zoned = schedule(json!({"at": at, "time_zone": "Asia/Tokyo"}));
        assert_eq!(
            (zoned.zone(None), zoned.next(Timestamp::default())),
            (
                "Asia/Tokyo",
                schedule(json!({"at": at})).next(Timestamp::default())
            )
        );
    }
    let now = schedule(json!({"at": "now"}));
    assert!(
        now.has_no_clock()
            && !now
                .begun(moment.next(Timestamp::default()).unwrap())
                .has_no_clock()
    );
    assert!(!schedule(json!({"at": "now", "time_zone": "Europe/Berlin"})).has_no_clock());
    let zoned = schedule(json!({"at": "2026-12-24T18:00", "time_zone": "Europe/Berlin"}));
    assert_eq!(
        (zoned.zone(None), zoned.is_device_time()),
        ("Europe/Berlin", false)
    );
    let document =
        json!({"at": "2026-12-24T18:00", "time_zone": "device", "default_time_zone": "Asia/Tokyo"});
    let device = schedule(document);
    let zones = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        device.zone(Some(&zones(&["Europe/Paris", "Europe/Rome"]))),
        "Europe/Paris"
    );
    assert_eq!(device.zone(Some(&zones(&["", "Asia/Seoul"]))), "Asia/Tokyo");
    assert!(device.is_device_time());
}

#[test]
fn names_of_zones_are_those_of_the_database() {
    for name in [
        "UTC",
        "Europe/Berlin",
        "Etc/GMT+5",
        "America/Argentina/Buenos_Aires",
        "US/Pacific",
    ] {
        assert!(is_zone(name), "{name}");
    }
    for name in [
        "",
        "europe/berlin",
        "Europe/Atlantis",
        "Factory",
        "posixrules",
        "localtime",
        "device",
        "+01:00",
    ] {
        assert!(!is_zone(name), "{name}");
    }
    assert_eq!(Zone::all().len(), zone::names().len());
    assert!(Zone::all().len() > 550);
}

#[test]
fn no_zone_is_further_from_utc_than_is_looked_for() {
    let mut at = Timestamp::default();
    while at < moment("2040-01-01T00:00:00Z") {
        for zone in Zone::all() {
            let (shown, utc) = (zone.civil(at), Zone::utc().civil(at));
            let hours = shown.duration_since(utc).as_hours();
            assert!((-12..=14).contains(&hours), "{} {at}", zone.name());
        }
        at = at + 30 * DAY;
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_its_faults() {
    let at_fault = "/at: must be `now` or a time from 1970 to 4999, as in `2026-12-24T18:00:00Z` or, with a `time_zone`, \
                    `2026-12-24T18:00`";
    for (document, expected) in [
        (json!("0 9 * * *"), "the body must be an object, but is a string"),
        (
            json!({}),
            "the body needs `at`, for once, or `cron`; /time_zone: is required",
        ),
        (
            json!({"at": "2026-12-24T18:00:00Z", "cron": "* * * * *"}),
            "/cron: contradicts `at`",
        ),
        (
            json!({"at": "2026-12-24T18:00:00Z", "time_zone": "UTC", "until": "2026-12-25T00:00:00Z"}),
            "/until: is for `cron` alone",
        ),
        (json!({"at": "2026-12-24T18:00"}), "/time_zone: is required"),
        (
            json!({"at": 7, "time_zone": "UTC"}),
            "/at: must be a string, but is a number",
        ),
        (json!({"at": "2026-12-24", "time_zone": "UTC"}), at_fault),
        (json!({"at": "2026-12-24T18", "time_zone": "UTC"}), at_fault),
        (json!({"at": "2026-02-30T18:00", "time_zone": "UTC"}), at_fault),
        (
            json!({"at": "2026-12-24T18:00[Europe/Berlin]", "time_zone": "UTC"}),
            at_fault,
        ),
        (json!({"at": "1969-12-24T18:00", "time_zone": "UTC"}), at_fault),
        (
            json!({"at": "5000-01-01T00:00:00Z", "time_zone": "UTC"}),
            at_fault,
        ),
        (json!({"cron": "0 9 * * *"}), "/time_zone: is required"),
        (
            json!({"cron": "0 9 30 2 *", "time_zone": "UTC"}),
            "/cron: is never due: no month that it names has such a day",
        ),
        (
            json!({"cron": "0 25 * * *", "time_zone": "europe/berlin"}),
            "/cron: the hour must be from 0 to 23, but is `25`; /time_zone: is not a time zone; did you mean \
             `Europe/Berlin`?",
        ),
        (
            json!({"cron": "0 9 * * *", "time_zone": "+01:00"}),
            "/time_zone: must be a time zone of the IANA database, as in `Europe/Berlin`",
        ),
        (
            json!({"cron": "0 9 * * *", "time_zone": "UTC", "default_time_zone": "UTC"}),
            "/default_time_zone: is for the `time_zone` `device` alone",
        ),
        (
            json!({"cron": "0 9 * * *", "time_zone": "device", "default_time_zone": "device"}),
            "/default_time_zone: must be a time zone of the IANA database, as in `Europe/Berlin`",
        ),
        (
            json!({"cron": "0 9 * * *", "time_zone": "UTC", "from": "2026-12-24", "until": "2026-12-24T18:00"}),
            "/from: must be a moment from 1970 to 4999, as in `2026-12-24T18:00:00Z`; /until: must be a moment from \
             1970 to 4999, as in `2026-12-24T18:00:00Z`",
        ),
        (
            json!({"cron": "0 9 * * *", "time_zone": "UTC", "from": "2026-12-24T18:00:00Z", "until": "2026-12-24T17:00:00Z"}),
            "/until: lies before `from`",
        ),
        (
            json!({"cron": "0 9 * * *", "timezone": "UTC"}),
            "/timezone: is not a known field; did you mean `time_zone`?; /time_zone: is required",
        ),
    ] {
        let faults = Schedule::try_from(document.clone()).unwrap_err();
        assert_eq!(faults.to_string(), expected, "{document}");
    }
}

#[test]
fn a_zone_that_is_written_otherwise_is_told_its_name() {
    for (written, name) in [
        ("europe/berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("berlin", "Europe/Berlin"),
        (" Asia/Tokyo", "Asia/Tokyo"),
    ] {
        let document = json!({"cron": "0 9 * * *", "time_zone": written});
        let faults = Schedule::try_from(document).unwrap_err();
        assert_eq!(
            faults.to_string(),
            format!("/time_zone: is not a time zone; did you mean `{name}`?")
        );
    }
}

#[test]
fn a_space_may_stand_between_date_and_time() {
    for (spaced, other) in [
        ("2026-12-24 18:00:00Z", "2026-12-24T18:00:00Z"),
        ("2026-12-24 18:00", "2026-12-24T18:00"),
    ] {
        let read = |at: &str| {
            Schedule::try_from(json!({"at": at, "time_zone": "UTC"}))
                .unwrap()
                .rule
        };
        assert_eq!(read(spaced), read(other));
    }
}

#[test]
fn a_schedule_format_unchanged() {
    // Campaigns are stored with it, and callers read what they wrote.
    let text = r#"{"until":"2026-12-24T18:00:00+01:00","cron":"0 9 * * MON","time_zone":"device","from":"2026-01-01T00:00:00Z","default_time_zone":"Europe/Berlin"}"#;
    let schedule: Schedule = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
    let occurrence = Occurrence {
        at: Timestamp::from_millis(7),
        zones: Some(vec![String::new(), "UTC".to_owned()]),
    };
    let text = r#"{"at":7,"zones":["","UTC"]}"#;
    assert_eq!(serde_json::to_string(&occurrence).unwrap(), text);
}

/// Generates schedules with times near and within DST changes.
fn schedules() -> impl Strategy<Value = Schedule> {
    let cron = prop::sample::select(vec![
        "*/15 * * * *",
        "30 2 * * *",
        "0 0 * * *",
        "*/7 1-3 * * *",
        "0 9 * * 1",
        "30 1,2 28-31 * *",
    ]);
    let zone = prop::sample::select(vec![
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "device",
    ]);
    (cron, zone).prop_map(|(cron, zone)| schedule(json!({"cron": cron, "time_zone": zone})))
}

/// Generates moments at which the zones of [`schedules`] change.
fn changes() -> impl Strategy<Value = Timestamp> {
    let moments = vec![
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-10-03T15:30:00Z",
        "2011-12-30T10:00:00Z",
        "2018-11-04T03:00:00Z",
        "2026-07-01T00:00:00Z",
    ];
    prop::sample::select(moments).prop_map(moment)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_asked_for_in_parts_is_what_is_asked_for_at_once(
        schedule in schedules(),
        change in changes(),
        before_ms in 0..14_400_000_u64,
        after_ms in 0..14_400_000_u64,
        splits in prop::collection::vec(0..28_800_000_u64, 0..5),
    ) {
        let start = change - Duration::from_millis(before_ms);
        let end = change + Duration::from_millis(after_ms);
        let whole = schedule.between(start, end, usize::MAX);
        let mut points: BTreeSet<Timestamp> =
            splits.into_iter().map(|split| (start + Duration::from_millis(split)).min(end)).collect();
        points.insert(end);
        let (mut parts, mut from) = (Vec::new(), start);
        for point in points {
            parts.extend(schedule.between(from, point, usize::MAX));
            from = point;
        }
        prop_assert_eq!(&parts, &whole);
        for pair in whole.windows(2) {
            prop_assert!(pair[0].at < pair[1].at);
        }
        // One at a time, as the scheduler asks that looks for the next.
        let mut last = start;
        for occurrence in &whole {
            prop_assert_eq!(schedule.next(last), Some(occurrence.at));
            last = occurrence.at;
        }
    }

    #[test]
    fn each_time_on_a_clock_is_used_once_at_the_first_moment_that_shows_it_or_a_later_one(
        schedule in schedules(),
        change in changes(),
    ) {
        let Rule::Civil { times, clock } = &schedule.rule else { unreachable!() };
        let (start, end) = (change - 2 * DAY, change + 2 * DAY);
        let found = schedule.between(start, end, usize::MAX);
        let names = match clock {
            Clock::Zone(zone) => vec![zone.name()],
            Clock::Device(_) => vec!["Pacific/Apia", "Europe/Berlin", "Australia/Lord_Howe"],
        };
        for name in names {
            let zone = Zone::named(name).unwrap();
            let own = |occurrence: &&Occurrence| match &occurrence.zones {
                Some(zones) => zones.iter().any(|own| own == name),
                None => true,
            };
            let moments: Vec<Timestamp> = found.iter().filter(own).map(|found| found.at).collect();
            // Minute by minute: what is due is what the clocks have come to or passed for the first time.
            let (mut expected, mut next) = (Vec::new(), times.after(zone.civil(start)));
            let mut at = Timestamp::from_millis(start.as_millis().next_multiple_of(60_000));
            while at <= end {
                let shown = zone.civil(at);
                let mut is_due = false;
                while next.is_some_and(|next| next <= shown) {
                    is_due = true;
                    next = next.and_then(|next| times.after(next));
                }
                if is_due {
                    expected.push(at);
                }
                at = at + Duration::from_secs(60);
            }
            prop_assert_eq!(moments, expected, "{}", name);
        }
    }
}
