//! The limits of docs/reference/limits.md are those of the code.
//!
//! A row names the constants that it states, in a comment that no reader sees: `<!-- MAX_REFS upload::MAX_LINE -->`. `a::MOST÷b::PARTS`
//! is the quotient of two.

use std::collections::BTreeSet;

use docs_reader::source::Value;
use docs_reader::{Page, source};

use crate::code::{Call, list};

/// Constants of the contract that no caller meets as a limit: what an answer or a log shows of a long text, sizes of
/// buffers, and the size in which a thing is handed on.
const INSIDE: &[&str] = &[
    "auth::MAX_SHOWN",
    "byte_budget::MAX_AGE",
    "columns::MAX_SHOWN_NAME",
    "line_faults::MAX_DETAIL",
    "parameters::MAX_SHOWN_NAME",
    "pages::MAX_PAGES",
    "shard_router::MAX_BYTES",
    "shard_router::MAX_DEVICES",
    "shard_router::MAX_WAITING",
    "chunk_renderer::MAX_PROBLEMS",
    "text::MAX_SHOWN",
    // Allowed values of settings: their table says them.
    "config::MAX_PERMITS",
    "transport::MAX_CONNECTIONS",
    "delivery::MAX_SHOWN",
    // Refs of a test that are looked for: one more than the limit on devices.
    "audience::MAX_FOUND",
];

/// The rows of the page: the text that a reader sees, and the names of its constants.
fn rows() -> Vec<(String, Vec<String>)> {
    let rows = Page::open("docs/reference/limits.md").rows("what");
    rows.iter()
        .map(|row| {
            let (text, names) = row[1].split_once("<!--").unwrap_or((&row[1], ""));
            let names = names.trim_end_matches("-->").split_whitespace();
            (format!("{} {text}", row[0]), names.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_limit_states_the_values_of_its_constants() {
    let sources = source::sources();
    let mut problems = Vec::new();
    let mut checked = 0;
    for (text, names) in rows() {
        for name in names {
            checked += 1;
            match value(&sources, &name) {
                Ok(value) if source::states(&text, value) => {}
                Ok(value) => problems.push(format!("{name} is {value:?}, and the row says: {text}")),
                Err(problem) => problems.push(problem),
            }
        }
    }
    assert!(problems.is_empty(), "{}", list(&problems));
    assert!(checked > 70, "{checked}");
}

/// The value of a constant, or of a quotient.
fn value(sources: &[(String, String)], name: &str) -> Result<Value, String> {
    let Some((most, parts)) = name.split_once('÷') else {
        return source::value(sources, name);
    };
    match (source::value(sources, most)?, source::value(sources, parts)?) {
        (Value::Number(most), Value::Number(parts)) => Ok(Value::Number(most / parts)),
        _ => Err(format!("{name} is no quotient of numbers")),
    }
}

#[test]
fn the_limits_of_calls_are_stated() {
    let rows = rows();
    let (text, _) = rows
        .iter()
        .find(|(text, _)| text.contains("own objects"))
        .unwrap();
    let calls = [
        Call::Command,
        Call::Lease,
        Call::Send,
        Call::Shard,
        Call::StartRun,
        Call::BatchRequest,
    ];
    for call in calls {
        let limit = Value::Millis(call.limit().as_millis());
        assert!(source::states(text, limit), "{call:?} {limit:?}: {text}");
    }
}

#[test]
fn every_maximum_of_the_contract_has_a_row() {
    let sources = source::sources();
    let named: BTreeSet<String> = rows().into_iter().flat_map(|(_, names)| names).collect();
    let there = source::constants(&sources, &["MAX_", "MAX:"]);
    let is_contract = |name: &String| {
        let folders = [
            "/api/",
            "/config/",
            "/api.rs",
            "/config.rs",
            "/api::",
            "/config::",
        ];
        let name = format!("/{name}");
        folders.iter().any(|folder| name.contains(folder)) && !name.contains("/bin/")
    };
    let is_known = |name: &String| {
        let ends = |known: &str| {
            let name = format!("/{}", name.replace("::", "/"));
            name.ends_with(&format!("/{}", known.replace("::", "/")))
        };
        named.iter().any(|known| ends(known)) || INSIDE.iter().any(|known| ends(known))
    };
    let of_contract: Vec<String> = there.into_iter().filter(is_contract).collect();
    assert!(of_contract.len() > 40, "{of_contract:?}");
    let missing: Vec<String> = of_contract
        .into_iter()
        .filter(|name| !is_known(name))
        .map(|name| format!("{name} has no row in limits.md"))
        .collect();
    assert!(missing.is_empty(), "{}", list(&missing));
}
