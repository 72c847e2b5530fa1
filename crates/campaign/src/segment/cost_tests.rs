//! The cost of the most expensive segments at the limits: 64 conditions, 64 attributes or tags per device.

use std::time::Instant;

use serde_json::{Map, json};

use super::tests::{NOW, database, segment};
use super::*;
use crate::audience::{Counter, Device, Reply};
use delivery::sql::{Query, Row, Statement};

/// Returns `count` devices with `width` attributes and tags, 70 bytes each.
fn devices(count: usize, width: usize) -> Vec<Device> {
    let attributes: Map<String, Value> = (0..width)
        .map(|number| (format!("attribute_{number:02}"), json!("x".repeat(48))))
        .collect();
    let tags: Vec<String> = (0..width)
        .map(|number| format!("tag {number:02} {}", "x".repeat(54)))
        .collect();
    let device = Device {
        attributes,
        tags,
        reference: Some("user-1".to_owned()),
        ..Device::new(String::new())
    };
    vec![device; count]
}

/// Returns segments whose conditions no device meets, so that all are tested.
fn segments(conditions: usize) -> Vec<(&'static str, Value)> {
    let any = |condition: &dyn Fn(usize) -> Value| json!({"any": (1..conditions).map(condition).collect::<Vec<_>>()});
    let bytes = 58_000 / conditions;
    vec![
        (
            "names",
            any(&|number| json!({"eq": {format!("attributes.attribute_{number:02}"): "y"}})),
        ),
        (
            "one name",
            any(&|number| json!({"eq": {"attributes.attribute_07": format!("y{number}")}})),
        ),
        (
            "long values",
            any(
                &|number| json!({"eq": {format!("attributes.attribute_{number:02}"): "y".repeat(bytes.min(900))}}),
            ),
        ),
        (
            "long lists",
            any(
                &|number| json!({"in": {format!("attributes.attribute_{number:02}"): vec!["y"; (bytes / 8).min(1000)]}}),
            ),
        ),
        (
            "ranges",
            any(&|number| json!({"after": {format!("attributes.attribute_{number:02}"): "y"}})),
        ),
        (
            "tags",
            any(&|number| json!({"eq": {"tags": format!("tag {number}")}})),
        ),
        (
            "lists of tags",
            any(&|number| json!({"in": {"tags": [format!("y{number}"), format!("z{number}")]}})),
        ),
        (
            "refs",
            any(&|number| json!({"eq": {"ref": format!("user-{}", number + 1)}})),
        ),
    ]
}

/// Returns the statement of the first page of a count.
fn page(value: &Value) -> Statement {
    let command = Counter::default().next(Some(&segment(value))).unwrap();
    command.statements(NOW).remove(0)
}

/// Returns how many devices a page of a count reads.
fn limit(value: &Value) -> u32 {
    let statement = page(value);
    let limit = statement.values.get(1);
    limit
        .and_then(|limit| Row(vec![limit.clone()]).number(0).ok())
        .unwrap()
        .try_into()
        .unwrap()
}

#[test]
fn no_page_of_a_count_costs_more_than_some_tenths_of_a_second_whatever_the_segment() {
    const DEVICES: u32 = 50;
    for (width, conditions) in [(2, 64), (64, 2), (64, 64)] {
        let database = database(&devices(DEVICES as usize, width));
        for (name, value) in segments(conditions) {
            let of_device = database.steps(&page(&value)).unsigned_abs().div_ceil(DEVICES);
            let of_page = u64::from(of_device) * u64::from(limit(&value));
            assert!(
                of_page <= MAX_STEPS,
                "{name}, {conditions} conditions on {width}: {of_page} steps"
            );
        }
    }
}

/// The limit in steps of SQLite's virtual machine, which executes 40 million per second.
const MAX_STEPS: u64 = 30_000_000;

#[test]
fn a_device_has_its_attributes_read_once_however_many_conditions_there_are() {
    let database = database(&devices(10, 64));
    for (name, value) in segments(64) {
        let plan = database.plan(&page(&value));
        let passes = plan.matches("SCAN json_each VIRTUAL TABLE INDEX 1").count();
        assert!(passes <= 1 || name == "lists of tags", "{name}: {plan}");
    }
}

#[test]
fn a_count_of_many_devices_is_some_pages() {
    let database = database(&devices(700, 2));
    let (name, dearest) = segments(64).into_iter().nth(6).unwrap();
    assert_eq!(name, "lists of tags");
    let (segment, mut counter, mut pages) = (segment(&dearest), Counter::default(), 0);
    while let Some(command) = counter.next(Some(&segment)) {
        let reply = database.ask(&command, NOW).unwrap();
        let Reply::Counted { of, .. } = &reply else {
            panic!("{reply:?}")
        };
        assert!(*of <= 500);
        counter.take(&reply);
        pages += 1;
    }
    assert_eq!((counter.devices, counter.of, pages), (0, 700, 2));
}

/// Prints the cost of counting with each segment. docs/operating/costs.md has its figures.
#[test]
#[ignore = "measures, and asserts nothing"]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn measure() {
    for (width, conditions) in [(2, 2), (2, 64), (64, 2), (64, 64)] {
        let database = database(&devices(2000, width));
        for (name, value) in segments(conditions) {
            let statement = page(&value);
            let started = Instant::now();
            let _ = database.execute(&statement);
            let took = started.elapsed();
            println!(
                "{width} attributes, {conditions} conditions, {name}: {:.2} us, {} steps a device; a page is {}",
                took.as_secs_f64() * 1e6 / 2000.0,
                database.steps(&statement) / 2000,
                limit(&value),
            );
        }
    }
}
