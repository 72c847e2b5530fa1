//! Checks with `cargo metadata` which crate of the workspace uses which. ARCHITECTURE.md draws the same table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::process;

/// The crates of the product, and the crates of the product that each may use.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("apns", &[]),
    ("apns-h2", &["apns"]),
    ("delivery", &["apns"]),
    ("batch", &["apns", "delivery"]),
    ("campaign", &["apns", "batch", "delivery"]),
    ("documents", &[]),
    ("api", &["apns", "batch", "campaign", "delivery", "documents"]),
    // The command validates the ids and the key of a deployment before anything is sent.
    ("apns-edge-cli", &["apns", "documents"]),
    (
        "apns-edge",
        &[
            "api",
            "apns",
            "apns-h2",
            "batch",
            "campaign",
            "delivery",
            "documents",
        ],
    ),
];

/// Crates that only the Worker may use: they bind the platform, or are useful only on it.
const PLATFORM: [&str; 4] = ["worker", "wasm-bindgen", "js-sys", "console_error_panic_hook"];

/// Crates that only `apns-h2` and the Worker may use, because everything else is synchronous.
const ASYNCHRONOUS: [&str; 3] = ["futures", "tokio", "h2"];

/// The names of the crates that each package uses in normal builds.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Reads the dependencies of every package of the workspace, without those of its tests.
fn uses() -> Uses {
    let mut cargo = process::cargo();
    let text = process::answer(cargo.args(["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            // A normal dependency has no kind. Those of tests and build scripts have one.
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}

#[test]
fn no_crate_uses_one_that_it_must_not_know() {
    let uses = uses();
    let product: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in MAY_USE {
        let used = uses
            .get(name)
            .unwrap_or_else(|| panic!("no package is called {name}"));
        let forbidden: Vec<&String> = used
            .iter()
            .filter(|used| product.contains(used.as_str()) && !allowed.contains(&used.as_str()))
            .collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn only_the_worker_knows_the_platform_and_only_it_and_apns_h2_wait() {
    for (name, used) in uses() {
        if !MAY_USE.iter().any(|(product, _)| *product == name) || name == "apns-edge" {
            continue;
        }
        for forbidden in PLATFORM {
            assert!(!used.contains(forbidden), "{name} must not use {forbidden}");
        }
        for forbidden in ASYNCHRONOUS.into_iter().filter(|_| name != "apns-h2") {
            assert!(!used.contains(forbidden), "{name} must not use {forbidden}");
        }
    }
}

#[test]
fn every_crate_of_the_product_is_in_the_table() {
    let members = uses();
    let tools = [
        "apns-mock",
        "bench",
        "docs-reader",
        "docs-tests",
        "e2e",
        "testbed",
        "xtask",
    ];
    for name in members.keys().filter(|name| !tools.contains(&name.as_str())) {
        assert!(
            MAY_USE.iter().any(|(product, _)| product == name),
            "{name} is not in the table"
        );
    }
}
