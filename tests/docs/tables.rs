//! Tables that list what the code has: each name once, and no other.

use std::cell::RefCell;
use std::collections::BTreeSet;

use docs_reader::{Page, source};

use crate::code::{Config, Kind, Reason, TYPE_PREFIX, list, listing, route, setting, verdict};

/// The texts in backquotes of a cell.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The first names of the rows of a page's tables.
fn firsts(page: &str, heading: &str) -> Vec<String> {
    let rows = Page::open(page).rows(heading);
    assert!(!rows.is_empty(), "{page} has no table with the heading {heading}");
    rows.iter().flat_map(|row| names(&row[0])).collect()
}

/// Whether both have the same names, each once.
fn compare(
    what: &str,
    documented: &[String],
    there: impl IntoIterator<Item = impl Into<String>>,
) -> Vec<String> {
    let there: BTreeSet<String> = there.into_iter().map(Into::into).collect();
    let once: BTreeSet<String> = documented.iter().cloned().collect();
    let mut problems = Vec::new();
    problems.extend(
        there
            .difference(&once)
            .map(|name| format!("{what}: `{name}` has no row")),
    );
    problems.extend(
        once.difference(&there)
            .map(|name| format!("{what}: `{name}` is no name of the code")),
    );
    if documented.len() != once.len() {
        problems.push(format!("{what}: a name has two rows"));
    }
    problems
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "{}", list(problems));
}

#[test]
fn every_route_has_a_row_and_every_row_is_a_route() {
    let rows = Page::open("docs/reference/http.md").rows("method");
    let documented: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", names(&row[0]).join(""), names(&row[1]).join("")))
        .collect();
    let there = route::TABLE
        .iter()
        .map(|entry| format!("{} {}", entry.method, entry.path));
    check(&compare("http.md", &documented, there));
}

#[test]
fn every_problem_has_a_row_with_its_status() {
    let rows = Page::open("docs/reference/problems.md").rows("type");
    let documented: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", names(&row[0]).join(""), row[1]))
        .collect();
    let there = Kind::ALL
        .iter()
        .map(|kind| format!("{} {}", kind.slug(), kind.status()));
    check(&compare("problems.md", &documented, there));
    assert!(
        Page::open("docs/reference/problems.md")
            .text
            .contains(TYPE_PREFIX)
    );
}

#[test]
fn every_reason_has_a_row_with_its_verdict() {
    let rows = Page::open("docs/reference/reasons.md").rows("reason");
    let documented: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", names(&row[0]).join(""), names(&row[2]).join("")))
        .collect();
    let there = verdict::TABLE
        .iter()
        .map(|(reason, verdict)| format!("{reason} {verdict}"));
    check(&compare("reasons.md", &documented, there));
    assert_eq!(rows.len(), Reason::KNOWN.len());
}

#[test]
fn every_log_event_has_a_row_with_its_fields() {
    let rows = Page::open("docs/reference/log-events.md").rows("event");
    let documented: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", names(&row[0]).join(""), names(&row[1]).join(",")))
        .collect();
    let events = source::variants(&source::sources(), "log::Event").unwrap();
    assert!(events.len() > 15, "{events:?}");
    let there = events
        .iter()
        .map(|(name, fields)| format!("{} {}", snake(name), fields.join(",")));
    check(&compare("log-events.md", &documented, there));
}

/// A name as serde writes it.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[test]
fn every_field_that_a_caller_may_send_has_a_row() {
    let sources = source::sources();
    let texts = |name: &str| source::texts(&sources, name).unwrap();
    let http = "docs/reference/http.md";
    let of = |heading: &str| firsts(http, heading);
    let mut problems = compare(
        "a request",
        &of("field of a request"),
        texts("send_request/head::FIELDS"),
    );
    problems.extend(compare(
        "notification",
        &of("field of `notification`"),
        texts("notification::FIELDS"),
    ));
    problems.extend(compare(
        "batch",
        &of("field of `batch`"),
        texts("options::FIELDS"),
    ));
    problems.extend(compare(
        "a device",
        &of("field of a device"),
        texts("audience/device::FIELDS"),
    ));
    // A part of a field has a row of its own.
    let mut campaign = of("field of a campaign");
    campaign.retain(|name| !name.contains('.'));
    problems.extend(compare("a campaign", &campaign, texts("api/campaign::FIELDS")));
    let app = firsts("docs/reference/settings.md", "field of an app");
    problems.extend(compare("an app", &app, texts("config/app::FIELDS")));
    check(&problems);
}

#[test]
fn every_field_of_a_status_has_a_row() {
    let sources = source::sources();
    let fields = source::fields(&sources, "documents/batch::Batch").unwrap();
    // Warnings are flattened into it; an id and its app explain themselves.
    let there = fields
        .into_iter()
        .filter(|field| !["id", "app"].contains(&field.as_str()));
    let rows = Page::open("docs/reference/http.md").rows("field of a status");
    let documented: Vec<String> = rows.iter().flat_map(|row| names(&row[0])).collect();
    let documented: Vec<String> = documented
        .into_iter()
        .filter(|name| name != "more_warnings")
        .collect();
    check(&compare("the status of a batch", &documented, there));
}

