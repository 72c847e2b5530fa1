//! The rules, held against this project.

use std::fs;
use std::path::Path;

use crate::code::code;
use crate::{manifest, rules};

/// The files under src/, by their paths from there.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "the sources are somewhere else");
    files
}

/// What a rule finds in the code of all files.
fn found(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let files = sources();
    files
        .iter()
        .flat_map(|(path, source)| rule(path, &code(source)))
        .collect()
}

/// What a rule finds in the code of the files that hold more than tests.
fn found_in_product(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let files = sources();
    let product = files.iter().filter(|(_, source)| !rules::is_test_only(source));
    product
        .flat_map(|(path, source)| rule(path, &code(source)))
        .collect()
}

const NOTHING: [String; 0] = [];

#[test]
fn no_ring_uses_one_above_it() {
    assert_eq!(found_in_product(rules::upward_uses), NOTHING);
}

#[test]
fn only_the_shell_names_the_platform() {
    assert_eq!(found(rules::platform_names), NOTHING);
}

#[test]
fn the_rings_that_decide_are_synchronous() {
    assert_eq!(found(rules::asynchrony), NOTHING);
}

#[test]
fn only_the_shells_clock_reads_the_time() {
    assert_eq!(found_in_product(rules::clock_readings), NOTHING);
}

#[test]
fn each_file_lies_where_it_is_looked_for() {
    assert_eq!(found(|path, _| rules::misplaced(path)), NOTHING);
}

#[test]
fn each_file_is_short_and_says_what_it_is() {
    let files = sources();
    let faults: Vec<String> = files
        .iter()
        .flat_map(|(path, source)| rules::ill_formed(path, source))
        .collect();
    assert_eq!(faults, NOTHING);
}

#[test]
fn the_platform_is_a_dependency_for_wasm32_alone() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for name in ["worker", "wasm-bindgen"] {
        assert_eq!(
            manifest::tables_of(&text, name),
            ["target.'cfg(target_arch = \"wasm32\")'.dependencies"]
        );
    }
}

#[test]
fn what_the_command_needs_is_no_dependency_of_the_worker() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for name in [
        "clap",
        "ctrlc",
        "getrandom",
        "indicatif",
        "rustls",
        "toml",
        "ureq",
    ] {
        let mut tables = manifest::tables_of(&text, name);
        tables.retain(|table| *table != "dev-dependencies");
        assert_eq!(
            tables,
            ["target.'cfg(not(target_arch = \"wasm32\"))'.dependencies"],
            "{name}"
        );
    }
}

#[test]
fn the_mock_shares_no_code_with_the_sender() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/apns-mock/Cargo.toml")).unwrap();
    assert!(!manifest::depends_on(&text, "apns-edge"));
}
