//! The rules, each a function of one file's path under src/ and its code, and what each finds wrong.

use crate::code::words;

/// Who may use whom, beside itself.
const RINGS: [(&str, &[&str]); 8] = [
    ("time", &[]),
    ("fault", &[]),
    ("apns", &["time", "fault"]),
    ("wire", &["apns", "time", "fault"]),
    ("delivery", &["apns", "time", "fault"]),
    ("config", &["delivery", "apns", "time", "fault"]),
    ("api", &["config", "delivery", "apns", "time", "fault"]),
    (
        "shell",
        &["api", "config", "delivery", "wire", "apns", "time", "fault"],
    ),
];

/// Crates that are the platform, or speak to it.
const PLATFORM: [&str; 6] = [
    "worker",
    "worker_sys",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "js_sys",
    "web_sys",
];

/// Rings that may be asynchronous.
const ASYNCHRONOUS: [&str; 2] = ["wire", "shell"];

/// The one file that reads the clock.
const CLOCK: &str = "shell/clock.rs";

/// What reads a clock.
const CLOCKS: [&str; 4] = [
    "SystemTime::now",
    "Instant::now",
    "Date::now",
    "UNIX_EPOCH.elapsed",
];

/// The most names in a path under src/, the file's own included: ring, noun, part.
const MAX_DEPTH: usize = 3;

/// The most lines of a file, without the tests at its end.
const MAX_LINES: usize = 440;

/// The most lines of a file of tests.
const MAX_TEST_LINES: usize = 700;

/// Whether a file holds tests alone: those of other files are indented, in a module at the end.
pub(crate) fn is_test_only(source: &str) -> bool {
    source
        .lines()
        .any(|line| line == "#[test]" || line == "proptest! {")
}

/// The lines of a file that count for its length.
fn counted_lines(source: &str) -> usize {
    if is_test_only(source) {
        return source.lines().count();
    }
    let product = source.split("mod tests {").next();
    product.unwrap_or(source).lines().count()
}

/// Where the commands are: crates of their own, which run on the user's machine and belong to no ring.
const COMMANDS: &str = "bin/";

/// A file's path within its command; none for a file of the library.
fn in_command(path: &str) -> Option<&str> {
    let (_, path) = path.strip_prefix(COMMANDS)?.split_once('/')?;
    Some(path)
}

/// The ring that a file belongs to; none for the root of the crate and for commands.
fn ring(path: &str) -> Option<&str> {
    if in_command(path).is_some() {
        return None;
    }
    let name = path.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

/// Names that a code reaches from the root of the crate: `crate::name`, also in braces, and `super::name` of a ring.
fn reached(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, word) in words(code) {
        let Some(path) = code[at + word.len()..].strip_prefix("::") else {
            continue;
        };
        match word {
            "crate" => names.extend(roots(path)),
            "super" => names.extend(roots(path).filter(|name| is_ring(name))),
            _ => {}
        }
    }
    names
}

/// The first names of a path or, in braces, of several paths.
fn roots(path: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut end) = (0_usize, path.len());
    let mut starts = vec![0];
    for (at, character) in path.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match (depth, character) {
            (1, '{' | ',') => starts.push(at + 1),
            (0, _) => {
                end = at + 1;
                break;
            }
            _ => {}
        }
    }
    let group = &path[..end.max(first(path).len())];
    let starts = starts.into_iter().filter(|start| *start <= group.len());
    starts
        .map(|start| first(&path[start..]))
        .filter(|name| !name.is_empty())
}

/// The word that a text begins with, after white space.
fn first(text: &str) -> &str {
    let start = text.len() - text.trim_start().len();
    match words(text).next() {
        Some((at, word)) if at == start => word,
        _ => "",
    }
}

fn is_ring(name: &str) -> bool {
    RINGS.iter().any(|(ring, _)| *ring == name)
}

