//! Schedules and their occurrences, case by case, derived from the published law of the zones and not from
//! our own arithmetic.

use serde_json::{Value, json};

use super::tests::{moment, schedule};
use super::*;

/// Returns the first occurrences after a moment as text, at most `count`.
fn due(document: Value, after: &str, count: usize) -> Vec<String> {
    let found = schedule(document).between(moment(after), LATEST, count);
    assert!(found.iter().all(|occurrence| occurrence.zones.is_none()));
    found.into_iter().map(|occurrence| text(occurrence.at)).collect()
}

fn text(at: Timestamp) -> String {
    at.to_string().replace(":00.000Z", "Z")
}

/// Returns the occurrences in these zones in the devices' own time, each with its zones.
fn on_clocks(document: Value, zones: &[&str], after: &str, until: &str) -> Vec<(String, Vec<String>)> {
    let found = schedule(document).between(moment(after), moment(until), usize::MAX);
    let of_interest = |occurrence: Occurrence| {
        let mut own = occurrence.zones.unwrap();
        own.retain(|zone| zones.contains(&zone.as_str()));
        (!own.is_empty()).then(|| (text(occurrence.at), own))
    };
    found.into_iter().filter_map(of_interest).collect()
}

#[test]
fn a_cron_expression_is_due_on_the_clocks_of_its_zone() {
    let table: [(&str, &str, &str, &[&str]); 19] = [
        // North: Berlin skips 02:00 to 03:00 on 29 March 2026, and has it twice on 25 October.
        (
            "0 9 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00:00Z",
            &["2026-03-28T08:00Z", "2026-03-29T07:00Z"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00Z", "2026-03-30T00:30Z"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30Z", "2026-10-26T01:30Z"],
        ),
        (
            "*/15 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:30:00Z",
            &["2026-03-29T00:45Z", "2026-03-29T01:00Z", "2026-03-29T01:15Z"],
        ),
        (
            "*/15 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            &["2026-10-25T00:45Z", "2026-10-25T02:00Z", "2026-10-25T02:15Z"],
        ),
        // New York skips 02:00 to 03:00 on 8 March 2026, and has 01:00 to 02:00 twice on 1 November.
        (
            "0 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            &["2026-03-08T07:00Z", "2026-03-09T06:00Z"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            &["2026-11-01T05:30Z", "2026-11-02T06:30Z"],
        ),
        // South: Sydney has 02:00 to 03:00 twice on 5 April 2026, and skips it on 4 October.
        (
            "30 2 * * *",
            "Australia/Sydney",
            "2026-04-04T00:00:00Z",
            &["2026-04-04T15:30Z", "2026-04-05T16:30Z"],
        ),
        (
            "30 2 * * *",
            "Australia/Sydney",
            "2026-10-02T20:00:00Z",
            &["2026-10-03T16:00Z", "2026-10-04T15:30Z"],
        ),
        // Lord Howe changes by half an hour: it has 01:30 to 02:00 twice on 5 April 2026, and skips 02:00 to
        // 02:30 on 4 October.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            &["2026-04-04T14:45Z", "2026-04-05T15:15Z"],
        ),
        (
            "10 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:30Z", "2026-10-04T15:10Z"],
        ),
        (
            "40 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:40Z", "2026-10-04T15:40Z"],
        ),
        // Leap days and ends of months.
        (
            "0 12 29 2 *",
            "Asia/Tokyo",
            "2026-01-01T00:00:00Z",
            &["2028-02-29T03:00Z", "2032-02-29T03:00Z"],
        ),
        (
            "0 12 29 2 *",
            "Asia/Tokyo",
            "2096-03-01T00:00:00Z",
            &["2104-02-29T03:00Z"],
        ),
        (
            "0 0 31 * *",
            "UTC",
            "2026-03-31T00:00:00Z",
            &["2026-05-31T00:00Z", "2026-07-31T00:00Z"],
        ),
        // Istanbul stayed on summer time for good in 2016.
        (
            "0 9 * 11 *",
            "Europe/Istanbul",
            "2015-11-29T12:00:00Z",
            &["2015-11-30T07:00Z", "2016-11-01T06:00Z"],
        ),
        // Samoa had no 30 December 2011: it passed from the eastern to the western side of the date line.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00:00Z",
            &["2011-12-29T19:00Z", "2011-12-30T10:00Z", "2011-12-30T19:00Z"],
        ),
        // Brazil's last summer time began in November 2018, at midnight; in 2019 there was none.
        (
            "0 0 4 11 *",
            "America/Sao_Paulo",
            "2018-01-01T00:00:00Z",
            &["2018-11-04T03:00Z", "2019-11-04T03:00Z"],
        ),
        // Pyongyang went back by half an hour at midnight of 15 August 2015, and forward on 4 May 2018 at
        // 23:30.
        (
            "45 23 * * *",
            "Asia/Pyongyang",
            "2018-05-03T00:00:00Z",
            &["2018-05-03T15:15Z", "2018-05-04T15:00Z", "2018-05-05T14:45Z"],
        ),
    ];
    for (cron, zone, after, expected) in table {
        let document = json!({"cron": cron, "time_zone": zone});
        assert_eq!(due(document, after, expected.len()), expected, "{cron} {zone}");
    }
}

