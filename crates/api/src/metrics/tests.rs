use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const DASHBOARD: &str = include_str!("../../../../docs/operating/grafana.json");

const PUSH_BOUNDS_MS: &[u64] = Metric::Push.bounds_ms().unwrap();

/// Returns metrics with a sample of everything.
fn total() -> MetricsDelta {
    let mut delta = MetricsDelta::default();
    let mut pushes = |verdict, reason, count| {
        let labels = ["shop", "alert", verdict, reason];
        delta.add(Metric::Pushes, &labels, Sample::times(count));
    };
    pushes("accepted", "none", 12);
    pushes("drop_device", "Unregistered", 3);
    delta.add(Metric::Push, &["fetch"], took(&[4, 61, 70, 12_000]));
    delta.add(Metric::Resends, &["socket"], Sample::times(2));
    delta.fallback("shop");
    delta.request("shop", 200);
    delta.request("shop", 503);
    delta.chunk("shop", "socket");
    delta.claimed(Duration::from_millis(300));
    delta.lease("shop", true);
    delta.lease("news", false);
    delta.provider_token("shop");
    delta.opening("shop", true);
    delta.opening("shop", false);
    delta
}

fn took(millis: &[u64]) -> Sample {
    let mut sample = Sample::default();
    for millis in millis {
        sample.observe(Duration::from_millis(*millis), PUSH_BOUNDS_MS);
    }
    sample
}

fn snapshot() -> Snapshot {
    let gate = Inspection {
        issued_at: None,
        proven: true,
        stopped_until: None,
        limit: 2000,
        in_use: 6,
        leases: 1,
        waiting: 2,
        connections: Pool {
            open: 2,
            idle: 1,
            unavailable: 0,
        },
        last_refusal: None,
    };
    let campaigns = scheduler::CampaignCount {
        app: "shop".to_owned(),
        state: scheduler::State::Scheduled,
        campaigns: 2,
    };
    let batches = Counted {
        app: "shop".to_owned(),
        state: "running".to_owned(),
        batches: 1,
    };
    Snapshot {
        gates: vec![("shop".to_owned(), gate)],
        batches: vec![batches],
        campaigns: vec![campaigns],
    }
}

fn rendered(total: MetricsDelta, snapshot: Snapshot) -> String {
    answer(total, snapshot).unwrap().body
}

/// Returns the metrics with the names of their samples, without the suffixes of histograms, and with their
/// labels.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            types.insert(name.to_owned(), kind.to_owned());
            families.insert(format!("{name}{suffix}"), BTreeSet::new());
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line, ""));
            let name = name.split(' ').next().unwrap();
            let name = whole(name, |name| types.contains_key(name));
            let labels = labels
                .split(',')
                .filter_map(|label| label.split_once('='))
                .map(|(label, _)| label.to_owned())
                .filter(|label| label != "le");
            families.get_mut(name).unwrap().extend(labels);
        }
    }
    families
}

/// Returns the name of the histogram that a sample belongs to, or the name itself.
fn whole(name: &str, is_known: impl Fn(&str) -> bool) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|part| name.strip_suffix(part).filter(|whole| is_known(whole)))
        .unwrap_or(name)
}

#[test]
fn the_exposition_format_unchanged() {
    // Dashboards and alerts of the deployment's users name these.
    let answer = answer(total(), snapshot()).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(answer.body, include_str!("tests/exposition.txt"));
}

#[test]
fn what_never_happened_has_its_description_and_no_sample() {
    let empty = rendered(MetricsDelta::default(), Snapshot::default());
    assert_eq!(empty.lines().last(), Some("# EOF"));
    assert!(empty.lines().all(|line| line.starts_with('#')), "{empty}");
    let names = |text: &str| families(text).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&empty), names(&rendered(total(), snapshot())));
}

#[test]
fn the_page_of_metrics_names_exactly_what_is_rendered() {
    let mut documented = BTreeMap::new();
    for row in docs_reader::Page::open("docs/reference/metrics.md").rows("metric") {
        let labels = row[1].split(", ").filter(|label| !label.is_empty());
        let labels: BTreeSet<String> = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        documented.insert(row[0].trim_matches('`').to_owned(), labels);
    }
    assert_eq!(documented, families(&rendered(total(), snapshot())));
}

/// Returns all queries of the dashboard.
fn queries(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) => {
            let here = ["expr", "query"]
                .iter()
                .filter_map(|name| map.get(*name)?.as_str());
            here.chain(map.values().flat_map(queries)).collect()
        }
        Value::Array(list) => list.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_dashboard_names_only_metrics_and_labels_that_are_rendered() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let families = families(&rendered(total(), snapshot()));
    let mut named = BTreeSet::new();
    for query in queries(&dashboard) {
        let words = query.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        for word in words.filter(|word| word.starts_with("apns_edge_")) {
            let name = whole(word, |name| families.contains_key(name));
            assert!(families.contains_key(name), "{word} in {query}");
            named.insert(name.to_owned());
        }
        let labels = families.values().flatten().map(String::as_str).chain(["le"]);
        let labels: BTreeSet<&str> = labels.collect();
        for list in query
            .split("by (")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            for label in list.split(", ") {
                assert!(labels.contains(label), "{label} in {query}");
            }
        }
    }
    let unshown: Vec<_> = families.keys().filter(|name| !named.contains(*name)).collect();
    assert_eq!(unshown, Vec::<&String>::new());
}

#[test]
fn every_panel_of_the_dashboard_has_a_title_and_a_query() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 5);
    for panel in panels {
        assert!(
            panel["title"].is_string() && !queries(panel).is_empty(),
            "{panel}"
        );
    }
}

/// Parses a label's value in a sample.
fn value_of(sample: &str) -> String {
    let (_, rest) = sample.split_once("=\"").unwrap();
    let mut value = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next().unwrap() {
            '"' => return value,
            '\\' => value.push(match letters.next().unwrap() {
                'n' => '\n',
                letter @ ('\\' | '"') => letter,
                letter => panic!("an escape of {letter}"),
            }),
            '\n' => panic!("a line's end in a label"),
            letter => value.push(letter),
        }
    }
}

proptest! {
    #[test]
    fn any_name_of_an_app_is_one_line_and_comes_back(app in "[a-z\"\\\\\n{},= é]{0,12}") {
        let mut delta = MetricsDelta::default();
        delta.fallback(&app);
        let text = rendered(delta, Snapshot::default());
        let mut samples = text.split("apns_edge_fallbacks_total").skip(1);
        let sample = samples.next().unwrap();
        prop_assert_eq!(value_of(sample), app);
        prop_assert!(sample.lines().next().unwrap().ends_with(" 1"));
        prop_assert!(samples.next().is_none());
    }

    #[test]
    fn the_buckets_of_a_histogram_add_up_to_its_count(millis in proptest::collection::vec(0..20_000_u64, 0..40)) {
        let sample = took(&millis);
        let buckets = buckets(&sample, PUSH_BOUNDS_MS);
        let mut below = 0;
        for (bound, count) in &buckets {
            below += count;
            let expected = millis.iter().filter(|millis| seconds(**millis) <= *bound).count();
            prop_assert_eq!(below, number(expected), "{}", bound);
        }
        prop_assert_eq!(below, sample.count());
    }
}