/// Rings that a file uses and may not.
pub(crate) fn upward_uses(path: &str, code: &str) -> Vec<String> {
    let Some(ring) = ring(path) else {
        return Vec::new();
    };
    let Some((_, allowed)) = RINGS.iter().find(|(name, _)| *name == ring) else {
        return vec![format!("{path}: {ring} is not in the table of rings")];
    };
    let used = reached(code).into_iter();
    used.filter(|used| *used != ring && !allowed.contains(used))
        .map(|used| format!("{path}: {ring} may not use {used}"))
        .collect()
}

/// The platform's crates named outside the shell.
pub(crate) fn platform_names(path: &str, code: &str) -> Vec<String> {
    if ring(path) == Some("shell") {
        return Vec::new();
    }
    let named = words(code).filter(|(at, word)| {
        let is_path = code[at + word.len()..].trim_start().starts_with("::");
        PLATFORM.contains(word) && is_path
    });
    named
        .map(|(_, word)| format!("{path}: only the shell may name {word}"))
        .collect()
}

/// `async` and `.await` in the synchronous rings, and in commands, which do one thing at a time.
pub(crate) fn asynchrony(path: &str, code: &str) -> Vec<String> {
    if ring(path).is_some_and(|ring| ASYNCHRONOUS.contains(&ring)) {
        return Vec::new();
    }
    let found = words(code).filter(|(_, word)| ["async", "await"].contains(word));
    found
        .map(|(_, word)| format!("{path}: `{word}` where all is synchronous"))
        .collect()
}

/// Clocks read elsewhere than in the one place, or in a command.
pub(crate) fn clock_readings(path: &str, code: &str) -> Vec<String> {
    if path == CLOCK || in_command(path).is_some() {
        return Vec::new();
    }
    let found = CLOCKS.iter().filter(|clock| code.contains(**clock));
    found
        .map(|clock| format!("{path}: {clock}, where the moment comes in as an argument"))
        .collect()
}

/// Files in the wrong place: `mod.rs`, or too deep. A folder of tests does not count, nor does that of a command.
pub(crate) fn misplaced(path: &str) -> Vec<String> {
    let within = in_command(path).unwrap_or(path);
    let names: Vec<&str> = within.split('/').filter(|name| *name != "tests").collect();
    let mut faults = Vec::new();
    if names.last() == Some(&"mod.rs") {
        faults.push(format!("{path}: `foo.rs` and `foo/`, never `mod.rs`"));
    }
    if names.len() > MAX_DEPTH {
        faults.push(format!("{path}: deeper than {MAX_DEPTH}"));
    }
    faults
}

/// Files that are too long, or do not begin with a text about the module. Tests need none: their names are the text.
pub(crate) fn ill_formed(path: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = counted_lines(source);
    let most = if is_test_only(source) {
        MAX_TEST_LINES
    } else {
        MAX_LINES
    };
    if lines > most {
        faults.push(format!("{path}: {lines} lines; {most} are the most"));
    }
    let is_test = path.split('/').any(|name| matches!(name, "tests" | "tests.rs"));
    if !is_test && !source.starts_with("//! ") {
        faults.push(format!("{path}: does not begin with a text about the module"));
    }
    faults
}

/// How many faults a rule finds in a file at `path`.
#[cfg(test)]
fn count(rule: fn(&str, &str) -> Vec<String>, path: &str, code: &str) -> usize {
    rule(path, code).len()
}

#[test]
fn names_are_found_in_all_ways_of_writing_them() {
    assert_eq!(reached("use crate::apns::{Reply, Request};"), ["apns"]);
    assert_eq!(
        reached("use crate::{apns, delivery::{self, x::Y},\n config::Z};"),
        ["apns", "delivery", "config"]
    );
    assert_eq!(
        reached("fn f() -> crate::time::Timestamp { crate::fault::x() }"),
        ["time", "fault"]
    );
    assert_eq!(
        reached("use super::delivery; use super::apns_id; use super::*;"),
        ["delivery"]
    );
    assert_eq!(reached("pub(crate) fn f() {}"), Vec::<&str>::new());
}