#[test]
fn every_cause_of_a_pause_has_a_row_and_a_section() {
    let page = "docs/operating/paused-batches.md";
    let causes = source::texts(&source::sources(), "batch/record::PausedBy").unwrap();
    check(&compare(page, &firsts(page, "`by`"), causes.clone()));
    let anchors = Page::open(page).anchors();
    assert!(causes.iter().all(|cause| anchors.contains(cause)), "{anchors:?}");
}

#[test]
fn the_states_of_batches_and_pushes_are_named() {
    let text = Page::open("docs/reference/http.md").text;
    for word in listing::STATES.iter().chain(&listing::STATUSES) {
        assert!(text.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn the_rules_for_alerts_name_only_metrics_and_verdicts_that_there_are() {
    let rules = std::fs::read_to_string(docs_reader::root().join("docs/operating/alerts.yml")).unwrap();
    let metrics = firsts("docs/reference/metrics.md", "metric");
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = rules.split(|letter| !is_name(letter));
    let named: Vec<&str> = words.filter(|word| word.starts_with("apns_edge_")).collect();
    assert!(named.len() > 5);
    for name in named {
        let whole = name.trim_end_matches("_bucket");
        assert!(metrics.iter().any(|metric| metric == whole), "{name}");
    }
    let verdicts: Vec<String> = verdict::TABLE
        .iter()
        .map(|(_, verdict)| verdict.to_string())
        .collect();
    for verdict in rules
        .split("verdict=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(verdicts.iter().any(|known| known == verdict), "{verdict}");
    }
    for page in rules.split_whitespace().filter(|word| word.starts_with("docs/")) {
        assert!(
            docs_reader::root()
                .join(page.trim_end_matches(['.', ',', '"']))
                .is_file(),
            "{page}"
        );
    }
}

#[test]
fn every_setting_has_a_row_and_every_row_is_a_setting() {
    let asked = RefCell::new(BTreeSet::new());
    let read = Config::load(|name| {
        asked.borrow_mut().insert(name.to_owned());
        setting(name, |_| None)
    });
    read.unwrap();
    let there = asked
        .into_inner()
        .into_iter()
        .map(|name| match name.strip_prefix("APNS_KEY_") {
            Some(_) => "APNS_KEY_<key id>".to_owned(),
            None => name,
        });
    check(&compare(
        "settings.md",
        &firsts("docs/reference/settings.md", "setting"),
        there,
    ));
}

#[test]
fn the_default_of_a_setting_is_the_one_of_its_row() {
    let unset = format!("{:?}", load("", "").unwrap());
    let mut checked = 0;
    for row in Page::open("docs/reference/settings.md").rows("setting") {
        let (name, default) = (names(&row[0]).join(""), row[4].trim_matches('`'));
        if default == "required" || default.starts_with("none") {
            continue;
        }
        checked += 1;
        let set = format!(
            "{:?}",
            load(&name, default).unwrap_or_else(|problem| panic!("{name}: {problem}"))
        );
        assert!(set == unset, "{name} is not {default} by default");
    }
    assert!(checked > 12, "{checked}");
}

#[test]
fn the_values_of_a_setting_are_those_of_its_row() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for row in Page::open("docs/reference/settings.md").rows("setting") {
        let (name, values) = (names(&row[0]).join(""), &row[3]);
        let (allowed, refused) = if let Some((least, most)) = values.split_once(" to ") {
            (
                vec![plain(least), plain(most)],
                vec![beyond(least, false), beyond(most, true)],
            )
        } else if values.starts_with('`') {
            (names(values), vec!["nonsense".to_owned()])
        } else {
            continue;
        };
        checked += 1;
        let taken = |value: &String| load(&name, value).is_ok();
        problems.extend(
            allowed
                .iter()
                .filter(|value| !taken(value))
                .map(|value| format!("{name}: {value} is refused")),
        );
        problems.extend(
            refused
                .iter()
                .filter(|value| taken(value))
                .map(|value| format!("{name}: {value} is taken")),
        );
    }
    check(&problems);
    assert!(checked > 12, "{checked}");
}

/// A configuration in which one setting has a value.
fn load(name: &str, value: &str) -> Result<Config, String> {
    let own = |asked: &str| {
        let set = (asked == name).then(|| value.to_owned());
        // The shortest claim leaves time for short attempts alone.
        let is_shortest = (asked, name, value) == ("ATTEMPT_TIMEOUT_MS", "CHUNK_CLAIM_MS", "5000");
        set.or_else(|| is_shortest.then(|| "100".to_owned()))
    };
    Config::load(|asked| setting(asked, own)).map_err(|faults| faults.to_string())
}

fn plain(value: &str) -> String {
    value.trim_matches('`').to_owned()
}

/// The value after the last allowed one, or before the first.
fn beyond(value: &str, is_above: bool) -> String {
    let value = plain(value);
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: i64 = digits.parse().unwrap();
    let step = if is_above { 1 } else { -1 };
    let unit = match &value[digits.len()..] {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return (number + step).to_string(),
    };
    format!("{}s", number * unit + step)
}