#[test]
fn a_half_hour_that_a_law_repeated_is_used_once() {
    let document = json!({"cron": "45 23 14 8 *", "time_zone": "Asia/Pyongyang"});
    assert_eq!(
        due(document, "2015-08-01T00:00:00Z", 2),
        ["2015-08-14T14:45Z", "2016-08-14T15:15Z"]
    );
}

#[test]
fn the_times_of_a_skipped_day_are_one_occurrence() {
    let document = json!({"cron": "0 * * * *", "time_zone": "Pacific/Apia"});
    assert_eq!(
        due(document, "2011-12-30T08:30:00Z", 3),
        ["2011-12-30T09:00Z", "2011-12-30T10:00Z", "2011-12-30T11:00Z"]
    );
}

#[test]
fn a_time_that_is_skipped_is_due_when_the_clocks_have_skipped_it() {
    for (at, zone, expected) in [
        ("2026-03-29T01:59", "Europe/Berlin", "2026-03-29T00:59Z"),
        ("2026-03-29T02:00", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-03-29T02:59:59", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00Z"),
        ("2026-03-29T03:01", "Europe/Berlin", "2026-03-29T01:01Z"),
        ("2026-10-25T02:00", "Europe/Berlin", "2026-10-25T00:00Z"),
        ("2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00Z"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00Z"),
        ("2018-11-04T00:30", "America/Sao_Paulo", "2018-11-04T03:00Z"),
        // By today's law for all years to come.
        ("2500-07-01T12:00", "Europe/Berlin", "2500-07-01T10:00Z"),
    ] {
        let document = json!({"at": at, "time_zone": zone});
        assert_eq!(
            due(document, "1990-01-01T00:00:00Z", 9),
            [expected],
            "{at} {zone}"
        );
    }
}

#[test]
fn on_the_devices_clocks_each_zone_has_its_own_moment() {
    let zones = [
        "",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Tokyo",
        "Europe/Berlin",
        "Europe/Vienna",
        "Pacific/Kiritimati",
    ];
    let found = on_clocks(
        json!({"at": "2026-12-24T18:00", "time_zone": "device", "default_time_zone": "Europe/Berlin"}),
        &zones,
        "2026-12-20T00:00:00Z",
        "2026-12-31T00:00:00Z",
    );
    let expected: [(&str, &[&str]); 5] = [
        ("2026-12-24T04:00Z", &["Pacific/Kiritimati"]),
        ("2026-12-24T09:00Z", &["Asia/Tokyo"]),
        ("2026-12-24T12:30Z", &["Asia/Kolkata"]),
        ("2026-12-24T17:00Z", &["", "Europe/Berlin", "Europe/Vienna"]),
        ("2026-12-24T23:00Z", &["America/New_York"]),
    ];
    let expected = expected.map(|(at, zones)| {
        (
            at.to_owned(),
            zones.iter().map(|zone| (*zone).to_owned()).collect(),
        )
    });
    assert_eq!(found, expected);
}

#[test]
fn on_the_devices_clocks_a_skipped_hour_is_made_up_for_and_a_repeated_one_is_used_once() {
    let zones = ["", "Africa/Lagos", "Europe/Berlin"];
    let document = json!({"cron": "30 2 * * *", "time_zone": "device"});
    let spring = on_clocks(
        document.clone(),
        &zones,
        "2026-03-29T00:00:00Z",
        "2026-03-29T12:00:00Z",
    );
    let autumn = on_clocks(document, &zones, "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z");
    let one = |at: &str, zone: &str| (at.to_owned(), vec![zone.to_owned()]);
    assert_eq!(
        spring,
        [
            one("2026-03-29T01:00Z", "Europe/Berlin"),
            one("2026-03-29T01:30Z", "Africa/Lagos"),
            one("2026-03-29T02:30Z", "")
        ]
    );
    assert_eq!(
        autumn,
        [
            one("2026-10-25T00:30Z", "Europe/Berlin"),
            one("2026-10-25T01:30Z", "Africa/Lagos"),
            one("2026-10-25T02:30Z", "")
        ]
    );
}

#[test]
fn on_the_devices_clocks_a_day_that_a_zone_skipped_is_made_up_for_at_once() {
    let found = on_clocks(
        json!({"at": "2011-12-30T12:00", "time_zone": "device"}),
        &["Pacific/Apia", "Pacific/Pago_Pago"],
        "2011-12-01T00:00:00Z",
        "2012-01-31T00:00:00Z",
    );
    let one = |at: &str, zone: &str| (at.to_owned(), vec![zone.to_owned()]);
    assert_eq!(
        found,
        [
            one("2011-12-30T10:00Z", "Pacific/Apia"),
            one("2011-12-30T23:00Z", "Pacific/Pago_Pago")
        ]
    );
}