#[test]
fn a_ring_may_use_what_is_below_it_and_nothing_above() {
    assert_eq!(
        count(
            upward_uses,
            "delivery/gate.rs",
            "use crate::apns::X; use crate::delivery::Y;"
        ),
        0
    );
    assert_eq!(count(upward_uses, "delivery.rs", "use crate::api::X;"), 1);
    assert_eq!(count(upward_uses, "wire/tap.rs", "use crate::delivery::X;"), 1);
    assert_eq!(
        count(
            upward_uses,
            "apns/reply.rs",
            "use crate::{time::T, wire::W, shell};"
        ),
        2
    );
    assert_eq!(count(upward_uses, "time.rs", "use crate::fault::X;"), 1);
    assert_eq!(count(upward_uses, "config.rs", "fn f() { super::api::g() }"), 1);
    assert_eq!(count(upward_uses, "utils.rs", ""), 1);
    assert_eq!(count(upward_uses, "lib.rs", "use crate::shell::X;"), 0);
    // What a command calls `crate` is itself.
    assert_eq!(
        count(upward_uses, "bin/apns-edge/push.rs", "use crate::shell::X;"),
        0
    );
    assert_eq!(count(upward_uses, "bin/stray.rs", ""), 1);
    for (place, (ring, allowed)) in RINGS.iter().enumerate() {
        // No ring and one below it use each other.
        let below = &RINGS[..place];
        assert!(
            allowed
                .iter()
                .all(|name| below.iter().any(|(known, _)| known == name)),
            "{ring}"
        );
    }
}

#[test]
fn the_platform_is_named_in_the_shell_alone() {
    assert_eq!(count(platform_names, "shell/http.rs", "use worker::Request;"), 0);
    assert_eq!(
        count(
            platform_names,
            "api.rs",
            "use worker::Request; let x = js_sys::Date::now();"
        ),
        2
    );
    assert_eq!(count(platform_names, "wire.rs", "#[wasm_bindgen::prelude]"), 1);
    assert_eq!(
        count(platform_names, "api.rs", "let worker = 1; struct Worker;"),
        0
    );
    assert_eq!(
        count(platform_names, "bin/apns-edge/main.rs", "use worker::Request;"),
        1
    );
}

#[test]
fn the_core_is_synchronous() {
    assert_eq!(
        count(asynchrony, "delivery/gate.rs", "async fn f() { g().await }"),
        2
    );
    assert_eq!(count(asynchrony, "wire/sent.rs", "async fn f() { g().await }"), 0);
    assert_eq!(count(asynchrony, "api.rs", "fn asynchronous() {}"), 0);
    assert_eq!(count(asynchrony, "bin/apns-edge/main.rs", "async fn f() {}"), 1);
}

#[test]
fn the_clock_is_read_in_one_place() {
    assert_eq!(count(clock_readings, "shell/clock.rs", "Date::now()"), 0);
    assert_eq!(count(clock_readings, "shell/push.rs", "Date::now()"), 1);
    assert_eq!(
        count(clock_readings, "delivery/gate.rs", "std::time::Instant::now()"),
        1
    );
    assert_eq!(count(clock_readings, "delivery/gate.rs", "clock.now()"), 0);
    assert_eq!(
        count(clock_readings, "bin/apns-edge/push.rs", "Instant::now()"),
        0
    );
}

#[test]
fn files_lie_where_they_are_looked_for() {
    for (path, faults) in [
        ("api.rs", 0),
        ("api/order/tests.rs", 0),
        ("api/order/tests/devices.rs", 0),
        ("api/mod.rs", 1),
        ("a/b/c/d.rs", 1),
        ("bin/apns-edge/batch/send.rs", 0),
        ("bin/apns-edge/batch/send/parts/one.rs", 1),
        ("bin/apns-edge/mod.rs", 1),
    ] {
        assert_eq!(misplaced(path).len(), faults, "{path}");
    }
}

#[test]
fn a_file_is_short_and_says_what_it_is() {
    let long = format!("//! Text.\n{}", "\n".repeat(MAX_LINES));
    assert_eq!(count(ill_formed, "api.rs", "//! Text.\n"), 0);
    assert_eq!(count(ill_formed, "api.rs", "use x;\n"), 1);
    assert_eq!(count(ill_formed, "api.rs", &long), 1);
    assert_eq!(count(ill_formed, "api/tests.rs", "use x;\n"), 0);
}
